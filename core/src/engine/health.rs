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
    /// How long containers without a check have to stay up.
    stays: Duration,
    /// When the last of them was started.
    started: Duration,
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
            stays: STAYS_UP.min(timeout),
            started: now,
            up_since: now,
            ready_since: None,
            runs: BTreeMap::new(),
            last_down: BTreeMap::new(),
            waited_for,
        }
    }

    /// More containers were started, which have to stay up as well, and `waves` more will be. What one has waited for is no
    /// reason to let another one fail: the time that is left is shared out.
    pub(super) fn more_started(&mut self, now: Duration, waves: u32) {
        let left = self.timeout.saturating_sub(now.saturating_sub(self.began));
        self.stays = STAYS_UP.min(left / (waves + 1));
        (self.started, self.up_since) = (now, now);
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
            None => {
                // Who was down since then is waited for as well.
                if self.up_since == self.started
                    && let Some(h) = health.iter().find(|h| h.state != HealthState::Healthy)
                {
                    self.waited_for = format!("container {} (without a health check, it has to stay up)", h.name);
                }
                self.ready_since.or(Some(now))
            }
        };
        let up_long = now.saturating_sub(self.up_since) >= self.stays;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str, state: HealthState) -> Health {
        Health { name: name.into(), state, run: None, detail: "its check says nothing".into(), exit_code: None }
    }

    /// A database with a check that is healthy after two seconds, and a container without one that waits for it.
    #[test]
    fn what_one_container_has_waited_for_is_not_asked_of_the_next() {
        let second = Duration::from_secs;
        let mut gate = Gate::new(second(0), second(8));
        let both = [seen("db", HealthState::Healthy), seen("web", HealthState::Running)];
        gate.more_started(second(2), 0);
        for now in 2..8 {
            assert_eq!(gate.judge(second(now), &both), Verdict::Waiting, "after {now} s");
        }
        assert_eq!(gate.judge(second(8), &both), Verdict::Healthy { watched: second(6) });
    }

    /// Each wave has a share of the time, so that the last one still has some.
    #[test]
    fn waves_share_the_time_that_is_left() {
        let second = Duration::from_secs;
        let mut gate = Gate::new(second(0), second(20));
        let all = [seen("a", HealthState::Running)];
        for (began, waves, up) in [(0, 2, 7), (7, 1, 14), (14, 0, 20)] {
            gate.more_started(second(began), waves);
            assert_eq!(gate.judge(second(up - 1), &all), Verdict::Waiting);
            assert!(matches!(gate.judge(second(up), &all), Verdict::Healthy { .. }), "up since {began} s");
        }
    }

    #[test]
    fn who_is_named_is_who_was_waited_for_last() {
        let second = Duration::from_secs;
        let mut gate = Gate::new(second(0), second(5));
        gate.more_started(second(0), 0);
        gate.judge(second(0), &[seen("db", HealthState::Starting), seen("web", HealthState::Running)]);
        gate.judge(second(4), &[seen("db", HealthState::Healthy), seen("web", HealthState::Down)]);
        let late = gate.judge(second(6), &[seen("db", HealthState::Healthy), seen("web", HealthState::Running)]);
        let Verdict::Sick(why) = late else { panic!("{late:?}") };
        assert!(why.starts_with("container web"), "{why}");
    }
}
