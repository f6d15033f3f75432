//! Journals as files: replaced as a whole, with the space for the next replacement reserved beforehand.
//!
//! Names for each workload:
//!
//! | name | holds |
//! |---|---|
//! | `<workload>.json` | the journal, padded with newlines |
//! | `<workload>.json.spare` | a file of the same size that means nothing: space for the next journal |
//! | `<workload>.json.next` | a spare in the making, for a moment |
//! | `<workload>.last` | the closed journal of the last restore that replaced the data |
//! | `<workload>.last.new` | that record in the making, for a moment, where the journal itself stays open |
//! | `<workload>.<restore>.kept` | the closed journal of an earlier restore that kept its originals |
//!
//! A replacement overwrites the spare in place, syncs it and exchanges the two names: the old journal, with its blocks,
//! is the next spare. No step of it needs new space, so a disk that is full at the commit cannot refuse the commit.
//! Only the name `<workload>.json` ever counts, and it changes in one system call.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Dir, IFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, unlinkat},
    io::Errno,
};
use volsnap_core::{
    model::{RestoreId, WorkloadId},
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::{
    errno::{fs_error, io_error},
    handles::{is_file, open_dir, stat_fd, sync},
};

/// What the next replacement may have more than this one: the port's promise.
const SLACK: u64 = 16 << 10;

/// Journals grow in steps, so that the few short entries after the large ones seldom need another one.
const STEP: u64 = 64 << 10;

/// The directory of the journals, open.
pub(crate) struct Journals {
    dir: OwnedFd,
    path: PathBuf,
}

impl Journals {
    /// Opens the directory.
    pub(crate) fn open(path: &Path) -> Result<Journals, FsError> {
        Ok(Journals { dir: open_dir(FsOp::Journal, path)?, path: path.to_path_buf() })
    }

    /// The workloads that have a journal, in order.
    ///
    /// A file whose name is no id belongs to no workload, so it cannot block one, and an error here would block them
    /// all because of an editor's stray copy. It is told, and left where it is.
    pub(crate) fn list(&self) -> Result<Vec<WorkloadId>, FsError> {
        // A journal that a killed process has just renamed must not come and go with a power cut.
        sync(FsOp::Journal, &self.path, &self.dir)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(|errno| self.error("", errno))? {
            let entry = entry.map_err(|errno| self.error("", errno))?;
            let name = entry.file_name().to_string_lossy();
            let Some(stem) = name.strip_suffix(".json") else { continue };
            match stem.parse::<WorkloadId>() {
                Ok(workload) if workload.to_string() == stem => found.push(workload),
                Ok(_) | Err(_) => {
                    tracing::warn!(file = %self.path.join(&*name).display(), "not the name of a journal: ignored");
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The bytes of a journal without the padding, durable before they are returned.
    pub(crate) fn read(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.read_durable(&Names::of(workload).journal)
    }

    /// The bytes of the record of the last restore, in the same way.
    pub(crate) fn retired(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.read_durable(&Names::of(workload).retired)
    }

    fn read_durable(&self, name: &str) -> Result<Option<Vec<u8>>, FsError> {
        let Some(mut file) = self.open_file(name)? else {
            // Durably absent: a removal that a power cut could undo must not be believed.
            sync(FsOp::Journal, &self.path, &self.dir)?;
            return Ok(None);
        };
        sync(FsOp::Journal, &self.path.join(name), &file)?;
        sync(FsOp::Journal, &self.path, &self.dir)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| io_error(FsOp::Journal, self.path.join(name), &error))?;
        bytes.truncate(bytes.trim_ascii_end().len());
        Ok(Some(bytes))
    }

    /// Replaces a journal as a whole, durably.
    ///
    /// A replacement that fits the reservation is never refused for want of space. One that outgrows it, as the first
    /// one does, is refused before anything is replaced unless the space for it and for its successor is there.
    pub(crate) fn write(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let names = Names::of(workload);
        let len = bytes.len() as u64;
        self.adopt(&names)?;
        let old_size = self.open_file(&names.journal)?.map(|old| self.size(&names.journal, &old)).transpose()?;
        let next_ready = match self.reserve_both(&names, old_size, len) {
            Ok(ready) => ready,
            Err(error) => {
                self.give_back(&names, old_size.is_none());
                return Err(error);
            }
        };
        // A crash until here leaves the old journal, and files that mean nothing.
        self.fill(&names.spare, bytes)?;
        let kept = match (old_size, next_ready) {
            (Some(_), false) => self.exchange(&names)?,
            (Some(_), true) | (None, _) => {
                self.rename(&names.spare, &names.journal)?;
                false
            }
        };
        // Before this sync a power cut leaves the old journal or the new one, after it the new one.
        sync(FsOp::Journal, &self.path, &self.dir)?;
        if !kept {
            self.replace_spare(&names, len);
        }
        Ok(())
    }

    /// Removes a journal durably. Spares go last: a crash before leaves one without a journal, which the workload's
    /// next journal uses. So does one that cannot be removed, and the journal is gone all the same.
    pub(crate) fn remove(&self, workload: WorkloadId) -> Result<(), FsError> {
        let names = Names::of(workload);
        self.unlink(&names.journal)?;
        sync(FsOp::Journal, &self.path, &self.dir)?;
        self.remove_spares(&names);
        Ok(())
    }

    /// Makes the journal the record of the last restore. One rename: before its sync a power cut leaves the journal open
    /// and the earlier record, after it the new record. A full disk cannot refuse it.
    pub(crate) fn retire(&self, workload: WorkloadId) -> Result<(), FsError> {
        let names = Names::of(workload);
        self.rename_if_there(&names.journal, &names.retired)?;
        sync(FsOp::Journal, &self.path, &self.dir)?;
        self.remove_spares(&names);
        Ok(())
    }

    /// Makes these bytes the record of the last restore, beside the open journal: written beside, synced, renamed.
    pub(crate) fn record(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let retired = Names::of(workload).retired;
        let passing = format!("{retired}.new");
        // What a crash left under this name means nothing, and may be longer.
        self.unlink(&passing)?;
        self.fill(&passing, bytes)?;
        self.rename(&passing, &retired)?;
        sync(FsOp::Journal, &self.path, &self.dir)
    }

    /// Removes the record of the last restore durably.
    pub(crate) fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.unlink(&Names::of(workload).retired)?;
        sync(FsOp::Journal, &self.path, &self.dir)
    }

    /// Sets the record of the last restore aside. One rename: a crash leaves it at one of the two names.
    pub(crate) fn set_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        let aside = record_aside(workload, restore);
        self.rename_if_there(&Names::of(workload).retired, &aside)?;
        sync(FsOp::Journal, &self.path, &self.dir)
    }

    /// The bytes of a record that was set aside, durable.
    pub(crate) fn aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.read_durable(&record_aside(workload, restore))
    }

    /// Removes a record that was set aside, durably.
    pub(crate) fn forget_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.unlink(&record_aside(workload, restore))?;
        sync(FsOp::Journal, &self.path, &self.dir)
    }

    /// The records that there are, in order.
    pub(crate) fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        sync(FsOp::Journal, &self.path, &self.dir)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(|errno| self.error("", errno))? {
            let entry = entry.map_err(|errno| self.error("", errno))?;
            found.extend(record_of(&entry.file_name().to_string_lossy()));
        }
        found.sort();
        Ok(found)
    }

    fn remove_spares(&self, names: &Names) {
        for spare in [&names.spare, &names.next] {
            if let Err(error) = self.unlink(spare) {
                tracing::warn!(%error, "space that was reserved for a journal entry is not given back");
            }
        }
    }

    /// Takes over what a crash left between the replacement and the renaming of the next spare.
    fn adopt(&self, names: &Names) -> Result<(), FsError> {
        if self.open_file(&names.spare)?.is_some() {
            return Ok(());
        }
        match renameat(&self.dir, &names.next, &self.dir, &names.spare) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error(&names.next, errno)),
        }
    }

    /// Reserves space for this replacement and the one after it. Says whether the latter has a file of its own, being
    /// the first or larger than the old journal, which else becomes the next spare.
    fn reserve_both(&self, names: &Names, old_size: Option<u64>, len: u64) -> Result<bool, FsError> {
        let mut spare = self.create_file(&names.spare)?;
        let fits = self.size(&names.spare, &spare)? >= len;
        let tolerate = |reserved: Result<(), FsError>| match reserved {
            Ok(()) => Ok(true),
            Err(error) if fits && error.kind == FsErrorKind::NoSpace => {
                tracing::warn!(%error, "no space left to reserve for the next journal entry");
                Ok(false)
            }
            Err(error) => Err(error),
        };
        tolerate(self.reserve(&names.spare, &mut spare, len))?;
        if old_size.is_some_and(|size| size >= len + SLACK) {
            return Ok(false);
        }
        let mut next = self.create_file(&names.next)?;
        let ready = tolerate(self.reserve(&names.next, &mut next, len))?;
        if !ready {
            self.unlink(&names.next)?;
        }
        Ok(ready)
    }

    /// Sees to it that a file has the room for a journal of `len` bytes and its slack: written and synced blocks, since
    /// a hole or an unwritten extent may need space when it is filled.
    fn reserve(&self, name: &str, file: &mut File, len: u64) -> Result<(), FsError> {
        let size = self.size(name, file)?;
        if size >= len + SLACK {
            return Ok(());
        }
        file.seek(SeekFrom::End(0))
            .and_then(|_| pad(file, room(len) - size))
            .map_err(|error| io_error(FsOp::Journal, self.path.join(name), &error))?;
        sync(FsOp::Journal, &self.path.join(name), file)
    }

    /// Removes what a refused replacement had reserved. What cannot be removed is used by the next one.
    fn give_back(&self, names: &Names, first: bool) {
        let removed = self.unlink(&names.next).and_then(|()| match first {
            true => self.unlink(&names.spare),
            false => Ok(()),
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "space that was reserved for a journal entry is not given back");
        }
    }

    /// Overwrites a spare in place, to its end, and makes it durable.
    fn fill(&self, name: &str, bytes: &[u8]) -> Result<(), FsError> {
        let mut file = self.create_file(name)?;
        let rest = self.size(name, &file)?.saturating_sub(bytes.len() as u64);
        file.write_all(bytes)
            .and_then(|()| pad(&mut file, rest))
            .map_err(|error| io_error(FsOp::Journal, self.path.join(name), &error))?;
        sync(FsOp::Journal, &self.path.join(name), file)
    }

    /// Exchanges spare and journal and says whether the old one is kept as a spare: where the filesystem has no
    /// exchange, the old one is replaced and its blocks are lost.
    fn exchange(&self, names: &Names) -> Result<bool, FsError> {
        match renameat_with(&self.dir, &names.spare, &self.dir, &names.journal, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS) => self.rename(&names.spare, &names.journal).map(|()| false),
            Err(errno) => Err(self.error(&names.journal, errno)),
        }
    }

    /// Puts the next spare in its place, or makes one where there is none. The replacement is done and durable, so a
    /// failure here must not tell otherwise; the next replacement makes what is missing.
    fn replace_spare(&self, names: &Names, len: u64) {
        let ready = || {
            let mut next = self.create_file(&names.next)?;
            self.reserve(&names.next, &mut next, len)?;
            self.rename(&names.next, &names.spare)?;
            sync(FsOp::Journal, &self.path, &self.dir)
        };
        if let Err(error) = ready() {
            tracing::warn!(%error, "no space is reserved for the next journal entry");
        }
    }

    /// Absent is success. Nobody looks at these names again in this process, so a kernel that says that it has renamed one
    /// and has not is noticed here.
    fn rename_if_there(&self, from: &str, to: &str) -> Result<(), FsError> {
        match renameat(&self.dir, from, &self.dir, to) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.error(to, errno)),
        }
        match self.open_file(from)? {
            None => Ok(()),
            Some(_) => {
                let words = "it is still there, although the kernel says that it was renamed";
                Err(FsError::new(FsErrorKind::Io, FsOp::Journal, self.path.join(from), words))
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        renameat(&self.dir, from, &self.dir, to).map_err(|errno| self.error(to, errno))
    }

    fn unlink(&self, name: &str) -> Result<(), FsError> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error(name, errno)),
        }
    }

    /// Opens a file of ours for reading; `None` if there is none. A link or anything else that is no regular file in
    /// its place is an error, never followed and never waited for.
    fn open_file(&self, name: &str) -> Result<Option<File>, FsError> {
        match openat(&self.dir, name, OFlags::RDONLY | GUARDED, Mode::empty()) {
            Ok(fd) => self.regular(name, fd).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error(name, errno)),
        }
    }

    fn create_file(&self, name: &str) -> Result<File, FsError> {
        let made = openat(&self.dir, name, OFlags::RDWR | OFlags::CREATE | GUARDED, Mode::from_raw_mode(0o600));
        let file = self.regular(name, made.map_err(|errno| self.error(name, errno))?)?;
        if self.size(name, &file)? == 0 {
            overwrite_in_place(&file);
        }
        Ok(file)
    }

    fn regular(&self, name: &str, fd: OwnedFd) -> Result<File, FsError> {
        let found = stat_fd(&fd).map_err(|errno| self.error(name, errno))?;
        match is_file(&found) {
            true => Ok(File::from(fd)),
            false => Err(FsError::new(FsErrorKind::Corrupt, FsOp::Journal, self.path.join(name), "not a regular file")),
        }
    }

    fn size(&self, name: &str, file: &File) -> Result<u64, FsError> {
        Ok(stat_fd(file).map_err(|errno| self.error(name, errno))?.stx_size)
    }

    fn error(&self, name: impl AsRef<OsStr>, errno: Errno) -> FsError {
        let path = if name.as_ref().is_empty() { self.path.clone() } else { self.path.join(name.as_ref()) };
        fs_error(FsOp::Journal, path, errno)
    }
}

/// No link, no waiting for the other end of a FIFO, nothing inherited.
const GUARDED: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// btrfs writes changed blocks to a new place, for which a full disk has no room, unless the file is marked while it
/// is empty. Other filesystems overwrite in place, and most do not know the mark.
fn overwrite_in_place(file: &File) {
    let mark = rustix::fs::ioctl_getflags(file).and_then(|flags| match flags.contains(IFlags::NOCOW) {
        true => Ok(()),
        false => rustix::fs::ioctl_setflags(file, flags | IFlags::NOCOW),
    });
    if let Err(error) = mark {
        tracing::trace!(%error, "the journal's blocks are not marked to be overwritten in place");
    }
}

/// Size of a file that holds a journal of `len` bytes and leaves room for the next ones.
fn room(len: u64) -> u64 {
    (len + STEP).next_multiple_of(STEP)
}

/// Writes newlines, which end a JSON document without being part of it.
fn pad(file: &mut File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(b'\n').take(bytes), file).map(|_| ())
}

/// The name of a workload's journal.
pub(crate) fn name(workload: WorkloadId) -> String {
    format!("{workload}.json")
}

fn record_aside(workload: WorkloadId, restore: RestoreId) -> String {
    format!("{workload}.{restore}.kept")
}

/// Whose record a file is, by its name.
fn record_of(name: &str) -> Option<(WorkloadId, Option<RestoreId>)> {
    let of = |workload: &str| workload.parse().ok();
    let record = match (name.strip_suffix(".last"), name.strip_suffix(".kept").and_then(|stem| stem.split_once('.'))) {
        (Some(workload), _) => (of(workload)?, None),
        (None, Some((workload, restore))) => (of(workload)?, Some(restore.parse().ok()?)),
        (None, None) => return None,
    };
    let named = match record {
        (workload, None) => Names::of(workload).retired,
        (workload, Some(restore)) => record_aside(workload, restore),
    };
    (named == name).then_some(record)
}

/// What [`Disk::peek_records`](crate::Disk::peek_records) gives.
pub(crate) fn peek_records(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_record = |entry: &std::fs::DirEntry| entry.file_name().to_str().and_then(record_of).is_some();
    let records = entries.flatten().filter(is_record).filter_map(|entry| std::fs::read(entry.path()).ok());
    records.map(|bytes| bytes.trim_ascii_end().to_vec()).collect()
}

struct Names {
    journal: String,
    spare: String,
    next: String,
    retired: String,
}

impl Names {
    fn of(workload: WorkloadId) -> Names {
        let journal = name(workload);
        Names {
            spare: format!("{journal}.spare"),
            next: format!("{journal}.next"),
            retired: format!("{workload}.last"),
            journal,
        }
    }
}
