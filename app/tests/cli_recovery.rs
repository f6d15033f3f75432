//! What a kill, an interrupt, a strange journal or a lost catalog leaves, and what the command line makes of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use support::{REPORT, Ran, World, has};

#[test]
fn a_journal_of_a_newer_version_is_left_alone_and_blocks_its_workload() {
    journal_blocks(r#"{"format":999,"checksum":"","body":{"from":"the future"}}"#, "needs-attention", 6);
}

#[test]
fn a_journal_with_a_wrong_checksum_is_left_alone_and_blocks_its_workload() {
    journal_blocks(r#"{"format":1,"checksum":"00","body":{"restore":[]}}"#, "corrupt", 9);
}

fn journal_blocks(journal: &str, code: &str, status: i32) {
    let (world, id) = World::damaged();
    let path = world.journal(&world.workload());
    fs::write(&path, journal).unwrap();
    for args in [
        &["create", "app"][..],
        &["restore", "app", &id, "--yes"],
        &["undo", "app"],
        &["delete", &id],
        &["prune", "app", "--keep-last", "1"],
        &["workload", "remove", "app", "--delete-snapshots"],
    ] {
        world.fails(code, status, args);
    }
    let document = world.json_with(status, &["recover"]);
    assert_eq!((&document["recovered"], &document["errors"][0]["error"]["code"]), (&json!([]), &json!(code)));
    assert_eq!(document["error"]["code"], code);

    let open = world.json(&["status", "app"])["open"][0].clone();
    assert_eq!((&open["phase"], &open["problem"]["code"]), (&json!("unreadable"), &json!(code)));
    assert_eq!(fs::read_to_string(&path).unwrap(), journal);
    assert_eq!(world.json(&["list", "app"])["snapshots"][0]["id"], id.as_str(), "looking is not blocked");
}

#[test]
fn a_killed_restore_is_rolled_back_and_explained() {
    let (world, id) = large();
    let before = world.trees();
    world.kill_a_restore(&id);
    let journal = fs::read(world.journal(&world.workload())).unwrap();
    let left = world.trees();

    for args in [&["status"][..], &["recover", "--dry-run"], &["recover", "app", "--dry-run"]] {
        let open = world.json(args)["open"][0].clone();
        assert_eq!(
            (&open["workload"], &open["snapshot"], &open["in_progress"]),
            (&json!("app"), &json!(id), &json!(false))
        );
        assert!(open["would"].as_str().unwrap().starts_with("roll back"), "{open}");
        assert!(!open["leftovers"].as_array().unwrap().is_empty(), "{open}");
    }
    for args in [&["list"][..], &["show", &id], &["events"], &["workload", "list"], &["workload", "show", "app"]] {
        world.json(args);
    }
    world.json_with(3, &["plan", "app", &id]);
    assert_eq!(world.trees(), left, "looking recovers nothing");
    assert_eq!(fs::read(world.journal(&world.workload())).unwrap(), journal);

    let recovered = world.json(&["recover"])["recovered"].clone();
    has(&recovered[0], &REPORT);
    assert_eq!(recovered[0]["outcome"], "aborted");
    assert_eq!(world.trees(), before);
    assert_eq!(world.json(&["recover"]), json!({ "recovered": [] }));
    assert_eq!(world.json(&["events", "--limit", "1"])["events"][0]["kind"], "recovered");
}

/// A snapshot of directories stops nobody and has no journal.
#[test]
fn an_archive_that_a_killed_create_left_is_named_and_removed() {
    let (world, id) = large();
    let killed = || {
        let mut child =
            world.until(&["create", "app", "--mode", "live"], |line| line["phase"] == "archive" && line["bytes"] != 0);
        // It would go on while somebody looks.
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        let named = world.json(&["status"])["drafts"].clone();
        child.kill().unwrap();
        assert_eq!(named, json!([]), "what is being written is no leftover");
        !child.wait().unwrap().success()
    };
    let left = || {
        // On a busy machine it may have ended before it was stopped.
        assert!((0..10).any(|_| killed()), "it ended each time before it was killed");
        assert!(!world.journal(&world.workload()).exists());
        let document = world.json(&["status", "app"]);
        let draft = document["drafts"][0].clone();
        assert_eq!((&draft["workload"], &draft["problem"]), (&json!("app"), &json!(null)), "{document}");
        let path = draft["path"].as_str().unwrap().to_string();
        assert_eq!(fs::metadata(&path).unwrap().len(), draft["bytes"].as_u64().unwrap());
        assert_eq!(world.json(&["recover", "--dry-run"])["drafts"][0]["path"], json!(path));
        assert!(world.ok(&["status"]).contains("recovery would remove it"));
        path
    };
    let path = left();
    let recovered = world.json(&["recover"]);
    assert_eq!((&recovered["recovered"], &recovered["drafts"][0]["path"]), (&json!([]), &json!(path)), "{recovered}");
    assert!(!fs::exists(&path).unwrap());
    assert_eq!(world.json(&["recover"]), json!({ "recovered": [] }));
    assert_eq!(world.json(&["status"])["drafts"], json!([]));

    // Commands that begin with a recovery do so, each for its own workload. Those that ended before they were killed left
    // snapshots, which must not push out the first one.
    for args in
        [&["prune", "app", "--keep-last", "99"][..], &["restore", "app", &id, "--yes"], &["undo", "app", "--yes"]]
    {
        let path = left();
        world.json(args);
        assert!(!fs::exists(&path).unwrap(), "{args:?}");
    }
    let path = left();
    assert!(world.ok(&["recover"]).contains(&format!("removed the unfinished archive {path}")));
}

#[test]
fn a_command_that_writes_recovers_first_and_says_so() {
    let (world, id) = large();
    world.kill_a_restore(&id);
    let taken = world.json(&["create", "app"]);
    assert_eq!(taken["recovered"][0]["outcome"], "aborted");
    assert!(taken["id"].is_string());

    world.kill_a_restore(&id);
    let ran = world.run(&["restore", "app", &id, "--yes"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("recovered: app is on its original data"), "{ran:?}");
    assert!(ran.stdout.contains("volsnap undo app"), "{ran:?}");
}

#[test]
fn directories_of_an_interrupted_restore_are_left_alone_by_another_workload() {
    let (world, id) = large();
    world.ok(&["workload", "add", "twin", "--volume", &world.declare("/data", "data")]);
    let twins = world.json(&["create", "twin"])["id"].as_str().unwrap().to_string();
    world.kill_a_restore(&id);
    for args in [&["create", "twin"][..], &["restore", "twin", &twins, "--yes"]] {
        let message = world.fails("refused", 3, args);
        assert!(message.contains("a restore of app"), "{message}");
    }
    world.json(&["recover", "app"]);
    world.json(&["restore", "twin", &twins, "--yes"]);
}

#[test]
fn a_damaged_catalog_is_corrupt_and_recovery_works_without_it() {
    let (world, id) = large();
    let before = world.trees();
    world.kill_a_restore(&id);
    let journal = world.journal(&world.workload());
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(world.state().join(format!("catalog.db{suffix}"))).ok();
    }
    fs::write(world.state().join("catalog.db"), "this is no database, however one looks at it").unwrap();

    for args in [&["list"][..], &["create", "app"], &["restore", "app", &id, "--yes"], &["workload", "list"]] {
        world.fails("corrupt", 9, args);
    }
    let status = world.json(&["status", "app"]);
    assert_eq!((&status["open"][0]["workload"], &status["catalog"]["code"]), (&json!("app"), &json!("corrupt")));
    assert!(journal.exists());
    // Rolled back, which is a recovery that did its work; that the audit event is lost is a warning.
    let recovered = world.json_with(5, &["recover", "app"]);
    assert_eq!(recovered["recovered"][0]["outcome"], "aborted");
    assert!(recovered["warnings"][0].as_str().unwrap().contains("catalog"));
    assert_eq!(world.trees(), before);
    assert!(!journal.exists());
}

#[test]
fn an_interrupted_restore_goes_back_and_leaves_nothing() {
    let (world, id) = large();
    let before = world.trees();
    let child = world.restore_until_staging(&id);
    for signal in [Signal::INT, Signal::TERM, Signal::INT] {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.status, 4, "{ran:?}");
    let report = ran.json();
    assert_eq!((&report["outcome"], &report["cause"]["message"]), (&json!("aborted"), &json!("cancelled")));
    assert_eq!(world.trees(), before);
    assert_eq!(world.json(&["status"])["open"], json!([]));
}

fn large() -> (World, String) {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.damage();
    (world, id)
}
