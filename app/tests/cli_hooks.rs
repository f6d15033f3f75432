//! Hooks through the real binary: when they run, what they are told, and what becomes of an operation when they fail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{fs, time::Instant};

use serde_json::{Value, json};
use support::World;

/// Writes a line with what the hook was told, into a file beside the volumes.
fn telling(world: &World) -> String {
    let log = world.path("log").display().to_string();
    format!(
        "echo $VOLSNAP_EVENT $VOLSNAP_WORKLOAD ${{VOLSNAP_OUTCOME-none}} ${{VOLSNAP_SNAPSHOT:+s}}${{VOLSNAP_RESTORE:+r}} >> {log}"
    )
}

fn log(world: &World) -> Vec<String> {
    let log = fs::read_to_string(world.path("log")).unwrap_or_default();
    let _ = fs::remove_file(world.path("log"));
    log.lines().map(String::from).collect()
}

fn add(world: &World, at: &str, script: &str) -> Value {
    world.json(&["workload", "hook", "add", "app", "--at", at, "--timeout", "30s", "--", "sh", "-c", script])
}

fn telling_world() -> (World, String) {
    let (world, id) = World::damaged();
    for at in ["pre-create", "post-create", "pre-restore", "post-restore"] {
        add(&world, at, &telling(&world));
    }
    (world, id)
}

#[test]
fn hooks_run_around_a_snapshot_and_a_restore_and_are_told_what_it_is_about() {
    let (world, id) = telling_world();
    world.json(&["create", "app"]);
    assert_eq!(log(&world), ["pre-create app none s", "post-create app created s"]);
    assert_eq!(world.json(&["restore", "app", &id, "--yes"])["warnings"], json!([]));
    assert_eq!(log(&world), ["pre-restore app none sr", "post-restore app restored sr"]);
    world.json(&["undo", "app"]);
    assert_eq!(log(&world).len(), 2);
    for args in [&["create", "app", "--no-hooks"][..], &["restore", "app", &id, "--yes", "--no-hooks"]] {
        world.json(args);
        assert_eq!(log(&world), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn hooks_are_listed_planned_and_removed_by_their_numbers() {
    let (world, id) = telling_world();
    let listed = world.json(&["workload", "hook", "list", "app"]);
    let ats: Vec<&Value> = listed["hooks"].as_array().unwrap().iter().map(|h| &h["at"]).collect();
    assert_eq!(ats, ["pre-create", "post-create", "pre-restore", "post-restore"]);
    let first = &listed["hooks"][0];
    assert_eq!(
        (&first["number"], &first["timeout_ms"], &first["container"]),
        (&json!(1), &json!(30_000), &Value::Null)
    );
    let plan = world.json(&["plan", "app", &id]);
    let planned: Vec<&Value> = plan["hooks"].as_array().unwrap().iter().map(|h| &h["number"]).collect();
    assert_eq!(planned, [3, 4]);
    assert_eq!(world.json(&["plan", "app", &id, "--no-hooks"])["hooks"], json!([]));
    assert!(world.ok(&["plan", "app", &id]).contains("pre-restore"));
    assert_eq!(log(&world), Vec::<String>::new(), "nothing of this runs one");

    let left = world.json(&["workload", "hook", "remove", "app", "2"]);
    assert_eq!((&left["hooks"][1]["at"], &left["hooks"][1]["number"]), (&json!("pre-restore"), &json!(2)));
    world.fails("not-found", 8, &["workload", "hook", "remove", "app", "4"]);
    world.fails("not-found", 8, &["workload", "hook", "remove", "app", "0"]);
    world.fails("usage", 2, &["workload", "hook", "add", "app", "--at", "pre-create"]);
    world.fails("usage", 2, &["workload", "hook", "add", "app", "--at", "pre-create", "--", ""]);
    world.fails("engine", 1, &["workload", "hook", "add", "app", "--at", "pre-create", "--container", "db", "--", "x"]);
    assert_eq!(world.json(&["workload", "show", "app"])["hooks"].as_array().unwrap().len(), 3);
    assert_eq!(world.json(&["events", "app", "--limit", "1"])["events"][0]["outcome"], "hook-removed");
}

#[test]
fn hooks_of_the_configuration_run_behind_those_of_the_workload_and_by_its_own_table_in_their_place() {
    let (world, id) = World::damaged();
    let script = telling(&world);
    add(&world, "post-create", &format!("echo own >> {}", world.path("log").display()));
    let hook = |table: &str, at: &str| {
        let command = serde_json::to_string(&["sh", "-c", &script]).unwrap();
        format!("[[{table}]]\nat = \"{at}\"\ncommand = {command}\ntimeout = \"30s\"\n")
    };
    let for_all = format!("{}{}", hook("hooks", "pre-create"), hook("hooks", "post-create"));
    world.configure(&for_all);
    world.json(&["create", "app"]);
    assert_eq!(log(&world), ["pre-create app none s", "own", "post-create app created s"]);
    world.json(&["create", "app", "--no-hooks"]);
    assert_eq!(log(&world), Vec::<String>::new());

    let listed = world.json(&["workload", "hook", "list", "app"]);
    let numbers = |list: &str| -> Vec<Value> {
        listed[list].as_array().unwrap().iter().map(|hook| hook["number"].clone()).collect()
    };
    assert_eq!((numbers("hooks"), numbers("configured")), (vec![json!(1)], vec![json!(2), json!(3)]));
    assert!(world.ok(&["workload", "hook", "list", "app"]).contains("as the configuration file says"));
    world.fails("refused", 3, &["workload", "hook", "remove", "app", "3"]);
    world.fails("not-found", 8, &["workload", "hook", "remove", "app", "4"]);
    add(&world, "pre-restore", "true");
    let listed = world.json(&["workload", "show", "app"]);
    assert_eq!(listed["hooks"].as_array().unwrap().len(), 2, "the catalog has only the workload's own: {listed}");

    world.configure(&format!("{}{for_all}", hook("workload.app.hooks", "post-restore")));
    world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!(log(&world), ["post-restore app restored sr"]);
    assert_eq!(world.json(&["plan", "app", &id])["hooks"].as_array().unwrap().len(), 2);
    world.json(&["create", "app"]);
    assert_eq!(log(&world), ["own"], "its own table stands in place of the hooks for all");
}

#[test]
fn a_failing_hook_before_an_operation_refuses_it_with_its_last_words_and_nothing_is_touched() {
    let (world, id) = telling_world();
    add(&world, "pre-create", "echo first; echo no room >&2; exit 7");
    add(&world, "pre-restore", "exec sleep 60");
    let message = world.fails("refused", 3, &["create", "app"]);
    assert!(message.contains("hook 5") && message.ends_with("ended with status 7: no room"), "{message}");
    assert_eq!(log(&world)[..2], ["pre-create app none s", "post-create app failed s"]);
    assert_eq!(world.json(&["list", "app"])["snapshots"].as_array().unwrap().len(), 1);

    world.json(&["workload", "hook", "remove", "app", "6"]);
    let slow = ["workload", "hook", "add", "app", "--at", "pre-restore", "--timeout", "200ms", "--", "sleep", "60"];
    world.json(&slow);
    let began = Instant::now();
    let message = world.fails("refused", 3, &["restore", "app", &id, "--yes"]);
    assert!(message.contains("did not end within 200ms"), "{message}");
    assert!(began.elapsed().as_secs() < 50, "{:?}", began.elapsed());
    assert_eq!(log(&world)[..2], ["pre-restore app none sr", "post-restore app aborted sr"]);
    assert_eq!(world.json(&["status"])["open"], json!([]));
    world.json(&["restore", "app", &id, "--yes", "--no-hooks"]);
}

#[test]
fn a_failing_hook_after_an_operation_is_a_warning_and_the_data_are_safe() {
    let (world, id) = World::damaged();
    add(&world, "post-create", "echo nobody listens; exit 1");
    add(&world, "post-restore", "kill -9 $$");
    let taken = world.json_with(5, &["create", "app"]);
    assert!(taken["warnings"][0].as_str().unwrap().ends_with("ended with status 1: nobody listens"), "{taken}");
    world.json(&["verify", taken["id"].as_str().unwrap()]);
    let report = world.json_with(5, &["restore", "app", &id, "--yes"]);
    assert_eq!(report["outcome"], "restored");
    assert!(report["warnings"][0].as_str().unwrap().contains("signal 9"), "{report}");
    assert_eq!(fs::read_to_string(world.live("data").join("file")).unwrap(), "data as it was");
}

#[test]
fn what_was_due_when_a_restore_was_killed_is_run_by_recovery() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    for at in ["pre-restore", "post-restore"] {
        add(&world, at, &telling(&world));
    }
    world.kill_a_restore(&id);
    assert_eq!(log(&world), ["pre-restore app none sr"]);
    let open = world.json(&["status"])["open"][0]["would"].as_str().unwrap().to_string();
    assert!(open.ends_with("then run its post-restore hooks"), "{open}");
    world.json(&["recover", "app"]);
    assert_eq!(log(&world), ["post-restore app aborted sr"]);
    world.kill_a_restore(&id);
    log(&world);
    world.json(&["recover", "app", "--no-hooks"]);
    assert_eq!(log(&world), Vec::<String>::new());
}
