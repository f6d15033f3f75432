//! Copies of whole volumes and of parts of them are what a restore would bring back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use uuid::Uuid;
use volsnap_core::{
    model::{IdMap, IdRange, Owners, RestoreId, place::private_dir},
    ports::{CopyJob, CopyMade, CopyTree, FsError, FsErrorKind, LookInto},
};

use super::{
    roundtrip::{furnish, is_root},
    scene::{JOBS, Look, OPEN, Scene, look_at, quiet},
};

pub(super) fn job(scene: &Scene, digest: &str, paths: &[&[u8]]) -> CopyJob {
    CopyJob {
        archive: LookInto {
            workload: scene.manifest.workload,
            snapshot: scene.manifest.snapshot,
            archive_digest: digest.into(),
        },
        private: private_dir(&scene.path().join("copy"), RestoreId(Uuid::from_u128(0x54)), 0),
        trees: vec![CopyTree {
            index: Some(0),
            target: "/data".into(),
            at: Vec::new(),
            paths: paths.iter().map(|path| path.to_vec()).collect(),
            limits: OPEN,
        }],
        owners: Owners::default(),
    }
}

pub(super) fn copy(scene: &Scene, job: &CopyJob) -> Result<CopyMade, FsError> {
    crate::archive::copy_out(&scene.archive(), job, JOBS, &quiet())
}

/// Makes a copy, and gives what it is.
fn copied(scene: &Scene, job: &CopyJob) -> BTreeMap<PathBuf, Look> {
    copy(scene, job).unwrap();
    let looks = look_at(&job.private.join("staged"));
    fs::remove_dir_all(&job.private).unwrap();
    looks
}

/// What a part of a tree is, looked at without the rest of it.
fn part(all: &BTreeMap<PathBuf, Look>, chosen: &[&Path]) -> BTreeMap<PathBuf, Look> {
    let wanted = |path: &Path| chosen.iter().any(|chosen| path.starts_with(chosen) || chosen.starts_with(path));
    let mut first: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut looks = BTreeMap::new();
    for (path, look) in all.iter().filter(|(path, _)| wanted(path)) {
        let same_as = first.entry(look.same_as.clone()).or_insert_with(|| path.clone()).clone();
        looks.insert(path.clone(), Look { same_as, ..look.clone() });
    }
    looks
}

#[test]
fn a_part_is_what_it_is_within_the_whole_with_the_directories_above_it() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    // Contents of some frames between small members.
    fs::write(scene.volume(0).join("b large"), (0..9_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>())
        .unwrap();
    let digest = scene.pack().digest;
    let all = look_at(&scene.volume(0));
    assert_eq!(copied(&scene, &job(&scene, &digest, &[])), all, "the whole");
    assert_eq!(copied(&scene, &job(&scene, &digest, &[b""])), all, "the root");
    for path in all.keys() {
        let looks = copied(&scene, &job(&scene, &digest, &[path.as_os_str().as_bytes()]));
        assert_eq!(looks, part(&all, &[path]), "{}", path.display());
    }
    let several: Vec<&Path> = ["zz", "a/b", "a", "a/b/again", "sparse", "a.txt"].map(Path::new).into();
    let bytes: Vec<&[u8]> = several.iter().map(|path| path.as_os_str().as_bytes()).collect();
    assert_eq!(copied(&scene, &job(&scene, &digest, &bytes)), part(&all, &several), "in any order, and one twice");
    let later: Vec<&Path> = ["zz", "a/b"].map(Path::new).into();
    assert_eq!(
        copied(&scene, &job(&scene, &digest, &[b"zz", b"a/b"])),
        part(&all, &later),
        "two names, the first left out"
    );
}

#[test]
fn what_is_not_there_and_another_archive_leave_nothing() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let digest = scene.pack().digest;
    for path in ["none", "a/b/none", "a.txt/none", "zzz"] {
        let error = copy(&scene, &job(&scene, &digest, &[b"empty", path.as_bytes()])).unwrap_err();
        assert_eq!(error.kind, FsErrorKind::NotFound, "{path}: {error}");
    }
    let error = copy(&scene, &job(&scene, &"0".repeat(64), &[])).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Corrupt);
    assert!(!job(&scene, "", &[]).private.exists());
}

#[test]
fn volumes_lie_below_a_copy_by_their_names_and_never_in_one_another() {
    let scene = Scene::new(2);
    for i in 0..2 {
        fs::write(scene.volume(i).join("file"), format!("{i}")).unwrap();
    }
    let digest = scene.pack().digest;
    let with = |first: &[&str], second: &[&str]| {
        let mut job = job(&scene, &digest, &[]);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        job.trees[0].at = names(first);
        job.trees.push(CopyTree { index: Some(1), at: names(second), ..job.trees[0].clone() });
        job
    };
    let looks = copied(&scene, &with(&["var", "a"], &["var", "b"]));
    let paths: Vec<&Path> = looks.keys().map(PathBuf::as_path).collect();
    assert_eq!(paths, ["", "var", "var/a", "var/a/file", "var/b", "var/b/file"].map(Path::new));
    for (first, second) in [(&["a"][..], &["a", "b"][..]), (&["a", "b"], &["a"]), (&[], &["a"]), (&["a"], &["a"])] {
        assert_eq!(
            copy(&scene, &with(first, second)).unwrap_err().kind,
            FsErrorKind::Unsupported,
            "{first:?} {second:?}"
        );
    }
    for bad in ["", ".", "..", "a/b", "/", "a\0b", &"x".repeat(256)] {
        assert_eq!(copy(&scene, &with(&["a"], &["b", bad])).unwrap_err().kind, FsErrorKind::Hostile, "{bad:?}");
    }
    assert!(!job(&scene, "", &[]).private.exists());
}

#[test]
fn owners_are_mapped_where_they_stand() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let capability_of_root = [&[1, 0, 0, 3, 0, 4, 0, 0][..], &[0; 12], &70_u32.to_le_bytes()].concat();
    let able = scene.volume(0).join("able");
    rustix::fs::setxattr(&able, "security.capability", &capability_of_root, rustix::fs::XattrFlags::empty()).unwrap();
    let digest = scene.pack().digest;
    let map = |from, to, count| IdMap::new(vec![IdRange { from, to, count }]).unwrap();
    let owners = Owners::Mapped { uids: map(70, 1070, 1), gids: map(0, 5000, 100) };
    let before = look_at(&scene.volume(0));
    let after = copied(&scene, &CopyJob { owners, ..job(&scene, &digest, &[]) });
    for (path, look) in &before {
        let (uid, gid) = look.owner;
        let becomes = (if uid == 70 { 1070 } else { uid }, if gid < 100 { gid + 5000 } else { gid });
        assert_eq!(after[path].owner, becomes, "{}", path.display());
        let plain =
            |look: &Look| (look.mode, look.mtime, look.contents.clone(), look.holes.clone(), look.same_as.clone());
        assert_eq!(plain(&after[path]), plain(look), "{}", path.display());
    }
    let xattr = |path: &str, name: &str| after[Path::new(path)].xattrs[name.as_bytes()].clone();
    let acl = super::super::acl::from_text(b"user::rwx,user:1070:r-x,group::r-x,mask::rwx,other::---").unwrap();
    assert_eq!(xattr("able", "system.posix_acl_access"), acl);
    assert_eq!(xattr("a/b", "system.posix_acl_default"), acl);
    assert_eq!(xattr("able", "security.capability")[20..], 1070_u32.to_le_bytes());
}

#[test]
fn what_is_mine_has_no_power_that_only_root_can_give() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let digest = scene.pack().digest;
    let mut mine = CopyJob { owners: Owners::Mine, ..job(&scene, &digest, &[]) };
    mine.trees[0].paths = ["a.txt", "empty", "able", "a/link"].map(|path| path.as_bytes().to_vec()).into();
    if !is_root() {
        mine.trees[0].paths.truncate(2);
    }
    let made = copy(&scene, &mine).unwrap();
    let staged = mine.private.join("staged");
    let me = rustix::process::geteuid().as_raw();
    let foreign: BTreeSet<u32> =
        look_at(&staged).values().map(|look| look.owner.0).filter(|&owner| owner != me).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    if is_root() {
        // `a`, `a/link`, `able` and `empty`, of which two have attributes that were left out.
        assert_eq!((made.owners_left, made.attributes_left), (4, 2));
        assert_eq!(fs::metadata(staged.join("empty")).unwrap().mode() & 0o7777, 0o751);
    }
}
