//! The health gate: when an app counts as healthy, when it does not, and when it is too late to wait on.

use std::{collections::BTreeMap, time::Duration};

use crate::ports::{Health, HealthState};

/// How long containers without a health check must stay up, without one restart, before they count as healthy; all of the
/// time that is given for it, where that is less.
const STAYS_UP: Duration = Duration::from_secs(10);

/// What one look at the containers means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every container is healthy by its own check, or has none and has stayed up.
    Healthy {
        /// How long all of them had been up already: those without a check are believed only after a while.
        watched: Duration,
    },
    /// They are not healthy and will not be, or not in time; why.
    Sick(String),
    /// Nothing is decided yet.
    Waiting,
}

/// A gate through which containers are waited for.
pub(super) struct Gate {
    timeout: Duration,
    began: Duration,
    up_since: Duration,
    /// The first look since which every container was up, and healthy where it has a check.
    ready_since: Option<Duration>,
    /// What tells one run of each container from the next, as of the last look.
    runs: BTreeMap<String, Option<String>>,
    /// What was last said of each container that was seen down.
    last_down: BTreeMap<String, String>,
    /// A container that dies again and again may just be up when the time is over.
    waited_for: String,
}

impl Gate {
    /// A gate that closes after that time. `now` is monotonic, as in every look.
    pub(super) fn new(now: Duration, timeout: Duration) -> Self {
        let waited_for = "the app".into();
        Gate {
            timeout,
            began: now,
            up_since: now,
            ready_since: None,
            runs: BTreeMap::new(),
            last_down: BTreeMap::new(),
            waited_for,
        }
    }

    /// More containers were started, which have to stay up as well.
    pub(super) fn more_started(&mut self, now: Duration) {
        self.up_since = now;
        self.ready_since = None;
    }

    /// Judges what is seen of all the containers now.
    pub(super) fn judge(&mut self, now: Duration, health: &[Health]) -> Verdict {
        if let Some(sick) = health.iter().find(|h| h.state == HealthState::Unhealthy) {
            let said = if sick.detail.is_empty() { "" } else { ": " };
            return Verdict::Sick(format!("container {} is unhealthy{said}{}", sick.name, sick.detail));
        }
        // One that was started again between two looks was down as well.
        let again = |h: &Health| self.runs.get(&h.name).is_some_and(|run| *run != h.run);
        let restarted = health.iter().rfind(|h| again(h));
        if restarted.is_some() || health.iter().any(|h| h.state == HealthState::Down) {
            self.up_since = now;
        }
        let down = health.iter().filter(|h| h.state == HealthState::Down);
        self.last_down.extend(down.map(|h| (h.name.clone(), h.detail.clone())));
        if let Some(h) = restarted {
            let why = self.last_down.get(&h.name).map_or_else(String::new, |said| format!(": {said}"));
            self.waited_for = format!("container {} (it ended and was started again{why})", h.name);
            self.ready_since = None;
        }
        self.runs = health.iter().map(|h| (h.name.clone(), h.run.clone())).collect();
        let undecided = |h: &Health| matches!(h.state, HealthState::Starting | HealthState::Down);
        self.ready_since = match health.iter().find(|h| undecided(h)) {
            Some(h) => {
                self.waited_for = format!("container {} ({})", h.name, h.detail);
                None
            }
            None => self.ready_since.or(Some(now)),
        };
        let up_long = now.saturating_sub(self.up_since) >= STAYS_UP.min(self.timeout);
        let checked = health.iter().all(|h| h.state == HealthState::Healthy);
        if let Some(ready_since) = self.ready_since
            && (checked || up_long)
        {
            return Verdict::Healthy { watched: now.saturating_sub(ready_since) };
        }
        match now.saturating_sub(self.began) >= self.timeout {
            true => Verdict::Sick(format!("{} was not healthy after {:?}", self.waited_for, self.timeout)),
            false => Verdict::Waiting,
        }
    }
}
