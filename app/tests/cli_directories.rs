//! The command line on plain directories, through the real binary and without a container engine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{REPORT, Ran, World, has};

#[test]
fn a_restore_brings_back_every_byte_and_an_undo_every_byte_that_it_replaced() {
    let world = World::registered();
    let original = world.trees();
    let taken = world.json(&["create", "app", "--note", "before"]);
    let id = taken["id"].as_str().unwrap();
    world.damage();
    let damaged = world.trees();
    assert_ne!(original, damaged);

    let plan = world.json(&["plan", "app", "latest"]);
    assert_eq!((&plan["workload"], &plan["snapshot"], &plan["refusals"]), (&json!("app"), &taken["id"], &json!([])));
    assert_eq!(plan["volumes"][0]["live"], world.live("config").canonicalize().unwrap().display().to_string());
    for volume in plan["volumes"].as_array().unwrap() {
        has(volume, &["target", "live", "method", "reason", "bytes", "entries"]);
    }
    for filesystem in plan["filesystems"].as_array().unwrap() {
        has(filesystem, &["mount", "bytes_needed", "bytes_free", "inodes_needed", "inodes_free"]);
        assert!(filesystem["bytes_needed"].as_u64() > Some(0));
    }
    assert_eq!(world.trees(), damaged, "a plan touches nothing");

    let report = world.json(&["restore", "app", &id[..23], "--yes"]);
    has(&report, &REPORT);
    assert_eq!(
        (&report["outcome"], &report["workload"], &report["snapshot"]),
        (&json!("restored"), &json!("app"), &taken["id"])
    );
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(report["volumes"].as_array().unwrap().len(), 2);
    assert_eq!(world.trees(), original);

    let undone = world.json(&["undo", "app"]);
    assert_eq!((&undone["outcome"], &undone["snapshot"]), (&json!("restored"), &report["safety_snapshot"]));
    assert_eq!(world.trees(), damaged);
    world.json(&["undo", "app"]);
    assert_eq!(world.trees(), original, "an undo can be undone");
}

#[test]
fn a_file_that_only_begins_like_a_name_of_volsnap_is_data() {
    let world = World::registered();
    let root = world.live("data");
    fs::write(root.join(".volsnap-note"), "mine").unwrap();
    fs::create_dir(root.join(".volsnap-hooks")).unwrap();
    fs::write(root.join(".volsnap-hooks/pre.sh"), "mine").unwrap();
    let original = world.trees();
    let id = world.create();
    fs::remove_dir_all(root.join(".volsnap-hooks")).unwrap();
    fs::write(root.join(".volsnap-note"), "theirs").unwrap();
    let damaged = world.trees();
    world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!(world.trees(), original);
    world.json(&["undo", "app"]);
    assert_eq!(world.trees(), damaged);
}

#[test]
fn device_nodes_are_told_when_they_are_archived_and_refused_by_the_plan() {
    let world = World::registered();
    let make = |name: &str, major: &str| {
        let path = world.live("data").join(name);
        Command::new("mknod").arg(path).args(["c", major, major]).status().is_ok_and(|status| status.success())
    };
    if !make("whiteout", "0") {
        return eprintln!("skipped: only root may make device nodes");
    }
    let whiteouts = world.json(&["create", "app"]);
    assert_eq!(whiteouts.get("warnings"), None, "{whiteouts}");
    world.json(&["restore", "app", whiteouts["id"].as_str().unwrap(), "--yes"]);
    world.json(&["undo", "app"]);

    assert!(make("node", "1"));
    let taken = world.json(&["create", "app"]);
    assert!(taken["warnings"].to_string().contains("--allow-devices"), "{taken}");
    let id = taken["id"].as_str().unwrap();
    let plan = world.json_with(3, &["plan", "app", id]);
    assert!(plan["refusals"].to_string().contains("--allow-devices"), "{plan}");
    let copy = world.path("copy");
    let refused = world.json_with(3, &["extract", id, copy.to_str().unwrap()]);
    assert!(refused["error"]["hint"].to_string().contains("--allow-devices"), "{refused}");
    world.json(&["restore", "app", id, "--yes", "--allow-devices"]);
    // The way back is allowed what the restore was, also when it is gone in its turn.
    world.json(&["undo", "app"]);
    world.json(&["undo", "app"]);
    world.json(&["restore", "app", &whiteouts_of(&world), "--yes"]);
    world.json_with(3, &["undo", "app"]);
    world.json(&["undo", "app", "--allow-devices"]);
}

/// The first snapshot, which has no device nodes.
fn whiteouts_of(world: &World) -> String {
    let snapshots = world.json(&["list"])["snapshots"].as_array().unwrap().clone();
    snapshots.last().unwrap()["id"].as_str().unwrap().to_string()
}

#[test]
fn an_undo_whose_volume_is_gone_names_the_command_that_brings_the_others_back() {
    let (world, id) = World::damaged();
    let damaged = support::tree(&world.live("data"));
    world.json(&["restore", "app", &id, "--yes"]);
    world.ok(&["workload", "add", "app", "--update", "--volume", &world.declare("/data", "data")]);
    let refused = world.json_with(3, &["undo", "app"]);
    let hint = refused["error"]["hint"].as_str().unwrap();
    let command = hint.split('`').find(|part| part.starts_with("volsnap restore app ")).unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    assert_eq!(words[3..], ["--volume", "/data"], "{hint}");
    world.json(&[&words[..], &["--yes"]].concat());
    assert_eq!(support::tree(&world.live("data")), damaged);
}

#[test]
fn an_undo_of_a_restore_of_some_volumes_brings_back_those_and_leaves_the_others() {
    let (world, id) = World::damaged();
    let damaged = world.trees();
    world.json(&["restore", "app", &id, "--volume", "/data", "--yes"]);
    assert_ne!(world.trees(), damaged);
    let undone = world.json(&["undo", "app"]);
    assert_eq!(undone["volumes"].as_array().unwrap().len(), 1, "{undone}");
    assert_eq!(world.trees(), damaged);
}

#[test]
fn a_snapshot_is_shown_as_the_contract_says() {
    let world = World::registered();
    let taken = world.json(&["create", "app", "--mode", "live", "--note", "hello"]);
    let fields =
        ["id", "workload", "created_at", "mode", "image", "volumes", "archive", "archive_bytes", "quiesced_ms"];
    has(&taken, &fields);
    assert_eq!((&taken["mode"], &taken["note"], &taken["image"]), (&json!("live"), &json!("hello"), &Value::Null));
    has(&taken["volumes"][0], &["target", "bytes", "entries", "digest"]);
    assert_eq!(taken["archive_bytes"], fs::metadata(taken["archive"].as_str().unwrap()).unwrap().len());
    assert!(taken["created_at"].as_str().unwrap().ends_with('Z'));

    let id = taken["id"].as_str().unwrap();
    assert_eq!(world.json(&["show", id]), taken);
    assert_eq!(world.json(&["show", "latest"]), taken);
    assert_eq!(world.json(&["list", "app"])["snapshots"], json!([taken]));
    assert_eq!(world.ok(&["create", "app"]).trim().len(), id.len(), "people get the id alone, to be used in scripts");

    let verified = world.json(&["verify", id]);
    assert_eq!((&verified["verified"][0]["snapshot"], &verified["verified"][0]["ok"]), (&taken["id"], &json!(true)));
    let first = world.json(&["show", id])["verified_at"].clone();
    assert!(first.is_string());
    let quick = world.json(&["verify", "--quick", id]);
    assert_eq!((&quick["verified"][0]["snapshot"], &quick["verified"][0]["ok"]), (&taken["id"], &json!(true)));
    assert_ne!(world.json(&["show", id])["verified_at"], first);
}

/// In a mount namespace of its own.
#[test]
fn a_filesystem_inside_of_a_volume_is_named_as_what_it_is() {
    let world = World::registered();
    let script = r#"set -e; mount -t tmpfs none live/data/below; exec "$0" create app --json"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_volsnap")]).current_dir(world.path(""));
    command.envs(world.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let may = Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        println!("skipped: no mount namespace for this user");
        return;
    }
    let created = Ran::of(command.output().unwrap()).json();
    let named = "below: another filesystem, whose contents are left out";
    assert_eq!(created["warnings"][0], format!("volume /data: {named}"), "{created}");
    let foretold = created["warnings"][1].as_str().unwrap();
    assert!(foretold.starts_with("no restore would be possible as it is: another filesystem is mounted"), "{foretold}");
    let id = created["id"].as_str().unwrap();
    let volume = |document: &Value| document["volumes"].as_array().unwrap()[1]["unsteady"].clone();
    assert_eq!(volume(&world.json(&["show", id])), json!([named]));
    let text = world.ok(&["show", id]);
    assert!(text.contains(&format!("warning: /data: {named}\n")), "{text}");
}

#[test]
fn volumes_that_are_one_directory_now_and_were_two_in_the_snapshot_are_not_restored_as_one() {
    let world = World::new();
    for (name, text) in [("one", "first"), ("two", "other")] {
        fs::create_dir_all(world.path(name)).unwrap();
        fs::write(world.path(name).join("file"), text).unwrap();
    }
    let volume = |name: &str| format!("/{name}={}", world.path(name).display());
    world.json(&["workload", "add", "pair", "--volume", &volume("one"), "--volume", &volume("two")]);
    world.json(&["create", "pair"]);
    // As many entries of the same names: only what they are tells them apart.
    fs::remove_dir_all(world.path("two")).unwrap();
    std::os::unix::fs::symlink("one", world.path("two")).unwrap();
    let refused = world.fails("refused", 3, &["restore", "pair", "latest", "--yes"]);
    assert!(refused.contains("/one and /two are the same directory"), "{refused}");
    assert_eq!(fs::read(world.path("one/file")).unwrap(), b"first");
    // What the snapshot has of both as one comes back as one.
    world.json(&["create", "pair"]);
    fs::write(world.path("one/file"), "changed").unwrap();
    let report = world.json(&["restore", "pair", "latest", "--yes"]);
    assert_eq!(report["outcome"], "restored");
    assert_eq!(fs::read(world.path("two/file")).unwrap(), b"first");
}

#[test]
fn a_directory_that_a_snapshot_has_twice_is_compared_on_one_thread_too() {
    let world = World::new();
    let [one, two] = ["one", "two"].map(|name| world.path(name));
    fs::create_dir(&one).unwrap();
    // More than is read ahead of whoever compares.
    (0..3000).for_each(|n| fs::write(one.join(n.to_string()), n.to_string()).unwrap());
    let copied = Command::new("cp").arg("-a").args([&one, &two]).output().unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let volume = |name: &str| format!("/{name}={}", world.path(name).display());
    world.json(&["workload", "add", "pair", "--volume", &volume("one"), "--volume", &volume("two")]);
    world.json(&["create", "pair"]);
    fs::remove_dir_all(&two).unwrap();
    std::os::unix::fs::symlink("one", &two).unwrap();
    let plan = world.json(&["plan", "pair", "latest", "--jobs", "1"]);
    let reason = plan["volumes"][0]["reason"].as_str().unwrap();
    assert!(plan["refusals"] == json!([]) && reason.contains("volume /two is part of it"), "{plan}");
}

#[test]
fn one_volume_can_be_restored_alone() {
    let (world, id) = World::damaged();
    let config = fs::metadata(world.live("config")).unwrap();
    let report = world.json(&["restore", "app", &id, "--volume", "/data", "--yes"]);
    assert_eq!(report["volumes"][0]["target"], "/data");
    assert_eq!(report["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_to_string(world.live("data").join("file")).unwrap(), "data as it was");
    assert_eq!(fs::metadata(world.live("config")).unwrap().permissions(), config.permissions());
    assert!(!world.live("config").join("below").exists());
}

#[test]
fn a_volume_that_is_gone_comes_back() {
    let world = World::registered();
    let original = world.trees();
    let id = world.create();
    fs::remove_dir_all(world.live("data")).unwrap();
    let report = world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!((&report["volumes"][1]["target"], &report["volumes"][1]["method"]), (&json!("/data"), &json!("new")));
    assert_eq!(world.trees(), original);
}

#[test]
fn every_end_is_in_the_audit_trail_also_after_the_workload_is_removed() {
    let (world, id) = World::damaged();
    world.json(&["restore", "app", &id, "--yes"]);
    world.json(&["verify", &id]);
    world.json(&["delete", &id]);
    fs::rename(world.path("live"), world.path("elsewhere")).unwrap();
    world.json_with(8, &["create", "app"]);
    fs::rename(world.path("elsewhere"), world.path("live")).unwrap();
    let removed = world.json(&["workload", "remove", "app", "--delete-snapshots"]);
    assert_eq!(removed["snapshots_deleted"], 1);

    let events = world.json(&["events", "app"]);
    let mut kinds: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    kinds.reverse();
    assert_eq!(
        kinds,
        [
            "workload-added",
            "snapshot-created",
            "restore-ended",
            "snapshot-verified",
            "snapshot-deleted",
            "snapshot-failed",
            "snapshot-deleted",
            "workload-removed"
        ]
    );
    assert_eq!(world.json(&["events", "app", "--limit", "1"])["events"][0]["kind"], "workload-removed");
}

#[test]
fn pruning_names_the_rule_that_keeps_each_snapshot() {
    let world = World::registered();
    let (first, second, third) = (world.create(), world.create(), world.create());
    let dry = world.json(&["prune", "app", "--keep-last", "2", "--dry-run"]);
    assert_eq!((&dry["dry_run"], &dry["deleted"]), (&json!(true), &json!([first])));
    assert_eq!((&dry["snapshots"][0]["id"], &dry["snapshots"][2]["kept_by"]), (&json!(third), &json!([])));
    let rules: Vec<&str> =
        dry["snapshots"][1]["kept_by"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    assert!(rules.contains(&"last 2"), "{rules:?}");
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 3, "a dry run deletes nothing");

    let archive = world.archive(&first);
    assert_eq!(world.json(&["prune", "--keep-last", "2"])["deleted"], json!([first]));
    assert!(!archive.exists());
    let left: Vec<Value> =
        world.json(&["list"])["snapshots"].as_array().unwrap().iter().map(|s| s["id"].clone()).collect();
    assert_eq!(left, [json!(third), json!(second)]);
}

#[test]
fn progress_is_one_object_a_line_on_standard_error() {
    let (world, id) = World::damaged();
    let ran = world.run(&["restore", "app", &id, "--yes", "--json", "--progress", "json"]);
    assert_eq!(ran.json()["outcome"], "restored");
    let lines: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        has(line, &["phase", "volume", "bytes", "bytes_total", "entries", "elapsed_ms"]);
    }
    for phase in ["plan", "stage", "switch", "capture", "discard"] {
        assert!(lines.iter().any(|line| line["phase"] == phase), "{phase} is missing in {}", ran.stderr);
    }
    assert_eq!(world.run(&["create", "app"]).stderr, "", "without a terminal nothing is shown");
}

#[test]
fn a_reader_that_has_gone_away_ends_a_command_quietly() {
    let world = World::registered();
    for args in [&["create", "app"][..], &["list"], &["list", "--json"], &["help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = world.command(args).stdout(Stdio::from(writer)).output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{args:?}");
    }
}

#[test]
fn the_state_directory_is_for_its_owner_only_and_found_by_flag_and_environment() {
    let world = World::registered();
    let mode = fs::metadata(world.state()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let elsewhere = world.path("elsewhere");
    let none = world.json(&["list", "--state-dir", elsewhere.to_str().unwrap()]);
    assert_eq!(none, json!({ "snapshots": [] }));

    File::create(world.path("file")).unwrap();
    world.fails("io", 1, &["list", "--state-dir", world.path("file").to_str().unwrap()]);
}

#[test]
fn people_see_tables_and_no_colours_in_a_pipe() {
    let (world, id) = World::damaged();
    let plan = world.ok(&["plan", "app", &id]);
    for word in ["VOLUME", "METHOD", "FILESYSTEM", "/data", "exchange", "old)"] {
        assert!(plan.contains(word), "{word} is missing in {plan}");
    }
    let restored = world.ok(&["restore", "app", &id, "--yes"]);
    assert!(restored.contains("app is restored from") && restored.contains("down for"), "{restored}");
    let texts = [
        plan,
        restored,
        world.ok(&["list"]),
        world.ok(&["show", &id]),
        world.ok(&["workload", "list"]),
        world.ok(&["workload", "show", "app"]),
        world.ok(&["verify", "--all"]),
        world.ok(&["status"]),
        world.ok(&["recover"]),
        world.ok(&["events"]),
        world.ok(&["prune", "--keep-last", "9", "--dry-run"]),
        world.run(&["create", "nobody"]).stderr,
    ];
    for text in texts {
        assert!(!text.contains('\x1b') && !text.trim().is_empty(), "{text:?}");
    }
}
