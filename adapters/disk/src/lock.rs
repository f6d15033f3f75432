//! The lock of a workload: held by an open file, so that it ends with the process, however that ends.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, Unit};
use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, flock, openat},
    io::Errno,
};
use volsnap_core::{
    model::WorkloadId,
    ports::{FsError, FsErrorKind, FsOp, Lease},
};

use crate::errno::fs_error;

/// Takes a workload's lock or says who has it.
pub(crate) fn take(dir: &Path, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
    Ok(Box::new(Held::take(dir.join(format!("{workload}.lock")))?))
}

/// A lock that is held. The file stays when the lock ends: a file that is removed while a second process has it open
/// would leave that process with a lock that a third one does not see.
#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
}

impl Lease for Held {}

impl Held {
    fn take(path: PathBuf) -> Result<Held, FsError> {
        let fail = |errno| fs_error(FsOp::Lock, &path, errno);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd: OwnedFd = openat(CWD, &path, flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
        let mut file = File::from(fd);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let owner = read_owner(&mut file).unwrap_or_else(|| "another process".into());
                return Err(FsError::new(FsErrorKind::Busy, FsOp::Lock, path, format!("held by {owner}")));
            }
            Err(errno) => return Err(fail(errno)),
        }
        let held = Held { file, path };
        held.sign(&myself());
        Ok(held)
    }

    /// Says in the file who holds the lock. Only a message depends on it, so a full disk does not refuse the lock.
    fn sign(&self, owner: &str) {
        let write = || {
            self.file.set_len(0)?;
            (&self.file).seek(SeekFrom::Start(0))?;
            (&self.file).write_all(owner.as_bytes())
        };
        if let Err(error) = write() {
            tracing::debug!(path = %self.path.display(), %error, "the lock does not say who holds it");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file ends the lock; before that, the next owner must not be taken for this one.
        self.sign("");
    }
}

/// Bytes of an owner's description that are shown at the most.
const OWNER_MAX: u64 = 300;

fn read_owner(file: &mut File) -> Option<String> {
    let mut bytes = Vec::new();
    match file.take(OWNER_MAX).read_to_end(&mut bytes) {
        Ok(_) => {
            let text = String::from_utf8_lossy(&bytes);
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            (!text.is_empty()).then_some(text)
        }
        Err(error) => {
            tracing::debug!(%error, "the lock's owner cannot be read");
            None
        }
    }
}

/// `process 123 (volsnap restore app latest) since 2026-01-31T12:00:00Z`
fn myself() -> String {
    let words: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let command: String = words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect();
    let now = Timestamp::now();
    let since = now.round(Unit::Second).unwrap_or(now);
    format!("process {} ({command}) since {since}", std::process::id())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn workload(n: u128) -> WorkloadId {
        WorkloadId(Uuid::from_u128(n))
    }

    fn busy(dir: &Path) -> FsError {
        match take(dir, workload(1)) {
            Ok(_) => panic!("the lock was given twice"),
            Err(error) => error,
        }
    }

    #[test]
    fn a_second_owner_is_told_who_has_it_and_since_when() {
        let dir = tempfile::tempdir().unwrap();
        let lease = take(dir.path(), workload(1)).unwrap();
        let error = busy(dir.path());
        assert_eq!(error.kind, FsErrorKind::Busy);
        assert!(error.message.starts_with(&format!("held by process {} (", std::process::id())), "{error}");
        assert!(error.message.contains(") since 20"), "{error}");
        drop(lease);
        take(dir.path(), workload(1)).unwrap();
    }

    #[test]
    fn workloads_are_locked_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let _one = take(dir.path(), workload(1)).unwrap();
        let _two = take(dir.path(), workload(2)).unwrap();
    }

    #[test]
    fn a_link_in_place_of_a_lock_is_an_error_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        std::fs::write(&precious, "data").unwrap();
        std::os::unix::fs::symlink(&precious, dir.path().join(format!("{}.lock", workload(1)))).unwrap();
        assert_eq!(busy(dir.path()).kind, FsErrorKind::Io);
        assert_eq!(std::fs::read(&precious).unwrap(), b"data");
    }
}
