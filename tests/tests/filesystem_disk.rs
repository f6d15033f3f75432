//! The promises of the ports for disks, kept on a real disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use rustix::fs::{AtFlags, StatxFlags};
use tempfile::TempDir;
use uuid::Uuid;
use volsnap_core::{
    model::{Manifest, SnapshotId, WorkloadId},
    ports::{ArchiveSource, Archives, Filesystem, FsErrorKind, Observer, Progress, Watch},
};
use volsnap_disk::Disk;
use volsnap_tests::{
    archives_contract,
    contracts::disks::{Disks, Harness, Subvolumes, Tree, manifest},
    filesystem_contract, journals_contract,
    loop_disk::LoopDisk,
    subvolume_contract,
};

filesystem_contract!(Scratch::new());
archives_contract!(Scratch::new());
journals_contract!(Scratch::new());
subvolume_contract!(Scratch::on_btrfs());

/// Says when a call has begun, and keeps it until it may go on.
struct Keeping {
    begun: mpsc::Sender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Observer for Keeping {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        // Nobody waits for either of them when the call is to end.
        let _ = self.begun.send(());
        let _ = self.go_on.lock().unwrap().recv();
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_nobody_waits_for_keeps_what_it_goes_on_under_until_it_ends() {
    let scratch = Scratch::new();
    let (fs, live) = (scratch.disks(), scratch.data().join("live"));
    scratch.put(&live, &Tree::from([("a".into(), b"1".to_vec())]));
    let (workload, other) = (WorkloadId(Uuid::from_u128(1)), WorkloadId(Uuid::from_u128(2)));
    let lease = fs.lock(workload).await.unwrap();
    let unrelated = fs.lock(other).await.unwrap();
    let disk = Archives::under(&*fs, lease.into()).unwrap();
    let ((begun, begins), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    let watch: Watch = Arc::new(Keeping { begun, go_on: Mutex::new(goes_on) });
    let archive = Manifest { workload, ..manifest(SnapshotId(Uuid::from_u128(3)), &[false]) };
    let sources = [ArchiveSource { target: "/v0".into(), root: Some(live) }];
    let call = tokio::spawn(async move { disk.draft_archive(&archive, &sources, watch).await.map(drop) });
    begins.recv_timeout(Duration::from_secs(30)).unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(unrelated);
    fs.lock(other).await.map(drop).unwrap();
    assert_eq!(fs.lock(workload).await.map(drop).unwrap_err().kind, FsErrorKind::Busy, "it is still being read");
    drop(go_on);
    let ended = async { while fs.lock(workload).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    assert_eq!(scratch.drafts(workload), 0);
}

/// A state directory and a directory for data on the disk that holds temporary files.
struct Scratch {
    disk: Disk,
    base: PathBuf,
    // Held until all else has ended, the disk before the directory.
    _loop_disk: Option<LoopDisk>,
    _dir: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(base.join("data")).unwrap();
        Scratch { disk: Disk::open(&base.join("state")).unwrap(), base, _loop_disk: None, _dir: dir }
    }

    /// On a btrfs of its own; `None` where there is none, or where the kernel does not tell of subvolumes (before 6.10).
    fn on_btrfs() -> Option<Self> {
        let loop_disk = LoopDisk::new("btrfs", "the contract of subvolumes")?;
        let (scratch, base) = (Scratch::new(), loop_disk.path());
        let told = rustix::fs::statx(rustix::fs::CWD, &base, AtFlags::empty(), SUBVOLUME).unwrap();
        if told.stx_mask & SUBVOLUME.bits() == 0 {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "this kernel does not tell of subvolumes");
            println!("skipped: this kernel does not tell of subvolumes");
            return None;
        }
        fs::create_dir(base.join("data")).unwrap();
        let disk = Disk::open(&base.join("state")).unwrap();
        Some(Scratch { disk, base, _loop_disk: Some(loop_disk), ..scratch })
    }
}

/// `STATX_SUBVOL`
const SUBVOLUME: StatxFlags = StatxFlags::from_bits_retain(0x8000);

impl Subvolumes for Scratch {
    fn put_subvolume(&self, dir: &Path) {
        btrfs(&["create"], &[dir]);
    }

    fn put_snapshot(&self, of: &Path, to: &Path) {
        btrfs(&["snapshot"], &[of, to]);
    }

    fn freeze(&self, dir: &Path) {
        let plain = dir.with_file_name("plain");
        fs::rename(dir, &plain).unwrap();
        self.put_subvolume(dir);
        for entry in fs::read_dir(&plain).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
        }
        fs::remove_dir_all(&plain).unwrap();
        let set = Command::new("btrfs").args(["property", "set"]).arg(dir).args(["ro", "true"]).output().unwrap();
        assert!(set.status.success(), "{set:?}");
    }
}

fn btrfs(words: &[&str], paths: &[&Path]) {
    let made = Command::new("btrfs").arg("subvolume").args(words).args(paths).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

impl Harness for Scratch {
    fn disks(&self) -> Arc<dyn Disks> {
        Arc::new(self.disk.clone())
    }

    fn second_process(&self) -> Arc<dyn Disks> {
        Arc::new(Disk::open(&self.disk.state_dir()).unwrap())
    }

    fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    fn put(&self, dir: &Path, tree: &Tree) {
        fs::create_dir_all(dir).unwrap();
        for (name, bytes) in tree {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn put_file(&self, path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
    }

    fn overwrite_file(&self, path: &Path, bytes: &[u8]) {
        let file = fs::File::options().write(true).truncate(true).open(path).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }

    fn remove_file(&self, path: &Path) {
        fs::remove_file(path).unwrap();
    }

    /// Beyond what a filesystem that counts whole seconds cannot tell apart.
    fn age(&self) {
        std::thread::sleep(Duration::from_millis(3_100));
    }

    fn remove_dir(&self, dir: &Path) {
        fs::remove_dir(dir).unwrap();
    }

    fn get(&self, dir: &Path) -> Option<Tree> {
        let mut tree = Tree::new();
        dir.try_exists().unwrap().then(|| collect(dir, "", &mut tree))?;
        Some(tree)
    }

    fn drafts(&self, workload: WorkloadId) -> usize {
        match fs::read_dir(self.base.join("state/snapshots").join(workload.to_string())) {
            Ok(names) => {
                names.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".partial")).count()
            }
            Err(_) => 0,
        }
    }
}

fn collect(dir: &Path, prefix: &str, tree: &mut Tree) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), tree);
        } else {
            tree.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}
