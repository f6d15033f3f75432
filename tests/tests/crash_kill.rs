//! The kill tier: the real binary on real directories, killed before and failed at every system call that changes or
//! syncs something, in restores and in recoveries.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{fs, path::Path};

use volsnap_tests::{
    cli::Cli,
    crash::{
        Budget, assert_none,
        kill::{self, scene::SHAPES},
        report, report_mutants,
    },
    trees,
};

/// Runs the binary so that it stops at its changes.
const LAUNCHER: &str = env!("CARGO_BIN_EXE_volsnap-stopped");

#[test]
fn tier_kill() {
    let figures = kill::tier(Budget::from_env(), Path::new(LAUNCHER));
    report("kill", &figures.to_string());
    assert_none("kill", &figures.violations);
    // Without root there are no loop devices, and where tracing is forbidden there is nothing.
    if figures.worlds.len() == SHAPES.len() {
        assert!(figures.runs >= 3000, "only {} runs", figures.runs);
        let ends: Vec<usize> = figures.ends.values().copied().collect();
        assert!(ends.len() == 2 && ends.iter().all(|runs| *runs >= 500), "{:?}", figures.ends);
    }
}

#[test]
fn a_snapshot_that_is_killed_or_failed_anywhere_wakes_its_app_and_leaves_only_archives_of_the_freeze() {
    let Some(figures) = kill::freeze::snapshots(Path::new(LAUNCHER), Budget::from_env().seed) else { return };
    println!("{figures}");
    assert!(figures.violations.is_empty(), "{}", figures.violations.join("\n"));
    assert!(figures.left_frozen > 0 && figures.named > 0 && figures.kills > 20, "it has met too little: {figures}");
}

#[test]
fn mutants_kill() {
    if let Some(met) = kill::mutants(Path::new(LAUNCHER)) {
        report_mutants("kill", &met);
    }
}

#[test]
fn a_name_that_did_not_change_although_the_kernel_says_so_is_noticed_or_does_no_harm() {
    let Some(runs) = kill::names_that_did_not_change(Path::new(LAUNCHER)) else { return };
    let wrong: Vec<_> = runs.iter().filter(|(_, run)| !run.wrongs.is_empty()).collect();
    println!("{} changes of names that were not done", runs.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(runs.len() >= 30, "only {}", runs.len());
}

#[test]
fn a_second_process_is_refused_while_the_first_is_at_it() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("data/live");
    let cli = Cli::new(dir.path().join("state"), format!("unix://{}/none.sock", dir.path().display()));
    trees::make(&live, "saved");
    let workload = cli.ok(&["workload", "add", "shop", "--volume", &format!("/live={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    // Held as another process would hold it.
    let path = dir.path().join(format!("state/locks/{}.lock", workload["id"].as_str().unwrap()));
    let lock = fs::File::options().create(true).truncate(false).write(true).open(path).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    trees::clear(&live);
    trees::make(&live, "today");
    let today = trees::read(&live);
    let restore = ["restore", "shop", &snapshot, "--yes"];
    cli.fails(&restore, 7, "busy");
    cli.fails(&["create", "shop"], 7, "busy");
    assert_eq!(trees::read(&live), today);
    drop(lock);
    cli.ok(&restore);
}
