//! Signals at any moment end in the original or in the restored data, and it is said which.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{fs, process::Child};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Ran, World, in_time};

/// Sends the signals one right after the other and waits for the end.
fn signalled(child: Child, signals: &[Signal]) -> Ran {
    for signal in signals {
        kill_process(Pid::from_child(&child), *signal).unwrap();
    }
    Ran::of(child.wait_with_output().unwrap())
}

fn is_at(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |line| line["phase"] == phase
}

/// A world in which staging and capturing take a while, and its snapshot.
fn large() -> (World, String) {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.damage();
    (world, id)
}

#[test]
fn a_restore_that_is_interrupted_before_the_switch_goes_back() {
    let (world, id) = large();
    let before = world.trees();
    for (phase, signals) in [
        ("plan", &[Signal::INT][..]),
        ("stage", &[Signal::TERM]),
        ("stage", &[Signal::INT, Signal::INT, Signal::TERM]),
        ("stage", &[Signal::HUP]),
    ] {
        in_time(|| {
            let ran = signalled(world.until(&["restore", "app", &id, "--yes"], is_at(phase)), signals);
            let report = ran.json();
            assert_eq!(world.json(&["status"])["open"], json!([]), "{phase}");
            if ran.status == 0 {
                assert_eq!(report["outcome"], "restored", "{phase}: {report}");
                world.json(&["undo", "app"]);
                assert_eq!(world.trees(), before, "{phase}");
                return false;
            }
            assert_eq!(ran.status, 4, "{phase}: {ran:?}");
            assert_eq!((&report["outcome"], &report["cause"]["message"]), (&json!("aborted"), &json!("cancelled")));
            assert_eq!(report["downtime_us"], 0, "{phase}: {report}");
            assert_eq!(world.trees(), before, "{phase}");
            true
        });
    }
}

#[test]
fn a_restore_that_is_interrupted_after_the_switch_has_begun_is_finished() {
    let (world, id) = large();
    let damaged = world.trees();
    world.json(&["restore", "app", &id, "--yes", "--no-safety-snapshot"]);
    let restored = world.trees();
    for (phase, signals) in [
        ("switch", &[Signal::INT][..]),
        ("switch", &[Signal::INT, Signal::TERM, Signal::INT]),
        ("capture", &[Signal::TERM]),
        ("capture", &[Signal::INT, Signal::INT]),
        ("discard", &[Signal::INT]),
    ] {
        world.damage();
        let ran = signalled(world.until(&["restore", "app", &id, "--yes"], is_at(phase)), signals);
        assert_eq!(ran.status, 0, "{phase}: {ran:?}");
        assert_eq!(ran.json()["outcome"], "restored", "{phase}: {ran:?}");
        assert!(ran.json()["safety_snapshot"].is_string(), "{phase}: {ran:?}");
        assert_eq!(world.trees(), restored, "{phase}");
        assert_eq!(world.json(&["status"])["open"], json!([]), "{phase}");
    }
    assert_ne!(damaged, restored);
}

#[test]
fn of_a_snapshot_that_is_interrupted_nothing_is_left() {
    let (world, id) = large();
    let before = world.trees();
    for signals in [&[Signal::INT][..], &[Signal::TERM, Signal::INT]] {
        let reads = |line: &Value| line["phase"] == "archive" && line["bytes"].as_u64() > Some(0);
        in_time(|| {
            let ran = signalled(world.until(&["create", "app"], reads), signals);
            if ran.status == 0 {
                world.json(&["delete", ran.json()["id"].as_str().unwrap()]);
                return false;
            }
            assert_eq!((ran.status, &ran.json()["error"]["code"]), (4, &json!("aborted")), "{ran:?}");
            let message = ran.json()["error"]["message"].to_string();
            assert!(message.contains("the snapshot of app was given up, and nothing of it is left"), "{message}");
            true
        });
    }
    let snapshots = world.json(&["list", "app"])["snapshots"].clone();
    assert_eq!((snapshots.as_array().unwrap().len(), &snapshots[0]["id"]), (1, &json!(id)));
    let dir = world.archive(&id).parent().unwrap().to_path_buf();
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(world.json(&["status"])["open"], json!([]));
    assert_eq!(world.trees(), before);
}

#[test]
fn what_only_reads_ends_at_once_with_the_signal() {
    let (world, id) = large();
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        in_time(|| {
            let before = world.json(&["show", &id])["verified_at"].clone();
            let ran = signalled(world.until(&["verify", &id], is_at("verify")), &[signal]);
            if ran.status == 0 {
                return false;
            }
            assert_eq!((ran.status, ran.stdout.as_str()), (status, ""), "{ran:?}");
            assert_eq!(world.json(&["show", &id])["verified_at"], before);
            true
        });
    }
}
