//! The four doors to the world: traits only. Each method says what is durable when it returns.

pub mod clock;
pub mod containers;
pub mod filesystem;
pub mod observer;
pub mod store;

pub use clock::Clock;
pub use containers::{Containers, EngineError, EngineErrorKind, EngineInfo, Health, HealthState};
pub use filesystem::{
    ArchiveSource, DraftArchive, Filesystem, FsError, FsErrorKind, FsOp, Lease, Limits, StageJob, Staged, Verified,
};
pub use observer::{Observer, Phase, Progress, Quiet, Watch};
pub use store::{Event, EventKind, Store, StoreError, StoreErrorKind};
