//! The state directory: what lies where in it, and the files of archives as files.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, unlinkat},
    io::Errno,
};
use uuid::Uuid;
use volsnap_core::{
    model::{ArchiveFile, SnapshotId, WorkloadId},
    ports::{Draft, FsError, FsErrorKind, FsOp},
};

use crate::{
    errno::{fs_error, io_error},
    handles::{open_dir, sync, try_open_dir},
};

/// Paths in a state directory.
#[derive(Clone, Debug)]
pub(crate) struct State {
    root: PathBuf,
}

impl State {
    /// Makes what is missing, only for the owner's eyes, and makes all of it durable: a journal lives no longer than
    /// the names above it.
    pub(crate) fn open(dir: &Path) -> Result<State, FsError> {
        make_dir(dir)?;
        let root = fs::canonicalize(dir).map_err(|error| io_error(FsOp::Look, dir, &error))?;
        let state = State { root };
        for dir in [state.journals(), state.locks(), state.root.join("snapshots")] {
            make_dir(&dir)?;
        }
        Ok(state)
    }

    /// The state directory, without links.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the journals lie.
    pub(crate) fn journals(&self) -> PathBuf {
        journals_in(&self.root)
    }

    /// Where the locks lie.
    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Where a workload's archives lie.
    pub(crate) fn archives(&self, workload: WorkloadId) -> PathBuf {
        self.root.join("snapshots").join(workload.to_string())
    }

    /// Where an archive lies.
    pub(crate) fn archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.archives(workload).join(format!("{snapshot}.tar.zst"))
    }

    /// Makes the place of a workload's archives, durably.
    pub(crate) fn make_archives(&self, workload: WorkloadId) -> Result<PathBuf, FsError> {
        let dir = self.archives(workload);
        make_dir(&dir)?;
        Ok(dir)
    }

    /// Where the notes of copies lie.
    pub(crate) fn copies(&self) -> PathBuf {
        self.root.join("copies")
    }

    /// Makes the place of the notes of copies, durably.
    pub(crate) fn make_copies(&self) -> Result<PathBuf, FsError> {
        let dir = self.copies();
        make_dir(&dir)?;
        Ok(dir)
    }

    /// Makes the place of trees that are only made to be looked at, durably.
    pub(crate) fn make_scratch(&self) -> Result<PathBuf, FsError> {
        let dir = self.root.join("scratch");
        make_dir(&dir)?;
        Ok(dir)
    }

    /// The archives that have a name, ordered. Files that no archive is named like are not looked at.
    pub(crate) fn list_archives(&self) -> Result<Vec<ArchiveFile>, FsError> {
        let all = self.root.join("snapshots");
        let mut archives = Vec::new();
        for workload in names_in(&all)?.iter().filter_map(|name| uuid_of(name)).map(WorkloadId) {
            let named = names_in(&self.archives(workload))?;
            for snapshot in named.iter().filter_map(|name| uuid_of(name.strip_suffix(".tar.zst")?)).map(SnapshotId) {
                let path = self.archive(workload, snapshot);
                // Links are not followed: no archive is read through one.
                match fs::symlink_metadata(&path) {
                    Ok(file) => {
                        let bytes = file.is_file().then_some(file.len());
                        archives.push(ArchiveFile { workload, snapshot, bytes });
                    }
                    // Removed in this moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(io_error(FsOp::Look, path, &error)),
                }
            }
        }
        archives.sort();
        Ok(archives)
    }

    /// Removes an archive durably; absent is success.
    pub(crate) fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError> {
        let dir = self.archives(workload);
        let fail = |errno| fs_error(FsOp::Remove, self.archive(workload, snapshot), errno);
        let fd = match try_open_dir(&dir) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(fs_error(FsOp::Remove, dir, errno)),
        };
        match unlinkat(&fd, format!("{snapshot}.tar.zst"), AtFlags::empty()) {
            // Absent: perhaps since a moment ago, by a process that was killed before it could sync.
            Ok(()) | Err(Errno::NOENT) => sync(FsOp::Remove, &dir, fd)?,
            Err(errno) => return Err(fail(errno)),
        }
        // After the last archive nothing is in it; a directory that stays is made no use of, and is no harm.
        let _ = fs::remove_dir(&dir);
        Ok(())
    }

    /// The unfinished archives of all workloads, ordered.
    pub(crate) fn list_drafts(&self) -> Result<Vec<Draft>, FsError> {
        let mut drafts = Vec::new();
        for workload in names_in(&self.root.join("snapshots"))?.iter().filter_map(|name| uuid_of(name)).map(WorkloadId)
        {
            let dir = self.archives(workload);
            for path in names_in(&dir)?.iter().filter(|name| is_draft(name)).map(|name| dir.join(name)) {
                match fs::symlink_metadata(&path) {
                    Ok(metadata) => drafts.push(Draft { workload, path, bytes: metadata.len() }),
                    // It was finished or removed in this moment.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(io_error(FsOp::Look, path, &error)),
                }
            }
        }
        drafts.sort();
        Ok(drafts)
    }

    /// Removes a workload's unfinished archives. One that a power cut brings back is removed the next time.
    pub(crate) fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError> {
        let dir = self.archives(workload);
        let names = match fs::read_dir(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io_error(FsOp::Remove, dir, &error)),
        };
        let fd = open_dir(FsOp::Remove, &dir)?;
        for name in names {
            let name = name.map_err(|error| io_error(FsOp::Remove, &dir, &error))?.file_name();
            if name.to_str().is_some_and(is_draft) {
                match unlinkat(&fd, &name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(fs_error(FsOp::Remove, dir.join(name), errno)),
                }
            }
        }
        Ok(())
    }
}

/// Where journals and records lie in a state directory.
pub(crate) fn journals_in(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

/// `.<uuid>.partial`, exactly as drafts are named: nothing else is removed.
fn is_draft(name: &str) -> bool {
    let id = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
    id.is_some_and(|id| uuid_of(id).is_some())
}

/// An id as it is written in names, and in no other way.
fn uuid_of(name: &str) -> Option<Uuid> {
    Uuid::parse_str(name).ok().filter(|uuid| uuid.hyphenated().to_string() == name)
}

/// The names in a directory that are UTF-8, as all of ours are; none if it is not there or is no directory.
fn names_in(dir: &Path) -> Result<Vec<String>, FsError> {
    let names = match fs::read_dir(dir) {
        Ok(names) => names,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(io_error(FsOp::Look, dir, &error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok());
    let names: io::Result<Vec<Option<String>>> = names.map(name).collect();
    Ok(names.map_err(|error| io_error(FsOp::Look, dir, &error))?.into_iter().flatten().collect())
}

/// Makes a directory with what is missing above it, mode 0700, and makes its name durable, also if it stood already:
/// whoever made it may have been killed before the sync.
fn make_dir(dir: &Path) -> Result<(), FsError> {
    let fail = |error: &io::Error| io_error(FsOp::Look, dir, error);
    if !dir.is_absolute() {
        return Err(FsError::new(FsErrorKind::Unsupported, FsOp::Look, dir, "not an absolute path"));
    }
    let made = match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::metadata(dir).map_err(|error| fail(&error))?.is_dir() {
                return Err(FsError::new(FsErrorKind::Exists, FsOp::Look, dir, "exists and is not a directory"));
            }
            false
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = dir.parent() else { return Err(fail(&error)) };
            make_dir(parent)?;
            DirBuilder::new().mode(0o700).create(dir).map_err(|error| fail(&error))?;
            true
        }
        Err(error) => return Err(fail(&error)),
    };
    sync_name(dir, made)
}

fn sync_name(dir: &Path, made: bool) -> Result<(), FsError> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    // The parent may be a link that the administrator made; only the state directory's own names are ours.
    let real = fs::canonicalize(parent).map_err(|error| io_error(FsOp::Settle, parent, &error))?;
    match try_open_dir(&real) {
        Ok(fd) => sync(FsOp::Settle, parent, fd),
        // A directory prepared by root in a place that this user may pass through but not read.
        Err(Errno::ACCESS) if !made => Ok(()),
        Err(errno) => Err(fs_error(FsOp::Settle, parent, errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_state_directory_is_made_for_its_owner_only_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        State::open(&root).unwrap();
        let state = State::open(&root).unwrap();
        for dir in [state.root().to_path_buf(), state.journals(), state.locks(), root.join("snapshots")] {
            assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
        }
    }

    #[test]
    fn the_place_of_archives_goes_with_the_last_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        let (workload, ids) = (WorkloadId(Uuid::nil()), [1, 2].map(|n| SnapshotId(Uuid::from_u128(n))));
        let place = state.make_archives(workload).unwrap();
        for id in ids {
            fs::write(state.archive(workload, id), "").unwrap();
        }
        for (id, stays) in ids.into_iter().zip([true, false]) {
            state.remove_archive(workload, id).unwrap();
            state.remove_archive(workload, id).unwrap();
            assert_eq!(place.exists(), stays);
        }
    }

    #[test]
    fn a_linked_state_directory_is_known_by_its_real_path() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(base.join("real")).unwrap();
        symlink("real", base.join("link")).unwrap();
        assert_eq!(State::open(&base.join("link")).unwrap().root(), base.join("real"));
    }

    #[test]
    fn a_file_in_place_of_the_state_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state"), "").unwrap();
        assert_eq!(State::open(&dir.path().join("state")).unwrap_err().kind, FsErrorKind::Exists);
    }

    #[test]
    fn a_sweep_removes_drafts_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(&dir.path().join("state")).unwrap();
        let workload = WorkloadId(Uuid::from_u128(1));
        state.sweep_drafts(workload).unwrap();
        let archives = state.make_archives(workload).unwrap();
        let id = Uuid::from_u128(2);
        let kept = [format!("{id}.tar.zst"), ".notes.partial".into(), format!("{id}.partial"), format!(".{id}.part")];
        for name in &kept {
            fs::write(archives.join(name), "x").unwrap();
        }
        fs::write(archives.join(format!(".{id}.partial")), "x").unwrap();
        state.sweep_drafts(workload).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&archives).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(left, kept);
    }
}
