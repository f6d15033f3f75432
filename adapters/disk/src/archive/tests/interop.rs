//! Tools that know nothing of volsnap read its archives.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    roundtrip::furnish,
    scene::{Look, Scene, look_at},
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
pub(super) fn pipe(scene: &Scene, reader: &[&str], dir: &Path) -> String {
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

/// Another tool that extracts, and what it does not know.
pub(super) struct Tool {
    command: &'static [&'static str],
    forgive: fn(&mut Look),
}

/// Has no fault but that it reads holes as zeros.
pub(super) const GNU_TAR: Tool = Tool {
    command: &["tar", "-xpf", "-", "--numeric-owner", "--acls", "--xattrs", "--xattrs-include=*"],
    forgive: |_| {},
};

/// libarchive reads the fraction of a time before 1970 with the wrong sign, and does not undo GNU tar's escaping of `=`
/// and `%` in the names of attributes.
pub(super) const BSDTAR: Tool = Tool {
    command: &["bsdtar", "-xpf", "-", "--numeric-owner", "--acls", "--xattrs"],
    forgive: |look| {
        if look.mtime.0 < 0 {
            look.mtime = (-1, 0);
        }
        look.xattrs.retain(|name, _| !name.iter().any(|byte| b"%=".contains(byte)));
    },
};

impl Tool {
    /// Whether it can be asked to extract everything.
    pub(super) fn is_there(&self) -> bool {
        have(&["zstd", self.command[0]]) && rustix::process::geteuid().is_root()
    }

    /// Volume 0 as it is and as the tool extracts it, without what the tool does not know.
    pub(super) fn extract(&self, scene: &Scene) -> [BTreeMap<PathBuf, Look>; 2] {
        let out = scene.path().join("out");
        fs::create_dir(&out).unwrap();
        pipe(scene, self.command, &out);
        [scene.volume(0), out.join("volumes/0")].map(|root| {
            let mut looks = look_at(&root);
            for look in looks.values_mut() {
                look.holes.clear();
                (self.forgive)(look);
            }
            looks
        })
    }
}

fn extracts(tool: &Tool) {
    if !tool.is_there() {
        return;
    }
    let [before, after] = tool.extract(&furnished());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, look) in before {
        assert_eq!(look, after[&path], "{}", path.display());
    }
}

#[test]
fn gnu_tar_extracts_everything_but_holes() {
    extracts(&GNU_TAR);
}

#[test]
fn bsdtar_extracts_everything_but_holes() {
    extracts(&BSDTAR);
}

/// Sizes beyond 8 GiB do not fit into an octal field.
#[test]
fn a_file_of_more_than_8_gib_comes_back_and_has_its_size_in_gnu_tar() {
    const SIZE: u64 = (8 << 30) + 4097;
    let scene = Scene::new(1);
    let file = fs::File::create(scene.volume(0).join("large")).unwrap();
    file.set_len(SIZE).unwrap();
    for (at, bytes) in [(0, b"first"), (8 << 30, b"later")] {
        file.write_all_at(bytes, at).unwrap();
    }
    let staged = fs::File::open(scene.pack_and_stage().join("large")).unwrap();
    let found = staged.metadata().unwrap();
    assert_eq!(found.len(), SIZE);
    assert!(found.blocks() * 512 < 1 << 20, "its hole takes no space");
    let mut bytes = [0; 5];
    for (at, wanted) in [(0, b"first"), (8 << 30, b"later"), (SIZE - 5, b"\0\0\0\0\0")] {
        staged.read_exact_at(&mut bytes, at).unwrap();
        assert_eq!(bytes, *wanted);
    }
    if have(&["zstd", "tar"]) {
        let said = pipe(&scene, &["tar", "-tvf", "-"], scene.path());
        assert!(said.contains(&format!(" {SIZE} ")), "{said}");
    }
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
