//! Machines that come up slowly: recovery waits for what is missing and deletes nothing meanwhile.

use std::collections::BTreeSet;

use volsnap_sim::{Boot, Chooser, World};

use super::{Crash, Figures, VIOLATIONS_MAX, Violation};
use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, recover, restore},
    worlds::Scene,
};

/// Crashes a restore everywhere, then boots a machine that is not ready yet: filesystems of the volumes not mounted or
/// read-only, the container engine down. Recovery must change nothing and say so, and must end well once all is ready.
#[must_use]
pub fn slow_boots(scene: &Scene) -> Figures {
    let mut figures = Figures { runs: 1, ..Figures::default() };
    let mut world = scene.world.clone();
    world.record_crash_points();
    let state_on_volumes = scene.spec.state_with_volumes;
    let mounts: Vec<_> = scene.world.disks().skip(1 + usize::from(state_on_volumes)).map(|d| d.mount.clone()).collect();
    let boots = [
        Boot { unmounted: mounts.clone(), ..Boot::default() },
        Boot { unmounted: mounts.clone(), engine_down: true, ..Boot::default() },
        Boot { read_only: mounts.clone(), engine_down: true, ..Boot::default() },
        Boot { engine_down: true, ..Boot::default() },
    ];
    let mut seen = BTreeSet::new();
    for point in restore(scene, world).points {
        figures.crash_points += 1;
        for (boot, script) in boots.iter().flat_map(|boot| [(boot, vec![0; 16]), (boot, vec![1; 16])]) {
            let mut world = point.world.clone();
            world.cut_power(&mut Chooser::scripted(script.clone()));
            let unpinned = oracle::leaves_app_alone(scene, &world);
            let fenced = world.containers().all(|container| container.restart_policy.is_never());
            if !fenced && !boot.engine_down && !boot.unmounted.is_empty() {
                // Nobody holds the engine back from starting the app on the bare mount point.
                continue;
            }
            world.boot_up(boot);
            figures.crashes += 1;
            if !seen.insert(world.key()) {
                continue;
            }
            figures.states += 1;
            let past = Past { cut: true, unpinned, faults: false };
            let wrongs = boot_slowly(scene, world, past, &mounts, &mut figures);
            if !wrongs.is_empty() && figures.violations.len() < VIOLATIONS_MAX {
                let path = vec![Crash::Cut { op: point.op, script }];
                let wrongs = wrongs.into_iter().map(|wrong| format!("{boot:?}: {wrong}")).collect();
                figures.violations.push(Violation { path, fault: None, wrongs });
            }
        }
    }
    figures
}

fn boot_slowly(
    scene: &Scene,
    world: World,
    past: Past,
    mounts: &[std::path::PathBuf],
    figures: &mut Figures,
) -> Wrongs {
    let early = recover(scene, world);
    figures.runs += 2;
    let early_outcome = match &early.ended {
        Ended::Reported(report) => format!("early: {:?}", report.outcome),
        Ended::Nothing => "early: nothing to do".into(),
        Ended::Failed(error) => format!("early: failed ({})", error.code),
        Ended::Gone => return vec!["the early recovery waits for ever".into()],
    };
    *figures.outcomes.entry(early_outcome).or_default() += 1;
    let mut world = early.world;
    world.restart_process();
    mounts.iter().for_each(|mount| world.mount(mount));
    if world.engine_is_down() {
        world.start_engine();
    }
    let mut wrongs = oracle::check_crashed(scene, &world, &world);
    let late = recover(scene, world);
    // The early recovery may have ended it all; then there is nothing left to do.
    let ended = match (early.ended, late.ended) {
        (early @ Ended::Reported(_), Ended::Nothing) => early,
        (_, late) => late,
    };
    wrongs.extend(oracle::check_ended(scene, &late.world, &ended, Past { faults: true, ..past }));
    if let Ended::Failed(error) = ended {
        wrongs.push(format!("recovery failed: {error}"));
    }
    wrongs
}
