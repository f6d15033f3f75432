//! Containers as an engine shows them.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::RestoreId;

/// The engine's own id of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its processes run, or the engine is about to start them again.
    Running,
    /// Its processes exist but are frozen.
    Paused,
    /// No process of it exists: created, exited or dead.
    Stopped,
}

impl RunState {
    /// Whether processes of the container exist, which may hold or write files.
    #[must_use]
    pub fn is_active(self) -> bool {
        match self {
            RunState::Running | RunState::Paused => true,
            RunState::Stopped => false,
        }
    }
}

/// When the engine starts a container by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// The engine's word: `no`, `on-failure`, `unless-stopped`, `always`.
    pub name: String,
    /// For `on-failure`: how often at the most; 0 is without limit.
    pub retries_max: u32,
}

impl RestartPolicy {
    /// The policy that never starts a container.
    #[must_use]
    pub fn never() -> Self {
        RestartPolicy { name: "no".into(), retries_max: 0 }
    }

    /// Whether the engine never starts the container by itself.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.name.is_empty() || self.name == "no"
    }
}

/// A directory of the host inside a container: a bind mount or a named volume of the local driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path inside the container.
    pub target: String,
    /// Path on the host.
    pub source: PathBuf,
    /// Name of the volume; `None` for a bind mount.
    pub volume: Option<String>,
    /// Whether the container may write to it.
    pub writable: bool,
    /// Why it cannot be a volume of a snapshot (a single file, a socket, another volume driver…).
    pub unsupported: Option<String>,
}

/// A container as seen just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name without a leading slash.
    pub name: String,
    /// The compose project that it is part of. Left out of journals where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its service in that project.
    pub service: Option<String>,
    /// The image as it was asked for, mostly a tag.
    pub image: String,
    /// The image that it runs, by content (`sha256:…`): a tag may have moved since.
    pub image_id: String,
    /// Whether it runs.
    pub run: RunState,
    /// When the engine starts it by itself.
    pub restart_policy: RestartPolicy,
    /// What it mounts, in the engine's order.
    pub mounts: Vec<Mount>,
    /// Names of the containers that must run before it (compose's `depends_on`, resolved to container names).
    pub depends_on: Vec<String>,
    /// How long its engine waits for its end before it kills it; `None` if that is not known, or without end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<Duration>,
    /// In what it differs from one that simply runs until it is stopped.
    #[serde(default, skip_serializing_if = "Particulars::is_plain")]
    pub particulars: Particulars,
    /// What the adapter needs to make the container anew; opaque to core, journalled before the container is touched.
    pub spec: serde_json::Value,
}

/// What has to be true of another container before one that depends on it is started: compose's conditions of
/// `depends_on`, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// `service_started`: it runs.
    Started,
    /// `service_healthy`: its health check says so.
    Healthy,
    /// `service_completed_successfully`: it has ended with exit code 0.
    Completed,
}

/// What a container uses of another one. It loses that when the other one ends, and cannot be started while the other
/// one is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shares {
    /// Its network.
    Network,
    /// Its shared memory and queues.
    Ipc,
    /// Its processes.
    Pid,
    /// Its mounts (`--volumes-from`).
    Volumes,
    /// Its address, under a name (`--link`).
    Link,
}

impl Shares {
    /// What it is, for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Shares::Network => "network",
            Shares::Ipc => "shared memory",
            Shares::Pid => "processes",
            Shares::Volumes => "volumes",
            Shares::Link => "address",
        }
    }

    /// Whether it is gone for good when the other container stops, even if that is started again.
    #[must_use]
    pub fn ends_with_it(self) -> bool {
        match self {
            Shares::Network | Shares::Ipc | Shares::Pid => true,
            Shares::Volumes | Shares::Link => false,
        }
    }
}

/// A container's use of another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Peer {
    /// The other container's name, or its id if there is no such container any more.
    pub name: String,
    /// What it uses of it.
    pub shares: Shares,
    /// Whether it finds the other one by its name: then one that is made anew under that name serves as well. A link
    /// is to a container, whatever its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_name: bool,
}

/// In what a container differs from one that simply runs until it is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Particulars {
    /// The engine removes it, with its anonymous volumes, as soon as it ends (`--rm`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removes_itself: bool,
    /// It runs one command for a person or a script (`compose run`), and must never be started a second time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_one_off: bool,
    /// The service of an orchestrator that makes another container as soon as this one ends (Swarm).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orchestrator: Option<String>,
    /// It has ended, and the engine is about to start it again: a crash loop.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_restarting: bool,
    /// Its health check says that it is not well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_unhealthy: bool,
    /// Its health check says that it is well; `false` of one without a check.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_healthy: bool,
    /// What it waits for, by container name, where that is more than [`Condition::Started`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, Condition>,
    /// What it uses of other containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Peer>,
}

impl Particulars {
    /// Whether there are none.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Particulars::default()
    }

    /// Whether it is the same container again after a stop and a start, for its engine and for its orchestrator.
    #[must_use]
    pub fn can_start_again(&self) -> bool {
        !self.removes_itself && !self.is_one_off && self.orchestrator.is_none()
    }
}

/// Active containers that lose something when those of the given names stop, and those that lose something with them, each
/// with what it loses, in the order of `all`.
#[must_use]
pub fn dependants(all: &[Container], stopping: &[&str]) -> Vec<(Container, Peer)> {
    let mut lost: Vec<&str> = stopping.to_vec();
    let mut found: Vec<Option<&Peer>> = vec![None; all.len()];
    loop {
        let before = lost.len();
        for (container, found) in all.iter().zip(&mut found) {
            if lost.contains(&container.name.as_str()) || !container.run.is_active() {
                continue;
            }
            let peers = &container.particulars.peers;
            *found = peers.iter().find(|peer| peer.shares.ends_with_it() && lost.contains(&peer.name.as_str()));
            if found.is_some() {
                lost.push(&container.name);
            }
        }
        if lost.len() == before {
            break;
        }
    }
    let pairs = all.iter().zip(found).filter_map(|(container, peer)| Some((container.clone(), peer?.clone())));
    pairs.collect()
}

/// What a container was before a restore touched it; journalled before it is touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// The container as it was, with everything that is needed to make it anew.
    pub container: Container,
    /// Whether it belongs to the workload. Others are fenced, so that the engine does not start them in the middle,
    /// and given back their policy; they are never made anew.
    pub member: bool,
}

/// How a container is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redeploy {
    /// Made anew at the recorded image, with the same name, configuration, networks and anonymous volumes.
    Recreate,
    /// The same container is started again, with its own layer, id and logs. One that is gone is made anew.
    Restart,
}

/// With which image containers come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ImageChoice {
    /// The one that they have now.
    #[default]
    Current,
    /// The one that they had when the snapshot was taken: a container that has another one is made anew.
    Snapshot,
}

impl ImageChoice {
    /// Whether it is the one that they have now.
    #[must_use]
    pub fn is_current(&self) -> bool {
        *self == ImageChoice::Current
    }
}

/// What one that is made anew in a container's place does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Losses {
    /// How many files and directories of its own layer were added, changed or removed since it was made, without those
    /// that its mounts hide.
    pub changes: u64,
    /// The first of them by name, at most [`Losses::NAMED_MAX`].
    pub first: Vec<String>,
    /// Whether the engine keeps its log only as long as it keeps the container.
    pub log: bool,
    /// Where its anonymous volumes are in it. They stay, and the new one has them by name, so that the engine does not
    /// remove them with it any more.
    pub anonymous: Vec<String>,
    /// Whether addresses that somebody chose for it in its networks may be among what it has, which the engine (Podman) does
    /// not tell from those that it gave by itself: the new one gets others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_addresses: bool,
}

impl Losses {
    /// So many changes of a layer are named.
    pub const NAMED_MAX: usize = 10;
}

impl Pinned {
    /// Whether it has to be brought back to life.
    #[must_use]
    pub fn was_active(&self) -> bool {
        self.container.run.is_active()
    }

    /// Whether it is replaced by [`Redeploy::Recreate`].
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.member && self.container.run != RunState::Stopped
    }
}

/// The name under which a replacement is made before the switch: the container's own name and the restore id.
#[must_use]
pub fn passing_name(name: &str, restore: RestoreId) -> String {
    format!("{name}.volsnap-new-{}", restore.0.simple())
}

/// The name under which a replaced container waits until the restore is closed.
#[must_use]
pub fn retired_name(name: &str, restore: RestoreId) -> String {
    format!("{name}.volsnap-old-{}", restore.0.simple())
}

/// The name under which a drill starts a container on copied data: the container's own name and the drill's id.
#[must_use]
pub fn drill_name(name: &str, drill: RestoreId) -> String {
    format!("{name}{DRILL_MARK}{}", drill.0.simple())
}

/// The label that everything carries which a drill makes in an engine, and no other label is set; its value is the
/// drill's id.
pub const DRILL_LABEL: &str = "volsnap.drill";

const DRILL_MARK: &str = ".volsnap-drill-";

/// The restore that gave a container its name, as a replacement or as a retired one; `None` for any other name.
#[must_use]
pub fn restore_of(name: &str) -> Option<RestoreId> {
    [".volsnap-new-", ".volsnap-old-"].iter().find_map(|mark| marked(name, mark).map(|(_, restore)| restore))
}

/// The container's own name and the drill that started a copy of it under this one; `None` for any other name.
#[must_use]
pub fn drill_of(name: &str) -> Option<(&str, RestoreId)> {
    marked(name, DRILL_MARK)
}

fn marked<'a>(name: &'a str, mark: &str) -> Option<(&'a str, RestoreId)> {
    let (own, id) = name.rsplit_once(mark)?;
    let restore = RestoreId(id.parse().ok()?);
    (!own.is_empty() && restore.0.simple().to_string() == id).then_some((own, restore))
}

/// Whether `name` is one that `restore` gave to a container.
#[must_use]
pub fn is_ours(name: &str, restore: RestoreId) -> bool {
    let suffix = restore.0.simple().to_string();
    name.ends_with(&format!(".volsnap-new-{suffix}")) || name.ends_with(&format!(".volsnap-old-{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_restore_are_known() {
        let id = "0123456789abcdef0123456789abcdef";
        let restore = RestoreId(id.parse().unwrap());
        assert_eq!(restore_of(&passing_name("web", restore)), Some(restore));
        assert_eq!(restore_of(&retired_name("web", restore)), Some(restore));
        let others = ["web".into(), "web.volsnap-new-1234".into(), format!("web.volsnap-tmp-{id}")];
        let bare = [format!(".volsnap-old-{id}"), format!("web.volsnap-old-{}", id.to_uppercase())];
        for other in others.iter().chain(&bare) {
            assert_eq!((restore_of(other), drill_of(other)), (None, None), "{other}");
        }
    }

    #[test]
    fn a_name_that_a_drill_gave_tells_whose_copy_it_is() {
        let drill = RestoreId("0123456789abcdef0123456789abcdef".parse().unwrap());
        let name = drill_name("web", drill);
        assert_eq!(drill_of(&name), Some(("web", drill)));
        assert_eq!(restore_of(&name), None, "a restore would give it its own name back");
        assert!(!is_ours(&name, drill));
        assert_eq!(drill_of(&passing_name("web", drill)), None);
    }

    #[test]
    fn who_loses_something_is_found_also_behind_another_and_a_stopped_one_has_nothing_to_lose() {
        let container = |name: &str, run, peers: &[(&str, Shares)]| Container {
            id: ContainerId(name.into()),
            name: name.into(),
            project: None,
            service: None,
            image: String::new(),
            image_id: String::new(),
            run,
            restart_policy: RestartPolicy::never(),
            mounts: vec![],
            depends_on: vec![],
            stop_timeout: None,
            particulars: Particulars {
                peers: peers
                    .iter()
                    .map(|(name, shares)| Peer { name: (*name).into(), shares: *shares, by_name: false })
                    .collect(),
                ..Particulars::default()
            },
            spec: serde_json::Value::Null,
        };
        let all = [
            container("a-behind", RunState::Running, &[("vpn-user", Shares::Pid)]),
            container("asleep", RunState::Stopped, &[("vpn", Shares::Network)]),
            container("linked", RunState::Running, &[("vpn", Shares::Link)]),
            container("vpn", RunState::Running, &[]),
            container("vpn-user", RunState::Running, &[("vpn", Shares::Network)]),
        ];
        let found: Vec<String> = dependants(&all, &["vpn"]).into_iter().map(|(c, _)| c.name).collect();
        assert_eq!(found, ["a-behind", "vpn-user"]);
        assert_eq!(dependants(&all, &["linked"]), []);
    }
}
