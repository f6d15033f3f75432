//! A workload: which containers and which directories belong together.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Container, Hook, HookEvent, KnownVolume, ManifestVolume, MountedAt, WorkloadId,
    hook::quoted,
    names::{give, learn, mounted_at},
};

/// Where the software of a workload comes from, as the host declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Containers made from images: they can be made again exactly.
    Image,
    /// Plain directories; no container engine is needed.
    Directories,
    /// Anything else that a host declares (built from a repository, …): it is known, and cannot be restored.
    Other(String),
}

/// Which containers belong to a workload. A container belongs if any of the conditions holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// Compose project.
    pub compose_project: Option<String>,
    /// Container names.
    pub containers: Vec<String>,
    /// Labels as key and value; all of them must match.
    pub labels: Vec<(String, String)>,
}

impl Selector {
    /// Whether it can match no container.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.compose_project.is_none() && self.containers.is_empty() && self.labels.is_empty()
    }
}

impl Workload {
    /// The command that registers it anew with a container more, whose name stands there or is yet to be filled in.
    #[must_use]
    pub fn command_with(&self, container: &str) -> String {
        let mut words: Vec<String> = ["volsnap", "workload", "add", &self.name, "--update"].map(String::from).into();
        if let Some(project) = &self.selector.compose_project {
            words.extend(["--compose-project".into(), project.clone()]);
        }
        for (key, value) in &self.selector.labels {
            words.extend(["--label".into(), format!("{key}={value}")]);
        }
        for name in self.selector.containers.iter().map(String::as_str).chain([container]) {
            words.extend(["--container".into(), name.into()]);
        }
        for volume in &self.volumes {
            words.extend(["--volume".into(), format!("{}={}", volume.target, volume.path.display())]);
        }
        quoted(words.iter().map(String::as_str))
    }
}

/// A host directory that was declared as a volume by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredVolume {
    /// Its name within the workload.
    pub target: String,
    /// The directory on the host.
    pub path: PathBuf,
}

/// A registered workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its id.
    pub id: WorkloadId,
    /// Its name, unique among the workloads of a catalog.
    pub name: String,
    /// Where its software comes from.
    pub source: Source,
    /// Its containers.
    pub selector: Selector,
    /// Its plain directories.
    pub volumes: Vec<DeclaredVolume>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// What is run before and after, in this order. Left out of journals where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The volumes of its containers that have a name already, by name. Left out of journals where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownVolume>,
}

/// A volume of a workload as it resolves now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePath {
    /// Its name within the workload. The first that it was given: mostly the path inside the container, or `service:path`
    /// where two containers mount different directories at the same path.
    pub target: String,
    /// The directory on the host, as the engine or the declaration gives it (links not resolved).
    pub path: PathBuf,
    /// Whether it was declared by hand, under that name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub declared: bool,
    /// Its name in the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Which containers can write to it, and where they have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_at: Vec<MountedAt>,
    /// The images of those containers.
    #[serde(skip)]
    pub images: Vec<String>,
}

/// What a workload's volumes are at the moment, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The volumes, by target.
    pub volumes: Vec<VolumePath>,
    /// Mounts that cannot be or need not be in a snapshot, each with its reason.
    pub left_out: Vec<String>,
    /// The volumes that had a name before, also those that are not there.
    #[serde(skip)]
    pub known: Vec<KnownVolume>,
}

impl Workload {
    /// The volumes of the workload, from its declaration and its containers as they are now.
    #[must_use]
    pub fn resolve(&self, containers: &[Container]) -> Resolved {
        // What a one-off container mounts besides is gone when it has ended, and no earlier snapshot has it.
        let stays = |c: &&Container| !c.particulars.is_one_off || self.selector.containers.contains(&c.name);
        let containers: Vec<Container> = containers.iter().filter(stays).cloned().collect();
        Resolved::named(&self.volumes, &self.known, &containers)
    }

    /// The workload as it is when these volumes were seen: what has a name keeps it.
    #[must_use]
    pub fn knowing(&self, resolved: &Resolved) -> Workload {
        let of_containers: Vec<VolumePath> = resolved.volumes.iter().filter(|v| !v.declared).cloned().collect();
        Workload { known: learn(&resolved.known, &of_containers), ..self.clone() }
    }

    /// A volume as the manifest of a snapshot has it.
    #[must_use]
    pub fn in_manifest(&self, target: &str, absent: bool) -> ManifestVolume {
        let known = self.known.iter().find(|known| known.name == target).cloned();
        ManifestVolume {
            target: target.into(),
            absent,
            volume: known.as_ref().and_then(|known| known.volume.clone()),
            mounted_at: known.map(|known| known.mounted_at).unwrap_or_default(),
        }
    }

    /// Whether something is run then.
    #[must_use]
    pub fn has_hooks(&self, at: HookEvent) -> bool {
        self.hooks.iter().any(|hook| hook.at == at)
    }
}

impl Resolved {
    /// The volumes that were declared and that the containers mount, none of which has a name yet.
    #[must_use]
    pub fn of(declared: &[DeclaredVolume], containers: &[Container]) -> Resolved {
        Resolved::named(declared, &[], containers)
    }

    /// The volumes that were declared and that the containers mount, under the names that they have already.
    ///
    /// One host directory is one volume, whatever number of containers mount it. Read-only mounts and mounts that
    /// the adapter marks as unsupported are left out with the reason, unless their directory is a volume by way of
    /// another mount: nothing is left out then.
    #[must_use]
    pub fn named(declared: &[DeclaredVolume], known: &[KnownVolume], containers: &[Container]) -> Resolved {
        let by_hand = |declared: &DeclaredVolume| VolumePath {
            target: declared.target.clone(),
            path: declared.path.clone(),
            declared: true,
            ..VolumePath::default()
        };
        let mut declared: Vec<VolumePath> = declared.iter().map(by_hand).collect();
        let mut found: Vec<VolumePath> = Vec::new();
        let mut left_out: Vec<(&Path, String)> = Vec::new();
        for container in containers {
            for mount in &container.mounts {
                let why = match &mount.unsupported {
                    Some(reason) => Some(reason.as_str()),
                    None if !mount.writable => Some("mounted read-only"),
                    None => None,
                };
                if let Some(why) = why {
                    left_out.push((&mount.source, format!("{}:{}: {why}", container.name, mount.target)));
                    continue;
                }
                let mut seen = declared.iter_mut().chain(&mut found);
                let volume = match seen.find(|volume| volume.path == mount.source) {
                    Some(volume) => volume,
                    None => {
                        found.push(VolumePath { path: mount.source.clone(), ..VolumePath::default() });
                        let last = found.len() - 1;
                        &mut found[last]
                    }
                };
                volume.volume = volume.volume.take().or_else(|| mount.volume.clone());
                volume.mounted_at.push(mounted_at(container, &mount.target));
                volume.images.push(container.image.clone());
            }
        }
        give(known, &mut found, &declared.iter().map(|volume| volume.target.clone()).collect::<BTreeSet<_>>());
        let mut resolved = Resolved { volumes: declared, left_out: Vec::new(), known: known.to_vec() };
        resolved.volumes.append(&mut found);
        resolved.volumes.sort_by(|a, b| a.target.cmp(&b.target));
        let is_volume = |source: &Path| resolved.volumes.iter().any(|v| v.path == source);
        resolved.left_out =
            left_out.into_iter().filter(|(source, _)| !is_volume(source)).map(|(_, what)| what).collect();
        resolved.left_out.sort();
        resolved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerId, Mount, Particulars, RestartPolicy, RunState};

    fn container(name: &str, source: &str, writable: bool) -> Container {
        Container {
            id: ContainerId(name.into()),
            name: name.into(),
            project: None,
            service: None,
            image: "shop:1".into(),
            image_id: "sha256:1".into(),
            run: RunState::Running,
            restart_policy: RestartPolicy::never(),
            mounts: vec![Mount {
                target: format!("/{name}"),
                source: source.into(),
                volume: None,
                writable,
                unsupported: None,
            }],
            depends_on: vec![],
            stop_timeout: None,
            particulars: Particulars::default(),
            spec: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_directory_that_another_mount_makes_a_volume_is_not_left_out() {
        let workload = Workload {
            id: WorkloadId(uuid::Uuid::from_u128(1)),
            name: "shop".into(),
            source: Source::Image,
            selector: Selector::default(),
            volumes: vec![],
            created_at: Timestamp::UNIX_EPOCH,
            hooks: vec![],
            known: vec![],
        };
        // The reader comes first: the order of the containers must not matter.
        let containers = [
            container("a-reader", "/srv/www", false),
            container("b-web", "/srv/www", true),
            container("c-conf", "/srv/conf", false),
        ];
        let resolved = workload.resolve(&containers);
        let targets: Vec<&str> = resolved.volumes.iter().map(|v| v.target.as_str()).collect();
        assert_eq!(targets, ["/b-web"]);
        assert_eq!(resolved.left_out, ["c-conf:/c-conf: mounted read-only"]);
    }
}
