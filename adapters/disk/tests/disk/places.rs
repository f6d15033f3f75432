//! Places on real mounts: mount points, several filesystems, flags, and rights.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::UNIX_EPOCH};

use rustix::{
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    mount::MountFlags,
};
use uuid::Uuid;
use volsnap_core::{
    model::{Identity, Occupant, RestoreId, Sight, place::private_dir},
    ports::{Filesystem, FsErrorKind},
};
use volsnap_disk::Disk;

use crate::scratch::Scratch;

fn identity(sight: Sight) -> Identity {
    match sight {
        Sight::Directory { identity, .. } => identity,
        Sight::Absent | Sight::Other => panic!("no directory: {sight:?}"),
    }
}

#[tokio::test]
async fn a_mount_point_is_seen_also_if_it_is_a_directory_bound_on_itself() {
    let test = "a_mount_point_is_seen_also_if_it_is_a_directory_bound_on_itself";
    let Some(mut scratch) = Scratch::new(test) else { return };
    let disk = Disk::open(&scratch.dir("state")).unwrap();
    let plain = scratch.dir("plain");
    let own = scratch.dir("own");
    let own = scratch.bind(&own, "own");
    let other = scratch.tmpfs("other", "1m", MountFlags::empty());
    assert!(matches!(disk.locate(&plain).await.unwrap().occupant, Occupant::Directory(_)));
    for mounted in [&own, &other] {
        let location = disk.locate(mounted).await.unwrap();
        assert!(matches!(location.occupant, Occupant::MountPoint(_)), "{location:?}");
        // It stays, so staging happens within it.
        assert_eq!(location.filesystem.id, disk.space(mounted).await.unwrap().0.id);
        assert_eq!(disk.exchange(mounted, &plain).await.unwrap_err().kind, FsErrorKind::Unsupported);
        let target = scratch.dir("x").join("free");
        assert_eq!(disk.rename(mounted, &target).await.unwrap_err().kind, FsErrorKind::Unsupported);
    }
}

#[tokio::test]
async fn filesystems_are_told_apart_and_bind_mounts_of_one_share_its_space() {
    let test = "filesystems_are_told_apart_and_bind_mounts_of_one_share_its_space";
    let Some(mut scratch) = Scratch::new(test) else { return };
    let disk = Disk::open(&scratch.dir("state")).unwrap();
    let one = scratch.tmpfs("one", "1m", MountFlags::empty());
    let two = scratch.tmpfs("two", "2m", MountFlags::empty());
    fs::create_dir(one.join("below")).unwrap();
    let bound = scratch.bind(&one.join("below"), "bound");

    let (first, space) = disk.space(&one).await.unwrap();
    let (second, larger) = disk.space(&two).await.unwrap();
    let (third, same) = disk.space(&bound).await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(first.id, third.id);
    assert_eq!((first.mount.as_path(), third.mount.as_path()), (one.as_path(), bound.as_path()));
    assert_eq!((first.kind.as_str(), first.exchange, first.disk.as_deref()), ("tmpfs", true, None));
    assert_eq!((space.bytes_free, larger.bytes_free), (1 << 20, 2 << 20));
    assert_eq!(space, same);
    fs::write(one.join("file"), [0; 8192]).unwrap();
    let (_, less) = disk.space(&one).await.unwrap();
    assert_eq!(space.bytes_free - less.bytes_free, 8192);
    assert_eq!(space.inodes_free.unwrap() - less.inodes_free.unwrap(), 1);

    fs::create_dir(one.join("dir")).unwrap();
    let error = disk.rename(&one.join("dir"), &two.join("dir")).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Unsupported);
    assert!(error.message.contains("cross-device"), "{error}");
}

#[tokio::test]
async fn a_read_only_filesystem_is_not_writable() {
    let Some(mut scratch) = Scratch::new("a_read_only_filesystem_is_not_writable") else { return };
    let disk = Disk::open(&scratch.dir("state")).unwrap();
    let mount = scratch.tmpfs("fixed", "1m", MountFlags::RDONLY);
    let location = disk.locate(&mount.join("live")).await.unwrap();
    assert_eq!((location.writable, location.filesystem.read_only), (false, true));
    let location = disk.locate(&scratch.dir("live")).await.unwrap();
    assert_eq!((location.writable, location.filesystem.read_only), (true, false));
}

#[tokio::test]
async fn what_is_mounted_inside_a_private_directory_is_not_removed() {
    let Some(mut scratch) = Scratch::new("what_is_mounted_inside_a_private_directory_is_not_removed") else { return };
    let disk = Disk::open(&scratch.dir("state")).unwrap();
    let restore = RestoreId(Uuid::from_u128(5));
    let live = scratch.dir("data/live");
    let private = private_dir(&live, restore, 0);
    let name = private.file_name().unwrap().to_str().unwrap();
    let mounted = scratch.tmpfs(&format!("data/{name}/staged/mounted"), "1m", MountFlags::empty());
    fs::write(mounted.join("precious"), "x").unwrap();
    disk.discard(restore, &private, None).await.unwrap_err();
    assert_eq!(fs::read(mounted.join("precious")).unwrap(), b"x");
    drop(scratch);
}

#[tokio::test]
async fn an_immutable_directory_is_seen() {
    let Some(scratch) = Scratch::new("an_immutable_directory_is_seen") else { return };
    let disk = Disk::open(&scratch.dir("state")).unwrap();
    let live = scratch.dir("live");
    let Some(_flag) = Immutable::set(&live) else {
        eprintln!("skipped: an_immutable_directory_is_seen: the filesystem has no such flag");
        return;
    };
    let location = disk.locate(&live).await.unwrap();
    assert!(matches!(location.occupant, Occupant::Immutable(_)), "{location:?}");
    assert!(location.writable);
    let below = disk.locate(&live.join("new")).await.unwrap();
    assert!(!below.writable);
}

/// Takes the flag off again, or the directory could not be removed.
struct Immutable(fs::File);

impl Immutable {
    fn set(dir: &Path) -> Option<Immutable> {
        let dir = fs::File::open(dir).unwrap();
        let flags = ioctl_getflags(&dir).ok()?;
        ioctl_setflags(&dir, flags | IFlags::IMMUTABLE).ok()?;
        Some(Immutable(dir))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let flags = ioctl_getflags(&self.0).unwrap();
        ioctl_setflags(&self.0, flags - IFlags::IMMUTABLE).unwrap();
    }
}

#[tokio::test]
async fn a_directory_is_recognised_by_its_inode_and_birth() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(&dir.path().join("state")).unwrap();
    let live = dir.path().join("live");
    fs::create_dir(&live).unwrap();
    fs::set_permissions(&live, fs::Permissions::from_mode(0o711)).unwrap();
    let found = identity(disk.look(&live).await.unwrap());
    let births = disk.space(&live).await.unwrap().0.births;
    let born = fs::metadata(&live).unwrap().created().ok().map(|at| at.duration_since(UNIX_EPOCH).unwrap());
    assert_eq!(births, born.is_some());
    assert_eq!(found.birth_ns, born.map(|at| i64::try_from(at.as_nanos()).unwrap()));
}

#[tokio::test]
async fn a_directory_that_stands_in_a_link_is_not_settled_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::open(&dir.path().join("state")).unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
    let absent = dir.path().join("absent");
    disk.settle(&[dir.path().join("real"), absent.clone(), absent.join("below")]).await.unwrap();
    disk.settle(&[dir.path().join("link")]).await.unwrap_err();
    assert_eq!(disk.look(&dir.path().join("link")).await.unwrap(), Sight::Other);
}
