//! Writes past the page cache, on a disk that takes its time for them. On btrfs that time is not counted to the group of
//! processes that writes, so that it cannot be slowed down in this way.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread::sleep,
    time::{Duration, SystemTime},
};

use super::{
    mounted::Mounted,
    scene::{JOBS, OPEN, Scene, quiet, seal},
};
use crate::archive::{precopy, stage};

const FILE_BYTES: usize = 24 << 20;
const BYTES_A_SECOND: usize = 4 << 20;

/// A group of processes for which one disk is slow.
struct Slow(PathBuf);

impl Slow {
    /// `None`, and told, where groups cannot be slowed down, which CI does not accept.
    fn new(mount: &Path) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let of = |line: &&str| line.split(' ').nth(1) == mount.to_str();
        let disk = mounts.lines().find(of).unwrap().split(' ').next().unwrap().to_string();
        let number = fs::metadata(&disk).unwrap().rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let name = format!("volsnap-slow-{}-{major}-{minor}", std::process::id());
        let one = Path::new("/sys/fs/cgroup/blkio").join(&name);
        let two = Path::new("/sys/fs/cgroup").join(&name);
        let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+io");
        for (group, file, limit) in [
            (one, "blkio.throttle.write_bps_device", format!("{major}:{minor} {BYTES_A_SECOND}")),
            (two, "io.max", format!("{major}:{minor} wbps={BYTES_A_SECOND}")),
        ] {
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let slow = Slow(group);
            if fs::write(slow.0.join(file), limit).is_ok() {
                return Some(slow);
            }
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no group can be slowed down");
        eprintln!("skipped: no group of processes can be slowed down");
        None
    }

    /// Begins to write a file over another one, in place and in one call past the page cache.
    fn write(&self, from: &Path, to: &Path) -> Child {
        let script = "echo $$ > \"$0/cgroup.procs\" && exec dd \"if=$1\" \"of=$2\" bs=24M iflag=fullblock oflag=direct \
                      conv=notrunc status=none";
        Command::new("sh").args(["-c", script]).args([&self.0, from, to]).spawn().unwrap()
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A slow write that was begun so long ago that the file's time of change is no sign of it.
fn in_the_middle_of_a_write(base: &Path, slow: &Slow) -> (Scene, Child) {
    let scene = Scene::new_in(base, 1);
    let (new, file) = (scene.path().join("new"), scene.volume(0).join("file"));
    fs::write(&new, vec![b'N'; FILE_BYTES]).unwrap();
    fs::write(&file, vec![b'O'; FILE_BYTES]).unwrap();
    let synced = Command::new("sync").arg("-f").arg(base).status().unwrap();
    assert!(synced.success());
    let before = fs::metadata(&file).unwrap().ctime_nsec();
    let writer = slow.write(&new, &file);
    let begun = || fs::metadata(&file).unwrap();
    while begun().ctime_nsec() == before {
        sleep(Duration::from_millis(5));
    }
    let age =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() - begun().ctime() as f64;
    while age() < 3.2 {
        sleep(Duration::from_millis(50));
    }
    (scene, writer)
}

/// What an archive in two passes holds of the file; the writer is waited for in between, or is still at work.
fn archived(base: &Path, slow: &Slow, waited_for: bool) -> Vec<u8> {
    let (scene, mut writer) = in_the_middle_of_a_write(base, slow);
    let precopied = precopy(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &quiet()).unwrap().unwrap();
    assert!(writer.try_wait().unwrap().is_none(), "the disk is not slow enough for this test");
    if waited_for {
        assert!(writer.wait().unwrap().success());
    }
    let draft = precopied.capture(&quiet()).unwrap();
    assert!(writer.wait().unwrap().success());
    let sealed = seal(draft).unwrap();
    let job = volsnap_core::ports::StageJob { limits: OPEN, ..scene.job(&sealed.digest, Some(0)) };
    stage(&scene.archive(), &job, JOBS, &quiet()).unwrap();
    fs::read(job.private.join("staged/file")).unwrap()
}

fn is_new(found: &[u8]) -> bool {
    let old = found.iter().filter(|byte| **byte != b'N').count();
    eprintln!("{old} old bytes");
    old == 0 && found.len() == FILE_BYTES
}

#[test]
fn a_direct_write_that_began_before_the_copy_and_ended_during_it_is_in_the_snapshot() {
    for kind in ["ext4", "xfs"] {
        let Some(mounted) = Mounted::new(kind) else { continue };
        let Some(slow) = Slow::new(&mounted.path()) else { return };
        assert!(is_new(&archived(&mounted.path(), &slow, true)), "{kind}");
    }
}

#[test]
fn a_direct_write_in_flight_has_landed_before_it_is_read_under_the_freeze() {
    let Some(mounted) = Mounted::new("xfs") else { return };
    let Some(slow) = Slow::new(&mounted.path()) else { return };
    assert!(is_new(&archived(&mounted.path(), &slow, false)));
}
