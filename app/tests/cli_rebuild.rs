//! `rebuild` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use support::World;

fn catalog(world: &World) -> PathBuf {
    world.state().join("catalog.db")
}

fn forget(world: &World) {
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        fs::remove_file(world.state().join(name)).ok();
    }
}

fn ids(list: &Value, field: &str) -> Vec<String> {
    let mut ids: Vec<_> = list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn a_lost_catalog_comes_back_from_the_archives_alone() {
    let (world, first) = World::damaged();
    let second = world.create();
    let safety = world.json(&["restore", "app", &first, "--yes"])["safety_snapshot"].as_str().unwrap().to_string();
    let (workload, list) = (world.json(&["workload", "show", "app"]), world.json(&["list", "app"]));
    forget(&world);
    assert_eq!(world.json(&["list"])["snapshots"], json!([]));

    let rebuilt = world.json(&["rebuild"]);
    let mut all = vec![first.clone(), second, safety];
    all.sort();
    assert_eq!(ids(&rebuilt["added"], "snapshot"), all);
    assert_eq!((&rebuilt["known"], &rebuilt["warnings"], &rebuilt["damaged"]), (&json!(0), &json!([]), &json!([])));
    assert_eq!(rebuilt["registered"][0]["id"], workload["id"]);
    assert_eq!(rebuilt["registered"][0]["volumes"].as_array().unwrap().len(), 2);
    assert_eq!(world.json(&["workload", "show", "app"]), workload);
    assert_eq!(world.json(&["list", "app"]), list);
    assert_eq!(world.json(&["events", "app"])["events"][0]["outcome"], "rebuilt");
    assert_eq!(world.json(&["restore", "app", &first, "--yes"])["outcome"], "restored");

    let again = world.json(&["rebuild"]);
    assert_eq!((&again["added"], &again["registered"], &again["known"]), (&json!([]), &json!([]), &json!(4)));
}

#[test]
fn a_damaged_catalog_is_kept_under_another_name() {
    let (world, id) = World::damaged();
    forget(&world);
    fs::write(catalog(&world), "nonsense").unwrap();
    let error = world.json_with(9, &["list"]);
    assert!(error["error"]["hint"].as_str().unwrap().contains("volsnap rebuild"), "{error}");
    let rebuilt = world.json(&["rebuild"]);
    let aside = rebuilt["damaged_catalog"].as_str().unwrap();
    assert_eq!(fs::read_to_string(aside).unwrap(), "nonsense");
    assert_eq!(ids(&rebuilt["added"], "snapshot"), [&*id]);
    assert_eq!(world.json(&["show", "latest"])["id"], id);
    assert_eq!(world.json(&["rebuild"])["damaged_catalog"], Value::Null);
}

#[test]
fn what_does_not_fit_together_is_named_and_left_alone() {
    let (world, first) = World::damaged();
    let second = world.create();
    let third = world.create();
    let (lost, broken) = (world.archive(&second), world.archive(&third));
    fs::remove_file(&lost).unwrap();
    fs::write(&broken, "nonsense").unwrap();
    let draft = lost.with_file_name(format!(".{second}.partial"));
    fs::write(&draft, "draft").unwrap();
    let stray = lost.with_file_name("notes.tar.zst");
    fs::write(&stray, "stray").unwrap();

    let rebuilt = world.json_with(5, &["rebuild"]);
    assert_eq!((&rebuilt["known"], &rebuilt["added"], &rebuilt["pruned"]), (&json!(1), &json!([]), &json!(false)));
    assert_eq!(ids(&rebuilt["missing"], "snapshot"), [&*second]);
    assert_eq!(rebuilt["damaged"][0]["archive"], broken.to_str().unwrap());
    assert_eq!(rebuilt["damaged"][0]["error"]["code"], "corrupt");
    assert_eq!(rebuilt["warnings"].as_array().unwrap().len(), 2, "{rebuilt}");
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 3);
    assert!(draft.exists() && stray.exists() && fs::read_to_string(&broken).unwrap() == "nonsense");

    fs::remove_file(&broken).unwrap();
    let ran = world.run(&["rebuild"]);
    assert_eq!(ran.status, 5, "{ran:?}");
    assert!(ran.stdout.contains("has no archive"), "{ran:?}");
    let pruned = world.json(&["rebuild", "--prune-missing"]);
    assert_eq!((ids(&pruned["missing"], "snapshot").len(), &pruned["pruned"]), (2, &json!(true)));
    assert_eq!(world.json(&["show", "latest"])["id"], first);
    assert_eq!(world.json(&["list"])["snapshots"].as_array().unwrap().len(), 1);
}

#[test]
fn an_archive_in_anothers_place_is_not_taken_for_it() {
    let (world, first) = World::damaged();
    let second = world.create();
    fs::copy(world.archive(&first), world.archive(&second)).unwrap();
    let rebuilt = world.json_with(5, &["rebuild"]);
    assert!(rebuilt["warnings"][0].as_str().unwrap().contains(&first), "{rebuilt}");
    forget(&world);
    let rebuilt = world.json_with(5, &["rebuild"]);
    assert_eq!(ids(&rebuilt["added"], "snapshot"), [first]);
}

#[test]
fn what_an_imported_file_says_of_workloads_is_never_followed() {
    // Its workload was registered with other directories, in another state directory.
    let (there, id) = World::damaged();
    let file = there.path("copy");
    there.ok(&["export", &id, file.to_str().unwrap()]);
    let here = World::registered();
    here.json(&["import", file.to_str().unwrap(), "--workload", "app"]);
    let registered = here.json(&["workload", "show", "app"]);
    forget(&here);
    let rebuilt = here.json(&["rebuild"]);
    assert_eq!(rebuilt["registered"].as_array().unwrap().len(), 1, "{rebuilt}");
    assert_eq!(here.json(&["workload", "show", "app"]), registered, "the word of this catalog, not of the file");
    assert!(here.run(&["show", "latest"]).stdout.contains("app"));
}

#[test]
fn a_name_that_is_taken_is_not_taken_twice() {
    let (world, id) = World::damaged();
    forget(&world);
    world.ok(&["workload", "add", "app", "--volume", &world.declare("/data", "data")]);
    let rebuilt = world.json_with(5, &["rebuild"]);
    assert_eq!((&rebuilt["registered"], ids(&rebuilt["added"], "snapshot")), (&json!([]), vec![id.clone()]));
    assert!(rebuilt["unregistered"][0]["reason"].as_str().unwrap().contains("taken"), "{rebuilt}");
    // What is said there works.
    let archive = world.archive(&id);
    let imported = world.json(&["import", archive.to_str().unwrap(), "--workload", "app"]);
    assert_eq!((&imported["workload"], &imported["already"]), (&json!("app"), &json!(false)));
}
