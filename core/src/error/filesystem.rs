//! How a disk fails, and what that means to callers.

use std::{fmt, path::PathBuf};

use super::{Code, Error};

/// What to do where writing is not allowed. Root may write nearly everywhere, and is kept out by other things.
pub const DENIED_HINT: &str = "run as a user who may write there (mostly root); as root, see whether a mount or a subvolume is read-only, or something immutable (`lsattr -d PATH`)";

/// What kind of failure a filesystem met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsErrorKind {
    /// The path does not exist.
    NotFound,
    /// The name is taken, or the directory is not empty.
    Exists,
    /// No bytes or inodes left, or a quota is used up.
    NoSpace,
    /// The filesystem cannot do that (no exchange, another device, a mount point).
    Unsupported,
    /// Not allowed, or mounted read-only.
    Denied,
    /// A sync failed: what was written before may be lost, and a second sync would not say so. Never retried.
    SyncFailed,
    /// Somebody else holds it.
    Busy,
    /// An archive or a journal fails its checks.
    Corrupt,
    /// An archive member tries to leave its place or breaks a limit.
    Hostile,
    /// The observer asked for the end.
    Cancelled,
    /// Interrupted or out of a passing resource. Worth a retry.
    Transient,
    /// Anything else.
    Io,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsOp {
    /// Resolving or measuring.
    Look,
    /// Making names durable.
    Settle,
    /// Extracting.
    Stage,
    /// Exchanging two names.
    Exchange,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Reading or writing an archive.
    Archive,
    /// Reading or writing a journal.
    Journal,
    /// Taking a lock.
    Lock,
}

impl fmt::Display for FsOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FsOp::Look => "look at",
            FsOp::Settle => "sync",
            FsOp::Stage => "stage",
            FsOp::Exchange => "exchange",
            FsOp::Rename => "rename",
            FsOp::Remove => "remove",
            FsOp::Archive => "archive",
            FsOp::Journal => "journal",
            FsOp::Lock => "lock",
        })
    }
}

/// A failed call of a filesystem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} {}: {message}", path.display())]
pub struct FsError {
    /// What kind of failure.
    pub kind: FsErrorKind,
    /// What was being done.
    pub op: FsOp,
    /// To what.
    pub path: PathBuf,
    /// The system's words, or the archive member and what is wrong with it.
    pub message: String,
}

impl FsError {
    /// A failure of that kind.
    pub fn new(kind: FsErrorKind, op: FsOp, path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        FsError { kind, op, path: path.into(), message: message.into() }
    }

    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == FsErrorKind::Transient
    }
}

impl From<FsError> for Error {
    fn from(error: FsError) -> Self {
        let message = error.to_string();
        let (code, hint) = match error.kind {
            FsErrorKind::NotFound => (Code::NotFound, "check the path and that its filesystem is mounted"),
            FsErrorKind::Exists => {
                (Code::Io, "look at what stands there; volsnap deletes nothing that it did not make")
            }
            FsErrorKind::NoSpace => (Code::Io, "free some space on that filesystem, then run the command again"),
            FsErrorKind::Unsupported if error.op == FsOp::Journal => (
                Code::Refused,
                "if a newer volsnap wrote it, go on with that one; else move the state directory to a filesystem that can",
            ),
            FsErrorKind::Unsupported => {
                (Code::Refused, "see `volsnap plan WORKLOAD SNAPSHOT` for what this filesystem can do")
            }
            FsErrorKind::Denied => (Code::Io, DENIED_HINT),
            FsErrorKind::SyncFailed => {
                (Code::Io, "the disk may be failing: look at the kernel's log before anything else")
            }
            FsErrorKind::Busy => (Code::Busy, "wait until the other process has finished"),
            FsErrorKind::Corrupt => {
                (Code::Corrupt, "choose another snapshot; `volsnap verify --all` shows which are good")
            }
            FsErrorKind::Hostile => (Code::Hostile, "do not trust this archive; find out where it came from"),
            FsErrorKind::Cancelled => (Code::Aborted, "run the command again when you are ready"),
            FsErrorKind::Transient | FsErrorKind::Io => (Code::Io, "the kernel's log may say more"),
        };
        Error::new(code, message).hint(hint)
    }
}
