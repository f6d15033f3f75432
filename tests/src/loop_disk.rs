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
        match Self::mount(kind) {
            Ok(disk) => Some(disk),
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {kind} on a loop device: {why}");
                println!("skipped {test}: no {kind} on a loop device: {why}");
                None
            }
        }
    }

    fn mount(kind: &str) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root".into());
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let image = dir.path().join("image");
        let file = fs::File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(600 << 20).map_err(|e| e.to_string())?;
        fs::create_dir(dir.path().join("mnt")).map_err(|e| e.to_string())?;
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image))?;
        let disk = LoopDisk { dir };
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()))?;
        Ok(disk)
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
