//! The replayed journal, and the law of which entry may follow which.
//!
//! | entry | may be written when |
//! |---|---|
//! | `Opened` | first, and only first |
//! | `Pinned` | undecided, once |
//! | `Committed` | undecided, after `Pinned` |
//! | `Switched` | forward, once |
//! | `Named` | after `Committed`, before the volumes are where they should be, once |
//! | `Aborted` | undecided or forward, before `Captured` |
//! | `Reverted` | back from a commit, once |
//! | `Redeployed` | after `Switched`, or on the way back as soon as every volume is the original; again while it names a problem |
//! | `Captured` | forward, after `Redeployed` |
//! | `Closed` | after `Captured`, or on the way back once the app is back |
//! | `Reopened` | after `Closed`, if `Captured` says that the originals are kept |

use jiff::Timestamp;

use super::{
    journal::{Body, Entry, Journal, JournalError, Record, Reopening, Safety},
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
    /// Whether directories that are not recognised are what their names say.
    pub named: bool,
    /// Why the restore was turned round, if it was.
    pub aborted: Option<Abort>,
    /// Whether every volume is the original again.
    pub reverted: bool,
    /// Whether the app was brought back (in the present direction), with what is wrong with it.
    pub redeployed: Option<Option<String>>,
    /// Whether an app that did not come back is tried once more. Only a recovery that is under way knows: what comes of it
    /// is written down.
    pub again: bool,
    /// What became of the originals.
    pub captured: Option<Safety>,
    /// What is done about originals that were kept when the restore was closed.
    pub reopened: Option<Reopening>,
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
            named: false,
            aborted: None,
            reverted: false,
            redeployed: None,
            again: false,
            captured: None,
            reopened: None,
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

    /// What has to be brought back: what ran before this restore touched it, or what an operation before it left down.
    #[must_use]
    pub fn owed(&self) -> &[Pinned] {
        self.pinned.as_deref().unwrap_or(&self.plan.down)
    }

    /// Whether the app is to be brought back now.
    #[must_use]
    pub fn redeploys(&self) -> bool {
        let owes = self.pinned.is_some() || !self.plan.down.is_empty();
        self.is_settled() && owes && !self.closed && (self.redeployed.is_none() || self.again)
    }

    /// Why the app is not as it was, if it did not come back.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.redeployed.as_ref()?.as_deref()
    }

    /// Has an app that did not come back tried once more.
    pub fn try_again(&mut self) {
        self.again = self.problem().is_some() && self.is_settled() && !self.closed && self.reopened.is_none();
    }

    /// Whether nothing is left to do but to bring back the app, which was tried and failed.
    #[must_use]
    pub fn waits_for_the_app(&self) -> bool {
        let settled = match self.direction() {
            Direction::Undecided => false,
            Direction::Forward => self.captured.is_some(),
            Direction::Back => self.is_settled(),
        };
        settled && self.problem().is_some() && !self.closed && self.reopened.is_none()
    }

    /// Whether the safety of the originals allows their bytes to go.
    #[must_use]
    pub fn may_forget_originals(&self) -> bool {
        match &self.captured {
            Some(Safety::Taken | Safety::NotWanted) => true,
            Some(Safety::Kept { .. }) | None => false,
        }
    }

    /// The container engine that has a part in what is left to be done.
    #[must_use]
    pub fn runtime(&self) -> Option<&str> {
        self.plan.runtime.as_deref().filter(|_| self.reopened.is_none())
    }

    /// Whether it kept its originals where they were set aside.
    #[must_use]
    pub fn keeps_originals(&self) -> bool {
        matches!(self.captured, Some(Safety::Kept { .. }))
    }

    /// Takes an entry in, if the law allows it here.
    pub fn append(&mut self, record: Record) -> Result<(), JournalError> {
        let name = record.entry.name();
        let direction = self.direction();
        let is_over = matches!(record.entry, Entry::Reopened { .. });
        let legal = self.closed == is_over
            && match &record.entry {
                Entry::Opened { .. } => false,
                Entry::Pinned { .. } => direction == Direction::Undecided && self.pinned.is_none(),
                Entry::Committed { restored } => {
                    direction == Direction::Undecided
                        && self.pinned.is_some()
                        && restored.len() == self.plan.volumes.len()
                }
                Entry::Switched => direction == Direction::Forward && !self.switched,
                Entry::Named => self.committed.is_some() && !self.is_settled() && !self.named,
                // Said once, or a journal could grow for ever.
                Entry::ParentsTaken { parents } => {
                    parents.len() == self.plan.volumes.len()
                        && parents.iter().zip(&self.plan.volumes).any(|(taken, volume)| *taken != volume.parent)
                }
                Entry::Aborted { .. } => {
                    direction != Direction::Back && self.captured.is_none() && self.reopened.is_none()
                }
                Entry::Reopened { .. } => direction == Direction::Forward && self.keeps_originals(),
                Entry::Reverted => direction == Direction::Back && self.committed.is_some() && !self.reverted,
                Entry::Redeployed { .. } => self.is_settled() && self.redeployed != Some(None),
                Entry::Captured { .. } => {
                    direction == Direction::Forward && self.redeployed.is_some() && self.captured.is_none()
                }
                Entry::Closed => match direction {
                    Direction::Undecided => false,
                    Direction::Forward => self.captured.is_some(),
                    Direction::Back => self.is_settled() && (self.owed().is_empty() || self.redeployed.is_some()),
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
            Entry::Named => self.named = true,
            Entry::ParentsTaken { parents } => {
                for (volume, parent) in self.plan.volumes.iter_mut().zip(parents) {
                    volume.parent = parent;
                }
            }
            Entry::Aborted { code, reason } => {
                self.aborted = Some(Abort { code, reason });
                self.redeployed = None;
                self.again = false;
            }
            Entry::Reverted => self.reverted = true,
            Entry::Redeployed { problem } => {
                self.again = false;
                let fails_again = problem.is_some() && self.problem().is_some();
                self.redeployed = Some(problem);
                // However often it is tried, a journal does not grow by it.
                if fails_again && let Some(last) = self.last_redeployed() {
                    last.entry = record.entry;
                    return Ok(());
                }
            }
            Entry::Captured { safety } => self.captured = Some(safety),
            Entry::Closed => self.closed = true,
            Entry::Reopened { to } => {
                self.closed = false;
                match to {
                    Reopening::Archive { safety } => (self.plan.safety, self.captured) = (safety, None),
                    Reopening::Discard { .. } => self.captured = Some(Safety::NotWanted),
                }
                self.reopened = Some(to);
            }
        }
        self.records.push(record);
        Ok(())
    }

    fn last_redeployed(&mut self) -> Option<&mut Record> {
        self.records.iter_mut().rfind(|record| matches!(record.entry, Entry::Redeployed { .. }))
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
