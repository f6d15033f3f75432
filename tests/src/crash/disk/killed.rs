//! A test that is killed while its disks are busy, and what it leaves.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Kind, Rig, guard, namespace::outside};

/// Set for the one that is to be killed, with the filesystem that it keeps busy.
const BUSY: &str = "VOLSNAP_CRASH_BUSY";

/// What it says of itself, before its process and the directory of its mounts.
const AT_WORK: &str = "busy: ";

/// Until then nothing may be left.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// Threads that write to each disk.
const WRITERS: usize = 3;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The process that serves the disks.
    Server,
    /// The one that started it, as a test runner does whose patience is over.
    Starter,
}

/// The filesystem that this process is to keep busy until it is killed; `None` for the one that kills.
///
/// # Panics
/// If it is asked for one that there is not.
#[must_use]
pub fn asked() -> Option<Kind> {
    let name = std::env::var(BUSY).ok()?;
    Some(Kind::ALL.into_iter().find(|kind| kind.name() == name).expect("a filesystem"))
}

/// Writes and syncs on mounted disks, and mounts others again and again, for ever.
///
/// # Errors
/// If that does not work.
pub fn keep_busy(kind: Kind) -> Result<(), String> {
    let mut busy = Rig::new(kind, 2)?;
    busy.mount()?;
    let mut turning = Rig::new(kind, 1)?;
    let made = turning.disks().lock().images();
    turning.disks().lock().load(made);
    let dir = guard::guarded().ok_or("nobody guards")?;
    for disk in 0..busy.count() {
        for writer in 0..WRITERS {
            let file = busy.mount_point(disk).join(format!("file-{writer}"));
            std::thread::spawn(move || {
                loop {
                    fs::write(&file, [7; 200_000]).and_then(|()| fs::File::open(&file)?.sync_all()).expect("written");
                }
            });
        }
    }
    println!("{AT_WORK}{} {}", std::process::id(), dir.display());
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    loop {
        turning.mount()?;
        fs::write(turning.mount_point(0).join("file"), "x").map_err(|e| e.to_string())?;
        turning.unmount()?;
        turning.disks().lock().revert(&[]);
    }
}

/// Runs the test of that name as the one that is busy, kills it a while after, and gives what is left of it.
///
/// # Errors
/// If it does not get to work.
pub fn leftovers(test: &str, kind: Kind, victim: Victim, after: Duration) -> Result<Vec<String>, String> {
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(this);
    command.args(["--exact", test, "--nocapture"]).env(BUSY, kind.name());
    // It says that it failed, which is what it is for.
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut starter = outside(&mut command).spawn().map_err(|e| e.to_string())?;
    let mut said = BufReader::new(starter.stdout.take().ok_or("it has no output")?);
    let at_work = wait_for_work(&mut said);
    std::thread::sleep(after);
    let killed = match (&at_work, victim) {
        (Ok((server, _)), Victim::Server) => kill(Pid::from_raw(*server), Signal::SIGKILL).map_err(|e| e.to_string()),
        _ => starter.kill().map_err(|e| e.to_string()),
    };
    killed?;
    starter.wait().map_err(|e| e.to_string())?;
    let (server, dir) = at_work?;
    let end = Instant::now() + GONE_WITHIN;
    loop {
        let left = look(server, &dir);
        if left.is_empty() || Instant::now() > end {
            return Ok(left);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The process that serves the disks, and the directory of its mounts.
fn wait_for_work(said: &mut impl BufRead) -> Result<(i32, PathBuf), String> {
    for line in said.lines() {
        let line = line.map_err(|e| e.to_string())?;
        let said = line.split_once(AT_WORK).and_then(|(_, said)| said.split_once(' '));
        if let Some((process, dir)) = said {
            return Ok((process.parse().map_err(|_| line.clone())?, PathBuf::from(dir)));
        }
    }
    Err("it ended before it was at work".into())
}

/// What there is of a test: its process, mounts in any namespace, devices, its directory.
fn look(server: i32, dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    let process = Path::new("/proc").join(server.to_string());
    if process.exists() {
        let status = read(process.join("status"));
        let state = status.lines().find(|line| line.starts_with("State")).unwrap_or_default();
        left.push(format!("process {server}, {state}"));
    }
    let name = dir.to_string_lossy();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let mounts = read(process.path().join("mountinfo"));
        left.extend(mounts.lines().filter(|line| line.contains(&*name)).map(|line| format!("mount {line}")));
    }
    for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = read(device.path().join("loop/backing_file"));
        // What serves it may be unmounted already: it has a path within that, then.
        if file.starts_with(&*name) || ["/0", "/1"].contains(&file.trim_end()) {
            left.push(format!("device {} on {}", device.path().display(), file.trim_end()));
        }
    }
    if dir.exists() {
        left.push(format!("directory {name}"));
    }
    left
}
