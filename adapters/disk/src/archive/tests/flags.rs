//! Inode flags below the root: kept where the filesystem has them, told where it has not, and without a byte more in
//! archives of trees that have none.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{
    copy::{copy, job},
    scene::{Scene, look_at},
};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// The flags of this module, as `lsattr` has them, without those that a filesystem sets by itself.
fn flags(path: &Path) -> IFlags {
    let of_us = IFlags::NODUMP | IFlags::NOATIME | IFlags::SYNC | IFlags::DIRSYNC;
    ioctl_getflags(File::open(path).unwrap()).unwrap() & of_us
}

/// False where this filesystem has no such flags.
fn set(path: &Path, flags: IFlags) -> bool {
    let file = File::open(path).unwrap();
    ioctl_getflags(&file).is_ok_and(|now| ioctl_setflags(&file, now | flags).is_ok())
}

fn skipped() {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "no inode flags can be set here");
    eprintln!("skipped: no inode flags can be set here");
}

/// `None` where there are no flags.
fn furnished() -> Option<Scene> {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    fs::create_dir_all(root.join("plain/below")).unwrap();
    fs::create_dir(root.join("marked")).unwrap();
    if !set(&root.join("marked"), IFlags::NOATIME | IFlags::DIRSYNC) {
        skipped();
        return None;
    }
    for name in ["marked/inherits", "marked/without", "plain/synced", "plain/below/large", "plain/nothing"] {
        fs::write(root.join(name), vec![7; if name.ends_with("large") { 3 << 20 } else { 9 }]).unwrap();
    }
    let without = File::open(root.join("marked/without")).unwrap();
    ioctl_setflags(&without, ioctl_getflags(&without).unwrap() - IFlags::NOATIME).unwrap();
    assert!(set(&root.join("plain/synced"), IFlags::SYNC | IFlags::NODUMP));
    assert!(set(&root.join("plain/below/large"), IFlags::NODUMP));
    Some(scene)
}

const ALL: [&str; 9] = [
    "",
    "marked",
    "marked/inherits",
    "marked/without",
    "plain",
    "plain/synced",
    "plain/below",
    "plain/below/large",
    "plain/nothing",
];

#[test]
fn inode_flags_below_the_root_come_back_one_by_one() {
    let Some(scene) = furnished() else { return };
    let root = scene.volume(0);
    let staged = scene.pack_and_stage();
    for name in ALL {
        assert_eq!(flags(&staged.join(name)), flags(&root.join(name)), "{name:?}");
    }
    assert_eq!(flags(&staged.join("plain/synced")), IFlags::SYNC | IFlags::NODUMP);
    assert_eq!(flags(&staged.join("marked/without")), IFlags::empty());
    assert_eq!(look_at(&staged), look_at(&root));
}

#[test]
fn a_copy_has_the_flags_of_the_archive_beside_those_of_its_place() {
    let Some(scene) = furnished() else { return };
    let root = scene.volume(0);
    let summary = scene.pack();
    assert!(set(scene.path(), IFlags::NODUMP));
    let job = job(&scene, &summary.digest, &[]);
    let made = copy(&scene, &job).unwrap();
    assert_eq!(made.flags_left.told(), None);
    for name in ALL {
        let copied = flags(&job.private.join("staged").join(name));
        assert_eq!(copied, flags(&root.join(name)) | IFlags::NODUMP, "{name:?}");
    }
}

/// As long as nothing has a flag, an archive is what it would be without them.
#[test]
fn what_has_no_flags_costs_nothing_in_the_archive() {
    let scene = Scene::new(1);
    fs::write(scene.volume(0).join("file"), "x").unwrap();
    let totals = scene.pack().totals.remove(0);
    let archived = |scene: &Scene| {
        let bytes = zstd::decode_all(File::open(scene.archive()).unwrap()).unwrap();
        bytes.windows(13).any(|window| window == b"VOLSNAP.flags")
    };
    assert!(!archived(&scene), "{totals:?}");
    let Some(marked) = furnished() else { return };
    marked.pack();
    assert!(archived(&marked));
}
