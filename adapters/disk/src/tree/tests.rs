//! Measuring and removing trees.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use volsnap_core::ports::FsErrorKind;

use super::{measure, remove};

#[test]
fn a_tree_is_measured_with_links_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/a"), vec![1; 5000]).unwrap();
    fs::hard_link(dir.path().join("sub/a"), dir.path().join("b")).unwrap();
    symlink("/etc", dir.path().join("link")).unwrap();
    fs::File::create(dir.path().join("hole")).unwrap().set_len(1 << 20).unwrap();
    let size = measure(dir.path()).unwrap();
    assert_eq!((size.entries, size.bytes), (6, 5000 + (1 << 20)));
    assert!(size.bytes_allocated >= 5000 && size.bytes_allocated < 1 << 20, "{size:?}");
    assert_eq!(measure(&dir.path().join("no")).unwrap_err().kind, FsErrorKind::NotFound);
    assert!(measure(&dir.path().join("link")).is_err(), "a link is no tree");
}

#[test]
fn removal_follows_no_link_and_absent_is_success() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("outside/kept")).unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::write(tree.join("a/b/file"), "x").unwrap();
    fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o500)).unwrap();
    symlink(dir.path().join("outside"), tree.join("a/link")).unwrap();
    remove(&tree, None).unwrap();
    remove(&tree, None).unwrap();
    remove(&tree.join("below/nothing"), None).unwrap();
    assert!(!tree.exists() && dir.path().join("outside/kept").exists());
    symlink(dir.path().join("outside"), &tree).unwrap();
    assert!(remove(&tree, None).is_err(), "a link is no tree");
    assert!(dir.path().join("outside/kept").exists());
}

/// A filesystem of its own in memory, unmounted at the end.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// `None` where this process may not mount.
    fn new(at: std::path::PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        rustix::mount::mount("none", &at, "tmpfs", rustix::mount::MountFlags::empty(), None).ok()?;
        Some(Mounted(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::empty());
    }
}

#[test]
fn another_filesystem_inside_is_neither_removed_nor_measured() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let Some(mounted) = Mounted::new(tree.join("a/mounted")) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this process may not mount");
        eprintln!("skipped: this process may not mount");
        return;
    };
    fs::write(mounted.0.join("kept"), "kept").unwrap();
    assert_eq!(measure(&tree).unwrap().entries, 3);
    assert_eq!(remove(&tree, None).unwrap_err().kind, FsErrorKind::Unsupported);
    assert_eq!(remove(&mounted.0, None).unwrap_err().kind, FsErrorKind::Unsupported, "the mount point itself");
    assert_eq!(fs::read(mounted.0.join("kept")).unwrap(), b"kept");
    drop(mounted);
    remove(&tree, None).unwrap();
    assert!(!tree.exists());
}
