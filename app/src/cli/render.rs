//! Answers as text for people. Scripts read the JSON documents; this may change.

mod discover;
mod doctor;
mod hook;
mod member;
mod recovery;
mod restore;
mod snapshot;
mod table;
mod workload;

pub use discover::{discovery, prospect, suggestions, taken_for};
pub use doctor::doctor;
pub use hook::hooks;
pub use member::member;
pub use recovery::{recovered_line, recovery, status};
pub use restore::{plan, report};
pub use snapshot::{events, pruned, snapshot, snapshots, verified};
pub use workload::{workload, workloads};
