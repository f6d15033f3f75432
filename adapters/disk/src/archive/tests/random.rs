//! Any tree at all comes back.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, lchown, symlink},
    },
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev};

use super::{
    interop::{BSDTAR, GNU_TAR, Tool},
    roundtrip::set_times,
    scene::{Scene, by_descriptor, look_at, quiet, verify},
};
use crate::archive::acl;

/// What a random entry is.
#[derive(Debug, Clone)]
pub(super) enum Thing {
    Dir,
    /// So many directories with names as long as can be, each in the one before.
    Deep(usize),
    /// Pieces with holes between, and how much more hole there is at the end.
    File(Vec<(u32, Vec<u8>)>, u64),
    Link(String),
    Again(usize),
    Fifo,
    Device(bool, u32, u32),
}

/// What it has besides; what does not go with the thing is left out.
#[derive(Debug, Clone)]
pub(super) struct Dress {
    mode: u32,
    owner: (u32, u32),
    time: (i64, u32),
    user: Vec<(String, Vec<u8>)>,
    trusted: Vec<(String, Vec<u8>)>,
    capability: Option<u32>,
    acl: Option<(u32, u16)>,
    default_acl: Option<(u32, u16)>,
}

/// A parent, a name, what it is, and how it is dressed.
pub(super) type Placed = (usize, Vec<u8>, Thing, Dress);

fn dress() -> impl Strategy<Value = Dress> {
    let id = || prop_oneof![Just(0), 0..70_000_u32, Just(u32::MAX - 1)];
    let time = (-9_000_000_000..9_000_000_000_i64, 0..1_000_000_000_u32);
    let xattrs = || prop::collection::vec(("[a-z.=%]{1,30}", prop::collection::vec(any::<u8>(), 0..200)), 0..3);
    let acl = || prop::option::weighted(0.3, (0..70_000_u32, 0..512_u16));
    let capability = prop::option::weighted(0.2, any::<u32>());
    (0..0o10000_u32, (id(), id()), time, xattrs(), xattrs(), capability, acl(), acl()).prop_map(
        |(mode, owner, time, user, trusted, capability, acl, default_acl)| {
            let time = (time.0.clamp(-2_000_000_000, 9_000_000_000), time.1);
            Dress { mode, owner, time, user, trusted, capability, acl, default_acl }
        },
    )
}

/// Other tools cannot reach what lies below paths of 4096 bytes, so they get none.
pub(super) fn things(deep: bool) -> impl Strategy<Value = Vec<Placed>> {
    let byte = || prop_oneof![1..b'/', b'/' + 1..=255_u8];
    let name = prop_oneof![
        8 => prop::collection::vec(byte(), 1..12),
        1 => prop::collection::vec(byte(), 200..=255),
    ]
    .prop_filter("a name", |name| name != b"." && name != b"..");
    let piece = (0..300_000_u32, prop::collection::vec(any::<u8>(), 1..2000));
    let end = prop_oneof![3 => Just(0), 1 => 0..3_000_000_u64];
    let thing = prop_oneof![
        20 => Just(Thing::Dir),
        30 => (prop::collection::vec(piece, 0..3), end).prop_map(|(pieces, end)| Thing::File(pieces, end)),
        10 => "[a-z./]{1,120}".prop_map(Thing::Link),
        10 => any::<usize>().prop_map(Thing::Again),
        5 => Just(Thing::Fifo),
        // Numbers as large as XFS keeps them.
        5 => (any::<bool>(), 0..512_u32, 0..1_u32 << 18).prop_map(|(block, major, minor)| {
            Thing::Device(block, major, minor)
        }),
        if deep { 2 } else { 0 } => (1..20_usize).prop_map(Thing::Deep),
    ];
    prop::collection::vec((any::<usize>(), name, thing, dress()), 0..25)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(super) fn build(root: &Path, things: &[Placed]) {
    let mut dirs = vec![File::open(root).unwrap()];
    let (mut files, mut made): (Vec<PathBuf>, Vec<(PathBuf, &Thing, &Dress)>) = Default::default();
    for (parent, name, thing, dress) in things {
        // By the open parent: the whole path may be longer than a call takes.
        let path = by_descriptor(&dirs[parent % dirs.len()]).join(OsStr::from_bytes(name));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match thing {
            Thing::Dir => {
                fs::create_dir(&path).unwrap();
                dirs.push(File::open(&path).unwrap());
            }
            Thing::Deep(count) => {
                fs::create_dir(&path).unwrap();
                let mut last = File::open(&path).unwrap();
                for _ in 0..*count {
                    let below = by_descriptor(&last).join("d".repeat(255));
                    fs::create_dir(&below).unwrap();
                    set_times(&below, dress.time.0, dress.time.1.into());
                    last = File::open(&below).unwrap();
                }
                dirs.push(last);
            }
            Thing::File(pieces, end) => {
                let file = File::create(&path).unwrap();
                for (at, bytes) in pieces {
                    file.write_all_at(bytes, (*at).into()).unwrap();
                }
                file.set_len(file.metadata().unwrap().len() + end).unwrap();
                files.push(path.clone());
            }
            Thing::Link(target) => symlink(target, &path).unwrap(),
            Thing::Again(which) if !files.is_empty() => {
                fs::hard_link(&files[which % files.len()], &path).unwrap();
                continue;
            }
            Thing::Again(_) => continue,
            Thing::Fifo => rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap(),
            Thing::Device(block, major, minor) if is_root() => {
                let kind = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
                rustix::fs::mknodat(CWD, &path, kind, Mode::RUSR, makedev(*major, *minor)).unwrap();
            }
            Thing::Device(..) => continue,
        }
        made.push((path, thing, dress));
    }
    // What is in a directory before the directory itself, whose time it changes.
    for (path, thing, dress) in made.into_iter().rev() {
        put_on(&path, thing, dress);
    }
}

fn put_on(path: &Path, thing: &Thing, dress: &Dress) {
    let set = |name: &str, value: &[u8]| rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
    let (link, file) = (matches!(thing, Thing::Link(_)), matches!(thing, Thing::File(..)));
    let dir = matches!(thing, Thing::Dir | Thing::Deep(_));
    if is_root() {
        lchown(path, Some(dress.owner.0), Some(dress.owner.1)).unwrap();
        dress.trusted.iter().for_each(|(name, value)| set(&format!("trusted.{name}"), value));
    }
    if !link {
        let mode = if is_root() { dress.mode } else { dress.mode | 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    if file || dir {
        dress.user.iter().for_each(|(name, value)| set(&format!("user.{name}"), value));
    }
    if let (true, true, Some(permitted)) = (is_root(), file, dress.capability) {
        set("security.capability", &[&[1, 0, 0, 2], &permitted.to_le_bytes()[..], &[0; 12]].concat());
    }
    let acls = [("system.posix_acl_access", !link, dress.acl), ("system.posix_acl_default", dir, dress.default_acl)];
    for (name, fits, acl) in acls {
        if let (true, true, Some((id, bits))) = (is_root(), fits, acl) {
            let perms = |shift: u16| {
                let bit = |mask: u16, letter| if bits >> shift & mask != 0 { letter } else { '-' };
                String::from_iter([bit(4, 'r'), bit(2, 'w'), bit(1, 'x')])
            };
            let (a, b, c) = (perms(0), perms(3), perms(6));
            let text = format!("user::rwx,user:{id}:{a},group::{b},group:{id}:{c},mask::{a},other::{b}");
            set(name, &acl::from_text(text.as_bytes()).unwrap());
        }
    }
    set_times(path, dress.time.0, dress.time.1.into());
}

fn extracted_by(tool: &Tool, things: &[Placed]) -> Result<(), TestCaseError> {
    let scene = Scene::new(1);
    build(&scene.volume(0), things);
    scene.pack();
    let [before, after] = tool.extract(&scene);
    prop_assert_eq!(before, after);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(things in things(true)) {
        let scene = Scene::new(1);
        build(&scene.volume(0), &things);
        let before = look_at(&scene.volume(0));
        let after = look_at(&scene.pack_and_stage());
        prop_assert_eq!(before, after);
        verify(&scene.archive(), &quiet()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn gnu_tar_extracts_any_tree(things in things(false)) {
        if GNU_TAR.is_there() {
            extracted_by(&GNU_TAR, &things)?;
        }
    }

    #[test]
    fn bsdtar_extracts_any_tree(things in things(false)) {
        if BSDTAR.is_there() {
            extracted_by(&BSDTAR, &things)?;
        }
    }
}
