//! The Store port: each call is one statement on a reader or one immediate transaction on the writer.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sqlx::{Sqlite, SqlitePool, Transaction};
use volsnap_core::{
    model::{Hook, KnownVolume, Mark, Snapshot, SnapshotId, Workload, WorkloadId},
    ports::{Event, Store, StoreError},
};

use crate::{
    aside,
    fault::{At, Fault},
    open::{self, PATIENCE},
    reserve::Reserve,
    rows::{events, settings, snapshots, workloads},
};

/// The catalog in one SQLite file.
///
/// Several processes, and several of these within a process, may have the same file open. A writer waits for
/// another one for up to ten seconds before it gives up as busy; readers wait for nobody.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pub(crate) path: PathBuf,
    /// One connection: writers of this process queue here, fairly, and only processes meet at SQLite's lock.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    pub(crate) reserve: Reserve,
}

/// Runs a transaction; while the disk is full, again with more space of the reserve.
macro_rules! write {
    ($store:ident, $doing:literal, $tx:ident => $work:expr) => {
        loop {
            let attempt = async {
                let mut $tx = $store.begin().await?;
                let done = $work;
                $tx.commit().await?;
                Ok(done)
            };
            match attempt.await {
                Err(fault) if $store.makes_room(&fault).await => {}
                ended => break ended.at($doing, &$store.path),
            }
        }
    };
}

impl SqliteStore {
    /// Opens the catalog at `path`, brings its schema up to date, and makes it (mode 0600) if nothing is there.
    ///
    /// The directory must exist. What stands at `path` is never replaced: a file that is no whole catalog is
    /// [`StoreErrorKind::Corrupt`](volsnap_core::ports::StoreErrorKind::Corrupt), one of a later schema
    /// [`StoreErrorKind::Newer`](volsnap_core::ports::StoreErrorKind::Newer).
    pub async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        open::open(path, PATIENCE).await
    }

    /// Opens the catalog at `path` for a look, and nothing else: no file is made or changed, nobody is waited for, and
    /// neither schema nor pages are checked. For suggestions, where speed counts and an error is as good as an empty
    /// catalog.
    ///
    /// # Errors
    /// If nothing is there, or it cannot be read.
    pub async fn open_to_look(path: &Path) -> Result<SqliteStore, StoreError> {
        open::open_to_look(path).await
    }

    /// Moves the catalog at `path` aside if it is damaged, together with its logs, to a name that says so, and gives that
    /// name; nothing is deleted. `None` if there is no catalog, or a sound one. Whoever has the damaged one open goes on
    /// with it under its new name, so nobody else should be at work.
    pub async fn set_aside(path: &Path) -> Result<Option<PathBuf>, StoreError> {
        aside::set_aside(path).await
    }

    /// Closes every connection and folds the write-ahead log into the file.
    ///
    /// Nothing is lost without it: it only leaves one file instead of three. Later calls fail.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a write. Immediate: a transaction that reads before it asks for the lock would be refused without a
    /// wait where another process wrote in between.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Fault> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Whether what failed is worth another try: the disk was full and has a little more space now.
    async fn makes_room(&self, fault: &Fault) -> bool {
        if !fault.is_full(&self.path) {
            return false;
        }
        // SQLite has ended the transaction by itself, which sqlx does not know: the connection would begin no other one.
        if let Ok(connection) = self.writer.acquire().await {
            connection.close().await.ok();
        }
        self.reserve.give()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn workloads(&self) -> Result<Vec<Workload>, StoreError> {
        workloads::all(&self.readers).await.at("listing workloads", &self.path)
    }

    async fn add_workload(&self, workload: &Workload) -> Result<(), StoreError> {
        write!(self, "registering a workload", tx => workloads::add(&mut tx, workload).await?)
    }

    async fn set_registration(&self, workload: &Workload) -> Result<(), StoreError> {
        write!(self, "changing a workload", tx => workloads::set_registration(&mut tx, workload).await?)
    }

    async fn set_hooks(&self, id: WorkloadId, hooks: &[Hook]) -> Result<(), StoreError> {
        write!(self, "changing hooks", tx => workloads::set_hooks(&mut tx, id, hooks).await?)
    }

    async fn set_known(&self, id: WorkloadId, known: &[KnownVolume]) -> Result<(), StoreError> {
        write!(self, "remembering names of volumes", tx => workloads::set_known(&mut tx, id, known).await?)
    }

    async fn remove_workload(&self, id: WorkloadId) -> Result<(), StoreError> {
        write!(self, "removing a workload", tx => {
            snapshots::remove_all_of(&mut tx, id).await?;
            workloads::remove(&mut tx, id).await?;
        })
    }

    async fn sequence(&self) -> Result<u64, StoreError> {
        snapshots::sequence(&self.readers).await.at("reading the sequence", &self.path)
    }

    async fn advance(&self, above: u64) -> Result<u64, StoreError> {
        write!(self, "giving out a sequence", tx => snapshots::advance(&mut tx, above).await?)
    }

    async fn snapshots(&self, workload: Option<WorkloadId>) -> Result<Vec<Snapshot>, StoreError> {
        snapshots::newest_first(&self.readers, workload).await.at("listing snapshots", &self.path)
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        write!(self, "recording a snapshot", tx => snapshots::put(&mut tx, snapshot).await?)
    }

    async fn mark_snapshot(&self, id: SnapshotId, mark: &Mark) -> Result<bool, StoreError> {
        write!(self, "marking a snapshot", tx => snapshots::mark(&mut tx, id, mark).await?)
    }

    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), StoreError> {
        write!(self, "removing a snapshot", tx => snapshots::remove(&mut tx, id).await?)
    }

    async fn record(&self, event: &Event) -> Result<(), StoreError> {
        write!(self, "recording an event", tx => events::add(&mut tx, event).await?)
    }

    async fn events(&self, workload: Option<WorkloadId>, count_max: u32) -> Result<Vec<Event>, StoreError> {
        events::newest_first(&self.readers, workload, count_max).await.at("listing events", &self.path)
    }

    async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        settings::get(&self.readers, key).await.at("reading a setting", &self.path)
    }

    async fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        write!(self, "writing a setting", tx => settings::set(&mut tx, key, value).await?)
    }
}
