//! Where the archives and the restored trees lie, and how fast that disk is by itself.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::run::{Outcome, run_quietly};

/// What is written to see how fast the disk is.
const PROBE_BYTES: u64 = 1 << 30;
/// The disk in memory: enough for the largest data, their archive and their restored tree.
const MEMORY_DISK_BYTES: u64 = 14 << 30;
/// And for a million files, twice.
const MEMORY_DISK_INODES: &str = "2500000";
/// What the largest data need, with their archive and their restored tree.
const NEEDED_BYTES: u64 = 16 << 30;

/// An ext4 on a loop device over a file in memory. The sweeper of the scratch directory unmounts both; the loop device
/// goes with its filesystem.
pub fn memory_disk(scratch: &Path) -> Outcome<PathBuf> {
    let (memory, disk) = (scratch.join("memory"), scratch.join("memory-disk"));
    let failed = |e: std::io::Error| format!("cannot make a disk in memory: {e}");
    for dir in [&memory, &disk] {
        fs::create_dir(dir).map_err(failed)?;
    }
    let ask = |program: &str, words: &[&str], paths: &[&Path]| {
        let mut command = Command::new(program);
        command.args(words).args(paths);
        run_quietly(command)
    };
    ask("mount", &["-t", "tmpfs", "-o", "size=90%", "volsnap-bench"], &[&memory])?;
    let image = memory.join("image");
    fs::File::create(&image).and_then(|file| file.set_len(MEMORY_DISK_BYTES)).map_err(failed)?;
    ask("mkfs.ext4", &["-q", "-F", "-m", "0", "-N", MEMORY_DISK_INODES], &[&image])?;
    // What is removed is given back at once: the memory is needed for what comes next.
    ask("mount", &["-o", "loop,discard"], &[&image, &disk])?;
    Ok(disk)
}

/// An error if the data do not fit, for one in `scale` of them.
pub fn check_space(dir: &Path, scale: u64) -> Outcome {
    let found = rustix::fs::statvfs(dir).map_err(|e| format!("cannot look at {}: {e}", dir.display()))?;
    let (free, needed) = (found.f_bavail * found.f_frsize, NEEDED_BYTES / scale);
    let place = dir.display();
    if free >= needed { Ok(()) } else { Err(format!("{place} has {free} bytes free; {needed} are needed")) }
}

/// Bytes that the disk takes in a second, written one after the other and synced.
pub fn disk_speed(dir: &Path, scale: u64) -> Outcome<u64> {
    let path = dir.join("probe");
    // Not zeros, which some disks do not write.
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let blocks = (PROBE_BYTES / scale).div_ceil(block.len() as u64);
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
