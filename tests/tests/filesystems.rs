//! The main job on each of the filesystems that people keep their volumes on, the journal on the same one or another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{fs, path::Path, process::Command};

use volsnap_tests::{cli::Cli, loop_disk::LoopDisk, trees};

fn restore_and_undo(disk: &LoopDisk, state: &Path) {
    let cli = Cli::new(state, "unix:///nonexistent/docker.sock");
    let live = disk.join("data/app");
    fs::create_dir_all(&live).unwrap();
    trees::make(&live, "saved");
    let saved = trees::read(&live);
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    trees::clear(&live);
    trees::make(&live, "today");
    let today = trees::read(&live);
    let report = cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(report["volumes"][0]["method"], "exchange", "{report}");
    assert_eq!(trees::read(&live), saved);
    cli.ok(&["undo", "shop"]);
    assert_eq!(trees::read(&live), today);
    assert_eq!(trees::litter(&disk.join("data")), Vec::<String>::new());
}

fn with_the_journal_beside_and_elsewhere(kind: &str) {
    let test = format!("restore and undo on {kind}");
    let Some(disk) = LoopDisk::new(kind, &test) else { return };
    restore_and_undo(&disk, &disk.join("state"));
    let Some(disk) = LoopDisk::new(kind, &test) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    restore_and_undo(&disk, &elsewhere.path().join("state"));
}

#[test]
fn a_restore_and_its_undo_are_exact_on_ext4() {
    with_the_journal_beside_and_elsewhere("ext4");
}

#[test]
fn a_restore_and_its_undo_are_exact_on_xfs() {
    with_the_journal_beside_and_elsewhere("xfs");
}

#[test]
fn a_restore_and_its_undo_are_exact_on_btrfs() {
    with_the_journal_beside_and_elsewhere("btrfs");
}

#[test]
fn a_btrfs_subvolume_is_refused_since_it_would_come_back_as_a_plain_directory() {
    let Some(disk) = LoopDisk::new("btrfs", "subvolume") else { return };
    let live = disk.join("subvolume");
    let made = Command::new("btrfs").args(["subvolume", "create"]).arg(&live).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::write(live.join("file"), "today").unwrap();
    let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    let error = cli.fails(&["restore", "shop", &snapshot, "--yes"], 3, "refused");
    assert!(error["error"]["message"].as_str().unwrap().contains("btrfs subvolume"), "{error}");
    assert_eq!(fs::read_to_string(live.join("file")).unwrap(), "today");
}
