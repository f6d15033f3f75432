//! Freezing, fencing and stopping containers.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use volsnap_core::{
    model::{ContainerId, RestartPolicy, RunState},
    ports::{EngineError, EngineErrorKind},
};

use crate::{
    api::{Api, name_of},
    look::{restart_policy, run_state, stop_timeout},
    order::{Compose, runs},
};

/// What is waited for a container that asks to be waited for without end.
const STOP_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// What the engine may take on top: it kills after the time-out, and unmounts.
const STOP_MARGIN: Duration = Duration::from_secs(60);
/// How often a container is looked at that should be stopped.
const POLL: Duration = Duration::from_millis(20);

type Result<T> = std::result::Result<T, EngineError>;

/// Freezes running containers: all of them, or none and an error.
pub(crate) async fn pause(api: &Api, ids: &[ContainerId]) -> Result<()> {
    let mut frozen: Vec<ContainerId> = Vec::new();
    for id in ids {
        match pause_one(api, &id.0).await {
            Ok(true) => frozen.push(id.clone()),
            Ok(false) => {}
            Err(error) => {
                if error.kind == EngineErrorKind::TimedOut {
                    frozen.push(id.clone());
                }
                return Err(match unpause(api, &frozen).await {
                    Ok(()) => error,
                    Err(thaw) => EngineError::new(error.kind, format!("{}; then {}", error.message, thaw.message)),
                });
            }
        }
    }
    Ok(())
}

/// Freezes one container; `false` if it was frozen already.
pub(crate) async fn pause_one(api: &Api, id: &str) -> Result<bool> {
    let Err(error) = api.pause(id).await else { return Ok(true) };
    match api.inspect(id).await? {
        Some(seen) if run_state(seen.state.as_ref()) == RunState::Paused => Ok(false),
        _ => Err(error),
    }
}

/// Thaws those that are frozen; tries all of them and reports the first failure.
pub(crate) async fn unpause(api: &Api, ids: &[ContainerId]) -> Result<()> {
    let results = join_all(ids.iter().map(|id| unpause_one(api, &id.0))).await;
    results.into_iter().collect()
}

async fn unpause_one(api: &Api, id: &str) -> Result<()> {
    if !is(api, id, RunState::Paused).await? {
        return Ok(());
    }
    match api.unpause(id).await {
        // Somebody else thawed, stopped or removed it in between.
        Err(_) if !is(api, id, RunState::Paused).await? => Ok(()),
        other => other,
    }
}

async fn is(api: &Api, id: &str, run: RunState) -> Result<bool> {
    Ok(api.inspect(id).await?.is_some_and(|seen| run_state(seen.state.as_ref()) == run))
}

/// An app that dies again and again may end in the middle of this many updates, not of more.
const UPDATES_MAX: usize = 5;

/// Sets the restart policy and reads it back. Not durable before [`Api::settle`].
pub(crate) async fn set_policy(
    api: &Api,
    id: &str,
    policy: &RestartPolicy,
) -> Result<Option<ContainerInspectResponse>> {
    match api.inspect(id).await? {
        Some(seen) if same(&restart_policy(&seen), policy) => return Ok(Some(seen)),
        Some(_) => {}
        None => return Ok(None),
    }
    match update_policy(api, id, policy).await {
        // "Not found" may also mean that the engine knows no such call: whether the container is there is looked at.
        Ok(_) => {}
        // One whose removal has begun, or failed half way, takes no changes any more and is never started again.
        Err(_) if api.inspect(id).await?.is_some_and(|seen| is_going(seen.state.as_ref())) => return Ok(None),
        Err(error) => return Err(error),
    }
    match api.inspect(id).await? {
        Some(seen) if !same(&restart_policy(&seen), policy) => Err(EngineError::new(
            EngineErrorKind::Failed,
            format!(
                "container {} kept the restart policy {} although {} was set",
                name_of(&seen),
                restart_policy(&seen).name,
                policy.name
            ),
        )),
        other => Ok(other),
    }
}

/// Whether nothing of the container is left but its name.
fn is_going(state: Option<&ContainerState>) -> bool {
    let status = state.and_then(|state| state.status);
    let is_gone = matches!(status, Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::REMOVING));
    is_gone && run_state(state) == RunState::Stopped
}

/// The engine refuses to update a container that ends while it does so, and takes the update back.
async fn update_policy(api: &Api, id: &str, policy: &RestartPolicy) -> Result<bool> {
    for _ in 1..UPDATES_MAX {
        match api.update_policy(id, policy).await {
            Err(error) if error.kind == EngineErrorKind::Failed => {}
            other => return other,
        }
    }
    api.update_policy(id, policy).await
}

fn same(a: &RestartPolicy, b: &RestartPolicy) -> bool {
    (a.is_never() && b.is_never()) || a == b
}

/// Stops containers in the given order, those that have nothing to do with each other at once.
pub(crate) async fn stop(api: &Api, ids: &[ContainerId]) -> Result<()> {
    let seen = join_all(ids.iter().map(|id| api.inspect(&id.0))).await;
    let mut standing = Vec::new();
    for seen in seen {
        standing.extend(seen?.map(|seen| (place(&seen), seen)));
    }
    for run in runs(standing, |(a, _), (b, _)| a.needs(b)) {
        let stopped = join_all(run.iter().map(|(_, seen)| stop_one(api, seen))).await;
        stopped.into_iter().collect::<Result<()>>()?;
    }
    Ok(())
}

fn place(seen: &ContainerInspectResponse) -> Compose {
    Compose::of(seen.config.as_ref().and_then(|config| config.labels.as_ref()))
}

/// Stops one container and returns when it is seen to be stopped; one that removes itself (`--rm`), when it is gone:
/// until then its name is taken.
pub(crate) async fn stop_one(api: &Api, seen: &ContainerInspectResponse) -> Result<()> {
    let Some(id) = seen.id.as_deref() else { return Ok(()) };
    match run_state(seen.state.as_ref()) {
        RunState::Stopped => return Ok(()),
        // A frozen process cannot heed its signal, and would be killed without a chance to end in order.
        RunState::Paused => unpause_one(api, id).await?,
        RunState::Running => {}
    }
    let removes_itself = seen.host_config.as_ref().and_then(|host| host.auto_remove) == Some(true);
    let patience = patience(seen);
    let deadline = Instant::now() + patience;
    api.stop(id, patience).await?;
    while let Some(now) = api.inspect(id).await? {
        if !run_state(now.state.as_ref()).is_active() && !removes_itself {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let why = format!("container {} still stands after it was stopped", name_of(&now));
            return Err(EngineError::new(EngineErrorKind::TimedOut, why));
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// How long a container may take to stop: its own time-out and what the engine needs on top.
fn patience(seen: &ContainerInspectResponse) -> Duration {
    stop_timeout(seen).unwrap_or(STOP_TIMEOUT_MAX) + STOP_MARGIN
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerConfig;

    use super::*;

    fn with_timeout(stop_timeout: Option<i64>) -> Duration {
        let config = ContainerConfig { stop_timeout, ..Default::default() };
        patience(&ContainerInspectResponse { config: Some(config), ..Default::default() })
    }

    #[test]
    fn a_stop_is_waited_for_longer_than_the_container_asked_for() {
        assert!(with_timeout(Some(300)) > Duration::from_secs(300));
        assert!(with_timeout(None) > Duration::from_secs(10));
        assert!(with_timeout(Some(-1)) >= STOP_TIMEOUT_MAX, "for ever ends some time");
    }

    #[test]
    fn an_absent_policy_is_the_policy_no() {
        let empty = RestartPolicy { name: String::new(), retries_max: 0 };
        assert!(same(&empty, &RestartPolicy::never()));
        assert!(!same(&RestartPolicy { name: "always".into(), retries_max: 0 }, &empty));
    }
}
