//! Small things that the tests of the catalog share.

#![allow(clippy::unwrap_used, reason = "a test's way to fail is to panic")]
#![allow(dead_code, reason = "each test file uses some of it")]

use std::path::Path;

use jiff::Timestamp;
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;
use volsnap_core::{
    model::{DeclaredVolume, Selector, Source, Workload, WorkloadId},
    ports::{Event, EventKind, Store},
};
use volsnap_sqlite::SqliteStore;

/// An event with that id and a detail of some size.
pub fn event(id: u128) -> Event {
    Event {
        id: Uuid::from_u128(id),
        at: Timestamp::from_second(1_700_000_000).unwrap(),
        workload: WorkloadId(Uuid::from_u128(7)),
        workload_name: "blog".into(),
        kind: EventKind::SnapshotCreated,
        outcome: "created".into(),
        detail: serde_json::json!({ "note": "x".repeat(500) }),
    }
}

/// A workload with that id and a name of its own.
pub fn workload(id: u128) -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(id)),
        name: format!("workload {id}"),
        source: Source::Image,
        selector: Selector::default(),
        volumes: vec![DeclaredVolume { target: "/data".into(), path: "/srv/data".into() }],
        created_at: Timestamp::from_second(1_700_000_000).unwrap(),
        hooks: vec![],
        known: Vec::new(),
    }
}

/// A catalog with `count` events, closed: all of it in the one file.
pub async fn catalog_with_events(path: &Path, count: u128) {
    let store = SqliteStore::open(path).await.unwrap();
    for id in 0..count {
        store.record(&event(id)).await.unwrap();
    }
    store.close().await;
}

/// A connection that knows nothing of the adapter.
pub async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

/// Runs statements past the adapter.
pub async fn run_raw(path: &Path, statements: &'static str) {
    use sqlx::Connection;
    let mut connection = raw(path).await;
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
