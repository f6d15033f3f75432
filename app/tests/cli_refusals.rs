//! Every way to be told no without a container engine: the code, the status, and that nothing was touched.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{chown, lchown},
        process::CommandExt,
    },
};

use serde_json::json;
use support::{Ran, World};

#[test]
fn a_name_alone_needs_an_engine_that_knows_it() {
    let world = World::new();
    world.fails("usage", 2, &["workload", "add", "app"]);
    world.fails("engine", 1, &["workload", "discover"]);
}

#[test]
fn an_undo_never_reaches_past_the_last_restore() {
    let (world, id) = World::damaged();
    world.json(&["restore", "app", &id, "--yes"]);
    world.damage();
    world.json(&["restore", "app", &id, "--yes", "--no-safety-snapshot"]);
    let message = world.fails("not-found", 8, &["undo", "app"]);
    assert!(message.contains("the last restore of app"), "{message}");
}

#[test]
fn what_is_not_known_is_not_found() {
    let (world, _) = World::damaged();
    for args in [
        &["create", "nobody"][..],
        &["list", "nobody"],
        &["plan", "nobody", "latest"],
        &["restore", "nobody", "latest", "--yes"],
        &["undo", "nobody"],
        &["recover", "nobody"],
        &["status", "nobody"],
        &["events", "nobody"],
        &["workload", "show", "nobody"],
        &["workload", "remove", "nobody"],
        &["prune", "nobody", "--keep-last", "1"],
        &["show", "00000000-0000-7000-8000-000000000000"],
        &["restore", "app", "ffff", "--yes"],
        &["delete", "ffff"],
        &["verify", "ffff"],
        &["undo", "app"],
    ] {
        world.fails("not-found", 8, args);
    }
    let missing = world.fails("not-found", 8, &["workload", "add", "other", "--volume", "/data=nowhere"]);
    assert!(missing.contains(world.path("nowhere").to_str().unwrap()), "{missing}");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let (world, id) = World::damaged();
    world.create();
    let declared = world.declare("/data", "data");
    for args in [
        &["frobnicate"][..],
        &["create"],
        &["create", "app", "--mode", "maybe"],
        &["verify"],
        &["verify", "--all", &id],
        &["show", &id[..3]],
        &["restore", "app", &id, "--yes", "--health-timeout", "soon"],
        &["workload", "add", "empty"],
        &["workload", "add", "-x", "--volume", &declared],
        &["workload", "add", "../x", "--volume", &declared],
        &["workload", "add", "app", "--volume", &declared],
        &["workload", "add", "twice", "--volume", &declared, "--volume", &declared],
        &["prune", "app"],
        &["prune", "app", "--keep-within", "0s"],
        &["verify", &id, "--jobs", "0"],
        &["verify", &id, "--jobs", "100000"],
    ] {
        world.fails("usage", 2, args);
    }
    let unruled = world.json_with(2, &["prune", "app"])["error"]["hint"].to_string();
    for rule in ["last", "hourly", "daily", "weekly", "monthly", "yearly", "within"] {
        assert!(unruled.contains(&format!("--keep-{rule}")), "{unruled}");
    }
    // Ids sort by time, so the beginning of one is the beginning of both for a minute or, rarely, across one.
    let ambiguous = world.run(&["show", &id[..4], "--json"]);
    assert_eq!((ambiguous.status, &ambiguous.json()["error"]["code"]), (2, &json!("usage")));
}

#[test]
fn a_usage_error_names_what_is_missing() {
    let (world, _) = World::damaged();
    let message = world.fails("usage", 2, &["restore", "app"]);
    assert!(message.contains("<SNAPSHOT>"), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn what_must_be_utf_8_and_is_not_is_named_and_nothing_is_made() {
    let world = World::registered();
    let odd = |text: &[u8]| OsStr::from_bytes(text).to_os_string();
    let run = |args: &[&str], last: &[u8]| Ran::of(world.command(args).arg(odd(last)).output().unwrap());

    let ran = run(&["list", "--state-dir"], b"dir-\xff");
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.stderr.contains(" is not UTF-8") && ran.stderr.contains("hint: give a path that is UTF-8"), "{ran:?}");
    assert!(!world.path("").join(odd(b"dir-\xff")).exists());

    for args in [&["workload", "add", "x", "--volume"][..], &["workload", "add", "x", "--json", "--volume"]] {
        let ran = run(args, b"/d=/srv/\xff");
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!((ran.stdout + &ran.stderr).contains("of the arguments one must be UTF-8 that is not: `/d=/srv/%FF`"));
    }
}

#[test]
fn a_volume_that_holds_the_snapshots_themselves_is_refused() {
    let (world, _) = World::damaged();
    let everything = format!("/all={}", world.path("").display());
    world.json(&["workload", "add", "all", "--volume", &everything]);
    let message = world.fails("refused", 3, &["create", "all"]);
    assert!(message.contains("overlaps with volsnap's state directory"), "{message}");
}

/// As another user than root, who could take no snapshot of it either: it was moved here, or its owners have changed since.
#[test]
fn what_a_user_may_not_make_is_foreseen_by_the_plan() {
    let world = World::registered();
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this takes root");
        println!("skipped: this takes root");
        return;
    }
    const USER: u32 = 65_534;
    let data = world.live("data");
    chown(data.join("below/script"), Some(7), Some(USER)).unwrap();
    let id = world.create();
    let mut todo = vec![world.path(""), world.config_file().parent().unwrap().to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() && !path.is_symlink() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        lchown(&path, Some(USER), Some(USER)).unwrap();
    }
    let before = world.trees();
    for command in [&["plan", "app", &id][..], &["restore", "app", &id, "--yes"]] {
        let ran = world.command(command).uid(USER).gid(USER).output().unwrap();
        let told = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert_eq!(ran.status.code(), Some(3), "{told}");
        assert!(told.contains("entries of other users or groups (`.`, `below`, `below/deeper`, …)"), "{told}");
        assert!(told.contains("run it as root"), "{told}");
        assert_eq!(world.trees(), before);
    }
}

#[test]
fn a_restore_is_not_begun_without_a_yes() {
    let (world, id) = World::damaged();
    let document = world.json_with(2, &["restore", "app", &id]);
    assert!(document["error"]["hint"].as_str().unwrap().contains("--yes"));
    world.fails("usage", 2, &["restore", "app", &id]);
}

#[test]
fn a_volume_that_cannot_be_resolved_refuses_the_whole_restore() {
    let world = World::new();
    fs::rename(world.live("config"), world.path("config")).unwrap();
    fs::create_dir(world.live("mount")).unwrap();
    fs::rename(world.path("config"), world.live("mount").join("config")).unwrap();
    let (data, config) = (world.declare("/data", "data"), world.declare("/config", "mount/config"));
    world.ok(&["workload", "add", "app", "--volume", &data, "--volume", &config]);
    let id = world.create();
    fs::rename(world.live("mount"), world.live("unmounted")).unwrap();

    let before = world.trees();
    let plan = world.json_with(3, &["plan", "app", &id]);
    let refusals = plan["refusals"].as_array().unwrap();
    assert!(refusals.iter().any(|r| r["message"].as_str().unwrap().contains("/config")), "{plan}");
    assert!(world.run(&["plan", "app", &id]).stdout.contains("refused: "));
    assert_eq!(world.trees(), before);
    world.fails("refused", 3, &["restore", "app", &id, "--yes"]);
    world.fails("refused", 3, &["restore", "app", &id, "--volume", "/nothing", "--yes"]);
    assert_eq!(world.json(&["events", "app", "--limit", "1"])["events"][0]["outcome"], "refused");
}

#[test]
fn another_workloads_snapshot_is_refused() {
    let (world, id) = World::damaged();
    let other = world.declare("/data", "data");
    world.ok(&["workload", "add", "other", "--volume", &other]);
    world.fails("refused", 3, &["restore", "other", &id, "--yes"]);
}

#[test]
fn a_truncated_archive_is_corrupt_and_nothing_is_touched() {
    let (world, id) = World::damaged();
    let archive = OpenOptions::new().write(true).open(world.archive(&id)).unwrap();
    archive.set_len(archive.metadata().unwrap().len() - 1).unwrap();
    for args in [&["verify", &id][..], &["plan", "app", &id], &["restore", "app", &id, "--yes"]] {
        world.fails("corrupt", 9, args);
    }
    assert_eq!(world.json(&["status"])["open"], json!([]));
}

#[test]
fn an_altered_byte_is_found_before_anything_is_touched() {
    let (world, id) = World::damaged();
    let path = world.archive(&id);
    let mut archive = OpenOptions::new().write(true).open(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // A frame's magic number stands at its beginning; a byte in the middle of the second frame's data is contents.
    let frame = [0x28, 0xb5, 0x2f, 0xfd];
    let second = bytes.windows(4).enumerate().skip(1).find(|(_, w)| *w == frame).unwrap().0;
    bytes[second + 40] ^= 0x10;
    archive.seek(SeekFrom::Start(0)).unwrap();
    archive.write_all(&bytes).unwrap();

    world.fails("corrupt", 9, &["verify", &id]);
    world.fails("corrupt", 9, &["verify", "--quick", &id]);
    let message = world.fails("corrupt", 9, &["restore", "app", &id, "--yes"]);
    assert!(message.contains("nothing of it was touched"), "{message}");
    assert_eq!(world.json(&["status"])["open"], json!([]));
}

#[test]
fn of_several_snapshots_each_is_verified_and_the_worst_decides() {
    let world = World::registered();
    let (good, bad) = (world.create(), world.create());
    fs::write(world.archive(&bad), "no archive").unwrap();
    let document = world.json_with(9, &["verify", "--all"]);
    let verdicts: Vec<(&str, bool)> = document["verified"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["snapshot"].as_str().unwrap(), v["ok"].as_bool().unwrap()))
        .collect();
    assert_eq!(verdicts, [(bad.as_str(), false), (good.as_str(), true)]);
    assert_eq!(document["verified"][0]["error"]["code"], "corrupt");
    assert_eq!(world.json_with(9, &["verify", &good, &bad])["verified"].as_array().unwrap().len(), 2);
}

#[test]
fn a_held_workload_is_busy_and_can_still_be_looked_at() {
    let (world, id) = World::damaged();
    let lock = world.state().join("locks").join(format!("{}.lock", world.workload()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).unwrap();
    file.lock().unwrap();
    for args in [
        &["create", "app"][..],
        &["restore", "app", &id, "--yes"],
        &["delete", &id],
        &["prune", "app", "--keep-last", "1"],
        &["workload", "remove", "app"],
    ] {
        world.fails("busy", 7, args);
    }
    world.json(&["plan", "app", &id]);
    world.json(&["prune", "app", "--keep-last", "1", "--dry-run"]);
    drop(file);
    world.json(&["restore", "app", &id, "--yes"]);
}

#[test]
fn an_engine_out_of_reach_is_named_and_plain_directories_do_not_need_it() {
    let world = World::registered();
    for args in [
        &["workload", "add", "web", "--container", "web"][..],
        &["workload", "add", "web", "--compose-project", "web"],
        &["workload", "add", "web", "--label", "a=b"],
    ] {
        let message = world.fails("engine", 1, args);
        assert!(message.contains("no-engine.sock"), "{message}");
    }
    let before = world.trees();
    for host in ["tcp://10.0.0.1:2375", "nonsense"] {
        let mut create = world.command(&["create", "app", "--json"]);
        let ran = Ran::of(create.env("DOCKER_HOST", host).output().unwrap());
        assert_eq!(ran.status, 0, "{ran:?}");
        let id = ran.json()["id"].as_str().unwrap().to_string();
        let mut restore = world.command(&["restore", "app", &id, "--yes"]);
        let ran = Ran::of(restore.env("DOCKER_HOST", host).output().unwrap());
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    assert_eq!(world.trees(), before);
}

#[test]
fn a_workload_with_snapshots_is_not_removed_by_accident() {
    let (world, id) = World::damaged();
    world.fails("refused", 3, &["workload", "remove", "app"]);
    assert!(world.archive(&id).exists());
    assert_eq!(world.json(&["workload", "list"])["workloads"][0]["name"], "app");
}
