//! State directories that earlier versions made: everything in them is found again, and they are worked with as they are.
//!
//! `samples/make-state.sh` has made each; a version that changes what lies on disk adds one, and none is ever changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use support::World;

/// A world whose state directory is that sample.
fn taken_over(sample: &str) -> World {
    let world = World::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(sample);
    fs::create_dir(world.state()).unwrap();
    let unpacked = Command::new("tar").args(["--zstd", "-xf"]).arg(file).arg("-C").arg(world.state()).output().unwrap();
    assert!(unpacked.status.success(), "{unpacked:?}");
    world
}

/// What each of the snapshots has in a field.
fn each(world: &World, field: &str) -> Vec<Value> {
    let list = world.json(&["list", "app"]);
    list["snapshots"].as_array().unwrap().iter().map(|snapshot| snapshot[field].clone()).collect()
}

#[test]
fn all_that_an_earlier_version_wrote_down_is_found_again() {
    let world = taken_over("state-1.tar.zst");
    let first = "01a232a1-fcb7-7393-8c62-8f6ba8f3cdac";
    let before = format!("before the restore of {first}");
    assert_eq!(each(&world, "note"), [json!(before), json!("the second"), json!("the first")]);
    assert_eq!(each(&world, "pinned"), [false, false, true]);
    assert_eq!(each(&world, "origin"), ["pre-restore", "manual", "manual"]);
    let shown = world.json(&["workload", "show", "app"]);
    assert_eq!(shown["declared"][0], json!({ "path": "/srv/app/data", "target": "/data" }));
    assert_eq!((&shown["hooks"][0]["at"], &shown["hooks"][0]["command"]), (&json!("pre-create"), &json!(["true"])));
    let verified = world.json(&["verify", "--all"]);
    let sound = verified["verified"].as_array().unwrap().iter().filter(|one| one["ok"] == true).count();
    assert_eq!(sound, 3, "{verified}");
    let events = world.json(&["events", "--limit", "100"]);
    let of = |kind: &str| events["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).count();
    assert_eq!((of("snapshot-created"), of("snapshot-verified")), (2, 6), "three then and three now: {events}");
    let status = world.json(&["status"]);
    assert_eq!((&status["open"], &status["kept"], &status["catalog"]), (&json!([]), &json!([]), &json!(null)));
    assert_eq!(world.ok(&["dump", first, "/data", "file"]), "first\n");
}

#[test]
fn a_workload_of_an_earlier_version_is_restored_snapshotted_and_rebuilt() {
    let world = taken_over("state-1.tar.zst");
    let (data, config) = (world.declare("/data", "data"), world.declare("/config", "config"));
    world.json(&["workload", "add", "app", "--update", "--volume", &data, "--volume", &config]);
    let ids = each(&world, "id");
    let report = world.json(&["restore", "app", ids[1].as_str().unwrap(), "--yes"]);
    assert_eq!(report["outcome"], "restored");
    assert_eq!(fs::read_to_string(world.live("data").join("file")).unwrap(), "second\n");
    assert_eq!(fs::read_to_string(world.live("config").join("app.toml")).unwrap(), "answer = 42\n");
    world.json(&["undo", "app"]);
    assert_eq!(fs::read_to_string(world.live("data").join("file")).unwrap(), "data as it was");
    let taken = world.create();
    assert_eq!(each(&world, "id")[0], json!(taken), "what is new comes after what is old");
    // The archives alone say the same.
    for file in ["catalog.db", "catalog.db.reserve"] {
        let _ = fs::remove_file(world.state().join(file));
    }
    world.json(&["rebuild"]);
    assert!(ids.iter().all(|id| each(&world, "id").contains(id)));
}
