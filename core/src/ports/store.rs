//! The catalog: workloads, snapshots and the audit trail. Recovery works without it.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::{Code, DENIED_HINT, Error},
    model::{Hook, KnownVolume, Mark, Snapshot, SnapshotId, Workload, WorkloadId},
};

/// What kind of failure a store met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The catalog is damaged.
    Corrupt,
    /// Somebody else held it for too long. Worth a retry.
    Busy,
    /// A name or an id is taken.
    Exists,
    /// The caller may not read or write it.
    Denied,
    /// The disk or the server failed.
    Io,
    /// The disk is full.
    NoSpace,
    /// The catalog was written by a newer version.
    Newer,
}

/// A failed call of a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("catalog: {message}")]
pub struct StoreError {
    /// What kind of failure.
    pub kind: StoreErrorKind,
    /// What happened, with the thing and its value.
    pub message: String,
}

impl StoreError {
    /// A failure of that kind.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        StoreError { kind, message: message.into() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error.kind {
            StoreErrorKind::Corrupt => Error::new(Code::Corrupt, message).hint(
                "`volsnap rebuild` moves it aside and makes it again from the archives; journals do not depend on it, and `volsnap recover` works without it",
            ),
            StoreErrorKind::Busy => Error::new(Code::Busy, message).hint("try again in a moment"),
            StoreErrorKind::Exists => Error::new(Code::Usage, message).hint("choose another name"),
            StoreErrorKind::Denied => {
                let hint = format!("you need to read and write the state directory: {DENIED_HINT}");
                Error::new(Code::Io, message).hint(hint)
            }
            StoreErrorKind::Io => Error::new(Code::Io, message).hint("see whether the disk of the state directory is full or failing"),
            StoreErrorKind::NoSpace => Error::new(Code::Io, message).hint(
                "the disk of the state directory is full, and the space that was kept for this is used up: free some there. \
                 Archives, `snapshots/*/*.tar.zst`, may be removed by hand while `journal/` has no `*.json`; then run \
                 `volsnap rebuild --prune-missing`",
            ),
            StoreErrorKind::Newer => {
                Error::new(Code::Refused, message).hint("use the newer volsnap that wrote this catalog")
            }
        }
    }
}

/// What an audit event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A workload was registered.
    WorkloadAdded,
    /// A workload's hooks were changed.
    WorkloadChanged,
    /// A workload was removed.
    WorkloadRemoved,
    /// A snapshot was taken.
    SnapshotCreated,
    /// Taking a snapshot failed.
    SnapshotFailed,
    /// A snapshot was deleted, by hand or by retention.
    SnapshotDeleted,
    /// A snapshot was read and checked.
    SnapshotVerified,
    /// A snapshot was pinned.
    SnapshotPinned,
    /// A snapshot's pin was taken away.
    SnapshotUnpinned,
    /// A restore ended, whichever way; the detail is its report.
    RestoreEnded,
    /// What a crash left was finished or rolled back; the detail is the report.
    Recovered,
    /// Originals that a restore had kept were archived after all, or could not be; the detail is the restore's report.
    OriginalsArchived,
    /// Originals that a restore had kept were discarded.
    OriginalsDiscarded,
    /// Something that a later version knows and this one does not.
    #[serde(other)]
    Unknown,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id: the same event may be recorded twice (a crash in between) and then stands once.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// The workload, also after its removal.
    pub workload: WorkloadId,
    /// The workload's name at the time.
    pub workload_name: String,
    /// What happened.
    pub kind: EventKind,
    /// How it ended, in one word for people (`restored`, `aborted`, …).
    pub outcome: String,
    /// The particulars as JSON.
    pub detail: serde_json::Value,
}

/// The catalog.
///
/// What a writing call wrote is durable when it returns. Calls may be made from several processes at once.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync {
    /// All workloads, by name.
    async fn workloads(&self) -> Result<Vec<Workload>, StoreError>;

    /// Registers a workload; [`StoreErrorKind::Exists`] if its id or name is taken.
    async fn add_workload(&self, workload: &Workload) -> Result<(), StoreError>;

    /// Replaces what a workload is made of: its source, selector and declared directories, and what is known of its
    /// volumes. Its name, hooks and snapshots stay. Nothing happens if it is not there.
    async fn set_registration(&self, workload: &Workload) -> Result<(), StoreError>;

    /// Replaces the hooks of a workload. Nothing happens if it is not there.
    async fn set_hooks(&self, id: WorkloadId, hooks: &[Hook]) -> Result<(), StoreError>;

    /// Replaces what is known of the volumes of a workload's containers. Nothing happens if it is not there.
    async fn set_known(&self, id: WorkloadId, known: &[KnownVolume]) -> Result<(), StoreError>;

    /// Forgets a workload with its snapshots' rows; its events stay. Nothing happens if it is not there.
    async fn remove_workload(&self, id: WorkloadId) -> Result<(), StoreError>;

    /// The greatest sequence that was given out or recorded; 0 if there is none.
    async fn sequence(&self) -> Result<u64, StoreError>;

    /// Gives out the next sequence, durably: greater than every one that was ever given out or recorded, and than `above`.
    async fn advance(&self, above: u64) -> Result<u64, StoreError>;

    /// Snapshots of a workload or of all, newest first (by [`Snapshot::order`]).
    async fn snapshots(&self, workload: Option<WorkloadId>) -> Result<Vec<Snapshot>, StoreError>;

    /// Records a snapshot, and its sequence as one that was given out; one with the same id is replaced. The workload need
    /// not be registered any more.
    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), StoreError>;

    /// Changes what is known of a snapshot besides its archive, in one step: nothing that another process changes at
    /// the same time is lost, and a row that is gone does not come back. Whether it is there; may be called twice.
    async fn mark_snapshot(&self, id: SnapshotId, mark: &Mark) -> Result<bool, StoreError>;

    /// Forgets a snapshot. Nothing happens if it is not there.
    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), StoreError>;

    /// Records an event; nothing happens if one with its id stands already.
    async fn record(&self, event: &Event) -> Result<(), StoreError>;

    /// The events of a workload or of all, those that were recorded last first, `count_max` at the most. When they
    /// happened by the clock does not matter.
    async fn events(&self, workload: Option<WorkloadId>, count_max: u32) -> Result<Vec<Event>, StoreError>;

    /// A setting; `None` if it was never set.
    async fn setting(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Sets a setting.
    async fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_later_version_does_not_hide_the_others() {
        let kinds: Vec<EventKind> = serde_json::from_str(r#"["snapshot-pinned","of-next-year"]"#).unwrap();
        assert_eq!(kinds, [EventKind::SnapshotPinned, EventKind::Unknown]);
    }
}
