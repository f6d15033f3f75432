//! Small filesystems of a test's own, unmounted also when the test fails.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use tempfile::TempDir;

/// A directory with mounts in it.
pub struct Scratch {
    mounts: Vec<PathBuf>,
    base: PathBuf,
    _dir: TempDir,
}

impl Scratch {
    /// A directory for mounts, or none where this process may not mount: the test then says that it was skipped, and
    /// fails where it must not be.
    pub fn new(test: &str) -> Option<Scratch> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test}: needs root to mount");
            eprintln!("skipped: {test}: needs root to mount");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        Some(Scratch { mounts: Vec::new(), base: fs::canonicalize(dir.path()).unwrap(), _dir: dir })
    }

    /// A directory below, made.
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.base.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A tmpfs of some size (`1m`) at a name below.
    pub fn tmpfs(&mut self, name: &str, size: &str, flags: MountFlags) -> PathBuf {
        let dir = self.dir(name);
        let options = CString::new(format!("size={size},mode=755")).unwrap();
        mount("volsnap-test", &dir, "tmpfs", flags, Some(options.as_c_str())).unwrap();
        self.mounts.push(dir.clone());
        dir
    }

    /// A bind mount of a directory at a name below.
    pub fn bind(&mut self, source: &Path, name: &str) -> PathBuf {
        let dir = self.dir(name);
        mount_bind(source, &dir).unwrap();
        self.mounts.push(dir.clone());
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for dir in self.mounts.iter().rev() {
            if let Err(error) = unmount(dir, UnmountFlags::DETACH) {
                eprintln!("{} stays mounted: {error}", dir.display());
            }
        }
    }
}
