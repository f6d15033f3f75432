//! A place for a demonstration or a measurement, and the process that takes it away however we end.
//!
//! The sweeper is a process of its own, in a process group of its own, that waits for the end of its standard input.
//! We hold the other end, so it comes also when we end by Ctrl-C, by an error or by a kill -9: there is one way of
//! cleaning up, and every run takes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};

use crate::{engine, run::Outcome};

/// On a real disk, unlike a temporary directory in memory; and short, since sockets live in it.
const BASE: &str = "/var/tmp";
const PREFIX: &str = "volsnap-";

/// Processes may take so long to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// The programs that we start, and those that they start. Nothing else is ended, whatever its command line says.
const OURS: [&str; 14] = [
    "volsnap",
    "dockerd",
    "containerd",
    "runc",
    "docker-proxy",
    "strace",
    "tar",
    "bsdtar",
    "zstd",
    "restic",
    "rustic",
    "borg",
    "postgres",
    "pgbench",
];

/// Remembers a directory of the same name in another place, for the sweeper.
const ELSEWHERE: &str = "elsewhere";

/// A directory that lives as long as this value.
pub struct Scratch {
    dir: PathBuf,
    sweeper: Option<Child>,
}

impl Scratch {
    /// A new directory, and its sweeper.
    pub fn new(purpose: &str) -> Outcome<Self> {
        let dir = Path::new(BASE).join(format!("{PREFIX}{purpose}-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
        let sweeper = start_sweeper(&dir).inspect_err(|_| {
            // It is empty; nobody else would remove it.
            let _ = fs::remove_dir(&dir);
        })?;
        Ok(Scratch { dir, sweeper: Some(sweeper) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A second directory, on the filesystem of `base`, that goes when the first one goes.
    pub fn elsewhere(&self, base: &Path) -> Outcome<PathBuf> {
        let failed = |e: io::Error| format!("cannot make a directory in {}: {e}", base.display());
        let dir = fs::canonicalize(base).map_err(failed)?.join(self.dir.file_name().unwrap_or_default());
        fs::create_dir(&dir).map_err(failed)?;
        fs::write(self.dir.join(ELSEWHERE), dir.as_os_str().as_encoded_bytes()).map_err(failed)?;
        Ok(dir)
    }

    /// Ends everything that lives in the directory and removes it; an error says what could not be removed.
    pub fn close(mut self) -> Outcome {
        self.sweep()
    }

    fn sweep(&mut self) -> Outcome {
        let Some(mut sweeper) = self.sweeper.take() else { return Ok(()) };
        drop(sweeper.stdin.take());
        let swept = sweeper.wait().is_ok_and(|status| status.success());
        if swept { Ok(()) } else { Err(format!("{} could not be removed", self.dir.display())) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.sweep() {
            eprintln!("xtask: {error}");
        }
    }
}

fn start_sweeper(dir: &Path) -> Outcome<Child> {
    let us = std::env::current_exe().map_err(|e| format!("cannot find myself: {e}"))?;
    let mut sweeper = Command::new(us);
    sweeper.arg("sweep").arg(dir).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
    sweeper.spawn().map_err(|e| format!("cannot start the sweeper: {e}"))
}

/// What the sweeper does: waits until the run has ended, then leaves nothing of it.
pub fn sweep(dir: &Path) -> Outcome {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    if dir.parent() != Some(Path::new(BASE)) || !name.starts_with(PREFIX) {
        return Err(format!("{} is not a directory of ours", dir.display()));
    }
    io::stdin().read_to_end(&mut Vec::new()).map_err(|e| format!("cannot wait: {e}"))?;
    engine::give_back(dir);
    end_processes(dir);
    if let Some(elsewhere) = noted(dir) {
        end_processes(&elsewhere);
        remove(&elsewhere)?;
    }
    unmount_below(dir);
    remove_control_groups(&control_group(dir));
    remove(dir)
}

fn remove(dir: &Path) -> Outcome {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", dir.display())),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The second directory, if there is one: only one of our own name is believed to be ours.
fn noted(dir: &Path) -> Option<PathBuf> {
    let note = PathBuf::from(fs::read_to_string(dir.join(ELSEWHERE)).ok()?);
    (note.is_absolute() && note.file_name() == dir.file_name()).then_some(note)
}

/// Kills until none is left: a process that is killed while it starts another leaves that one.
fn end_processes(dir: &Path) {
    let mark = dir.display().to_string();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pids = processes_of(&mark);
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // An error means that it has ended in between.
            let _ = kill_process(pid, Signal::KILL);
        }
        if pids.is_empty() || Instant::now() > deadline {
            return;
        }
        sleep(Duration::from_millis(10));
    }
}

/// Our programs that name the directory on their command line, and all their children: a container's own processes know
/// nothing of it.
fn processes_of(mark: &str) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // "pid (name) state parent …", and the name may hold brackets of its own.
        let Some((_, stat)) = stat.rsplit_once(')') else { continue };
        let mut stat = stat.split_whitespace();
        if stat.next() == Some("Z") {
            continue;
        }
        let parent = stat.next().and_then(|parent| parent.parse().ok()).unwrap_or_default();
        children.entry(parent).or_default().push(pid);
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        let program = Path::new(command.split('\0').next().unwrap_or_default()).file_name().unwrap_or_default();
        let program = program.to_string_lossy();
        if command.contains(mark) && OURS.iter().any(|ours| program.starts_with(ours)) {
            found.push(pid);
        }
    }
    let mut all = BTreeSet::new();
    while let Some(pid) = found.pop() {
        if all.insert(pid) {
            found.extend(children.get(&pid).into_iter().flatten());
        }
    }
    all
}

/// What the engine mounted, the innermost first.
pub fn unmount_below(dir: &Path) {
    let below = format!("{}/", dir.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut places: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    places.sort_unstable();
    for place in places.iter().rev().filter(|place| place.starts_with(&below)) {
        // What stays mounted is told by the removal of the directory, which fails then.
        let _ = unmount(*place, UnmountFlags::DETACH);
    }
}

/// The control group below which the private engine of that directory makes those of its containers.
pub fn control_group(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn remove_control_groups(name: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_path_buf()]) {
        remove_group(&hierarchy.join(name));
    }
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    // It is empty, or was never there.
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweeper_removes_nothing_but_a_directory_of_ours() {
        for strange in ["/", "/var/tmp", "/etc/volsnap-demo-1", "/var/tmp/other-1", "/var/tmp/volsnap-demo-1/inner"] {
            assert!(sweep(Path::new(strange)).is_err(), "{strange}");
        }
    }

    #[test]
    fn a_second_directory_is_believed_only_by_its_name() {
        let dir = std::env::temp_dir().join(format!("volsnap-noted-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let mut believed = Vec::new();
        let same = Path::new("/mnt").join(dir.file_name().unwrap());
        for note in [same.as_path(), Path::new("/mnt/data"), Path::new(dir.file_name().unwrap())] {
            fs::write(dir.join(ELSEWHERE), note.to_str().unwrap()).unwrap();
            believed.push(noted(&dir));
        }
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(believed, [Some(same), None, None]);
    }

    #[test]
    fn a_process_counts_as_ours_only_by_program_and_directory() {
        // This process is none of the programs, whatever stands on its command line.
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!processes_of("xtask").contains(&own));
    }
}
