//! A plan in a file is applied as it is, or refused with what has changed since.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use support::{Ran, World};

/// A damaged world with its snapshot and the plan of it in `p.json`.
fn planned() -> (World, String) {
    let (world, id) = World::damaged();
    save(&world, &["plan", "app", &id]);
    (world, id)
}

fn save(world: &World, args: &[&str]) {
    let plan = world.run(&[args, &["--json"]].concat());
    fs::write(world.path("p.json"), plan.stdout).unwrap();
}

const APPLY: [&str; 4] = ["restore", "--plan", "p.json", "--yes"];

/// Asserts that the plan is refused for that reason, and that nothing is touched.
#[track_caller]
fn refused(world: &World, reason: &str) {
    let message = world.fails("refused", 3, &APPLY);
    assert!(message.contains(reason), "{message}");
    let hint = world.json_with(3, &APPLY)["error"]["hint"].clone();
    assert!(hint.as_str().is_some_and(|hint| hint.contains("volsnap") || hint.contains("--state-dir")), "{hint}");
}

#[test]
fn a_plan_in_a_file_is_applied_as_it_is() {
    let world = World::registered();
    let original = world.trees();
    let id = world.create();
    world.damage();
    save(&world, &["plan", "app", "latest", "--no-safety-snapshot"]);
    // A newer one is not taken for it.
    world.create();
    let report = world.json(&APPLY);
    assert_eq!((&report["snapshot"], &report["outcome"]), (&json!(id), &json!("restored")));
    assert_eq!(report["safety_snapshot"], Value::Null, "the options are the plan's too");
    assert_eq!(world.trees(), original);
}

#[test]
fn a_plan_of_some_volumes_restores_those_also_when_it_is_laid_out_anew_and_comes_through_a_pipe() {
    let (world, id) = World::damaged();
    let plan = world.json(&["plan", "app", &id, "--volume", "/data"]);
    let mut restore = world.command(&["restore", "app", &id[..23], "--plan", "-", "--yes", "--json"]);
    let mut child = restore.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{plan:#}").as_bytes()).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.json()["volumes"].as_array().unwrap().len(), 1);
    assert!(!world.live("config").join("below").exists());
}

#[test]
fn a_plan_is_refused_once_the_world_has_changed() {
    let (world, _) = planned();
    fs::rename(world.live("data"), world.live("gone")).unwrap();
    refused(&world, "volume /data has lost its directory");
    fs::create_dir(world.live("data")).unwrap();
    refused(&world, "volume /data is another directory now");
    fs::remove_dir(world.live("data")).unwrap();
    fs::rename(world.live("gone"), world.live("data")).unwrap();
    // What the volumes hold may change: they are replaced anyway.
    fs::write(world.live("data").join("more"), "later").unwrap();
    world.json(&APPLY);
    refused(&world, "volume /config is another directory now");
    assert_eq!(world.json(&["events", "app", "--limit", "1"])["events"][0]["kind"], "restore-ended");

    let (world, _) = planned();
    world.ok(&["delete", &id_of(&world)]);
    refused(&world, "was deleted");
    let (world, _) = planned();
    world.ok(&["workload", "remove", "app", "--delete-snapshots"]);
    refused(&world, "workload app is not registered any more");
}

fn id_of(world: &World) -> String {
    world.json(&["show", "latest"])["id"].as_str().unwrap().to_string()
}

#[test]
fn what_is_no_plan_is_refused() {
    let (world, id) = planned();
    let plan: Value = serde_json::from_str(&fs::read_to_string(world.path("p.json")).unwrap()).unwrap();
    let write = |text: &str| fs::write(world.path("p.json"), text).unwrap();

    write(&world.run(&["show", &id, "--json"]).stdout);
    refused(&world, "it is not a plan");
    write("{");
    refused(&world, "it is not a plan");
    let mut altered = plan.clone();
    altered["plan"]["options"]["safety_snapshot"] = json!(false);
    write(&altered.to_string());
    refused(&world, "it was altered");
    let mut newer = plan.clone();
    newer["plan_format"] = json!(2);
    write(&newer.to_string());
    refused(&world, "the plan has version 2");
    assert_eq!(plan["plan_format"], 1);
    let mut tomorrow = plan.clone();
    tomorrow["plan"]["added"] = json!([1]);
    write(&tomorrow.to_string());
    refused(&world, "not one that this volsnap writes");
    let missing = world.fails("not-found", 8, &["restore", "--plan", "nowhere.json", "--yes"]);
    assert!(missing.contains("nowhere.json"), "{missing}");
    fs::write(world.path("p.json"), [0xff, 0, 0x80]).unwrap();
    let garbage = world.fails("usage", 2, &APPLY);
    assert!(garbage.contains("p.json") && garbage.contains("not UTF-8"), "{garbage}");
}

#[test]
fn of_what_never_ends_no_more_is_read_than_a_plan_may_have() {
    let world = World::registered();
    // Were it read to its end, the limit would keep the host from being short of memory.
    let limited = r#"ulimit -v 8000000 && exec "$0" --json restore --yes --plan "$1""#;
    for (file, stdin) in [("/dev/zero", "/dev/null"), ("-", "/dev/zero")] {
        let mut command = Command::new("sh");
        command.args(["-c", limited, env!("CARGO_BIN_EXE_volsnap"), file]).stdin(fs::File::open(stdin).unwrap());
        command.envs(world.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = Ran::of(command.output().unwrap());
        assert_eq!((ran.status, &ran.json()["error"]["code"]), (2, &json!("usage")), "{ran:?}");
        let message = format!("plan {file}: it is longer than 16 MiB");
        assert!(ran.stdout.contains(&message), "{ran:?}");
    }
}

#[test]
fn a_plan_of_another_state_directory_is_refused() {
    let (world, id) = planned();
    let (other, _) = World::damaged();
    fs::copy(world.path("p.json"), other.path("p.json")).unwrap();
    refused(&other, world.state().to_str().unwrap());
    // A link to it is the same one.
    std::os::unix::fs::symlink(world.state(), world.path("link")).unwrap();
    let report = world.json(&["restore", "--plan", "p.json", "--yes", "--state-dir", "link"]);
    assert_eq!(report["snapshot"], id.as_str());
}

#[test]
fn a_plan_with_refusals_is_refused_for_these() {
    let (world, id) = World::damaged();
    let other = world.declare("/data", "data");
    world.ok(&["workload", "add", "other", "--volume", &other]);
    save(&world, &["plan", "other", &id]);
    refused(&world, "is of workload app, not of other");
}

#[test]
fn arguments_that_disagree_with_the_plan_make_no_sense() {
    let (world, id) = planned();
    let newer = world.create();
    for args in [
        &["restore", "other", &id, "--plan", "p.json", "--yes"][..],
        &["restore", "app", &newer, "--plan", "p.json", "--yes"],
        &["restore", "app", "latest", "--plan", "p.json", "--yes"],
        &["restore", "--plan", "p.json", "--volume", "/data", "--yes"],
        &["restore", "--plan", "p.json", "--no-safety-snapshot", "--yes"],
        &["restore", "--plan", "p.json", "--on-unhealthy", "revert", "--yes"],
        &["restore", "--plan", "p.json", "--health-timeout", "2m", "--yes"],
        &["restore", "--plan", "p.json"],
        &["restore", "app", "--yes"],
    ] {
        world.fails("usage", 2, args);
    }
    world.json(&["restore", "app", &id, "--plan", "p.json", "--yes"]);
}

#[test]
fn a_plan_says_what_restores_like_it_were_measured_to_take() {
    let (world, id) = World::damaged();
    let unknown = world.json(&["plan", "app", &id])["downtime"].clone();
    assert_eq!((&unknown["restores_measured"], &unknown["median_ms"]), (&json!(0), &Value::Null));
    assert!(world.ok(&["plan", "app", &id]).contains("downtime: a few renames; no restore like this was measured yet"));
    for _ in 0..2 {
        world.json(&["restore", "app", &id, "--yes"]);
    }
    let measured = world.json(&["plan", "app", &id])["downtime"].clone();
    assert_eq!(measured["restores_measured"], 2);
    assert!(measured["median_ms"].as_u64() >= measured["least_ms"].as_u64(), "{measured}");
    assert!(world.ok(&["plan", "app", &id]).contains("; the last 2 restores like this took "));
    // Of one volume alone nothing was measured.
    let alone = world.json(&["plan", "app", &id, "--volume", "/data"])["downtime"].clone();
    assert_eq!(alone["restores_measured"], 0);
}

#[test]
fn a_plan_counts_what_was_changed_since_the_snapshot_as_diff_does() {
    let (world, id) = World::damaged();
    let before = world.trees();
    let counted = |plan: &Value| -> Vec<Value> {
        let volumes = plan["volumes"].as_array().unwrap().iter();
        let with_target = |v: &Value| {
            let mut changes = v["changes"].clone();
            changes["target"] = v["target"].clone();
            assert_eq!(v["changes_problem"], Value::Null);
            changes
        };
        volumes.map(with_target).collect()
    };
    let plan = world.json(&["plan", "app", &id]);
    assert_eq!(json!(counted(&plan)), world.json(&["diff", &id, "--summary"])["volumes"]);
    assert_eq!(plan["volumes"][0]["changes"]["removed"], 6);
    assert_eq!(counted(&world.json(&["plan", "app", &id, "--volume", "/data"])), [counted(&plan)[1].clone()]);
    let text = world.ok(&["plan", "app", &id]);
    assert!(text.contains("CHANGED SINCE") && text.contains(" +0 -6 ~2 ") && text.contains(" +1 -1 ~2 "), "{text}");
    assert_eq!(world.trees(), before);
    world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!(world.ok(&["plan", "app", &id]).matches(" nothing ").count(), 2);
}

#[test]
fn what_cannot_be_counted_is_a_note_and_no_refusal() {
    let (world, id) = World::damaged();
    let archive = world.archive(&id);
    let mut bytes = fs::read(&archive).unwrap();
    // The second frame is the first one of the first volume; only who unpacks it sees that it is damaged.
    let second = bytes.windows(4).enumerate().skip(1).find(|(_, w)| *w == [0x28, 0xb5, 0x2f, 0xfd]).unwrap().0;
    bytes[second + 40] ^= 0x10;
    fs::write(&archive, bytes).unwrap();
    let plan = world.json(&["plan", "app", &id]);
    let [config, data] = [&plan["volumes"][0], &plan["volumes"][1]];
    assert_eq!((&config["changes"], plan["refusals"].as_array().unwrap().len()), (&Value::Null, 0));
    assert!(config["changes_problem"].as_str().is_some_and(|why| why.contains("digest")), "{config}");
    assert_eq!((&data["changes"]["added"], &data["changes_problem"]), (&json!(1), &Value::Null));
    let text = world.ok(&["plan", "app", &id]);
    assert!(text.contains(" not counted ") && text.contains("note: what was changed in /config was not counted: "));
}
