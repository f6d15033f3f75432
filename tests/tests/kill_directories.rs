//! The real binary, killed before each system call of a kind that changes or syncs something, on real directories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use volsnap_tests::{
    cli::{Cli, Ended},
    trees::{self, Tree},
};

/// The system calls before which the process is killed, each at its first, second, … use until it is used no more.
const CALLS: &[&str] = &["renameat2", "renameat", "fsync", "fdatasync", "syncfs", "mkdirat", "unlinkat", "linkat"];

struct Fixture {
    _dir: tempfile::TempDir,
    cli: Cli,
    data: PathBuf,
    workload: String,
    snapshot: String,
    saved: Vec<Tree>,
}

const VOLUMES: [&str; 2] = ["a", "b"];

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let cli = Cli::new(dir.path().join("state"), format!("unix://{}/none.sock", dir.path().display()));
        for volume in VOLUMES {
            fs::create_dir_all(data.join(volume)).unwrap();
            trees::make(&data.join(volume), "saved");
        }
        let volume = |name: &str| format!("/{name}={}", data.join(name).display());
        let (a, b) = (volume("a"), volume("b"));
        cli.ok(&["workload", "add", "shop", "--volume", &a, "--volume", &b]);
        let shown = cli.ok(&["workload", "show", "shop"]);
        let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        let saved = VOLUMES.iter().map(|v| trees::read(&data.join(v)).unwrap()).collect();
        Fixture { workload: shown["id"].as_str().unwrap().to_string(), _dir: dir, cli, data, snapshot, saved }
    }

    /// Gives the live directories the contents of today, which a restore replaces.
    fn live(&self, mark: &str) -> Vec<Tree> {
        for volume in VOLUMES {
            trees::clear(&self.data.join(volume));
            trees::make(&self.data.join(volume), mark);
        }
        self.trees()
    }

    fn trees(&self) -> Vec<Tree> {
        VOLUMES.iter().map(|v| trees::read(&self.data.join(v)).unwrap_or_default()).collect()
    }

    fn restore_args(&self) -> [&str; 4] {
        ["restore", "shop", &self.snapshot, "--yes"]
    }

    /// Runs a command that is killed before the `nth` use of a system call; `false` if it did not get there.
    fn killed(&self, args: &[&str], call: &str, nth: usize) -> bool {
        let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
        let trace = format!("trace={call}");
        let log = self.data.with_file_name("strace.log");
        let options = ["-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
        let output = self.cli.under("strace", &options, args).output().expect("strace runs");
        match output.status.code() {
            None | Some(137) => true,
            Some(0) => false,
            Some(_) => panic!("{call} {nth}: {:#?}", Ended::of(&output, args)),
        }
    }

    /// Recovers, and checks that all volumes are wholly one or the other, and that nothing is left behind.
    fn check(&self, original: &[Tree], what: &str) -> &'static str {
        let recovered = self.cli.ok(&["recover"]);
        let now = self.trees();
        let outcome = if now == original {
            "original"
        } else if now == self.saved {
            "restored"
        } else {
            panic!("{what}: a mixture: {now:#?}");
        };
        for item in recovered["recovered"].as_array().unwrap() {
            let said = item["outcome"].as_str().unwrap();
            assert_eq!(said == "restored", outcome == "restored", "{what}: {item}");
        }
        assert_eq!(trees::litter(&self.data), Vec::<String>::new(), "{what}");
        assert_eq!(self.cli.journal(&self.workload), "", "{what}: the journal is still there");
        outcome
    }
}

fn strace_is_here() -> bool {
    let here = Command::new("strace").arg("-V").output().is_ok_and(|o| o.status.success());
    assert!(here || std::env::var("CI").as_deref() != Ok("true"), "the kill tests need strace");
    if !here {
        println!("skipped: strace is not installed");
    }
    here
}

#[test]
fn a_restore_killed_before_any_change_ends_wholly_original_or_wholly_restored() {
    if !strace_is_here() {
        return;
    }
    let fixture = Fixture::new();
    let mut ends = std::collections::BTreeMap::<&str, usize>::new();
    for call in CALLS {
        for nth in 1..200 {
            let original = fixture.live("today");
            let what = format!("killed before {call} {nth}");
            let killed = fixture.killed(&fixture.restore_args(), call, nth);
            let outcome = fixture.check(&original, &what);
            *ends.entry(outcome).or_default() += usize::from(killed);
            if !killed {
                assert_eq!(outcome, "restored", "{what}");
                break;
            }
            if outcome == "restored" && nth % 5 == 0 {
                fixture.cli.ok(&["undo", "shop"]);
                assert_eq!(fixture.trees(), original, "{what}: undo does not bring the original back");
            }
        }
    }
    println!("killed restores: {ends:?}");
    assert!(ends.get("original").is_some_and(|n| *n >= 20), "{ends:?}");
    assert!(ends.get("restored").is_some_and(|n| *n >= 10), "{ends:?}");
}

#[test]
fn a_recovery_killed_before_any_change_is_recovered_by_the_next() {
    if !strace_is_here() {
        return;
    }
    let fixture = Fixture::new();
    let mut kills = 0;
    // The restore is killed at the journal's replacements and renames: before, at and after the commit.
    for first in 2..=9 {
        for call in ["renameat2", "fsync", "unlinkat"] {
            for nth in [1, 2, 3, 5, 8, 13] {
                let original = fixture.live("today");
                if !fixture.killed(&fixture.restore_args(), "renameat2", first) {
                    continue;
                }
                let again = fixture.killed(&["recover"], call, nth);
                kills += usize::from(again);
                fixture.check(&original, &format!("renameat2 {first}, then {call} {nth} of the recovery"));
            }
        }
    }
    println!("killed recoveries: {kills}");
    assert!(kills >= 30, "only {kills}");
}

#[test]
fn a_second_process_is_refused_while_the_first_is_at_it() {
    let fixture = Fixture::new();
    // Held as another process would hold it.
    let lock = lock_file(&fixture.data.with_file_name("state"), &fixture.workload);
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let original = fixture.live("today");
    fixture.cli.fails(&fixture.restore_args(), 7, "busy");
    fixture.cli.fails(&["create", "shop"], 7, "busy");
    assert_eq!(fixture.trees(), original);
    drop(lock);
    fixture.cli.ok(&fixture.restore_args());
}

fn lock_file(state: &Path, workload: &str) -> fs::File {
    let path = state.join("locks").join(format!("{workload}.lock"));
    fs::File::options().create(true).truncate(false).write(true).open(path).unwrap()
}
