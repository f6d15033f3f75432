//! Lists and single files are what the tree is, read little, and are never something else.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use tar::EntryType;
use volsnap_core::{
    model::{Member, MemberKind},
    ports::{Found, FsError, FsErrorKind, LookInto, MemberSink, Output, Place},
};

use super::{
    super::{
        format::{FRAME_MAX, First},
        open::Archive,
    },
    forge::{Forged, finish},
    random::{build, things},
    roundtrip::{furnish, set_times},
    scene::{JOBS, Look, Scene, look_at, quiet},
};
use crate::archive::{dump, list};

fn look_into(scene: &Scene, digest: &str) -> LookInto {
    let (workload, snapshot) = (scene.manifest.workload, scene.manifest.snapshot);
    LookInto { workload, snapshot, archive_digest: digest.into() }
}

fn place(index: usize, path: &Path) -> Place {
    Place { index, path: path.as_os_str().as_bytes().to_vec() }
}

/// Keeps what is written.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output for Kept {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.bytes.extend(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.ended = true;
        Ok(())
    }
}

fn dumped(scene: &Scene, digest: &str, path: &Path) -> (Result<Found, FsError>, Vec<u8>) {
    let mut kept = Kept::default();
    let found = dump(&scene.archive(), &look_into(scene, digest), &place(0, path), &mut kept, JOBS, &quiet());
    assert_eq!(kept.ended, matches!(found, Ok(Found::Done(_))));
    (found, kept.bytes)
}

fn listed(scene: &Scene, digest: &str, path: &Path) -> Result<(Found, Vec<Member>), FsError> {
    let members = Arc::new(Mutex::new(Vec::new()));
    let sink = members.clone();
    let mut sink: MemberSink = Box::new(move |_, member| {
        sink.lock().unwrap().push(member);
        Ok(())
    });
    let found = list(&scene.archive(), &look_into(scene, digest), &[place(0, path)], &mut sink, &quiet())?;
    let members = members.lock().unwrap().clone();
    Ok((found, members))
}

fn is_kind(look: &Look, bits: u32) -> bool {
    look.mode & 0o170_000 == bits
}

/// Each file and each list is what the tree is.
fn agree(scene: &Scene, digest: &str) {
    let looks = look_at(&scene.volume(0));
    let (found, members) = listed(scene, digest, Path::new("")).unwrap();
    assert_eq!(found, Found::Done(looks.len() as u64));
    let mut paths: Vec<&[u8]> = members.iter().map(|member| member.path.as_slice()).collect();
    paths.sort_unstable();
    let mut expected: Vec<&[u8]> = looks.keys().map(|path| path.as_os_str().as_bytes()).collect();
    expected.sort_unstable();
    assert_eq!(paths, expected);
    for member in &members {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&member.path));
        let look = &looks[&path];
        assert_eq!((member.mode, member.uid, member.gid), (look.mode & 0o7777, look.owner.0, look.owner.1));
        assert_eq!((member.mtime_seconds, i64::from(member.mtime_nanoseconds)), look.mtime);
        let (found, bytes) = dumped(scene, digest, &path);
        match &member.kind {
            MemberKind::File { bytes: length } => {
                assert!(is_kind(look, 0o100_000) && bytes == look.contents, "{}", path.display());
                assert_eq!((found, *length), (Ok(Found::Done(*length)), look.contents.len() as u64));
            }
            MemberKind::HardLink { target } => {
                assert!(bytes == look.contents, "{}", path.display());
                assert_eq!(target, look.same_as.as_os_str().as_bytes());
            }
            kind @ (MemberKind::Directory
            | MemberKind::Symlink { .. }
            | MemberKind::Fifo
            | MemberKind::Device { .. }) => {
                assert!(!is_kind(look, 0o100_000), "{}", path.display());
                assert_eq!((found, bytes), (Ok(Found::Other(kind.clone())), Vec::new()));
            }
        }
        let (_, below) = listed(scene, digest, &path).unwrap();
        assert_eq!(below.len(), looks.keys().filter(|other| other.starts_with(&path)).count(), "{}", path.display());
        assert_eq!(&below[0], member);
        let missing = path.join("missing\u{1}");
        assert_eq!(dumped(scene, digest, &missing), (Ok(Found::Nothing(member.clone())), Vec::new()));
        assert_eq!(listed(scene, digest, &missing).unwrap(), (Found::Nothing(member.clone()), Vec::new()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_is_listed_and_given_out_as_it_is(things in things(false)) {
        let scene = Scene::new(1);
        build(&scene.volume(0), &things);
        let digest = scene.pack().digest;
        agree(&scene, &digest);
    }
}

#[test]
fn a_tree_over_many_frames_is_listed_and_given_out_as_it_is() {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    furnish(&root);
    let mut noise = noise();
    for n in 0..40_u64 {
        let mut bytes = vec![0; usize::try_from(n * 37_129 % 700_000).unwrap()];
        noise(&mut bytes);
        // Names that do not fit into a header, so that a PAX header comes before the member.
        fs::write(root.join(format!("{n}-{}", "x".repeat(200))), bytes).unwrap();
    }
    let large = File::create(root.join("large")).unwrap();
    for n in 0..20_u64 {
        let mut bytes = vec![0; 1 << 20];
        noise(&mut bytes);
        large.write_all_at(&bytes, n << 20).unwrap();
    }
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"in the middle", 9 << 20).unwrap();
    sparse.set_len(18 << 20).unwrap();
    let digest = scene.pack().digest;
    agree(&scene, &digest);
}

/// Bytes that do not compress, the same each time.
fn noise() -> impl FnMut(&mut [u8]) {
    let mut state = 1_u64;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 33) as u8;
        }
    }
}

/// Bytes that this thread and those that it starts have read, whatever they read them from.
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

/// One archive for what is counted: 256 MiB in two large files, with a small one in between and a few after them.
fn large_scene() -> (Scene, String) {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    let mut noise = noise();
    let mut block = vec![0; 1 << 20];
    for (name, mebibytes) in [("a", 100), ("c", 156)] {
        let mut file = File::create(root.join(name)).unwrap();
        for n in 0..mebibytes {
            // Half of it can be compressed.
            let (random, even) = block.split_at_mut(1 << 19);
            noise(random);
            even.fill(n);
            file.write_all(&block).unwrap();
        }
    }
    fs::write(root.join("b"), "a small one").unwrap();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/e"), "the last one").unwrap();
    let digest = scene.pack().digest;
    (scene, digest)
}

#[test]
fn a_file_and_a_list_out_of_a_large_archive_take_a_few_frames() {
    let (scene, digest) = large_scene();
    let size = scene.archive().metadata().unwrap().len();
    assert!(size > 64 << 20, "{size} bytes are too few to say anything");
    // Other tests may run in the same process and read: a few tries have to be enough for one alone.
    let frames_at_most = |frames: u64, what: &mut dyn FnMut()| {
        let fewest = (0..5).map(|_| {
            let before = bytes_read();
            what();
            bytes_read() - before
        });
        let read = fewest.min().unwrap();
        assert!(read <= frames * FRAME_MAX as u64 + (256 << 10), "{read} of {size} bytes were read");
    };
    frames_at_most(1, &mut || assert_eq!(dumped(&scene, &digest, Path::new("b")).1, b"a small one"));
    frames_at_most(1, &mut || assert_eq!(dumped(&scene, &digest, Path::new("d/e")).1, b"the last one"));
    frames_at_most(2, &mut || {
        let (found, _) = dumped(&scene, &digest, Path::new("b/none"));
        assert!(matches!(found, Ok(Found::Nothing(Member { kind: MemberKind::File { .. }, .. }))), "{found:?}");
    });
    frames_at_most(3, &mut || assert_eq!(listed(&scene, &digest, Path::new("")).unwrap().1.len(), 6));
    frames_at_most(1, &mut || assert_eq!(listed(&scene, &digest, Path::new("d")).unwrap().1.len(), 2));
    assert!(dumped(&scene, &digest, Path::new("c")).1 == fs::read(scene.volume(0).join("c")).unwrap());
}

#[test]
fn what_is_damaged_is_never_given_out_and_the_error_counts_what_was() {
    let scene = Scene::new(1);
    let mut bytes = vec![0; 20 << 20];
    noise()(&mut bytes);
    fs::write(scene.volume(0).join("large"), &bytes).unwrap();
    // Whole seconds need no PAX header: root and file have 512 bytes of header each.
    set_times(&scene.volume(0).join("large"), 5, 0);
    set_times(&scene.volume(0), 5, 0);
    let digest = scene.pack().digest;
    let archive = Archive::open(&scene.archive(), JOBS).unwrap();
    let damaged_at = archive.index.offset(3) + 1000;
    let good: u64 = archive.index.frames[1..3].iter().map(|frame| u64::from(frame.bytes)).sum::<u64>() - 1024;
    flip(&scene.archive(), damaged_at);

    let (found, written) = dumped(&scene, &digest, Path::new("large"));
    let error = found.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Corrupt);
    assert!(error.message.contains(&format!("the {good} bytes that were written before are good")), "{error}");
    assert!(written.len() as u64 == good && bytes.starts_with(&written));
    // The middle is not read for a list; the beginning is.
    assert_eq!(listed(&scene, &digest, Path::new("")).unwrap().0, Found::Done(2));
    flip(&scene.archive(), archive.index.offset(1) + 1000);
    let (found, written) = dumped(&scene, &digest, Path::new("large"));
    assert_eq!((found.unwrap_err().kind, written.len()), (FsErrorKind::Corrupt, 0));
    assert_eq!(listed(&scene, &digest, Path::new("")).unwrap_err().kind, FsErrorKind::Corrupt);
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// An index that names other members than the frames begin with, in each way and for each frame, leads to the right
/// contents or to an error.
#[test]
fn an_index_that_lies_about_the_first_members_never_leads_to_something_else() {
    let scene = Scene::new(1);
    let root = scene.volume(0);
    let mut noise = noise();
    for n in 0..24_u8 {
        let mut bytes = vec![n; 1 << 20];
        noise(&mut bytes[..1000]);
        fs::write(root.join(format!("{n:02}")), bytes).unwrap();
    }
    scene.pack();
    let archive = Archive::open(&scene.archive(), JOBS).unwrap();
    let file = fs::read(scene.archive()).unwrap();
    let frames = &file[..usize::try_from(archive.index.stored_bytes()).unwrap()];
    let (mut right, mut refused) = (0, 0);
    for at in 2..archive.index.frames.len() - 1 {
        // Of a frame in which none begins, that one does is a lie.
        let truth = archive.index.frames[at].first.clone();
        let near = truth.clone().unwrap_or(First { offset: 512, name: "volumes/0/24".into() });
        let other = |number: u8| First { name: format!("volumes/0/{number:02}"), ..near.clone() };
        let lies = [
            None,
            Some(other(0)),
            Some(other(11)),
            Some(other(23)),
            Some(First { offset: near.offset + 512, ..near.clone() }),
            Some(First { offset: near.offset + 1, ..near.clone() }),
            Some(First { offset: 0, ..near.clone() }),
            Some(First { name: "volumes/0".into(), ..near.clone() }),
            Some(First { name: "volumes/1/a".into(), ..near.clone() }),
            Some(First { name: "%".into(), ..near.clone() }),
        ];
        for lie in lies.into_iter().filter(|lie| *lie != truth) {
            let mut index = archive.index.clone();
            index.frames[at].first = lie.clone();
            let digest = finish(&scene, frames.to_vec(), &index);
            for n in 0..24_u8 {
                let path = format!("{n:02}");
                match dumped(&scene, &digest, Path::new(&path)) {
                    (Ok(Found::Done(_)), bytes) => {
                        assert!(bytes == fs::read(root.join(&path)).unwrap(), "{path} with frame {at}: {lie:?}");
                        right += 1;
                    }
                    (Err(error), bytes) => {
                        assert!(
                            matches!(error.kind, FsErrorKind::Corrupt | FsErrorKind::Hostile) && bytes.is_empty(),
                            "{error}"
                        );
                        refused += 1;
                    }
                    (Ok(found), _) => panic!("{path} with frame {at}: {lie:?}: {found:?}"),
                }
            }
            listed(&scene, &digest, Path::new("")).unwrap_err();
        }
    }
    assert!(right > 0 && refused > 0, "{right} right, {refused} refused");
}

#[test]
fn a_link_to_something_that_is_no_file_is_hostile() {
    for (target, kind) in [("volumes/0/a", EntryType::Directory), ("volumes/0/a", EntryType::Symlink)] {
        let scene = Scene::new(1);
        let link = if kind == EntryType::Symlink { "b" } else { "" };
        let forged = Forged::rooted().entry(target, kind, link, b"").entry("volumes/0/b", EntryType::Link, target, b"");
        let digest = forged.write(&scene, |_| {});
        let (found, bytes) = dumped(&scene, &digest, Path::new("b"));
        assert_eq!((found.unwrap_err().kind, bytes.len()), (FsErrorKind::Hostile, 0));
    }
    let scene = Scene::new(1);
    let digest = Forged::rooted().entry("volumes/0/b", EntryType::Link, "volumes/0/a", b"").write(&scene, |_| {});
    assert_eq!(dumped(&scene, &digest, Path::new("b")).0.unwrap_err().kind, FsErrorKind::Hostile);
}

#[test]
fn another_archive_than_the_catalog_lists_is_refused() {
    let scene = Scene::new(1);
    scene.pack();
    let digest = "0".repeat(64);
    assert_eq!(dumped(&scene, &digest, Path::new("")).0.unwrap_err().kind, FsErrorKind::Corrupt);
    assert_eq!(listed(&scene, &digest, Path::new("")).unwrap_err().kind, FsErrorKind::Corrupt);
}

#[test]
fn an_output_that_fails_ends_it() {
    struct Full(usize);
    impl Output for Full {
        fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or("no space left")?;
            Ok(())
        }

        fn end(&mut self) -> Result<(), String> {
            Ok(())
        }
    }
    let scene = Scene::new(1);
    fs::write(scene.volume(0).join("a"), vec![7; 9 << 20]).unwrap();
    let digest = scene.pack().digest;
    let wanted = look_into(&scene, &digest);
    let error =
        dump(&scene.archive(), &wanted, &place(0, Path::new("a")), &mut Full(5 << 20), JOBS, &quiet()).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Io);
    assert!(error.message.ends_with("cannot write the contents on: no space left"), "{error}");
    let mut sink: MemberSink = Box::new(|_, _| Err("no space left".into()));
    let error = list(&scene.archive(), &wanted, &[place(0, Path::new(""))], &mut sink, &quiet()).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Io);
}
