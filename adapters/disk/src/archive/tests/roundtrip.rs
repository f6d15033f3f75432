//! What goes into an archive comes out of it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    },
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use volsnap_core::{
    model::TreeSize,
    ports::{FsErrorKind, Limits, Watch},
};

use super::scene::{Impatient, JOBS, OPEN, Scene, look_at, quiet, verify};
use crate::{
    archive::{draft, stage, summary},
    tree::measure,
};

pub(super) fn set_times(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A bit of everything. What only root may make is left out for others.
pub(super) fn furnish(root: &Path) {
    fs::write(root.join("a.txt"), "hello").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::write(root.join("a/b/c/deep"), vec![7; 100_000]).unwrap();
    fs::create_dir(root.join("nothing in it")).unwrap();
    symlink("../outside/../of/it", root.join("a/link")).unwrap();
    symlink("x".repeat(300), root.join("long link")).unwrap();
    fs::hard_link(root.join("a.txt"), root.join("a/b/again")).unwrap();
    fs::hard_link(root.join("a.txt"), root.join("zz")).unwrap();
    let long = root.join("d".repeat(200)).join("e".repeat(200)).join("f".repeat(250));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("ü"), "long").unwrap();
    let raw = std::ffi::OsStr::from_bytes(b"no utf-8 \xff\n%");
    fs::create_dir(root.join(raw)).unwrap();
    fs::write(root.join(raw).join(raw), "raw").unwrap();
    fs::write(long.join(raw), "long and raw").unwrap();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(9 << 20).unwrap();
    sparse.write_all_at(b"middle", 5 << 20).unwrap();
    File::create(root.join("all hole")).unwrap().set_len(1 << 20).unwrap();
    for (name, value) in [("user.color", &b"blue"[..]), ("user.a=b%3D", b"\0\n\xff"), ("user.none", b"")] {
        rustix::fs::setxattr(root.join("a.txt"), name, value, XattrFlags::empty()).unwrap();
    }
    rustix::fs::setxattr(root, "user.root", b"yes", XattrFlags::empty()).unwrap();
    if is_root() {
        furnish_as_root(root);
    }
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o6751)).unwrap();
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o1777)).unwrap();
    set_times(&root.join("a.txt"), -5, 250_000_000);
    set_times(&root.join("a/link"), 1_234_567_890, 123_456_789);
    set_times(&root.join("a/b"), 0, 1);
    set_times(&root.join("a"), 4_000_000_000, 0);
    fs::set_permissions(root, fs::Permissions::from_mode(0o2770)).unwrap();
    set_times(root, 1, 999_999_999);
}

fn furnish_as_root(root: &Path) {
    let device = rustix::fs::makedev(240, 70_000);
    rustix::fs::mknodat(CWD, root.join("device"), FileType::BlockDevice, Mode::RUSR, device).unwrap();
    rustix::fs::mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 3))
        .unwrap();
    fs::write(root.join("able"), "x").unwrap();
    let owner = |path: &str, uid, gid| {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(CWD, root.join(path), uid, gid, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    owner("able", 70, 70);
    owner("a/link", 33, 44);
    owner("empty", 3_000_000, 4_000_000_000);
    owner("a", 999, 999);
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(root.join("able"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    rustix::fs::lsetxattr(root.join("a/link"), "trusted.link", b"t", XattrFlags::empty()).unwrap();
    for (path, name) in [("able", "system.posix_acl_access"), ("a/b", "system.posix_acl_default")] {
        let acl = super::super::acl::from_text(b"user::rwx,user:70:r-x,group::r-x,mask::rwx,other::---").unwrap();
        rustix::fs::setxattr(root.join(path), name, &acl, XattrFlags::empty()).unwrap();
    }
}

#[test]
fn everything_about_a_tree_comes_back() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let before = look_at(&scene.volume(0));
    let staged = scene.pack_and_stage();
    let after = look_at(&staged);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, look) in &before {
        assert_eq!(look, &after[path], "{}", path.display());
    }
}

#[test]
fn a_hole_is_found_where_a_block_of_attributes_makes_up_for_it() {
    let scene = Scene::new(1);
    let path = scene.volume(0).join("sparse");
    let file = File::create(&path).unwrap();
    file.write_all_at(&[1; 1000], 4096).unwrap();
    rustix::fs::setxattr(&path, "user.large", &[1; 1000], XattrFlags::empty()).unwrap();
    file.sync_all().unwrap();
    let before = look_at(&scene.volume(0));
    assert_eq!(before[Path::new("sparse")].holes, [(0, 4096)]);
    assert_eq!(before, look_at(&scene.pack_and_stage()));
}

#[test]
fn equal_trees_have_equal_digests_and_other_trees_do_not() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let first = scene.pack();
    let staged = scene.job(&first.digest, Some(0)).private.join("staged");
    scene.stage(&scene.job(&first.digest, Some(0))).unwrap();
    fs::rename(scene.volume(0), scene.path().join("old")).unwrap();
    fs::rename(staged, scene.volume(0)).unwrap();
    let second = scene.pack();
    assert_eq!(first.totals, second.totals);
    fs::write(scene.volume(0).join("a.txt"), "jello").unwrap();
    assert_ne!(first.totals[0].digest, scene.pack().totals[0].digest);
}

#[test]
fn an_archive_tells_what_is_in_it() {
    let mut scene = Scene::new(3);
    scene.manifest.volumes[1].absent = true;
    fs::write(scene.volume(0).join("five"), "12345").unwrap();
    furnish(&scene.volume(2));
    let sealed = scene.pack();
    assert_eq!(sealed.quiesced_ms, 7);
    assert_eq!(sealed.manifest, scene.manifest);
    assert_eq!((sealed.totals[0].entries, sealed.totals[0].bytes, sealed.totals[0].bytes_allocated), (2, 5, 4096));
    assert_eq!(sealed.totals[1].entries, 0);
    let measured = measure(&scene.volume(2)).unwrap();
    assert_eq!((sealed.totals[2].entries, sealed.totals[2].bytes), (measured.entries, measured.bytes));
    assert_eq!(sealed.archive_bytes, fs::metadata(scene.archive()).unwrap().len());
    assert_eq!(summary(&scene.archive()).unwrap(), sealed);
    let verified = verify(&scene.archive(), &quiet()).unwrap();
    assert_eq!((verified.summary, verified.bytes_read), (sealed.clone(), sealed.archive_bytes));
    let staged = scene.stage(&scene.job(&sealed.digest, Some(2))).unwrap();
    assert_eq!(staged.size.entries, measured.entries);
    let absent = scene.stage(&scene.job(&sealed.digest, Some(1))).unwrap_err();
    assert_eq!(absent.kind, FsErrorKind::Corrupt, "{absent}");
}

#[test]
fn large_files_cross_frames_unharmed() {
    let scene = Scene::new(2);
    let mut noise = vec![0; 9 * 1024 * 1024 + 13];
    blake3::Hasher::new().update(b"seed").finalize_xof().fill(&mut noise);
    fs::write(scene.volume(0).join("a"), &noise).unwrap();
    fs::write(scene.volume(0).join("b"), &noise[..4 * 1024 * 1024 - 1024]).unwrap();
    fs::write(scene.volume(1).join("c"), &noise[..1 << 20]).unwrap();
    assert_eq!(fs::read(scene.pack_and_stage().join("a")).unwrap(), noise);
    verify(&scene.archive(), &quiet()).unwrap();
}

#[test]
fn what_is_not_data_is_left_out() {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    let ours = volsnap_core::model::place::private_name(volsnap_core::model::RestoreId(uuid::Uuid::nil()), 0);
    for dir in ["lost+found", &ours, ".volsnap-0123-0", "sub", "sub/lost+found"] {
        fs::create_dir(root.join(dir)).unwrap();
        fs::write(root.join(dir).join("x"), "x").unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let sealed = scene.pack();
    assert_eq!(sealed.totals[0].sockets_skipped, 1);
    assert_eq!(sealed.totals[0].entries, measure(&root).unwrap().entries);
    scene.stage(&scene.job(&sealed.digest, Some(0))).unwrap();
    let staged = look_at(&scene.job("", Some(0)).private.join("staged"));
    let names: Vec<_> = staged.keys().map(|path| path.to_str().unwrap()).collect();
    let like = [".volsnap-0123-0", ".volsnap-0123-0/x"];
    assert_eq!(names, ["", like[0], like[1], "sub", "sub/lost+found", "sub/lost+found/x", "sub/x"]);
}

#[test]
fn an_absent_volume_is_staged_as_an_empty_directory() {
    let scene = Scene::new(1);
    let sealed = scene.pack();
    let staged = scene.stage(&scene.job(&sealed.digest, None)).unwrap();
    let path = scene.job("", None).private.join("staged");
    assert_eq!(staged.size, TreeSize { entries: 1, ..TreeSize::default() });
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(staged.identity.inode, fs::metadata(&path).unwrap().ino());
}

#[test]
fn staging_again_finds_the_tree_and_throws_a_half_one_away() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let sealed = scene.pack();
    let job = scene.job(&sealed.digest, Some(0));
    fs::create_dir_all(job.private.join("partial/left/over")).unwrap();
    let first = scene.stage(&job).unwrap();
    assert!(!job.private.join("partial").exists());
    assert_eq!(fs::metadata(&job.private).unwrap().mode() & 0o7777, 0o700);
    let second = scene.stage(&job).unwrap();
    assert_eq!((first.identity, first.size.entries), (second.identity, second.size.entries));
    let birth = fs::metadata(job.private.join("staged")).unwrap().created().unwrap();
    assert!(birth.elapsed().unwrap().as_millis() >= 20);
}

#[test]
fn another_archive_than_the_planned_one_is_refused() {
    let scene = Scene::new(1);
    let sealed = scene.pack();
    let mut job = scene.job(&sealed.digest, Some(0));
    job.archive_digest = "0".repeat(64);
    assert_eq!(scene.stage(&job).unwrap_err().kind, FsErrorKind::Corrupt);
    let mut job = scene.job(&sealed.digest, Some(0));
    job.workload.0 = uuid::Uuid::nil();
    assert_eq!(scene.stage(&job).unwrap_err().kind, FsErrorKind::Corrupt);
    assert!(!job.private.exists());
}

#[test]
fn limits_are_kept() {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let sealed = scene.pack();
    let totals = &sealed.totals[0];
    let mut job = scene.job(&sealed.digest, Some(0));
    for limits in [
        Limits { bytes_max: totals.bytes - 1, ..OPEN },
        Limits { entries_max: totals.entries - 1, ..OPEN },
        Limits { devices: !is_root(), entries_max: if is_root() { u64::MAX } else { 1 }, ..OPEN },
    ] {
        job.limits = limits;
        assert_eq!(scene.stage(&job).unwrap_err().kind, FsErrorKind::Hostile, "{limits:?}");
        assert!(!job.private.exists());
    }
    job.limits = Limits { bytes_max: totals.bytes, entries_max: totals.entries, devices: true };
    scene.stage(&job).unwrap();
}

#[test]
fn whiteouts_of_an_overlay_are_ordinary_and_devices_are_counted() {
    if !is_root() {
        return eprintln!("skipped: only root may make device nodes");
    }
    let scene = Scene::new(1);
    let node = |name: &str, kind, (major, minor)| {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(CWD, scene.volume(0).join(name), kind, Mode::RUSR, device).unwrap();
    };
    node("gone", FileType::CharacterDevice, (0, 0));
    let sealed = scene.pack();
    assert_eq!((sealed.totals[0].devices, &sealed.totals[0].device_names), (Some(0), &vec![]));
    let mut job = scene.job(&sealed.digest, Some(0));
    job.limits = Limits { devices: false, ..OPEN };
    scene.stage(&job).unwrap();
    assert_eq!(look_at(&job.private.join("staged"))[Path::new("gone")].device, 0);

    fs::remove_dir_all(&job.private).unwrap();
    node("null", FileType::CharacterDevice, (1, 3));
    node("zero", FileType::BlockDevice, (0, 0));
    fs::remove_file(scene.archive()).unwrap();
    let sealed = scene.pack();
    assert_eq!(sealed.totals[0].devices, Some(2));
    assert_eq!(sealed.totals[0].devices_told().unwrap(), "2 device nodes (`null`, `zero`)");
    job.archive_digest = sealed.digest;
    let error = scene.stage(&job).unwrap_err();
    assert!(error.message.contains("--allow-devices"), "{error}");
    job.limits = OPEN;
    scene.stage(&job).unwrap();
}

/// The time that it takes is not that of its size: nobody would wait for a test of that.
#[test]
fn a_large_hole_costs_little() {
    let scene = Scene::new(1);
    let path = scene.volume(0).join("lastlog");
    let file = File::create(&path).unwrap();
    let size = 64 << 30;
    file.set_len(size).unwrap();
    file.write_at(b"data", 7 << 30).unwrap();
    let living = |root: &Path| {
        let mut contents = None;
        let sink = &mut |member: volsnap_core::model::Member| {
            contents = contents.or(member.contents);
            Ok(())
        };
        crate::archive::living(root, b"", true, sink, &quiet()).unwrap();
        contents.unwrap()
    };
    let sealed = scene.pack();
    assert!(sealed.archive_bytes < 10 << 20, "{}", sealed.archive_bytes);
    assert_eq!(sealed.totals[0].bytes, size);
    verify(&scene.archive(), &quiet()).unwrap();
    let job = scene.job(&sealed.digest, Some(0));
    scene.stage(&job).unwrap();
    let staged = job.private.join("staged");
    let restored = File::open(staged.join("lastlog")).unwrap();
    let mut found = [0; 4];
    restored.read_exact_at(&mut found, 7 << 30).unwrap();
    assert_eq!((&found, restored.metadata().unwrap().len()), (b"data", size));
    assert!(restored.metadata().unwrap().blocks() < 1 << 10);
    assert_eq!(living(&staged), living(&scene.volume(0)));
}

#[test]
fn cancelling_leaves_nothing() {
    let scene = Scene::new(1);
    for i in 0..2000 {
        fs::write(scene.volume(0).join(format!("f{i}")), vec![1; 3000]).unwrap();
    }
    let sealed = scene.pack();
    let job = scene.job(&sealed.digest, Some(0));
    for patience in 0..4 {
        let watch: Watch = Arc::new(Impatient(AtomicU64::new(patience)));
        assert_eq!(stage(&scene.archive(), &job, JOBS, &watch).unwrap_err().kind, FsErrorKind::Cancelled);
        assert!(!job.private.exists());
        let watch: Watch = Arc::new(Impatient(AtomicU64::new(patience)));
        assert_eq!(verify(&scene.archive(), &watch).unwrap_err().kind, FsErrorKind::Cancelled);
        let watch: Watch = Arc::new(Impatient(AtomicU64::new(patience)));
        let drafted = draft(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &watch);
        assert_eq!(drafted.err().unwrap().kind, FsErrorKind::Cancelled);
        assert_eq!(fs::read_dir(scene.archives()).unwrap().count(), 1, "only the sealed one");
    }
}

#[test]
fn a_dropped_draft_is_gone_and_a_sealed_one_private() {
    let scene = Scene::new(1);
    drop(draft(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &quiet()).unwrap());
    assert_eq!(fs::read_dir(scene.archives()).unwrap().count(), 0);
    scene.pack();
    assert_eq!(fs::metadata(scene.archive()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(scene.archives()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_missing_source_and_a_missing_archive_are_not_found() {
    let scene = Scene::new(1);
    assert_eq!(summary(&scene.archive()).unwrap_err().kind, FsErrorKind::NotFound);
    fs::remove_dir(scene.volume(0)).unwrap();
    let drafted = draft(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &quiet());
    assert_eq!(drafted.err().unwrap().kind, FsErrorKind::NotFound);
}

#[test]
fn a_link_in_place_of_a_source_is_refused() {
    let scene = Scene::new(1);
    fs::remove_dir(scene.volume(0)).unwrap();
    symlink("/etc", scene.volume(0)).unwrap();
    assert!(draft(&scene.archives(), &scene.manifest, &scene.sources(), JOBS, &quiet()).is_err());
}

#[test]
fn files_that_change_while_they_are_read_keep_the_archive_sound_and_are_named() {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    for i in 0..40 {
        fs::write(root.join(format!("f{i:02}")), vec![b'x'; 600_000]).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    let named = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            let mut turn = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && begun.elapsed().as_secs() < 60 {
                for i in 0..40 {
                    let file = OpenOptions::new().write(true).open(root.join(format!("f{i:02}"))).unwrap();
                    file.set_len(600_000 + (turn * 7919 + i * 31) % 400_000 - 200_000).unwrap();
                }
                turn += 1;
            }
        });
        // On a busy machine a whole archive may be made between two changes.
        let named = (0..20).any(|_| {
            let sealed = scene.pack();
            verify(&scene.archive(), &quiet()).unwrap();
            fs::remove_file(scene.archive()).unwrap();
            assert_eq!(sealed.totals[0].entries, 41);
            !sealed.totals[0].unsteady.is_empty()
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        named
    });
    assert!(named, "no change was seen in twenty archives");
}

#[test]
fn trees_deeper_than_a_process_may_open_files_come_back() {
    let scene = Scene::new(1);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let lower = rustix::process::Rlimit { current: Some(512), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, lower).unwrap();
    let mut at = File::open(scene.volume(0)).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&at, "e", Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap().into();
    }
    let sealed = scene.pack();
    let staged = scene.stage(&scene.job(&sealed.digest, Some(0))).unwrap();
    assert_eq!(staged.size.entries, 3001);
    crate::tree::remove(&scene.job("", Some(0)).private, None).unwrap();
    crate::tree::remove(&scene.volume(0), None).unwrap();
}
