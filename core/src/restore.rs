//! Pure decisions about a restore: what it would do, what its journal says, what comes next, how it ended.

pub mod plan;

pub mod anew;
pub mod changed;
pub mod forecast;
pub mod preflight;
pub mod space;

pub mod journal;
pub mod state;

pub mod conditions;
pub mod facts;
pub mod switch;

pub mod by_entry;

pub mod anomaly;
pub mod step;

pub mod next;

pub mod judge;
pub mod measure;
pub mod report;
pub mod writers;

pub use anomaly::Anomaly;
pub use facts::{Facts, Places, Seen};
pub use forecast::{Forecast, Measured};
pub use journal::{Body, Entry, Journal, JournalError, Record, Safety};
pub use measure::measure;
pub use next::next;
pub use plan::{OnUnhealthy, Options, Plan, PlannedContainer, PlannedImage, PlannedVolume, Refusal};
pub use report::{Outcome, Report};
pub use state::State;
pub use step::{Move, Step};
