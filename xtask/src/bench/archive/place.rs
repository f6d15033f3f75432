//! Where the archives and the restored trees lie, and how fast that disk is by itself.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    bench::tables::filesystem,
    run::{Outcome, run_quietly},
};

/// More than this is not written to see how fast the disk is.
const PROBE_BYTES_MAX: u64 = 1 << 30;
/// A disk of our own: enough for the largest data, their archive and their restored tree.
const OWN_DISK_BYTES: u64 = 14 << 30;
/// And for a million files, twice.
const OWN_DISK_INODES: &str = "2500000";
/// What the largest data need, with their archive and their restored tree.
const NEEDED_BYTES: u64 = 12 << 30;

/// An ext4 of our own on a loop device over a file, in memory or on the disk of the scratch directory, whose sweeper
/// unmounts it; the loop device goes with its filesystem.
pub fn own_disk(scratch: &Path, in_memory: bool) -> Outcome<PathBuf> {
    let (backing, disk) = (scratch.join("backing"), scratch.join("disk"));
    let failed = |e: std::io::Error| format!("cannot make a disk: {e}");
    for dir in [&backing, &disk] {
        fs::create_dir(dir).map_err(failed)?;
    }
    let ask = |program: &str, words: &[&str], paths: &[&Path]| {
        let mut command = Command::new(program);
        command.args(words).args(paths);
        run_quietly(command)
    };
    // In memory, what is removed is given back at once: it is needed for what comes next. What is not yet initialised
    // stays so, or the kernel would write meanwhile.
    let mut options = "loop,noinit_itable".to_string();
    if in_memory {
        options.push_str(",discard");
        ask("mount", &["-t", "tmpfs", "-o", "size=90%", "volsnap-bench"], &[&backing])?;
    }
    let image = backing.join("image");
    fs::File::create(&image).and_then(|file| file.set_len(OWN_DISK_BYTES)).map_err(failed)?;
    ask("mkfs.ext4", &["-q", "-F", "-m", "0", "-N", OWN_DISK_INODES], &[&image])?;
    ask("mount", &["-o", &options], &[&image, &disk])?;
    Ok(disk)
}

/// Whether trees that were removed slow down those that are made afterwards: ext4 without a journal looks for inodes
/// that were not removed lately, one by one, at each new file.
pub fn forgets_slowly(dir: &Path) -> Outcome<bool> {
    let failed = |e: std::io::Error| format!("cannot look at {}: {e}", dir.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(failed)?;
    if filesystem(&mounts, dir) != "ext4" {
        return Ok(false);
    }
    let device = rustix::fs::stat(dir).map_err(|e| failed(e.into()))?.st_dev;
    let numbers = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let device = fs::canonicalize(Path::new("/sys/dev/block").join(numbers)).map_err(failed)?;
    let journal = format!("{}-", device.file_name().unwrap_or_default().to_string_lossy());
    let mut journals = fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    Ok(!journals.any(|entry| entry.file_name().to_string_lossy().starts_with(&journal)))
}

/// An error if the data do not fit, for one in `scale` of them.
pub fn check_space(dir: &Path, scale: u64) -> Outcome {
    let found = rustix::fs::statvfs(dir).map_err(|e| format!("cannot look at {}: {e}", dir.display()))?;
    let (free, needed) = (found.f_bavail * found.f_frsize, NEEDED_BYTES / scale);
    let place = dir.display();
    if free >= needed { Ok(()) } else { Err(format!("{place} has {free} bytes free; {needed} are needed")) }
}

/// Bytes that the disk takes in a second when about so many are written one after the other and synced.
pub fn disk_speed(dir: &Path, bytes: u64) -> Outcome<u64> {
    let path = dir.join("probe");
    // Not zeros, which some disks do not write.
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let blocks = bytes.min(PROBE_BYTES_MAX).div_ceil(block.len() as u64).max(1);
    rustix::fs::sync();
    let begin = Instant::now();
    let written = fs::File::create(&path).and_then(|mut file| {
        (0..blocks).try_for_each(|_| file.write_all(&block))?;
        file.sync_all()
    });
    let took_us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    written.and_then(|()| fs::remove_file(&path)).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(blocks * block.len() as u64 * 1_000_000 / took_us)
}
