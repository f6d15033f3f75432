//! Archives that have no name yet: a process writes them, or was killed while it did.

use std::path::PathBuf;

use crate::model::WorkloadId;

/// An archive that was not finished, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draft {
    /// The workload.
    pub workload: WorkloadId,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}
