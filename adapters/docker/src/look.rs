//! Looking at containers: which belong to a workload, which mount a path, and what each of them is.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    time::Duration,
};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, ContainerSummary, HealthStatusEnum,
};
use futures_util::future::join_all;
use volsnap_core::{
    model::{
        Condition, Container, ContainerId, Particulars, Peer, RestartPolicy, RestoreId, RunState, Selector, Shares,
        container,
    },
    ports::{EngineError, EngineErrorKind},
};

use crate::{
    api::{Api, name_of},
    mounts::{self, Volumes},
    order::{Compose, waves},
    record::{self, Record},
    touch::{self, Sources},
};

/// How many containers are looked at at the same time: each look is a connection.
const LOOKS_AT_ONCE: usize = 16;

type Result<T> = std::result::Result<T, EngineError>;

/// The containers that a selector matches, each after those that it depends on.
pub(crate) async fn find(api: &Api, selector: &Selector) -> Result<Vec<Container>> {
    let all = Overview::of(api).await?;
    if let Some(missing) = selector.containers.iter().find(|name| !all.by_name.contains_key(*name)) {
        return Err(EngineError::new(EngineErrorKind::NotFound, format!("there is no container {missing}")));
    }
    let wanted: Vec<&Line> =
        all.by_name.values().filter(|line| is_own_name(&line.name) && matches(selector, line)).collect();
    let containers = all.inspect(api, &wanted).await?;
    Ok(in_order(containers))
}

/// Every container under any name.
pub(crate) async fn all(api: &Api) -> Result<Vec<Container>> {
    let all = Overview::of(api).await?;
    let lines: Vec<&Line> = all.by_name.values().collect();
    Ok(in_order(all.inspect(api, &lines).await?))
}

/// The containers under any name that mount one of the paths, or something above or below one.
pub(crate) async fn mounting(api: &Api, paths: &[PathBuf]) -> Result<Vec<Container>> {
    let all = Overview::of(api).await?;
    let sources: HashMap<String, Sources> =
        all.by_name.values().map(|line| (line.name.clone(), line.sources.clone())).collect();
    let paths = paths.to_vec();
    let touching = blocking("compare mounts", move || touch::touching(&sources, &paths)).await?;
    let touching: Vec<&Line> = touching.iter().filter_map(|name| all.by_name.get(name)).collect();
    all.inspect(api, &touching).await
}

/// The containers that carry a name of the restore.
pub(crate) async fn of_restore(api: &Api, restore: RestoreId) -> Result<Vec<Container>> {
    let all = Overview::of(api).await?;
    let ours: Vec<&Line> = all.by_name.values().filter(|line| container::is_ours(&line.name, restore)).collect();
    all.inspect(api, &ours).await
}

/// Orders containers so that each comes after those that it depends on; otherwise by name.
pub(crate) fn in_order(containers: Vec<Container>) -> Vec<Container> {
    let depends_on = containers.iter().map(|c| (c.name.clone(), c.depends_on.clone())).collect();
    let mut by_name: BTreeMap<String, Container> = containers.into_iter().map(|c| (c.name.clone(), c)).collect();
    waves(&depends_on).concat().iter().filter_map(|name| by_name.remove(name)).collect()
}

/// Whether the container is alive, as far as its state tells.
pub(crate) fn run_state(state: Option<&ContainerState>) -> RunState {
    let Some(state) = state else { return RunState::Running };
    let alive = state.running == Some(true);
    match state.status.unwrap_or(ContainerStateStatusEnum::EMPTY) {
        ContainerStateStatusEnum::PAUSED => RunState::Paused,
        ContainerStateStatusEnum::RUNNING if state.paused == Some(true) => RunState::Paused,
        // A container that is being stopped still has processes; one that restarts will have some in a moment.
        ContainerStateStatusEnum::RUNNING
        | ContainerStateStatusEnum::RESTARTING
        | ContainerStateStatusEnum::STOPPING
        | ContainerStateStatusEnum::EMPTY => RunState::Running,
        ContainerStateStatusEnum::CREATED
        | ContainerStateStatusEnum::EXITED
        | ContainerStateStatusEnum::DEAD
        | ContainerStateStatusEnum::REMOVING => match alive {
            true => RunState::Running,
            false => RunState::Stopped,
        },
    }
}

/// The restart policy as the port has it.
pub(crate) fn restart_policy(seen: &ContainerInspectResponse) -> RestartPolicy {
    let policy = seen.host_config.as_ref().and_then(|host| host.restart_policy.clone()).unwrap_or_default();
    let name = policy.name.map(|name| name.to_string()).filter(|name| !name.is_empty());
    let retries_max = policy.maximum_retry_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default();
    match name {
        Some(name) => RestartPolicy { name, retries_max },
        None => RestartPolicy::never(),
    }
}

/// What the engine waits after the stop signal if a container says nothing else.
const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long the engine waits for a container's end before it kills it; `None` if it waits for ever.
pub(crate) fn stop_timeout(seen: &ContainerInspectResponse) -> Option<Duration> {
    match seen.config.as_ref().and_then(|config| config.stop_timeout) {
        None => Some(STOP_TIMEOUT_DEFAULT),
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    }
}

/// A container as the engine's list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedContainer {
    /// Its name.
    pub name: String,
    /// The compose project that it is part of.
    pub project: Option<String>,
}

/// All containers, but those whose names a restore gave, as the list has them.
pub(crate) async fn listed(api: &Api) -> Result<Vec<ListedContainer>> {
    let one = |summary: ContainerSummary| {
        let name = own_name(summary.names.as_deref().unwrap_or_default())?;
        let project = Compose::of(summary.labels.as_ref()).project;
        container::restore_of(&name).is_none().then_some(ListedContainer { name, project })
    };
    Ok(api.list().await?.into_iter().filter_map(one).collect())
}

/// Ids and names of all containers.
pub(crate) async fn names(api: &Api) -> Result<Vec<(String, String)>> {
    let one = |summary: ContainerSummary| Some((summary.id?, own_name(summary.names.as_deref().unwrap_or_default())?));
    Ok(api.list().await?.into_iter().filter_map(one).collect())
}

/// What the engine's list tells of a container.
struct Line {
    id: String,
    name: String,
    labels: HashMap<String, String>,
    compose: Compose,
    sources: Sources,
}

/// All containers and volumes of an engine, as listed.
struct Overview {
    by_name: BTreeMap<String, Line>,
    volumes: Volumes,
}

impl Overview {
    async fn of(api: &Api) -> Result<Self> {
        let (containers, volumes) = futures_util::future::try_join(api.list(), api.volumes()).await?;
        let lines = containers.into_iter().filter_map(|summary| Line::of(summary, &volumes));
        Ok(Overview { by_name: lines.map(|line| (line.name.clone(), line)).collect(), volumes })
    }

    /// Looks at each of the containers; one that vanished meanwhile is left out.
    async fn inspect(&self, api: &Api, lines: &[&Line]) -> Result<Vec<Container>> {
        let mut containers = Vec::new();
        for lines in lines.chunks(LOOKS_AT_ONCE) {
            let seen = join_all(lines.iter().map(|line| api.inspect(&line.id))).await;
            for (line, seen) in lines.iter().zip(seen) {
                if let Some(seen) = seen? {
                    containers.push(self.container(line, seen).await?);
                }
            }
        }
        Ok(containers)
    }

    async fn container(&self, line: &Line, seen: ContainerInspectResponse) -> Result<Container> {
        let record = Record::take(&seen, |reference| self.name_of(reference));
        let (volumes, mounted) = (self.volumes.clone(), mounts::of(&seen));
        let mounts = blocking("look at mounts", move || mounts::describe(&mounted, &volumes)).await?;
        Ok(Container {
            id: ContainerId(line.id.clone()),
            name: name_of(&seen).to_string(),
            project: line.compose.project.clone(),
            service: line.compose.service.clone(),
            image: seen.config.as_ref().and_then(|config| config.image.clone()).unwrap_or_default(),
            image_id: seen.image.clone().unwrap_or_default(),
            run: run_state(seen.state.as_ref()),
            restart_policy: restart_policy(&seen),
            mounts,
            depends_on: self.needed_by(line, &seen),
            stop_timeout: stop_timeout(&seen),
            particulars: Particulars {
                removes_itself: seen.host_config.as_ref().and_then(|host| host.auto_remove) == Some(true),
                is_one_off: line.compose.is_one_off,
                orchestrator: line.compose.swarm_service.clone(),
                is_unhealthy: says(seen.state.as_ref(), HealthStatusEnum::UNHEALTHY),
                is_healthy: says(seen.state.as_ref(), HealthStatusEnum::HEALTHY),
                is_restarting: seen.state.as_ref().and_then(|state| state.restarting) == Some(true),
                conditions: self.conditions_of(line),
                peers: self.peers_of(&seen),
            },
            spec: record.to_spec()?,
        })
    }

    /// Names of the containers that must run before one: those of the services that it names, and those of which it uses
    /// something.
    fn needed_by(&self, line: &Line, seen: &ContainerInspectResponse) -> Vec<String> {
        let services = self.by_name.values().filter(|other| line.compose.needs(&other.compose));
        let names: BTreeSet<String> = services
            .map(|other| other.name.clone())
            .chain(self.peers_of(seen).into_iter().map(|peer| peer.name))
            .collect();
        names.into_iter().filter(|name| *name != line.name && is_own_name(name)).collect()
    }

    /// What each container that it depends on must do before it is started, where that is more than to run.
    fn conditions_of(&self, line: &Line) -> BTreeMap<String, Condition> {
        let of = |other: &Line| {
            let asked = *line.compose.conditions.get(other.compose.service.as_ref()?)?;
            (line.compose.needs(&other.compose) && is_own_name(&other.name)).then(|| (other.name.clone(), asked))
        };
        self.by_name.values().filter_map(of).collect()
    }

    /// What it uses of other containers, by their names.
    fn peers_of(&self, seen: &ContainerInspectResponse) -> Vec<Peer> {
        let Some(host) = &seen.host_config else { return Vec::new() };
        let peer = |(of, shares): (String, Shares)| {
            let name = self.name_of(&of);
            let by_name = name.as_ref() == Some(&of) && shares != Shares::Link;
            Peer { by_name, name: name.unwrap_or(of), shares }
        };
        let mut peers: Vec<Peer> = record::references(host).into_iter().map(peer).collect();
        peers.sort();
        peers.dedup();
        peers
    }

    /// As the engine finds a container: by its id, its name, or the beginning of its id.
    fn name_of(&self, reference: &str) -> Option<String> {
        let exact = self.by_name.values().find(|line| line.id == reference).or_else(|| self.by_name.get(reference));
        let is_short = reference.len() >= 6 && reference.bytes().all(|b| b.is_ascii_hexdigit());
        let mut starting = self.by_name.values().filter(|line| is_short && line.id.starts_with(reference));
        let begins = starting.next().filter(|_| starting.next().is_none());
        exact.or(begins).map(|line| line.name.clone())
    }
}

impl Line {
    fn of(summary: ContainerSummary, volumes: &Volumes) -> Option<Self> {
        let labels = summary.labels.unwrap_or_default();
        let mut sources = Sources::default();
        summary.mounts.iter().flatten().for_each(|mount| volumes.add_sources(mount, &mut sources));
        Some(Line {
            id: summary.id?,
            name: own_name(summary.names.as_deref().unwrap_or_default())?,
            compose: Compose::of(Some(&labels)),
            labels,
            sources,
        })
    }
}

/// Whether that is what its own check says.
fn says(state: Option<&ContainerState>, said: HealthStatusEnum) -> bool {
    state.and_then(|state| state.health.as_ref()).and_then(|health| health.status) == Some(said)
}

/// A container's own name; the list also has the names that links give it (`/other/alias`).
fn own_name(names: &[String]) -> Option<String> {
    names.iter().map(|name| name.trim_start_matches('/')).find(|name| !name.contains('/')).map(String::from)
}

/// Whether neither a restore nor a drill gave the container its name.
fn is_own_name(name: &str) -> bool {
    container::restore_of(name).is_none() && container::drill_of(name).is_none()
}

fn matches(selector: &Selector, line: &Line) -> bool {
    let by_project = selector.compose_project.is_some() && selector.compose_project == line.compose.project;
    let by_labels =
        !selector.labels.is_empty() && selector.labels.iter().all(|(key, value)| line.labels.get(key) == Some(value));
    by_project || by_labels || selector.containers.contains(&line.name)
}

pub(crate) async fn blocking<T: Send + 'static>(doing: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| EngineError::new(EngineErrorKind::Failed, format!("{doing}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: ContainerStateStatusEnum, running: bool) -> ContainerState {
        ContainerState { status: Some(status), running: Some(running), ..Default::default() }
    }

    #[test]
    fn only_a_known_stop_counts_as_stopped() {
        use ContainerStateStatusEnum as S;
        for status in [S::CREATED, S::EXITED, S::DEAD, S::REMOVING] {
            assert_eq!(run_state(Some(&state(status, false))), RunState::Stopped);
            assert_eq!(run_state(Some(&state(status, true))), RunState::Running, "{status:?} with a process");
        }
        for status in [S::RUNNING, S::RESTARTING, S::STOPPING, S::EMPTY] {
            assert_eq!(run_state(Some(&state(status, false))), RunState::Running);
        }
        assert_eq!(run_state(Some(&state(S::PAUSED, true))), RunState::Paused);
        assert_eq!(run_state(None), RunState::Running);
        assert_eq!(run_state(Some(&ContainerState::default())), RunState::Running);
    }

    #[test]
    fn a_name_given_by_a_link_is_not_the_containers_own() {
        assert_eq!(own_name(&["/web/db".into(), "/db".into()]).unwrap(), "db");
        assert_eq!(own_name(&[]), None);
    }
}
