//! Registering workloads: what a dry run shows, and that it registers nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use serde_json::json;
use support::{World, has};

#[test]
fn a_dry_run_shows_sizes_and_who_has_the_directory_too_and_registers_nothing() {
    let world = World::registered();
    let data = world.declare("/data", "data");
    let before = world.trees();
    let shown = world.json(&["workload", "add", "other", "--volume", &data, "--dry-run"]);
    has(&shown, &["dry_run", "name", "taken_for", "selector", "volumes", "containers", "left_out", "suggestions"]);
    let volume = &shown["volumes"][0];
    assert_eq!((&volume["target"], &volume["also_of"]), (&json!("/data"), &json!(["app"])));
    // The root, a file with a second name, a directory with an empty file, a script and a link, and one below it.
    assert_eq!(volume["entries"], 8, "{shown}");
    assert_eq!(volume["bytes"], "data as it was#!/bin/sh\n".len(), "{shown}");
    assert_eq!(volume["path"], world.live("data").display().to_string());
    let text = world.ok(&["workload", "add", "other", "--volume", &data, "--dry-run"]);
    assert!(text.contains("nothing was registered") && text.contains("workload app too"), "{text}");
    assert_eq!(world.json(&["workload", "list"])["workloads"].as_array().unwrap().len(), 1);
    assert_eq!(world.trees(), before);
}

#[test]
fn a_dry_run_fails_as_registering_would() {
    let world = World::registered();
    let data = world.declare("/data", "data");
    world.fails("usage", 2, &["workload", "add", "app", "--volume", &data, "--dry-run"]);
    world.fails("usage", 2, &["workload", "add", "-x", "--volume", &data, "--dry-run"]);
    world.fails("not-found", 8, &["workload", "add", "other", "--volume", "/a=/nowhere", "--dry-run"]);
}

#[test]
fn a_workload_that_is_registered_anew_keeps_its_snapshots_and_hooks() {
    let (world, id) = World::damaged();
    world.ok(&["workload", "hook", "add", "app", "--at", "pre-create", "--", "true"]);
    let before = world.json(&["workload", "show", "app"]);
    let moved = world.path("moved");
    std::fs::rename(world.live("data"), &moved).unwrap();
    let (data, config) = (format!("/data={}", moved.display()), world.declare("/config", "config"));
    // By accident nothing is changed, and what is meant is told.
    let taken = world.json_with(2, &["workload", "add", "app", "--volume", &data]);
    assert!(taken["error"]["hint"].as_str().unwrap().contains("volsnap workload add app --update"), "{taken}");
    let kept = world.json_with(3, &["workload", "remove", "app"]);
    assert!(kept["error"]["hint"].as_str().unwrap().contains("volsnap workload add app --update"), "{kept}");
    world.fails("not-found", 8, &["workload", "add", "other", "--update", "--volume", &data]);
    world.fails("not-found", 8, &["workload", "add", "app", "--update", "--volume", "/data=/nowhere"]);
    assert_eq!(world.json(&["workload", "show", "app"])["id"], before["id"]);

    let after = world.json(&["workload", "add", "app", "--update", "--volume", &data, "--volume", &config]);
    assert_eq!((&after["id"], &after["hooks"]), (&before["id"], &before["hooks"]), "{after}");
    assert_eq!(after["declared"][0]["path"], moved.display().to_string(), "{after}");
    assert_eq!(world.json(&["list", "app"])["snapshots"][0]["id"], json!(id));
    assert_eq!(world.json(&["events", "app"])["events"][0]["kind"], "workload-changed");
    world.json(&["restore", "app", &id, "--yes"]);
    assert!(std::fs::read_to_string(moved.join("file")).unwrap().contains("as it was"));
}
