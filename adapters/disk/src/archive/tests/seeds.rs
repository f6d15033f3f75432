//! The promises of the fuzz targets on what the fuzzer begins with (`fuzz/seeds`), and where these seeds come from.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::{
    super::{
        acl,
        format::Index,
        fuzzing::{archive, join, manifest, parts, volume},
    },
    scene::Scene,
};

/// Where `cargo xtask fuzz seeds` wants what a test reads as an archive or a part of one.
const WANTED: &str = "VOLSNAP_FUZZ_SEEDS";
/// A fuzzer is as fast as its inputs are short.
const SEED_BYTES_MAX: usize = 16 << 10;

/// Keeps bytes for the seeds of a target, if somebody wants them.
pub(super) fn keep(target: &str, bytes: &[u8]) {
    let Some(wanted) = std::env::var_os(WANTED).filter(|_| bytes.len() <= SEED_BYTES_MAX) else { return };
    let dir = PathBuf::from(wanted).join(target);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(&blake3::hash(bytes).to_hex()[..16]), bytes).unwrap();
}

#[test]
fn every_seed_of_the_fuzzer_keeps_the_promises() {
    type Promise = fn(&[u8]);
    let targets: [(&str, Promise); 3] = [("volume", volume), ("archive", archive), ("manifest", manifest)];
    for (target, promise) in targets {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
        let seeds: Vec<_> = fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for seed in seeds {
            eprintln!("{}", seed.display());
            promise(&fs::read(seed).unwrap());
        }
    }
}

/// A bit of everything in a few kilobytes.
fn furnish(root: &Path) {
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("a/b/deep"), "deep").unwrap();
    fs::write(root.join("first"), vec![7; 700]).unwrap();
    fs::hard_link(root.join("first"), root.join("second")).unwrap();
    symlink("../secret", root.join("link")).unwrap();
    symlink("x".repeat(150), root.join("long link")).unwrap();
    fs::write(root.join("n".repeat(200)), "long").unwrap();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    File::create(root.join("sparse")).unwrap().write_all_at(b"end", 4096).unwrap();
    rustix::fs::setxattr(root.join("first"), "user.a=b", b"%3D", XattrFlags::empty()).unwrap();
    let list = acl::from_text(b"user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::---").unwrap();
    rustix::fs::setxattr(root.join("second"), "system.posix_acl_access", &list, XattrFlags::empty()).unwrap();
}

#[test]
fn what_is_written_keeps_the_promises_of_any_bytes() {
    let scene = Scene::new(2);
    furnish(&scene.volume(0));
    scene.pack();
    let file = fs::read(scene.archive()).unwrap();
    archive(&file);
    keep("archive", &file);
    let json = serde_json::to_vec(&scene.manifest).unwrap();
    manifest(&json);
    keep("manifest", &json);
    let (frames, payload) = parts(&file).unwrap();
    assert!(join(frames, payload) == file, "what is made to fit a sound archive is not that archive");
    let index: Index = serde_json::from_slice(payload).unwrap();
    let stored = &file[usize::try_from(index.offset(1)).unwrap()..usize::try_from(index.offset(2)).unwrap()];
    let tar = zstd::bulk::decompress(stored, 1 << 20).unwrap();
    volume(&tar);
    keep("volume", &tar);
}
