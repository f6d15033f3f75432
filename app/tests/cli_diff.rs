//! `diff` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File, FileTimes},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use support::{World, has};

/// What differs, as `added /data file`, or `changed /data file: size mtime`.
fn changes(document: &Value) -> Vec<String> {
    let text = |change: &Value, field: &str| change[field].as_str().unwrap().to_string();
    let shown = |change: &Value| {
        let what: Vec<&str> = change["what"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        let what = if what.is_empty() { String::new() } else { format!(": {}", what.join(" ")) };
        format!("{} {} {}{what}", text(change, "change"), text(change, "target"), text(change, "path"))
    };
    document["members"].as_array().unwrap().iter().map(shown).collect()
}

fn set_time(path: &Path, seconds: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(at)).unwrap();
}

#[test]
fn what_was_changed_since_a_snapshot_is_listed_and_counted() {
    let (world, id) = World::damaged();
    let before = world.trees();
    let document = world.json(&["diff", &id[..8]]);
    assert_eq!((&document["from"], &document["to"]), (&json!(id), &json!("live")));
    assert_eq!(
        changes(&document),
        [
            "changed /config : mode",
            "removed /config below",
            "removed /config below/deeper",
            "removed /config below/empty",
            "removed /config below/linked",
            "removed /config below/pointer",
            "removed /config below/script",
            "changed /config file: links",
            "added /data added",
            "removed /data below/empty",
            "changed /data below/linked: size mtime",
            "changed /data file: mtime",
        ]
    );
    has(&document["members"][11], &["before", "after"]);
    assert_eq!(document["members"][10]["before"]["bytes"], 14);
    assert_eq!(document["members"][10]["after"]["bytes"], 11);
    assert_eq!(
        document["volumes"],
        json!([
            { "target": "/config", "added": 0, "removed": 6, "changed": 2,
              "bytes_added": 0, "bytes_removed": 26, "bytes_changed": 0 },
            { "target": "/data", "added": 1, "removed": 1, "changed": 2,
              "bytes_added": 5, "bytes_removed": 0, "bytes_changed": 11 },
        ])
    );
    assert_eq!(world.json(&["diff", "latest", "live", "--summary"])["volumes"], document["volumes"]);
    assert_eq!(world.json(&["diff", "latest", "--summary"]).get("members"), None);
    let text = world.ok(&["diff", &id, "--volume", "/data"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "A /data/added",
            "D /data/below/empty",
            "M /data/below/linked (size, mtime)",
            "M /data/file (mtime)",
            "/data: 1 added (5 B), 1 removed (0 B), 2 changed (11 B)",
        ]
    );
    assert_eq!(world.trees(), before, "a comparison touches nothing");
}

#[test]
fn two_snapshots_are_compared_and_equal_volumes_are_not_read() {
    let (world, old) = World::damaged();
    let new = world.create();
    let there = world.json(&["diff", &old, &new]);
    let live = world.json(&["diff", &old]);
    assert_eq!((&there["members"], &there["volumes"]), (&live["members"], &live["volumes"]));
    assert_eq!(there["to"], new);
    let back = world.json(&["diff", "latest", &old]);
    assert_eq!((&back["from"], back["volumes"][0]["added"].as_u64()), (&json!(new), Some(6)));
    assert_eq!(world.ok(&["diff", &new, "latest"]), "/config: the same\n/data: the same\n");

    // A third one of the same trees has the same digests: nothing of the archives is needed for that.
    let same = world.create();
    for id in [&new, &same] {
        fs::remove_file(world.archive(id)).unwrap();
    }
    assert_eq!(world.json(&["diff", &new, &same])["members"], json!([]));
    world.fails("not-found", 8, &["diff", &old, &same]);
}

#[test]
fn times_and_contents_tell_what_a_user_would_call_changed() {
    let world = World::registered();
    for (name, text) in [("same", "same"), ("touched", "touched"), ("forged", "good")] {
        let path = world.live("data").join(name);
        fs::write(&path, text).unwrap();
        set_time(&path, 1_700_000_000);
    }
    let id = world.create();
    set_time(&world.live("data").join("touched"), 1_700_000_001);
    fs::write(world.live("data").join("forged"), "evil").unwrap();
    set_time(&world.live("data").join("forged"), 1_700_000_000);
    fs::write(world.live("data").join("passing"), "").unwrap();
    fs::remove_file(world.live("data").join("passing")).unwrap();
    let diff = |more: &[&str]| changes(&world.json(&[&["diff", &*id], more].concat()));
    assert_eq!(diff(&[]), ["changed /data touched: mtime"]);
    assert_eq!(diff(&["--times"]), ["changed /data : mtime", "changed /data touched: mtime"]);
    assert_eq!(diff(&["--content"]), ["changed /data forged: content"]);
    assert_eq!(
        diff(&["--content", "--times"]),
        ["changed /data : mtime", "changed /data forged: content", "changed /data touched: mtime"]
    );
    let other = world.create();
    assert_eq!(changes(&world.json(&["diff", &id, &other, "--content"])), ["changed /data forged: content"]);
}

#[test]
fn a_path_or_a_volume_narrows_it_and_what_is_nowhere_is_said() {
    let (world, id) = World::damaged();
    let below = world.json(&["diff", &id, "--path", "/data/below"]);
    assert_eq!(changes(&below), ["removed /data below/empty", "changed /data below/linked: size mtime"]);
    assert_eq!(below["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(changes(&world.json(&["diff", &id, "--path", "/data/added"])), ["added /data added"]);
    assert_eq!(changes(&world.json(&["diff", &id, "--path", "/"])).len(), 12);
    assert_eq!(world.json(&["diff", &id, "--path", "/data/below/script"])["members"], json!([]));
    world.fails("not-found", 8, &["diff", &id, "--path", "/data/nowhere"]);
    world.fails("not-found", 8, &["diff", &id, "--path", "/elsewhere"]);
    world.fails("not-found", 8, &["diff", &id, "--volume", "/elsewhere"]);
    world.fails("usage", 2, &["diff", &id, "--path", "/data/below/../file"]);
    world.fails("not-found", 8, &["diff", &id, "0123456789"]);
}

#[test]
fn the_status_tells_a_difference_only_when_asked_and_never_as_a_failure() {
    let (world, id) = World::damaged();
    world.json_with(0, &["diff", &id]);
    world.json_with(5, &["diff", &id, "--exit-code"]);
    world.json_with(5, &["diff", &id, "--exit-code", "--summary"]);
    world.json_with(0, &["diff", &id, &id, "--exit-code"]);
    world.json_with(0, &["diff", &id, "--exit-code", "--path", "/data/below/script"]);
}

#[test]
fn a_volume_that_is_gone_is_removed_and_odd_things_are_left_out() {
    let world = World::registered();
    let id = world.create();
    let _socket = UnixListener::bind(world.live("data").join("socket")).unwrap();
    fs::create_dir(world.live("data").join("lost+found")).unwrap();
    assert_eq!(world.json(&["diff", &id, "--volume", "/data"])["members"], json!([]));
    fs::remove_dir_all(world.live("config")).unwrap();
    let volumes = &world.json(&["diff", &id, "--summary"])["volumes"];
    assert_eq!((&volumes[0]["removed"], &volumes[1]["removed"]), (&json!(8), &json!(0)));
    fs::create_dir(world.live("config")).unwrap();
    let emptied = changes(&world.json(&["diff", &id, "--volume", "/config"]));
    assert_eq!(emptied.len(), 8, "{emptied:?}");
    fs::set_permissions(world.live("config"), fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(changes(&world.json(&["diff", &id, "--volume", "/config"])).len(), 7);
}
