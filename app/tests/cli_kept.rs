//! Originals that stay set aside after a restore: found again, archived, put back, discarded, as the hints say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    process::{Pid, Signal, kill_process},
};
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
        has(one, &["id", "workload", "workload_id", "restore_id", "path", "what", "hint"]);
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

    // The hint says how to have it and how to be rid of it.
    let ids: Vec<String> = follow(&world, listed[0]["hint"].as_str().unwrap());
    assert!(ids[0].starts_with("volsnap workload add") && ids[2].starts_with("volsnap kept discard"), "{ids:?}");
    assert!(!world.path("live").join(format!(".volsnap-{}-0", restore.replace('-', ""))).exists());
    assert_eq!(world.json(&["list", ids[1].rsplit(' ').next().unwrap()])["snapshots"].as_array().unwrap().len(), 1);
    fs::create_dir_all(left_again(&world, restore)).unwrap();
    let listed = kept(&world);

    // Nobody knows what belongs to a journal that cannot be read, so nothing is offered for deletion.
    let journal = world.journal(&world.workload());
    fs::write(&journal, "nonsense").unwrap();
    assert_eq!(world.json(&["status"])["kept"], json!([]));
    fs::remove_file(journal).unwrap();
    world.json(&["restore", "app", &id, "--yes"]);
    assert_eq!(kept(&world), listed);
}

fn left_again(world: &World, restore: &str) -> PathBuf {
    world.path("live").canonicalize().unwrap().join(format!(".volsnap-{}-0/aside", restore.replace('-', "")))
}

/// The commands of a hint, in its order.
fn commands(hint: &str) -> Vec<String> {
    hint.split('`').skip(1).step_by(2).filter(|command| command.starts_with("volsnap ")).map(String::from).collect()
}

/// Gives the commands of a hint as they stand there.
fn follow(world: &World, hint: &str) -> Vec<String> {
    let commands = commands(hint);
    for command in &commands {
        let mut args: Vec<&str> = command.split(' ').skip(1).collect();
        if args.starts_with(&["kept", "restore"]) || args.starts_with(&["kept", "discard"]) {
            args.push("--yes");
        }
        world.ok(&args);
    }
    commands
}

/// A world whose last restore kept its originals, its snapshot, the report of that restore and the id; `None` where this
/// process or the filesystem cannot make it.
fn with_kept(test: &str) -> Option<(World, String, Value, String)> {
    let (world, id) = World::damaged();
    let report = keep(&world, &id, test)?;
    let kept = world.json(&["kept", "list"])["kept"][0]["id"].as_str().unwrap().to_string();
    Some((world, id, report, kept))
}

/// Restores, and has the originals kept.
fn keep(world: &World, snapshot: &str, test: &str) -> Option<Value> {
    let Some(closed) = Closed::new(world.archive(snapshot).parent().unwrap()) else {
        eprintln!("skipped: {test}: needs root and chattr +i");
        return None;
    };
    let report = world.json_with(5, &["restore", "app", snapshot, "--yes"]);
    drop(closed);
    Some(report)
}

fn events(world: &World) -> Vec<String> {
    let events = world.json(&["events", "app"]);
    events["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap().to_string()).collect()
}

#[test]
fn kept_originals_are_listed_with_their_volumes_and_why_they_stayed() {
    let Some((world, snapshot, report, id)) = with_kept("kept_originals_are_listed") else { return };
    let listed = world.json(&["kept", "list"]);
    assert_eq!(listed, world.json(&["kept", "list", "app"]));
    let one = &listed["kept"][0];
    assert_eq!((&one["restore_id"], &one["snapshot"]), (&report["restore_id"], &json!(snapshot)));
    assert!(report["restore_id"].as_str().unwrap().ends_with(&id), "{id}");
    assert!(one["reason"].as_str().unwrap().contains("cannot create") && one["open"] == json!(false), "{one}");
    let targets: Vec<&str> = one["volumes"].as_array().unwrap().iter().map(|v| v["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["/config", "/data"]);
    for volume in one["volumes"].as_array().unwrap() {
        assert!(
            volume["entries"].as_u64() > Some(0) && Path::new(volume["tree"].as_str().unwrap()).is_dir(),
            "{volume}"
        );
    }
    let text = world.ok(&["kept", "list"]);
    for part in [&id, "/config", "/data", "not archived", "hint: "] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    // The catalog is not needed for it.
    fs::remove_file(world.state().join("catalog.db")).unwrap();
    let without = world.json(&["kept", "list"]);
    assert_eq!(without["kept"][0]["volumes"], one["volumes"]);
}

#[test]
fn kept_originals_are_archived_after_all_and_undo_finds_them() {
    let Some((world, _, report, id)) = with_kept("kept_originals_are_archived") else { return };
    let hint = world.run(&["undo", "app", "--json"]).json()["error"]["hint"].as_str().unwrap().to_string();
    assert!(hint.contains(&format!("volsnap kept restore {id}")), "{hint}");
    let before = world.trees();
    let archived = world.json(&["kept", "archive", &id]);
    assert_eq!((&archived["restore_id"], &archived["warnings"]), (&report["restore_id"], &json!([])));
    let snapshot = archived["safety_snapshot"].as_str().unwrap();
    let shown = world.json(&["show", snapshot]);
    assert!(shown.to_string().contains("pre-restore"), "{shown}");
    assert_eq!(events(&world)[0], "originals-archived");
    world.ok(&["verify", snapshot]);
    assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
    assert_eq!(kept(&world), [Value::Null; 0]);
    assert!(world.trees().len() < before.len(), "what was set aside is still there");
    world.ok(&["undo", "app"]);
    assert!(world.live("data").join("file").exists());
    // Once more there is nothing to be archived.
    world.fails("not-found", 8, &["kept", "archive", &id]);
}

#[test]
fn kept_originals_are_put_back_and_what_they_replace_is_kept() {
    for safety in [true, false] {
        let (world, snapshot) = World::damaged();
        let damaged = support::tree(&world.live("data"));
        if keep(&world, &snapshot, "kept_originals_are_put_back").is_none() {
            return;
        }
        let id = world.json(&["kept", "list"])["kept"][0]["id"].as_str().unwrap().to_string();
        fs::write(world.live("data").join("since"), "then").unwrap();
        let since = support::tree(&world.live("data"));
        world.fails("usage", 2, &["kept", "restore", &id]);
        let args: &[&str] = if safety { &[] } else { &["--no-safety-snapshot"] };
        let report = world.json(&[&["kept", "restore", &id, "--yes"], args].concat());
        assert_eq!((&report["outcome"], &report["warnings"]), (&json!("restored"), &json!([])));
        assert!(report["kept_of"].as_str().unwrap().ends_with(&id), "{report}");
        assert_eq!(support::tree(&world.live("data")), damaged);
        let kept = world.json(&["kept", "list"])["kept"].clone();
        match safety {
            true => {
                assert_eq!(kept, json!([]));
                world.ok(&["undo", "app"]);
            }
            false => {
                assert_eq!(
                    (&kept[0]["reason"], kept.as_array().unwrap().len()),
                    (&json!("no safety snapshot was wanted"), 1)
                );
                world.ok(&["kept", "restore", kept[0]["id"].as_str().unwrap(), "--yes"]);
            }
        }
        assert_eq!(support::tree(&world.live("data")), since);
        assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
    }
}

#[test]
fn kept_originals_are_discarded_only_when_that_is_said() {
    let Some((world, snapshot, _, id)) = with_kept("kept_originals_are_discarded") else { return };
    // A later restore does not hide them, nor does it take away what is known of them.
    world.json(&["restore", "app", &snapshot, "--yes"]);
    world.fails("usage", 2, &["kept", "discard", &id]);
    let hint = world.run(&["workload", "remove", "app", "--delete-snapshots", "--json"]).json();
    assert!(hint["error"]["hint"].as_str().unwrap().contains(&format!("volsnap kept discard {id}")), "{hint}");
    let discarded = world.json(&["kept", "discard", &id, "--yes"]);
    for path in discarded["discarded"].as_array().unwrap() {
        assert!(!Path::new(path.as_str().unwrap()).exists(), "{path}");
    }
    assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
    assert_eq!(events(&world)[0], "originals-discarded");
    world.ok(&["undo", "app"]);
    world.ok(&["workload", "remove", "app", "--delete-snapshots"]);
}

#[test]
fn what_is_gone_of_kept_originals_is_gone_and_the_rest_is_discarded() {
    for gone in 1..=2 {
        let Some((world, _, _, id)) = with_kept("what_is_gone_of_kept_originals") else { return };
        let volumes = world.json(&["kept", "list"])["kept"][0]["volumes"].as_array().unwrap().clone();
        let paths: Vec<&str> = volumes.iter().map(|volume| volume["path"].as_str().unwrap()).collect();
        for path in &paths[..gone] {
            fs::remove_dir_all(path).unwrap();
        }
        let listed = world.json(&["kept", "list"])["kept"][0].clone();
        let count = |what: &str| listed[what].as_array().unwrap().len();
        assert_eq!((count("gone"), count("volumes")), (gone, 2 - gone), "{listed}");
        assert!(listed["hint"].as_str().unwrap().contains(&format!("`volsnap kept discard {id}`")), "{listed}");
        assert!(world.ok(&["kept", "list"]).contains(&format!("gone from {}", paths[0])));
        // What can be done only with all of it leads to the same command.
        for args in [&["kept", "archive", &id][..], &["kept", "restore", &id, "--yes"]] {
            let hint = world.json_with(3, args)["error"]["hint"].as_str().unwrap().to_string();
            assert!(hint.contains(&format!("`volsnap kept discard {id}`")), "{hint}");
        }
        let discarded = world.json(&["kept", "discard", &id, "--yes"]);
        assert_eq!(discarded["gone"], json!(paths[..gone]), "{discarded}");
        assert!(paths.iter().all(|path| !Path::new(path).exists()));
        assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
        world.ok(&["workload", "remove", "app", "--delete-snapshots"]);
    }
}

#[test]
fn what_is_not_ours_in_the_place_of_a_kept_original_is_not_discarded() {
    let Some((world, _, _, id)) = with_kept("what_is_not_ours_in_the_place") else { return };
    let tree = world.json(&["kept", "list"])["kept"][0]["volumes"][0]["tree"].as_str().unwrap().to_string();
    fs::remove_dir_all(&tree).unwrap();
    fs::create_dir(&tree).unwrap();
    fs::write(Path::new(&tree).join("somebody's"), "data").unwrap();
    let refused = world.json_with(3, &["kept", "discard", &id, "--yes"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("is not the original"), "{refused}");
    fs::rename(&tree, world.path("elsewhere")).unwrap();
    world.json(&["kept", "discard", &id, "--yes"]);
    assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
}

#[test]
fn every_hint_about_kept_originals_works_as_it_is_written() {
    let Some((world, _, _, _)) = with_kept("every_hint_about_kept_originals") else { return };
    let status = world.json(&["status"])["kept"][0]["hint"].as_str().unwrap().to_string();
    let listed = world.json(&["kept", "list"])["kept"][0]["hint"].as_str().unwrap().to_string();
    let doctor = world.run(&["doctor", "--json"]).json().to_string();
    assert!(status == listed && doctor.contains(&status), "{doctor}");
    let [archive, restore, discard] = commands(&status).try_into().unwrap();
    for (command, done) in [(archive, "is snapshot"), (restore, "is restored from"), (discard, "deleted ")] {
        let Some((world, _, _, id)) = with_kept("every_hint_about_kept_originals") else { return };
        // Of another world: the id is another one there.
        let words: Vec<&str> = command.split(' ').collect();
        let args = [&words[1..words.len() - 1], &[id.as_str()]].concat();
        let args = if words[2] == "archive" { args } else { [&args[..], &["--yes"]].concat() };
        let said = world.ok(&args);
        assert!(said.contains(done), "{command}: {said}");
        assert_eq!(world.json(&["kept", "list"])["kept"], json!([]), "{command}");
    }
}

#[test]
fn an_undo_that_finds_no_snapshot_leads_to_the_originals_that_are_kept() {
    let Some((world, _, _, _)) = with_kept("an_undo_that_finds_no_snapshot") else { return };
    let hint = world.json_with(8, &["undo", "app"])["error"]["hint"].as_str().unwrap().to_string();
    assert_eq!(follow(&world, &hint).len(), 2, "{hint}");
    assert_eq!(fs::read(world.live("data").join("file")).unwrap(), b"overwritten");
}

#[test]
fn an_unknown_or_ambiguous_id_is_not_found_and_what_there_is_is_named() {
    let Some((world, snapshot, first, id)) = with_kept("an_unknown_id") else { return };
    let second = keep(&world, &snapshot, "an_unknown_id").unwrap();
    let beginning = &first["restore_id"].as_str().unwrap()[..4];
    assert_eq!(beginning, &second["restore_id"].as_str().unwrap()[..4], "they were made in one minute");
    for unknown in ["ffffffff", beginning, "x"] {
        for command in ["archive", "restore", "discard"] {
            let args = ["kept", command, unknown, "--yes", "--json"];
            let error = world.run(&args[..if command == "archive" { 3 } else { 4 }]);
            assert_eq!(error.status, 8, "{error:?}");
            assert!(error.stderr.contains(&id) || error.stdout.contains(&id), "{error:?}");
        }
    }
    // By the restore's whole id it is found.
    world.ok(&["kept", "archive", first["restore_id"].as_str().unwrap()]);
    assert_eq!(world.json(&["kept", "list"])["kept"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_open_comes_first_and_who_is_at_work_is_not_disturbed() {
    let world = World::registered();
    world.make_large("data");
    let snapshot = world.create();
    let Some(_) = keep(&world, &snapshot, "what_is_open_comes_first") else { return };
    let id = world.json(&["kept", "list"])["kept"][0]["id"].as_str().unwrap().to_string();
    let mut child = world.restore_until_staging(&snapshot);
    // It would have ended before the last of these.
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
    for args in [&["kept", "archive", &id][..], &["kept", "restore", &id, "--yes"], &["kept", "discard", &id, "--yes"]]
    {
        let ran = world.run(args);
        assert_eq!(ran.status, 7, "{args:?}: {ran:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for args in [&["kept", "archive", &id][..], &["kept", "restore", &id, "--yes"], &["kept", "discard", &id, "--yes"]]
    {
        let ran = world.run(args);
        assert!(ran.status == 3 && ran.stderr.contains("volsnap recover app"), "{args:?}: {ran:?}");
    }
    world.ok(&["recover", "app"]);
    world.ok(&["kept", "archive", &id]);
}

#[test]
fn an_archive_of_kept_originals_that_is_killed_is_finished_by_a_recovery() {
    let world = World::registered();
    world.make_large("data");
    let snapshot = world.create();
    let Some(_) = keep(&world, &snapshot, "an_archive_that_is_killed") else { return };
    let id = world.json(&["kept", "list"])["kept"][0]["id"].as_str().unwrap().to_string();
    let mut child = world.until(&["kept", "archive", &id], |line| line["phase"] == "capture");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(world.json(&["status"])["open"][0]["phase"], "reopened");
    assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
    let recovered = world.json(&["recover"]);
    assert_eq!(recovered["recovered"][0]["reopened"], "archived", "{recovered}");
    assert_eq!(world.json(&["kept", "list"])["kept"], json!([]));
    world.ok(&["undo", "app"]);
}

#[test]
fn an_archive_of_kept_originals_that_is_given_up_leaves_them_kept() {
    let world = World::registered();
    world.make_large("data");
    let snapshot = world.create();
    let Some(_) = keep(&world, &snapshot, "an_archive_that_is_given_up") else { return };
    let listed = world.json(&["kept", "list"]);
    let id = listed["kept"][0]["id"].as_str().unwrap().to_string();
    support::in_time(|| {
        let child = world.until(&["kept", "archive", &id], |line| line["phase"] == "capture");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let ran = support::Ran::of(child.wait_with_output().unwrap());
        if ran.status == 0 {
            // It was too late.
            keep(&world, &snapshot, "an_archive_that_is_given_up").unwrap();
            return false;
        }
        assert_eq!(ran.status, 4, "{ran:?}");
        true
    });
    assert_eq!(world.json(&["status"])["open"], json!([]));
    let again = world.json(&["kept", "list"])["kept"][0].clone();
    assert_eq!(again["volumes"].as_array().unwrap().len(), 2);
    world.ok(&["kept", "archive", again["id"].as_str().unwrap()]);
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
