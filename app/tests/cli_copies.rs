//! `extract` and `clone` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use support::{Ran, World, has, tree};

/// What stands in a directory, private names included.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn out(world: &World) -> (PathBuf, String) {
    let out = world.path("out");
    (out.clone(), out.to_str().unwrap().to_string())
}

#[test]
fn a_snapshot_is_extracted_as_it_was() {
    let world = World::registered();
    let before = world.trees();
    let id = world.create();
    world.damage();
    let (dir, out) = out(&world);
    let document = world.json(&["extract", "latest", &out]);
    has(&document, &["snapshot", "workload", "volumes", "stage_ms", "warnings"]);
    assert_eq!((&document["snapshot"], &document["warnings"]), (&json!(id), &json!([])));
    let data = &document["volumes"][1];
    has(data, &["target", "path", "bytes", "entries"]);
    assert_eq!((&data["target"], &data["path"]), (&json!("/data"), &json!(dir.join("data"))));
    assert_eq!(tree(&dir), before);
    assert_eq!(names(dir.parent().unwrap()), ["live", "out", "state"], "nothing private stays beside it");
    assert_eq!(names(&world.state().join("copies")), Vec::<String>::new());

    let text = world.ok(&["extract", &id, &format!("{out}2")]);
    assert!(text.contains("/data") && text.contains(&format!("extracted from {id} of app in ")), "{text}");
}

#[test]
fn one_volume_becomes_the_directory_itself() {
    let (world, id) = World::damaged();
    let (dir, out) = out(&world);
    fs::create_dir(&dir).unwrap();
    world.ok(&["extract", &id, &out, "--volume", "/data"]);
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"data as it was");
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o750, "the root's own mode");
    assert_eq!(fs::metadata(dir.join("file")).unwrap().nlink(), 2);
}

#[test]
fn an_empty_directory_that_holds_volumes_keeps_its_mode() {
    let (world, id) = World::damaged();
    let (dir, out) = out(&world);
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, Permissions::from_mode(0o711)).unwrap();
    world.ok(&["extract", &id, &out]);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(names(&dir), ["config", "data"]);
}

#[test]
fn parts_come_with_the_directories_above_them_and_links_with_their_files() {
    let world = World::registered();
    let before = world.trees();
    let id = world.create();
    let (dir, out) = out(&world);
    let document = world.json(&["extract", &id, &out, "/data/file", "/data/below/script", "/config/below/deeper"]);
    assert_eq!(document["volumes"].as_array().unwrap().len(), 2);
    let parts = tree(&dir);
    let wanted =
        ["config", "config/below", "config/below/deeper", "data", "data/below", "data/below/script", "data/file"];
    assert_eq!(parts.keys().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), wanted);
    for path in &wanted[..6] {
        assert_eq!(parts[Path::new(path)], before[Path::new(path)], "{path}");
    }
    // In the archive it is a link to `below/linked`, which was not asked for.
    let file = fs::metadata(dir.join("data/file")).unwrap();
    assert_eq!((file.nlink(), fs::read(dir.join("data/file")).unwrap()), (1, b"data as it was".to_vec()));
    assert_eq!(parts[Path::new("data/file")].replace("1 links", "2 links"), before[Path::new("data/file")]);

    let (both, both_out) = (world.path("both"), format!("{}/both", world.path("").display()));
    world.ok(&["extract", &id, &both_out, "--volume", "/data", "file", "below"]);
    assert_eq!(fs::metadata(both.join("file")).unwrap().ino(), fs::metadata(both.join("below/linked")).unwrap().ino());
    assert_eq!(names(&both), ["below", "file"]);
}

#[test]
fn two_names_of_a_file_whose_first_one_is_left_out_are_one_file() {
    let world = World::registered();
    let data = world.live("data");
    fs::create_dir(data.join("z")).unwrap();
    for name in ["z/one", "z/two"] {
        fs::hard_link(data.join("file"), data.join(name)).unwrap();
    }
    let id = world.create();
    let (dir, out) = out(&world);
    world.ok(&["extract", &id, &out, "/data/z"]);
    let (one, two) = (fs::metadata(dir.join("data/z/one")).unwrap(), fs::metadata(dir.join("data/z/two")).unwrap());
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    assert_eq!(fs::read(dir.join("data/z/two")).unwrap(), b"data as it was");
}

#[test]
fn only_the_frames_that_are_needed_are_read() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let archive = File::options().write(true).open(world.archive(&id)).unwrap();
    // In the middle of the large files, far from what is asked for.
    archive.write_all_at(b"damage", 40 << 20).unwrap();
    let (_, out) = out(&world);
    world.ok(&["extract", &id, &out, "/data/below", "/config"]);
    let error = world.json_with(9, &["extract", &id, &format!("{out}2")]);
    assert_eq!(error["error"]["code"], "corrupt");
    assert_eq!(names(&world.path("")), ["live", "out", "state"], "nothing is left of the one that failed");
}

#[test]
fn everything_that_is_not_there_is_named_before_anything_is_made() {
    let (world, id) = World::damaged();
    let (dir, out) = out(&world);
    let message = world.fails("not-found", 8, &["extract", &id, &out, "/data/none", "/data/file", "/data/below/no"]);
    assert!(message.contains("`none`") && message.contains("`below/no`") && !message.contains("`file`"), "{message}");
    let message = world.fails("not-found", 8, &["extract", &id, &out, "--volume", "/a", "--volume", "/b"]);
    assert!(message.contains("/a") && message.contains("/b"), "{message}");
    world.fails("not-found", 8, &["extract", &id, &out, "/elsewhere"]);
    world.fails("not-found", 8, &["extract", &id, &out, "--volume", "/config", "--volume", "/data", "/etc/x"]);
    world.fails("not-found", 8, &["extract", &id, &format!("{out}/below/deep")]);
    world.fails("usage", 2, &["extract", &id, &out, "/data/../file"]);
    assert!(!dir.exists());
    assert_eq!(names(&world.path("")), ["live", "state"]);
}

#[test]
fn a_directory_that_is_somebodys_is_refused_and_stays() {
    let (world, id) = World::damaged();
    let (dir, out) = out(&world);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("mine"), "mine").unwrap();
    let refused = |args: &[&str], why: &str| {
        let message = world.fails("refused", 3, args);
        assert!(message.contains(why), "{args:?}: {message}");
    };
    refused(&["extract", &id, &out], "is not empty");
    refused(&["extract", &id, &format!("{out}/mine")], "is not a directory");
    refused(&["extract", &id, world.state().join("new").to_str().unwrap()], "volsnap's state directory");
    refused(&["extract", &id, world.live("data").to_str().unwrap()], "is not empty");
    fs::remove_dir_all(world.live("config")).unwrap();
    refused(&["extract", &id, world.live("config").to_str().unwrap()], "volume /config of app");
    refused(&["extract", &id, "/proc"], "mount point");
    assert_eq!(fs::read(dir.join("mine")).unwrap(), b"mine");
}

#[test]
fn volumes_that_would_lie_one_in_the_other_are_extracted_one_by_one() {
    let world = World::new();
    let (outer, inner) = (world.declare("/data", "data"), world.declare("/data/cache", "config"));
    world.ok(&["workload", "add", "app", "--volume", &outer, "--volume", &inner]);
    let id = world.create();
    let (dir, out) = out(&world);
    let message = world.fails("refused", 3, &["extract", &id, &out]);
    assert!(message.contains("/data") && message.contains("one in the other"), "{message}");
    world.ok(&["extract", &id, &out, "--volume", "/data/cache"]);
    assert_eq!(fs::read(dir.join("file")).unwrap(), b"config as it was");
}

#[test]
fn a_killed_extraction_leaves_what_its_own_name_shows_and_recover_removes_it() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let (dir, out) = out(&world);
    fs::create_dir(&dir).unwrap();
    world.kill_while_it_copies(&["extract", &id, &out]);
    assert_eq!(names(&dir), Vec::<String>::new(), "the directory is as it was");
    let left = names(&world.path("")).into_iter().find(|name| name.starts_with(".volsnap-")).unwrap();

    let status = world.json(&["status"]);
    assert_eq!((&status["copies"][0]["what"], &status["copies"][0]["workload"]), (&json!("extract"), &json!("app")));
    assert_eq!(status["copies"][0]["paths"], json!([world.path(&left)]));
    assert!(world.ok(&["status"]).contains("an interrupted extract left something"));
    let recovered = world.json(&["recover"]);
    assert_eq!(
        (&recovered["copies"][0]["what"], &recovered["copies"][0]["problem"]),
        (&json!("extract"), &Value::Null)
    );
    assert_eq!(names(&world.path("")), ["live", "out", "state"]);
    assert_eq!(world.json(&["status"])["copies"], json!([]));

    world.kill_while_it_copies(&["extract", &id, &out]);
    world.ok(&["extract", &id, &out]);
    assert_eq!(names(&world.path("")), ["live", "out", "state"], "the next copy removes it, too");
}

#[test]
fn what_lies_on_a_filesystem_that_is_not_mounted_stays_noted() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    world.kill_while_it_copies(&["extract", &id, other.join("out").to_str().unwrap()]);
    fs::rename(&other, world.path("away")).unwrap();
    fs::create_dir(&other).unwrap();
    let recovered = world.json_with(5, &["recover"]);
    assert!(recovered["copies"][0]["problem"].as_str().unwrap().contains("not mounted"), "{recovered}");
    fs::remove_dir(&other).unwrap();
    fs::rename(world.path("away"), &other).unwrap();
    world.ok(&["recover"]);
    assert_eq!(names(&other), Vec::<String>::new());
}

#[test]
fn who_may_not_write_the_state_directory_is_told_so_and_not_that_a_disk_is_full() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::registered();
    let binary = world.path("volsnap");
    fs::copy(env!("CARGO_BIN_EXE_volsnap"), &binary).unwrap();
    for path in [world.path(""), world.state()] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = std::process::Command::new(&binary);
    let command = command.args(["list", "--json"]).env_clear().env("VOLSNAP_STATE_DIR", world.state());
    let hinted = |ran: Ran| {
        assert_eq!(ran.status, 1, "{ran:?}");
        let hint = ran.json()["error"]["hint"].as_str().unwrap().to_string();
        assert!(hint.starts_with("you need to read and write the state directory: run as a user who may"), "{ran:?}");
    };
    hinted(Ran::of(command.uid(4711).gid(4711).output().unwrap()));
    // Nor may who finds no catalog make one.
    fs::remove_file(world.state().join("catalog.db")).unwrap();
    hinted(Ran::of(command.output().unwrap()));
}

#[test]
fn users_other_than_root_get_everything_as_their_own() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::registered();
    fs::set_permissions(world.live("data").join("below/script"), Permissions::from_mode(0o4755)).unwrap();
    let id = world.create();
    let (dir, out) = out(&world);
    // As its own user, who has been given the archives.
    let binary = world.path("volsnap");
    fs::copy(env!("CARGO_BIN_EXE_volsnap"), &binary).unwrap();
    let user = 4711;
    let mut open = vec![world.path("")];
    while let Some(path) = open.pop() {
        std::os::unix::fs::lchown(&path, Some(user), Some(user)).unwrap();
        if path.is_dir() && !path.is_symlink() && path != world.path("live") {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let mut command = std::process::Command::new(&binary);
    command.args(["extract", &id, &out]).env_clear().env("VOLSNAP_STATE_DIR", world.state()).uid(user).gid(user);
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.stderr.matches("warning: ").count(), 1, "once and not for each file: {ran:?}");
    for (path, mode) in [("data", 0o750), ("data/file", 0o644), ("data/below/script", 0o755)] {
        let found = fs::metadata(dir.join(path)).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (user, mode), "{path}");
    }
    // Root can have the same.
    let document = world.json(&["extract", &id, &format!("{out}-again"), "--no-owner"]);
    assert_eq!(document["warnings"], json!([]), "they are root's: {document}");
}

fn place(target: &str, path: &Path) -> String {
    format!("{target}={}", path.display())
}

#[test]
fn volumes_are_cloned_each_to_its_place() {
    let world = World::registered();
    let before = world.trees();
    let id = world.create();
    world.damage();
    let live = world.trees();
    let clones = world.path("clones");
    fs::create_dir_all(clones.join("config")).unwrap();
    let places = [place("/data", &clones.join("data")), place("/config", &clones.join("config"))];
    let document = world.json(&["clone", "app", "latest", "--volume", &places[0], "--volume", &places[1]]);
    has(&document, &["snapshot", "workload", "volumes", "stage_ms", "warnings"]);
    assert_eq!(document["volumes"][0]["path"], json!(clones.join("data")));
    assert_eq!(tree(&clones), before);
    assert_eq!(world.trees(), live, "nothing of the live directories is touched");
    let events = world.json(&["events", "app"]);
    assert_eq!(
        (&events["events"][0]["outcome"], &events["events"][0]["detail"]["snapshot"]),
        (&json!("cloned"), &json!(id))
    );
    assert_eq!(names(&world.state().join("copies")), Vec::<String>::new());
}

#[test]
fn a_clone_has_other_owners_where_ids_are_mapped() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::registered();
    let data = world.live("data");
    symlink("nowhere", data.join("link")).unwrap();
    for (path, uid, gid) in [("file", 1000, 50), ("below", 1001, 7), ("link", 1000, 7)] {
        std::os::unix::fs::lchown(data.join(path), Some(uid), Some(gid)).unwrap();
    }
    let id = world.create();
    let clone = world.path("clone");
    let to = place("/data", &clone);
    let maps = ["--map-uid", "1000:2000:2", "--map-uid", "0:70000", "--map-gid", "50:51"];
    world.ok(&[&["clone", "app", &id, "--volume", &to][..], &maps].concat());
    for (path, uid, gid) in
        [("", 70_000, 0), ("file", 2000, 51), ("below/linked", 2000, 51), ("below", 2001, 7), ("link", 2000, 7)]
    {
        let found = fs::symlink_metadata(clone.join(path)).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "{path}");
    }
    world.fails("usage", 2, &["clone", "app", &id, "--volume", &to, "--map-uid", "0:1:5", "--map-uid", "4:9"]);
    world.fails("usage", 2, &["clone", "app", &id, "--volume", &to, "--map-uid", "0"]);
}

#[test]
fn no_clone_comes_near_a_live_directory_or_another_clone() {
    let (world, id) = World::damaged();
    let refused = |places: &[String], why: &str| {
        let volumes = places.iter().flat_map(|place| ["--volume", place]);
        let args: Vec<&str> = ["clone", "app", &id].into_iter().chain(volumes).collect();
        let message = world.fails("refused", 3, &args);
        assert!(message.contains(why), "{args:?}: {message}");
    };
    let clone = world.path("clone");
    refused(&[place("/data", &world.live("data").join("inside"))], "volume /data of app");
    refused(&[place("/data", &world.state().join("inside"))], "state directory");
    refused(&[place("/data", &clone), place("/config", &clone)], "overlap");
    fs::create_dir(&clone).unwrap();
    fs::write(clone.join("mine"), "").unwrap();
    let free = place("/config", &world.path("free"));
    refused(&[free.clone(), place("/data", &clone)], "is not empty");
    assert!(!world.path("free").exists(), "all or none");
    world.fails("not-found", 8, &["clone", "app", &id, "--volume", &place("/none", &world.path("free"))]);
    world.fails("usage", 2, &["clone", "app", &id, "--volume", &free, "--volume", &free]);
    world.fails("usage", 2, &["clone", "app", &id]);
    let other = world.declare("/x", "config");
    world.ok(&["workload", "add", "other", "--volume", &other]);
    world.fails("refused", 3, &["clone", "other", &id, "--volume", &free]);
}

#[test]
fn a_killed_clone_leaves_every_place_as_it_was_and_its_litter_is_removed() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    let clones = world.path("clones");
    fs::create_dir(&clones).unwrap();
    let places = [place("/config", &clones.join("config")), place("/data", &clones.join("data"))];
    world.kill_while_it_copies(&["clone", "app", &id, "--volume", &places[0], "--volume", &places[1]]);
    assert!(names(&clones).iter().all(|name| name.starts_with(".volsnap-")), "{:?}", names(&clones));
    assert_eq!(world.json(&["status"])["copies"][0]["what"], "clone");
    assert!(world.ok(&["recover"]).contains("removed what an interrupted clone left"));
    assert_eq!(names(&clones), Vec::<String>::new());
}
