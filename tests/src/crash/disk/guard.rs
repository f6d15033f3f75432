//! A process beside the test that takes its disks down when the test ends, however it ends.
//!
//! The test serves the very disks that it waits for. Killed, it cannot end: a thread that waits for a disk waits for a
//! server that is gone, cannot be interrupted, and keeps the server's connection open, since threads share their
//! descriptors; so the kernel never learns that nobody will answer. Somebody else has to end the connection. What waits
//! then fails, the process ends, its filesystems and devices are let go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use nix::sys::{
    prctl::set_pdeathsig,
    signal::{SigSet, Signal},
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What says that the guard stands.
const READY: u8 = b'.';

/// How often, and how long between, the guard tries to take everything down.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(100);

/// The directory for all that this process mounts.
static GUARDED: OnceLock<PathBuf> = OnceLock::new();

/// The directory below which the guard of this process takes everything down; `None` if it has no guard.
#[must_use]
pub fn guarded() -> Option<&'static Path> {
    GUARDED.get().map(PathBuf::as_path)
}

/// Starts the guard of this process, the binary `volsnap-guard`; once.
///
/// # Errors
/// If it does not stand.
pub fn start(guard: &Path) -> io::Result<()> {
    let dir = tempfile::Builder::new().prefix("volsnap-recorded-").tempdir()?.keep();
    let mut command = Command::new(guard);
    command.arg(&dir).arg(std::process::id().to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    let (tell, told) = mpsc::channel();
    // The guard hears of the end of the thread that started it. This one never waits for a disk, so it ends at once.
    let parked = move || {
        let ready = command.spawn().and_then(|mut guard| {
            let mut answer = [0];
            let mut output = guard.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            io::Read::read_exact(&mut output, &mut answer)
        });
        let _ = tell.send(ready);
        loop {
            std::thread::park();
        }
    };
    std::thread::Builder::new().name("guarded".into()).spawn(parked)?;
    told.recv().map_err(io::Error::other)??;
    GUARDED.set(dir).map_err(|_| io::Error::other("this process has a guard already"))
}

/// The guard: waits for the end of the process that started it, and takes down what it left below `dir`.
///
/// # Errors
/// What is left.
pub fn stand(dir: &Path, test: u32) -> io::Result<()> {
    // Whoever ends the test's process group shall not end this.
    rustix::process::setsid()?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    set_pdeathsig(Signal::SIGTERM)?;
    let parent = rustix::process::getppid().map(rustix::process::Pid::as_raw_nonzero);
    if parent.is_some_and(|parent| i64::from(parent.get()) == i64::from(test)) {
        io::Write::write_all(&mut io::stdout(), &[READY])?;
        io::Write::flush(&mut io::stdout())?;
        signals.wait()?;
    }
    take_down(dir)
}

/// Ends what serves, lets go of devices and mounts, and removes the directory.
fn take_down(dir: &Path) -> io::Result<()> {
    let mut tries_left = TRIES;
    loop {
        let done = end_connections(dir).and_then(|()| let_go(dir)).and_then(|()| fs::remove_dir(dir));
        match done {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if tries_left > 0 => std::thread::sleep(PAUSE),
            done => return done,
        }
        tries_left -= 1;
    }
}

/// Mount points below a directory, the innermost last, with their types and the minor numbers of their devices. Looks at
/// none of them: that could wait for a server that is gone.
fn mounts(dir: &Path) -> io::Result<Vec<(PathBuf, String, String)>> {
    let parse = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(2);
        let (device, point) = (front.next()?, front.nth(1)?);
        let (_, minor) = device.split_once(':')?;
        Some((PathBuf::from(point), back.split(' ').next()?.to_string(), minor.to_string()))
    };
    let listed = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(listed.lines().filter_map(parse).filter(|(point, ..)| point.starts_with(dir) && point != dir).collect())
}

/// Makes every request to a server below `dir` fail, those that wait already and those to come.
fn end_connections(dir: &Path) -> io::Result<()> {
    let served: Vec<String> =
        mounts(dir)?.into_iter().filter(|(_, kind, _)| kind.starts_with("fuse")).map(|(.., minor)| minor).collect();
    if served.is_empty() {
        return Ok(());
    }
    let control = dir.join("control");
    fs::create_dir_all(&control)?;
    mount("fusectl", &control, "fusectl", MountFlags::empty(), None)?;
    // A connection that is over already has no name any more.
    let ended = served.iter().try_for_each(|minor| match fs::write(control.join(minor).join("abort"), "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    });
    unmount(&control, UnmountFlags::DETACH)?;
    ended
}

/// Devices first: their files have no path any more when what serves them is unmounted.
fn let_go(dir: &Path) -> io::Result<()> {
    for device in devices(dir)? {
        // One that is in use goes with its last user.
        Command::new("losetup").arg("-d").arg(device).status()?;
    }
    for (point, ..) in mounts(dir)?.iter().rev() {
        unmount(point, UnmountFlags::DETACH)?;
    }
    remove_empty_below(dir)
}

/// Loop devices whose files lie below a directory.
fn devices(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        // Others come and go meanwhile.
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(file.trim_end()).starts_with(dir) {
            devices.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    Ok(devices)
}

/// Nothing but mount points was ever made there, so what is not empty is not ours to remove.
fn remove_empty_below(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty_below(&entry.path())?;
            fs::remove_dir(entry.path())?;
        }
    }
    Ok(())
}
