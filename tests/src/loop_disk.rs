//! A filesystem of a chosen type on a loop device, for one test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A mounted image file. Dropping it unmounts it, also after a panic.
pub struct LoopDisk {
    dir: tempfile::TempDir,
}

impl LoopDisk {
    /// Makes and mounts a filesystem of 600 MB, which is enough for each of the types.
    ///
    /// Without root or the type's mkfs, prints why `test` is skipped and gives `None`.
    ///
    /// # Panics
    /// Where it would skip and the environment says `CI=true`.
    #[must_use]
    pub fn new(kind: &str, test: &str) -> Option<Self> {
        Self::new_in(&std::env::temp_dir(), kind, test)
    }

    /// As [`LoopDisk::new`], with the image file in a directory of choice, such as one in memory.
    ///
    /// # Panics
    /// As [`LoopDisk::new`].
    #[must_use]
    pub fn new_in(base: &Path, kind: &str, test: &str) -> Option<Self> {
        match Self::mount(base, kind) {
            Ok(disk) => Some(disk),
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {kind} on a loop device: {why}");
                println!("skipped {test}: no {kind} on a loop device: {why}");
                None
            }
        }
    }

    fn mount(base: &Path, kind: &str) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root".into());
        }
        let dir = tempfile::tempdir_in(base).map_err(|e| e.to_string())?;
        let image = dir.path().join("image");
        let file = fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(600 << 20).map_err(|e| e.to_string())?;
        fs::create_dir(dir.path().join("mnt")).map_err(|e| e.to_string())?;
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))?;
        let disk = LoopDisk { dir };
        disk.try_mount()?;
        Ok(disk)
    }

    fn try_mount(&self) -> Result<(), String> {
        let image = self.dir.path().join("image");
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(self.path())).map(|_| ())
    }

    /// Takes the filesystem away from its mount point.
    ///
    /// # Panics
    /// If somebody uses it.
    pub fn unmount(&self) {
        run(Command::new("umount").arg(self.path())).expect("unmounted");
    }

    /// Brings it back, under another device number as a rule.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn mount_again(&self) {
        self.try_mount().expect("mounted");
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// A path on it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Not mounted if mounting was what failed.
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.success() {
        true => Ok(output),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
