//! What Podman's compatible socket shows otherwise than it wants to be told.

use bollard::models::ContainerInspectResponse;

/// The network that Podman calls so where it means one with another name.
const BRIDGE: &str = "bridge";

/// A container with every value as it can be asked for again.
pub(crate) fn as_asked(mut seen: ContainerInspectResponse) -> ContainerInspectResponse {
    let networks = seen.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let mut names: Vec<String> = networks.into_iter().flat_map(|networks| networks.keys().cloned()).collect();
    names.sort();
    if let Some(config) = &mut seen.config {
        // It gives each its name as a variable, and would keep that of the old one as if somebody had chosen it.
        let name = format!("HOSTNAME={}", config.hostname.as_deref().unwrap_or_default());
        config.env = config.env.take().map(|env| env.into_iter().filter(|variable| *variable != name).collect());
    }
    let Some(host) = &mut seen.host_config else { return seen };
    for device in host.devices.iter_mut().flatten() {
        // Podman does not show what it may be used for; what an engine gives by default is all.
        if device.cgroup_permissions.as_deref() == Some("") {
            device.cgroup_permissions = Some("rwm".into());
        }
    }
    // Shown of one without a shared memory of its own, too, and refused of it.
    if host.ipc_mode.as_deref().is_some_and(|mode| mode == "none" || mode == "host" || mode.starts_with("container:")) {
        host.shm_size = None;
    }
    if host.network_mode.as_deref() == Some(BRIDGE) && !names.iter().any(|name| name == BRIDGE) {
        host.network_mode = names.into_iter().next().or(host.network_mode.take());
    }
    seen
}

/// Whether addresses that were chosen for a container cannot be told from those that the engine gave.
pub(crate) fn hides_addresses(seen: &ContainerInspectResponse) -> bool {
    let networks = seen.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let has_address = |address: &Option<String>| address.as_ref().is_some_and(|address| !address.is_empty());
    networks.into_iter().flat_map(|networks| networks.values()).any(|endpoint| has_address(&endpoint.ip_address))
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerConfig, DeviceMapping, EndpointSettings, HostConfig, NetworkSettings};

    use super::*;

    #[test]
    fn what_is_shown_can_be_asked_for_again() {
        let device = DeviceMapping { cgroup_permissions: Some(String::new()), ..DeviceMapping::default() };
        let host = |mode: &str, ipc: &str| HostConfig {
            network_mode: Some(mode.into()),
            ipc_mode: Some(ipc.into()),
            shm_size: Some(1024),
            devices: Some(vec![device.clone()]),
            ..HostConfig::default()
        };
        let in_network = |name: &str, host| {
            let networks = Some([(name.to_string(), EndpointSettings::default())].into());
            let network_settings = Some(NetworkSettings { networks, ..NetworkSettings::default() });
            let seen = ContainerInspectResponse { host_config: Some(host), network_settings, ..Default::default() };
            as_asked(seen).host_config.unwrap_or_default()
        };
        let front = in_network("front", host("bridge", "none"));
        assert_eq!((front.network_mode.as_deref(), front.shm_size), (Some("front"), None));
        assert_eq!(front.devices.unwrap_or_default()[0].cgroup_permissions.as_deref(), Some("rwm"));
        let kept = in_network("bridge", host("bridge", "private"));
        assert_eq!((kept.network_mode.as_deref(), kept.shm_size), (Some("bridge"), Some(1024)));
        let config = ContainerConfig {
            hostname: Some("0123456789ab".into()),
            env: Some(vec!["A=1".into(), "HOSTNAME=0123456789ab".into(), "HOSTNAME=mine".into()]),
            ..ContainerConfig::default()
        };
        let named = as_asked(ContainerInspectResponse { config: Some(config), ..Default::default() });
        let env = named.config.and_then(|config| config.env).unwrap_or_default();
        assert_eq!(env, ["A=1", "HOSTNAME=mine"]);
        assert_eq!(in_network("none", host("none", "private")).network_mode.as_deref(), Some("none"));
    }
}
