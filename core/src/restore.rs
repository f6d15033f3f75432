//! Pure decisions about a restore: what it would do, what its journal says, what comes next, how it ended.

pub mod plan;

pub mod preflight;
pub mod space;

pub mod journal;
pub mod state;

pub mod facts;
pub mod switch;

pub mod next;

pub mod judge;
pub mod report;

pub use facts::{Facts, Places, Seen};
pub use journal::{Body, Entry, Journal, JournalError, Record, Safety};
pub use next::{Anomaly, Move, Step, next};
pub use plan::{OnUnhealthy, Options, Plan, PlannedVolume, Refusal};
pub use report::{Outcome, Report};
pub use state::State;
