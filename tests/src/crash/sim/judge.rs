//! What a crash does to a machine, what has to be true after it, and the same once more from a list of crashes.

use volsnap_sim::{Boot, Chooser, Cut, Cuts, Event, Fault, Mutant, World};

use super::{Crash, Happening, Violation, boots};
use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, Left, recover, restore},
    worlds::Scene,
};

impl Happening {
    /// As the simulator knows it.
    #[must_use]
    pub fn event(self) -> Event {
        match self {
            Happening::Writeback => Event::Writeback,
            Happening::WritebackOf(disk) => Event::WritebackOf(disk),
            Happening::AppsWrite => Event::Tick,
            Happening::AppsWork => Event::Work,
            Happening::ClockJumps(seconds) => Event::ClockJump(seconds),
        }
    }
}

/// The next process finds it so after a kill.
pub(super) fn killed(point: &World) -> World {
    let mut world = point.clone();
    world.restart_process();
    world
}

/// The next process finds it so after a power cut: the engine has revived containers, and they write.
pub(super) fn booted(mut lost: World) -> World {
    lost.boot_up(&Boot::default());
    lost.tick();
    lost
}

/// What a power cut that left this world changes in what may be expected.
pub(super) fn past_of_cut(scene: &Scene, world: &World, past: Past) -> Past {
    Past { cut: true, unpinned: past.unpinned || oracle::leaves_app_alone(scene, world), ..past }
}

pub(super) fn outcome(ended: &Ended) -> String {
    match ended {
        Ended::Reported(report) => format!("{:?}", report.outcome),
        Ended::Nothing => "nothing to do".into(),
        Ended::Failed(error) => format!("failed ({})", error.code),
        Ended::Gone => "gone".into(),
    }
}

/// Checks what a process left that came to its end, and that a power cut just after it takes nothing back.
pub(super) fn check_end(
    scene: &Scene,
    left: &Left,
    past: Past,
    cuts: impl FnOnce(&World, &mut dyn FnMut(&Cut<'_>)),
) -> Wrongs {
    let mut wrongs = oracle::check_ended(scene, &left.world, &left.ended, past);
    if wrongs.is_empty() {
        cuts(&left.world, &mut |cut| {
            let mut after = cut.world();
            after.boot_up(&Boot::default());
            wrongs.extend(oracle::check_after_end(scene, &after, &left.ended, past));
        });
    }
    wrongs
}

/// Lets befall a fresh machine what befell another one, and says what is wrong at the end of it, with every operation
/// of every process in words.
#[must_use]
pub(super) fn replay(scene: &Scene, mutant: Option<&Mutant>, violation: &Violation) -> (Wrongs, Vec<String>) {
    let mut world = scene.world.clone();
    world.set_mutant(mutant.cloned());
    world.remember(true);
    let mut past = Past::default();
    let mut wrongs = Wrongs::new();
    let mut run: fn(&Scene, World) -> Left = restore;
    for crash in &violation.path {
        let op = match crash {
            Crash::ByItself { op, what } => {
                world.strike(*op, Fault::Event(what.event()));
                continue;
            }
            Crash::Kill { op } | Crash::Cut { op, .. } | Crash::SlowBoot { op, .. } => *op,
        };
        world.strike(op, Fault::Kill);
        let before = run(scene, world).world;
        run = recover;
        world = match crash {
            Crash::ByItself { .. } | Crash::Kill { .. } => killed(&before),
            Crash::Cut { script, .. } => {
                let mut lost = before.clone();
                lost.cut_power(&mut Chooser::scripted(script.clone()));
                let world = booted(lost);
                past = past_of_cut(scene, &world, past);
                world
            }
            Crash::SlowBoot { script, boot, .. } => {
                let mut lost = before.clone();
                lost.cut_power(&mut Chooser::scripted(script.clone()));
                let (wrongs, left) = boots::boot_slowly(scene, lost, *boot, past);
                return (wrongs, ending(&left));
            }
        };
        wrongs = oracle::check_crashed(scene, &before, &world);
    }
    let crashed = world.clone();
    if let Some((op, fault)) = violation.fault.clone() {
        world.strike(op, fault);
    }
    let left = run(scene, world);
    if violation.fault.is_none() {
        wrongs.extend(oracle::check_direction(scene, &crashed, &left.ended, past));
        wrongs.extend(check_end(scene, &left, past, |world, visit| Cuts::default().every(world, visit)));
    }
    (wrongs, ending(&left))
}

fn ending(left: &Left) -> Vec<String> {
    let mut story = left.world.story().to_vec();
    story.push(format!("ended: {:?}", left.ended));
    story
}
