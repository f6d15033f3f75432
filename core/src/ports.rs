//! The doors to the world: traits only. Each method says what is durable when it returns.

pub mod archives;
pub mod clock;
pub mod commands;
pub mod containers;
pub mod copies;
pub mod drafts;
pub mod filesystem;
pub mod inside;
pub mod journals;
pub mod lease;
pub mod observer;
pub mod outside;
pub mod store;

pub use crate::error::{EngineError, EngineErrorKind, FsError, FsErrorKind, FsOp};
pub use archives::{ArchiveSource, Archives, DraftArchive, Precopy, Verified};
pub use clock::Clock;
pub use commands::{Command, Commands, Exit, NoCommands, Ran, TOLD_MAX};
pub use containers::{Boot, BootCheck, Containers, EngineInfo, Health, HealthState};
pub use copies::{CopyJob, CopyMade, CopyNote, CopyTree, PrivateNote, ReadBack};
pub use drafts::Draft;
pub use filesystem::{Filesystem, Limits, Members, StageJob, Staged, Standing};
pub use inside::{Found, LookInto, MemberSink, MembersOf, Place};
pub use journals::Journals;
pub use lease::{Claim, Lease};
pub use observer::{About, Observer, Phase, Progress, Quiet, Retold, Watch};
pub use outside::{ImportJob, Output};
pub use store::{Event, EventKind, Store, StoreError, StoreErrorKind};
