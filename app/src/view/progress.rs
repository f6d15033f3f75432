//! `--progress json`: how far an operation is, line by line on standard error.

use serde::Serialize;
use volsnap_core::ports::{Phase, Progress};

/// A line of `--progress json`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ProgressView<'a> {
    /// So far it has come.
    Progress {
        /// What it is busy with.
        phase: Phase,
        /// The workload that it is about; left out as long as that is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        workload: Option<&'a str>,
        /// The volume it is at; `null` if it does not go by volumes.
        volume: Option<&'a str>,
        /// Bytes done in this phase and volume.
        bytes: u64,
        /// Bytes to do; 0 if unknown.
        bytes_total: u64,
        /// Entries done.
        entries: u64,
        /// Since the command began.
        elapsed_ms: u64,
    },
    /// Something to be said in between, as on Ctrl-C.
    Notice {
        /// What is to be said.
        notice: &'a str,
        /// Since the command began.
        elapsed_ms: u64,
    },
}

impl<'a> ProgressView<'a> {
    /// The view of progress.
    #[must_use]
    pub fn of(progress: &'a Progress, elapsed_ms: u64) -> Self {
        ProgressView::Progress {
            phase: progress.phase,
            workload: progress.workload.as_deref(),
            volume: progress.volume.as_deref(),
            bytes: progress.bytes,
            bytes_total: progress.bytes_total,
            entries: progress.entries,
            elapsed_ms,
        }
    }
}
