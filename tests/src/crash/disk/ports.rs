//! The ports for disks over the real adapter: notes when calls begin and end, and lies where a mutant asks for it.

mod archives;
mod filesystem;
mod journals;

use std::{
    fs,
    io::Write,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use volsnap_core::{
    model::{Sight, WorkloadId, place::staged_in},
    ports::{Archives, Filesystem, FsError, FsErrorKind, FsOp, Journals, StageJob, Staged, Watch},
    restore::{Body, Journal},
};
use volsnap_disk::Disk;

use super::server::Shared;

/// A barrier that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// B1: a staged tree is named and never synced.
    StagedNotSynced,
    /// A replacement of the journal does not sync the file.
    JournalNotSynced,
    /// A replacement of the journal does not sync the directory.
    JournalDirectoryNotSynced,
    /// B2, B4: the replacement that adds this entry syncs neither.
    EntryNotDurable(&'static str),
    /// B3: nothing is settled any more once something was switched.
    SwitchesNotSettled,
    /// B3, for entries that change places.
    ShiftsNotSettled,
    /// B5: the safety archive is named and not synced.
    ArchiveNotSynced,
    /// B7: nothing is settled any more once something was deleted.
    DeletionsNotSettled,
    /// B9: the journal's removal is not synced.
    RemovalNotSynced,
}

/// Where in the log a call began or ended.
#[derive(Clone, Debug)]
pub struct Mark {
    /// So many events came before.
    pub position: usize,
    /// What happened there.
    pub what: String,
}

/// Marks, in order.
#[derive(Clone, Debug)]
pub struct Marks {
    disks: Shared,
    marks: Arc<Mutex<Vec<Mark>>>,
}

impl Marks {
    /// None yet, over the log of these disks.
    #[must_use]
    pub fn new(disks: &Shared) -> Self {
        Marks { disks: disks.clone(), marks: Arc::default() }
    }

    /// Notes that something happens now.
    ///
    /// # Panics
    /// If another thread panicked meanwhile.
    pub fn set(&self, what: impl Into<String>) {
        let position = self.disks.lock().position();
        self.marks.lock().expect("nobody panics").push(Mark { position, what: what.into() });
    }

    /// All of them.
    ///
    /// # Panics
    /// If another thread panicked meanwhile.
    #[must_use]
    pub fn take(&self) -> Vec<Mark> {
        std::mem::take(&mut self.marks.lock().expect("nobody panics"))
    }
}

/// The real disks, watched.
#[derive(Clone)]
pub struct Watched {
    filesystem: Arc<dyn Filesystem>,
    archives: Arc<dyn Archives>,
    journals: Arc<dyn Journals>,
    marks: Marks,
    lie: Option<Lie>,
    switched: Arc<AtomicBool>,
    deleted: Arc<AtomicBool>,
}

impl Watched {
    /// Notes every change that goes to `disk`, and tells that lie if there is one.
    #[must_use]
    pub fn new(disk: Disk, marks: &Marks, lie: Option<Lie>) -> Self {
        let (switched, deleted) = Default::default();
        let disk = Arc::new(disk);
        let (filesystem, archives, journals) = (disk.clone(), disk.clone(), disk);
        Watched { filesystem, archives, journals, marks: marks.clone(), lie, switched, deleted }
    }

    async fn noted<T>(&self, what: &str, call: impl Future<Output = T>) -> T {
        self.marks.set(format!("{what} begins"));
        let result = call.await;
        self.marks.set(format!("{what} ends"));
        result
    }

    /// As the adapter replaces a journal, but for the syncs that are left out.
    fn replace_journal(&self, workload: WorkloadId, bytes: &[u8], file: bool, dir: bool) -> std::io::Result<()> {
        let journal = self.journals.journal_path(workload);
        let spare = journal.with_extension("json.spare");
        let mut opened = fs::File::options().write(true).open(&spare)?;
        let size = opened.metadata()?.len() as usize;
        opened.write_all(bytes)?;
        opened.write_all(&vec![b'\n'; size.saturating_sub(bytes.len())])?;
        if file {
            opened.sync_all()?;
        }
        renameat_with(CWD, &spare, CWD, &journal, RenameFlags::EXCHANGE)?;
        match (dir, journal.parent()) {
            (true, Some(parent)) => fs::File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Extracts elsewhere, durably, and puts an unsynced copy in place.
    async fn stage_unsynced(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError> {
        let elsewhere = tempfile::tempdir().map_err(|e| broken(&e))?;
        let name = job.private.file_name().unwrap_or_default();
        let honest = StageJob { private: elsewhere.path().join(name), ..job.clone() };
        let staged = self.filesystem.stage(&honest, watch).await?;
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a", "--"]).arg(&honest.private).arg(&job.private);
        copy.status().map_err(|e| broken(&e))?;
        // Older than a tick of births, as the contract says.
        tokio::time::sleep(Duration::from_millis(30)).await;
        match self.filesystem.look(&staged_in(&job.private)).await? {
            Sight::Directory { identity, .. } => Ok(Staged { identity, ..staged }),
            Sight::Absent | Sight::Other => Err(broken(&std::io::Error::other("the copy is not there"))),
        }
    }
}

fn broken(error: &std::io::Error) -> FsError {
    FsError::new(FsErrorKind::Io, FsOp::Stage, "", format!("the lie does not work: {error}"))
}

/// The last entry of a journal.
fn last_entry(bytes: &[u8]) -> &'static str {
    match Journal::decode(bytes).map(|journal| journal.body) {
        Ok(Body::Restore(records)) => records.last().map_or("nothing", |record| record.entry.name()),
        Ok(Body::Snapshot(_)) => "snapshot",
        Err(_) => "nonsense",
    }
}
