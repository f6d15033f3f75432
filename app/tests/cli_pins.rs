//! Pins and prunes through the real binary: what is pinned stays, and each verdict says why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use serde_json::{Value, json};
use support::{World, has};

/// The rules that keep each snapshot, newest first.
fn kept_by(document: &Value) -> Vec<(String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let verdict = |v: &Value| (text(&v["id"]), v["kept_by"].as_array().unwrap().iter().map(text).collect());
    document["snapshots"].as_array().unwrap().iter().map(verdict).collect()
}

fn ids(document: &Value) -> Vec<String> {
    document["snapshots"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_string()).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pinned_snapshot_is_deleted_only_by_force() {
    let world = World::registered();
    let (first, second) = (world.create(), world.create());
    let pinned = world.json(&["pin", &first, "--note", "before the audit"]);
    has(&pinned, &["id", "workload", "pinned", "pinned_at", "pin_note"]);
    assert_eq!((&pinned["pinned"], &pinned["pin_note"]), (&json!(true), &json!("before the audit")));

    let message = world.fails("refused", 3, &["delete", &first]);
    assert!(message.contains(&first) && message.contains("before the audit"), "{message}");
    let refusal = world.json_with(3, &["delete", &first]);
    assert!(refusal["error"]["hint"].as_str().unwrap().contains(&format!("volsnap unpin {first}")), "{refusal}");
    let message = world.fails("refused", 3, &["workload", "remove", "app", "--delete-snapshots"]);
    assert!(message.contains(&first), "{message}");
    assert_eq!(ids(&world.json(&["list", "app"])), [second.clone(), first.clone()], "a refusal deleted something");

    assert_eq!(world.json(&["delete", &first, "--force"])["deleted"], json!(first));
    let deleted = &world.json(&["events", "app", "--limit", "1"])["events"][0];
    assert_eq!(
        (&deleted["detail"]["by"], &deleted["detail"]["pin"]["note"]),
        (&json!("delete"), &json!("before the audit"))
    );
    world.ok(&["pin", &second]);
    world.fails("usage", 2, &["workload", "remove", "app", "--force"]);
    let removed = world.json(&["workload", "remove", "app", "--delete-snapshots", "--force"]);
    assert_eq!(removed["snapshots_deleted"], json!(1));
}

#[test]
fn a_pin_is_shown_and_audited_and_taken_away_again() {
    let world = World::registered();
    let id = world.create();
    assert_eq!(world.json(&["show", &id])["pinned"], json!(false));
    assert!(!world.ok(&["list"]).contains("pinned"));

    assert_eq!(world.ok(&["pin", "latest", "--note", "audit"]), format!("pinned {id} of app (audit)\n"));
    assert_eq!(world.json(&["list"])["snapshots"][0]["pinned"], json!(true));
    assert!(world.ok(&["list"]).contains("pinned"));
    assert!(world.ok(&["show", &id]).contains("(audit)"));
    // Another pin takes its place, and what else is known of the snapshot stays as it is.
    world.ok(&["verify", &id]);
    assert_eq!(world.json(&["pin", &id])["pin_note"], json!(null));
    assert!(world.json(&["show", &id])["verified_at"].is_string());
    world.ok(&["verify", &id]);
    assert_eq!(world.json(&["show", &id])["pinned"], json!(true));

    for _ in 0..2 {
        assert_eq!(world.json(&["unpin", &id])["pinned"], json!(false));
    }
    world.ok(&["delete", &id]);
    let events = world.json(&["events", "app"]);
    let kinds: Vec<&str> = events["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    let pins = kinds.iter().filter(|kind| kind.ends_with("pinned")).copied().collect::<Vec<_>>();
    assert_eq!(pins, ["snapshot-unpinned", "snapshot-unpinned", "snapshot-pinned", "snapshot-pinned"]);
    let told = events["events"].as_array().unwrap().iter().filter(|e| e["detail"]["note"] == json!("audit"));
    assert_eq!(told.count(), 1);
    world.fails("not-found", 8, &["pin", &id]);
    world.fails("not-found", 8, &["unpin", &id]);
}

#[test]
fn a_dry_run_names_the_rule_behind_each_verdict_and_a_prune_follows_it() {
    let world = World::registered();
    let taken: Vec<String> = (0..5).map(|_| world.create()).collect();
    world.ok(&["pin", &taken[0], "--note", "audit"]);
    world.ok(&["verify", &taken[1]]);
    world.json(&["restore", "app", &taken[4], "--yes"]);

    let args = ["prune", "app", "--keep-last", "2", "--keep-yearly", "1", "--keep-prerestore", "1"];
    let dry = world.json(&[&args[..], &["--dry-run"]].concat());
    let year = dry["snapshots"][0]["created_at"].as_str().unwrap()[..4].to_string();
    let mut verdicts = kept_by(&dry);
    let (_, safety) = verdicts.remove(0);
    assert_eq!(safety, words(&["pre-restore 1 of 1"]));
    let expected = [
        words(&["last 1", &format!("yearly {year}")]),
        words(&["last 2"]),
        words(&[]),
        words(&["last verified"]),
        words(&["pinned: audit"]),
    ];
    assert_eq!(verdicts, taken.iter().rev().cloned().zip(expected).collect::<Vec<_>>());
    assert_eq!(dry["deleted"], json!([taken[2]]));
    let text = world.ok(&[&args[..], &["--dry-run"]].concat());
    assert!(text.contains("would be deleted: no rule keeps it") && text.contains("kept: pinned: audit"), "{text}");
    assert_eq!(ids(&world.json(&["list", "app"])).len(), 6, "a dry run deleted something");

    let pruned = world.json(&args);
    assert_eq!((&pruned["deleted"], kept_by(&pruned)), (&json!([taken[2]]), kept_by(&dry)));
    assert_eq!(world.json(&args)["deleted"], json!([]));
    let left = ids(&world.json(&["list", "app"]));
    assert_eq!(left.len(), 5);
    assert!(!left.contains(&taken[2]));
}

#[test]
fn an_open_restore_keeps_its_snapshot() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let newer = world.create();
    world.damage();
    world.kill_a_restore(&id);
    let dry = world.json(&["prune", "app", "--keep-last", "1", "--dry-run"]);
    let expected = [(newer, words(&["newest, none verified", "last 1"])), (id, words(&["open restore"]))];
    assert_eq!(kept_by(&dry), expected);
}
