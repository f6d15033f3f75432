//! Files that may be written to past the page cache, by what `/proc` shows of the processes that have them open.
//!
//! The kernel sets the time of change of a direct write when it is submitted, not when it completes. One that was begun
//! before a look and completes after it changes the file under an unchanged time.

use std::{
    collections::HashSet,
    fs, io,
    os::fd::OwnedFd,
    path::Path,
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, ioctl_ficlone, statx},
    io::Errno,
};

use crate::{
    tree::{device, file_type},
    writers::PATIENCE,
};

const PROC: &str = "/proc";

/// What the link of the initial namespace of processes says; its number is part of the kernel's interface.
const INITIAL_PIDS: &str = "pid:[4026531836]";

/// The first process.
const INIT: &str = "1";

/// What a link in `/proc/<pid>/fd` says of an instance of `io_uring`.
const RING: &str = "anon_inode:[io_uring]";

/// How often a ring is looked at whose owner is at work on it: the kernel shows nothing of it then.
const RING_LOOKS_MAX: usize = 20;

/// How long what is in flight may take to land. A disk that takes longer is in trouble, and the app waits.
const LANDING_MAX: Duration = Duration::from_secs(10);

/// Files by device and number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Direct {
    files: HashSet<(u64, u64)>,
}

impl Direct {
    /// Files that a process of this host has open for writing with `O_DIRECT`, and all that one has open for writing
    /// that has an `io_uring`: what is submitted there may be direct whatever the descriptor says.
    ///
    /// # Errors
    /// Why it cannot be known: then any file may be written to so.
    pub(crate) fn seen() -> Result<Self, String> {
        let (tell, told) = channel();
        // The kernel makes who looks at a process wait that is itself stuck.
        let look = thread::Builder::new().spawn(move || drop(tell.send(look_in(Path::new(PROC)))));
        look.map_err(|error| format!("cannot look at {PROC}: {error}"))?;
        told.recv_timeout(PATIENCE).map_err(|_| format!("{PROC} gave no answer within {PATIENCE:?}"))?
    }

    /// Whether it is one of them.
    pub(crate) fn has(&self, stat: &Statx) -> bool {
        !self.files.is_empty()
            && file_type(stat) == FileType::RegularFile
            && self.files.contains(&(device(stat), stat.stx_ino))
    }

    /// Those of both.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.files.extend(other.files);
        self
    }

    fn note(&mut self, link: &Path) {
        // What is gone by now is written to no more. No filesystem of a network is asked: it might not answer.
        let flags = AtFlags::STATX_DONT_SYNC;
        if let Ok(found) = statx(CWD, link, flags, StatxFlags::BASIC_STATS)
            && file_type(&found) == FileType::RegularFile
        {
            self.files.insert((device(&found), found.stx_ino));
        }
    }
}

fn look_in(proc: &Path) -> Result<Direct, String> {
    let why = |path: &Path, error: &io::Error| format!("cannot look at {}: {error}", path.display());
    let namespace = proc.join("self/ns/pid");
    match fs::read_link(&namespace) {
        Ok(link) if link.as_os_str() == INITIAL_PIDS => {}
        Ok(_) => return Err("volsnap does not see all processes of the host: it runs in a container".into()),
        Err(error) => return Err(why(&namespace, &error)),
    }
    let mut direct = Direct::default();
    for entry in fs::read_dir(proc).map_err(|error| why(proc, &error))? {
        let entry = entry.map_err(|error| why(proc, &error))?;
        if entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let process = entry.path();
            match look_at(&process, &mut direct) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                // A machine's first process may have rights that nobody else has, and writes no data of apps.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && process.ends_with(INIT) => {}
                Err(error) => return Err(why(&process, &error)),
            }
        }
    }
    Ok(direct)
}

/// A process that ended has no files open, and a descriptor that was closed is none.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

fn look_at(process: &Path, direct: &mut Direct) -> io::Result<()> {
    let (mut writable, mut has_ring) = (Vec::new(), false);
    for entry in fs::read_dir(process.join("fd"))? {
        let link = entry?.path();
        let info = process.join("fdinfo").join(link.file_name().unwrap_or_default());
        let target = match fs::read_link(&link) {
            Err(error) if is_gone(&error) => continue,
            target => target?,
        };
        if target.as_os_str() == RING {
            has_ring = true;
            see_ring(&info)?;
        } else if target.is_absolute() {
            let flags = match fs::read_to_string(&info) {
                Err(error) if is_gone(&error) => continue,
                info => flags(&info?),
            };
            let Some(flags) = flags else { return Err(io::Error::other("what it says of a descriptor has no flags")) };
            if flags.intersection(OFlags::ACCMODE) != OFlags::RDONLY {
                match flags.contains(OFlags::DIRECT) {
                    true => direct.note(&link),
                    false => writable.push(link),
                }
            }
        }
    }
    if has_ring {
        writable.iter().for_each(|link| direct.note(link));
    }
    Ok(())
}

/// `flags: 0140002` (`proc_pid_fdinfo(5)`), in octal.
fn flags(info: &str) -> Option<OFlags> {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(OFlags::from_bits_retain(u32::from_str_radix(flags.trim(), 8).ok()?))
}

/// Fails if a ring has files of its own: they need no descriptor, and their paths are those of another view of the
/// filesystems, so nothing tells which files they are.
fn see_ring(info: &Path) -> io::Result<()> {
    for _ in 0..RING_LOOKS_MAX {
        let info = match fs::read_to_string(info) {
            Err(error) if is_gone(&error) => return Ok(()),
            info => info?,
        };
        match files_of_ring(&info) {
            Some(0) => return Ok(()),
            Some(_) => return Err(io::Error::other("it has files registered with io_uring, which cannot be told")),
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
    Err(io::Error::other("its io_uring is never at rest"))
}

/// How many files are registered; `None` if nothing is shown. `UserFiles: 2`, then a line for each, `    0: name`.
fn files_of_ring(info: &str) -> Option<usize> {
    let mut lines = info.lines().skip_while(|line| !line.starts_with("UserFiles:"));
    lines.next()?;
    Some(lines.take_while(|line| line.starts_with(' ')).filter(|line| !line.trim_end().ends_with("<none>")).count())
}

/// Waits until what was in flight to a file has landed, by sharing its blocks with one that has no name: that waits for
/// direct writes, and changes nothing of the file. Where blocks cannot be shared no call waits for them, and what a
/// frozen process has in flight there is read as a power cut might leave it; it was not told that it is written.
///
/// # Errors
/// If it takes too long: on some kernels a write of a frozen process completes only in that process. Nothing of the file
/// may be read then, since that might wait too.
pub(crate) fn land(file: &OwnedFd, unnamed: OwnedFd) -> Result<(), String> {
    let file = file.try_clone().map_err(|error| error.to_string())?;
    let (tell, told) = channel();
    let wait = move || {
        let _ = ioctl_ficlone(&unnamed, &file);
        let _ = tell.send(());
    };
    thread::Builder::new().spawn(wait).map_err(|error| error.to_string())?;
    match told.recv_timeout(LANDING_MAX) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("direct writes that were begun before the app was frozen did not end within {LANDING_MAX:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::OpenOptionsExt};

    use super::*;
    use crate::tree::stat;

    #[test]
    fn a_file_that_is_open_for_direct_writes_is_seen_and_no_other() {
        // On a disk: in memory there are no direct writes.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let open = |name: &str, flags: OFlags| {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).custom_flags(flags.bits().cast_signed());
            options.open(dir.path().join(name)).unwrap()
        };
        let (written, ordinary) = (open("direct", OFlags::DIRECT), open("ordinary", OFlags::empty()));
        let mut options = fs::OpenOptions::new();
        let read = options.read(true).custom_flags(OFlags::DIRECT.bits().cast_signed());
        let read = read.open(dir.path().join("ordinary")).unwrap();
        let Ok(direct) = Direct::seen() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"));
            return eprintln!("skipped: not all processes can be looked at");
        };
        let has = |file: &File| direct.has(&stat(file, c"").unwrap());
        assert!(has(&written) && !has(&ordinary) && !has(&read));
        let closed = stat(&written, c"").unwrap();
        drop(written);
        assert!(!Direct::seen().unwrap().has(&closed));
    }

    #[test]
    fn flags_and_the_files_of_a_ring_are_read_as_the_kernel_writes_them() {
        let info = "pos:\t0\nflags:\t02140001\nmnt_id:\t30\nino:\t12\n";
        assert!(flags(info).unwrap().contains(OFlags::DIRECT | OFlags::WRONLY));
        assert!(!flags("pos:\t0\nflags:\t0100002\n").unwrap().contains(OFlags::DIRECT));
        assert_eq!(flags("pos:\t0\n"), None);
        let ring = |files: &str| format!("pos:\t0\nSqThread:\t-1\n{files}UserBufs:\t0\nPollList:\n");
        assert_eq!(files_of_ring(&ring("UserFiles:\t0\n")), Some(0));
        assert_eq!(files_of_ring(&ring("UserFiles:\t2\n    0: a-file\n    1: <none>\n")), Some(1));
        assert_eq!(files_of_ring("pos:\t0\nflags:\t02000002\n"), None);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(look_in(dir.path()).is_err());
        fs::create_dir_all(dir.path().join("self/ns")).unwrap();
        let namespace = dir.path().join("self/ns/pid");
        std::os::unix::fs::symlink("pid:[4026532000]", &namespace).unwrap();
        assert!(look_in(dir.path()).unwrap_err().contains("container"));
        fs::remove_file(&namespace).unwrap();
        std::os::unix::fs::symlink(INITIAL_PIDS, namespace).unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        assert!(look_in(dir.path()).unwrap().files.is_empty(), "it ended");
        fs::create_dir_all(dir.path().join("8/fd")).unwrap();
        std::os::unix::fs::symlink("/a-file", dir.path().join("8/fd/3")).unwrap();
        fs::create_dir_all(dir.path().join("8/fdinfo/3")).unwrap();
        assert!(look_in(dir.path()).is_err(), "a descriptor of which nothing is told");
    }
}
