//! `export` and `import` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use serde_json::{Value, json};
use support::World;

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A directory for copies, and a path in it.
fn outside(world: &World) -> (PathBuf, PathBuf, String) {
    let dir = world.path("out");
    fs::create_dir(&dir).unwrap();
    let file = dir.join("copy.tar.zst");
    let text = file.to_str().unwrap().to_string();
    (dir, file, text)
}

/// Flips a bit in the middle of a file.
fn damage(file: &Path) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let at = file.metadata().unwrap().len() / 3;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn digests(snapshot: &Value) -> Vec<&str> {
    snapshot["volumes"].as_array().unwrap().iter().map(|v| v["digest"].as_str().unwrap()).collect()
}

/// Starts a command and hands it over when it is in that phase.
fn until(world: &World, args: &[&str], phase: &str) -> Child {
    let mut child = world.command(&[args, &["--progress", "json", "--jobs", "1"]].concat()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut line, begun) = (String::new(), format!(r#""phase":"{phase}""#));
    while stderr.read_line(&mut line).unwrap() > 0 {
        let there = line.contains(&begun);
        line.clear();
        if there {
            break;
        }
    }
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    child
}

#[test]
fn a_snapshot_that_went_out_comes_back_as_it_was() {
    let (world, id) = World::damaged();
    let (dir, file, text) = outside(&world);
    let shown = world.json(&["show", &id]);
    let exported = world.json(&["export", &id, &text]);
    assert_eq!((&exported["snapshot"], &exported["digest"]), (&json!(id), &shown["digest"]));
    assert_eq!((&exported["bytes"], exported["file"].as_str()), (&shown["archive_bytes"], Some(&*text)));
    assert_eq!(fs::read(&file).unwrap(), fs::read(world.archive(&id)).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let out = world.command(&["export", "latest", "-"]).output().unwrap();
    assert_eq!((out.status.code(), out.stdout), (Some(0), fs::read(&file).unwrap()));

    let already = world.json(&["import", &text]);
    assert_eq!((&already["already"], &already["id"]), (&json!(true), &json!(id)));
    world.ok(&["delete", &id]);
    let imported = world.json(&["import", &text]);
    assert_eq!(
        (&imported["already"], &imported["id"], &imported["digest"]),
        (&json!(false), &json!(id), &shown["digest"])
    );
    assert_eq!(fs::read(world.archive(&id)).unwrap(), fs::read(&file).unwrap());
    assert!(imported["verified_at"].is_string() && imported.get("warnings").is_none(), "{imported}");
    let events = world.json(&["events", "app"]);
    assert_eq!(events["events"][0]["outcome"], "imported");
    assert_eq!(world.json(&["restore", "app", &id, "--yes"])["outcome"], "restored");
    assert_eq!(fs::read_to_string(world.live("data").join("file")).unwrap(), "data as it was");
    assert_eq!(names(&dir), ["copy.tar.zst"]);
}

#[test]
fn an_export_replaces_nothing_that_it_was_not_told_to() {
    let (world, id) = World::damaged();
    let (dir, file, text) = outside(&world);
    fs::write(&file, "precious").unwrap();
    world.fails("refused", 3, &["export", &id, &text]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    world.ok(&["export", &id, &text, "--force"]);
    assert_eq!(fs::read(&file).unwrap(), fs::read(world.archive(&id)).unwrap());
    symlink("copy.tar.zst", dir.join("link")).unwrap();
    for odd in [&dir, &dir.join("link")] {
        world.fails("refused", 3, &["export", &id, odd.to_str().unwrap(), "--force"]);
    }
    world.fails("not-found", 8, &["export", &id, dir.join("none/copy").to_str().unwrap()]);
    assert_eq!(names(&dir), ["copy.tar.zst", "link"]);
}

#[test]
fn a_damaged_archive_is_not_exported_as_if_it_were_good() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let (dir, _, text) = outside(&world);
    damage(&world.archive(&id));
    assert!(world.fails("corrupt", 9, &["export", &id, &text]).contains("does not have its digest"));
    assert_eq!(names(&dir), [""; 0]);
    let out = world.command(&["export", &id, "-"]).output().unwrap();
    assert_eq!(out.status.code(), Some(9));
    assert!(!out.stdout.is_empty() && fs::read(world.archive(&id)).unwrap().starts_with(&out.stdout));
}

#[test]
fn a_snapshot_becomes_one_of_another_workload_with_the_same_volumes() {
    let (world, id) = World::damaged();
    let (_, _, text) = outside(&world);
    world.ok(&["export", &id, &text]);
    world.ok(&["workload", "add", "other", "--volume", &world.declare("/data", "data")]);
    let shown = world.json(&["show", &id]);
    let imported = world.json(&["import", &text, "--workload", "other"]);
    assert_eq!((&imported["workload"], &imported["already"]), (&json!("other"), &json!(false)));
    assert_ne!(imported["id"], id);
    assert_eq!((digests(&imported), &imported["created_at"]), (digests(&shown), &shown["created_at"]));
    let warnings = imported["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{imported}");
    assert!(warnings[0].as_str().unwrap().contains("no volume /config"), "{imported}");
    let own = imported["id"].as_str().unwrap();
    world.json(&["verify", own]);
    let again = world.json(&["import", &text, "--workload", "other"]);
    assert_eq!((&again["already"], &again["id"]), (&json!(true), &json!(own)));
    let restored = world.json(&["restore", "other", own, "--volume", "/data", "--yes"]);
    assert_eq!(restored["outcome"], "restored");
    assert_eq!(fs::read_to_string(world.live("data").join("file")).unwrap(), "data as it was");
    // It says where it came from, in the archive itself.
    let archive = world.archive(own);
    let manifest = Command::new("sh").arg("-c").arg("zstd -dc \"$0\" | tar -xOf - volsnap.json").arg(&archive).output();
    if let Some(manifest) = manifest.ok().filter(|out| !out.stdout.is_empty()) {
        let manifest: Value = serde_json::from_slice(&manifest.stdout).unwrap();
        assert_eq!(manifest["imported"]["snapshot"], id);
        assert_eq!((&manifest["registration"]["name"], &manifest["workload_name"]), (&json!("other"), &json!("other")));
    }
}

#[test]
fn a_file_is_not_believed() {
    let (world, id) = World::damaged();
    world.make_large("data");
    let large = world.create();
    let (dir, file, text) = outside(&world);
    world.ok(&["export", &large, &text]);
    damage(&file);
    world.ok(&["delete", &large]);
    world.fails("corrupt", 9, &["import", &text]);
    fs::write(&file, "nonsense").unwrap();
    world.fails("corrupt", 9, &["import", &text]);
    world.fails("not-found", 8, &["import", dir.join("none").to_str().unwrap()]);
    world.fails("usage", 2, &["import", "-"]);
    for odd in [dir.to_str().unwrap(), "/dev/null"] {
        world.fails("refused", 3, &["import", odd]);
        let document = world.json_with(3, &["import", odd]);
        assert!(document["error"]["hint"].as_str().unwrap().contains("volsnap export"), "{document}");
    }
    let archives = world.archive(&id).parent().unwrap().to_path_buf();
    assert_eq!(names(&archives), [format!("{id}.tar.zst")]);
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn a_file_that_never_was_an_archive_is_told_from_one_that_is_damaged() {
    let (world, id) = World::damaged();
    let (_, file, text) = outside(&world);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("data", world.live("data")).unwrap();
    let foreign = zstd::encode_all(&*tar.into_inner().unwrap(), 1).unwrap();
    for contents in [&foreign[..], b"nonsense", b""] {
        fs::write(&file, contents).unwrap();
        let message = world.fails("corrupt", 9, &["import", &text]);
        assert!(message.contains("no archive of volsnap"), "{message}");
    }
    let own = fs::read(world.archive(&id)).unwrap();
    fs::write(&file, &own[..own.len() - 1]).unwrap();
    let message = world.fails("corrupt", 9, &["import", &text]);
    assert!(message.contains("the end of the archive is missing"), "{message}");
}

#[test]
fn a_workload_that_is_not_registered_is_named_with_a_way_on() {
    let (world, id) = World::damaged();
    let (_, _, text) = outside(&world);
    world.ok(&["export", &id, &text]);
    world.ok(&["workload", "remove", "app", "--delete-snapshots"]);
    let message = world.fails("refused", 3, &["import", &text]);
    assert!(message.contains("app") && message.contains("not registered"), "{message}");
    let document = world.json_with(3, &["import", &text]);
    assert!(document["error"]["hint"].as_str().unwrap().contains("--workload"), "{document}");
    let (data, config) = (world.declare("/data", "data"), world.declare("/config", "config"));
    world.ok(&["workload", "add", "app", "--volume", &data, "--volume", &config]);
    let imported = world.json(&["import", &text, "--workload", "app"]);
    assert_eq!((&imported["already"], imported.get("warnings")), (&json!(false), None));
}

#[test]
fn what_a_restore_kept_does_not_come_back_as_what_undo_goes_by() {
    let (world, id) = World::damaged();
    let report = world.json(&["restore", "app", &id, "--yes"]);
    let safety = report["safety_snapshot"].as_str().unwrap();
    let (_, _, text) = outside(&world);
    world.ok(&["export", safety, &text]);
    world.ok(&["delete", safety]);
    let imported = world.json(&["import", &text]);
    assert_eq!((&imported["id"], &imported["origin"]), (&json!(safety), &json!("manual")));
    world.fails("not-found", 8, &["undo", "app"]);
    assert_eq!(world.json(&["import", &text])["already"], true);
    // Nor as what somebody asked for, though it is the newer one.
    assert_eq!(
        (&imported["imported"]["origin"], &world.json(&["show", "latest"])["id"]),
        (&json!("pre-restore"), &json!(id))
    );
    assert!(world.ok(&["list"]).contains("pre-restore"));
}

#[test]
fn an_archive_that_is_lost_comes_back_from_its_copy() {
    let (world, id) = World::damaged();
    let (_, _, text) = outside(&world);
    world.ok(&["export", &id, &text]);
    fs::remove_file(world.archive(&id)).unwrap();
    world.fails("not-found", 8, &["verify", &id]);
    let back = world.json(&["import", &text]);
    assert_eq!((&back["already"], &back["id"]), (&json!(false), &json!(id)));
    world.json(&["verify", &id]);
}

#[test]
fn a_pin_outlives_the_archive_that_its_snapshot_lost() {
    let (world, id) = World::damaged();
    let (_, _, text) = outside(&world);
    world.ok(&["export", &id, &text]);
    world.ok(&["workload", "add", "other", "--volume", &world.declare("/data", "data")]);
    let own = world.json(&["import", &text, "--workload", "other"])["id"].as_str().unwrap().to_string();
    for (id, workload) in [(&id, "app"), (&own, "other")] {
        world.ok(&["pin", id, "--note", "audit"]);
        fs::remove_file(world.archive(id)).unwrap();
        let back = world.json(&["import", &text, "--workload", workload]);
        assert_eq!((&back["id"], &back["already"], &back["repaired"]), (&json!(id), &json!(false), &json!(false)));
        assert_eq!((&back["pinned"], &world.json(&["show", id])["pin_note"]), (&json!(true), &json!("audit")));
        assert_eq!(world.json(&["list", workload])["snapshots"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_damaged_archive_is_repaired_by_its_good_copy_and_never_by_a_bad_one() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.ok(&["pin", &id]);
    let (_, file, text) = outside(&world);
    world.ok(&["export", &id, &text]);
    let good = fs::read(&file).unwrap();
    damage(&file);
    // A copy that is bad is not told to be here.
    world.fails("corrupt", 9, &["import", &text]);
    let archive = world.archive(&id);
    damage(&archive);
    let bad = fs::read(&archive).unwrap();
    world.fails("corrupt", 9, &["import", &text]);
    assert!(fs::read(&archive).unwrap() == bad);

    fs::write(&file, &good).unwrap();
    let cut = |archive: &Path| File::options().write(true).open(archive).unwrap().set_len(1000).unwrap();
    for hurt in [damage, cut] {
        fs::write(&archive, &good).unwrap();
        hurt(&archive);
        let repaired = world.json(&["import", &text]);
        let told = (&repaired["id"], &repaired["already"], &repaired["repaired"], &repaired["pinned"]);
        assert_eq!(told, (&json!(id), &json!(false), &json!(true), &json!(true)));
        assert!(fs::read(&archive).unwrap() == good);
        world.json(&["verify", &id]);
        let again = world.json(&["import", &text]);
        assert_eq!((&again["already"], &again["repaired"]), (&json!(true), &json!(false)));
    }
    assert_eq!(names(archive.parent().unwrap()), [format!("{id}.tar.zst")]);
}

#[test]
fn what_a_kill_leaves_is_gone_after_the_next_command() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let (dir, file, text) = outside(&world);
    // A kill may come too late: until one has left something.
    for _ in 0..20 {
        let mut child = until(&world, &["export", &id, &text, "--force"], "copy");
        child.kill().unwrap();
        child.wait().unwrap();
        if names(&dir).len() == 1 && !file.exists() {
            break;
        }
        let left = names(&dir);
        assert!(left.iter().all(|name| name == "copy.tar.zst" || name.starts_with(".volsnap-export-")), "{left:?}");
        fs::remove_file(&file).ok();
    }
    world.ok(&["export", &id, &text, "--force"]);
    assert_eq!(names(&dir), ["copy.tar.zst"]);

    let archives = world.archive(&id).parent().unwrap().to_path_buf();
    world.ok(&["delete", &id]);
    for phase in ["copy", "verify"] {
        let mut child = until(&world, &["import", &text], phase);
        child.kill().unwrap();
        child.wait().unwrap();
        let left = names(&archives);
        let whole = format!("{id}.tar.zst");
        assert!(left.iter().all(|name| *name == whole || *name == format!(".{id}.partial")), "{left:?}");
        if left.contains(&whole) {
            world.json(&["import", &text]);
            world.ok(&["delete", &id]);
        }
    }
    assert_eq!(world.json(&["import", &text])["already"], false);
    assert_eq!(names(&archives), [format!("{id}.tar.zst")]);
    world.json(&["verify", &id]);
}

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let small = world.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a_full_disk_leaves_nothing_half_done: needs the right to mount");
        return;
    }
    let file = small.join("copy");
    let ran = world.run(&["export", &id, file.to_str().unwrap()]);
    let left = names(&small);
    Command::new("umount").arg(&small).status().unwrap();
    assert_eq!((ran.status, left), (1, Vec::<String>::new()), "{ran:?}");
    assert!(ran.stderr.contains("free"), "{ran:?}");
}
