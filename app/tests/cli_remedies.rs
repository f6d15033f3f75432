//! Remedies followed as they are printed: what failed works afterwards, and what is to be looked at is shown.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
};

use support::{
    World,
    remedy::{commands, filled, hint},
};

/// The commands that a failing command is answered with.
fn remedy(world: &World, status: i32, args: &[&str]) -> Vec<String> {
    let ran = world.run(args);
    assert_eq!(ran.status, status, "{args:?}: {ran:?}");
    let named = commands(&hint(&ran));
    assert!(!named.is_empty(), "{args:?}: {ran:?}");
    named
}

/// Fails, does what is said, and then works.
fn mended(world: &World, status: i32, args: &[&str]) -> Vec<String> {
    let named = remedy(world, status, args);
    world.shell_all(&named);
    world.ok(args);
    named
}

#[test]
fn commands_that_show_what_there_is_show_it() {
    let (world, id) = World::damaged();
    world.ok(&["workload", "add", "twin", "--volume", &world.declare("/data", "data")]);
    for (status, args, named) in [
        (8, &["schema", "nothing"][..], "volsnap schema"),
        (8, &["undo", "app"], "volsnap list"),
        (8, &["show", "ffff"], "volsnap list"),
        (3, &["restore", "twin", &id, "--yes"], "volsnap list twin"),
        (2, &["kept", "discard", "ffff"], "volsnap kept list"),
        (2, &["kept", "restore", "ffff"], "volsnap kept list"),
        (8, &["workload", "hook", "remove", "app", "9"], "volsnap workload hook list app"),
        (8, &["recover", "app", "--take", "original"], "volsnap status"),
        (8, &["dump", &id, "/data", "below/none"], &format!("volsnap ls {id} /data/below")),
        (3, &["dump", &id, "/data", "below"], &format!("volsnap ls {id} /data/below")),
        (8, &["diff", &id, "--path", "/data/none"], "volsnap ls SNAPSHOT"),
        (2, &["restore", "app", &id], "volsnap plan WORKLOAD SNAPSHOT"),
    ] {
        let remedy = remedy(&world, status, args);
        assert_eq!(remedy, [named], "{args:?}");
        let shown = world.shell(&filled(&remedy[0], &[("WORKLOAD", "app"), ("SNAPSHOT", &id)]));
        assert!(shown.status == 0 && !shown.stdout.is_empty(), "{args:?}: {shown:?}");
    }
}

#[test]
fn a_name_with_blanks_in_a_snapshot_is_listed_by_the_command_that_is_named() {
    let world = World::registered();
    fs::create_dir(world.live("data").join("it's a dir")).unwrap();
    fs::write(world.live("data").join("it's a dir/here"), "").unwrap();
    let id = world.create();
    let remedy = remedy(&world, 8, &["dump", &id, "/data", "it's a dir/gone"]);
    assert!(world.shell(&remedy[0]).stdout.contains("it's a dir/here"), "{remedy:?}");
}

#[test]
fn the_way_from_nothing_to_a_snapshot_is_told_step_by_step() {
    let world = World::new();
    let volume = world.declare("/data", "data");
    let fill = |command: &str| filled(command, &[("NAME", "app"), ("WORKLOAD", "app")]);
    let from_list = commands(&world.ok(&["workload", "list"]));
    assert_eq!(remedy(&world, 8, &["create", "app"]), from_list);
    world.shell_all(&[format!("{} --volume {volume}", fill(&from_list[0]))]);
    let from_list = commands(&world.ok(&["list"]));
    assert_eq!(remedy(&world, 8, &["show", "latest"]), from_list);
    world.shell_all(&[fill(&from_list[0])]);
    world.ok(&["show", "latest"]);
    let add = commands(&world.ok(&["workload", "hook", "list", "app"]));
    world.shell_all(&[filled(&add[0], &[("PROGRAM", "/bin/true")])]);
    assert_eq!(world.json(&["workload", "hook", "list", "app"])["hooks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_plan_that_is_not_there_is_written_as_is_said() {
    let (world, id) = World::damaged();
    let fill = |command: &str| filled(command, &[("WORKLOAD", "app"), ("SNAPSHOT", &id), ("FILE", "plan.json")]);
    let write = remedy(&world, 8, &["restore", "--plan", "plan.json", "--yes"]);
    world.shell_all(&[fill(&write[0])]);
    world.ok(&["restore", "--plan", "plan.json", "--yes"]);
}

#[test]
fn a_configuration_that_is_not_trusted_is_made_trustworthy() {
    let world = World::registered();
    let file = world.config_file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o646)).unwrap();
    mended(&world, 3, &["list"]);
    if chown(&file, Some(12_345), Some(12_345)).is_err() {
        eprintln!("skipped: files of other users, which only root can make");
        return;
    }
    mended(&world, 3, &["list"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o660)).unwrap();
    mended(&world, 3, &["list"]);
    world.configure("frobnicate = 1\nwrong = 2\n");
    let ran = world.run(&["list"]);
    assert!(commands(&ran.stderr).iter().any(|command| command == "volsnap config check"), "{ran:?}");
    assert!(world.shell("volsnap config check").stdout.contains("wrong"));
}

#[test]
fn flags_that_are_in_the_way_are_taken_away() {
    let (world, id) = World::damaged();
    let restore = ["restore", "app", &id, "--yes"];
    let flag = |flag: &str, path: &std::path::Path| {
        Command::new("chattr").arg(flag).arg(path).output().is_ok_and(|done| done.status.success())
    };
    if !flag("+i", &world.live("data")) {
        eprintln!("skipped: flags_that_are_in_the_way_are_taken_away: needs root and chattr +i");
        return;
    }
    mended(&world, 3, &restore);
    fs::write(world.live("data").join("file"), "once more").unwrap();
    assert!(flag("+a", &world.live("data").join("below/script")));
    let mut named = remedy(&world, 3, &restore);
    let chattr = named.iter().position(|command| command.starts_with("find")).unwrap();
    let found = world.shell(&named[0]);
    assert!(found.stdout.contains("below/script"), "{found:?}");
    world.shell_all(&[named.remove(chattr)]);
    world.ok(&restore);
}

#[test]
fn a_pin_is_taken_away_where_a_deletion_is_wanted() {
    let (world, id) = World::damaged();
    world.create();
    world.ok(&["pin", &id]);
    mended(&world, 3, &["delete", &id]);
}

#[test]
fn a_restore_that_was_killed_is_ended_by_what_the_next_plan_says() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.ok(&["workload", "add", "twin", "--volume", &world.declare("/data", "data")]);
    world.kill_a_restore(&id);
    mended(&world, 3, &["plan", "app", &id]);
    world.kill_a_restore(&id);
    mended(&world, 3, &["create", "twin"]);
}

#[test]
fn a_damaged_catalog_is_made_again_by_what_is_said_of_it() {
    let (world, id) = World::damaged();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(world.state().join(format!("catalog.db{suffix}"))).ok();
    }
    fs::write(world.state().join("catalog.db"), "this is no database, however one looks at it").unwrap();
    mended(&world, 9, &["list"]);
    world.ok(&["restore", "app", &id, "--yes"]);
}

#[test]
fn the_plan_and_the_report_of_a_restore_name_the_way_back() {
    let (world, id) = World::damaged();
    let planned = commands(&world.ok(&["plan", "app", &id]));
    assert_eq!(planned, ["volsnap undo app"]);
    let before = world.trees();
    world.ok(&["restore", "app", &id, "--yes"]);
    world.shell_all(&[format!("{} --yes", planned[0])]);
    assert_eq!(world.trees(), before);
}

#[test]
fn a_plan_that_is_out_of_date_is_made_anew_as_is_said() {
    let (world, id) = World::damaged();
    world.shell_all(&[format!("volsnap plan app {id} --json > plan.json")]);
    fs::rename(world.live("data"), world.path("away")).unwrap();
    let apply = ["restore", "--plan", "plan.json", "--yes"];
    let named = remedy(&world, 3, &apply);
    let shown = world.shell(&named[0]);
    assert!(shown.stdout.contains("app"), "{named:?}: {shown:?}");
    world.shell_all(&[format!("volsnap plan app {id} --json > plan.json")]);
    world.ok(&apply);
}

#[test]
fn what_snapshots_leave_out_is_looked_for_as_is_said() {
    let (world, id) = World::damaged();
    let left = world.live("data").join(".volsnap-01a2066d4da575278c3b39032ee00531-0");
    fs::create_dir(&left).unwrap();
    let named = remedy(&world, 3, &["restore", "app", &id, "--yes"]);
    assert_eq!(named, ["volsnap status"]);
    world.shell_all(&named);
}

#[test]
fn a_command_that_is_none_leads_to_those_that_are() {
    let world = World::new();
    let hint = world.json_with(2, &["frobnicate"])["error"]["hint"].as_str().unwrap().to_string();
    assert!(world.shell(&commands(&hint)[0]).stdout.contains("snapshot"), "{hint}");
}

#[test]
fn a_damaged_archive_leads_to_the_good_ones() {
    let (world, bad) = World::damaged();
    let good = world.create();
    let archive = world.archive(&bad);
    let mut bytes = fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].fill(0x55);
    fs::write(&archive, bytes).unwrap();
    let named = remedy(&world, 9, &["restore", "app", &bad, "--yes"]);
    let shown = world.shell(&named[0]);
    assert_eq!(shown.status, 9, "{shown:?}");
    assert!(shown.stdout.contains(&good), "{shown:?}");
}

#[test]
fn a_copy_into_a_live_directory_leads_to_the_restore_of_it() {
    let (world, id) = World::damaged();
    let live = world.live("data").display().to_string();
    fs::remove_dir_all(&live).unwrap();
    fs::create_dir(&live).unwrap();
    let named = remedy(&world, 3, &["extract", &id, &live, "--volume", "/data"]);
    world.shell_all(&[format!("{} --yes", filled(&named[0], &[("WORKLOAD", "app"), ("SNAPSHOT", &id)]))]);
}

#[test]
fn several_refusals_are_shown_by_the_plan_that_the_first_one_names() {
    let (world, id) = World::damaged();
    for volume in ["data", "config"] {
        fs::rename(world.live(volume), world.path(volume)).unwrap();
        fs::write(world.live(volume), "a file").unwrap();
    }
    let ran = world.run(&["restore", "app", &id, "--yes"]);
    let named = commands(&ran.stderr);
    let shown = world.shell(&named[0]);
    assert!(shown.stdout.contains("/data") && shown.stdout.contains("/config"), "{named:?}: {shown:?}");
    assert_eq!(shown.status, 3, "{shown:?}");
}

#[test]
fn the_pages_that_were_written_can_be_read_as_is_said() {
    let world = World::new();
    let said = world.ok(&["man", "some pages"]);
    let page = said.split('`').nth(1).unwrap().strip_prefix("man -l ").unwrap();
    // `man` is not on every machine; that the shell finds the page is what is ours.
    world.shell_all(&[format!("test -s {page}")]);
}
