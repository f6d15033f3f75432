//! Prunes by the policies of the configuration, through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use serde_json::{Value, json};
use support::World;

/// Two workloads, `app` with three snapshots and `wiki` with two.
fn world() -> World {
    let world = World::registered();
    world.ok(&["workload", "add", "wiki", "--volume", &world.declare("/config", "config")]);
    for name in ["app", "app", "app", "wiki", "wiki"] {
        world.ok(&["create", name]);
    }
    world
}

/// How many snapshots of which workload would be deleted.
fn deleted(document: &Value) -> Vec<(&'static str, usize)> {
    let verdicts = document["snapshots"].as_array().unwrap();
    let count = |name| verdicts.iter().filter(|v| v["workload"] == name && v["kept_by"] == json!([])).count();
    ["app", "wiki"].map(|name| (name, count(name))).into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_prune_follows_the_workloads_policy_else_that_of_all() {
    let world = world();
    let dry = |args: &[&str]| world.json(&[&["prune", "--dry-run"], args].concat());
    world.configure("[retention]\nkeep_last = 1\n");
    assert_eq!(deleted(&dry(&[])), [("app", 2), ("wiki", 1)]);
    assert_eq!(deleted(&dry(&["wiki"])), [("wiki", 1)]);
    world.configure("[retention]\nkeep_last = 1\n[workload.app.retention]\nkeep_last = 2\n");
    assert_eq!(deleted(&dry(&[])), [("app", 1), ("wiki", 1)]);
    // What is typed takes the place of all that is written, and its rules do not add to it.
    assert!(deleted(&dry(&["--keep-within", "1h"])).is_empty());
    assert_eq!(deleted(&dry(&["app", "--keep-last", "1"])), [("app", 2)]);
    assert_eq!(deleted(&dry(&["app", "--keep-prerestore", "0"])), [("app", 1)]);

    let pruned = world.json(&["prune"]);
    assert_eq!(deleted(&pruned), [("app", 1), ("wiki", 1)]);
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 3);
}

#[test]
fn a_workload_that_is_busy_does_not_keep_the_others_from_being_pruned() {
    let world = world();
    world.make_large("data");
    let id = world.create();
    let mut restore = world.restore_until_staging(&id);
    // It holds the workload's lock for as long as this takes.
    rustix::process::kill_process(rustix::process::Pid::from_child(&restore), rustix::process::Signal::STOP).unwrap();
    let pruned = world.json_with(7, &["prune", "--keep-last", "1"]);
    restore.kill().unwrap();
    restore.wait().unwrap();
    assert_eq!((deleted(&pruned), &pruned["error"]["code"]), (vec![("wiki", 1)], &json!("busy")), "{pruned}");
    assert_eq!(pruned["errors"].as_array().unwrap().len(), 1);
    assert_eq!(world.json(&["list", "wiki"])["snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn a_prune_without_any_rule_is_refused_and_says_where_one_could_stand() {
    let world = world();
    for text in ["", "[retention]\nkeep_prerestore = 1\n", "[retention]\nkeep_last = 0\n"] {
        world.configure(text);
        for args in [&["prune"][..], &["prune", "app"], &["prune", "--keep-last", "0"], &["prune", "--dry-run"]] {
            world.fails("usage", 2, args);
        }
    }
    let hint = world.json_with(2, &["prune"])["error"]["hint"].as_str().unwrap().to_string();
    assert!(hint.contains("--keep-last") && hint.contains(world.config_file().to_str().unwrap()), "{hint}");
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 5);
}

#[test]
fn a_workload_for_which_no_rule_says_anything_is_left_alone() {
    let world = world();
    world.configure("[workload.app.retention]\nkeep_last = 1\n[workload.shpo.retention]\nkeep_last = 1\n");
    let pruned = world.json(&["prune", "--dry-run"]);
    assert_eq!((deleted(&pruned), &pruned["left_alone"]), (vec![("app", 2)], &json!(["wiki"])));
    world.fails("usage", 2, &["prune", "wiki"]);
    let ran = world.run(&["prune"]);
    assert!(ran.stdout.contains("wiki: left alone"), "{ran:?}");
    assert!(ran.stderr.contains("names workload shpo, which is not registered"), "{ran:?}");
    assert_eq!(world.json(&["list", "wiki"])["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(world.json(&["list", "app"])["snapshots"].as_array().unwrap().len(), 1);

    // To keep one workload whole, its policy is written without a rule that counts.
    world.configure("[retention]\nkeep_last = 1\n[workload.wiki.retention]\nkeep_last = 0\n");
    assert_eq!(world.json(&["prune"])["left_alone"], json!(["wiki"]));
    assert_eq!(world.json(&["list", "wiki"])["snapshots"].as_array().unwrap().len(), 2);
}

#[test]
fn an_archive_that_is_gone_is_marked_and_never_costs_the_last_one_that_is_there() {
    let world = World::registered();
    let (first, gone) = (world.create(), world.create());
    std::fs::remove_file(world.json(&["show", &gone])["archive"].as_str().unwrap()).unwrap();
    for rule in ["--keep-last", "--keep-daily"] {
        let pruned = world.json(&["prune", "app", rule, "1"]);
        assert!(deleted(&pruned).is_empty(), "{pruned}");
        assert_eq!(pruned["snapshots"][0]["kept_by"], json!(["no archive"]));
    }
    let listed = world.json(&["list", "app"]);
    let missing = |id: &str| {
        let snapshots = listed["snapshots"].as_array().unwrap();
        snapshots.iter().find(|s| s["id"] == id).unwrap()["archive_missing"] == json!(true)
    };
    assert!(missing(&gone) && !missing(&first), "{listed}");
    assert!(world.ok(&["list", "app"]).contains("missing"));
}

#[test]
fn a_damaged_archive_never_costs_the_last_good_one_and_is_told_of_everywhere() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 5] = [
        ("0 bytes", |file| std::fs::write(file, "").unwrap()),
        ("100 bytes", |file| std::fs::File::options().write(true).open(file).unwrap().set_len(100).unwrap()),
        ("not a regular file", |file| {
            std::fs::remove_file(file).unwrap();
            std::os::unix::fs::symlink("/nonexistent", file).unwrap();
        }),
        ("not a regular file", |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        }),
        // Of the size that it had: only a check finds that.
        ("found to be damaged", |file| {
            let size = usize::try_from(file.metadata().unwrap().len()).unwrap();
            std::fs::write(file, vec![0; size]).unwrap();
        }),
    ];
    for (says, damage) in damages {
        let world = World::registered();
        let (good, bad) = (world.create(), world.create());
        let file = world.json(&["show", &bad])["archive"].as_str().unwrap().to_string();
        damage(std::path::Path::new(&file));
        if says.contains("found") {
            world.fails("corrupt", 9, &["verify", &bad]);
        }
        let pruned = world.json(&["prune", "app", "--keep-last", "1"]);
        assert!(deleted(&pruned).is_empty(), "{pruned}");
        let kept_by = |at: usize| pruned["snapshots"][at]["kept_by"].to_string();
        assert!(kept_by(0).contains("damaged archive") && kept_by(0).contains(says), "{pruned}");
        assert!(kept_by(1).contains("last 1"), "{pruned}");
        for args in [&["list"][..], &["show", &bad], &["status"]] {
            assert!(world.json(args).to_string().contains(says), "{args:?}");
            assert!(!world.json(args).to_string().contains(&format!("{good}: ")), "{args:?}");
        }
        assert!(world.ok(&["list"]).contains("damaged"));
        assert!(world.ok(&["status"]).contains(&format!("`volsnap delete {bad}`")));
        let doctor = world.run(&["doctor"]).stdout;
        assert!(doctor.contains(&file) && doctor.contains(says), "{doctor}");
        if !says.contains("regular") {
            world.ok(&["delete", &bad]);
            assert_eq!(world.json(&["status"]).get("damaged"), None);
        }
    }
}

#[test]
fn days_and_times_for_people_are_those_of_the_configured_zone() {
    let world = World::registered();
    world.create();
    let utc: jiff::Timestamp = world.json(&["list"])["snapshots"][0]["created_at"].as_str().unwrap().parse().unwrap();
    world.configure("timezone = \"Pacific/Kiritimati\"\n");
    let there = utc.in_tz("Pacific/Kiritimati").unwrap();
    let dry = world.json(&["prune", "app", "--keep-daily", "1", "--dry-run"]);
    let rules = dry["snapshots"][0]["kept_by"].to_string();
    assert!(rules.contains(&format!("daily {}", there.date())), "{dry}");
    let text = world.ok(&["list"]);
    assert!(text.contains("+14") && text.contains(&there.date().to_string()), "{text}");
    assert!(dry["snapshots"][0]["created_at"].as_str().unwrap().ends_with('Z'), "{dry}");
}
