//! The record of a container, from which it can be made anew, and the request that does so: pure functions.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, EndpointIpamConfig, EndpointSettings, HostConfig, ImageConfig, Mount,
    MountPoint, MountType, NetworkingConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use volsnap_core::{
    model::{Container, Shares},
    ports::{EngineError, EngineErrorKind},
};

/// Version of the record; it is journalled, so that a newer volsnap may have to read it.
const FORMAT: u32 = 1;

/// Everything that is needed to make a container anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    /// The container's id: what the engine derived from it is not carried over.
    id: String,
    config: ContainerConfig,
    host: HostConfig,
    networks: BTreeMap<String, EndpointSettings>,
    mounts: Vec<MountPoint>,
    /// Containers whose namespaces or volumes it uses, or to which it is linked, as they are referred to, with their
    /// names: when such a container is made anew, the reference must follow.
    peers: BTreeMap<String, String>,
    /// The image that it ran, by content: what it has of that image it does not take along to another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

/// A container that another one refers to, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its id.
    pub(crate) id: String,
    /// Its present name.
    pub(crate) name: String,
}

/// The containers that a record's references stand for now, by reference.
pub(crate) type Peers = BTreeMap<String, Standing>;

/// The part of the engine's API that decides where a MAC address is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MacAddress {
    /// Up to API 1.43: one for the container, for its first network.
    OfContainer,
    /// From API 1.44: one for each endpoint.
    OfEndpoint,
}

impl Record {
    /// Takes the record of a container as the engine shows it. `name_of` gives the name of a container by a reference.
    pub(crate) fn take(seen: &ContainerInspectResponse, name_of: impl Fn(&str) -> Option<String>) -> Self {
        let host = seen.host_config.clone().unwrap_or_default();
        let peers = references(&host).into_iter().filter_map(|(peer, _)| {
            let name = name_of(&peer)?;
            Some((peer, name))
        });
        let peers = peers.collect();
        let networks = seen.network_settings.as_ref().and_then(|settings| settings.networks.clone());
        Record {
            format: FORMAT,
            id: seen.id.clone().unwrap_or_default(),
            config: seen.config.clone().unwrap_or_default(),
            host,
            networks: networks.unwrap_or_default().into_iter().collect(),
            mounts: seen.mounts.clone().unwrap_or_default(),
            peers,
            image: seen.image.clone(),
        }
    }

    /// The image that it ran, if it has to be made from `image_id` and that is another one.
    pub(crate) fn other_image(&self, image_id: &str) -> Option<&str> {
        self.image.as_deref().filter(|image| !image.is_empty() && *image != image_id)
    }

    /// The same container without what `image` gave to it, so that another image gives its own.
    pub(crate) fn without(&self, image: &ImageConfig) -> Self {
        Record { config: without(&self.config, image), ..self.clone() }
    }

    /// The record as core carries it.
    pub(crate) fn to_spec(&self) -> Result<Value, EngineError> {
        serde_json::to_value(self).map_err(|error| {
            EngineError::new(EngineErrorKind::Failed, format!("record container {}: {error}", self.id))
        })
    }

    /// Reads the record that core carried.
    pub(crate) fn of(container: &Container) -> Result<Self, EngineError> {
        let unreadable = |why: String| {
            EngineError::new(EngineErrorKind::Failed, format!("read the record of container {}: {why}", container.name))
        };
        match container.spec.get("format").and_then(Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(newer) => return Err(unreadable(format!("format {newer} is not known, only {FORMAT} is"))),
            None => return Err(unreadable("it has no format".into())),
        }
        serde_json::from_value(container.spec.clone()).map_err(|error| unreadable(error.to_string()))
    }

    /// What it was given of the host.
    pub(crate) fn host(&self) -> &HostConfig {
        &self.host
    }

    /// What it mounts, as the engine shows it.
    pub(crate) fn mounts(&self) -> &[MountPoint] {
        &self.mounts
    }

    /// The names that others in its networks know it by, without what the engine made of its id.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &String> {
        let aliases = self.networks.values().flat_map(|endpoint| endpoint.aliases.iter().flatten());
        aliases.filter(|alias| *alias != short(&self.id))
    }

    /// The names by which it knows others: the other's name, and the one that it has for it.
    pub(crate) fn links(&self) -> impl Iterator<Item = (String, String)> {
        let of_networks = self.networks.values().flat_map(|endpoint| endpoint.links.iter().flatten());
        let links = self.host.links.iter().flatten().chain(of_networks).map(|link| plain_link(link));
        links.filter_map(|link| link.split_once(':').map(|(other, alias)| (other.to_string(), alias.to_string())))
    }

    /// References to other containers with their names.
    pub(crate) fn peers(&self) -> &BTreeMap<String, String> {
        &self.peers
    }

    /// The body of the request that makes the container anew, stopped and with restart policy `no`.
    ///
    /// `image` is a name or id of the recorded content; `peers` gives for each reference to another container the one
    /// to use now.
    pub(crate) fn create_body(&self, image: &str, peers: &Peers, mac: MacAddress) -> Result<Value, EngineError> {
        let body = || -> serde_json::Result<Value> {
            let mut body = serde_json::to_value(self.new_config(image))?;
            body["HostConfig"] = serde_json::to_value(self.new_host(peers))?;
            if let Some((name, endpoint)) = self.first_network() {
                let given = given_mac(endpoint);
                let endpoint = self.new_endpoint(endpoint, mac);
                if let (Some(address), MacAddress::OfContainer) = (given, mac) {
                    body["MacAddress"] = json!(address);
                }
                let mut endpoints = BTreeMap::from([(name.to_string(), endpoint)]);
                match mac {
                    MacAddress::OfContainer => {}
                    // Told later, the engine would give it another address than it had.
                    MacAddress::OfEndpoint => endpoints.extend(self.further_networks(mac)),
                }
                let networking = NetworkingConfig { endpoints_config: Some(endpoints.into_iter().collect()) };
                body["NetworkingConfig"] = serde_json::to_value(networking)?;
            }
            Ok(body)
        };
        body().map_err(|error| {
            EngineError::new(EngineErrorKind::Failed, format!("write down container {}: {error}", self.id))
        })
    }

    /// The networks that it has to be connected to after it is made: before API 1.44 the engine takes only one while making it.
    pub(crate) fn further_networks(&self, mac: MacAddress) -> BTreeMap<String, EndpointSettings> {
        let first = self.first_network().map(|(name, _)| name);
        self.own_networks()
            .filter(|(name, _)| Some(name.as_str()) != first)
            .map(|(name, endpoint)| (name.clone(), self.new_endpoint(endpoint, mac)))
            .collect()
    }

    /// Names of all networks that it is in.
    pub(crate) fn network_names(&self) -> BTreeSet<String> {
        self.own_networks().map(|(name, _)| name.clone()).collect()
    }

    /// Whether a container that was made from the record still refers to the right other containers.
    pub(crate) fn refers_like(&self, made: &HostConfig, peers: &Peers) -> bool {
        self.keeps_namespaces(made, peers)
            && self.new_host(peers).volumes_from.unwrap_or_default() == made.volumes_from.clone().unwrap_or_default()
            && self.keeps_links(made, peers)
    }

    /// Whether the recorded container itself, as it is now, can be started again: one whose namespaces were another
    /// container's, or that was linked to one, cannot if that was made anew.
    pub(crate) fn can_start(&self, now: &HostConfig, peers: &Peers) -> bool {
        self.keeps_namespaces(now, peers) && self.keeps_links(now, peers)
    }

    fn keeps_namespaces(&self, made: &HostConfig, peers: &Peers) -> bool {
        // By name, a reference finds whoever has the name when the container is started.
        let is_by_name = |mode: &String| peer_of(mode).is_some_and(|peer| self.is_by_name(peer));
        let same = |(wanted, made): (&String, &String)| wanted == made || is_by_name(made);
        let wanted = self.new_host(peers);
        let (wanted, made): (Vec<&String>, Vec<&String>) = (peer_modes(&wanted).collect(), peer_modes(made).collect());
        wanted.len() == made.len() && wanted.into_iter().zip(made).all(same)
    }

    /// The engine keeps a link to a container and shows it with that container's present name.
    fn keeps_links(&self, made: &HostConfig, peers: &Peers) -> bool {
        let shown: BTreeSet<String> = made.links.iter().flatten().map(|link| plain_link(link)).collect();
        let wanted = self.host.links.iter().flatten().map(|link| plain_link(link));
        let mut wanted = wanted.filter_map(|link| {
            let (other, alias) = link.split_once(':')?;
            Some(format!("{}:{alias}", peers.get(other)?.name))
        });
        wanted.all(|link| shown.contains(&link))
    }

    /// Whether a reference is the other container's name, which whoever takes its place has too.
    fn is_by_name(&self, reference: &str) -> bool {
        self.peers.get(reference).is_some_and(|name| name == reference)
    }

    /// Its networks; those that come with the mode (host, none, another container's) are not its own.
    fn own_networks(&self) -> impl Iterator<Item = (&String, &EndpointSettings)> {
        let mode = self.network_mode();
        let borrowed = mode == "host" || mode == "none" || peer_of(mode).is_some();
        self.networks.iter().filter(move |_| !borrowed)
    }

    /// The network of its mode, which it gets while it is made.
    fn first_network(&self) -> Option<(&str, &EndpointSettings)> {
        let mode = self.network_mode();
        self.own_networks()
            .find(|(name, _)| *name == mode)
            .or_else(|| self.own_networks().find(|(_, endpoint)| endpoint.network_id.as_deref() == Some(mode)))
            .map(|(name, endpoint)| (name.as_str(), endpoint))
    }

    pub(crate) fn network_mode(&self) -> &str {
        match self.host.network_mode.as_deref() {
            None | Some("" | "default") => "bridge",
            Some(mode) => mode,
        }
    }

    pub(crate) fn new_config(&self, image: &str) -> ContainerConfig {
        let mut config = self.config.clone();
        config.image = Some(image.to_string());
        if config.hostname.as_deref() == Some(short(&self.id)) {
            // The engine took it from the id: the new container gets one from its own.
            config.hostname = None;
        }
        if self.host.uts_mode.as_deref() == Some("host") || peer_of(self.network_mode()).is_some() {
            // Shown, but the host's or the other container's; the engine refuses to be told.
            config.hostname = None;
            config.domainname = None;
        }
        if peer_of(self.network_mode()).is_some() {
            config.exposed_ports = None;
        }
        config
    }

    fn new_host(&self, peers: &Peers) -> HostConfig {
        let mut host = self.host.clone();
        host.restart_policy = Some(bollard::models::RestartPolicy {
            name: Some(bollard::models::RestartPolicyNameEnum::NO),
            maximum_retry_count: Some(0),
        });
        for mode in [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode].into_iter().flatten() {
            if let Some(now) = peer_of(mode).and_then(|peer| peers.get(peer)) {
                *mode = format!("container:{}", now.id);
            }
        }
        host.links = host.links.map(|links| links.iter().map(|link| self.new_link(link, peers)).collect());
        host.volumes_from = host.volumes_from.map(|from| from.iter().filter_map(|f| self.new_from(f, peers)).collect());
        self.keep_volumes(&mut host);
        host
    }

    /// A link to whoever has the other's place. By name it would be one to a container that is on its way out.
    fn new_link(&self, link: &str, peers: &Peers) -> String {
        let plain = plain_link(link);
        match plain.split_once(':').and_then(|(other, alias)| Some((peers.get(other)?, other, alias))) {
            Some((now, other, alias)) if now.name != other => format!("{}:{alias}", now.id),
            Some(_) | None => plain,
        }
    }

    /// The volumes of whoever has the other's place; `None` if nobody has: they are attached one by one.
    fn new_from(&self, from: &str, peers: &Peers) -> Option<String> {
        let (other, mode) = from.split_once(':').map_or((from, None), |(other, mode)| (other, Some(mode)));
        let other = match self.is_by_name(other) {
            true => other,
            false => &peers.get(other)?.id,
        };
        Some(mode.map_or_else(|| other.to_string(), |mode| format!("{other}:{mode}")))
    }

    /// Attaches the volumes that it has, also those without a name of their own, by name.
    ///
    /// The engine must not fill them from the image (`nocopy`): it would do so where a volume is empty, while the
    /// container is made, which is a write into a volume that nobody asked for.
    fn keep_volumes(&self, host: &mut HostConfig) {
        for mount in host.mounts.iter_mut().flatten().filter(|mount| mount.typ == Some(MountType::VOLUME)) {
            if mount.source.as_deref().unwrap_or_default().is_empty() {
                mount.source = self.volume_at(mount.target.as_deref().unwrap_or_default());
            }
            mount.volume_options.get_or_insert_default().no_copy = Some(true);
        }
        let mut binds: Vec<String> = host.binds.iter().flatten().map(|bind| without_copy(bind)).collect();
        for volume in self.mounts.iter().filter(|mount| mount.typ.as_deref() == Some("volume")) {
            let (Some(name), Some(target)) = (&volume.name, &volume.destination) else { continue };
            if !is_bound(&binds, target) && !is_mounted(host.mounts.as_deref(), target) {
                let access = if volume.rw == Some(false) { "ro" } else { "rw" };
                binds.push(format!("{name}:{target}:{access},nocopy"));
            }
        }
        if host.volumes_from.as_ref().map(Vec::len) != self.host.volumes_from.as_ref().map(Vec::len) {
            binds.extend(self.borrowed_directories(&binds, host.mounts.as_deref()));
        }
        host.binds = if binds.is_empty() { None } else { Some(binds) };
    }

    /// Directories of the host that it has of a container that is gone.
    fn borrowed_directories(&self, binds: &[String], mounts: Option<&[Mount]>) -> Vec<String> {
        let directories = self.mounts.iter().filter(|mount| mount.typ.as_deref() == Some("bind"));
        let own = |target: &str| is_bound(binds, target) || is_mounted(mounts, target);
        let borrowed =
            directories.filter_map(|mount| Some((mount, mount.source.as_ref()?, mount.destination.as_ref()?)));
        let bind = |mount: &MountPoint| if mount.rw == Some(false) { "ro" } else { "rw" };
        borrowed
            .filter(|(_, _, target)| !own(target))
            .map(|(mount, source, target)| format!("{source}:{target}:{}", bind(mount)))
            .collect()
    }

    fn volume_at(&self, target: &str) -> Option<String> {
        let mut at = self.mounts.iter().filter(|mount| mount.destination.as_deref() == Some(target));
        at.find_map(|mount| mount.name.clone())
    }

    /// What was asked for of an endpoint, without what the engine made of it.
    fn new_endpoint(&self, endpoint: &EndpointSettings, mac: MacAddress) -> EndpointSettings {
        let aliases = endpoint.aliases.iter().flatten().filter(|alias| *alias != short(&self.id)).cloned().collect();
        EndpointSettings {
            ipam_config: endpoint.ipam_config.clone().filter(|asked| *asked != EndpointIpamConfig::default()),
            links: endpoint.links.clone(),
            aliases: Some(aliases).filter(|aliases: &Vec<String>| !aliases.is_empty()),
            driver_opts: endpoint.driver_opts.clone(),
            gw_priority: endpoint.gw_priority,
            mac_address: given_mac(endpoint).filter(|_| mac == MacAddress::OfEndpoint),
            ..EndpointSettings::default()
        }
    }
}

/// The engine's short form of an id.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn peer_modes(host: &HostConfig) -> impl Iterator<Item = &String> {
    [&host.network_mode, &host.ipc_mode, &host.pid_mode].into_iter().flatten()
}

/// The other containers that it refers to: as it does, and what it uses of them.
pub(crate) fn references(host: &HostConfig) -> Vec<(String, Shares)> {
    let modes = [(&host.network_mode, Shares::Network), (&host.ipc_mode, Shares::Ipc), (&host.pid_mode, Shares::Pid)];
    let spaces = modes.into_iter().filter_map(|(mode, shares)| Some((peer_of(mode.as_deref()?)?, shares)));
    let spaces = spaces.map(|(peer, shares)| (peer.to_string(), shares));
    // Each `name[:mode]`; a link is `/other:/self/alias`.
    let first = |text: &String| text.trim_start_matches('/').split(':').next().unwrap_or_default().to_string();
    let volumes = host.volumes_from.iter().flatten().map(|from| (first(from), Shares::Volumes));
    let links = host.links.iter().flatten().map(|link| (first(link), Shares::Link));
    spaces.chain(volumes).chain(links).collect()
}

/// A configuration without what an image gave to it, as the engine gives it when a container is made.
fn without(config: &ContainerConfig, image: &ImageConfig) -> ContainerConfig {
    let mut own = config.clone();
    if let (Some(env), Some(given)) = (&mut own.env, &image.env) {
        env.retain(|variable| !given.contains(variable));
    }
    if let (Some(labels), Some(given)) = (&mut own.labels, &image.labels) {
        labels.retain(|key, value| given.get(key) != Some(value));
    }
    if let (Some(ports), Some(given)) = (&mut own.exposed_ports, &image.exposed_ports) {
        ports.retain(|port| !given.contains(port));
    }
    if let (Some(volumes), Some(given)) = (&mut own.volumes, &image.volumes) {
        volumes.retain(|volume| !given.contains(volume));
    }
    // Whoever chooses an entrypoint gets no command of the image.
    if own.entrypoint == image.entrypoint {
        own.entrypoint = None;
        own.cmd = own.cmd.filter(|cmd| image.cmd.as_ref() != Some(cmd));
    }
    own.user = own.user.filter(|user| image.user.as_ref() != Some(user));
    own.working_dir = own.working_dir.filter(|dir| image.working_dir.as_ref() != Some(dir));
    own.stop_signal = own.stop_signal.filter(|signal| image.stop_signal.as_ref() != Some(signal));
    own.shell = own.shell.filter(|shell| image.shell.as_ref() != Some(shell));
    own.healthcheck = own.healthcheck.filter(|check| image.healthcheck.as_ref() != Some(check));
    own.on_build = None;
    own
}

/// The container that a mode refers to.
pub(crate) fn peer_of(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
}

/// A link as it is asked for; the engine shows `/other:/self/alias`.
fn plain_link(link: &str) -> String {
    match link.split_once(':') {
        Some((other, alias)) => {
            let alias = alias.rsplit('/').next().unwrap_or(alias);
            format!("{}:{alias}", other.trim_start_matches('/'))
        }
        None => link.to_string(),
    }
}

/// The MAC address if somebody chose it. The engine's own are made from the address of the endpoint (up to Docker 27);
/// those of later engines cannot be told from chosen ones, and keeping them does no harm: only one of the two
/// containers runs at a time.
fn given_mac(endpoint: &EndpointSettings) -> Option<String> {
    let address: std::net::Ipv4Addr = endpoint.ip_address.as_deref().unwrap_or_default().parse().ok()?;
    let [a, b, c, d] = address.octets();
    let made = format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}");
    endpoint.mac_address.clone().filter(|mac| !mac.is_empty() && *mac != made)
}

/// A bind of a named volume that is not filled from the image; a bind of a host directory is as it is.
fn without_copy(bind: &str) -> String {
    let mut parts = bind.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(target), None) if !name.starts_with('/') => format!("{name}:{target}:nocopy"),
        (Some(name), Some(_), Some(mode)) if !name.starts_with('/') && !mode.split(',').any(|m| m == "nocopy") => {
            format!("{bind},nocopy")
        }
        _ => bind.to_string(),
    }
}

fn is_bound(binds: &[String], target: &str) -> bool {
    binds.iter().any(|bind| bind.split(':').nth(1).is_some_and(|at| same_place(at, target)))
}

fn is_mounted(mounts: Option<&[Mount]>, target: &str) -> bool {
    mounts.into_iter().flatten().any(|mount| mount.target.as_deref().is_some_and(|at| same_place(at, target)))
}

/// The engine shows places in a container cleaned, and binds as they were typed.
fn same_place(typed: &str, cleaned: &str) -> bool {
    std::path::Path::new(typed).components().eq(std::path::Path::new(cleaned).components())
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
