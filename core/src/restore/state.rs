//! The replayed journal, and the law of which entry may follow which.
//!
//! | entry | may be written when |
//! |---|---|
//! | `Opened` | first, and only first |
//! | `Pinned` | undecided, once |
//! | `Committed` | undecided, after `Pinned` |
//! | `Switched` | forward, once |
//! | `Aborted` | undecided or forward, before `Captured` |
//! | `Reverted` | back from a commit, once |
//! | `Redeployed` | after `Switched`, or on the way back as soon as every volume is the original |
//! | `Captured` | forward, after `Redeployed` |
//! | `Closed` | after `Captured`, or on the way back once the app is back |

use jiff::Timestamp;

use super::{
    journal::{Body, Entry, Journal, JournalError, Record, Safety},
    plan::Plan,
};
use crate::{
    error::Code,
    model::{Identity, Pinned},
};

/// Which way a restore goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Nothing is decided: no live directory has been touched.
    Undecided,
    /// To the restored data.
    Forward,
    /// To the original.
    Back,
}

/// Why a restore was turned round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The error's code.
    pub code: Code,
    /// What happened.
    pub reason: String,
}

/// What the journal says so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What the restore is to do.
    pub plan: Plan,
    /// What ran before it was touched.
    pub pinned: Option<Vec<Pinned>>,
    /// The restored directories, once the decision has fallen.
    pub committed: Option<Vec<Identity>>,
    /// Whether every volume is restored.
    pub switched: bool,
    /// Why the restore was turned round, if it was.
    pub aborted: Option<Abort>,
    /// Whether every volume is the original again.
    pub reverted: bool,
    /// Whether the app was brought back (in the present direction), with what is wrong with it.
    pub redeployed: Option<Option<String>>,
    /// What became of the originals.
    pub captured: Option<Safety>,
    /// Whether nothing is left to do.
    pub closed: bool,
    /// The records, as written.
    pub records: Vec<Record>,
}

impl State {
    /// A restore that has just begun.
    #[must_use]
    pub fn opened(plan: Plan, at: Timestamp) -> Self {
        let entry = Entry::Opened { plan: Box::new(plan.clone()) };
        State {
            plan,
            pinned: None,
            committed: None,
            switched: false,
            aborted: None,
            reverted: false,
            redeployed: None,
            captured: None,
            closed: false,
            records: vec![Record { at, entry }],
        }
    }

    /// Follows a journal from its first entry.
    pub fn replay(records: &[Record]) -> Result<Self, JournalError> {
        let Some((Record { at, entry: Entry::Opened { plan } }, rest)) = records.split_first() else {
            return Err(JournalError::Illegal("it does not begin with `opened`".into()));
        };
        let mut state = State::opened((**plan).clone(), *at);
        for record in rest {
            state.append(record.clone())?;
        }
        Ok(state)
    }

    /// The journal that says this.
    #[must_use]
    pub fn journal(&self) -> Journal {
        Journal { body: Body::Restore(self.records.clone()) }
    }

    /// Which way it goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match (&self.aborted, &self.committed) {
            (Some(_), _) => Direction::Back,
            (None, Some(_)) => Direction::Forward,
            (None, None) => Direction::Undecided,
        }
    }

    /// Whether a recovery goes on with it: that was asked for, and nothing of the app has been touched yet. From
    /// `Pinned` on the app may be down, and the short way back is the right one.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.plan.options.resume && self.direction() == Direction::Undecided && self.pinned.is_none()
    }

    /// Whether every live directory is where this direction wants it, by what the journal says.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.direction() {
            Direction::Undecided => false,
            Direction::Forward => self.switched,
            Direction::Back => self.reverted || self.committed.is_none(),
        }
    }

    /// Whether the safety of the originals allows their bytes to go.
    #[must_use]
    pub fn may_forget_originals(&self) -> bool {
        match &self.captured {
            Some(Safety::Taken | Safety::NotWanted) => true,
            Some(Safety::Kept { .. }) | None => false,
        }
    }

    /// Takes an entry in, if the law allows it here.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        let name = record.entry.name();
        let direction = self.direction();
        let legal = !self.closed
            && match &record.entry {
                Entry::Opened { .. } => false,
                Entry::Pinned { .. } => direction == Direction::Undecided && self.pinned.is_none(),
                Entry::Committed { restored } => {
                    direction == Direction::Undecided
                        && self.pinned.is_some()
                        && restored.len() == self.plan.volumes.len()
                }
                Entry::Switched => direction == Direction::Forward && !self.switched,
                Entry::Aborted { .. } => direction != Direction::Back && self.captured.is_none(),
                Entry::Reverted => direction == Direction::Back && self.committed.is_some() && !self.reverted,
                Entry::Redeployed { .. } => self.is_settled() && self.redeployed.is_none(),
                Entry::Captured { .. } => {
                    direction == Direction::Forward && self.redeployed.is_some() && self.captured.is_none()
                }
                Entry::Closed => match direction {
                    Direction::Undecided => false,
                    Direction::Forward => self.captured.is_some(),
                    Direction::Back => self.is_settled() && (self.pinned.is_none() || self.redeployed.is_some()),
                },
            };
        if !legal {
            let before = self.records.last().map_or("nothing", |r| r.entry.name());
            return Err(JournalError::Illegal(format!("`{name}` cannot follow `{before}`")));
        }
        match record.entry.clone() {
            Entry::Opened { .. } => {}
            Entry::Pinned { containers } => self.pinned = Some(containers),
            Entry::Committed { restored } => self.committed = Some(restored),
            Entry::Switched => self.switched = true,
            Entry::Aborted { code, reason } => {
                self.aborted = Some(Abort { code, reason });
                self.redeployed = None;
            }
            Entry::Reverted => self.reverted = true,
            Entry::Redeployed { problem } => self.redeployed = Some(problem),
            Entry::Captured { safety } => self.captured = Some(safety),
            Entry::Closed => self.closed = true,
        }
        self.records.push(record);
        Ok(())
    }

    /// When the first entry that matches was written.
    #[must_use]
    pub fn time_of(&self, matches: impl Fn(&Entry) -> bool) -> Option<Timestamp> {
        self.records.iter().find(|r| matches(&r.entry)).map(|r| r.at)
    }

    /// In a word, how far it has come; for `status`.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        self.records.last().map_or("opened", |r| r.entry.name())
    }
}
