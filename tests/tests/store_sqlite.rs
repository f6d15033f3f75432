//! The catalog on SQLite keeps the contract of the Store port.

use std::cell::Cell;

use volsnap_core::ports::Store;
use volsnap_sqlite::SqliteStore;
use volsnap_tests::contracts::store;

#[tokio::test]
async fn the_catalog_on_sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    store::suite(async || {
        count.set(count.get() + 1);
        let path = dir.path().join(format!("{}.db", count.get()));
        Box::new(SqliteStore::open(&path).await.unwrap()) as Box<dyn Store>
    })
    .await;
}
