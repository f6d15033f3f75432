//! An archive that an earlier version wrote is read for ever.

use std::{fs, path::Path};

use super::scene::{JOBS, OPEN, Scene, look_at, quiet, verify};
use crate::archive::{stage, summary};

/// Written by the first version: a directory with a file in two frames, a sparse file, links and an attribute.
const FORMAT_1: &[u8] = include_bytes!("../../../tests/data/format-1.tar.zst");
const DIGEST: &str = "4d915af0ab48e523bf7004e8942487471b9d4949c78b9d74515bf352d1360ef3";
const VOLUME_DIGEST: &str = "8410d879590626775da6229e215818fb4e631261ec7db9f0f46ad2410c15417c";

#[test]
fn an_archive_of_format_1_is_read_as_it_was_written() {
    let scene = Scene::new(1);
    let path = scene.path().join("old.tar.zst");
    fs::write(&path, FORMAT_1).unwrap();
    let found = summary(&path).unwrap();
    assert_eq!(found.digest, DIGEST);
    assert_eq!(found.totals[0].digest, VOLUME_DIGEST);
    assert_eq!((found.manifest, found.quiesced_ms), (scene.manifest.clone(), 7));
    verify(&path, &quiet()).unwrap();

    let mut job = scene.job(DIGEST, Some(0));
    job.limits = OPEN;
    if let Err(error) = stage(&path, &job, JOBS, &quiet()) {
        assert!(!rustix::process::geteuid().is_root(), "{error}");
        eprintln!("skipped: only root may give files to other owners");
        return;
    }
    let looks = look_at(&job.private.join("staged"));
    let names: Vec<_> = looks.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["", "again", "big", "dir", "dir/link", "dir/ü", "sparse"]);
    let look = |path: &str| looks[Path::new(path)].clone();
    assert_eq!(look("big").contents, (0..5_000_000_u32).map(|i| (i / 64) as u8).collect::<Vec<_>>());
    assert_eq!(look("big").same_as, Path::new("again"));
    assert_eq!((look("dir").mode & 0o7777, look("dir").owner), (0o1750, (70, 71)));
    assert_eq!(look("dir/link").link, Path::new("../big"));
    assert_eq!((look("dir/ü").contents, look("dir/ü").mtime), (b"hello".to_vec(), (-5, 250_000_000)));
    assert_eq!(look("dir/ü").xattrs[&b"user.color"[..]], b"blue");
    assert_eq!(look("sparse").contents.len(), 1 << 20);
    assert!(!look("sparse").holes.is_empty());
}
