//! How a catalog comes into being, and what is never taken for a missing one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod common;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use common::{catalog_with_events, event};
use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::ports::{Store, StoreErrorKind};
use volsnap_sqlite::SqliteStore;

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_new_catalog_and_its_companions_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.record(&event(1)).await.unwrap();
    assert_eq!(names_in(dir.path()), ["catalog.db", "catalog.db-shm", "catalog.db-wal", "catalog.db.reserve"]);
    for name in names_in(dir.path()) {
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        let own = if name == "catalog.db.reserve" { 0o700 } else { 0o600 };
        assert_eq!(mode & 0o777, own, "{name} has mode {mode:o}");
    }
    store.close().await;
    assert_eq!(names_in(dir.path()), ["catalog.db", "catalog.db.reserve"], "closing folds the log into the file");
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 3).await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.events(None, 10).await.unwrap().len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_draft_that_a_crash_left_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    for litter in ["catalog.db.new", "catalog.db.new-wal", "catalog.db.new-journal"] {
        fs::write(dir.path().join(litter), [0xa5; 5000]).unwrap();
    }
    let store = SqliteStore::open(&path).await.unwrap();
    store.record(&event(1)).await.unwrap();
    store.close().await;
    assert_eq!(names_in(dir.path()), ["catalog.db", "catalog.db.reserve"]);
}

#[tokio::test]
async fn the_log_of_a_catalog_that_was_moved_away_is_kept_and_not_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let old = SqliteStore::open(&path).await.unwrap();
    old.record(&event(1)).await.unwrap();
    let log = fs::read(dir.path().join("catalog.db-wal")).unwrap();
    assert!(!log.is_empty());
    fs::rename(&path, dir.path().join("damaged.db")).unwrap();

    let new = SqliteStore::open(&path).await.unwrap();
    assert_eq!(new.events(None, 10).await.unwrap(), []);
    assert_eq!(fs::read(dir.path().join("catalog.db-wal.orphaned")).unwrap(), log);
    new.close().await;
    old.close().await;
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_no_missing_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    symlink("not-mounted/catalog.db", &path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Io, "{error}");
    assert_eq!(names_in(dir.path()), ["catalog.db"]);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
}

#[tokio::test]
async fn a_directory_in_its_place_and_a_missing_parent_are_failures_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("catalog.db")).unwrap();
    for path in ["catalog.db", "missing/catalog.db"] {
        let error = SqliteStore::open(&dir.path().join(path)).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Io, "{path}: {error}");
    }
    assert_eq!(names_in(dir.path()), ["catalog.db"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_open_a_missing_catalog_at_once_get_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let openers: Vec<_> = (0..12)
        .map(|id| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = SqliteStore::open(&path).await.unwrap();
                store.record(&event(id)).await.unwrap();
                store.close().await;
            })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap();
    }
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.events(None, 100).await.unwrap().len(), 12);
    store.close().await;
    assert_eq!(names_in(dir.path()), ["catalog.db", "catalog.db.reserve"]);
}

#[tokio::test]
async fn the_sqlite_that_is_linked_has_no_wal_reset_bug() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 1).await;
    let version: String =
        sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut common::raw(&path).await).await.unwrap();
    let numbers: Vec<u32> = version.split('.').map(|part| part.parse().unwrap()).collect();
    assert!(numbers >= vec![3, 51, 3], "SQLite {version} is older than 3.51.3");
}

#[tokio::test]
async fn a_catalog_of_an_earlier_version_is_brought_up_to_date_with_all_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.add_workload(&common::workload(1)).await.unwrap();
    store.close().await;
    // As the first version made it: a released migration is never edited. Of its events the one that was recorded last has
    // the earliest time: time was their order.
    common::run_raw(
        &path,
        r#"ALTER TABLE workloads DROP COLUMN hooks; ALTER TABLE workloads DROP COLUMN known_volumes;
        DROP TABLE sequence;
        DROP INDEX snapshots_by_order; DROP INDEX snapshots_of_workload; ALTER TABLE snapshots DROP COLUMN sequence;
        DROP INDEX events_by_order; DROP INDEX events_of_workload; ALTER TABLE events DROP COLUMN sequence;
        CREATE INDEX snapshots_by_age ON snapshots (created_s, created_ns, id);
        CREATE INDEX snapshots_of_workload ON snapshots (workload, created_s, created_ns, id);
        CREATE INDEX events_by_age ON events (at_s, at_ns, id);
        CREATE INDEX events_of_workload ON events (workload, at_s, at_ns, id);
        WITH told (id, at_s) AS (VALUES ('1', 20), ('2', 30), ('3', 10))
        INSERT INTO events SELECT '00000000-0000-0000-0000-00000000000' || id, at_s, 0,
            '00000000-0000-0000-0000-000000000001', 'app', '"restore-ended"', 'restored', 'null' FROM told;
        DELETE FROM _sqlx_migrations WHERE version > 1"#,
    )
    .await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.workloads().await.unwrap(), [common::workload(1)]);
    store.add_workload(&common::workload(2)).await.unwrap();
    let numbers = async || -> Vec<u128> {
        store.events(None, 10).await.unwrap().iter().map(|event| event.id.as_u128()).collect()
    };
    assert_eq!(numbers().await, [2, 1, 3]);
    let mut latest = store.events(None, 1).await.unwrap().remove(0);
    (latest.id, latest.at) = (Uuid::from_u128(9), Timestamp::UNIX_EPOCH);
    store.record(&latest).await.unwrap();
    assert_eq!(numbers().await, [9, 2, 1, 3], "what is recorded now comes last, whatever the clock says");
    assert_eq!(store.advance(0).await.unwrap(), 1);
    store.close().await;
}
