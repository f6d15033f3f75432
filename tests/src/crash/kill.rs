//! The kill tier: the real binary on real directories, killed before, and failed at, every system call that changes or
//! syncs something, of a restore and of the recoveries after it.
//!
//! A killed process loses nothing that it wrote, so a sync that is missing does not show here. What does: a state in
//! which a process may die and from which the next one finds no way, and an answer that is not true after an error.

pub mod calls;
pub mod freeze;
pub mod judge;
pub mod scene;
pub mod tracer;

mod engine;
mod jobs;
mod mutants;

pub use jobs::{Figures, tier};
pub use mutants::{mutants, names_that_did_not_change};

use std::path::Path;

use nix::errno::Errno;

use self::{
    judge::{Before, Side, Wrongs},
    scene::{Scene, Seen, Shape},
    tracer::{Fault, Traced, Tracer, Use},
};

/// A world, and what runs commands in it.
pub struct Bench {
    /// The world.
    pub scene: Scene,
    tracer: Tracer,
}

/// Faults one after the other: the first in a restore, the others in the recoveries that follow it, each at the use of a
/// changing or syncing system call with that number.
pub type Chain = Vec<(usize, Fault)>;

/// How a chain went.
#[derive(Debug, Default)]
pub struct Run {
    /// The uses at which the faults struck; fewer than the chain is long if a command did not get that far.
    pub struck: Vec<(Use, Fault)>,
    /// Which of the two the workload is in the end.
    pub side: Option<Side>,
    /// Whether one of the commands had a warning.
    pub warned: bool,
    /// What is wrong.
    pub wrongs: Wrongs,
}

impl Bench {
    /// Builds a world; `None` (with the reason printed) where the machine cannot have it. `launcher` is the binary
    /// `volsnap-stopped`.
    ///
    /// # Panics
    /// Where it would skip and the environment says `CI=true`.
    pub fn build(shape: Shape, launcher: &Path) -> Option<Bench> {
        let scene = Scene::build(shape)?;
        let tracer = Tracer::new(launcher, scene.roots(), scene.scratch());
        if let Err(why) = tracer.probe() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "the kill tier needs ptrace: {why}");
            println!("skipped the kill tier's world `{}`: no ptrace: {why}", shape.name);
            return None;
        }
        Some(Bench { scene, tracer })
    }

    /// A restore from the beginning, with something done to some of its uses. Returns also what it began with.
    pub fn restore(&self, fault: impl FnMut(usize, &Use) -> Option<Fault>) -> (Before<'_>, Traced) {
        let before = Before { scene: &self.scene, original: self.scene.reset(), root_time_lost: false };
        let traced = self.tracer.run(&self.scene.restore(), fault);
        (before, traced)
    }

    /// A recovery, with something done to some of its uses.
    pub fn recover(&self, fault: impl FnMut(usize, &Use) -> Option<Fault>) -> Traced {
        self.tracer.run(&self.scene.recover(), fault)
    }

    /// Runs a chain of faults and the recovery that ends it.
    pub fn chain(&self, chain: &Chain, undo: bool) -> Run {
        let mut run = Run::default();
        let Some(((first, fault), rest)) = chain.split_first() else { return run };
        let (mut before, traced) = self.restore(|n, _| (n == *first).then_some(*fault));
        let mut seen = self.scene.see();
        let mut open = judge(&mut before, &traced, &seen, (*first, *fault), None, &mut run);
        for (nth, fault) in rest {
            if !open || run.wrongs.len() > 3 {
                break;
            }
            let traced = self.recover(|n, _| (n == *nth).then_some(*fault));
            let earlier = std::mem::replace(&mut seen, self.scene.see());
            open = judge(&mut before, &traced, &seen, (*nth, *fault), Some(&earlier), &mut run);
        }
        if open {
            let traced = self.recover(|_, _| None);
            let earlier = std::mem::replace(&mut seen, self.scene.see());
            run.wrongs.extend(ended(&before, &traced, &seen, &earlier));
            run.warned |= has_warnings(&traced);
        }
        run.side = before.side(&seen.live);
        // A safety snapshot that is not in the catalog was told.
        if undo && run.wrongs.is_empty() && run.side == Some(Side::Restored) && !run.warned {
            run.wrongs.extend(self.undo(&before));
        }
        run
    }

    /// Back to the originals, which the safety snapshot has. A volume that was not there comes back empty, with a word
    /// about it.
    fn undo(&self, before: &Before<'_>) -> Wrongs {
        let undone = self.scene.cli.run(&["undo", "shop"]);
        let live = self.scene.see().live;
        let is_empty = |index: usize| live[index].as_ref().is_some_and(|tree| tree.len() == 1);
        let is_back = match self.scene.shape.missing {
            false => undone.status == Some(0) && before.side(&live) == Some(Side::Original),
            true => undone.status == Some(5) && live[0] == before.original[0] && is_empty(1),
        };
        if is_back { Wrongs::new() } else { vec![format!("undo does not bring the originals back: {undone:?}")] }
    }
}

/// Judges a command at which a fault struck, `earlier` being what was there before a recovery, and says whether a recovery
/// has to follow.
fn judge(
    before: &mut Before<'_>,
    traced: &Traced,
    seen: &Seen,
    (nth, fault): (usize, Fault),
    earlier: Option<&Seen>,
    run: &mut Run,
) -> bool {
    run.wrongs.extend(odd(traced));
    run.warned |= has_warnings(traced);
    if let Some(one) = traced.uses.get(nth - 1) {
        before.root_time_lost |= one.call == "utimensat" && !one.what.contains("/partial");
        run.struck.push((one.clone(), fault));
    }
    let killed = fault == Fault::Kill && traced.uses.len() >= nth;
    run.wrongs.extend(match (killed, earlier) {
        (true, _) => before.always(seen),
        (false, None) => before.restored(traced, seen),
        (false, Some(earlier)) => before.recovered(traced, seen, earlier),
    });
    killed || seen.journal
}

/// The last recovery, which nothing disturbs: it has to end everything.
fn ended(before: &Before<'_>, traced: &Traced, seen: &Seen, earlier: &Seen) -> Wrongs {
    let mut wrongs = odd(traced);
    wrongs.extend(before.recovered(traced, seen, earlier));
    let (document, _) = judge::document(traced);
    wrongs.extend(before.clean(seen, document["recovered"].get(0)));
    if before.side(&seen.live).is_none() || !matches!(traced.status, Some(0 | 5)) {
        wrongs.push(format!("recovery does not end it: {:?} {}", traced.status, traced.stdout));
    }
    wrongs
}

fn has_warnings(traced: &Traced) -> bool {
    traced.stdout.contains("\"warnings\":[\"")
}

/// What must never be: a system call that the tier does not know, a change outside the world.
fn odd(traced: &Traced) -> Wrongs {
    let mut wrongs = Wrongs::new();
    if !traced.unknown.is_empty() {
        wrongs.push(format!("system calls that the tier does not know: {:?}", traced.unknown));
    }
    if !traced.outside.is_empty() {
        wrongs.push(format!("changes outside: {:?}", traced.outside));
    }
    wrongs
}

/// The three faults of the tier.
pub const FAULTS: [Fault; 3] = [Fault::Kill, Fault::Fail(Errno::EIO), Fault::Fail(Errno::ENOSPC)];
