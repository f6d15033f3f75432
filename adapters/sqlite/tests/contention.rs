//! Several processes use one catalog at once, some are killed, and none hears of a lock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod common;

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::event;
use sqlx::Connection;
use volsnap_core::ports::Store;
use volsnap_sqlite::SqliteStore;

/// Tells a child what to do: the catalog and the first id to record.
const CATALOG: &str = "CONTENTION_CATALOG";
const FIRST_ID: &str = "CONTENTION_FIRST_ID";

/// This test program again, as another process that runs one of the `child_…` tests below.
fn child(role: &str, path: &Path, first_id: u128) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", role, "--nocapture", "--test-threads=1"])
        .env(CATALOG, path)
        .env(FIRST_ID, first_id.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the parent asked for. Fails in a run of the ignored tests by hand: they are of no use alone.
fn orders() -> (PathBuf, u128) {
    (env::var_os(CATALOG).unwrap().into(), env::var(FIRST_ID).unwrap().parse().unwrap())
}

#[tokio::test]
#[ignore = "the other process of `processes_that_write_at_once_lose_nothing`"]
async fn child_writes() {
    let (path, first) = orders();
    let store = SqliteStore::open(&path).await.unwrap();
    for id in first..first + 150 {
        store.record(&event(id)).await.unwrap();
        store.events(None, 5).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "the other process of `commands_that_come_and_go_lose_nothing`"]
async fn child_comes_and_goes() {
    let (path, first) = orders();
    for id in first..first + 25 {
        let store = SqliteStore::open(&path).await.unwrap();
        store.record(&event(id)).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
#[ignore = "the other process of `a_killed_writer_leaves_all_that_it_was_told_is_written`"]
async fn child_writes_until_killed() {
    let (path, first) = orders();
    let store = SqliteStore::open(&path).await.unwrap();
    for id in first.. {
        store.record(&event(id)).await.unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "written {id}").unwrap();
        out.flush().unwrap();
    }
}

async fn recorded(path: &Path) -> BTreeSet<u128> {
    let store = SqliteStore::open(path).await.unwrap();
    let events = store.events(None, u32::MAX).await.unwrap();
    store.close().await;
    events.iter().map(|event| event.id.as_u128()).collect()
}

async fn check_children(role: &str, each: u128) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let children: Vec<Child> = (0..3).map(|n| child(role, &path, n * 1000)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success(), "{role} failed; its reason stands above");
    }
    let expected: BTreeSet<u128> = (0..3).flat_map(|n| n * 1000..n * 1000 + each).collect();
    assert_eq!(recorded(&path).await, expected);
}

#[tokio::test]
async fn processes_that_write_at_once_lose_nothing() {
    check_children("child_writes", 150).await;
}

#[tokio::test]
async fn commands_that_come_and_go_lose_nothing() {
    check_children("child_comes_and_goes", 25).await;
}

#[tokio::test]
async fn a_killed_writer_leaves_all_that_it_was_told_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let mut written = BTreeSet::new();
    for round in 0..4_usize {
        let mut child = child("child_writes_until_killed", &path, round as u128 * 10_000);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ids = lines.filter_map(|line| Some(line.unwrap().split_once("written ")?.1.parse::<u128>().unwrap()));
        written.extend(ids.take(5 + 13 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let found = recorded(&path).await;
        assert!(found.is_superset(&written), "lost: {:?}", written.difference(&found));
    }
    assert_eq!(written.len(), 5 + 18 + 31 + 44);
}

#[tokio::test]
async fn a_writer_waits_for_a_transaction_that_another_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut other = common::raw(&path).await;
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    let begun = Instant::now();
    let hold = Duration::from_millis(400);
    let release = async {
        tokio::time::sleep(hold).await;
        held.rollback().await.unwrap();
    };
    let read = async {
        assert_eq!(store.events(None, 10).await.unwrap(), []);
        assert!(begun.elapsed() < hold, "a reader waited for a writer");
    };
    // Another store meanwhile: opening needs no write lock.
    let open = async {
        let second = SqliteStore::open(&path).await.unwrap();
        assert!(begun.elapsed() < hold, "opening waited for a writer");
        second.set_setting("a", "b").await.unwrap();
        second.close().await;
    };
    let wrote = async {
        store.record(&event(1)).await.unwrap();
        assert!(begun.elapsed() >= hold, "two wrote at once");
    };
    tokio::join!(release, read, open, wrote);
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("b"));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_write_is_whole_or_absent_and_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut cancelled = 0;
    for id in 0..60 {
        let patience = Duration::from_micros(20 * id as u64);
        if tokio::time::timeout(patience, store.record(&event(id))).await.is_err() {
            cancelled += 1;
        }
    }
    assert!(cancelled > 0, "nothing was cancelled");
    store.record(&event(1000)).await.unwrap();
    let second = SqliteStore::open(&path).await.unwrap();
    second.record(&event(1001)).await.unwrap();
    assert_eq!(store.events(None, 2).await.unwrap()[0], event(1001));
    second.close().await;
    store.close().await;
}
