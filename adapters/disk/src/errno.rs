//! The one place where the system's error numbers become kinds of the port.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use volsnap_core::ports::{FsError, FsErrorKind, FsOp};

/// The port's error for a failed system call; public for a simulation that is to report what this adapter would.
#[must_use]
pub fn fs_error(op: FsOp, path: impl Into<PathBuf>, errno: Errno) -> FsError {
    FsError::new(kind(errno), op, path, words(errno))
}

/// The port's error for a failed call of the standard library.
pub(crate) fn io_error(op: FsOp, path: impl Into<PathBuf>, error: &io::Error) -> FsError {
    match Errno::from_io_error(error) {
        Some(errno) => fs_error(op, path, errno),
        None => FsError::new(FsErrorKind::Io, op, path, error.to_string()),
    }
}

/// The port's error for a failed sync, whatever the number: the kernel tells of lost writes once, and a second sync
/// would answer that all is well. Public as [`fs_error`] is.
#[must_use]
pub fn sync_error(op: FsOp, path: impl Into<PathBuf>, errno: Errno) -> FsError {
    FsError::new(FsErrorKind::SyncFailed, op, path, format!("sync failed: {}", words(errno)))
}

/// What kind of failure a number tells of. A failed sync is none of them: see [`sync_error`].
pub(crate) fn kind(errno: Errno) -> FsErrorKind {
    match errno {
        Errno::NOENT => FsErrorKind::NotFound,
        Errno::EXIST | Errno::NOTEMPTY => FsErrorKind::Exists,
        Errno::NOSPC | Errno::DQUOT => FsErrorKind::NoSpace,
        // A rename answers EXDEV at another mount (also of the same filesystem), EBUSY at a mount point, and EINVAL or
        // ENOSYS where the filesystem or the kernel has no such flag.
        Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::BUSY | Errno::OPNOTSUPP => FsErrorKind::Unsupported,
        Errno::PERM | Errno::ACCESS | Errno::ROFS => FsErrorKind::Denied,
        Errno::INTR | Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM => FsErrorKind::Transient,
        _ => FsErrorKind::Io,
    }
}

/// The system's words in lower case, with the number by which they are looked up.
fn words(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    format!("{text} (errno {})", errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_thing_and_the_systems_words() {
        let error = fs_error(FsOp::Rename, "/a", Errno::XDEV);
        assert_eq!(error.kind, FsErrorKind::Unsupported);
        assert_eq!(error.to_string(), "rename /a: invalid cross-device link (errno 18)");
    }

    #[test]
    fn only_passing_failures_are_worth_a_retry() {
        for errno in [Errno::INTR, Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(fs_error(FsOp::Look, "/a", errno).is_transient(), "{errno}");
        }
        for errno in [Errno::IO, Errno::STALE, Errno::NOTDIR, Errno::LOOP, Errno::NOENT, Errno::NOSPC, Errno::ACCESS] {
            assert!(!fs_error(FsOp::Look, "/a", errno).is_transient(), "{errno}");
        }
    }

    #[test]
    fn a_failed_sync_is_never_worth_a_retry() {
        assert_eq!(sync_error(FsOp::Settle, "/a", Errno::INTR).kind, FsErrorKind::SyncFailed);
    }
}
