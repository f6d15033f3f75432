//! Processes of the host that have files of a directory open for writing, by what `/proc` shows of them.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use volsnap_core::{
    model::Writer,
    ports::{FsError, FsOp},
};

use crate::errno::io_error;

const PROC: &str = "/proc";

/// How long a look may take. A tenth of a millisecond for each process is usual; the kernel makes who looks at a process
/// wait that is itself stuck in the memory or the mounts that it is asked about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How many processes are named for each directory: whoever stops these looks again.
const WRITERS_MAX: usize = 8;

/// By this bit of its mode a link in `/proc/<pid>/fd` says that the file is open for writing (`proc_pid_fd(5)`).
const WRITABLE: u32 = 0o200;

/// Processes that have a file below one of the directories open for writing, or mapped shared and writable.
///
/// A file is known by the path that the kernel has for it now, which follows renames above it. What was entered by
/// way of another mount of the same directory is not recognised.
pub(crate) fn writers(dirs: &[PathBuf]) -> Result<Vec<Writer>, FsError> {
    let fail = |error: io::Error| io_error(FsOp::Look, PROC, &error);
    let own = std::process::id();
    let here = View::of(&Path::new(PROC).join("self")).map_err(fail)?;
    let mut room = vec![WRITERS_MAX; dirs.len()];
    let mut writers = Vec::new();
    for entry in fs::read_dir(PROC).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).filter(|pid| *pid != own) else {
            continue;
        };
        let process = entry.path();
        // Any error from here on is that of a process that has ended, or that is not ours to look at.
        if !View::of(&process).is_ok_and(|view| view.shares(&here)) {
            continue;
        }
        let wanted = |path: &Path| dirs.iter().any(|dir| path.starts_with(dir));
        let mut files = opened(&process, wanted).unwrap_or_default();
        files.extend(mapped(&process, wanted).unwrap_or_default());
        for (dir, room) in dirs.iter().zip(&mut room).filter(|(_, room)| **room > 0) {
            if let Some(path) = files.iter().find(|path| path.starts_with(dir)) {
                *room -= 1;
                let program = fs::read(process.join("comm")).unwrap_or_default();
                let program = String::from_utf8_lossy(program.trim_ascii_end()).into_owned();
                writers.push(Writer { pid, program, path: path.clone() });
            }
        }
    }
    Ok(writers)
}

/// What a process takes for `/`.
struct View {
    mounts: PathBuf,
    root: (u64, u64),
}

impl View {
    fn of(process: &Path) -> io::Result<View> {
        let root = fs::metadata(process.join("root"))?;
        Ok(View { mounts: fs::read_link(process.join("ns/mnt"))?, root: (root.dev(), root.ino()) })
    }

    /// Whether paths mean to both the same, as a rule. A service that its manager gave mounts of its own (systemd's
    /// `PrivateTmp=`, `ProtectSystem=`) has the host's root; a container has another one, and is the container engine's
    /// to tell of.
    fn shares(&self, other: &View) -> bool {
        self.mounts == other.mounts || self.root == other.root
    }
}

/// Wanted files that a process has open for writing.
fn opened(process: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        let link = entry?.path();
        let Ok(path) = fs::read_link(&link) else { continue };
        if wanted(&path) && fs::symlink_metadata(&link).is_ok_and(|link| link.mode() & WRITABLE != 0) {
            // Not so for a deleted file, and for one that only looks so from mounts of its own.
            let same = fs::metadata(&link).and_then(|open| {
                fs::metadata(&path).map(|named| (open.dev(), open.ino()) == (named.dev(), named.ino()))
            });
            if same.unwrap_or(false) {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Wanted files that a process may write to through its memory; it may have closed them since.
fn mapped(process: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let maps = fs::read(process.join("maps"))?;
    let shared = maps.split(|byte| *byte == b'\n').filter_map(shared_writable);
    let named =
        |(inode, path): &(u64, PathBuf)| wanted(path) && fs::metadata(path).is_ok_and(|named| named.ino() == *inode);
    Ok(shared.filter(named).map(|(_, path)| path).collect())
}

/// `7f00-7f01 rw-s 00000000 fe:00 1234      /srv/data/file` (`proc_pid_maps(5)`): inode and path, if what is written to
/// the memory goes to a file.
fn shared_writable(line: &[u8]) -> Option<(u64, PathBuf)> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mode = fields.nth(1)?;
    let inode = str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
    let path = fields.next()?.trim_ascii_start();
    (mode.get(1) == Some(&b'w') && mode.get(3) == Some(&b's') && path.starts_with(b"/"))
        .then(|| (inode, PathBuf::from(OsStr::from_bytes(path))))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A process that holds an open file, until dropped.
    struct Holder(Child);

    impl Holder {
        fn new(command: &mut Command) -> Holder {
            Holder(command.spawn().unwrap())
        }

        fn writing(program: &[&str], path: &Path) -> Holder {
            let file = File::options().append(true).create(true).open(path).unwrap();
            Holder::new(Command::new(program[0]).args(&program[1..]).stdin(Stdio::null()).stdout(file))
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    const SLEEP: [&str; 2] = ["sleep", "60"];

    /// Two directories, one of which has the beginning of its name from the other.
    fn world() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let (data, data2) = (base.join("data"), base.join("data2"));
        fs::create_dir_all(data.join("below")).unwrap();
        fs::create_dir(&data2).unwrap();
        (dir, data, data2)
    }

    #[test]
    fn who_has_a_file_open_for_writing_is_named_with_it_wherever_the_directory_is_by_now() {
        let (_dir, data, data2) = world();
        let holder = Holder::writing(&SLEEP, &data.join("below/log"));
        let (pid, program) = (holder.0.id(), "sleep".to_string());
        let writer = Writer { pid, program: program.clone(), path: data.join("below/log") };
        assert_eq!(writers(&[data2.clone(), data.clone()]).unwrap(), [writer]);
        assert_eq!(writers(std::slice::from_ref(&data2)).unwrap(), []);

        let aside = data2.join("aside");
        fs::rename(&data, &aside).unwrap();
        assert_eq!(writers(&[data]).unwrap(), []);
        let writer = Writer { pid, program, path: aside.join("below/log") };
        assert_eq!(writers(&[aside]).unwrap(), [writer]);
    }

    #[test]
    fn readers_ourselves_and_those_who_hold_a_deleted_file_are_not_named() {
        let (_dir, data, data2) = world();
        let ours = File::create(data.join("ours")).unwrap();
        let reader = File::open(data.join("ours")).unwrap();
        let _reader = Holder::new(Command::new(SLEEP[0]).arg(SLEEP[1]).stdin(reader));
        let _deleted = Holder::writing(&SLEEP, &data.join("deleted"));
        fs::remove_file(data.join("deleted")).unwrap();
        let _beside = Holder::writing(&SLEEP, &data2.join("log"));
        assert_eq!(writers(&[data]).unwrap(), []);
        drop(ours);
    }

    #[test]
    fn a_few_processes_are_named_for_each_directory() {
        let (_dir, data, data2) = world();
        let hold = |_| Holder::writing(&SLEEP, &data.join("log"));
        let _many: Vec<Holder> = (0..WRITERS_MAX + 2).map(hold).collect();
        let other = Holder::writing(&SLEEP, &data2.join("log"));
        let found = writers(&[data.clone(), data2]).unwrap();
        assert_eq!(found.iter().filter(|writer| writer.path.starts_with(&data)).count(), WRITERS_MAX);
        assert_eq!(found.last().map(|writer| writer.pid), Some(other.0.id()));
    }

    #[test]
    fn a_service_with_mounts_of_its_own_is_named() {
        let test = "a_service_with_mounts_of_its_own_is_named";
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: needs root for mounts of its own");
            eprintln!("skipped: {test}: needs root for mounts of its own");
            return;
        }
        let (_dir, data, _) = world();
        let holder = Holder::writing(&["unshare", "--mount", "sleep", "60"], &data.join("log"));
        let process = Path::new(PROC).join(holder.0.id().to_string());
        let here = View::of(&Path::new(PROC).join("self")).unwrap();
        while View::of(&process).unwrap().mounts == here.mounts {
            std::thread::sleep(Duration::from_millis(1));
        }
        let found = writers(&[data]).unwrap();
        assert_eq!(found.iter().map(|writer| writer.pid).collect::<Vec<_>>(), [holder.0.id()]);
    }

    #[test]
    fn a_container_is_not_of_the_host_and_a_process_in_a_directory_of_it_is() {
        let view = |mounts: &str, root| View { mounts: mounts.into(), root };
        let here = view("mnt:[1]", (1, 2));
        assert!(!view("mnt:[2]", (9, 2)).shares(&here));
        assert!(view("mnt:[2]", (1, 2)).shares(&here));
        assert!(view("mnt:[1]", (1, 77)).shares(&here));
    }

    #[test]
    fn only_shared_and_writable_memory_of_a_file_counts() {
        let of = |line: &str| shared_writable(line.as_bytes());
        let path = PathBuf::from("/srv/a b/file");
        assert_eq!(of("7f00-7f01 rw-s 00000000 fe:00 1234                       /srv/a b/file"), Some((1234, path)));
        for line in [
            "7f00-7f01 r--s 00000000 fe:00 1234                       /srv/data/file",
            "7f00-7f01 rw-p 00000000 fe:00 1234                       /srv/data/file",
            "7f00-7f01 rw-s 00000000 00:05 1234                       anon_inode:[x]",
            "7f00-7f01 rw-s 00000000 00:00 0 ",
            "",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }
}
