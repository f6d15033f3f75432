//! Live directories: places and names, staging, switching and setting aside.

mod stage;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

pub use self::stage::{Limits, StageJob, Staged, Standing};
use super::{Claim, CopyJob, CopyMade, Lease, LookInto, MembersOf, ReadBack, Watch};
use crate::{
    error::FsError,
    model::{FilesystemInfo, Identity, Location, Member, Mounted, RestoreId, Rights, Sight, Space, TreeSize, Writer},
};

/// Members in the order of an archive, some at a time: a million of them take no more memory than a few. Dropping it
/// ends the reading.
#[async_trait]
pub trait Members: Send {
    /// The next ones; none at the end.
    async fn next(&mut self) -> Result<Vec<Member>, FsError>;
}

/// The directories of a host, volsnap's state directory among them.
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
    async fn mounted(&self, dir: &Path) -> Result<Mounted, FsError>;

    /// Processes of the host, other than this one and those in containers, that have a file below one of these
    /// directories (absolute, links resolved) open for writing: for each directory the first few, each with one file.
    /// One that ends meanwhile, or that this process may not look at, is left out. It takes some seconds at the most,
    /// and is not called while an app is down. A machine on which nobody else writes has none.
    async fn writers(&self, dirs: &[PathBuf]) -> Result<Vec<Writer>, FsError>;

    /// What this process may make of what archives hold.
    fn rights(&self) -> Rights;

    /// Makes a directory the one that it is when something has been made in it, durably, and gives its identity then: one
    /// of an overlay's lower layer becomes one of the upper layer, and is another one. Elsewhere, and if it is not the
    /// `known` one, nothing is done and `known` is given.
    async fn ready(&self, dir: &Path, known: Identity) -> Result<Identity, FsError>;

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
    async fn find_directory(&self, within: &Path, identity: Identity) -> Result<Option<PathBuf>, FsError>;

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

    // Copies elsewhere than at the live directories. No journal speaks of them: a note does, which is durable before the
    // first directory is made and goes after the last one.

    /// Copies volumes or parts of them, reading only the frames that it needs. On success `<private>/staged` is the whole
    /// copy: checked, complete and durable as what [`Filesystem::stage`] leaves, with its names and the private directory's
    /// own. On failure what this call made is removed as far as that goes; after a crash it is found by the private
    /// directory's name.
    async fn copy_out(&self, job: &CopyJob, watch: Watch) -> Result<CopyMade, FsError>;

    /// Reads a tree that was copied out as a whole volume, from the disk and not from memory as far as the system can be
    /// told so, and compares it with the archive. It must be durable. A difference is no error.
    async fn read_back(&self, archive: &LookInto, index: usize, root: &Path, watch: Watch)
    -> Result<ReadBack, FsError>;

    /// Makes an empty directory of volsnap's own within the state directory, mode 0700, durably, if it is not there.
    async fn scratch_dir(&self) -> Result<PathBuf, FsError>;

    /// The members of a live directory, by its path without links, at and below a path; nothing there has none. They are
    /// what an archive of it would have just now, without what archives leave out, and what vanishes meanwhile is left
    /// out.
    async fn members(&self, root: &Path, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError>;

    // What is held.

    /// The same disks, for calls that go on under a lease: each keeps it until it has come to its end, also where that is
    /// after its future was dropped. Whatever else is held is no matter of theirs. `None` if no call outlives its future:
    /// then it is enough that the caller holds the lease.
    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>>;

    /// Holds live directories, by their paths without links, against every other claim of this machine: under whatever
    /// path, name or state directory, and whichever directory has the name by then. A directory above one that is held,
    /// and one below, is held as well; so is a name that nothing has yet. [`FsErrorKind::Busy`](crate::error::FsErrorKind)
    /// names the directory and who holds it. Ends with the process. Does not wait, and touches nothing.
    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError>;
}
