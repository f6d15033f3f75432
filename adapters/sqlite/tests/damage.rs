//! A catalog that is damaged, foreign or of a later version is named as such, and stays as it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod common;

use std::{fs, path::Path};

use common::{catalog_with_events, run_raw};
use volsnap_core::ports::{Store, StoreError, StoreErrorKind};
use volsnap_sqlite::SqliteStore;

const PAGE: usize = 4096;

/// Opens the catalog and reads all of it; returns the failure, and how many events there were otherwise.
async fn open_and_read(path: &Path) -> Result<usize, StoreError> {
    let store = SqliteStore::open(path).await?;
    let read = async {
        store.workloads().await?;
        store.snapshots(None).await?;
        Ok(store.events(None, u32::MAX).await?.len())
    };
    let result = read.await;
    store.close().await;
    result
}

/// The failure must be `kind`, name the file, and leave its bytes alone.
async fn check_refused(path: &Path, kind: StoreErrorKind, what: &str) {
    let before = fs::read(path).unwrap();
    let error = match open_and_read(path).await {
        Ok(count) => panic!("{what}: opened, with {count} events"),
        Err(error) => error,
    };
    assert_eq!(error.kind, kind, "{what}: {error}");
    assert!(error.message.contains(path.to_str().unwrap()), "{what}: the file is not named: {error}");
    assert_eq!(fs::read(path).unwrap(), before, "{what}: the file was changed");
}

#[tokio::test]
async fn a_garbage_header_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 20).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    check_refused(&path, StoreErrorKind::Corrupt, "garbage header").await;
}

#[tokio::test]
async fn a_truncated_catalog_is_corrupt_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 20).await;
    let whole = fs::read(&path).unwrap();
    let pages = (0..whole.len()).step_by(PAGE);
    for length in pages.chain([1, 99, 100, 511, 512, PAGE - 1, PAGE + 1, whole.len() / 2 + 7]) {
        fs::write(&path, &whole[..length]).unwrap();
        check_refused(&path, StoreErrorKind::Corrupt, &format!("cut to {length} of {} bytes", whole.len())).await;
    }
    // The last byte may be an index's, which is not compared with its table: then nothing is missing.
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    match open_and_read(&path).await {
        Ok(count) => assert_eq!(count, 20),
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}"),
    }
}

#[tokio::test]
async fn a_garbage_page_anywhere_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 40).await;
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() / PAGE > 10, "a catalog of {} bytes has no middle", whole.len());
    for page in 0..whole.len() / PAGE {
        for garbage in [0x00, 0xa5, 0xff] {
            let mut bytes = whole.clone();
            bytes[page * PAGE..(page + 1) * PAGE].fill(garbage);
            fs::write(&path, bytes).unwrap();
            check_refused(&path, StoreErrorKind::Corrupt, &format!("page {page} of {garbage:#x}")).await;
        }
    }
}

#[tokio::test]
async fn damage_that_happens_while_the_catalog_is_open_is_corrupt_on_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 40).await;
    let store = SqliteStore::open(&path).await.unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[PAGE..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let reading = store.events(None, 100).await.unwrap_err();
    assert_eq!(reading.kind, StoreErrorKind::Corrupt, "{reading}");
    store.close().await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt() {
    let damages = [
        ("half a JSON", "UPDATE events SET detail = '{\"a\":' WHERE rowid = 1"),
        ("no id", "UPDATE events SET workload = 'blog' WHERE rowid = 1"),
        ("no instant", "UPDATE events SET at_s = 9223372036854775807 WHERE rowid = 1"),
        ("a missing table", "DROP TABLE snapshots"),
        ("a missing column", "ALTER TABLE events DROP COLUMN outcome"),
    ];
    for (what, statement) in damages {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        catalog_with_events(&path, 2).await;
        run_raw(&path, statement).await;
        check_refused(&path, StoreErrorKind::Corrupt, what).await;
    }
}

#[tokio::test]
async fn another_programs_database_is_corrupt_and_gets_no_tables_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    fs::write(&path, "").unwrap();
    run_raw(&path, "CREATE TABLE music (title TEXT)").await;
    check_refused(&path, StoreErrorKind::Corrupt, "a foreign database").await;
}

#[tokio::test]
async fn another_programs_schema_is_not_taken_for_a_later_one_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 2).await;
    // sqlx keeps its list in the same table for every program, often with dates as versions.
    run_raw(
        &path,
        "PRAGMA application_id = 0;
         UPDATE _sqlx_migrations SET version = version + 20260100",
    )
    .await;
    check_refused(&path, StoreErrorKind::Corrupt, "a foreign schema").await;
}

#[tokio::test]
async fn the_log_of_an_emptied_catalog_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let log = dir.path().join("catalog.db-wal");
    fs::write(&path, "").unwrap();
    fs::write(&log, [0xa5; 5000]).unwrap();
    check_refused(&path, StoreErrorKind::Corrupt, "an empty file").await;
    assert_eq!(fs::read(&log).unwrap(), [0xa5; 5000]);
}

#[tokio::test]
async fn a_schema_of_a_later_version_is_newer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 2).await;
    run_raw(
        &path,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'later', TRUE, x'00', 0)",
    )
    .await;
    check_refused(&path, StoreErrorKind::Newer, "schema 99").await;
}

#[tokio::test]
async fn a_migration_that_is_not_ours_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    catalog_with_events(&path, 2).await;
    run_raw(&path, "UPDATE _sqlx_migrations SET checksum = x'00'").await;
    check_refused(&path, StoreErrorKind::Corrupt, "another checksum").await;
}
