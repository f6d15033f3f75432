//! Journals: one file for each workload, replaced as a whole; and the lock.

use std::path::{Path, PathBuf};

use volsnap_core::{
    model::{RestoreId, WorkloadId},
    ports::{FsError, FsErrorKind, FsOp},
    restore::{Body as JournalBody, Journal},
};

use crate::{
    disk::{BLOCK, Body, ChangeKind, Content, File, Name},
    micro::{Interrupt, MicroKind},
    mutant::Mutant,
    places::{At, FsResult, Halt},
    world::World,
};

const OP: FsOp = FsOp::Journal;

impl World {
    /// The directory of all journals.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.state_dir.join("journal")
    }

    /// The workloads that have a journal, by file name, as processes see it.
    #[must_use]
    pub fn journal_names(&self) -> Vec<WorkloadId> {
        let names = self.names(&self.journal_dir());
        names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect()
    }

    pub(crate) fn journals(&mut self) -> FsResult<Vec<WorkloadId>> {
        let dir = self.journal_dir();
        self.call("journals", String::new).at(OP, &dir)?;
        if self.mutant == Some(Mutant::JournalsByCatalog) && self.catalog.broken.is_some() {
            return Ok(Vec::new());
        }
        Ok(self.journal_names())
    }

    pub(crate) fn read_journal(&mut self, workload: WorkloadId) -> FsResult<Option<Vec<u8>>> {
        let (dir, path) = self.journal_path(workload);
        self.call("read_journal", || path.display().to_string()).at(OP, &path)?;
        let spot = self.walk(&path, false).at(OP, &path)?;
        // The last process may have died before its syncs; what is returned here must be what a power cut leaves.
        let lies = self.mutant == Some(Mutant::JournalReadUnsynced);
        if !lies {
            self.sync_dir(spot.disk, spot.dir, &dir).at(OP, &path)?;
        }
        let Some(ino) = spot.node else { return Ok(None) };
        if !lies {
            self.sync_file(spot.disk, ino, &spot.name).at(OP, &path)?;
        }
        match self.file(&path).at(OP, &path)? {
            Content::Bytes(bytes) => match self.mutant {
                Some(Mutant::ChecksumIgnored) => Ok(Some(made_to_fit(bytes).unwrap_or_else(|| bytes.to_vec()))),
                Some(Mutant::UnreadableJournalSkipped) if Journal::decode(bytes).is_err() => Ok(None),
                _ => Ok(Some(bytes.to_vec())),
            },
            Content::Archive(_) => Err(FsError::new(FsErrorKind::Corrupt, OP, path, "not a journal").into()),
        }
    }

    /// Write beside, sync, rename, sync the directory: a crash before the rename leaves the old one and a passing
    /// file, which the next replacement overwrites; a crash after it the old or the new one; at the end the new one.
    pub(crate) fn write_journal(&mut self, workload: WorkloadId, bytes: &[u8]) -> FsResult<()> {
        let (dir_path, path) = self.journal_path(workload);
        self.call("write_journal", || path.display().to_string()).at(OP, &path)?;
        let (disk, dir) = self.directory(&dir_path).at(OP, &dir_path)?;
        self.writable(disk).at(OP, &path)?;
        let length = bytes.len() as u64;
        let reserve = self.reserves.remove(&workload).unwrap_or(0);
        if length > reserve {
            let enough = self.room(disk, length.saturating_sub(reserve), 2).at(OP, &path);
            if enough.is_err() && reserve > 0 {
                self.reserves.insert(workload, reserve);
            }
            enough?;
        }
        if self.mutant != Some(Mutant::JournalSpaceNotReserved) {
            self.reserves.insert(workload, (length + 16 * 1024).div_ceil(BLOCK) * BLOCK);
        }
        let data = Content::Bytes(bytes.into());
        let name = format!("{workload}.json");
        if self.mutant == Some(Mutant::JournalInPlace) {
            return self.overwrite(disk, dir, &name, data, &path);
        }
        let lies = self.lies_about(disk, dir, &name, bytes);
        let passing = format!("{name}.new");
        let label = || dir_path.display().to_string();
        let old = self.disk(disk).lookup(dir, &passing);
        if old.is_some() {
            self.unlink(disk, dir, &passing, &label).at(OP, &path)?;
        }
        let ino = self.make_file_unchecked(disk, dir, &passing, data, &label).at(OP, &path)?;
        if !lies && self.mutant != Some(Mutant::JournalDataNotSynced) {
            self.sync_file(disk, ino, &passing).at(OP, &path)?;
        }
        let edits = vec![(dir, Name::from(&*passing), None), (dir, Name::from(&*name), Some(ino))];
        let what = || format!("rename {passing} -> {name}");
        self.micro(MicroKind::Change, what, |w| w.disk_mut(disk).change(ChangeKind::Move, edits)).at(OP, &path)?;
        if !lies && self.mutant != Some(Mutant::JournalNameNotSynced) {
            self.sync_dir(disk, dir, &dir_path).at(OP, &path)?;
        }
        Ok(())
    }

    pub(crate) fn remove_journal(&mut self, workload: WorkloadId) -> FsResult<()> {
        let (dir_path, path) = self.journal_path(workload);
        self.call("remove_journal", || path.display().to_string()).at(OP, &path)?;
        let spot = self.walk(&path, false).at(OP, &path)?;
        self.writable(spot.disk).at(OP, &path)?;
        for name in [format!("{}.new", spot.name), spot.name.to_string()] {
            if self.disk(spot.disk).lookup(spot.dir, &name).is_some() {
                self.unlink(spot.disk, spot.dir, &name, &|| path.display().to_string()).at(OP, &path)?;
            }
        }
        self.reserves.remove(&workload);
        if self.mutant == Some(Mutant::JournalRemovalNotSynced) {
            return Ok(());
        }
        self.sync_dir(spot.disk, spot.dir, &dir_path).at(OP, &path)
    }

    /// One rename over the record of an earlier restore.
    pub(crate) fn retire_journal(&mut self, workload: WorkloadId) -> FsResult<()> {
        let (dir_path, path) = self.journal_path(workload);
        self.call("retire_journal", || path.display().to_string()).at(OP, &path)?;
        if self.mutant == Some(Mutant::RecordNotKept) {
            return self.remove_journal(workload);
        }
        let spot = self.walk(&path, false).at(OP, &path)?;
        self.writable(spot.disk).at(OP, &path)?;
        if let Some(ino) = spot.node {
            let retired = retired(workload);
            let edits = vec![(spot.dir, spot.name.clone(), None), (spot.dir, Name::from(&*retired), Some(ino))];
            let what = || format!("rename {} -> {retired}", spot.name);
            let change = |w: &mut World| {
                w.forget_times(spot.disk, ino);
                w.disk_mut(spot.disk).change(ChangeKind::Move, edits);
            };
            self.micro(MicroKind::Change, what, change).at(OP, &path)?;
        }
        self.reserves.remove(&workload);
        if self.mutant == Some(Mutant::JournalRemovalNotSynced) {
            return Ok(());
        }
        self.sync_dir(spot.disk, spot.dir, &dir_path).at(OP, &path)
    }

    /// Written beside, synced, renamed over the record of an earlier restore; the journal stays.
    pub(crate) fn record_restore(&mut self, workload: WorkloadId, bytes: &[u8]) -> FsResult<()> {
        let dir_path = self.journal_dir();
        let name = retired(workload);
        let path = dir_path.join(&name);
        self.call("record_restore", || path.display().to_string()).at(OP, &path)?;
        if self.mutant == Some(Mutant::RecordNotKept) {
            return Ok(());
        }
        let (disk, dir) = self.directory(&dir_path).at(OP, &dir_path)?;
        self.writable(disk).at(OP, &path)?;
        self.room(disk, bytes.len() as u64, 1).at(OP, &path)?;
        let passing = format!("{name}.new");
        let label = || dir_path.display().to_string();
        if self.disk(disk).lookup(dir, &passing).is_some() {
            self.unlink(disk, dir, &passing, &label).at(OP, &path)?;
        }
        let data = Content::Bytes(bytes.into());
        let ino = self.make_file_unchecked(disk, dir, &passing, data, &label).at(OP, &path)?;
        self.sync_file(disk, ino, &passing).at(OP, &path)?;
        let edits = vec![(dir, Name::from(&*passing), None), (dir, Name::from(&*name), Some(ino))];
        let what = || format!("rename {passing} -> {name}");
        let change = |w: &mut World| {
            w.forget_times(disk, ino);
            w.disk_mut(disk).change(ChangeKind::Move, edits);
        };
        self.micro(MicroKind::Change, what, change).at(OP, &path)?;
        self.sync_dir(disk, dir, &dir_path).at(OP, &path)
    }

    /// Takes the times of its entries out of a journal that is kept as a record. Nothing depends on them, and worlds that
    /// differ in nothing else count as one, as they do where a journal goes when it is closed.
    fn forget_times(&mut self, disk: usize, ino: u64) {
        let Some(inode) = self.disk_mut(disk).inode_mut(ino) else { return };
        let Body::File(file) = &mut inode.body else { return };
        let Content::Bytes(bytes) = &file.data else { return };
        let Ok(Journal { body: JournalBody::Restore(mut records) }) = Journal::decode(bytes) else { return };
        let Some(opened) = records.first().map(|record| record.at) else { return };
        records.iter_mut().for_each(|record| record.at = opened);
        if let Ok(bytes) = (Journal { body: JournalBody::Restore(records) }).encode() {
            file.data = Content::Bytes(bytes.into());
            file.stable = Some(file.data.clone());
        }
    }

    pub(crate) fn retired_journal(&mut self, workload: WorkloadId) -> FsResult<Option<Vec<u8>>> {
        let dir = self.journal_dir();
        let path = dir.join(retired(workload));
        self.call("retired_journal", || path.display().to_string()).at(OP, &path)?;
        self.read_record(&dir, path)
    }

    fn read_record(&mut self, dir: &Path, path: PathBuf) -> FsResult<Option<Vec<u8>>> {
        let spot = self.walk(&path, false).at(OP, &path)?;
        self.sync_dir(spot.disk, spot.dir, dir).at(OP, &path)?;
        if spot.node.is_none() {
            return Ok(None);
        }
        match self.file(&path).at(OP, &path)? {
            Content::Bytes(bytes) => Ok(Some(bytes.to_vec())),
            Content::Archive(_) => Err(FsError::new(FsErrorKind::Corrupt, OP, path, "not a journal").into()),
        }
    }

    pub(crate) fn forget_retired(&mut self, workload: WorkloadId) -> FsResult<()> {
        let dir = self.journal_dir();
        let path = dir.join(retired(workload));
        self.call("forget_retired", || path.display().to_string()).at(OP, &path)?;
        self.remove_record(&dir, &path)
    }

    fn remove_record(&mut self, dir: &Path, path: &Path) -> FsResult<()> {
        let spot = self.walk(path, false).at(OP, path)?;
        self.writable(spot.disk).at(OP, path)?;
        if spot.node.is_some() {
            self.unlink(spot.disk, spot.dir, &spot.name, &|| path.display().to_string()).at(OP, path)?;
        }
        self.sync_dir(spot.disk, spot.dir, dir).at(OP, path)
    }

    /// One rename.
    pub(crate) fn set_record_aside(&mut self, workload: WorkloadId, restore: RestoreId) -> FsResult<()> {
        let dir = self.journal_dir();
        let path = dir.join(retired(workload));
        self.call("set_record_aside", || path.display().to_string()).at(OP, &path)?;
        let spot = self.walk(&path, false).at(OP, &path)?;
        self.writable(spot.disk).at(OP, &path)?;
        if spot.node.is_some() {
            self.rename_journal(spot.disk, spot.dir, &spot.name, &aside(workload, restore)).at(OP, &path)?;
        }
        self.sync_dir(spot.disk, spot.dir, &dir).at(OP, &path)
    }

    pub(crate) fn records(&mut self) -> FsResult<Vec<(WorkloadId, Option<RestoreId>)>> {
        let path = self.journal_dir();
        self.call("records", String::new).at(OP, &path)?;
        let (disk, dir) = self.directory(&path).at(OP, &path)?;
        self.sync_dir(disk, dir, &path).at(OP, &path)?;
        let record = |name: &String| match name.strip_suffix(".last") {
            Some(workload) => Some((workload.parse().ok()?, None)),
            None => {
                let (workload, restore) = name.strip_suffix(".kept")?.split_once('.')?;
                Some((workload.parse().ok()?, Some(restore.parse().ok()?)))
            }
        };
        let mut records: Vec<_> = self.names(&path).iter().filter_map(record).collect();
        records.sort();
        Ok(records)
    }

    pub(crate) fn record_aside(&mut self, workload: WorkloadId, restore: RestoreId) -> FsResult<Option<Vec<u8>>> {
        let dir = self.journal_dir();
        let path = dir.join(aside(workload, restore));
        self.call("record_aside", || path.display().to_string()).at(OP, &path)?;
        self.read_record(&dir, path)
    }

    pub(crate) fn forget_record_aside(&mut self, workload: WorkloadId, restore: RestoreId) -> FsResult<()> {
        let dir = self.journal_dir();
        let path = dir.join(aside(workload, restore));
        self.call("forget_record_aside", || path.display().to_string()).at(OP, &path)?;
        self.remove_record(&dir, &path)
    }

    fn rename_journal(&mut self, disk: usize, dir: u64, from: &str, to: &str) -> Result<(), Interrupt> {
        let ino = self.disk(disk).lookup(dir, from);
        let edits = vec![(dir, Name::from(from), None), (dir, Name::from(to), ino)];
        let what = || format!("rename {from} -> {to}");
        self.micro(MicroKind::Change, what, |w| w.disk_mut(disk).change(ChangeKind::Move, edits))
    }

    /// Takes the lock; the caller makes it a lease.
    pub(crate) fn lock(&mut self, workload: WorkloadId) -> FsResult<()> {
        let path = self.state_dir.join("locks").join(workload.to_string());
        self.call("lock", || path.display().to_string()).at(FsOp::Lock, &path)?;
        if self.locks.insert(workload) || self.mutant == Some(Mutant::LockNotExclusive) {
            Ok(())
        } else {
            Err(FsError::new(FsErrorKind::Busy, FsOp::Lock, path, "held by the simulated process").into())
        }
    }

    /// Holds live directories; the caller makes it a lease. A path stands for its directory: one directory has one path
    /// here, and who holds a name holds whatever gets it.
    pub(crate) fn claim(&mut self, dirs: &[PathBuf]) -> FsResult<u64> {
        // Marks on open directories change nothing on a disk and meet no fault of one.
        if self.dead {
            return Err(Halt::Silence);
        }
        let held = |dir: &&PathBuf| {
            self.claims.values().flatten().any(|other| dir.starts_with(other) || other.starts_with(dir))
        };
        match dirs.iter().find(held) {
            Some(dir) if !matches!(self.mutant, Some(Mutant::ClaimNotExclusive | Mutant::LockNotExclusive)) => {
                let words = "the simulated process is at work on it";
                Err(FsError::new(FsErrorKind::Busy, FsOp::Lock, dir, words).into())
            }
            Some(_) | None => {
                let id = self.claims.keys().next_back().map_or(0, |last| last + 1);
                self.claims.insert(id, dirs.to_vec());
                Ok(id)
            }
        }
    }

    pub(crate) fn journal_path(&self, workload: WorkloadId) -> (PathBuf, PathBuf) {
        let dir = self.journal_dir();
        let path = dir.join(format!("{workload}.json"));
        (dir, path)
    }

    fn overwrite(&mut self, disk: usize, dir: u64, name: &str, data: Content, path: &Path) -> FsResult<()> {
        let ino = match self.disk(disk).lookup(dir, name) {
            Some(ino) => {
                let label = || format!("truncate {name}");
                self.micro(MicroKind::Change, label, |w| w.disk_mut(disk).write(ino, Content::empty())).at(OP, path)?;
                let label = || format!("overwrite {name}");
                self.micro(MicroKind::Change, label, |w| w.disk_mut(disk).write(ino, data)).at(OP, path)?;
                ino
            }
            None => self.make_file_unchecked(disk, dir, name, data, &|| path.display().to_string()).at(OP, path)?,
        };
        self.sync_file(disk, ino, name).at(OP, path)?;
        self.sync_dir(disk, dir, path).at(OP, path)
    }

    /// Whether the mutant leaves this replacement unsynced: the first that holds its pattern.
    fn lies_about(&self, disk: usize, dir: u64, name: &str, bytes: &[u8]) -> bool {
        let Some(Mutant::JournalNotDurable { pattern }) = &self.mutant else { return false };
        let holds = |bytes: &[u8]| bytes.windows(pattern.len()).any(|window| window == pattern.as_bytes());
        let old = self.disk(disk).lookup(dir, name).and_then(|ino| self.disk(disk).inodes.get(&ino));
        let had = old.is_some_and(
            |inode| matches!(&inode.body, Body::File(File { data: Content::Bytes(bytes), .. }) if holds(bytes)),
        );
        holds(bytes) && !had
    }
}

fn aside(workload: WorkloadId, restore: RestoreId) -> String {
    format!("{workload}.{restore}.kept")
}

fn retired(workload: WorkloadId) -> String {
    format!("{workload}.last")
}

/// A journal whose checksum is that of its body, whatever it was; `None` if there is no body to be read.
fn made_to_fit(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut document: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let body: JournalBody = serde_json::from_value(document.get_mut("body")?.take()).ok()?;
    Journal { body }.encode().ok()
}
