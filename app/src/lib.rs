//! Crash-safe snapshot and restore of container volumes, for programs that embed it.
//!
//! After a crash at any instant every volume of a workload is wholly as it was or wholly restored, all of them the
//! same way, and the app is brought back. [`Volsnap::builder`] composes the engine; [`Builder::open`] finishes or rolls
//! back what an earlier crash left before it returns. Everything that the command line does is a method of [`Volsnap`];
//! what takes long is an [`Operation`]: a future with progress that is safe to drop at any point.
//!
//! ```
//! use volsnap::{NewWorkload, RestoreRequest, SnapshotRequest, Volsnap};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let scratch = tempfile::tempdir()?;
//! let data = scratch.path().join("data");
//! std::fs::create_dir(&data)?;
//! std::fs::write(data.join("greeting"), "hello")?;
//!
//! let volsnap = Volsnap::builder().state_dir(scratch.path().join("state")).without_containers().open().await?;
//! let app = volsnap.add_workload(NewWorkload::directories("app", [("/data", &data)])).await?;
//! let taken = volsnap.create(SnapshotRequest::of(app.clone())).await?;
//!
//! std::fs::write(data.join("greeting"), "oops")?;
//! let report = volsnap.restore(RestoreRequest::of(app.clone(), taken.snapshot)).await?;
//! assert_eq!(report.code(), None, "{report:?}");
//! assert_eq!(std::fs::read_to_string(data.join("greeting"))?, "hello");
//!
//! volsnap.undo(app, Default::default()).await?;
//! assert_eq!(std::fs::read_to_string(data.join("greeting"))?, "oops");
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! A host brings its own deployer with [`Builder::containers`] and its own catalog with [`Builder::store`]; without the
//! features `docker`, `sqlite` and `cli` nothing of those is linked. No global is touched: no signal handler, no
//! `tracing` subscriber, no thread pool besides the runtime's.

/// The examples of that page compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;

mod builder;
mod doctor;
mod volsnap;

mod operation;
mod unavailable;

pub mod view;

pub use builder::Builder;
pub use doctor::{DoctorOptions, Finding, Severity, verdict};
pub use operation::{Canceller, Operation};
pub use unavailable::{UnavailableEngine, UnavailableStore};
pub use volsnap_core::{
    Code, Error, Result,
    engine::{
        Against, BOOT_TIMEOUT, Booted, CloneRequest, Copied, CopiedVolume, Damaged, DiffRequest, DrillRequest, Drilled,
        DrilledVolume, Engine, ExtractRequest, ImportOutcome, ImportRequest, Kept, KeptRecord, KeptSet, LeftCopy,
        LeftDraft, Outlook, Pins, Ports, Pruned, Rebuilt, Recovered, RecoveredItem, RestoreRequest, SnapshotRequest,
        Snapshotted, Take, Unregistered, kept_id,
    },
    model, ports, restore,
};

pub use crate::volsnap::{
    Advice, Discovered, Inspection, NewWorkload, PLAN_FORMAT, Prospect, ProspectVolume, SavedPlan, Volsnap,
};
