//! Failures of system calls as errors of the port, with the place that was being worked on.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use volsnap_core::ports::{FsError, FsErrorKind, FsOp};

use crate::errno;

/// What is being done to which place; makes errors that say so.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    op: FsOp,
    path: PathBuf,
}

impl Trouble {
    pub(crate) fn new(op: FsOp, path: &Path) -> Self {
        Trouble { op, path: path.to_path_buf() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Raw bytes of a name for people: what is no UTF-8 or would disturb a terminal is escaped.
    pub(crate) fn show(bytes: &[u8]) -> String {
        bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
            text.extend(chunk.valid().chars().flat_map(|c| match c.is_control() {
                true => c.escape_default().collect::<Vec<_>>(),
                false => vec![c],
            }));
            text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
            text
        })
    }

    /// A failure of that kind at the place.
    pub(crate) fn of(&self, kind: FsErrorKind, message: impl Into<String>) -> FsError {
        FsError::new(kind, self.op, &self.path, message)
    }

    /// A system call on the place itself failed.
    pub(crate) fn errno(&self, doing: &str, error: Errno) -> FsError {
        self.of(errno::kind(error), format!("cannot {doing}: {error}"))
    }

    /// A system call on something below the place failed.
    pub(crate) fn entry(&self, entry: &[u8], doing: &str, error: Errno) -> FsError {
        self.of(errno::kind(error), format!("cannot {doing} `{}`: {error}", Trouble::show(entry)))
    }

    /// A sync failed. It is never tried again: the second one would say that all is well.
    pub(crate) fn sync(&self, what: &str, error: Errno) -> FsError {
        self.of(FsErrorKind::SyncFailed, format!("cannot make {what} durable: {error}"))
    }

    /// The archive fails its checks.
    pub(crate) fn corrupt(&self, message: impl Into<String>) -> FsError {
        self.of(FsErrorKind::Corrupt, message)
    }

    /// The archive asks for what it must not.
    pub(crate) fn hostile(&self, member: &[u8], message: impl AsRef<str>) -> FsError {
        self.of(FsErrorKind::Hostile, format!("member `{}` {}", Trouble::show(member), message.as_ref()))
    }

    /// The observer asked for the end.
    pub(crate) fn cancelled(&self) -> FsError {
        self.of(FsErrorKind::Cancelled, "cancelled")
    }
}
