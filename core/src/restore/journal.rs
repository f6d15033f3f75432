//! The journal: decisions, one after another, in a file that is whole or not at all.
//!
//! ```text
//! {"format":1,"checksum":"<BLAKE3 of the body's bytes, hexadecimal>","body":{…}}
//! ```
//!
//! The body is one line of JSON; white space may follow the document (the file is kept at a fixed size). A journal that
//! cannot be read is never skipped and never deleted: it blocks its workload until a person has looked.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::plan::{Plan, is_live_shape};
use crate::{
    error::{Code, Error},
    model::{Identity, Mode, Pinned, SnapshotId, Workload},
};

/// The newest version; this code reads it and all before it.
///
/// Fields and entries may be added without a new version, as long as a journal that does not have them means what it meant:
/// a reader that does not know them sees by the checksum that the journal is whole, so it was a newer volsnap that wrote it,
/// and nothing is touched ([`JournalError::Unknown`]). A new version is for what an older one would read otherwise than it
/// is meant. A reader of version 1 knows no engine ids, no particulars of containers and no redeployment of the snapshot's image; one of version
/// 2 does not know what becomes of kept originals. Written is the oldest version that can say it.
pub const FORMAT: u32 = 3;
/// The version of journals that say nothing of kept originals.
const FORMAT_PLAIN: u32 = 2;

/// What became of the originals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Safety {
    /// They are archived as the pre-restore snapshot; the set-aside directories may go.
    Taken,
    /// There were none, or the user wanted no safety snapshot; the set-aside directories may go.
    NotWanted,
    /// They could not be archived: the set-aside directories stay where they are.
    Kept {
        /// Why not.
        reason: String,
    },
}

/// What is done about originals that a closed restore kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reopening {
    /// They are archived after all, under this id; only then do the set-aside directories go.
    ///
    /// The id is new each time: what an earlier attempt left under its own may never have reached the disk.
    Archive {
        /// The pre-restore snapshot to be.
        safety: SnapshotId,
    },
    /// A person gave them up: the set-aside directories go.
    Discard {
        /// The audit event's id.
        event: Uuid,
    },
}

/// One durable decision, or a fact that only memory would hold otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// The restore has begun. From here on nothing that it makes is without an owner.
    Opened {
        /// What it is going to do.
        plan: Box<Plan>,
    },
    /// What ran, before it is touched.
    Pinned {
        /// The containers as they were.
        containers: Vec<Pinned>,
    },
    /// **The decision.** Before it everything goes back, after it everything goes forward.
    Committed {
        /// The restored directories, in the plan's order: how recovery recognises them.
        restored: Vec<Identity>,
    },
    /// Every volume is restored, durably; the app may start.
    Switched,
    /// A person said that the names in the private directories tell which directory is which, on a filesystem that gives
    /// directories other identities when they are renamed.
    Named,
    /// A person said that the directories above the live ones are the right ones, although they are others by now than
    /// those in which the restore began.
    ParentsTaken {
        /// What they are, in the plan's order.
        parents: Vec<Identity>,
    },
    /// The decision is turned round as a whole.
    Aborted {
        /// The error's code.
        code: Code,
        /// What happened.
        reason: String,
    },
    /// Every volume is as it was, durably; the app may start.
    Reverted,
    /// The app was brought back, or could not be.
    Redeployed {
        /// What is wrong with it, if something is.
        problem: Option<String>,
    },
    /// What became of the originals. Only now may any of their bytes go.
    Captured {
        /// The pre-restore snapshot, or why there is none.
        safety: Safety,
    },
    /// Nothing is left to do but to forget.
    Closed,
    /// The restore is over, and it kept its originals; now something is done about them.
    Reopened {
        /// What.
        to: Reopening,
    },
}

impl Entry {
    /// Its name, for people and for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Entry::Opened { .. } => "opened",
            Entry::Pinned { .. } => "pinned",
            Entry::Committed { .. } => "committed",
            Entry::Switched => "switched",
            Entry::Named => "named",
            Entry::ParentsTaken { .. } => "parents-taken",
            Entry::Aborted { .. } => "aborted",
            Entry::Reverted => "reverted",
            Entry::Redeployed { .. } => "redeployed",
            Entry::Captured { .. } => "captured",
            Entry::Closed => "closed",
            Entry::Reopened { .. } => "reopened",
        }
    }
}

/// An entry with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When it was written; for reports only.
    pub at: Timestamp,
    /// What it says.
    pub entry: Entry,
}

/// A snapshot under way: what has to be set right if it is interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiesced {
    /// The workload as it is registered.
    pub workload: Workload,
    /// The machine.
    pub host: String,
    /// The container engine that has the containers ([`EngineInfo::id`](crate::ports::EngineInfo)); another one is not
    /// asked in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// What is done to the app.
    pub mode: Mode,
    /// The containers that were active, as they were.
    pub containers: Vec<Pinned>,
    /// Containers that this snapshot, or an operation before it, could not bring back, as they were found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<Pinned>,
    /// Why they are down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Quiesced {
    /// Whether it stands only for containers that could not be started: the snapshot itself has ended.
    #[must_use]
    pub fn waits_for_the_app(&self) -> bool {
        self.containers.is_empty() && !self.down.is_empty() && self.workload.hooks.is_empty()
    }
}

/// What a journal is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A restore, by its decisions.
    Restore(Vec<Record>),
    /// A snapshot for which the app was frozen or stopped.
    Snapshot(Box<Quiesced>),
}

impl Body {
    /// The version in which it is written.
    fn format(&self) -> u32 {
        let is_new = |record: &Record| match &record.entry {
            Entry::Opened { plan } => plan.kept.is_some() || plan.record.is_some(),
            Entry::Reopened { .. } | Entry::ParentsTaken { .. } => true,
            Entry::Pinned { .. }
            | Entry::Committed { .. }
            | Entry::Switched
            | Entry::Named
            | Entry::Aborted { .. }
            | Entry::Reverted
            | Entry::Redeployed { .. }
            | Entry::Captured { .. }
            | Entry::Closed => false,
        };
        match self {
            Body::Restore(records) if records.iter().any(is_new) => FORMAT,
            Body::Restore(_) | Body::Snapshot(_) => FORMAT_PLAIN,
        }
    }
}

/// A journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// What it is about.
    pub body: Body,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    format: u32,
    checksum: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// Why a journal cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Written by a newer version of volsnap.
    #[error("the journal has format {found}, and this volsnap reads up to {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is whole, by its checksum, and has what this version of volsnap does not know: a newer one wrote it.
    #[error("the journal is of a newer volsnap: {0}")]
    Unknown(String),
    /// Its checksum is wrong or it is no journal at all.
    #[error("the journal is damaged: {0}")]
    Damaged(String),
    /// It is whole and says things that no restore writes.
    #[error("the journal is not one that a restore writes: {0}")]
    Illegal(String),
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let message = error.to_string();
        match error {
            JournalError::Newer { .. } | JournalError::Unknown(_) => Error::new(Code::NeedsAttention, message)
                .hint("run `volsnap recover` with the newer version that wrote it; nothing was touched"),
            JournalError::Damaged(_) | JournalError::Illegal(_) => Error::new(Code::Corrupt, message).hint(
                "nothing was deleted: look beside the live directories for .volsnap-* (originals and restored data) before you move the journal away",
            ),
        }
    }
}

impl Journal {
    /// The bytes of the file.
    pub fn encode(&self) -> Result<Vec<u8>, JournalError> {
        let broken = |e: serde_json::Error| JournalError::Illegal(e.to_string());
        let body = serde_json::value::to_raw_value(&self.body).map_err(broken)?;
        let checksum = blake3::hash(body.get().as_bytes()).to_hex().to_string();
        let mut bytes =
            serde_json::to_vec(&Envelope { format: self.body.format(), checksum, body: &body }).map_err(broken)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the bytes of a file: version first, then checksum, then contents.
    pub fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        let damaged = |e: serde_json::Error| JournalError::Damaged(e.to_string());
        let version: Version = serde_json::from_slice(bytes).map_err(damaged)?;
        if version.format > FORMAT {
            return Err(JournalError::Newer { found: version.format });
        }
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(damaged)?;
        let checksum = blake3::hash(envelope.body.get().as_bytes()).to_hex().to_string();
        if version.format == 0 || checksum != envelope.checksum {
            return Err(JournalError::Damaged(format!("its checksum is {checksum} and it says {}", envelope.checksum)));
        }
        let body = known(envelope.body.get())?;
        // Written is the oldest version that can say it, so that a bit that turned in this number is noticed.
        if version.format > FORMAT_PLAIN && version.format != body.format() {
            return Err(JournalError::Damaged(format!("it has format {} and needs {}", version.format, body.format())));
        }
        if let Body::Restore(records) = &body
            && let Some(Record { entry: Entry::Opened { plan }, .. }) = records.first()
            && let Some(bad) = plan.volumes.iter().find(|v| !is_live_shape(&v.live))
        {
            return Err(JournalError::Illegal(format!("{} cannot be a live directory", bad.live.display())));
        }
        Ok(Journal { body })
    }
}

/// A body of which every word is known.
fn known(text: &str) -> Result<Body, JournalError> {
    let mut unknown = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let body = serde_ignored::deserialize(&mut json, |path| {
        unknown.get_or_insert_with(|| format!("this one does not know `{path}`"));
    });
    let body = body.map_err(|error| {
        // What would be known instead is of no use to whoever reads it.
        let what = error.to_string();
        JournalError::Unknown(what.split(", expected").next().unwrap_or(&what).to_string())
    })?;
    unknown.map_or(Ok(body), |unknown| Err(JournalError::Unknown(unknown)))
}

/// Time from one record to another, 0 if the clock went back.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
