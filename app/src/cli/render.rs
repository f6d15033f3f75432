//! Answers as text for people. Scripts read the JSON documents; this may change.

mod copies;
mod drill;
mod member;
mod recovery;
mod restore;
mod snapshot;
mod table;
mod workload;

pub use copies::{copied, left_copy};
pub use drill::drilled;
pub use member::member;
pub use recovery::{recovered_line, recovery, status};
pub use restore::{plan, report};
pub use snapshot::{events, pruned, snapshot, snapshots, verified};
pub use workload::{workload, workloads};
