//! What the copy of a container is given of its original, and what not: pure functions.
//!
//! Everything that is carried over is named here. What is not named, because it came with a newer engine or because it
//! leads out of the container, stays behind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{
    ContainerConfig, EndpointSettings, HostConfig, HostConfigLogConfig, ImageConfig, Mount, MountBindOptions,
    MountPoint, MountType, MountVolumeOptions, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};
use serde_json::Value;
use volsnap_core::{
    model::{
        RestoreId,
        container::{DRILL_LABEL, drill_name},
    },
    ports::{Boot, BootCheck, EngineError, EngineErrorKind},
    restore::Refusal,
};

use crate::{
    exposure::Exposure,
    record::{Record, peer_of},
};

/// Capabilities that lead nowhere out of a container: what Docker gives by itself, and two that are about memory and
/// the order of its processes.
const CAPABILITIES: [&str; 16] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_NICE",
];

const WITHOUT_BOOT: &str = "drill without --boot: the data are proved all the same";

/// What is known of a container that is to be copied.
pub(crate) struct Original<'a> {
    pub(crate) boot: &'a Boot,
    pub(crate) record: &'a Record,
    /// What the mounts come from that are not copied, by the place in the container.
    pub(crate) exposures: &'a BTreeMap<String, Exposure>,
    /// The containers of which copies run, or will.
    pub(crate) started: &'a BTreeSet<String>,
    /// What the image that the original runs gives to it, if the copy runs another one.
    pub(crate) image_then: Option<&'a ImageConfig>,
    /// What the copy's image gives to it.
    pub(crate) image: &'a ImageConfig,
}

/// The name of a drill's network.
pub(crate) fn network_name(drill: RestoreId) -> String {
    format!("volsnap-drill-{}", drill.0.simple())
}

impl Original<'_> {
    /// What must keep the copy from being made, and what it goes without.
    pub(crate) fn check(&self) -> BootCheck {
        let mut check = BootCheck::default();
        self.check_namespaces(&mut check);
        self.check_rights(&mut check);
        let _mounts = self.mounts(&mut check);
        check
    }

    /// The body of the request that makes the copy, stopped.
    pub(crate) fn create_body(&self, drill: RestoreId) -> Result<Value, EngineError> {
        let mut check = self.check();
        if let Some(refusal) = check.refusals.pop() {
            return Err(EngineError::new(EngineErrorKind::Failed, refusal.message));
        }
        let body = || -> serde_json::Result<Value> {
            let mut body = serde_json::to_value(self.config(drill))?;
            let host = self.host(drill);
            let is_in_network = host.network_mode == Some(network_name(drill));
            body["HostConfig"] = serde_json::to_value(host)?;
            if is_in_network {
                let endpoints = [(network_name(drill), self.endpoint(drill))].into_iter().collect();
                body["NetworkingConfig"] =
                    serde_json::to_value(NetworkingConfig { endpoints_config: Some(endpoints) })?;
            }
            Ok(body)
        };
        body().map_err(|error| {
            EngineError::new(EngineErrorKind::Failed, format!("write down a copy of {}: {error}", self.name()))
        })
    }

    fn name(&self) -> &str {
        &self.boot.container.name
    }

    /// Namespaces that are shared with the host or with what is not copied.
    fn check_namespaces(&self, check: &mut BootCheck) {
        let host = self.record.host();
        let mut refuse = |why: String| {
            check.refusals.push(Refusal::new(format!("container {} {why}", self.name()), WITHOUT_BOOT));
        };
        if host.privileged == Some(true) {
            refuse("is privileged, so that nothing would keep its copy from the host".into());
        }
        let modes = [
            ("network", Some(self.record.network_mode().to_string())),
            ("IPC", host.ipc_mode.clone()),
            ("process", host.pid_mode.clone()),
        ];
        for (what, mode) in modes {
            let mode = mode.unwrap_or_default();
            if mode == "host" {
                refuse(format!("uses the host's {what} namespace, in which its copy would meet the app itself"));
            } else if let Some(peer) = peer_of(&mode)
                && self.peer(peer).is_none()
            {
                refuse(format!("uses the {what} namespace of container {peer}, which is not started with it"));
            }
        }
    }

    /// Rights over the host that the copy does not get.
    fn check_rights(&self, check: &mut BootCheck) {
        let host = self.record.host();
        let without = |what: String| format!("the copy of {} goes without {what}", self.name());
        let added = host.cap_add.iter().flatten().filter(|capability| !is_harmless(capability));
        check.warnings.extend(added.map(|capability| without(format!("capability {capability}"))));
        let loose = host.security_opt.iter().flatten().filter(|option| !restricts(option));
        check.warnings.extend(loose.map(|option| without(format!("security option {option}"))));
        let devices = host.devices.iter().flatten().filter_map(|device| device.path_on_host.as_ref());
        check.warnings.extend(devices.map(|device| without(format!("device {device}"))));
        if host.device_requests.iter().flatten().next().is_some() {
            check.warnings.push(without("the devices that a driver would have given it".into()));
        }
    }

    /// The drill's copy of the container behind a reference, if there is one.
    fn peer(&self, reference: &str) -> Option<&String> {
        self.record.peers().get(reference).filter(|name| self.started.contains(*name))
    }

    fn config(&self, drill: RestoreId) -> ContainerConfig {
        let mut config = self.record.new_config(&self.boot.image_id);
        if let Some(then) = self.image_then {
            forget_image(&mut config, then);
        }
        // Compose marks images, too: a label that cannot be taken away is left empty.
        let of_image = self.image.labels.iter().flatten().map(|(label, _)| (label.clone(), String::new()));
        let ours = (DRILL_LABEL.to_string(), drill.to_string());
        config.labels = Some(of_image.chain([ours]).collect());
        config
    }

    fn host(&self, drill: RestoreId) -> HostConfig {
        let host = self.record.host().clone();
        let mut ignored = BootCheck::default();
        let peer = |mode: Option<&str>| {
            let name = self.peer(peer_of(mode.unwrap_or_default())?)?;
            Some(format!("container:{}", drill_name(name, drill)))
        };
        let network = match self.record.network_mode() {
            "none" => "none".to_string(),
            mode => peer(Some(mode)).unwrap_or_else(|| network_name(drill)),
        };
        HostConfig {
            // What is not to be shared.
            network_mode: Some(network),
            ipc_mode: peer(host.ipc_mode.as_deref()).or(host.ipc_mode.filter(|mode| peer_of(mode).is_none())),
            pid_mode: peer(host.pid_mode.as_deref()),
            restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: Some(0) }),
            mounts: Some(self.mounts(&mut ignored)),
            cap_add: host.cap_add.map(|added| added.into_iter().filter(|c| is_harmless(c)).collect()),
            security_opt: host.security_opt.map(|options| options.into_iter().filter(|o| restricts(o)).collect()),
            // Not to where the original's log goes.
            log_config: Some(HostConfigLogConfig { typ: Some("json-file".into()), config: Some(HashMap::new()) }),
            // What is its own.
            blkio_weight: host.blkio_weight,
            cap_drop: host.cap_drop,
            cgroup_parent: host.cgroup_parent,
            cgroupns_mode: host.cgroupns_mode,
            cpu_period: host.cpu_period,
            cpu_quota: host.cpu_quota,
            cpu_realtime_period: host.cpu_realtime_period,
            cpu_realtime_runtime: host.cpu_realtime_runtime,
            cpu_shares: host.cpu_shares,
            cpuset_cpus: host.cpuset_cpus,
            cpuset_mems: host.cpuset_mems,
            dns: host.dns,
            dns_options: host.dns_options,
            dns_search: host.dns_search,
            extra_hosts: host.extra_hosts,
            group_add: host.group_add,
            init: host.init,
            memory: host.memory,
            memory_reservation: host.memory_reservation,
            memory_swap: host.memory_swap,
            memory_swappiness: host.memory_swappiness,
            nano_cpus: host.nano_cpus,
            oom_kill_disable: host.oom_kill_disable,
            oom_score_adj: host.oom_score_adj,
            pids_limit: host.pids_limit,
            readonly_rootfs: host.readonly_rootfs,
            runtime: host.runtime,
            shm_size: host.shm_size,
            storage_opt: host.storage_opt,
            sysctls: host.sysctls,
            tmpfs: host.tmpfs,
            ulimits: host.ulimits,
            userns_mode: host.userns_mode,
            ..HostConfig::default()
        }
    }

    /// The names under which its original is known, and those under which it knows others.
    fn endpoint(&self, drill: RestoreId) -> EndpointSettings {
        let own = [Some(&self.boot.container.name), self.boot.container.service.as_ref()];
        let aliases: BTreeSet<String> = own.into_iter().flatten().chain(self.record.aliases()).cloned().collect();
        let links = self.record.links().filter(|(other, _)| self.started.contains(other));
        let links: Vec<String> = links.map(|(other, alias)| format!("{}:{alias}", drill_name(&other, drill))).collect();
        EndpointSettings {
            aliases: Some(aliases.into_iter().collect()),
            links: Some(links).filter(|links| !links.is_empty()),
            ..EndpointSettings::default()
        }
    }

    /// What it mounts, and what of its original's mounts it does not.
    fn mounts(&self, check: &mut BootCheck) -> Vec<Mount> {
        let of_engine: HashMap<&str, &MountPoint> =
            self.record.mounts().iter().filter_map(|mount| Some((mount.destination.as_deref()?, mount))).collect();
        let mut mounts = self.in_memory();
        for mount in &self.boot.container.mounts {
            if let Some(copy) = self.boot.copies.get(&mount.target) {
                mounts.push(bind(&copy.to_string_lossy(), &mount.target, !mount.writable));
                continue;
            }
            let kind = of_engine.get(mount.target.as_str()).and_then(|found| found.typ.as_deref()).unwrap_or("tmpfs");
            match kind {
                "tmpfs" => {}
                "bind" | "volume" => mounts.extend(self.uncopied(mount, kind == "volume", check)),
                kind => {
                    let (name, target) = (self.name(), &mount.target);
                    check.warnings.push(format!("the copy of {name} goes without {target} (a mount of kind {kind})"));
                }
            }
        }
        mounts
    }

    /// Mounts in memory that were asked for as mounts; those that were asked for as `--tmpfs` stand by themselves.
    fn in_memory(&self) -> Vec<Mount> {
        let asked = self.record.host().mounts.iter().flatten();
        asked.filter(|mount| mount.typ == Some(MountType::TMPFS)).cloned().collect()
    }

    /// A directory, volume or file of which there is no copy: only to be read, or something empty in its place.
    fn uncopied(&self, mount: &volsnap_core::model::Mount, is_volume: bool, check: &mut BootCheck) -> Option<Mount> {
        let (name, target) = (self.name(), &mount.target);
        let why = mount.unsupported.as_deref();
        if is_volume && (mount.writable || why.is_some()) {
            let why = why.unwrap_or("not in the snapshot");
            check.warnings.push(format!("the copy of {name} begins with nothing at {target} ({why})"));
            return Some(Mount { target: Some(target.clone()), typ: Some(MountType::VOLUME), ..Mount::default() });
        }
        match self.exposures.get(target) {
            Some(Exposure::Readable) if is_volume => Some(Mount {
                target: Some(target.clone()),
                source: mount.volume.clone(),
                typ: Some(MountType::VOLUME),
                read_only: Some(true),
                volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
                ..Mount::default()
            }),
            Some(Exposure::Readable) if mount.writable && why.is_none() => {
                let why = format!("container {name} can write to {target}, of which there is no copy");
                check.refusals.push(Refusal::new(why, WITHOUT_BOOT));
                None
            }
            Some(Exposure::Readable) => {
                if mount.writable {
                    check.warnings.push(format!("the copy of {name} may only read {target} ({})", why.unwrap_or("")));
                }
                Some(bind(&mount.source.to_string_lossy(), target, true))
            }
            Some(Exposure::Reaches(what)) => {
                check.warnings.push(format!("the copy of {name} goes without {target}: it would reach {what}"));
                None
            }
            Some(Exposure::Unknown(why)) => {
                let why = format!("what container {name} mounts at {target} cannot be looked at: {why}");
                check.refusals.push(Refusal::new(why, "make it readable for volsnap, or drill without --boot"));
                None
            }
            None => {
                let why = format!("what container {name} mounts at {target} was not looked at");
                check.refusals.push(Refusal::new(why, WITHOUT_BOOT));
                None
            }
        }
    }
}

/// A bind that is refused where its source is missing, and shows nothing that is mounted below it: on older engines that
/// would be writable whatever the bind itself is.
fn bind(source: &str, target: &str, read_only: bool) -> Mount {
    Mount {
        target: Some(target.into()),
        source: Some(source.into()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions { non_recursive: Some(true), ..MountBindOptions::default() }),
        ..Mount::default()
    }
}

fn is_harmless(capability: &str) -> bool {
    CAPABILITIES.contains(&capability.trim_start_matches("CAP_"))
}

/// Whether a security option takes rights away and gives none.
fn restricts(option: &str) -> bool {
    let (name, value) = option.split_once(['=', ':']).unwrap_or((option, "true"));
    match name {
        "no-new-privileges" => value != "false",
        "seccomp" | "apparmor" => value != "unconfined",
        _ => false,
    }
}

/// Takes from a configuration what an image gave to it, so that another image's own takes the place.
fn forget_image(config: &mut ContainerConfig, image: &ImageConfig) {
    fn forget<T: PartialEq>(field: &mut Option<T>, of_image: Option<&T>) {
        if field.as_ref() == of_image {
            *field = None;
        }
    }
    // A command belongs to its entry point: one that was given with another entry point is not the image's.
    if config.entrypoint == image.entrypoint {
        config.entrypoint = None;
        forget(&mut config.cmd, image.cmd.as_ref());
    }
    forget(&mut config.user, image.user.as_ref());
    forget(&mut config.working_dir, image.working_dir.as_ref());
    forget(&mut config.stop_signal, image.stop_signal.as_ref());
    forget(&mut config.healthcheck, image.healthcheck.as_ref());
    forget(&mut config.shell, image.shell.as_ref());
    forget(&mut config.exposed_ports, image.exposed_ports.as_ref());
    forget(&mut config.volumes, image.volumes.as_ref());
    if let (Some(env), Some(of_image)) = (&mut config.env, &image.env) {
        env.retain(|variable| !of_image.contains(variable));
    }
}

#[cfg(test)]
#[path = "isolate_tests.rs"]
mod tests;
