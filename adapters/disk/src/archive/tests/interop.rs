//! Tools that know nothing of volsnap read its archives.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    roundtrip::furnish,
    scene::{Scene, look_at},
};

/// Whether the tools are there; if not, the test is skipped by name, which CI does not accept.
pub(super) fn have(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = tools.iter().find(|tool| !std::env::split_paths(&path).any(|dir| dir.join(tool).exists()));
    match missing {
        None => true,
        Some(tool) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{tool} is missing");
            eprintln!("skipped: {tool} is missing");
            false
        }
    }
}

/// `zstd -dc <archive> | <reader>` in `dir`; gives what the reader says on both its outputs.
fn pipe(scene: &Scene, reader: &[&str], dir: &Path) -> String {
    let mut zstd = Command::new("zstd")
        .arg("-dc")
        .arg(scene.archive())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = Command::new(reader[0])
        .args(&reader[1..])
        .current_dir(dir)
        .env("LC_ALL", "C.UTF-8")
        .stdin(zstd.stdout.take().unwrap())
        .output()
        .unwrap();
    let unpacked = zstd.wait_with_output().unwrap();
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{reader:?}: {said}");
    said
}

fn furnished() -> Scene {
    let scene = Scene::new(2);
    furnish(&scene.volume(0));
    fs::write(scene.volume(1).join("two"), "2").unwrap();
    let mut noise = vec![0; 5 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(scene.volume(1).join("noise"), noise).unwrap();
    scene.pack();
    scene
}

fn lists(reader: &[&str]) {
    if !have(&["zstd", reader[0]]) {
        return;
    }
    let scene = furnished();
    let said = pipe(&scene, reader, scene.path());
    let lines: Vec<_> =
        said.lines().filter(|line| !line.starts_with("tar: Ignoring unknown extended header")).collect();
    assert_eq!(lines[..3], ["volsnap.json", "volumes/0/", "volumes/0/a/"], "{said}");
    let root = lines.iter().position(|line| *line == "volumes/1/").unwrap();
    assert_eq!(lines[root + 1..], ["volumes/1/noise", "volumes/1/two"], "{said}");
}

#[test]
fn gnu_tar_lists_the_manifest_first() {
    lists(&["tar", "-tf", "-"]);
}

#[test]
fn bsdtar_lists_the_manifest_first() {
    lists(&["bsdtar", "-tf", "-"]);
}

#[test]
fn busybox_lists_the_manifest_first() {
    lists(&["busybox", "tar", "-tf", "-"]);
}

/// Extracts with another tool and compares; `forgive` takes away what that tool does not know.
fn extracts(reader: &[&str], forgive: impl Fn(&Path, &mut super::scene::Look)) {
    if !have(&["zstd", reader[0]]) || !rustix::process::geteuid().is_root() {
        return;
    }
    let scene = furnished();
    let out = scene.path().join("out");
    fs::create_dir(&out).unwrap();
    pipe(&scene, reader, &out);
    let mut before = look_at(&scene.volume(0));
    let mut after = look_at(&out.join("volumes/0"));
    for looks in [&mut before, &mut after] {
        for (path, look) in looks {
            look.holes.clear();
            forgive(path, look);
        }
    }
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, look) in before {
        assert_eq!(look, after[&path], "{}", path.display());
    }
}

#[test]
fn gnu_tar_extracts_everything_but_holes() {
    extracts(&["tar", "-xpf", "-", "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*"], |_, _| {});
}

#[test]
fn bsdtar_extracts_everything_but_holes() {
    // libarchive reads the fraction of a time before 1970 with the wrong sign, and does not undo GNU tar's escaping of
    // `=` and `%` in the names of attributes.
    extracts(&["bsdtar", "-xpf", "-", "--numeric-owner", "--acls", "--xattrs"], |_, look| {
        if look.mtime.0 < 0 {
            look.mtime = (-1, 0);
        }
        look.xattrs.retain(|name, _| !name.contains(&b'%'));
    });
}

#[test]
fn the_seek_table_is_one_that_zstd_skips() {
    if !have(&["zstd"]) {
        return;
    }
    let scene = furnished();
    let tested = Command::new("zstd").arg("-lv").arg(scene.archive()).output().unwrap();
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success(), "{said}");
    // Manifest 1, volumes of 10 and 5 MiB 3 and 2, end 1; index and seek table are skipped.
    assert!(said.contains("# Zstandard Frames: 7"), "{said}");
    assert!(said.contains("# Skippable Frames: 2"), "{said}");
}
