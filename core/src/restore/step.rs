//! What there is to do: decisions to write down and steps to perform.

use super::{anomaly::Anomaly, journal::Entry, switch::Rename};
use crate::model::{Container, ContainerId};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Write a decision down, durably.
    Record(Entry),
    /// Change something, then look again.
    Perform(Step),
    /// The restore has ended; the journal can go.
    Finished,
    /// Everything is done but for the app, which did not come back: the journal stays, so that somebody knows what ran.
    AppDown,
    /// Nothing can be decided safely: stop here, delete nothing, keep the journal.
    NeedsAttention(Anomaly),
}

/// Something to be done through the ports. Each may be done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Extract a volume beside its live directory, checked and durable.
    Stage {
        /// Its place in the plan.
        volume: usize,
    },
    /// Make the replacements of running containers, without starting them.
    Prepare {
        /// The containers to be replaced.
        containers: Vec<Container>,
    },
    /// Switch restart policies off, durably.
    Fence {
        /// Whose.
        containers: Vec<ContainerId>,
    },
    /// Keep the attributes of a live directory that is switched by entry, as they are now that the app is stopped.
    KeepAttributes {
        /// Whose.
        volume: usize,
    },
    /// Stop containers and see them stopped.
    Stop {
        /// Which, in stopping order.
        containers: Vec<ContainerId>,
    },
    /// Change names: one rename for each volume that is not yet where it should be.
    Switch {
        /// Volume and rename.
        renames: Vec<(usize, Rename)>,
    },
    /// Bring the app back and wait for its health.
    Redeploy,
    /// Archive the set-aside originals.
    Capture,
    /// Remove a private directory.
    Discard {
        /// Whose.
        volume: usize,
    },
    /// Put a tree that an earlier restore had kept back where it was kept.
    GiveBack {
        /// Whose.
        volume: usize,
    },
    /// Remove the private directory of the earlier restore, whose tree is live by now.
    DiscardKept {
        /// Whose.
        volume: usize,
    },
    /// Remove containers under names of this restore.
    DiscardContainers,
}

impl Step {
    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Step::Stage { .. } => "stage",
            Step::Prepare { .. } => "prepare",
            Step::Fence { .. } => "fence",
            Step::KeepAttributes { .. } => "keep attributes",
            Step::Stop { .. } => "stop",
            Step::Switch { .. } => "switch",
            Step::Redeploy => "redeploy",
            Step::Capture => "capture",
            Step::Discard { .. } => "discard",
            Step::GiveBack { .. } => "give back",
            Step::DiscardKept { .. } => "discard kept",
            Step::DiscardContainers => "discard containers",
        }
    }
}
