//! What goes with a container: its own writable layer, its log, and that its anonymous volumes have no name.

use std::{collections::BTreeSet, path::Path};

use bollard::models::{ChangeType, ContainerInspectResponse, FilesystemChange};
use volsnap_core::{
    model::{ContainerId, Losses},
    ports::{EngineError, EngineErrorKind},
};

use crate::{
    api::Api,
    mounts::{self, is_anonymous},
    podman,
};

/// Directories in which an engine puts files of its own (`hosts`, `resolv.conf`), and these files where it shows them.
const OF_THE_ENGINE: &[&str] = &["/etc", "/run", "/run/.containerenv", "/run/secrets"];

/// Log drivers that keep the log in the container's own directory.
const OWN_LOGS: &[&str] = &["", "json-file", "local", "k8s-file"];

/// What one that is made anew would not have.
pub(crate) async fn losses(api: &Api, id: &ContainerId) -> Result<Losses, EngineError> {
    let seen = api.inspect(&id.0).await?;
    let gone = || EngineError::new(EngineErrorKind::NotFound, format!("there is no container {id}"));
    let seen = seen.ok_or_else(gone)?;
    let changes = api.changes(&id.0).await?;
    let hides_addresses = api.is_podman() && podman::hides_addresses(&seen);
    Ok(Losses { other_addresses: hides_addresses, ..of(&seen, &changes) })
}

fn of(seen: &ContainerInspectResponse, changes: &[FilesystemChange]) -> Losses {
    let mounts = mounts::of(seen);
    let host = seen.host_config.as_ref();
    let in_memory = host.and_then(|host| host.tmpfs.as_ref()).into_iter().flat_map(|tmpfs| tmpfs.keys());
    let targets: Vec<&str> =
        mounts.iter().filter_map(|mount| mount.destination.as_deref()).chain(in_memory.map(String::as_str)).collect();
    let own = own(changes, &targets);
    let anonymous = mounts.iter().filter(|mount| mount.name.as_deref().is_some_and(is_anonymous));
    let driver = host.and_then(|host| host.log_config.as_ref()).and_then(|log| log.typ.clone()).unwrap_or_default();
    Losses {
        changes: u64::try_from(own.len()).unwrap_or(u64::MAX),
        first: own.into_iter().take(Losses::NAMED_MAX).map(String::from).collect(),
        log: OWN_LOGS.contains(&driver.as_str()),
        anonymous: anonymous.filter_map(|mount| mount.destination.clone()).collect(),
        other_addresses: false,
    }
}

/// The changes that somebody made: not what a mount hides, nor the directories that the engine made for mounts, nor those
/// that are changed only in that something in them is.
fn own<'a>(changes: &'a [FilesystemChange], targets: &[&str]) -> BTreeSet<&'a str> {
    let is_above = |above: &str, path: &str| Path::new(path).starts_with(above) && above != path;
    let hidden = |path: &str| targets.iter().any(|target| Path::new(path).starts_with(target));
    let paths: BTreeSet<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    // What is in a directory follows it in this order, but for names that sort before the slash.
    let holds_changes = |path: &str| {
        let below = format!("{path}/");
        paths.range(below.as_str()..).next().is_some_and(|next| next.starts_with(&below))
    };
    let is_own = |change: &&FilesystemChange| {
        let path = change.path.as_str();
        let is_passed_through = change.kind == ChangeType::_0 && holds_changes(path);
        let is_engines = OF_THE_ENGINE.contains(&path) && change.kind != ChangeType::_2;
        !is_engines && !hidden(path) && !is_passed_through && !targets.iter().any(|target| is_above(path, target))
    };
    changes.iter().filter(is_own).map(|change| change.path.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::{HostConfig, HostConfigLogConfig, MountPoint};

    use super::*;

    fn change(kind: ChangeType, path: &str) -> FilesystemChange {
        FilesystemChange { path: path.into(), kind }
    }

    #[test]
    fn only_what_somebody_changed_is_lost() {
        use ChangeType::{_0 as CHANGED, _1 as ADDED, _2 as REMOVED};
        let changes = [
            change(CHANGED, "/etc"),
            change(ADDED, "/run"),
            change(ADDED, "/run/.containerenv"),
            change(ADDED, "/etc/app.conf"),
            change(REMOVED, "/etc/motd"),
            change(ADDED, "/srv"),
            change(ADDED, "/srv/app"),
            change(ADDED, "/srv/app/data"),
            change(ADDED, "/srv/app/data/hidden"),
            change(ADDED, "/srv/app/plugin"),
            change(ADDED, "/scratch"),
            change(CHANGED, "/var/cache"),
        ];
        let mount = |destination: &str, name: Option<&str>| MountPoint {
            destination: Some(destination.into()),
            name: name.map(String::from),
            ..MountPoint::default()
        };
        let anonymous = "a".repeat(64);
        let mut seen = ContainerInspectResponse {
            mounts: Some(vec![mount("/srv/app/data", Some("data")), mount("/anonymous", Some(&anonymous))]),
            host_config: Some(HostConfig {
                tmpfs: Some([("/scratch".to_string(), String::new())].into()),
                log_config: Some(HostConfigLogConfig { typ: Some("json-file".into()), config: None }),
                ..HostConfig::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let lost = of(&seen, &changes);
        assert_eq!(lost.first, ["/etc/app.conf", "/etc/motd", "/srv/app/plugin", "/var/cache"]);
        assert_eq!((lost.changes, lost.log, lost.anonymous), (4, true, vec!["/anonymous".to_string()]));
        let log = seen.host_config.as_mut().and_then(|host| host.log_config.as_mut()).unwrap();
        log.typ = Some("journald".into());
        assert!(!of(&seen, &[]).log, "the journal keeps it");
    }

    #[test]
    fn of_many_changes_the_first_are_named() {
        let changes: Vec<_> = (10..99).map(|n| change(ChangeType::_1, &format!("/f{n}"))).collect();
        let lost = of(&ContainerInspectResponse::default(), &changes);
        assert_eq!((lost.changes, lost.first.len(), lost.first[0].as_str()), (89, Losses::NAMED_MAX, "/f10"));
    }
}
