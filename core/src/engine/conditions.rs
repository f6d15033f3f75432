//! Bringing containers back in the order of their conditions: who depends on a healthy database, or on a job that has ended
//! well, is started when that is so, as compose starts them. Which conditions hold is decided in
//! [`crate::restore::conditions`].

use std::{collections::BTreeSet, time::Duration};

use super::Engine;
use crate::{
    error::{EngineError, EngineErrorKind},
    model::{Condition, Pinned, Redeploy, RestoreId},
    ports::{Health, HealthState},
    restore::conditions::{conditions, stages},
};

/// How long conditions are waited for where the user gave no time for the app's health.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// What one look says of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Met {
    Yes,
    NotYet,
    /// It will not be; why.
    Never(String),
}

impl Engine {
    /// Brings containers back, each when what it waits for is so, all within that time. One that does not come back keeps
    /// down who waits for it and nobody else; the first failure is reported. Every container has its restart policy back
    /// in any case, unless the engine does not answer.
    pub(super) async fn bring_back(
        &self,
        restore: RestoreId,
        pinned: &[Pinned],
        how: Redeploy,
        patience: Duration,
    ) -> Result<(), EngineError> {
        let containers = self.containers()?;
        let deadline = self.ports.clock.monotonic() + patience;
        let mut failure: Option<EngineError> = None;
        let mut held_back = BTreeSet::new();
        let mut before: Vec<Pinned> = Vec::new();
        for stage in stages(pinned) {
            let mut due = Vec::new();
            for one in &stage {
                // Of a circle, as stale labels may give one, somebody has to be first, who waits for nobody.
                match self.await_conditions(one, &before, deadline, &held_back, failure.is_some()).await? {
                    None => due.push((*one).clone()),
                    Some(why) => {
                        held_back.insert(one.container.name.as_str());
                        containers.set_restart_policy(&one.container.id, &one.container.restart_policy).await?;
                        failure = failure.or(Some(EngineError::new(EngineErrorKind::Failed, why)));
                    }
                }
            }
            let redeployed = match due.as_slice() {
                [] => Ok(()),
                due => containers.redeploy(restore, due, how).await,
            };
            match redeployed {
                Ok(()) => {}
                Err(error) if matches!(error.kind, EngineErrorKind::Unreachable | EngineErrorKind::TimedOut) => {
                    return Err(error);
                }
                Err(error) => failure = failure.or(Some(error)),
            }
            before.extend(stage.into_iter().cloned());
        }
        failure.map_or(Ok(()), Err)
    }

    /// Waits until a container may be started; why it may not, if it may not. Where something could not be started, one
    /// that is down stays down.
    async fn await_conditions(
        &self,
        one: &Pinned,
        pinned: &[Pinned],
        deadline: Duration,
        held_back: &BTreeSet<&str>,
        something_failed: bool,
    ) -> Result<Option<String>, EngineError> {
        let containers = self.containers()?;
        for (other, condition) in conditions(one, pinned) {
            let name = &other.container.name;
            let refused = |why: &str| {
                let waits = match condition {
                    Condition::Healthy => format!("waits for {name} to be healthy"),
                    Condition::Completed => format!("waits for {name} to end with success"),
                    Condition::Started => format!("waits for {name}"),
                };
                format!("container {} was not started: it {waits}, and {why}", one.container.name)
            };
            if held_back.contains(name.as_str()) {
                return Ok(Some(refused("that was not started")));
            }
            let stays_down = something_failed || other.container.restart_policy.is_never();
            loop {
                let seen = containers.health(std::slice::from_ref(name)).await?;
                let Some(seen) = seen.first() else { break };
                match met(condition, seen, stays_down) {
                    Met::Yes => break,
                    Met::Never(why) => return Ok(Some(refused(&why))),
                    Met::NotYet if self.ports.clock.monotonic() >= deadline => {
                        return Ok(Some(refused(&format!("that was not so in time ({})", seen.detail))));
                    }
                    Met::NotYet => self.ports.clock.sleep(containers.health_interval()).await,
                }
            }
        }
        Ok(None)
    }
}

fn met(condition: Condition, seen: &Health, stays_down: bool) -> Met {
    let is_down = || match stays_down {
        true => Met::Never(format!("that is down ({})", seen.detail)),
        false => Met::NotYet,
    };
    match (condition, seen.state) {
        (Condition::Started, HealthState::Down) => is_down(),
        (Condition::Started, _) => Met::Yes,
        // One without a check had none when its dependants ran, either.
        (Condition::Healthy, HealthState::Healthy | HealthState::Running) => Met::Yes,
        (Condition::Healthy, HealthState::Starting) => Met::NotYet,
        (Condition::Healthy, HealthState::Unhealthy) => Met::Never(format!("that is unhealthy ({})", seen.detail)),
        (Condition::Healthy, HealthState::Down) => is_down(),
        (Condition::Completed, HealthState::Down) if seen.exit_code == Some(0) => Met::Yes,
        (Condition::Completed, HealthState::Down) => is_down(),
        (
            Condition::Completed,
            HealthState::Healthy | HealthState::Running | HealthState::Starting | HealthState::Unhealthy,
        ) => Met::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_met_or_not_yet_or_never() {
        let seen = |state, exit_code| Health { name: "db".into(), state, run: None, detail: "so".into(), exit_code };
        let of = |condition, state, stays| met(condition, &seen(state, Some(0)), stays);
        use Condition::{Completed, Healthy};
        assert_eq!(of(Healthy, HealthState::Healthy, true), Met::Yes);
        assert_eq!(of(Healthy, HealthState::Running, true), Met::Yes);
        assert_eq!(of(Healthy, HealthState::Starting, true), Met::NotYet);
        assert_eq!(of(Healthy, HealthState::Down, false), Met::NotYet);
        assert!(matches!(of(Healthy, HealthState::Down, true), Met::Never(_)), "it ended, and nothing starts it again");
        assert!(matches!(of(Healthy, HealthState::Unhealthy, false), Met::Never(_)));
        assert_eq!(of(Completed, HealthState::Down, true), Met::Yes);
        assert_eq!(of(Completed, HealthState::Running, true), Met::NotYet);
        let failed = met(Completed, &seen(HealthState::Down, Some(1)), true);
        assert!(matches!(failed, Met::Never(_)), "{failed:?}");
    }
}
