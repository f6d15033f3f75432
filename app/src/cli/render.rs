//! Answers as text for people. Scripts read the JSON documents; this may change.

mod archives;
mod config;
mod copies;
mod diff;
mod discover;
mod doctor;
mod documents;
mod drill;
mod hook;
mod kept;
mod member;
mod recovery;
mod restore;
mod snapshot;
mod table;
mod workload;

pub use archives::{exported, rebuilt};
pub use config::{config, config_check};
pub use copies::{copied, left_copy};
pub use diff::{change, difference};
pub use discover::{discovery, prospect, suggestions, taken_for};
pub use doctor::doctor;
pub use documents::schemas;
pub use drill::drilled;
pub use hook::hooks;
pub use kept::{kept, kept_archived, kept_discarded};
pub use member::member;
pub use recovery::{recovered_line, recovery, status};
pub use restore::{plan, question, report};
pub use snapshot::{created, events, pinned, pruned, snapshot, snapshots, verified};
pub use table::{age, bytes, seconds, show_times_in};
pub use workload::{workload, workloads};
