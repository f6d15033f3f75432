//! Any tree at all comes back.

use std::{
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, PermissionsExt, symlink},
    },
    path::Path,
};

use proptest::prelude::*;

use super::{
    roundtrip::set_times,
    scene::{Scene, look_at, quiet},
};
use crate::archive::verify;

/// What a random entry is.
#[derive(Debug, Clone)]
pub(super) enum Thing {
    Dir,
    File(Vec<(u32, Vec<u8>)>),
    Link(String),
    Again(usize),
}

/// A parent, a name, what it is, its mode and its time.
pub(super) type Placed = (usize, Vec<u8>, Thing, u32, i64, u32);

pub(super) fn things() -> impl Strategy<Value = Vec<Placed>> {
    let name = prop::collection::vec(prop_oneof![1..b'/', b'/' + 1..=255_u8], 1..12)
        .prop_filter("a name", |name| name != b"." && name != b"..");
    let piece = (0..300_000_u32, prop::collection::vec(any::<u8>(), 1..2000));
    let thing = prop_oneof![
        2 => Just(Thing::Dir),
        4 => prop::collection::vec(piece, 0..3).prop_map(Thing::File),
        1 => "[a-z./]{1,120}".prop_map(Thing::Link),
        1 => any::<usize>().prop_map(Thing::Again),
    ];
    prop::collection::vec(
        (any::<usize>(), name, thing, 0..0o7777_u32, -9_000_000_000..9_000_000_000_i64, 0..1_000_000_000_u32),
        0..25,
    )
}

pub(super) fn build(root: &Path, things: &[Placed]) {
    let (mut dirs, mut files, mut made) = (vec![root.to_path_buf()], Vec::new(), Vec::new());
    for (parent, name, thing, mode, seconds, nanoseconds) in things {
        let path = dirs[parent % dirs.len()].join(std::ffi::OsStr::from_bytes(name));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match thing {
            Thing::Dir => {
                fs::create_dir(&path).unwrap();
                dirs.push(path.clone());
            }
            Thing::File(pieces) => {
                let file = File::create(&path).unwrap();
                for (at, bytes) in pieces {
                    file.write_all_at(bytes, (*at).into()).unwrap();
                }
                files.push(path.clone());
            }
            Thing::Link(target) => symlink(target, &path).unwrap(),
            Thing::Again(which) if !files.is_empty() => {
                fs::hard_link(&files[which % files.len()], &path).unwrap();
                continue;
            }
            Thing::Again(_) => continue,
        }
        made.push((path, matches!(thing, Thing::Link(_)), *mode, *seconds, *nanoseconds));
    }
    for (path, link, mode, seconds, nanoseconds) in made.into_iter().rev() {
        if !link {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o700)).unwrap();
        }
        set_times(&path, seconds.clamp(-2_000_000_000, 9_000_000_000), nanoseconds.into());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(things in things()) {
        let scene = Scene::new(1);
        build(&scene.volume(0), &things);
        let before = look_at(&scene.volume(0));
        let after = look_at(&scene.pack_and_stage());
        prop_assert_eq!(before, after);
        verify(&scene.archive(), &quiet()).unwrap();
    }
}
