//! Journals survive what a crash leaves of their files, and a full disk.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileTypeExt, MetadataExt, symlink},
    path::{Path, PathBuf},
};

use rustix::mount::MountFlags;
use uuid::Uuid;
use volsnap_core::{
    model::WorkloadId,
    ports::{FsErrorKind, Journals},
};
use volsnap_disk::Disk;

use crate::scratch::Scratch;

const WORKLOAD: WorkloadId = WorkloadId(Uuid::from_u128(0x0123_4567_89ab_7cde_8f01_2345_6789_abcd));

fn file(state: &Path, suffix: &str) -> PathBuf {
    state.join(format!("journal/{WORKLOAD}.json{suffix}"))
}

fn text(n: usize, len: usize) -> Vec<u8> {
    let mut bytes = format!("{{\"n\":{n},\"pad\":\"").into_bytes();
    bytes.resize(len - 2, b'x');
    bytes.extend(b"\"}");
    bytes
}

async fn read(disk: &Disk) -> Vec<u8> {
    disk.read_journal(WORKLOAD).await.unwrap().unwrap()
}

/// Fills a filesystem to the last byte and inode, and shows that it is full.
fn fill(dir: &Path) {
    let mut junk = OpenOptions::new().create(true).append(true).open(dir.join("junk")).unwrap();
    while junk.write_all(&[0; 4096]).is_ok() {}
    while junk.write_all(&[0; 1]).is_ok() {}
    fs::write(dir.join("probe"), "x").unwrap_err();
}

#[tokio::test]
async fn a_full_disk_refuses_no_replacement_within_the_reservation() {
    let Some(mut scratch) = Scratch::new("a_full_disk_refuses_no_replacement_within_the_reservation") else { return };
    let mount = scratch.tmpfs("small", "1m", MountFlags::empty());
    let disk = Disk::open(&mount.join("state")).unwrap();
    for first in [1000, 60_000, 65_536, 100_000] {
        disk.write_journal(WORKLOAD, &text(0, first)).await.unwrap();
        fill(&mount);
        let next = text(1, first + 16 * 1024);
        disk.write_journal(WORKLOAD, &next).await.unwrap();
        assert_eq!(read(&disk).await, next);
        for n in 2..10 {
            disk.write_journal(WORKLOAD, &text(n, first)).await.unwrap();
            assert_eq!(read(&disk).await, text(n, first));
        }
        disk.remove_journal(WORKLOAD).await.unwrap();
        fs::remove_file(mount.join("junk")).unwrap();
    }
}

#[tokio::test]
async fn a_journal_that_outgrows_a_full_disk_is_refused_and_the_old_one_stays() {
    let test = "a_journal_that_outgrows_a_full_disk_is_refused_and_the_old_one_stays";
    let Some(mut scratch) = Scratch::new(test) else { return };
    let mount = scratch.tmpfs("small", "1m", MountFlags::empty());
    let disk = Disk::open(&mount.join("state")).unwrap();
    disk.write_journal(WORKLOAD, &text(0, 1000)).await.unwrap();
    fill(&mount);
    let large = text(1, 300_000);
    assert_eq!(disk.write_journal(WORKLOAD, &large).await.unwrap_err().kind, FsErrorKind::NoSpace);
    assert_eq!(read(&disk).await, text(0, 1000));
    disk.write_journal(WORKLOAD, &text(2, 2000)).await.unwrap();
    assert_eq!(read(&disk).await, text(2, 2000));
    fs::remove_file(mount.join("junk")).unwrap();
    disk.write_journal(WORKLOAD, &large).await.unwrap();
    assert_eq!(read(&disk).await, large);
}

#[tokio::test]
async fn the_first_journal_on_a_full_disk_leaves_nothing() {
    let Some(mut scratch) = Scratch::new("the_first_journal_on_a_full_disk_leaves_nothing") else { return };
    let mount = scratch.tmpfs("small", "200k", MountFlags::empty());
    let disk = Disk::open(&mount.join("state")).unwrap();
    // Room for the journal and not for its successor.
    let error = disk.write_journal(WORKLOAD, &text(0, 1000)).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::NoSpace);
    assert_eq!(fs::read_dir(mount.join("state/journal")).unwrap().count(), 0);
    assert_eq!(disk.read_journal(WORKLOAD).await.unwrap(), None);
}

#[tokio::test]
async fn whatever_a_crash_leaves_of_the_spares_the_journal_is_read_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let torn: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"{\"torn"), Some(&[0; 200_000])];
    let mut n = 0;
    for spare in torn {
        for next in torn {
            for journal in [false, true] {
                disk.remove_journal(WORKLOAD).await.unwrap();
                if journal {
                    disk.write_journal(WORKLOAD, &text(n, 500)).await.unwrap();
                }
                for (suffix, left) in [(".spare", spare), (".next", next)] {
                    let path = file(dir.path(), suffix);
                    match left {
                        Some(bytes) => fs::write(path, bytes).unwrap(),
                        None => fs::remove_file(path).unwrap_or_default(),
                    }
                }
                let before = disk.read_journal(WORKLOAD).await.unwrap();
                assert_eq!(before, journal.then(|| text(n, 500)));
                assert_eq!(disk.journals().await.unwrap().len(), usize::from(journal));
                n += 1;
                disk.write_journal(WORKLOAD, &text(n, 500)).await.unwrap();
                assert_eq!(read(&disk).await, text(n, 500));
                let room = fs::metadata(file(dir.path(), ".spare")).unwrap().len();
                assert!(room >= 500 + 16 * 1024, "the spare has {room} bytes");
            }
        }
    }
}

#[tokio::test]
async fn the_old_journal_is_the_next_spare_so_its_blocks_are_never_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    disk.write_journal(WORKLOAD, &text(0, 100)).await.unwrap();
    let files = || ["", ".spare"].map(|suffix| fs::metadata(file(dir.path(), suffix)).unwrap());
    for n in 1..4 {
        let [old, spare] = files();
        disk.write_journal(WORKLOAD, &text(n, 100)).await.unwrap();
        let [journal, next] = files();
        assert_eq!((journal.ino(), next.ino()), (spare.ino(), old.ino()));
        // Whole blocks on disk, no holes.
        assert!(journal.blocks() * 512 >= journal.len() && next.blocks() * 512 >= next.len());
    }
}

#[tokio::test]
async fn a_removed_journal_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    disk.write_journal(WORKLOAD, &text(0, 100)).await.unwrap();
    disk.write_journal(WORKLOAD, &text(1, 200_000)).await.unwrap();
    disk.remove_journal(WORKLOAD).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("journal")).unwrap().count(), 0);
}

#[tokio::test]
async fn anything_but_a_regular_file_in_place_of_a_journal_is_an_error_and_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let journal = file(dir.path(), "");
    fs::write(dir.path().join("precious"), "{}").unwrap();
    symlink(dir.path().join("precious"), &journal).unwrap();
    assert_refused(&disk).await;
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    assert_refused(&disk).await;
    fs::remove_dir(&journal).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &journal, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert_refused(&disk).await;
    assert!(fs::symlink_metadata(&journal).unwrap().file_type().is_fifo());
    assert_eq!(fs::read(dir.path().join("precious")).unwrap(), b"{}");
}

async fn assert_refused(disk: &Disk) {
    disk.read_journal(WORKLOAD).await.unwrap_err();
    disk.write_journal(WORKLOAD, b"{}").await.unwrap_err();
    assert_eq!(disk.journals().await.unwrap(), [WORKLOAD]);
}

#[tokio::test]
async fn stray_names_are_no_journals() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(dir.path()).unwrap();
    let simple = WORKLOAD.0.simple();
    for name in ["notes.json".into(), format!("{simple}.json"), format!("{WORKLOAD}.json~"), format!("{WORKLOAD}")] {
        fs::write(dir.path().join("journal").join(name), "{}").unwrap();
    }
    assert_eq!(disk.journals().await.unwrap(), []);
}
