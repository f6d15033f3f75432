//! Live directories that are held: by marks on the directories themselves, which every process of the machine sees,
//! whatever its state directory and whatever name it knows them by.
//!
//! A mark is a read lock of one byte of an open directory (`F_OFD_SETLK`). Read locks exclude nobody, so everyone sets
//! its marks first and then looks for those of others: of two that begin at once, at least one sees the other. Why not
//! `flock`: some apps hold one on their own data directory all the time they run (badger does), so it would keep us out
//! of theirs, or them out when they are started again. Nobody can hold a write lock on a directory, and nobody else has a
//! reason for a read lock at these offsets.
//!
//! | mark | on | says |
//! |---|---|---|
//! | [`WHOLE`] | a live directory | somebody is at work on all of it |
//! | [`PART`] | every directory above one | somebody is at work below |
//! | [`name_mark`] | the parent of one | somebody is at work on what has that name, whichever directory that is |
//!
//! The mark on the directory finds it under other paths. The mark on its name stays where it is when a switch puts
//! another directory there, and is there where no directory is yet.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use nix::{
    errno::Errno as NixErrno,
    fcntl::{FcntlArg, fcntl},
    libc,
};
use rustix::{fd::OwnedFd, io::Errno};
use volsnap_core::ports::{FsError, FsErrorKind, FsOp, Lease};

use crate::{
    errno::fs_error,
    handles::{stat_fd, try_open_dir},
};

/// `volsnap` and a zero byte: the offsets of our marks.
const BASE: i64 = 0x766f_6c73_6e61_7000;
/// On a live directory.
const WHOLE: i64 = BASE;
/// On the directories above one.
const PART: i64 = BASE + 1;

/// How often marks are set before somebody else's are believed: two that begin at once may see each other and both give
/// way.
const TRIES: u32 = 5;

/// Directories that are held, until dropped.
#[derive(Debug)]
pub(crate) struct Claimed {
    _marked: BTreeMap<(u64, u64), Marked>,
}

impl Lease for Claimed {}

#[derive(Debug)]
struct Marked {
    dir: OwnedFd,
    path: PathBuf,
}

/// Marks the directories and all above them; a busy one names who holds it. The second part names those that could not
/// be marked: nobody else would notice.
pub(crate) fn claim(dirs: &[PathBuf]) -> Result<(Claimed, Vec<PathBuf>), FsError> {
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        match try_claim(dirs) {
            Err(error) if error.kind == FsErrorKind::Busy && tries_left > 0 => {
                // Not the same for everyone, or two would go on seeing each other.
                let uneven = (Timestamp::now().subsec_nanosecond() ^ std::process::id().cast_signed()).unsigned_abs();
                std::thread::sleep(Duration::from_millis(5 + u64::from(uneven % 40)));
            }
            result => return result,
        }
    }
}

fn try_claim(dirs: &[PathBuf]) -> Result<(Claimed, Vec<PathBuf>), FsError> {
    let mut marks = Marks::default();
    let mut asked = Vec::new();
    for dir in dirs {
        // What is not there has a name to be held. What cannot be opened fails where it is needed.
        if let Some(live) = marks.open(dir)? {
            marks.set(live, dir, WHOLE);
            asked.extend([(live, WHOLE, dir), (live, PART, dir)]);
        }
        let mut below = dir.as_path();
        for above in dir.ancestors().skip(1) {
            let Some(key) = marks.open(above)? else { break };
            marks.set(key, dir, PART);
            asked.push((key, WHOLE, dir));
            if let Some(name) = below.file_name() {
                let mark = name_mark(name);
                if below == dir {
                    marks.set(key, dir, mark);
                }
                asked.push((key, mark, dir));
            }
            below = above;
        }
    }
    for (key, mark, dir) in asked {
        let Some(marked) = marks.marked.get(&key) else { continue };
        if has_mark(&marked.dir, mark) {
            let holder = holder(&marked.path, mark).unwrap_or_else(|| "another process".into());
            return Err(FsError::new(FsErrorKind::Busy, FsOp::Lock, dir, format!("{holder} is at work on it")));
        }
    }
    marks.unguarded.sort();
    marks.unguarded.dedup();
    Ok((Claimed { _marked: marks.marked }, marks.unguarded))
}

/// Marks that are being set. Each directory is open once, so that volumes of one claim do not see each other.
#[derive(Default)]
struct Marks {
    marked: BTreeMap<(u64, u64), Marked>,
    unguarded: Vec<PathBuf>,
}

impl Marks {
    /// Opens a directory; `None` if there is none, or if it may not be read: above a volume of their own, people have
    /// directories that are only passed through.
    fn open(&mut self, path: &Path) -> Result<Option<(u64, u64)>, FsError> {
        let dir = match try_open_dir(path) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM) => return Ok(None),
            Err(errno) => return Err(fs_error(FsOp::Lock, path, errno)),
        };
        let found = stat_fd(&dir).map_err(|errno| fs_error(FsOp::Lock, path, errno))?;
        let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
        let key = (device, found.stx_ino);
        self.marked.entry(key).or_insert(Marked { dir, path: path.to_path_buf() });
        Ok(Some(key))
    }

    fn set(&mut self, key: (u64, u64), volume: &Path, mark: i64) {
        let Some(marked) = self.marked.get(&key) else { return };
        if let Err(error) = fcntl(&marked.dir, FcntlArg::F_OFD_SETLK(&byte(libc::F_RDLCK, mark))) {
            tracing::debug!(path = %marked.path.display(), %error, "it cannot be marked as held");
            self.unguarded.push(volume.to_path_buf());
        }
    }
}

/// Whether somebody else has set that mark. Asked for a write lock, which is never taken.
fn has_mark(dir: &OwnedFd, mark: i64) -> bool {
    let mut found = byte(libc::F_WRLCK, mark);
    match fcntl(dir, FcntlArg::F_OFD_GETLK(&mut found)) {
        Ok(_) => i32::from(found.l_type) != libc::F_UNLCK,
        Err(NixErrno::EINTR | NixErrno::EAGAIN) => true,
        // Told where the mark could not be set.
        Err(_) => false,
    }
}

/// The mark of a name. Two names with one mark would only keep out of each other's way.
fn name_mark(name: &OsStr) -> i64 {
    let [a, b, c, d, ..] = *blake3::hash(name.as_bytes()).as_bytes();
    BASE + (1 << 32) + i64::from(u32::from_le_bytes([a, b, c, d]))
}

fn byte(kind: i32, mark: i64) -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "the kinds of locks are 0, 1 and 2")]
    let l_type = kind as i16;
    libc::flock { l_type, l_whence: 0, l_start: mark, l_len: 1, l_pid: 0 }
}

/// Who has set the mark, as far as this process may see: another process if there is one, since this one has set its own
/// by then. Found by the directory, which others may know under another path. Only a message depends on it.
fn holder(marked: &Path, mark: i64) -> Option<String> {
    let wanted = fs::metadata(marked).ok()?;
    let own = std::process::id();
    let mut is_own = false;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(fds) = fs::read_dir(process.path().join("fd")) else { continue };
        for fd in fds.flatten() {
            let info = fs::read_to_string(process.path().join("fdinfo").join(fd.file_name())).unwrap_or_default();
            if !info.lines().any(|line| line.contains("OFDLCK") && line.ends_with(&format!(" {mark} {mark}"))) {
                continue;
            }
            if !fs::metadata(fd.path()).is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino())) {
                continue;
            }
            if pid != own {
                return Some(name_of(pid));
            }
            is_own = true;
        }
    }
    is_own.then(|| name_of(own))
}

fn name_of(pid: u32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let command: String = command.trim_end().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("process {pid} ({command})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(dir: &Path) -> String {
        match try_claim(&[dir.to_path_buf()]) {
            Ok(_) => panic!("{} was given twice", dir.display()),
            Err(error) => {
                assert_eq!(error.kind, FsErrorKind::Busy, "{error}");
                error.message
            }
        }
    }

    #[test]
    fn a_held_directory_is_known_under_another_path_and_its_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(base.join("a/b")).unwrap();
        let held = claim(&[base.join("a")]).unwrap();
        assert_eq!(held.1, Vec::<PathBuf>::new());
        // As a bind mount shows it: the same directory, another parent and another name.
        fs::rename(base.join("a"), base.join("elsewhere")).unwrap();
        let message = busy(&base.join("elsewhere"));
        assert!(message.starts_with(&format!("process {} (", std::process::id())), "{message}");
        busy(&base.join("elsewhere/b"));
        drop(held);
        claim(&[base.join("elsewhere")]).unwrap();
    }

    #[test]
    fn a_holder_is_found_who_knows_the_directory_by_another_path() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let _held = claim(std::slice::from_ref(&base)).unwrap();
        let alias = Path::new("/proc/self/root").join(base.strip_prefix("/").unwrap());
        let found = holder(&alias, WHOLE).unwrap();
        assert!(found.starts_with(&format!("process {} (", std::process::id())), "{found}");
        assert_eq!(holder(&alias, name_mark(OsStr::new("none"))), None);
    }

    #[test]
    fn an_app_may_lock_its_own_directory_before_and_meanwhile() {
        use rustix::fs::{FlockOperation, flock};
        let dir = tempfile::tempdir().unwrap();
        let app = try_open_dir(dir.path()).unwrap();
        flock(&app, FlockOperation::NonBlockingLockExclusive).unwrap();
        let held = claim(&[dir.path().to_path_buf()]).unwrap();
        drop(app);
        let again = try_open_dir(dir.path()).unwrap();
        flock(&again, FlockOperation::NonBlockingLockExclusive).unwrap();
        drop(held);
    }

    #[test]
    fn two_that_begin_at_once_all_the_time_both_get_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_path_buf();
        let work = |path: PathBuf| move || (0..20).filter(|_| claim(std::slice::from_ref(&path)).is_ok()).count();
        let other = std::thread::spawn(work(path.clone()));
        let mine = work(path)();
        assert!(mine > 0 && other.join().unwrap() > 0);
    }
}
