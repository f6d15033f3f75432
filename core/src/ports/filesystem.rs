//! Real disks: places and names, staging and setting aside, archives, journals and locks.

mod held;
mod inside;
mod stage;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

pub use self::held::{Claim, Lease};
pub use self::inside::{Found, LookInto, MemberSink, MembersOf, Place, Tree};
use self::inside::{cannot_look_into, cannot_move};
pub use self::stage::{Limits, StageJob, Staged, Standing};
use super::{CopyJob, CopyMade, CopyNote, Draft, ImportJob, Output, ReadBack, Watch};
use crate::{
    error::{FsError, FsErrorKind, FsOp},
    model::{
        ArchiveFile, ArchiveSummary, FilesystemInfo, Identity, Location, Manifest, Member, MemberKind, Mounted,
        RestoreId, Rights, Sight, SnapshotId, Space, TreeSize, WorkloadId, Writer,
    },
};

/// A tree to be read into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveSource {
    /// The volume's name.
    pub target: String,
    /// Its root; `None` if the manifest says that it is absent.
    pub root: Option<PathBuf>,
}

/// An archive that was read and checked to its last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it holds.
    pub summary: ArchiveSummary,
    /// Bytes of archive that were read.
    pub bytes_read: u64,
}

/// Members in the order of an archive, some at a time: a million of them take no more memory than a few. Dropping it
/// ends the reading.
#[async_trait]
pub trait Members: Send {
    /// The next ones; none at the end.
    async fn next(&mut self) -> Result<Vec<Member>, FsError>;
}

/// An archive whose volumes have been read. Dropping it removes the unfinished file.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait DraftArchive: Send {
    /// Puts together what is left to be put together, writes the index with `quiesced_ms`, makes the file durable, gives it its name and makes the name durable.
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError>;
}

/// Volumes that were copied while the app ran. Dropping it removes the unfinished file.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Precopy: Send {
    /// Captures what the volumes are now. Returns as soon as that is held fast, whatever happens to the volumes
    /// afterwards: the archive has the state of this moment and nothing of the time before. Called while the app is
    /// quiet, so it does nothing that can be done later.
    async fn capture(self: Box<Self>, watch: Watch) -> Result<Box<dyn DraftArchive>, FsError>;
}

/// The disks of a host, with volsnap's state directory among them.
///
/// Names are directories and files by absolute path. A call that fails has changed nothing, or something that is
/// found again by looking.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Filesystem: Send + Sync {
    // Looking, before anything is touched.

    /// The machine, by what stays over reboots (`/etc/machine-id`); empty if it has no such thing.
    fn host(&self) -> String;

    /// The state directory.
    fn state_dir(&self) -> PathBuf;

    /// Resolves a live path. Only the last component may be absent; a missing parent is [`FsErrorKind::NotFound`](crate::error::FsErrorKind).
    async fn locate(&self, path: &Path) -> Result<Location, FsError>;

    /// The filesystem of an existing directory, and its space.
    async fn space(&self, dir: &Path) -> Result<(FilesystemInfo, Space), FsError>;

    /// The size of a tree, without what an archive leaves out. Entries that vanish meanwhile are no error.
    async fn measure(&self, root: &Path) -> Result<TreeSize, FsError>;

    /// What is mounted in a directory, links resolved, and where it is mounted itself: a rename of the directory would
    /// take both along. A filesystem on which nothing can be mounted has no such places.
    async fn mounted(&self, dir: &Path) -> Result<Mounted, FsError> {
        let _ = dir;
        Ok(Mounted::default())
    }

    /// Processes of the host, other than this one and those in containers, that have a file below one of these
    /// directories (absolute, links resolved) open for writing: for each directory the first few, each with one file.
    /// One that ends meanwhile, or that this process may not look at, is left out. It takes some seconds at the most,
    /// and is not called while an app is down. A machine on which nobody else writes has none.
    async fn writers(&self, dirs: &[PathBuf]) -> Result<Vec<Writer>, FsError> {
        let _ = dirs;
        Ok(Vec::new())
    }

    /// What this process may make of what archives hold.
    fn rights(&self) -> Rights {
        Rights::all()
    }

    /// Makes a directory the one that it is when something has been made in it, durably, and gives its identity then: one
    /// of an overlay's lower layer becomes one of the upper layer, and is another one. Elsewhere, and if it is not the
    /// `known` one, nothing is done and `known` is given.
    async fn ready(&self, dir: &Path, known: Identity) -> Result<Identity, FsError> {
        let _ = dir;
        Ok(known)
    }

    // The survey.

    /// Makes the names in these directories durable; a directory that does not exist is skipped. Called before
    /// [`Filesystem::look`], so that what is seen is what a power cut leaves. A failure is
    /// [`FsErrorKind::SyncFailed`](crate::error::FsErrorKind).
    async fn settle(&self, dirs: &[PathBuf]) -> Result<(), FsError>;

    /// What a name holds, not following a link. Only "not found" is [`Sight::Absent`].
    async fn look(&self, path: &Path) -> Result<Sight, FsError>;

    /// Private directories that stand in a directory, of whichever restore ([`restore_of`](crate::model::place::restore_of)),
    /// by name. Absent has none.
    async fn private_dirs(&self, dir: &Path) -> Result<Vec<PathBuf>, FsError>;

    /// Where a directory is by now, at or below `within` on the same filesystem: the nearest names are looked at first, and
    /// after some thousand directories the search ends. `None` if it was not found, or if it has no birth time.
    async fn find_directory(&self, within: &Path, identity: Identity) -> Result<Option<PathBuf>, FsError> {
        let (_, _) = (within, identity);
        Ok(None)
    }

    // Staging and switching. None of the renames follows links or replaces anything; none syncs.

    /// Extracts a volume. On success `<private>/staged` is the whole tree, every byte of it checked against the
    /// archive's digests, owner, mode, times, xattrs and ACLs of the root included, and all of it, its names and the
    /// private directory's own name are durable. Before success the tree stands under another name inside `private`;
    /// what an earlier attempt left there is removed first. Older than the filesystem's birth-time tick on return.
    ///
    /// With [`StageJob::resume`] the files that an earlier attempt left are used again, by their own inodes, as far as
    /// the disk itself gives back what the archive says; only what differs is written. A power cut may have left them
    /// short, torn or zeroed, and a failed write-back may have left in memory what the disk never had. All else is made
    /// anew, nothing else of them stays, and the guarantees are the same.
    ///
    /// If `<private>/staged` stands already it is whole, and is returned as it is.
    ///
    /// A tree that stands already ([`Standing::Tree`]) is moved by one rename when all else is there and durable; a failure
    /// after that leaves it at `<private>/staged`, and never removes it.
    ///
    /// For a switch by entry ([`StageJob::entries_of`]) these stand beside it, before it gets its name:
    /// [`leaving`](crate::model::place::leaving_in), empty, and two empty directories with the attributes
    /// of the [live](crate::model::place::original_root_in) and of the [staged](crate::model::place::restored_root_in)
    /// root. The live directory's own modification time is as before.
    async fn stage(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError>;

    /// Exchanges two existing names atomically; [`FsErrorKind::Unsupported`](crate::error::FsErrorKind) if the filesystem has no exchange.
    async fn exchange(&self, a: &Path, b: &Path) -> Result<(), FsError>;

    /// Renames a directory; [`FsErrorKind::Exists`](crate::error::FsErrorKind) if `to` exists.
    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError>;

    /// Whether a directory has entries that [`Filesystem::move_entries`] moves. Absent is `false`.
    async fn has_entries(&self, dir: &Path) -> Result<bool, FsError>;

    /// Moves every entry of a directory into another one on the same filesystem, but for what archives
    /// [leave out](crate::model::place::is_left_out) and read-only subvolumes, which nothing moves to another directory.
    /// [`FsErrorKind::Exists`](crate::error::FsErrorKind) if a name is taken there. May be interrupted and called again.
    async fn move_entries(&self, from: &Path, to: &Path) -> Result<(), FsError>;

    /// Gives a directory the owner, mode, modification time, extended attributes and ACLs of another one.
    async fn copy_attributes(&self, from: &Path, to: &Path) -> Result<(), FsError>;

    /// Whether two directories have the same of what [`Filesystem::copy_attributes`] copies; `false` if one is absent.
    async fn same_attributes(&self, a: &Path, b: &Path) -> Result<bool, FsError>;

    /// Removes an empty directory, without recursion.
    async fn remove_empty(&self, dir: &Path) -> Result<(), FsError>;

    /// Removes a private directory with all that is in it. Refuses any name that [`private_dir`](crate::model::place::private_dir) does not give for
    /// this restore. May be interrupted and called again; absent is success. Does not cross into other filesystems.
    /// Read-only subvolumes in it are their owner's: they go to where they were below `live`, with the directories that are
    /// missing there; `Exists` if something else is there, `Denied` without `live`, and other things may be gone then.
    async fn discard(&self, restore: RestoreId, private: &Path, live: Option<PathBuf>) -> Result<(), FsError>;

    // Archives: `<state>/snapshots/<workload>/<snapshot>.tar.zst`.

    /// Reads the sources into an archive under a passing name. Returns when the sources have been read to the end;
    /// nothing is durable yet. Leaves out what [`is_left_out`](crate::model::place::is_left_out) names at a volume's root.
    async fn draft_archive(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Box<dyn DraftArchive>, FsError>;

    /// Copies the volumes while the app still runs, so that [`Precopy::capture`] has only to look after what changed
    /// since; then that takes the place of [`Filesystem::draft_archive`]. `None` where a change might go unnoticed, or
    /// where it is not worth it: the volumes are then read while the app is quiet.
    async fn precopy(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Option<Box<dyn Precopy>>, FsError> {
        let _ = (manifest, sources, watch);
        Ok(None)
    }

    /// What an archive says of itself, its index checked. [`FsErrorKind::NotFound`](crate::error::FsErrorKind) if there is none.
    async fn read_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<ArchiveSummary, FsError>;

    /// Reads an archive to its last byte: every frame against its digest, every volume against its own.
    async fn verify_archive(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError>;

    /// Reads an archive to its last byte and compares what is stored with the digests in its index, without unpacking it:
    /// it is then, byte for byte, the file that was written. An adapter that has no quicker way verifies it.
    async fn verify_stored(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        self.verify_archive(workload, snapshot, watch).await
    }

    // Looking into archives. What is read of them is checked like everything else; the rest is not read.

    /// Hands on the members at and below each place, in their order, and how many there were. A place that has nothing
    /// ends the listing with [`Found::Nothing`].
    async fn list_members(
        &self,
        archive: &LookInto,
        places: &[Place],
        sink: MemberSink,
        watch: Watch,
    ) -> Result<Found, FsError> {
        let (_, _, _) = (places, sink, watch);
        Err(cannot_look_into(self.archive_path(archive.workload, archive.snapshot)))
    }

    /// Writes the contents of a file, holes as zeros. A hard link has its file's contents; a symbolic link is not
    /// followed. An archive that turns out to be damaged in the middle has had only good bytes written, and the error
    /// says how many.
    async fn dump_member(
        &self,
        archive: &LookInto,
        place: &Place,
        out: Box<dyn Output>,
        watch: Watch,
    ) -> Result<Found, FsError> {
        let (_, _, _) = (place, out, watch);
        Err(cannot_look_into(self.archive_path(archive.workload, archive.snapshot)))
    }

    // Copies elsewhere than at the live directories. No journal speaks of them: a note does, which is durable before the
    // first directory is made and goes after the last one.

    /// Copies volumes or parts of them, reading only the frames that it needs. On success `<private>/staged` is the whole
    /// copy: checked, complete and durable as what [`Filesystem::stage`] leaves, with its names and the private directory's
    /// own. On failure what this call made is removed as far as that goes; after a crash it is found by the private
    /// directory's name.
    async fn copy_out(&self, job: &CopyJob, watch: Watch) -> Result<CopyMade, FsError> {
        let _ = watch;
        Err(cannot_look_into(self.archive_path(job.archive.workload, job.archive.snapshot)))
    }

    /// Reads a tree that was copied out as a whole volume, from the disk and not from memory as far as the system can be
    /// told so, and compares it with the archive. It must be durable. A difference is no error.
    async fn read_back(
        &self,
        archive: &LookInto,
        index: usize,
        root: &Path,
        watch: Watch,
    ) -> Result<ReadBack, FsError> {
        let (_, _, _) = (index, root, watch);
        Err(cannot_look_into(self.archive_path(archive.workload, archive.snapshot)))
    }

    /// Writes down durably which private directories are going to be made. The lease tells others that somebody is at it;
    /// it ends with the process, the note does not.
    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
        let path = note.private.first().map_or_else(PathBuf::new, |private| private.path.clone());
        Err(cannot_look_into(path))
    }

    /// The notes whose lease has ended, by id: their processes died, or could not remove what they had made.
    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError> {
        Ok(Vec::new())
    }

    /// Removes a note durably, when all of its private directories are gone, and durably so; absent is success.
    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError> {
        let _ = id;
        Ok(())
    }

    /// Makes an empty directory of volsnap's own within the state directory, mode 0700, durably, if it is not there.
    async fn scratch_dir(&self) -> Result<PathBuf, FsError> {
        Err(cannot_look_into(self.state_dir()))
    }

    /// The members of a tree at and below a path; nothing there has none. Those of a live directory are what an archive
    /// of it would have just now, without what archives leave out, and what vanishes meanwhile is left out.
    async fn members(&self, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError> {
        let _ = watch;
        let path = match &of.tree {
            Tree::Archived(archive, _) => self.archive_path(archive.workload, archive.snapshot),
            Tree::Live(root) => root.clone(),
        };
        Err(cannot_look_into(path))
    }

    // Archives out and in.

    /// The archives that have a name, ordered, whether they are sound or not; drafts are none.
    async fn archives(&self) -> Result<Vec<ArchiveFile>, FsError> {
        Err(cannot_move(self.state_dir()))
    }

    /// Copies an archive to a file outside, at an absolute path, and gives its length. Every byte is checked on its way.
    /// The file is whole and durable when it has its name; before, it stands beside it under a passing name, which the
    /// next export to the same file clears away if a kill leaves it. [`FsErrorKind::Exists`](crate::error::FsErrorKind)
    /// if something stands there, unless it is a regular file and `replace` was given.
    async fn export_archive(&self, archive: &LookInto, to: &Path, replace: bool, watch: Watch) -> Result<u64, FsError> {
        let (_, _, _) = (to, replace, watch);
        Err(cannot_move(self.archive_path(archive.workload, archive.snapshot)))
    }

    /// Writes all bytes of an archive, each frame when it has been checked, and gives how many.
    async fn write_archive(&self, archive: &LookInto, out: Box<dyn Output>, watch: Watch) -> Result<u64, FsError> {
        let (_, _) = (out, watch);
        Err(cannot_move(self.archive_path(archive.workload, archive.snapshot)))
    }

    /// What a file from elsewhere, by its absolute path, says of itself: its end and its manifest are checked, and
    /// nothing of it is believed.
    async fn read_foreign(&self, file: &Path) -> Result<ArchiveSummary, FsError> {
        Err(cannot_move(file.to_path_buf()))
    }

    /// Reads a file from elsewhere to its last byte, as [`Filesystem::verify_archive`] does an archive.
    async fn verify_foreign(&self, file: &Path, watch: Watch) -> Result<Verified, FsError> {
        let _ = watch;
        Err(cannot_move(file.to_path_buf()))
    }

    /// Takes a file from elsewhere among the archives, durably, under the identity that the job's manifest gives it. As
    /// it is if that is its own manifest; otherwise its volumes as they are, with their digests, and another manifest.
    /// Every byte was checked as by [`Filesystem::verify_archive`] before it has its name; until then it is a draft,
    /// which [`Filesystem::sweep_drafts`] removes (the caller holds the workload's lock).
    /// [`FsErrorKind::Exists`](crate::error::FsErrorKind) if an archive stands there and is not to be replaced; one that
    /// is stays until the file's takes its name, in one step.
    async fn import_archive(&self, job: &ImportJob, watch: Watch) -> Result<ArchiveSummary, FsError> {
        let _ = watch;
        Err(cannot_move(job.file.clone()))
    }

    /// Where an archive lies.
    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf;

    /// Removes an archive durably; absent is success.
    async fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError>;

    /// The unfinished archives, ordered, also those that are being written right now.
    async fn drafts(&self) -> Result<Vec<Draft>, FsError> {
        Err(FsError::new(FsErrorKind::Unsupported, FsOp::Look, self.state_dir(), "it lists no unfinished archives"))
    }

    /// Removes unfinished archives of a workload (the caller holds its lock).
    async fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError>;

    // Journals: `<state>/journal/<workload>.json`.

    /// The workloads that have a journal, whether it can be read or not.
    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError>;

    /// The bytes of a journal; `None` if there is none. What it returns is durable.
    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError>;

    /// Replaces a journal as a whole, durably: after a crash at any instant it is the old or the new one. Keeps space
    /// for the next replacement of up to `bytes.len() + 16 KiB`, so that a full disk cannot refuse it.
    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError>;

    /// Removes a journal durably; absent is success.
    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError>;

    /// Makes the journal the workload's record of its last restore, durably: no journal is open any more, and the record
    /// of an earlier restore is gone. Takes no space, and is one step: after a crash the journal is open, or it is the
    /// record. Absent is success.
    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError>;

    /// Makes a copy of an open journal the workload's record of its last restore, durably, in the place of an earlier one:
    /// the journal itself goes on to another operation. A crash leaves the earlier record or this one.
    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError>;

    /// The bytes of the record of the last restore, durable; `None` if there is none.
    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError>;

    /// Removes the record of the last restore durably; absent is success.
    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError>;

    /// Sets the record of the last restore aside under that restore's id, durably and in one step that takes no space.
    /// Absent is success.
    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError>;

    /// The records that there are, ordered: each workload's last one (`None`), and those that were set aside.
    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError>;

    /// The bytes of a record that was set aside, durable; `None` if there is none.
    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError>;

    /// Removes a record that was set aside, durably; absent is success.
    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError>;

    // What is held.

    /// The same disks, for calls that go on under a lease: each keeps it until it has come to its end, also where that is
    /// after its future was dropped. Whatever else is held is no matter of theirs. `None` if no call outlives its future:
    /// then it is enough that the caller holds the lease.
    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>>;

    /// The same disks with threads of their own for archives, which no other work of this process gets while they live. For
    /// what is not to wait when it has begun: reading while an app is quiet, or several trees at once. Waits, in turn, until
    /// others leave some. `None` where nothing is shared.
    async fn reserve(&self, watch: &Watch) -> Result<Option<Arc<dyn Filesystem>>, FsError>;

    /// Takes the workload's lock, which ends with the process; [`FsErrorKind::Busy`](crate::error::FsErrorKind) names the owner. Does not wait.
    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError>;

    /// Holds live directories, by their paths without links, against every other claim of this machine: under whatever
    /// path, name or state directory, and whichever directory has the name by then. A directory above one that is held,
    /// and one below, is held as well; so is a name that nothing has yet. [`FsErrorKind::Busy`](crate::error::FsErrorKind)
    /// names the directory and who holds it. Ends with the process. Does not wait, and touches nothing.
    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError>;
}
