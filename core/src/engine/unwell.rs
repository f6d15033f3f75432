//! Who is unhealthy because it was frozen: its check could not answer meanwhile, and the engine does not forget that before
//! the next one.

use std::time::Duration;

use super::{Engine, snapshot::Rest};
use crate::{
    model::{Container, Pinned, RunState},
    ports::{Health, HealthState, Watch},
    restore::journal::Quiesced,
};

/// How long the next check is waited for: an engine asks every thirty seconds where nobody said otherwise.
pub(super) const NEXT_CHECK: Duration = Duration::from_secs(35);

/// The containers that a snapshot froze and whose own checks said that they were well.
pub(super) fn well_before(quiesced: &Quiesced) -> Vec<String> {
    let is_watched = |c: &Container| c.particulars.is_healthy && c.run == RunState::Running;
    let frozen = |p: &&Pinned| Rest::of(quiesced.mode, &p.container) == Some(Rest::Frozen);
    let watched = quiesced.containers.iter().filter(frozen).map(|p| &p.container).filter(|c| is_watched(c));
    watched.map(|c| c.name.clone()).collect()
}

impl Engine {
    /// What of these, healthy before they were frozen, is unhealthy after the thaw and stays so over its next check; one
    /// sentence each. Comes back as soon as none is.
    pub(super) async fn unwell(&self, names: &[String], watch: &Watch) -> Vec<String> {
        let Some(containers) = self.ports.containers.as_deref().filter(|_| !names.is_empty()) else {
            return Vec::new();
        };
        let deadline = self.ports.clock.monotonic() + NEXT_CHECK;
        loop {
            let unwell: Vec<Health> = match containers.health(names).await {
                Ok(seen) => seen.into_iter().filter(|h| h.state == HealthState::Unhealthy).collect(),
                Err(error) => return vec![format!("how the app does since it was thawed could not be seen: {error}")],
            };
            if unwell.is_empty() {
                return Vec::new();
            }
            if self.ports.clock.monotonic() >= deadline || watch.cancelled() {
                return unwell.iter().map(told).collect();
            }
            self.ports.clock.sleep(containers.health_interval()).await;
        }
    }
}

fn told(unwell: &Health) -> String {
    format!(
        "container {} was healthy before it was frozen for the snapshot and is unhealthy since ({}): what restarts unhealthy \
         containers may act on that; `--mode live` freezes nothing",
        unwell.name, unwell.detail
    )
}
