//! Answers as text for people. Scripts read the JSON documents; this may change.

mod member;
mod recovery;
mod restore;
mod snapshot;
mod table;
mod workload;

pub use member::member;
pub use recovery::{recovered_line, recovery, status};
pub use restore::{plan, question, report};
pub use snapshot::{created, events, pruned, snapshot, snapshots, verified};
pub use table::{bytes, seconds};
pub use workload::{workload, workloads};
