//! The things volsnap knows: workloads, containers, places on disk, snapshots, retention.

pub mod ids;
pub mod place;

pub mod container;
pub mod database;
pub mod group;
pub mod hook;
pub mod member;
pub mod snapshot;
pub mod workload;

pub mod retention;

pub use container::{Container, ContainerId, Mount, Pinned, Redeploy, RestartPolicy, RunState};
pub use database::Database;
pub use group::{Bond, Group};
pub use hook::{HOOK_TIMEOUT, Hook, HookEvent};
pub use ids::{RestoreId, SnapshotId, WorkloadId};
pub use member::{Member, MemberKind};
pub use place::{FilesystemId, FilesystemInfo, Identity, Inode, Location, Occupant, Sight, Space, TreeSize, Writer};
pub use retention::{Period, Policy, Rule, Verdict};
pub use snapshot::{
    ARCHIVE_FORMAT, ArchiveSummary, ImageRef, Manifest, ManifestVolume, Mode, Origin, Snapshot, VolumeTotals,
};
pub use workload::{DeclaredVolume, Resolved, Selector, Source, VolumePath, Workload};
