//! What reaches standard output: nothing that disturbs a terminal. What it does not take is not lost in silence: the command
//! fails, and says whether something was done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::fs::File;

use serde_json::Value;
use support::{Ran, World};

/// Runs a command whose standard output takes nothing.
fn unheard(world: &World, args: &[&str]) -> Ran {
    let full = File::options().write(true).open("/dev/full").unwrap();
    Ran::of(world.command(args).stdout(full).output().unwrap())
}

const DONE: &str = "; what it would have told was done, and stays so";

#[test]
fn no_note_disturbs_a_terminal() {
    let world = World::registered();
    let note = "50% \u{1b}[2J\nsecond\u{9b}";
    let id = world.json(&["create", "app", "--note", note])["id"].as_str().unwrap().to_string();
    world.ok(&["pin", &id, "--note", note]);
    let calm = "50% %1B[2J%0Asecond%C2%9B";
    for args in [&["list"][..], &["show", &id], &["pin", &id, "--note", note]] {
        let text = world.ok(args);
        assert!(text.contains(calm), "{args:?}: {text:?}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{args:?}: {text:?}");
    }
    assert_eq!(world.ok(&["list"]).lines().count(), 2, "a heading and a row");
    let refused = world.run(&["delete", &id]).stderr;
    assert!(refused.contains("50% %1B[2J\nsecond%C2%9B"), "{refused:?}");
    let mut asked = world.command(&["--", "volsnap", "show", ""]);
    let offered = Ran::of(asked.env("VOLSNAP_COMPLETE", "fish").output().unwrap()).stdout;
    assert!(offered.lines().any(|line| line.starts_with(&id) && line.ends_with(calm)), "{offered:?}");
    assert_eq!(world.json(&["show", &id])["note"], note, "scripts get what was written");
}

#[test]
fn whoever_looks_is_told_that_standard_output_takes_nothing() {
    let (world, id) = World::damaged();
    for args in [
        &["list"][..],
        &["show", &id],
        &["plan", "app", &id],
        &["events"],
        &["status"],
        &["workload", "list"],
        &["doctor"],
        &["ls", &id],
        &["dump", &id, "/data", "file"],
        &["diff", &id],
        &["export", &id, "-"],
        &["schema"],
        &["schema", "list"],
        &["completions", "bash"],
        &["config", "show"],
        &["--version"],
        &["--help"],
    ] {
        let ran = unheard(&world, args);
        assert_eq!(ran.status, 1, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("error: cannot write standard output: No space left"), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("\nhint: look where standard output leads to"), "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains(DONE), "{args:?}: {ran:?}");
        if args != ["--help"] {
            let ran = unheard(&world, &[args, &["--json"]].concat());
            let document: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{args:?}: {ran:?}"));
            assert_eq!((ran.status, document["error"]["code"].as_str()), (1, Some("io")), "{args:?}: {ran:?}");
        }
    }
}

#[test]
fn what_was_done_is_said_to_be_done() {
    let (world, id) = World::damaged();
    for args in [
        &["restore", "app", &*id, "--yes"][..],
        &["undo", "app"],
        &["create", "app"],
        &["verify", &id],
        &["pin", &id],
        &["delete", &id, "--force"],
        &["man", "pages"],
    ] {
        let ran = unheard(&world, args);
        assert_eq!(ran.status, 1, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(DONE), "{args:?}: {ran:?}");
    }
    world.fails("not-found", 8, &["show", &id]);
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 3, "two safety snapshots and the one");
}

#[test]
fn an_error_that_standard_output_does_not_take_is_told_with_its_own_status() {
    let world = World::registered();
    let ran = unheard(&world, &["show", "ffff", "--json"]);
    let document: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.status, document["error"]["code"].as_str()), (8, Some("not-found")), "{ran:?}");
}
