//! A workload: which containers and which directories belong together.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Container, Hook, HookEvent, WorkloadId};

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
}

/// A volume of a workload as it resolves now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePath {
    /// Its name within the workload: the path inside the container, or `service:path` where two containers mount
    /// different directories at the same path.
    pub target: String,
    /// The directory on the host, as the engine or the declaration gives it (links not resolved).
    pub path: PathBuf,
}

/// What a workload's volumes are at the moment, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The volumes, by target.
    pub volumes: Vec<VolumePath>,
    /// Mounts that cannot be or need not be in a snapshot, each with its reason.
    pub left_out: Vec<String>,
}

impl Workload {
    /// The volumes of the workload, from its declaration and its containers as they are now.
    #[must_use]
    pub fn resolve(&self, containers: &[Container]) -> Resolved {
        Resolved::of(&self.volumes, containers)
    }

    /// Whether something is run then.
    #[must_use]
    pub fn has_hooks(&self, at: HookEvent) -> bool {
        self.hooks.iter().any(|hook| hook.at == at)
    }
}

impl Resolved {
    /// The volumes that were declared and that the containers mount.
    ///
    /// One host directory is one volume, whatever number of containers mount it. Read-only mounts and mounts that
    /// the adapter marks as unsupported are left out with the reason, unless their directory is a volume by way of
    /// another mount: nothing is left out then.
    #[must_use]
    pub fn of(declared: &[DeclaredVolume], containers: &[Container]) -> Resolved {
        let mut resolved = Resolved::default();
        for declared in declared {
            resolved.volumes.push(VolumePath { target: declared.target.clone(), path: declared.path.clone() });
        }
        let mut found: Vec<(&Container, &str, &Path)> = Vec::new();
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
                } else if !found.iter().any(|(_, _, path)| *path == mount.source)
                    && !resolved.volumes.iter().any(|v| v.path == mount.source)
                {
                    found.push((container, &mount.target, &mount.source));
                }
            }
        }
        for (container, target, path) in &found {
            let shared = found.iter().filter(|(_, other, _)| other == target).count() > 1
                || resolved.volumes.iter().any(|v| v.target == *target);
            let target = match shared {
                true => format!("{}:{target}", container.service.as_ref().unwrap_or(&container.name)),
                false => (*target).to_string(),
            };
            resolved.volumes.push(VolumePath { target, path: path.to_path_buf() });
        }
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
