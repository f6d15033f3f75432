//! Opening a catalog: make it if there is none, look whether it is whole, bring it up to date.

use std::{fs, path::Path, time::Duration};

use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};
use volsnap_core::ports::StoreError;

use crate::{
    SqliteStore, birth,
    fault::{At, Fault},
    reserve::Reserve,
    schema,
};

/// How long a write waits for another process. A write takes milliseconds, so this many seconds mean a stuck one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Reads wait for nobody, so this only bounds how many of them run at once.
const READERS_MAX: u32 = 4;

/// Opens the catalog at `path`, waiting `patience` for other processes.
pub(crate) async fn open(path: &Path, patience: Duration) -> Result<SqliteStore, StoreError> {
    let reserve = Reserve::of(path);
    loop {
        match attempt(path, patience, &reserve).await {
            Err(fault) if fault.is_full(path) && reserve.give() => {}
            opened => {
                if opened.is_ok() {
                    reserve.fill();
                }
                return opened.at("opening the catalog", path);
            }
        }
    }
}

async fn attempt(path: &Path, patience: Duration, reserve: &Reserve) -> Result<SqliteStore, Fault> {
    birth::ensure_exists(path, patience).await?;
    refuse_empty(path)?;
    let writer = writer(path, patience).await?;
    let readers = readers(path, patience);
    let store = SqliteStore { path: path.to_path_buf(), writer, readers, reserve: reserve.clone() };
    match prepare(&store.writer).await {
        Ok(()) => Ok(store),
        Err(fault) => {
            store.close().await;
            Err(fault)
        }
    }
}

/// Opens the catalog at `path` for a look.
pub(crate) async fn open_to_look(path: &Path) -> Result<SqliteStore, StoreError> {
    let attempt = async {
        refuse_empty(path)?;
        let options = options(path, Duration::ZERO).read_only(true).immutable(!has_log(path));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        Ok(SqliteStore { path: path.to_path_buf(), writer: pool.clone(), readers: pool, reserve: Reserve::of(path) })
    };
    attempt.await.at("looking into the catalog", path)
}

/// Whether somebody has the catalog open, or a crash left its log. Without one the file is all there is, and SQLite need
/// not make the log and its index, which it would even for a reader. A writer that comes in this instant may be missed.
fn has_log(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    Path::new(&name).exists()
}

/// What every connection to a catalog has set.
pub(crate) fn options(path: &Path, patience: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        // In WAL mode anything less loses the last commits in a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(patience)
        .pragma("cell_size_check", "ON")
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

/// SQLite takes an empty file for a fresh database and removes the log beside it. Ours are never empty (see [`birth`]):
/// it is one that lost all, and the log may be what is left of it.
fn refuse_empty(path: &Path) -> Result<(), Fault> {
    let metadata = fs::metadata(path).map_err(|e| Fault::Disk("looking at it".into(), e))?;
    match metadata.is_file() && metadata.len() == 0 {
        true => Err(Fault::Damaged("the file is empty".into())),
        false => Ok(()),
    }
}

async fn writer(path: &Path, patience: Duration) -> Result<SqlitePool, Fault> {
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(patience)
        // The one connection is kept: while it lives, the last other process that leaves does not take the log away.
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path, patience));
    Ok(pool.await?)
}

fn readers(path: &Path, patience: Duration) -> SqlitePool {
    // Not opened read-only: after a crash, the first connection of all must be able to rebuild the log's index.
    let options = options(path, patience).pragma("query_only", "ON");
    SqlitePoolOptions::new().max_connections(READERS_MAX).acquire_timeout(patience).connect_lazy_with(options)
}

async fn prepare(writer: &SqlitePool) -> Result<(), Fault> {
    let mut connection = writer.acquire().await?;
    warn_of_old_sqlite(&mut connection).await?;
    let current = schema::is_current(&mut connection).await?;
    check_pages(&mut connection).await?;
    ensure_wal(&mut connection).await?;
    match current {
        true => Ok(()),
        false => schema::migrate(&mut connection).await,
    }
}

/// Reads every page's structure, so that damage in the middle is found before a decision rests on what is left. Takes
/// about a millisecond for each megabyte.
async fn check_pages(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(Fault::Damaged(found)),
    }
}

/// A catalog is born in WAL mode; a copy that a tool made of it may not be.
async fn ensure_wal(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(connection).await?;
    match mode.as_str() {
        "wal" => Ok(()),
        _ => Err(Fault::Busy(format!("the journal mode stays {mode}, since another process has the file open"))),
    }
}

/// The build pins SQLite, but can be made to link the system's.
async fn warn_of_old_sqlite(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(connection).await?;
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    if numbers < vec![3, 51, 3] {
        tracing::warn!(%version, "this SQLite is older than 3.51.3 and can damage a WAL that several processes write");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use volsnap_core::ports::{Store, StoreErrorKind};

    use super::*;

    #[tokio::test]
    async fn every_connection_is_durable_and_keeps_foreign_keys() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("catalog.db"), PATIENCE).await.unwrap();
        for pool in [&store.writer, &store.readers] {
            let mut connection = pool.acquire().await.unwrap();
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await.unwrap();
            let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await.unwrap();
            let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *connection).await.unwrap();
            assert_eq!((mode.as_str(), synchronous, keys), ("wal", 2, 1));
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir.path().join("catalog.db"), PATIENCE).await.unwrap();
        let write = sqlx::query("DELETE FROM events").execute(&store.readers).await;
        assert!(write.unwrap_err().to_string().contains("readonly"));
        store.close().await;
    }

    fn names(dir: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_look_makes_nothing_and_sees_what_was_written_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        assert!(open_to_look(&path).await.is_err());
        assert_eq!(names(dir.path()).len(), 0);

        let store = open(&path, PATIENCE).await.unwrap();
        store.set_setting("key", "of the log").await.unwrap();
        let look = open_to_look(&path).await.unwrap();
        assert_eq!(look.setting("key").await.unwrap().as_deref(), Some("of the log"));
        assert!(look.set_setting("key", "mine").await.is_err());
        look.close().await;
        store.close().await;

        let own = ["catalog.db", "catalog.db.reserve"];
        assert_eq!(names(dir.path()), own);
        let before = fs::read(&path).unwrap();
        let look = open_to_look(&path).await.unwrap();
        assert_eq!(look.setting("key").await.unwrap().as_deref(), Some("of the log"));
        assert_eq!(names(dir.path()), own, "while it looks");
        look.close().await;
        assert_eq!((names(dir.path()).len(), fs::read(&path).unwrap()), (2, before));
    }

    #[tokio::test]
    async fn a_lock_that_is_held_for_too_long_is_busy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        let holder = open(&path, PATIENCE).await.unwrap();
        let held = holder.writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let waiting = open(&path, Duration::from_millis(50)).await.unwrap();
        let between_processes = waiting.set_setting("key", "value").await.unwrap_err();
        assert_eq!(between_processes.kind, StoreErrorKind::Busy, "{between_processes}");
        drop(held);

        let _held = waiting.writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let within_a_process = waiting.set_setting("key", "value").await.unwrap_err();
        assert_eq!(within_a_process.kind, StoreErrorKind::Busy, "{within_a_process}");
    }
}
