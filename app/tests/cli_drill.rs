//! `drill` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use serde_json::{Value, json};
use support::{World, has};

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn a_snapshot_that_comes_back_from_the_disk_is_proved() {
    let (world, id) = World::damaged();
    let live = world.trees();
    assert_eq!(world.json(&["show", &id])["proved_at"], Value::Null);
    assert!(world.ok(&["show", &id]).contains("proved    never"));

    let document = world.json(&["drill", "app"]);
    has(
        &document,
        &["snapshot", "workload", "volumes", "booted", "boot_ms", "containers", "warnings", "stage_ms", "read_ms"],
    );
    assert_eq!((&document["snapshot"], &document["booted"]), (&json!(id), &Value::Null));
    let shown = world.json(&["show", &id]);
    for (drilled, volume) in document["volumes"].as_array().unwrap().iter().zip(shown["volumes"].as_array().unwrap()) {
        for field in ["target", "bytes", "entries", "digest"] {
            assert_eq!(drilled[field], volume[field], "{field}");
        }
        assert_eq!(drilled["same"], true);
    }
    assert_eq!(document["volumes"].as_array().unwrap().len(), 2);
    assert!(shown["proved_at"].is_string(), "{shown}");
    assert_eq!(world.json(&["list"])["snapshots"][0]["proved_at"], shown["proved_at"]);
    assert!(world.ok(&["list"]).lines().next().unwrap().contains("PROVED"));
    let event = &world.json(&["events", "app"])["events"][0];
    assert_eq!((&event["outcome"], &event["detail"]["snapshot"]), (&json!("proved"), &json!(id)));

    world.ok(&["verify", &id]);
    assert!(world.json(&["show", &id])["proved_at"].is_string(), "a verification does not take it back");
    assert_eq!(world.trees(), live, "the live directories are not touched");
    assert!(is_empty(&world.state().join("scratch")) && is_empty(&world.state().join("copies")));
    let text = world.ok(&["drill", "app", &id[..8]]);
    assert!(text.contains("the same") && text.contains(&format!("{id} of app can be restored")), "{text}");
}

#[test]
fn a_drill_needs_a_directory_that_is_nobodys() {
    let (world, id) = World::damaged();
    let scratch = world.path("scratch");
    world.fails("not-found", 8, &["drill", "app", &id, "--scratch", scratch.to_str().unwrap()]);
    fs::create_dir(&scratch).unwrap();
    world.ok(&["drill", "app", &id, "--scratch", "scratch"]);
    assert!(is_empty(&scratch) && !world.state().join("scratch").exists());
    let message = world.fails("refused", 3, &["drill", "app", &id, "--scratch", world.live("data").to_str().unwrap()]);
    assert!(message.contains("lies in volume /data of app"), "{message}");
    let other = world.declare("/x", "config");
    world.ok(&["workload", "add", "other", "--volume", &other]);
    world.fails("refused", 3, &["drill", "other", &id]);
    world.fails("not-found", 8, &["drill", "other"]);
}

#[test]
fn an_app_without_containers_cannot_be_started_on_a_copy() {
    let (world, id) = World::damaged();
    let message = world.fails("refused", 3, &["drill", "app", &id, "--boot"]);
    assert!(message.contains("no containers that could be started on a copy"), "{message}");
    assert_eq!(world.json(&["show", &id])["proved_at"], Value::Null, "nothing was done");
    world.fails("usage", 2, &["drill", "app", "--boot-timeout", "1m"]);
    world.fails("usage", 2, &["drill", "app", "--boot", "--boot-timeout", "soon"]);
    assert!(is_empty(&world.state().join("scratch")) && !world.state().join("copies").exists());
}

#[test]
fn an_archive_that_is_damaged_is_not_proved() {
    let (world, id) = World::damaged();
    let archive = File::options().read(true).write(true).open(world.archive(&id)).unwrap();
    // The frame of the first volume begins behind that of the manifest, which is never this long.
    let at = archive.metadata().unwrap().len() / 2;
    let mut bytes = [0; 64];
    archive.read_exact_at(&mut bytes, at).unwrap();
    archive.write_all_at(&bytes.map(|byte| !byte), at).unwrap();
    world.fails("corrupt", 9, &["drill", "app", &id]);
    assert_eq!(world.json(&["show", &id])["proved_at"], Value::Null);
    assert!(!world.state().join("scratch").exists() || is_empty(&world.state().join("scratch")));
}

#[test]
fn what_a_killed_drill_left_is_removed() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.kill_while_it_copies(&["drill", "app"]);
    let scratch = world.state().join("scratch");
    assert!(!is_empty(&scratch));
    assert_eq!(world.json(&["status"])["copies"][0]["what"], "drill");
    world.ok(&["recover"]);
    assert!(is_empty(&scratch));
    assert_eq!(world.json(&["show", &id])["proved_at"], Value::Null);
}
