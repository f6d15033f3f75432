//! Several processes use one catalog at once, some are killed, and none hears of a lock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod common;

use std::{
    cell::Cell,
    collections::BTreeSet,
    env,
    future::poll_fn,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    pin::pin,
    process::{Child, Command, Stdio},
    task::Poll,
    time::Duration,
};

use common::{event, workload};
use sqlx::Connection;
use volsnap_core::ports::{Store, StoreError};
use volsnap_sqlite::SqliteStore;

/// Tell another process what to do: the catalog and the first id to record.
const CATALOG: &str = "CONTENTION_CATALOG";
const FIRST_ID: &str = "CONTENTION_FIRST_ID";

#[tokio::test]
async fn processes_that_write_at_once_lose_nothing() {
    if let Some((path, first)) = orders() {
        return write_much(&path, first).await;
    }
    check_three("processes_that_write_at_once_lose_nothing", 150).await;
}

async fn write_much(path: &Path, first: u128) {
    let store = SqliteStore::open(path).await.unwrap();
    for id in first..first + 150 {
        store.record(&event(id)).await.unwrap();
        // Reads before it writes, and so would see another process's write come in between.
        store.add_workload(&workload(id)).await.unwrap();
        store.events(None, 5).await.unwrap();
    }
}

#[tokio::test]
async fn commands_that_come_and_go_lose_nothing() {
    if let Some((path, first)) = orders() {
        return come_and_go(&path, first).await;
    }
    check_three("commands_that_come_and_go_lose_nothing", 25).await;
}

async fn come_and_go(path: &Path, first: u128) {
    for id in first..first + 25 {
        let store = SqliteStore::open(path).await.unwrap();
        store.record(&event(id)).await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_killed_writer_leaves_all_that_it_was_told_is_written() {
    let name = "a_killed_writer_leaves_all_that_it_was_told_is_written";
    if let Some((path, first)) = orders() {
        return write_until_killed(&path, first).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let mut written = BTreeSet::new();
    for round in 0..4_usize {
        let mut child = this_test_in_another_process(name, &path, round as u128 * 10_000);
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

async fn write_until_killed(path: &Path, first: u128) {
    let store = SqliteStore::open(path).await.unwrap();
    for id in first.. {
        store.record(&event(id)).await.unwrap();
        let mut out = std::io::stdout();
        // Fails, and so ends this process, once nobody listens any more.
        writeln!(out, "written {id}").unwrap();
        out.flush().unwrap();
    }
}

/// Starts this program again for one of its tests, which finds [`orders`] there.
fn this_test_in_another_process(name: &str, path: &Path, first_id: u128) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CATALOG, path)
        .env(FIRST_ID, first_id.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What another process asked this one to do.
fn orders() -> Option<(PathBuf, u128)> {
    Some((env::var_os(CATALOG)?.into(), env::var(FIRST_ID).unwrap().parse().unwrap()))
}

/// Runs the test in three processes at once, each of which is to record `each` events.
async fn check_three(name: &str, each: u128) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let children = [0, 1000, 2000].map(|first| this_test_in_another_process(name, &path, first));
    // All are waited for before any is judged: none outlives the directory.
    let ends = children.map(|child| child.wait_with_output().unwrap());
    for end in ends {
        assert!(end.status.success(), "its reason stands above; it wrote {:?}", String::from_utf8_lossy(&end.stdout));
    }
    let expected: BTreeSet<u128> = [0, 1000, 2000].into_iter().flat_map(|first| first..first + each).collect();
    assert_eq!(recorded(&path).await, expected);
}

async fn recorded(path: &Path) -> BTreeSet<u128> {
    let store = SqliteStore::open(path).await.unwrap();
    let events = store.events(None, u32::MAX).await.unwrap();
    store.close().await;
    events.iter().map(|event| event.id.as_u128()).collect()
}

#[tokio::test]
async fn a_writer_waits_for_a_transaction_that_another_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut other = common::raw(&path).await;
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    // None of these needs the lock; each would fail as busy if it did.
    assert_eq!(store.events(None, 10).await.unwrap(), []);
    let second = SqliteStore::open(&path).await.unwrap();
    assert_eq!(second.workloads().await.unwrap(), []);

    let released = Cell::new(false);
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        released.set(true);
        held.rollback().await.unwrap();
    };
    let write = async {
        store.record(&event(1)).await.unwrap();
        assert!(released.get(), "two wrote at once");
    };
    let write_too = async { second.set_setting("a", "b").await.unwrap() };
    tokio::join!(release, write, write_too);
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("b"));
    second.close().await;
    store.close().await;
}

/// Drops `work` the first time that it waits after `waits` waits; tells whether it came to its end before.
async fn cancelled_after(waits: usize, work: impl Future<Output = Result<(), StoreError>>) -> bool {
    let mut work = pin!(work);
    let mut left = waits;
    let finished = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    finished.await.map(|result| result.unwrap()).is_some()
}

#[tokio::test]
async fn a_write_that_is_cancelled_anywhere_is_whole_or_absent_and_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    let mut cancelled = 0;
    for id in 0..300 {
        let finished = cancelled_after(id as usize % 15, store.add_workload(&workload(id))).await;
        cancelled += usize::from(!finished);
        // Neither this process nor another one finds the lock taken.
        other.set_setting("key", "other").await.unwrap();
        store.set_setting("key", "store").await.unwrap();
        let found = store.workloads().await.unwrap().into_iter().find(|found| found.id == workload(id).id);
        match found {
            Some(found) => assert_eq!(found, workload(id)),
            None => assert!(!finished, "a write that returned is not there"),
        }
    }
    // How often a write waits depends on the machine, but never is it less than once.
    assert!(cancelled >= 20, "only {cancelled} writes were cancelled");
    other.close().await;
    store.close().await;
}
