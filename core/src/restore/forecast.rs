//! How long a restore will keep the app down, from what is known and nothing else: what earlier restores like it
//! measured, and how long its containers are given to stop.

use std::time::Duration;

use super::{
    plan::{Method, Plan},
    report::{Outcome, Report},
};
use crate::model::Container;

/// How many earlier restores are taken into account, the newest first.
pub const MEASURED_MAX: usize = 5;

/// What can be said beforehand about the downtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// What earlier restores measured; `None` if there was none like this one.
    pub measured: Option<Measured>,
    /// The containers that are stopped, and how long the engine gives each to end before it kills it; `None` if that
    /// is not known, or without end.
    pub stops: Vec<(String, Option<Duration>)>,
}

/// The downtime of earlier restores of the workload that switched the same volumes in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// How many there were, [`MEASURED_MAX`] at the most.
    pub restores: usize,
    /// The shortest downtime.
    pub least: Duration,
    /// The one in the middle.
    pub median: Duration,
    /// The longest.
    pub most: Duration,
    /// Of the middle one, the container engine's share.
    pub engine: Duration,
}

/// Forecasts the downtime of a plan. `members` are the workload's containers as they are now, and `reports` those of its
/// restores, newest first.
#[must_use]
pub fn forecast<'a>(plan: &Plan, members: &[Container], reports: impl IntoIterator<Item = &'a Report>) -> Forecast {
    let stopped = members.iter().filter(|c| c.run.is_active());
    let stops: Vec<_> = stopped.map(|c| (c.name.clone(), c.stop_timeout)).collect();
    let like = reports.into_iter().filter(|report| is_like(plan, !stops.is_empty(), report));
    let mut times: Vec<(Duration, Duration)> = like
        .take(MEASURED_MAX)
        .map(|report| (Duration::from_micros(report.downtime_us), Duration::from_micros(report.engine_us)))
        .collect();
    times.sort_unstable();
    let measured = match (times.first(), times.get(times.len() / 2), times.last()) {
        (Some((least, _)), Some((median, engine)), Some((most, _))) => {
            Some(Measured { restores: times.len(), least: *least, median: *median, most: *most, engine: *engine })
        }
        (_, _, _) => None,
    };
    Forecast { measured, stops }
}

/// Whether a restore did what the plan will do: all the way, in one process, with an app that ran or with none.
fn is_like(plan: &Plan, stops: bool, report: &Report) -> bool {
    let same = |(target, method): (&str, Method)| plan.volumes.iter().any(|v| v.target == target && v.method == method);
    report.outcome == Outcome::Restored
        && !report.recovered
        && (report.engine_us > 0) == stops
        && report.volumes.len() == plan.volumes.len()
        && report.volumes.iter().all(|v| same((&v.target, v.method)))
}
