//! A filesystem of a chosen kind for one test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use super::interop::have;

/// Where it is mounted, until it is dropped.
pub(super) struct Mounted {
    dir: tempfile::TempDir,
}

impl Mounted {
    /// `None`, and told by name, where this process cannot make or mount it, which CI does not accept.
    pub(super) fn new(kind: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Mounted { dir };
        std::fs::create_dir(mount.path()).unwrap();
        let mut arguments: Vec<PathBuf> = ["-t", kind].map(PathBuf::from).into();
        if kind == "tmpfs" {
            arguments.push("none".into());
        } else {
            let (make, image) = (format!("mkfs.{kind}"), mount.dir.path().join("image"));
            if !have(&[&make]) {
                return None;
            }
            File::create(&image).unwrap().set_len(1 << 30).unwrap();
            let made = Command::new(&make).arg("-q").arg(&image).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            arguments.extend(["-o".into(), "loop".into(), image]);
        }
        let mounted = Command::new("mount").args(arguments).arg(mount.path()).output().unwrap();
        if !mounted.status.success() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot mount {kind}: {mounted:?}");
            eprintln!("skipped: cannot mount {kind}: {mounted:?}");
            return None;
        }
        Some(mount)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// Does `work` in a directory on each of the filesystems where a snapshot is taken in two passes.
    pub(super) fn each(work: impl Fn(&Path)) {
        for kind in ["ext4", "xfs", "btrfs"] {
            if let Some(mounted) = Mounted::new(kind) {
                eprintln!("on {kind}");
                work(&mounted.path());
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // It is not mounted if that is what failed.
        let _ = Command::new("umount").arg(self.path()).output();
    }
}
