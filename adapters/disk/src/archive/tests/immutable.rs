//! Files that can be neither moved nor removed: told of, restored without their flags, and named when they are in the
//! way.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use volsnap_core::ports::FsErrorKind;

use super::scene::{Scene, look_at};
use crate::tree::{measure, remove};

/// Flags that are taken away at the end, or the scratch directory would stay.
struct Flagged(Vec<PathBuf>);

impl Flagged {
    /// False where this process or filesystem has no such flags.
    fn set(&mut self, path: PathBuf, flag: IFlags) -> bool {
        let file = File::open(&path).unwrap();
        let Ok(flags) = ioctl_getflags(&file) else { return false };
        let set = ioctl_setflags(&file, flags | flag).is_ok();
        self.0.push(path);
        set
    }

    fn clear(&mut self) {
        for path in self.0.drain(..) {
            let file = File::open(&path).unwrap();
            let flags = ioctl_getflags(&file).unwrap();
            ioctl_setflags(&file, flags - IFlags::IMMUTABLE - IFlags::APPEND).unwrap();
        }
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        self.clear();
    }
}

fn furnish(root: &Path) {
    fs::create_dir_all(root.join("dir/below")).unwrap();
    fs::write(root.join("file"), "kept").unwrap();
    fs::write(root.join("dir/log"), "line").unwrap();
}

#[test]
fn immutable_and_append_only_entries_are_named_restored_without_their_flags_and_in_the_way_of_a_removal() {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    furnish(&root);
    let before = look_at(&root);
    let mut flagged = Flagged(Vec::new());
    let flags = [("file", IFlags::IMMUTABLE), ("dir/log", IFlags::APPEND), ("dir", IFlags::IMMUTABLE)];
    if !flags.into_iter().all(|(path, flag)| flagged.set(root.join(path), flag)) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "nothing can be made immutable here");
        eprintln!("skipped: nothing can be made immutable here");
        return;
    }
    let totals = scene.pack().totals.remove(0);
    assert_eq!(totals.immutable, 3);
    assert_eq!(totals.immutable_names, ["dir: immutable", "dir/log: append-only", "file: immutable"]);
    assert!(totals.unsteady.is_empty());
    assert_eq!(measure(&root).unwrap().immutable, 3, "a plan refuses them");

    let staged = scene.pack_and_stage();
    assert_eq!(before, look_at(&staged));
    assert_eq!(measure(&staged).unwrap().immutable, 0);
    remove(&scene.job("", Some(0)).private, None).unwrap();

    let error = remove(&root, None).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Denied, "{error}");
    assert!(error.message.contains("`dir/below`"), "{error}");
    let remedy = error.message.split('`').find(|command| command.starts_with("find ")).unwrap();
    let done = std::process::Command::new("sh").args(["-c", remedy]).output().unwrap();
    assert!(done.status.success(), "{remedy}: {done:?}");
    assert_eq!(measure(&root).unwrap().immutable, 0);
    flagged.clear();
    remove(&root, None).unwrap();
    assert!(!root.exists());
}
