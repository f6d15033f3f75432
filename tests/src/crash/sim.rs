//! Crashes of whole restores on simulated machines: a stateless model checker.
//!
//! One run of the engine yields the world before each of its changes. Each of these worlds is crashed in every way: the
//! process is killed, or the power goes with every legal subset of what was not synced. Small worlds are explored to
//! their end (`explorer`), larger ones are drawn from a seed (`seeded`), and what is wrong is shrunk to the smallest
//! world in which it still is (`shrink`) and written down as a story (`story`).
//!
//! A **state** is a machine as its next process finds it: one crash point and what one way of losing left of it. It
//! counts when the oracle has looked at it and a recovery has run on it to its end, or has done both on an equal world,
//! by complete fingerprint; **different worlds** are those on which they really ran.

mod boots;
mod explorer;
pub mod faults;
mod judge;
pub mod kept;
mod mutants;
mod random;
mod seeded;
mod shrink;
pub mod snapshots;
mod story;
mod tier;

use std::{collections::BTreeMap, fmt};

use volsnap_sim::{Fault, Mutant};

pub use explorer::Explorer;
pub use mutants::meet;
pub use random::at_random;
pub use seeded::{any_spec, seeded};
pub use shrink::shrink;
pub use story::Story;
pub use tier::{Amount, Tier, run, slow_boots};

use crate::{oracle::Wrongs, worlds::Scene};

/// What befalls a machine: something that happens by itself in a process, or what ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Something happens by itself before that operation of the process that the next crash ends, or of the last one.
    ByItself {
        /// The operation.
        op: u64,
        /// What.
        what: Happening,
    },
    /// The process was killed before that operation.
    Kill {
        /// The operation.
        op: u64,
    },
    /// The power went before that operation.
    Cut {
        /// The operation.
        op: u64,
        /// What was lost, by choices.
        script: Vec<usize>,
    },
    /// The power went before that operation, and the machine was not ready for the first recovery.
    SlowBoot {
        /// The operation.
        op: u64,
        /// What was lost, by choices.
        script: Vec<usize>,
        /// What was missing at first.
        boot: Slow,
    },
}

impl Crash {
    /// Whether it ends a process.
    #[must_use]
    pub fn ends(&self) -> bool {
        match self {
            Crash::ByItself { .. } => false,
            Crash::Kill { .. } | Crash::Cut { .. } | Crash::SlowBoot { .. } => true,
        }
    }
}

/// What happens without anybody's doing, and has to change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The kernel writes everything back.
    Writeback,
    /// The kernel writes one disk back, by index.
    WritebackOf(usize),
    /// Every running app writes a file into each of its directories.
    AppsWrite,
    /// Every running app works in each of its directories: it writes over files, replaces, removes and makes some.
    AppsWork,
    /// Somebody sets the clock, by so many seconds.
    ClockJumps(i64),
}

/// What is not ready when a machine comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slow {
    /// The filesystems of the volumes are not mounted.
    Unmounted,
    /// Neither are they, nor does the container engine run.
    UnmountedAndEngineDown,
    /// They are read-only, and the container engine does not run.
    ReadOnlyAndEngineDown,
    /// Only the container engine does not run.
    EngineDown,
}

/// A violation, with what befell the machine on the way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The crashes, one for each process, beginning with the restore's.
    pub path: Vec<Crash>,
    /// The fault that struck the process after the last crash, if one did.
    pub fault: Option<(u64, Fault)>,
    /// What is wrong.
    pub wrongs: Wrongs,
}

/// What an exploration did.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Engine runs.
    pub runs: u64,
    /// Operations at which a process was crashed.
    pub crash_points: u64,
    /// Crashed worlds: for each crash point those that the kill and all power cuts leave.
    pub crashes: u64,
    /// Those of them in which the crashed process was a recovery.
    pub in_recoveries: u64,
    /// Different crashed worlds.
    pub states: u64,
    /// How many recoveries were crashed one after another.
    pub deepest: usize,
    /// How recoveries ended.
    pub outcomes: BTreeMap<String, u64>,
    /// Of everything that was met, in order.
    pub fingerprint: u64,
    /// What is wrong; not more than a few.
    pub violations: Vec<Violation>,
}

/// No more than so many violations are collected.
const VIOLATIONS_MAX: usize = 3;

impl Figures {
    /// Adds what another exploration did.
    pub fn add(&mut self, other: Figures) {
        self.runs += other.runs;
        self.crash_points += other.crash_points;
        self.crashes += other.crashes;
        self.in_recoveries += other.in_recoveries;
        self.states += other.states;
        self.deepest = self.deepest.max(other.deepest);
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.meet(other.fingerprint);
        self.violations.extend(other.violations);
    }

    fn meet(&mut self, what: u64) {
        self.fingerprint = volsnap_sim::fingerprint(&(self.fingerprint, what));
    }

    fn complain(&mut self, path: &[Crash], wrongs: Wrongs) {
        if !wrongs.is_empty() && self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { path: path.to_vec(), fault: None, wrongs });
        }
    }
}

/// Explores every crash of a restore and, up to `depth` processes deep, of its recoveries.
#[must_use]
pub fn crashes(scene: &Scene, mutant: Option<&Mutant>, depth: usize) -> Figures {
    Explorer::new(scene, mutant).every(depth)
}

/// The story of a violation: every operation of every process on its way, in words.
#[must_use]
pub fn story(scene: &Scene, mutant: Option<&Mutant>, violation: &Violation) -> Vec<String> {
    judge::replay(scene, mutant, violation).1
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { runs, crash_points, crashes, states, outcomes, violations, .. } = self;
        write!(f, "{crash_points} crash points, {crashes} crashes, {states} different worlds, {runs} engine runs, ")?;
        write!(f, "{} violations; {outcomes:?}", violations.len())
    }
}
