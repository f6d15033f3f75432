//! Originals that stay set aside after a restore: `status` finds them again, and touches nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde_json::{Value, json};
use support::{World, has};

/// A directory in which nothing can be made, until dropped.
struct Closed(File);

impl Closed {
    /// None where this process or the filesystem cannot: the test then says that it was skipped.
    fn new(dir: &Path) -> Option<Closed> {
        let dir = File::open(dir).unwrap();
        let flags = ioctl_getflags(&dir).ok()?;
        ioctl_setflags(&dir, flags | IFlags::IMMUTABLE).ok()?;
        Some(Closed(dir))
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        let flags = ioctl_getflags(&self.0).unwrap();
        ioctl_setflags(&self.0, flags - IFlags::IMMUTABLE).unwrap();
    }
}

/// What `status` lists as kept, for all and for the workload alike.
fn kept(world: &World) -> Vec<Value> {
    let all = world.json(&["status"]);
    assert_eq!(all, world.json(&["status", "app"]));
    assert_eq!(all["open"], json!([]));
    all["kept"].as_array().unwrap().clone()
}

fn paths(kept: &[Value]) -> Vec<PathBuf> {
    kept.iter().map(|kept| kept["path"].as_str().unwrap().into()).collect()
}

#[test]
fn originals_that_could_not_be_archived_are_listed_until_they_are_gone() {
    let (world, id) = World::damaged();
    let archives = world.archive(&id).parent().unwrap().to_path_buf();
    let Some(closed) = Closed::new(&archives) else {
        eprintln!(
            "skipped: originals_that_could_not_be_archived_are_listed_until_they_are_gone: needs root and chattr +i"
        );
        return;
    };
    let report = world.json_with(5, &["restore", "app", &id, "--yes"]);
    drop(closed);
    assert_eq!((&report["outcome"], &report["safety_snapshot"]), (&json!("restored"), &Value::Null));

    let listed = kept(&world);
    assert_eq!(listed.len(), 2, "{listed:?}");
    for (one, kept_at) in listed.iter().zip(paths(&listed)) {
        has(one, &["workload", "workload_id", "restore_id", "path", "what", "hint"]);
        assert_eq!((&one["workload"], &one["restore_id"]), (&json!("app"), &report["restore_id"]));
        assert!(one["what"].as_str().unwrap().starts_with("the original of a volume"), "{one}");
        assert!(kept_at.join("staged/file").exists());
    }
    let text = world.ok(&["status"]);
    for part in ["nothing is open", "is left from restore", listed[0]["path"].as_str().unwrap(), "hint: "] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }

    // Later restores neither take them for theirs nor hide them.
    world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!(kept(&world), listed);
    for path in paths(&listed) {
        fs::remove_dir_all(path).unwrap();
    }
    assert_eq!(kept(&world), [Value::Null; 0]);
}

#[test]
fn what_a_crash_left_without_a_journal_is_listed_by_its_name_and_nothing_else_is() {
    let (world, id) = World::damaged();
    assert_eq!(kept(&world), [Value::Null; 0]);
    let text = world.ok(&["status"]);
    assert_eq!(text.trim(), "nothing is open");

    let beside = world.path("live").canonicalize().unwrap();
    let restore = "01a2066d-4da5-7527-8c3b-39032ee00531";
    let left = beside.join(format!(".volsnap-{}-0", restore.replace('-', "")));
    fs::create_dir_all(left.join("aside")).unwrap();
    fs::create_dir(beside.join(".volsnap-notes")).unwrap();
    fs::create_dir(beside.join(format!(".volsnap-{restore}-0"))).unwrap();
    let before = world.trees();
    let listed = kept(&world);
    assert_eq!(paths(&listed), [left]);
    assert_eq!(listed[0]["restore_id"], restore);
    assert!(listed[0]["what"].as_str().unwrap().contains("a crash"), "{listed:?}");
    assert_eq!(world.trees(), before, "looking touches nothing");

    // Nobody knows what belongs to a journal that cannot be read, so nothing is offered for deletion.
    let journal = world.journal(&world.workload());
    fs::write(&journal, "nonsense").unwrap();
    assert_eq!(world.json(&["status"])["kept"], json!([]));
    fs::remove_file(journal).unwrap();
    world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!(kept(&world), listed);
}

#[test]
fn what_belongs_to_an_open_restore_is_its_leftover_and_not_kept() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.ok(&["workload", "add", "twin", "--volume", &world.declare("/config", "config")]);
    world.kill_a_restore(&id);
    for args in [&["status"][..], &["status", "twin"]] {
        assert_eq!(world.json(args)["kept"], json!([]), "{args:?}");
    }
    assert!(!world.json(&["status"])["open"][0]["leftovers"].as_array().unwrap().is_empty());
}
