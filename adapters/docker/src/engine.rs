//! The engine behind a socket: where it is found, and the port that is put on it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use futures_util::future::join_all;
use tokio::sync::OnceCell;
use volsnap_core::{
    model::{
        Container, ContainerId, Losses, Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector, WorkloadId,
    },
    ports::{
        Boot, BootCheck, Command, Containers, EngineError, EngineErrorKind, EngineInfo, Health, HealthState, Lease,
        Ran, Watch,
    },
};

use crate::{
    api::{Api, Program, identity_of},
    boot, exec, layer, look,
    look::ListedContainer,
    quiesce, replace, words,
};

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A Docker Engine behind a Unix socket.
///
/// Nothing is connected before the first call, so that an engine that is down is an answer and not a reason not to
/// start. Clones share the connection.
#[derive(Clone, Debug)]
pub struct DockerEngine {
    socket: PathBuf,
    api: Arc<OnceCell<Api>>,
}

impl DockerEngine {
    /// The engine that `DOCKER_HOST` names, or the one behind the default socket.
    ///
    /// # Errors
    /// [`EngineErrorKind::Failed`] if `DOCKER_HOST` names anything but a Unix socket: the volumes have to be on this
    /// host.
    pub fn from_env() -> Result<Self, EngineError> {
        match std::env::var_os("DOCKER_HOST") {
            None => Ok(Self::at_socket(DEFAULT_SOCKET)),
            Some(host) => Self::at_host(&host.to_string_lossy()),
        }
    }

    /// The engine behind that socket.
    pub fn at_socket(socket: impl Into<PathBuf>) -> Self {
        DockerEngine { socket: socket.into(), api: Arc::default() }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The engine that a value of `DOCKER_HOST` names; an empty one is the default socket.
    ///
    /// # Errors
    /// [`EngineErrorKind::Failed`] if it is anything but a Unix socket.
    pub fn at_host(host: &str) -> Result<Self, EngineError> {
        match (host, host.strip_prefix("unix://")) {
            ("", _) => Ok(Self::at_socket(DEFAULT_SOCKET)),
            (_, Some(path)) if path.starts_with('/') => Ok(Self::at_socket(path)),
            (other, _) => Err(EngineError::new(
                EngineErrorKind::Failed,
                format!("DOCKER_HOST={other} is no Unix socket (unix:///path): the volumes have to be on this host"),
            )),
        }
    }

    /// The names of all containers and their projects, from the engine's list alone: for suggestions, where an answer is
    /// to come at once. Names that a restore gave are left out.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn listed(&self) -> Result<Vec<ListedContainer>, EngineError> {
        look::listed(self.api().await?).await
    }

    /// The same answer, with the names of containers where an error has their ids.
    async fn told<T>(&self, answer: Result<T, EngineError>) -> Result<T, EngineError> {
        match answer {
            Err(error) if words::has_id(&error.message) => {
                let names = match self.api().await {
                    Ok(api) => look::names(api).await.unwrap_or_default(),
                    Err(_) => Vec::new(),
                };
                Err(EngineError { message: words::named(&error.message, &names), ..error })
            }
            answer => answer,
        }
    }

    /// The connection, made by the first call that reaches the engine.
    async fn api(&self) -> Result<&Api, EngineError> {
        let Some(socket) = self.socket.to_str() else {
            let why = format!("the socket's path {} is not UTF-8", self.socket.display());
            return Err(EngineError::new(EngineErrorKind::Failed, why));
        };
        self.api.get_or_try_init(|| Api::connect(socket)).await
    }
}

struct NoLease;

impl Lease for NoLease {}

#[async_trait]
impl Containers for DockerEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let api = self.api().await?;
        let (info, program) = futures_util::future::try_join(api.info(), api.program()).await?;
        let root = api.root().cloned();
        let id = match (&program, &root) {
            (Program::Docker { .. }, _) => api.identity(info.id.filter(|id| !id.is_empty())),
            // It makes up another id at each call. What it has lies in its directory, and is lost with it.
            (Program::Podman { .. }, Some(root)) => {
                identity_of(root.clone()).await.map(|identity| format!("podman-{identity}"))
            }
            (Program::Podman { .. }, None) => None,
        };
        Ok(EngineInfo {
            version: program.to_string(),
            id,
            root,
            live_restore: info.live_restore_enabled,
            fixed_policies: program.has_fixed_policies(),
        })
    }

    async fn is_expected(&self) -> bool {
        let socket = self.socket.clone();
        look::blocking("look for the socket", move || socket.exists()).await.unwrap_or(true)
    }

    fn health_interval(&self) -> Duration {
        Duration::from_millis(250)
    }

    fn command(&self) -> &'static str {
        match self.api.get().is_some_and(Api::is_podman) {
            true => "podman",
            false => "docker",
        }
    }

    async fn lease(&self, _: WorkloadId) -> Result<Box<dyn Lease>, EngineError> {
        Ok(Box::new(NoLease))
    }

    async fn find(&self, selector: &Selector) -> Result<Vec<Container>, EngineError> {
        self.told(look::find(self.api().await?, selector).await).await
    }

    async fn all(&self) -> Result<Vec<Container>, EngineError> {
        self.told(look::all(self.api().await?).await).await
    }

    async fn mounting(&self, paths: &[PathBuf]) -> Result<Vec<Container>, EngineError> {
        self.told(look::mounting(self.api().await?, paths).await).await
    }

    async fn of_restore(&self, restore: RestoreId) -> Result<Vec<Container>, EngineError> {
        self.told(look::of_restore(self.api().await?, restore).await).await
    }

    async fn losses(&self, id: &ContainerId) -> Result<Losses, EngineError> {
        layer::losses(self.api().await?, id).await
    }

    async fn has_image(&self, image_id: &str) -> Result<bool, EngineError> {
        Ok(self.api().await?.image_id(image_id).await?.is_some())
    }

    async fn exec(&self, container: &str, command: &Command, watch: &Watch) -> Result<Ran, EngineError> {
        self.told(exec::exec(self.api().await?, container, command, watch).await).await
    }

    async fn settle(&self) -> Result<(), EngineError> {
        self.api().await?.settle().await
    }

    async fn pause(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        self.told(quiesce::pause(self.api().await?, ids).await).await
    }

    async fn unpause(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        self.told(quiesce::unpause(self.api().await?, ids).await).await
    }

    async fn set_restart_policy(&self, id: &ContainerId, policy: &RestartPolicy) -> Result<(), EngineError> {
        let api = self.api().await?;
        self.told(quiesce::set_policy(api, &id.0, policy).await).await?;
        // A policy that was set before, by a call that died here, may not be durable either.
        api.settle().await
    }

    async fn stop(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        self.told(quiesce::stop(self.api().await?, ids).await).await
    }

    async fn prepare(&self, restore: RestoreId, container: &Container) -> Result<(), EngineError> {
        self.told(replace::prepare(self.api().await?, restore, container).await).await
    }

    async fn redeploy(&self, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> Result<(), EngineError> {
        self.told(replace::redeploy(self.api().await?, restore, pinned, how).await).await
    }

    async fn discard(&self, restore: RestoreId) -> Result<(), EngineError> {
        let api = self.api().await?;
        self.told(replace::discard(api, restore).await).await?;
        // Also what an earlier call removed, and did not live to sync.
        api.settle().await
    }

    async fn check_boot(&self, boots: &[Boot]) -> Result<BootCheck, EngineError> {
        self.told(boot::check(self.api().await?, boots).await).await
    }

    async fn boot(&self, drill: RestoreId, boots: &[Boot]) -> Result<(), EngineError> {
        self.told(boot::boot(self.api().await?, drill, boots).await).await
    }

    async fn unboot(&self, drill: RestoreId) -> Result<(), EngineError> {
        self.told(boot::unboot(self.api().await?, drill).await).await
    }

    async fn health(&self, names: &[String]) -> Result<Vec<Health>, EngineError> {
        let api = self.api().await?;
        let seen = join_all(names.iter().map(|name| api.inspect(name))).await;
        let mut healths = Vec::new();
        for (name, seen) in names.iter().zip(seen) {
            let seen = seen?;
            let mut health = health(name, seen.as_ref());
            // A restore that goes back removes the container, and its log with it: whoever reads the report sees no
            // other trace of why it ended, or is not well.
            if let (HealthState::Down | HealthState::Unhealthy, Some(id)) = (health.state, seen.and_then(|s| s.id)) {
                health.detail.push_str(&quoted(&api.last_words(&id).await));
            }
            healths.push(health);
        }
        Ok(healths)
    }
}

/// Lines of a log in one line, in quotes, for the end of a sentence; nothing for no words.
fn quoted(words: &str) -> String {
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_string();
    let lines: Vec<String> = words.lines().map(plain).filter(|line| !line.is_empty()).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(", its last words: `{}`", lines.join(" | ")),
    }
}

/// How a container is, from what the engine shows of it; `None` if it is gone.
fn health(name: &str, seen: Option<&ContainerInspectResponse>) -> Health {
    let run = seen.and_then(|seen| {
        let started = seen.state.as_ref()?.started_at.as_ref()?;
        Some(format!("{started} {}", seen.restart_count.unwrap_or_default()))
    });
    let judged =
        |state, detail: String| Health { name: name.to_string(), state, run: run.clone(), detail, exit_code: None };
    let Some(seen) = seen else { return judged(HealthState::Down, "there is no such container".into()) };
    let Some(state) = &seen.state else { return judged(HealthState::Running, "in an unknown state".into()) };
    let exit_code = state.exit_code.unwrap_or_default();
    if state.restarting == Some(true) {
        let count = seen.restart_count.unwrap_or_default();
        return judged(HealthState::Down, format!("restarted {count} times, last exit code {exit_code}"));
    }
    match look::run_state(Some(state)) {
        RunState::Stopped => {
            let down = judged(HealthState::Down, format!("exit code {exit_code}"));
            // One that was only made, or could not be started, has a code as well, which says nothing.
            let has_run = state.started_at.as_deref().is_some_and(|at| !at.starts_with("0001-"));
            let exit_code = state.exit_code.filter(|_| has_run && state.error.as_deref().is_none_or(str::is_empty));
            return Health { exit_code, ..down };
        }
        // A frozen container cannot answer its check; it is as it should be.
        RunState::Paused => return judged(HealthState::Running, "paused".into()),
        RunState::Running => {}
    }
    let check = state.health.as_ref();
    let last = check.and_then(|check| check.log.iter().flatten().last()).and_then(|result| result.output.clone());
    let detail = match last.as_deref().map(str::trim) {
        None => "its check has not said anything yet".to_string(),
        Some("") => "its check says nothing".to_string(),
        Some(said) => said.to_string(),
    };
    match check.and_then(|check| check.status).unwrap_or(HealthStatusEnum::NONE) {
        HealthStatusEnum::HEALTHY => judged(HealthState::Healthy, detail),
        HealthStatusEnum::STARTING => judged(HealthState::Starting, detail),
        HealthStatusEnum::UNHEALTHY => judged(HealthState::Unhealthy, detail),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => {
            judged(HealthState::Running, "without a health check".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerState, ContainerStateStatusEnum, HealthcheckResult};

    use super::*;

    #[test]
    fn only_a_socket_of_this_host_is_an_engine() {
        assert_eq!(DockerEngine::at_host("unix:///run/d.sock").unwrap().socket(), Path::new("/run/d.sock"));
        assert_eq!(DockerEngine::at_host("").unwrap().socket(), Path::new(DEFAULT_SOCKET));
        for elsewhere in ["tcp://10.0.0.1:2375", "ssh://host", "unix://", "unix://relative", "/run/d.sock"] {
            let error = DockerEngine::at_host(elsewhere).unwrap_err();
            assert_eq!(error.kind, EngineErrorKind::Failed);
            assert!(error.message.contains(elsewhere), "{}", error.message);
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_unreachable() {
        let error = DockerEngine::at_socket("/nowhere/docker.sock").info().await.unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Unreachable);
        assert!(error.is_transient());
        assert!(error.message.contains("/nowhere/docker.sock"), "{}", error.message);
    }

    #[tokio::test]
    async fn a_socket_that_nobody_serves_is_unreachable() {
        let socket = std::env::temp_dir().join(format!("volsnap-docker-{}.sock", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let error = DockerEngine::at_socket(&socket).info().await.unwrap_err();
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(error.kind, EngineErrorKind::Unreachable);
    }

    fn running(check: Option<HealthStatusEnum>) -> ContainerInspectResponse {
        let log = vec![HealthcheckResult { output: Some("pong\n".into()), ..Default::default() }];
        let health =
            check.map(|status| bollard::models::Health { status: Some(status), log: Some(log), ..Default::default() });
        let status = Some(ContainerStateStatusEnum::RUNNING);
        let state = ContainerState { status, running: Some(true), health, ..Default::default() };
        ContainerInspectResponse { state: Some(state), ..Default::default() }
    }

    #[test]
    fn health_follows_the_check_if_there_is_one() {
        let of = |check| health("web", Some(&running(check)));
        assert_eq!(of(None).state, HealthState::Running);
        assert_eq!(of(Some(HealthStatusEnum::NONE)).state, HealthState::Running);
        assert_eq!(of(Some(HealthStatusEnum::STARTING)).state, HealthState::Starting);
        assert_eq!(of(Some(HealthStatusEnum::HEALTHY)).state, HealthState::Healthy);
        let ill = of(Some(HealthStatusEnum::UNHEALTHY));
        assert_eq!((ill.state, ill.detail.as_str()), (HealthState::Unhealthy, "pong"));
        let mut silent = running(Some(HealthStatusEnum::UNHEALTHY));
        let check = silent.state.as_mut().and_then(|state| state.health.as_mut()).unwrap();
        check.log.as_mut().unwrap()[0].output = Some("\n".into());
        assert_eq!(health("web", Some(&silent)).detail, "its check says nothing");
    }

    #[test]
    fn last_words_are_one_line_without_control_characters() {
        assert_eq!(quoted("\n  \n"), "");
        let said = quoted("\u{1b}[31mno such table\u{1b}[0m\r\n\n bye \n");
        assert_eq!(said, ", its last words: `[31mno such table[0m | bye`");
    }

    #[test]
    fn what_is_gone_ended_or_restarts_is_down() {
        assert_eq!(health("web", None).state, HealthState::Down);
        let mut seen = running(None);
        let state = seen.state.as_mut().unwrap();
        state.restarting = Some(true);
        assert_eq!(health("web", Some(&seen)).state, HealthState::Down);
        let ended = ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            running: Some(false),
            exit_code: Some(137),
            ..Default::default()
        };
        let seen = ContainerInspectResponse { state: Some(ended), ..Default::default() };
        assert_eq!(health("web", Some(&seen)).detail, "exit code 137");
        assert_eq!(health("web", Some(&seen)).exit_code, None, "it has never been started");
        let with = |started_at: &str, error: &str| {
            let mut seen = seen.clone();
            let state = seen.state.as_mut().unwrap();
            (state.started_at, state.error) = (Some(started_at.into()), Some(error.into()));
            health("web", Some(&seen)).exit_code
        };
        assert_eq!(with("2026-11-23T02:49:15Z", ""), Some(137));
        assert_eq!(with("0001-01-01T00:00:00Z", ""), None);
        assert_eq!(with("2026-11-23T02:49:15Z", "no such device"), None);
    }
}
