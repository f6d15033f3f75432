//! `doctor` through the real binary: what it finds, what it puts right, and that it leaves volumes alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};
use support::{World, has};

fn findings(document: &Value, check: &str) -> Vec<Value> {
    document["findings"].as_array().unwrap().iter().filter(|f| f["check"] == check).cloned().collect()
}

/// The findings of a check that are worse than a note, and not put right.
fn open(document: &Value, check: &str) -> Vec<Value> {
    let bad = |f: &&Value| f["severity"] != "ok" && f["severity"] != "note" && f["fixed"] == false;
    findings(document, check).iter().filter(bad).cloned().collect()
}

/// Whatever the exit status: this host's boot units and rights are not the test's.
fn doctor(world: &World, args: &[&str]) -> Value {
    let ran = world.run(&[&["doctor", "--json"], args].concat());
    let document = ran.json();
    let bad = document["findings"].as_array().unwrap().iter().any(|f| {
        let worse = f["severity"] == "warning" || f["severity"] == "problem";
        worse && f["fixed"] == false
    });
    assert_eq!(ran.status, if bad { 5 } else { 0 }, "{document}");
    document
}

#[test]
fn a_host_in_order_has_something_good_to_say_of_every_check_and_its_volumes_are_not_written_to() {
    let (world, _) = World::damaged();
    let before = world.trees();
    let document = doctor(&world, &[]);
    for check in ["engine", "rights", "state", "disks", "catalog", "archives", "leftovers", "boot", "clock"] {
        assert!(!findings(&document, check).is_empty(), "{check} is missing in {document}");
    }
    for finding in document["findings"].as_array().unwrap() {
        has(finding, &["check", "severity", "subject", "message", "remedy", "fixed"]);
    }
    for check in ["state", "catalog", "archives", "leftovers", "clock"] {
        assert_eq!(open(&document, check), Vec::<Value>::new());
    }
    let disks = findings(&document, "disks").iter().map(|f| f["message"].to_string()).collect::<String>();
    assert!(
        disks.contains("syncs") && disks.contains("the state directory") && disks.contains("workload app"),
        "{disks}"
    );
    // The very same, the times of every volume's root too; and nothing is left beside them.
    assert_eq!(world.trees(), before);
    assert_eq!(fs::read_dir(world.path("live")).unwrap().count(), 2);
    let text = world.run(&["doctor"]).stdout;
    assert!(text.contains("engine\n  note"), "{text}");
}

#[test]
fn archives_that_no_row_knows_are_catalogued_and_rows_without_an_archive_are_told() {
    let (world, id) = World::damaged();
    let lost = world.create();
    let archive = world.archive(&id);
    let catalogued = || world.json(&["list"])["snapshots"].as_array().unwrap().len();
    fs::copy(&archive, world.path("copy")).unwrap();
    world.json(&["delete", &id]);
    fs::copy(world.path("copy"), &archive).unwrap();
    fs::remove_file(world.archive(&lost)).unwrap();
    fs::write(archive.with_file_name("00000000-0000-7000-8000-000000000000.tar.zst"), "no archive").unwrap();

    let found = open(&doctor(&world, &[]), "archives");
    let severities: Vec<&Value> = found.iter().map(|f| &f["severity"]).collect();
    assert_eq!(severities, ["problem", "problem", "warning"], "{found:?}");
    assert!(found[0]["remedy"].as_str().unwrap().contains(&lost), "{found:?}");
    assert_eq!(catalogued(), 1, "without --fix it only looks");

    let fixed = doctor(&world, &["--fix"]);
    assert_eq!(open(&fixed, "archives").len(), 2, "what only a person can decide stays");
    assert_eq!(catalogued(), 2);
    world.json(&["verify", &id]);
    world.json(&["restore", "app", &id, "--yes"]);
}

#[test]
fn what_a_crash_left_is_ended_and_the_state_directory_is_closed_to_others() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.kill_a_restore(&id);
    let draft = world.archive(&id).with_file_name(format!(".{id}.partial"));
    fs::write(&draft, "unfinished").unwrap();
    fs::set_permissions(world.state(), fs::Permissions::from_mode(0o755)).unwrap();

    let found = doctor(&world, &[]);
    let left = open(&found, "leftovers");
    // The archive goes with the journal.
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((&left[0]["subject"], &left[0]["remedy"]), (&json!("app"), &json!("volsnap recover app")));
    assert_eq!(open(&found, "state").len(), 1);
    assert!(world.journal(&world.workload()).exists() && draft.exists(), "without --fix it only looks");

    let fixed = doctor(&world, &["--fix"]);
    assert_eq!((open(&fixed, "leftovers").len(), open(&fixed, "state").len()), (0, 0), "{fixed}");
    assert!(!world.journal(&world.workload()).exists() && !draft.exists());
    assert_eq!(fs::metadata(world.state()).unwrap().permissions().mode() & 0o777, 0o700);
    let again = doctor(&world, &[]);
    assert_eq!(findings(&again, "leftovers")[0]["severity"], "ok", "{again}");

    fs::write(&draft, "unfinished").unwrap();
    let found = doctor(&world, &[]);
    let left = open(&found, "leftovers");
    assert_eq!((left.len(), &left[0]["remedy"]), (1, &json!("volsnap recover")), "{left:?}");
    assert_eq!(open(&doctor(&world, &["--fix"]), "leftovers").len(), 0);
    assert!(!draft.exists());
}

#[test]
fn a_catalog_that_is_damaged_and_an_engine_that_is_needed_are_problems() {
    let world = World::registered();
    world.create();
    fs::write(world.state().join("catalog.db"), "no database at all, but long enough to look at").unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.state().join(format!("catalog.db{suffix}")));
    }
    let document = world.json_with(5, &["doctor"]);
    assert_eq!(open(&document, "catalog").len(), 1, "{document}");
}
