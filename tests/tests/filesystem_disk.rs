//! The filesystem port's promises, kept on a real disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use volsnap_core::{model::WorkloadId, ports::Filesystem};
use volsnap_disk::Disk;
use volsnap_tests::{
    contracts::filesystem::{Harness, Tree},
    filesystem_contract,
};

filesystem_contract!(Scratch::new());

/// A state directory and a directory for data on the disk that holds temporary files.
struct Scratch {
    disk: Disk,
    base: PathBuf,
    _dir: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(base.join("data")).unwrap();
        Scratch { disk: Disk::open(&base.join("state")).unwrap(), base, _dir: dir }
    }
}

impl Harness for Scratch {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::new(self.disk.clone())
    }

    fn second_process(&self) -> Arc<dyn Filesystem> {
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
