//! The calls of the engine's API that the adapter uses, with their time-outs, errors and the answers "it is gone".

use std::{path::PathBuf, sync::Arc, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    exec::{CreateExecOptions, StartExecResults},
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerSummary, ContainerUpdateBody, EndpointSettings,
        ExecInspectResponse, FilesystemChange, ImageConfig, NetworkConnectRequest, NetworkCreateRequest,
        NetworkDisconnectRequest, RestartPolicyNameEnum, SystemInfo, SystemVersion,
    },
    query_parameters::{
        CreateContainerOptions, InspectContainerOptions, ListContainersOptions, ListNetworksOptions,
        ListVolumesOptions, LogsOptions, RemoveContainerOptions, RenameContainerOptions, StopContainerOptions,
    },
};
use futures_util::StreamExt;
use rustix::fs::{AtFlags, StatxFlags};
use serde_json::{Value, json};
use volsnap_core::{
    model::RestartPolicy,
    ports::{EngineError, EngineErrorKind},
};

use crate::{error::engine_error, mounts::Volumes, podman, record::MacAddress};

/// How long the first word with an engine may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long an ordinary call may take.
const CALL: Duration = Duration::from_secs(60);

/// How much of a container's log is worth repeating.
const WORDS_LINES: usize = 5;
const WORDS_BYTES: usize = 2000;

type Result<T> = std::result::Result<T, EngineError>;

/// What stands behind a socket that speaks Docker's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Docker Engine, or what takes itself for one.
    Docker {
        /// Its version.
        version: String,
    },
    /// Podman's compatible socket.
    Podman {
        /// Its version.
        version: String,
    },
}

impl Program {
    fn of(version: &SystemVersion) -> Self {
        let components = version.components.iter().flatten();
        let mut podman = components.filter(|component| component.name == "Podman Engine");
        match podman.next() {
            Some(component) => Program::Podman { version: component.version.clone() },
            None => {
                let version = version.version.clone().unwrap_or_else(|| "of an unknown version".into());
                Program::Docker { version }
            }
        }
    }

    /// Whether restart policies of containers that exist cannot be changed. Podman can since 5.1; before, its
    /// compatible socket knows no update.
    pub(crate) fn has_fixed_policies(&self) -> bool {
        match self {
            Program::Docker { .. } => false,
            Program::Podman { version } => {
                let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
                (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) < (5, 1)
            }
        }
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Program::Docker { version } => write!(f, "Docker Engine {version}"),
            Program::Podman { version } => write!(f, "Podman {version}"),
        }
    }
}

/// A connection whose version is agreed.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    docker: Docker,
    root: Option<PathBuf>,
    /// What tells the engine's directory from every other one, where the engine itself has no word that does.
    root_identity: Option<String>,
    is_podman: bool,
}

impl Api {
    /// Greets the engine behind a socket.
    pub(crate) async fn connect(socket: &str) -> Result<Self> {
        let doing = format!("connect to {socket}");
        let docker = Docker::connect_with_unix(socket, GREETING.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| engine_error(&doing, &error))?;
        let docker = docker.negotiate_version().await.map_err(|error| engine_error(&doing, &error))?;
        let info = docker.info().await.map_err(|error| engine_error(&doing, &error))?;
        let root = local_root(&info).await;
        let root_identity = root_identity(&info).await;
        let version = docker.version().await.map_err(|error| engine_error(&doing, &error))?;
        let is_podman = matches!(Program::of(&version), Program::Podman { .. });
        Ok(Api { docker: docker.with_timeout(CALL), root, root_identity, is_podman })
    }

    /// What tells this engine from every other one; `said` is what it says itself. Docker keeps that word among its data
    /// only from version 23 (API 1.42) on: before, all engines of a host may share it, and it outlives the data.
    pub(crate) fn identity(&self, said: Option<String>) -> Option<String> {
        let version = self.docker.client_version();
        let is_kept_with_data = (version.major_version, version.minor_version) >= (1, 42);
        identity(said, self.root_identity.clone(), is_kept_with_data)
    }

    /// Whether it is Podman's compatible socket.
    pub(crate) fn is_podman(&self) -> bool {
        self.is_podman
    }

    /// The engine's own directory, if it is on this host.
    pub(crate) fn root(&self) -> Option<&PathBuf> {
        self.root.as_ref()
    }

    /// Where this engine wants to be told a MAC address.
    pub(crate) fn mac(&self) -> MacAddress {
        let version = self.docker.client_version();
        match (version.major_version, version.minor_version) < (1, 44) {
            true => MacAddress::OfContainer,
            false => MacAddress::OfEndpoint,
        }
    }

    /// The program behind the socket, by its own words.
    pub(crate) async fn program(&self) -> Result<Program> {
        let version =
            self.docker.version().await.map_err(|error| engine_error("ask the engine for its version", &error))?;
        Ok(Program::of(&version))
    }

    pub(crate) async fn info(&self) -> Result<SystemInfo> {
        self.docker.info().await.map_err(|error| engine_error("ask the engine about itself", &error))
    }

    /// All containers in any state.
    pub(crate) async fn list(&self) -> Result<Vec<ContainerSummary>> {
        let options = ListContainersOptions { all: true, ..Default::default() };
        match self.docker.list_containers(Some(options)).await {
            Err(Error::JsonDataError { contents, .. }) if contents.trim_start().starts_with('[') => {
                lenient_list(&contents)
            }
            other => other.map_err(|error| engine_error("list containers", &error)),
        }
    }

    /// All named volumes.
    pub(crate) async fn volumes(&self) -> Result<Volumes> {
        let listed = self.docker.list_volumes(None::<ListVolumesOptions>).await;
        let listed = listed.map_err(|error| engine_error("list volumes", &error))?;
        Ok(Volumes::new(listed.volumes.unwrap_or_default()))
    }

    /// A container by id or name; `None` if there is none.
    pub(crate) async fn inspect(&self, which: &str) -> Result<Option<ContainerInspectResponse>> {
        let answer = match self.docker.inspect_container(which, None::<InspectContainerOptions>).await {
            Err(Error::JsonDataError { contents, .. }) => lenient_container(which, &contents).map(Some),
            other => found(other, format_args!("look at container {which}")),
        }?;
        // The engine also answers to the beginning of an id: a name must not be taken for one.
        let answer = answer.filter(|seen| seen.id.as_deref() == Some(which) || name_of(seen) == which);
        Ok(match self.is_podman {
            true => answer.map(podman::as_asked),
            false => answer,
        })
    }

    /// The content that an image name stands for now; `None` if it stands for nothing.
    pub(crate) async fn image_id(&self, image: &str) -> Result<Option<String>> {
        let answer = found(self.docker.inspect_image(image).await, format_args!("look at image {image}"))?;
        Ok(answer.and_then(|image| image.id))
    }

    /// What differs in a container's own layer from its image.
    pub(crate) async fn changes(&self, which: &str) -> Result<Vec<FilesystemChange>> {
        let changes = self.docker.container_changes(which).await;
        let doing = format_args!("list what was changed in container {which}");
        changes.map(Option::unwrap_or_default).map_err(|error| engine_error(doing, &error))
    }

    /// What an image gives to its containers; `None` if the engine has it not.
    pub(crate) async fn image_config(&self, image_id: &str) -> Result<Option<ImageConfig>> {
        let answer = found(self.docker.inspect_image(image_id).await, format_args!("look at image {image_id}"))?;
        Ok(answer.map(|image| image.config.unwrap_or_default()))
    }

    /// The names of the containers that carry a label, in any state.
    pub(crate) async fn labelled(&self, label: &str) -> Result<Vec<String>> {
        let filters = Some([("label".to_string(), vec![label.to_string()])].into());
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let listed = match self.docker.list_containers(Some(options)).await {
            Err(Error::JsonDataError { contents, .. }) if contents.trim_start().starts_with('[') => {
                lenient_list(&contents)?
            }
            other => other.map_err(|error| engine_error(format_args!("list containers of {label}"), &error))?,
        };
        let name = |names: Vec<String>| names.first().map(|name| name.trim_start_matches('/').to_string());
        Ok(listed.into_iter().filter_map(|container| container.names.and_then(name).or(container.id)).collect())
    }

    /// The ids of the networks that carry a label.
    pub(crate) async fn labelled_networks(&self, label: &str) -> Result<Vec<String>> {
        let filters = Some([("label".to_string(), vec![label.to_string()])].into());
        let listed = self.docker.list_networks(Some(ListNetworksOptions { filters })).await;
        let listed = listed.map_err(|error| engine_error(format_args!("list networks of {label}"), &error))?;
        Ok(listed.into_iter().filter_map(|network| network.id).collect())
    }

    pub(crate) async fn create_network(&self, request: NetworkCreateRequest) -> Result<()> {
        let doing = format!("create network {}", request.name);
        let made = self.docker.create_network(request).await;
        made.map(|_| ()).map_err(|error| engine_error(doing, &error))
    }

    /// Removes a network; nothing happens if it is gone.
    pub(crate) async fn remove_network(&self, network: &str) -> Result<()> {
        found(self.docker.remove_network(network).await, format_args!("remove network {network}")).map(|_| ())
    }

    /// Makes a container from a body that may hold more than bollard's type: what the type does not know is not lost.
    pub(crate) async fn create(&self, name: &str, body: &Value) -> Result<String> {
        let raw: Arc<[u8]> = portable(body.clone()).to_string().into_bytes().into();
        let docker = self.docker.clone().with_request_modifier(move |mut request| {
            *request.body_mut() = bollard::body_full(raw.to_vec().into());
            request
        });
        let options = CreateContainerOptions { name: Some(name.to_string()), ..Default::default() };
        let made = docker.create_container(Some(options), ContainerCreateBody::default()).await;
        made.map(|made| made.id).map_err(|error| engine_error(format_args!("create container {name}"), &error))
    }

    pub(crate) async fn connect_network(&self, network: &str, id: &str, endpoint: EndpointSettings) -> Result<()> {
        let request = NetworkConnectRequest { container: id.to_string(), endpoint_config: Some(endpoint) };
        let answer = self.docker.connect_network(network, request).await;
        answer.map_err(|error| engine_error(format_args!("connect container {id} to network {network}"), &error))
    }

    pub(crate) async fn disconnect_network(&self, network: &str, id: &str) -> Result<()> {
        let request = NetworkDisconnectRequest { container: id.to_string(), force: None };
        let answer = self.docker.disconnect_network(network, request).await;
        answer.map_err(|error| engine_error(format_args!("take container {id} from network {network}"), &error))
    }

    /// Starts a container; nothing happens if it runs.
    pub(crate) async fn start(&self, which: &str) -> Result<()> {
        let answer = self.docker.start_container(which, None).await;
        answer.map_err(|error| engine_error(format_args!("start container {which}"), &error))
    }

    /// Stops a container with its own signal and time-out; nothing happens if it is stopped or gone.
    pub(crate) async fn stop(&self, which: &str, patience: Duration) -> Result<()> {
        let docker = self.docker.clone().with_timeout(patience);
        let answer = docker.stop_container(which, None::<StopContainerOptions>).await;
        found(answer, format_args!("stop container {which}")).map(|_| ())
    }

    pub(crate) async fn pause(&self, which: &str) -> Result<()> {
        let answer = self.docker.pause_container(which).await;
        answer.map_err(|error| engine_error(format_args!("pause container {which}"), &error))
    }

    pub(crate) async fn unpause(&self, which: &str) -> Result<()> {
        let answer = self.docker.unpause_container(which).await;
        answer.map_err(|error| engine_error(format_args!("thaw container {which}"), &error))
    }

    pub(crate) async fn rename(&self, which: &str, name: &str) -> Result<()> {
        let options = RenameContainerOptions { name: name.to_string() };
        let answer = self.docker.rename_container(which, options).await;
        answer.map_err(|error| engine_error(format_args!("rename container {which} to {name}"), &error))
    }

    /// Removes a container that does not run, never its volumes; nothing happens if it is gone or going.
    pub(crate) async fn remove(&self, which: &str) -> Result<()> {
        self.remove_with(which, RemoveContainerOptions { v: false, force: false, link: false }).await
    }

    /// Kills a container and removes it with those of its volumes that have no name; nothing happens if it is gone or
    /// going.
    pub(crate) async fn remove_whole(&self, which: &str) -> Result<()> {
        self.remove_with(which, RemoveContainerOptions { v: true, force: true, link: false }).await
    }

    async fn remove_with(&self, which: &str, options: RemoveContainerOptions) -> Result<()> {
        let answer = self.docker.remove_container(which, Some(options)).await;
        match found(answer, format_args!("remove container {which}")) {
            Err(error) if error.kind == EngineErrorKind::Conflict && error.message.contains("already in progress") => {
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Sets the restart policy; `false` if the container is gone.
    pub(crate) async fn update_policy(&self, which: &str, policy: &RestartPolicy) -> Result<bool> {
        let doing = format!("set the restart policy of container {which} to {}", policy.name);
        let name = match policy.is_never() {
            true => RestartPolicyNameEnum::NO,
            false => (policy.name.parse())
                .map_err(|why| EngineError::new(EngineErrorKind::Failed, format!("{doing}: {why}")))?,
        };
        let restart_policy = bollard::models::RestartPolicy {
            name: Some(name),
            maximum_retry_count: Some(i64::from(policy.retries_max)),
        };
        let body = ContainerUpdateBody { restart_policy: Some(restart_policy), ..Default::default() };
        found(self.docker.update_container(which, body).await, doing).map(|done| done.is_some())
    }

    /// The last lines that a container wrote, as far as its log driver keeps them; nothing if it does not tell.
    pub(crate) async fn last_words(&self, which: &str) -> String {
        let options = LogsOptions { stdout: true, stderr: true, tail: WORDS_LINES.to_string(), ..Default::default() };
        let mut logs = self.docker.logs(which, Some(options));
        let mut words = Vec::new();
        while let (Some(Ok(chunk)), true) = (logs.next().await, words.len() < WORDS_BYTES) {
            words.extend_from_slice(&chunk.into_bytes());
        }
        words.truncate(WORDS_BYTES);
        String::from_utf8_lossy(&words).into_owned()
    }

    /// Starts a command in a running container, and gives its id and its output. It may say nothing for long.
    pub(crate) async fn start_exec(
        &self,
        container: &str,
        options: CreateExecOptions<String>,
    ) -> Result<(String, StartExecResults)> {
        let doing = format!("run a command in container {container}");
        let made = self.docker.create_exec(container, options).await;
        let id = made.map_err(|error| engine_error(&doing, &error))?.id;
        let started = self.docker.start_exec(&id, None).await;
        Ok((id, started.map_err(|error| engine_error(&doing, &error))?))
    }

    pub(crate) async fn inspect_exec(&self, container: &str, id: &str) -> Result<ExecInspectResponse> {
        let seen = self.docker.inspect_exec(id).await;
        seen.map_err(|error| engine_error(format_args!("look at a command in container {container}"), &error))
    }

    /// Makes what the engine wrote durable, where its directory is on this host: it does not sync its records itself.
    pub(crate) async fn settle(&self) -> Result<()> {
        let Some(root) = self.root.clone() else { return Ok(()) };
        let doing = format!("sync the engine's directory {}", root.display());
        let synced = tokio::task::spawn_blocking(move || {
            let directory = std::fs::File::open(root)?;
            rustix::fs::syncfs(directory).map_err(std::io::Error::from)
        });
        match synced.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EngineError::new(EngineErrorKind::Failed, format!("{doing}: {error}"))),
            Err(error) => Err(EngineError::new(EngineErrorKind::Failed, format!("{doing}: {error}"))),
        }
    }
}

/// A body in which every value is one that an engine takes, not only shows: Podman shows limits under the names that the
/// kernel's headers have (`RLIMIT_NOFILE`), and before 5 takes only those of the command line (`nofile`).
fn portable(mut body: Value) -> Value {
    let limits = body.pointer_mut("/HostConfig/Ulimits").and_then(Value::as_array_mut);
    for limit in limits.into_iter().flatten() {
        if let Some(name) = limit["Name"].as_str().and_then(|name| name.strip_prefix("RLIMIT_")) {
            limit["Name"] = json!(name.to_ascii_lowercase());
        }
    }
    // Podman shows a share of the processors in both ways, and takes it in one.
    if let Some(host) = body.get_mut("HostConfig").and_then(Value::as_object_mut)
        && host.get("NanoCpus").and_then(Value::as_i64).is_some_and(|share| share > 0)
    {
        host.remove("CpuPeriod");
        host.remove("CpuQuota");
    }
    body
}

/// A container's name without the slash.
pub(crate) fn name_of(seen: &ContainerInspectResponse) -> &str {
    seen.name.as_deref().unwrap_or_default().trim_start_matches('/')
}

fn found<T>(answer: std::result::Result<T, Error>, doing: impl std::fmt::Display) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) => match engine_error(doing, &error) {
            error if error.kind == EngineErrorKind::NotFound => Ok(None),
            error => Err(error),
        },
    }
}

/// The engine's directory as this host has it: `None` where the engine runs elsewhere or this process may not look.
async fn local_root(info: &SystemInfo) -> Option<PathBuf> {
    let root = PathBuf::from(info.docker_root_dir.clone()?);
    tokio::task::spawn_blocking(move || std::fs::read_dir(&root).is_ok().then_some(root)).await.ok().flatten()
}

/// What tells the engine's directory from every other one on this host, as long as nobody copies it: its path, inode and
/// time of birth. Also where this process may not look into it.
async fn root_identity(info: &SystemInfo) -> Option<String> {
    let root = info.docker_root_dir.clone()?;
    let identity = identity_of(PathBuf::from(&root)).await?;
    Some(format!("{root}#{identity}"))
}

fn identity(said: Option<String>, root: Option<String>, is_kept_with_data: bool) -> Option<String> {
    match (said, root) {
        (Some(said), Some(root)) if !is_kept_with_data => Some(format!("{said} {root}")),
        (Some(said), _) => Some(said),
        (None, root) => root,
    }
}

/// Reads a container whose state bollard does not know. It counts as running: what is unknown is never taken for
/// stopped.
fn lenient_container(which: &str, contents: &str) -> Result<ContainerInspectResponse> {
    let read = || -> serde_json::Result<ContainerInspectResponse> {
        let mut value: Value = serde_json::from_str(contents)?;
        if let Some(state) = value.get_mut("State").and_then(Value::as_object_mut) {
            state.insert("Status".into(), json!("running"));
            state.remove("Health");
        }
        serde_json::from_value(value)
    };
    read().map_err(|error| EngineError::new(EngineErrorKind::Failed, format!("read container {which}: {error}")))
}

/// Reads a list of containers without their states, which are looked at one by one.
fn lenient_list(contents: &str) -> Result<Vec<ContainerSummary>> {
    let read = || -> serde_json::Result<Vec<ContainerSummary>> {
        let mut value: Vec<serde_json::Map<String, Value>> = serde_json::from_str(contents)?;
        for container in &mut value {
            container.remove("State");
            container.remove("Health");
        }
        serde_json::from_value(Value::from_iter(value))
    };
    read().map_err(|error| EngineError::new(EngineErrorKind::Failed, format!("read the list of containers: {error}")))
}

/// What tells one directory from every other, as long as it stands, also after it was moved or mounted elsewhere.
pub(crate) async fn identity_of(directory: PathBuf) -> Option<String> {
    let look = move || {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let seen = rustix::fs::statx(rustix::fs::CWD, &directory, AtFlags::empty(), wanted).ok()?;
        Some(format!("{}-{}.{}", seen.stx_ino, seen.stx_btime.tv_sec, seen.stx_btime.tv_nsec))
    };
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
