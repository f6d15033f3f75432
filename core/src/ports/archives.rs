//! The snapshots of this host: written, looked into, taken out and in.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::{Draft, Found, ImportJob, Lease, LookInto, MemberSink, Members, MembersOf, Output, Place, Watch};
use crate::{
    error::FsError,
    model::{ArchiveFile, ArchiveSummary, Manifest, SnapshotId, WorkloadId},
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

/// The archives of this host, each one snapshot of a workload.
///
/// A call that fails has changed nothing, or has left an unfinished archive, which [`Archives::sweep_drafts`] removes.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Archives: Send + Sync {
    // Writing.

    /// Reads the sources into an archive under a passing name. Returns when the sources have been read to the end;
    /// nothing is durable yet. Leaves out what [`is_left_out`](crate::model::place::is_left_out) names at a volume's root.
    async fn draft_archive(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Box<dyn DraftArchive>, FsError>;

    /// Copies the volumes while the app still runs, so that [`Precopy::capture`] has only to look after what changed
    /// since; then that takes the place of [`Archives::draft_archive`]. `None` where a change might go unnoticed, or
    /// where it is not worth it: the volumes are then read while the app is quiet.
    async fn precopy(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Option<Box<dyn Precopy>>, FsError>;

    // Reading.

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
    ) -> Result<Verified, FsError>;

    // Looking into archives. What is read of them is checked like everything else; the rest is not read.

    /// Hands on the members at and below each place, in their order, and how many there were. A place that has nothing
    /// ends the listing with [`Found::Nothing`].
    async fn list_members(
        &self,
        archive: &LookInto,
        places: &[Place],
        sink: MemberSink,
        watch: Watch,
    ) -> Result<Found, FsError>;

    /// Writes the contents of a file, holes as zeros. A hard link has its file's contents; a symbolic link is not
    /// followed. An archive that turns out to be damaged in the middle has had only good bytes written, and the error
    /// says how many.
    async fn dump_member(
        &self,
        archive: &LookInto,
        place: &Place,
        out: Box<dyn Output>,
        watch: Watch,
    ) -> Result<Found, FsError>;

    /// The members of the volume of that index, which is not absent, at and below a path; nothing there has none. Where
    /// contents are read it has threads until it ends: whoever reads two at once [reserves](Archives::reserve) before.
    async fn archived_members(
        &self,
        archive: &LookInto,
        index: usize,
        of: &MembersOf,
        watch: Watch,
    ) -> Result<Box<dyn Members>, FsError>;

    // Archives out and in.

    /// The archives that have a name, ordered, whether they are sound or not; drafts are none.
    async fn archives(&self) -> Result<Vec<ArchiveFile>, FsError>;

    /// Copies an archive to a file outside, at an absolute path, and gives its length. Every byte is checked on its way.
    /// The file is whole and durable when it has its name; before, it stands beside it under a passing name, which the
    /// next export to the same file clears away if a kill leaves it. [`FsErrorKind::Exists`](crate::error::FsErrorKind)
    /// if something stands there, unless it is a regular file and `replace` was given.
    async fn export_archive(&self, archive: &LookInto, to: &Path, replace: bool, watch: Watch) -> Result<u64, FsError>;

    /// Writes all bytes of an archive, each frame when it has been checked, and gives how many.
    async fn write_archive(&self, archive: &LookInto, out: Box<dyn Output>, watch: Watch) -> Result<u64, FsError>;

    /// What a file from elsewhere, by its absolute path, says of itself: its end and its manifest are checked, and
    /// nothing of it is believed.
    async fn read_foreign(&self, file: &Path) -> Result<ArchiveSummary, FsError>;

    /// Reads a file from elsewhere to its last byte, as [`Archives::verify_archive`] does an archive.
    async fn verify_foreign(&self, file: &Path, watch: Watch) -> Result<Verified, FsError>;

    /// Takes a file from elsewhere among the archives, durably, under the identity that the job's manifest gives it. As
    /// it is if that is its own manifest; otherwise its volumes as they are, with their digests, and another manifest.
    /// Every byte was checked as by [`Archives::verify_archive`] before it has its name; until then it is a draft,
    /// which [`Archives::sweep_drafts`] removes (the caller holds the workload's lock).
    /// [`FsErrorKind::Exists`](crate::error::FsErrorKind) if an archive stands there and is not to be replaced; one that
    /// is stays until the file's takes its name, in one step.
    async fn import_archive(&self, job: &ImportJob, watch: Watch) -> Result<ArchiveSummary, FsError>;

    // What there is.

    /// Where an archive lies, to be shown to people and to be kept out of volumes.
    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf;

    /// Makes the names of a workload's archives durable: a killed process may have left one that is seen, and that a power
    /// cut would still take back. Called before [`Archives::read_archive`] where what is read is believed for good. A
    /// failure is [`FsErrorKind::SyncFailed`](crate::error::FsErrorKind).
    async fn settle_archives(&self, workload: WorkloadId) -> Result<(), FsError>;

    /// Removes an archive durably; absent is success.
    async fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError>;

    /// The unfinished archives, ordered, also those that are being written right now.
    async fn drafts(&self) -> Result<Vec<Draft>, FsError>;

    /// Removes unfinished archives of a workload (the caller holds its lock).
    async fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError>;

    // What is held.

    /// The same archives, for calls that go on under a lease; see [`Filesystem::under`](super::Filesystem::under).
    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Archives>>;

    /// The same archives with threads of their own, which no other work of this process gets while they live. For what is
    /// not to wait when it has begun: reading while an app is quiet, or several archives at once. Waits, in turn, until
    /// others leave some. `None` where nothing is shared.
    async fn reserve(&self, watch: &Watch) -> Result<Option<Arc<dyn Archives>>, FsError>;
}
