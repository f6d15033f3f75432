//! The things volsnap knows: workloads, containers, places on disk, snapshots, retention.

pub mod ids;
pub mod place;

pub mod container;
pub mod database;
pub mod flags;
pub mod group;
pub mod hook;
pub mod member;
pub mod owners;
pub mod parts;
pub mod rights;
pub mod snapshot;
pub mod stored;
pub mod workload;

pub mod difference;
pub mod limits;
pub mod names;
pub mod registration;

pub mod retention;

pub use container::{
    Condition, Container, ContainerId, ImageChoice, Losses, Mount, Particulars, Peer, Pinned, Redeploy, RestartPolicy,
    RunState, Shares,
};
pub use database::Database;
pub use difference::{Aspect, Change, VolumeDifference};
pub use flags::FlagsLeft;
pub use group::{Bond, Group};
pub use hook::{HOOK_TIMEOUT, Hook, HookEvent, HostHooks};
pub use ids::{RestoreId, SnapshotId, WorkloadId};
pub use limits::ArchiveLimits;
pub use member::{Member, MemberKind};
pub use names::{KnownVolume, MountedAt, Recognised, Unrecognised};
pub use owners::{IdMap, IdRange, Owners};
pub use parts::parts;
pub use place::{
    FilesystemId, FilesystemInfo, Identity, Inode, Location, Mounted, Occupant, Sight, Space, TreeSize, Writer,
};
pub use registration::{Imported, RegisteredVolume, Registration};
pub use retention::{Circumstances, Period, Policy, Rule, Verdict};
pub use rights::Rights;
pub use snapshot::{
    ARCHIVE_FORMAT, ArchiveSummary, ImageRef, Manifest, ManifestVolume, Mark, Mode, Order, Origin, Pin, Snapshot,
    VolumeTotals,
};
pub use stored::{ArchiveFile, Flaw};
pub use workload::{DeclaredVolume, Resolved, Selector, Source, VolumePath, Workload};
