//! Every error of every call of a restore, and of recoveries from the middle of one.

use volsnap_core::{ports::FsErrorKind, restore::Outcome};
use volsnap_sim::{Boot, Chooser, Fault, MicroKind};

use super::{Crash, Figures, VIOLATIONS_MAX, Violation};
use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, Left, recover, restore},
    worlds::Scene,
};

/// Strikes a restore at each of its operations with each kind of error, then recovers in a new process.
#[must_use]
pub fn errors(scene: &Scene) -> Figures {
    let mut world = scene.world.clone();
    world.remember(false);
    let history: Vec<MicroKind> = restore(scene, world).world.history().iter().map(|m| m.kind).collect();
    let mut figures = Figures { runs: 1, ..Figures::default() };
    for (op, kind) in (0..).zip(&history) {
        let mut faults = vec![
            Fault::Error { kind: FsErrorKind::Io, sticky: false },
            Fault::Error { kind: FsErrorKind::Transient, sticky: false },
            Fault::Error { kind: FsErrorKind::Io, sticky: true },
            Fault::Drop,
        ];
        match kind {
            MicroKind::Call => {}
            MicroKind::Sync => {
                faults.push(Fault::SyncLost);
                faults.push(Fault::DoneButFailed(FsErrorKind::Io));
            }
            MicroKind::Change => {
                faults.push(Fault::Error { kind: FsErrorKind::NoSpace, sticky: false });
                faults.push(Fault::DoneButFailed(FsErrorKind::Io));
            }
            MicroKind::Engine | MicroKind::Catalog => faults.push(Fault::DoneButFailed(FsErrorKind::Transient)),
        }
        for fault in faults {
            figures.crash_points += 1;
            let wrongs = strike(scene, op, &fault, &mut figures);
            if !wrongs.is_empty() && figures.violations.len() < VIOLATIONS_MAX {
                figures.violations.push(Violation { path: Vec::new(), fault: Some((op, fault)), wrongs });
            }
        }
    }
    figures
}

/// Kills a restore at every seventh of its changes, and strikes the recovery at each of its operations.
#[must_use]
pub fn recovery_errors(scene: &Scene) -> Figures {
    let mut figures = Figures { runs: 1, ..Figures::default() };
    let mut world = scene.world.clone();
    world.record_crash_points();
    for point in restore(scene, world).points.into_iter().step_by(7) {
        let mut killed = point.world;
        killed.restart_process();
        killed.remember(false);
        figures.runs += 1;
        let ops = recover(scene, killed.clone()).world.ops();
        for op in 0..ops {
            for fault in [Fault::Error { kind: FsErrorKind::Io, sticky: false }, Fault::DoneButFailed(FsErrorKind::Io)]
            {
                figures.crash_points += 1;
                let mut world = killed.clone();
                world.strike(op, fault.clone());
                let first = recover(scene, world);
                let wrongs = after_strike(scene, &first, &mut figures);
                if !wrongs.is_empty() && figures.violations.len() < VIOLATIONS_MAX {
                    let path = vec![Crash::Kill { op: point.op }];
                    figures.violations.push(Violation { path, fault: Some((op, fault)), wrongs });
                }
            }
        }
    }
    figures
}

fn strike(scene: &Scene, op: u64, fault: &Fault, figures: &mut Figures) -> Wrongs {
    let mut world = scene.world.clone();
    world.strike(op, fault.clone());
    let first = restore(scene, world);
    after_strike(scene, &first, figures)
}

/// What an error left is an end, or a new process makes it one, before or after a reboot.
fn after_strike(scene: &Scene, first: &Left, figures: &mut Figures) -> Wrongs {
    let past = Past { faults: true, ..Past::default() };
    figures.runs += 1;
    let settled = match &first.ended {
        Ended::Reported(report) => report.outcome != Outcome::NeedsAttention,
        Ended::Failed(_) => first.world.journal_names().is_empty(),
        Ended::Nothing => true,
        Ended::Gone => false,
    };
    if settled {
        return oracle::check_ended(scene, &first.world, &first.ended, past);
    }
    let mut wrongs = oracle::check_crashed(scene, &first.world, &first.world);
    // A new process; and a machine that goes down, comes up, and then begins a new process.
    let mut killed = first.world.clone();
    killed.restart_process();
    let mut worlds = vec![(killed, past)];
    for script in [vec![0; 16], vec![1; 16]] {
        let mut cut = first.world.clone();
        cut.cut_power(&mut Chooser::scripted(script));
        let unpinned = oracle::leaves_app_alone(scene, &cut);
        cut.boot_up(&Boot::default());
        worlds.push((cut, Past { cut: true, unpinned, ..past }));
    }
    for (world, past) in worlds {
        let crashed = world.clone();
        let second = recover(scene, world);
        figures.runs += 1;
        if let Ended::Failed(error) = &second.ended {
            wrongs.push(format!("recovery failed: {error}"));
        }
        wrongs.extend(oracle::check_ended(scene, &second.world, &second.ended, past));
        wrongs.extend(oracle::check_direction(scene, &crashed, &second.ended, past));
    }
    wrongs
}
