//! Who watches an operation: hears of its progress and may ask it to stop.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{model::SnapshotId, restore::Report};

/// What an operation is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Finishing or rolling back what a crash left.
    Recover,
    /// Looking and planning.
    Plan,
    /// Reading volumes into an archive.
    Archive,
    /// Taking up what changed in the volumes while they were read.
    CatchUp,
    /// Extracting volumes beside the live directories.
    Stage,
    /// Stopping the containers for good reason.
    Fence,
    /// Putting the restored directories in place.
    Switch,
    /// Bringing the app back.
    Redeploy,
    /// Waiting until the app is healthy.
    Health,
    /// Starting the app on a copy, and waiting until it is healthy there.
    Boot,
    /// Archiving the set-aside originals.
    Capture,
    /// Removing what is no longer needed.
    Discard,
    /// Reading and checking an archive.
    Verify,
    /// Reading a part of an archive, or looking through trees.
    Read,
    /// Copying an archive in or out.
    Copy,
}

/// How far a phase has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// The workload that it is about, by name; `None` as long as that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The volume it is at, if it goes by volumes.
    pub volume: Option<String>,
    /// Bytes done in this phase and volume.
    pub bytes: u64,
    /// Bytes to do; 0 if unknown. Of a volume that is read it is what a snapshot of it held before, and gone once it
    /// proves too low.
    pub bytes_total: u64,
    /// Entries done.
    pub entries: u64,
}

impl Progress {
    /// The beginning of a phase that has no bytes to count.
    #[must_use]
    pub fn begin(phase: Phase) -> Self {
        Progress { phase, workload: None, volume: None, bytes: 0, bytes_total: 0, entries: 0 }
    }
}

/// Watches an operation. The methods are called often, from any thread, and must return at once.
pub trait Observer: Send + Sync {
    /// The operation has come so far.
    fn progress(&self, progress: &Progress);

    /// Before its own work the operation finished or rolled back what a crash had left.
    fn recovered(&self, report: &Report) {
        let _ = report;
    }

    /// Before its own work the operation woke an app that an interrupted snapshot had left frozen or stopped. The
    /// snapshot is in the catalog only if its archive was `complete`.
    fn woken(&self, workload: &str, snapshot: SnapshotId, complete: bool) {
        let _ = (workload, snapshot, complete);
    }

    /// Whether the operation should end. Before the commit it then goes back to the original; after it, it goes on.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Passes on to an observer what a port tells, with what the port cannot know: for what a volume is read, and how much
/// there may be to read. Nobody looks through a volume beforehand only to know how long it takes.
pub struct Retold {
    watch: Watch,
    archive: Phase,
    expected: BTreeMap<String, u64>,
}

impl Retold {
    /// To `watch`, with reading volumes being that phase, and so many bytes being expected of each target.
    #[must_use]
    pub fn new(watch: Watch, archive: Phase, expected: BTreeMap<String, u64>) -> Self {
        Retold { watch, archive, expected }
    }
}

impl Observer for Retold {
    fn progress(&self, progress: &Progress) {
        let mut retold = progress.clone();
        if retold.phase == Phase::Archive {
            retold.phase = self.archive;
        }
        if let (0, Some(expected)) = (retold.bytes_total, retold.volume.as_ref().and_then(|v| self.expected.get(v))) {
            retold.bytes_total = if retold.bytes <= *expected { *expected } else { 0 };
        }
        self.watch.progress(&retold);
    }

    fn recovered(&self, report: &Report) {
        self.watch.recovered(report);
    }

    fn woken(&self, workload: &str, snapshot: SnapshotId, complete: bool) {
        self.watch.woken(workload, snapshot, complete);
    }

    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }
}

/// Passes on to an observer what one of several operations tells, with the name of the workload that it is about.
pub struct About {
    watch: Watch,
    workload: String,
}

impl About {
    /// To `watch`, about that workload.
    #[must_use]
    pub fn workload(watch: &Watch, workload: &str) -> Watch {
        Arc::new(About { watch: watch.clone(), workload: workload.into() })
    }
}

impl Observer for About {
    fn progress(&self, progress: &Progress) {
        self.watch.progress(&Progress { workload: Some(self.workload.clone()), ..progress.clone() });
    }

    fn recovered(&self, report: &Report) {
        self.watch.recovered(report);
    }

    fn woken(&self, workload: &str, snapshot: SnapshotId, complete: bool) {
        self.watch.woken(workload, snapshot, complete);
    }

    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }
}

/// An observer that can be handed to worker threads.
pub type Watch = Arc<dyn Observer>;

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn progress(&self, _: &Progress) {}
}
