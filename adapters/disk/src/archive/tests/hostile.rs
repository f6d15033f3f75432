//! Archives that were damaged or made to do harm are refused for the right reason, and nothing leaves its place.

use std::{fs, os::unix::fs::symlink};

use proptest::prelude::*;
use tar::EntryType;
use volsnap_core::ports::{FsErrorKind, Limits};

use super::{
    super::pax::Records,
    forge::{Forged, finish},
    roundtrip::furnish,
    scene::{JOBS, OPEN, Scene, look_at, quiet, verify},
};
use crate::archive::{summary, verify_stored};

fn record(key: &str, value: &str) -> Records {
    Records(vec![(key.into(), value.into())])
}

/// The volume is refused when it is staged, nothing is left of it, and nothing beside it has changed.
fn refused(forged: Forged, why: &str) {
    refused_as(FsErrorKind::Hostile, forged, why);
}

fn refused_as(kind: FsErrorKind, forged: Forged, why: &str) {
    let scene = Scene::new(1);
    fs::write(scene.path().join("secret"), "secret").unwrap();
    let names = forged.names.clone();
    let digest = forged.write(&scene, |_| {});
    let before = look_at(scene.path());
    let error = scene.stage(&scene.job(&digest, Some(0))).expect_err(why);
    assert_eq!(error.kind, kind, "{why}: {error}");
    assert!(names.iter().any(|name| error.message.contains(name)), "{why}: {error} names none of {names:?}");
    // A copy is refused for the same reason. One of a part may not come to what is wrong, and then leaves nothing outside.
    let copied = super::copy::copy(&scene, &super::copy::job(&scene, &digest, &[])).expect_err(why);
    assert_eq!((copied.kind, &copied.message), (error.kind, &error.message), "{why}");
    for part in ["a", "a/b", "m", "b", "fine", "x"] {
        let job = super::copy::job(&scene, &digest, &[part.as_bytes()]);
        match super::copy::copy(&scene, &job) {
            Ok(_) => fs::remove_dir_all(&job.private).unwrap(),
            Err(error) => {
                let expected = [FsErrorKind::Hostile, FsErrorKind::Corrupt, FsErrorKind::NotFound];
                assert!(expected.contains(&error.kind), "{why}: {part}: {error}");
            }
        }
    }
    let after = look_at(scene.path());
    let untouched = |looks: &std::collections::BTreeMap<_, super::scene::Look>| {
        let own = |(path, look): (&std::path::PathBuf, &_)| {
            (!path.as_os_str().is_empty()).then_some((path.clone(), super::scene::Look::clone(look)))
        };
        looks.iter().filter_map(own).collect::<Vec<_>>()
    };
    assert_eq!(untouched(&before), untouched(&after), "{why}");
}

#[test]
fn a_sound_forgery_is_taken() {
    let scene = Scene::new(1);
    let holes = Records(vec![("VOLSNAP.holes".into(), "0:512".into()), ("SCHILY.xattr.user.x".into(), "y".into())]);
    let forged = Forged::rooted()
        .file("volumes/0/a", b"contents")
        .entry("volumes/0/b", EntryType::Link, "volumes/0/a", b"")
        .entry("volumes/0/c/", EntryType::Directory, "", b"")
        .entry("volumes/0/c/d", EntryType::Symlink, "../../../../etc/passwd", b"")
        .with("volumes/0/e", EntryType::Regular, "", &[0; 1024], &holes, |_| {});
    let mut forged = forged;
    forged.totals.bytes_allocated = 4096 + 4096;
    let digest = forged.write(&scene, |_| {});
    scene.stage(&scene.job(&digest, Some(0))).unwrap();
    verify(&scene.archive(), &quiet()).unwrap();
    assert_eq!(fs::read(scene.job("", Some(0)).private.join("staged/b")).unwrap(), b"contents");
}

#[test]
fn names_that_lead_outside_are_refused() {
    for name in [
        "../escaped",
        "/etc/escaped",
        "volumes/0/../../escaped",
        "volumes/0/..",
        "volumes/0/./a",
        "volumes/0//a",
        "volumes/1/a",
        "volumes/00/a",
        "volsnap.json",
        "volumes",
        "",
    ] {
        refused(Forged::rooted().file(name, b"x"), name);
        let placed =
            Forged::rooted().with("volumes/0/fine", EntryType::Regular, "", b"x", &record("path", name), |_| {});
        refused(placed, &format!("{name} in a PAX record"));
    }
    let nul =
        Forged::rooted().with("volumes/0/f", EntryType::Regular, "", b"", &record("path", "volumes/0/a\0b"), |_| {});
    refused(nul, "NUL");
}

#[test]
fn parents_that_are_no_directories_of_the_archive_are_refused() {
    for target in ["/etc", "..", ".", "b"] {
        let link = Forged::rooted().entry("volumes/0/a", EntryType::Symlink, target, b"");
        refused(link.clone().file("volumes/0/a/passwd", b"x"), "a file below a link");
        refused(link.entry("volumes/0/a/", EntryType::Directory, "", b""), "a directory in place of a link");
    }
    refused(Forged::rooted().file("volumes/0/a", b"").file("volumes/0/a/b", b""), "a file below a file");
    refused(Forged::rooted().file("volumes/0/a/b", b""), "a file without a parent");
    refused(Forged::default().file("volumes/0/a", b""), "a file without a root");
    refused(Forged::default().file("volumes/0", b""), "a root that is a file");
    refused(Forged::rooted().file("volumes/0/a/", b""), "a file that others take for a directory");
    refused(Forged::rooted().entry("volumes/0", EntryType::Directory, "", b""), "two roots");
}

#[test]
fn links_to_what_is_no_earlier_file_are_refused() {
    let link = |target| Forged::rooted().file("volumes/0/a", b"").entry("volumes/0/m", EntryType::Link, target, b"");
    for target in [
        "/etc/passwd",
        "volumes/0/../../secret",
        "../secret",
        "secret",
        "volumes/0/n",
        "volumes/0/m",
        "volumes/0",
        "volumes/0/missing",
        "volumes/0/a/b",
        "volumes/0/a/",
        "volumes/1/a",
        "",
    ] {
        refused(link(target), target);
    }
    let through = Forged::rooted().entry("volumes/0/a", EntryType::Symlink, "../../..", b"");
    refused(
        through.clone().entry("volumes/0/m", EntryType::Link, "volumes/0/a/secret", b""),
        "through a symbolic link",
    );
    refused(through.entry("volumes/0/m", EntryType::Link, "volumes/0/a", b""), "to a symbolic link");
    let directory = Forged::rooted().entry("volumes/0/a", EntryType::Directory, "", b"");
    refused(directory.entry("volumes/0/m", EntryType::Link, "volumes/0/a", b""), "to a directory");
}

#[test]
fn names_that_come_twice_or_out_of_order_are_refused() {
    refused(Forged::rooted().file("volumes/0/a", b"1").file("volumes/0/a", b"2"), "a file twice");
    refused(Forged::rooted().file("volumes/0/b", b"1").file("volumes/0/a", b"2"), "out of order");
    let directory = |name| Forged::rooted().entry(name, EntryType::Directory, "", b"");
    refused(directory("volumes/0/a").entry("volumes/0/a", EntryType::Directory, "", b""), "a directory twice");
    let left = directory("volumes/0/a").file("volumes/0/b", b"").file("volumes/0/a/c", b"");
    refused(left, "back into a directory that was left");
}

#[test]
fn members_that_contradict_themselves_are_refused() {
    let with = |key: &str, value: &str| {
        Forged::rooted().with("volumes/0/a", EntryType::Regular, "", b"contents", &record(key, value), |_| {})
    };
    for (key, value) in [
        ("size", "7"),
        ("size", "9"),
        ("size", "-8"),
        ("uid", "1"),
        ("gid", "x"),
        ("mtime", "1.2.3"),
        ("mtime", ""),
        ("GNU.sparse.major", "1"),
        ("linkpath\n", "x"),
        ("SCHILY.acl.access", "user::rwx:"),
        ("SCHILY.xattr.", "x"),
        ("hdrcharset", "UTF-7"),
        ("comment", "hello"),
    ] {
        refused(with(key, value), &format!("{key}={value}"));
    }
    let acl = Records(vec![
        ("SCHILY.acl.access".into(), "user::rwx,group::r-x,other::---".into()),
        ("SCHILY.xattr.system.posix_acl_access".into(), "x".into()),
    ]);
    let coded = ["SCHILY.xattr.user.%", "SCHILY.xattr.user.%25"].map(|key| (key.into(), "x".into()));
    for twice in [acl, Records(coded.into())] {
        let member = Forged::rooted().with("volumes/0/a", EntryType::Regular, "", b"", &twice, |_| {});
        refused(member, "an attribute twice");
    }
    for map in ["", "0", "0:9", "8:1", "4:2,0:2", "0:4,2:4", "0:18446744073709551615", "0:-1"] {
        refused(with("VOLSNAP.holes", map), &format!("hole map {map}"));
    }
    refused(with("VOLSNAP.holes", "2:4"), "data in a hole");
    let dir = Forged::rooted().entry("volumes/0/a", EntryType::Directory, "", b"contents");
    refused(dir, "a directory with contents");
    let link = Forged::rooted().entry("volumes/0/a", EntryType::Symlink, "", b"");
    refused(link, "a link to nothing");
}

#[test]
fn headers_that_are_not_plain_ustar_are_refused() {
    let kinds = [b'g', b'L', b'K', b'S', b'V', b'M', b'7', b'x', b'Z', 0xff];
    for kind in kinds {
        let member = Forged::rooted().entry("volumes/0/a", EntryType::new(kind), "", b"contents");
        refused(member, &format!("type {kind}"));
    }
    let plain = Records::default();
    let tampered = |tamper: fn(&mut tar::Header)| {
        Forged::rooted().with("volumes/0/a", EntryType::Regular, "", b"", &plain, tamper)
    };
    refused(tampered(|head| head.set_mode(0o10_0644)), "a mode with a type");
    refused(tampered(|head| head.as_old_mut().uid = *b"zzzzzzz\0"), "an owner that is no number");
    refused(tampered(|head| head.set_uid(1 << 33)), "an owner that does not fit");
    refused(tampered(|head| head.as_ustar_mut().unwrap().magic = *b"other\0"), "another magic");
    let mut wrong_sum = Forged::rooted().file("volumes/0/a", b"");
    let at = wrong_sum.bytes.len() - 512;
    wrong_sum.bytes[at] ^= 1;
    refused(wrong_sum, "a wrong checksum");
    refused(tampered(|head| head.as_old_mut().size = *b"+0000000000\0"), "a size with a sign");
    refused(tampered(|head| head.set_uid(u32::MAX.into())), "an owner that is none");
    refused(tampered(|head| head.set_gid(u32::MAX.into())), "a group that is none");
    let device = |major, minor| {
        Forged::rooted().with("volumes/0/a", EntryType::Char, "", b"", &plain, move |head| {
            head.set_device_major(major).unwrap();
            head.set_device_minor(minor).unwrap();
        })
    };
    refused(device(0x1001, 3), "a major number of which the kernel takes the low bits");
    refused(device(1, 0x10_0003), "a minor number of which the kernel takes the low bits");
    let mut zeros = Forged::rooted();
    zeros.bytes.extend([0; 1024]);
    refused(zeros, "an end before the end");
}

#[test]
fn members_that_are_cut_off_or_bombs_are_refused() {
    let long = |size| {
        Forged::rooted()
            .with("volumes/0/a", EntryType::Regular, "", b"x", &Records::default(), move |h| h.set_size(size))
    };
    refused_as(FsErrorKind::Corrupt, long(1 << 40), "more contents than there are");
    refused(long(u64::MAX), "a size beyond all sizes");
    let scene = Scene::new(1);
    let digest = long(1 << 40).write(&scene, |index| index.volumes[0].totals.bytes = 1);
    let mut job = scene.job(&digest, Some(0));
    job.limits = Limits { bytes_max: 1 << 30, ..OPEN };
    assert_eq!(scene.stage(&job).unwrap_err().kind, FsErrorKind::Hostile);
    let mut cut = Forged::rooted().file("volumes/0/a", b"contents");
    cut.bytes.truncate(cut.bytes.len() - 600);
    refused_as(FsErrorKind::Corrupt, cut, "cut in its header");
    let huge = Records(vec![("SCHILY.xattr.user.x".into(), vec![b'x'; 1 << 20])]);
    refused(Forged::rooted().with("volumes/0/a", EntryType::Regular, "", b"", &huge, |_| {}), "a huge PAX header");
    let deep = format!("volumes/0/{}", "d/".repeat(40_000));
    let placed = Forged::rooted().with("volumes/0/x", EntryType::Regular, "", b"", &record("path", &deep), |_| {});
    refused(placed, "a name beyond all names");
}

#[test]
fn an_index_that_lies_is_corrupt() {
    type Lie = fn(&mut super::super::format::Index);
    let lies: [(&str, Lie); 13] = [
        ("entries", |index| index.volumes[0].totals.entries += 1),
        ("bytes", |index| index.volumes[0].totals.bytes -= 1),
        ("blocks", |index| index.volumes[0].totals.bytes_allocated += 1),
        ("digest of the volume", |index| index.volumes[0].totals.digest = "0".repeat(64)),
        ("names without end", |index| index.volumes[0].totals.unsteady = vec![String::new(); 101]),
        ("digest of a frame", |index| index.frames[1].digest.0[0] ^= 1),
        ("digest of what is stored", |index| index.frames[1].stored_digest.0[0] ^= 1),
        ("content length", |index| index.frames[1].bytes += 512),
        ("stored length", |index| index.frames[1].stored_bytes -= 1),
        ("a frame too many", |index| index.frames.push(index.frames[2].clone())),
        ("frames elsewhere", |index| index.volumes[0].first_frame = usize::MAX),
        ("first member", |index| index.frames[1].first.as_mut().unwrap().name.push('x')),
        ("no first member", |index| index.frames[1].first = None),
    ];
    for (what, lie) in lies {
        let scene = Scene::new(1);
        let digest = Forged::rooted().file("volumes/0/a", b"contents").write(&scene, lie);
        let error = scene.stage(&scene.job(&digest, Some(0))).expect_err(what);
        assert_eq!(error.kind, FsErrorKind::Corrupt, "{what}: {error}");
        assert_eq!(verify(&scene.archive(), &quiet()).expect_err(what).kind, FsErrorKind::Corrupt, "{what}");
    }
}

#[test]
fn a_frame_that_unpacks_to_more_than_it_says_is_corrupt() {
    let scene = Scene::new(1);
    let mut bomb = Forged::rooted();
    bomb.bytes.resize(200 << 20, 0);
    bomb.write(&scene, |index| index.frames[1].bytes = 4096);
    assert_eq!(verify(&scene.archive(), &quiet()).unwrap_err().kind, FsErrorKind::Corrupt);
    let mut bomb = Forged::rooted();
    bomb.bytes.resize(5 << 20, 0);
    bomb.write(&scene, |_| {});
    assert_eq!(verify(&scene.archive(), &quiet()).unwrap_err().kind, FsErrorKind::Corrupt, "more than 4 MiB");
}

#[test]
fn an_archive_of_a_newer_format_is_named_as_such() {
    let scene = Scene::new(1);
    Forged::rooted().write(&scene, |index| index.format = 2);
    let error = summary(&scene.archive()).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Unsupported);
    assert!(error.message.contains("newer volsnap"), "{error}");
}

#[test]
fn an_archive_of_a_format_that_never_was_is_corrupt() {
    let mut scene = Scene::new(1);
    Forged::rooted().write(&scene, |index| index.format = 0);
    assert_eq!(summary(&scene.archive()).unwrap_err().kind, FsErrorKind::Corrupt, "in the index");
    for format in [0, 2] {
        scene.manifest.format = format;
        Forged::rooted().write(&scene, |_| {});
        assert_eq!(summary(&scene.archive()).unwrap_err().kind, FsErrorKind::Corrupt, "{format} in the manifest alone");
    }
}

#[test]
fn no_contents_where_the_manifest_promises_some_is_corrupt() {
    let scene = Scene::new(1);
    let index = |index: &mut super::super::format::Index| {
        index.volumes[0].frame_count = 0;
        index.volumes[0].totals.digest = super::super::format::Digest::of(b"").hex();
        index.frames.remove(1);
    };
    Forged::rooted().write(&scene, index);
    assert_eq!(summary(&scene.archive()).unwrap_err().kind, FsErrorKind::Corrupt);
    finish(
        &scene,
        Vec::new(),
        &super::super::format::Index { format: 1, quiesced_ms: 0, volumes: vec![], frames: vec![] },
    );
    assert_eq!(summary(&scene.archive()).unwrap_err().kind, FsErrorKind::Corrupt);
}

#[test]
fn a_bomb_of_entries_goes_off_no_further_than_its_limit() {
    let mut bomb = Forged::rooted();
    for at in 0..8000 {
        bomb = bomb.file(&format!("volumes/0/m{at:04}"), b"");
    }
    let scene = Scene::new(1);
    let honest = bomb.clone().write(&scene, |_| {});
    let mut job = scene.job(&honest, Some(0));
    job.limits = Limits { entries_max: 100, ..OPEN };
    let error = scene.stage(&job).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Hostile, "what the index says is beyond the limits: {error}");
    let digest = bomb.write(&scene, |index| index.volumes[0].totals.entries = 100);
    job.archive_digest = digest;
    let error = scene.stage(&job).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Hostile, "{error}");
    // The root is the first entry.
    assert!(error.message.contains("`volumes/0/m0099` goes beyond the limits"), "{error}");
}

#[test]
fn damage_names_the_member_that_it_meets() {
    let scene = Scene::new(1);
    fs::write(scene.volume(0).join("small"), "small").unwrap();
    let mut noise = vec![0; 9 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(scene.volume(0).join("large"), noise).unwrap();
    scene.pack();
    let mut bytes = fs::read(scene.archive()).unwrap();
    // In the second frame of the file, where no member begins.
    bytes[6 << 20] ^= 1;
    fs::write(scene.archive(), bytes).unwrap();
    let error = verify(&scene.archive(), &quiet()).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Corrupt);
    assert!(error.message.contains("`volumes/0/large`") || error.message.contains("`volumes/0`"), "{error}");
}

fn sound() -> (Scene, Vec<u8>, String) {
    let scene = Scene::new(1);
    furnish(&scene.volume(0));
    let digest = scene.pack().digest;
    let bytes = fs::read(scene.archive()).unwrap();
    (scene, bytes, digest)
}

fn is_corrupt(scene: &Scene, digest: &str, what: &str) {
    let stored = verify_stored(&scene.archive(), JOBS, &quiet()).expect_err(what);
    assert_eq!(stored.kind, FsErrorKind::Corrupt, "{what}: {stored}");
    let verified = verify(&scene.archive(), &quiet()).expect_err(what);
    assert_eq!(verified.kind, FsErrorKind::Corrupt, "{what}: {verified}");
    let staged = scene.stage(&scene.job(digest, Some(0))).err();
    // The frame that ends the tar stream is no part of the volume.
    assert!(staged.is_none_or(|error| error.kind == FsErrorKind::Corrupt), "{what}");
    let _ = crate::tree::remove(&scene.job(digest, Some(0)).private, None);
}

#[test]
fn a_truncated_archive_is_corrupt() {
    let (scene, bytes, digest) = sound();
    for part in 0..50 {
        let length = bytes.len() * part / 50;
        fs::write(scene.archive(), &bytes[..length]).unwrap();
        is_corrupt(&scene, &digest, &format!("cut at {length}"));
    }
    fs::write(scene.archive(), &bytes[..bytes.len() - 1]).unwrap();
    is_corrupt(&scene, &digest, "one byte short");
    fs::write(scene.archive(), [&bytes[..], b"x"].concat()).unwrap();
    is_corrupt(&scene, &digest, "one byte long");
    fs::write(scene.archive(), [b"x", &bytes[..]].concat()).unwrap();
    is_corrupt(&scene, &digest, "shifted");
}

#[test]
fn any_altered_byte_is_corrupt() {
    let (scene, bytes, digest) = sound();
    let ends = (0..40).chain(bytes.len() - 200..bytes.len());
    for at in ends.chain((0..bytes.len()).step_by(bytes.len() / 150)) {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        fs::write(scene.archive(), altered).unwrap();
        is_corrupt(&scene, &digest, &format!("byte {at} of {}", bytes.len()));
    }
}

proptest! {
    #[test]
    fn garbage_is_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let scene = Scene::new(1);
        fs::create_dir_all(scene.archives()).unwrap();
        fs::write(scene.archive(), bytes).unwrap();
        prop_assert_eq!(summary(&scene.archive()).unwrap_err().kind, FsErrorKind::Corrupt);
    }
}

#[test]
fn a_private_directory_that_is_a_link_is_refused() {
    let (scene, _, digest) = sound();
    let job = scene.job(&digest, Some(0));
    fs::create_dir(scene.path().join("elsewhere")).unwrap();
    symlink(scene.path().join("elsewhere"), &job.private).unwrap();
    assert!(scene.stage(&job).is_err());
    assert_eq!(fs::read_dir(scene.path().join("elsewhere")).unwrap().count(), 0);
}
