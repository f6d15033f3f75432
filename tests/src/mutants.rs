//! Who tests the harness: every mutant by name, what it breaks, and how it is realised.
//!
//! One for each barrier and for each rule of the restore's flow. A tier of crash tests that realises a mutant must catch
//! it; one that cannot be caught, because another rule covers it, is explained in words.

mod decisions;
mod list;

use volsnap_core::restore::{
    Facts, Move, State, Step,
    judge::{Failure, Verdict},
};
use volsnap_sim::Mutant as Lie;

pub use list::{all, broken_by};

/// A mutant.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Its name, the same in all tiers.
    pub name: &'static str,
    /// The barrier or the rule that it takes away.
    pub breaks: &'static str,
    /// How it is realised in the simulator.
    pub how: How,
    /// Where it shows first.
    pub trial: Trial,
    /// Why it cannot be caught, if it cannot.
    pub equivalent: Option<&'static str>,
}

/// How a mutant is realised in the simulator.
#[derive(Clone, Debug)]
pub enum How {
    /// By a port that lies.
    Port(Lie),
    /// By another decision.
    Decision(fn(&State, &Facts) -> Move),
    /// By another judgement of a step that failed.
    Judgement(fn(&State, &Step, &Failure, u32) -> Verdict),
    /// By another judgement of a survey that failed.
    SurveyJudgement(fn(&State, &Failure, u32) -> Verdict),
    /// By a port that lies and a decision that relies on it.
    Both(Lie, fn(&State, &Facts) -> Move),
}

/// The part of the simulator's tier that a mutant meets, in one of its small worlds by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Every crash of a restore, and of so many recoveries less one.
    Crashes(usize, usize),
    /// Every error of a restore.
    Errors(usize),
    /// Every disturbance of a restore.
    Disturbances(usize),
    /// Machines that come up slowly.
    SlowBoots(usize),
    /// Bits that turn.
    Flips(usize),
    /// Two processes at the same time.
    Together(usize),
    /// A restore on a filesystem whose directories get other identities when they are renamed.
    OtherIdentities(usize),
    /// What is to be refused.
    Refusals,
    /// Every crash of what is done about kept originals, by its index among those.
    Kept(usize),
    /// Every crash of a snapshot, by its index among those, with an app that works at every instant.
    Snapshots(usize),
}
