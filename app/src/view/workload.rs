//! `workload add`, `list` and `show`: workloads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::model::{RunState, Source, Workload, WorkloadId};

use crate::Inspection;

/// The document of `workload add` and `workload show`, and an item of `workload list`.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadView {
    /// The workload.
    pub id: WorkloadId,
    /// Its name.
    pub name: String,
    /// `image`, `directories`, or what a host declared.
    pub source: String,
    /// How its containers are found.
    pub selector: SelectorView,
    /// Directories that were declared by hand.
    pub declared: Vec<VolumeView>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Its volumes and containers as they are now; only where it was looked.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub now: Option<NowView>,
}

/// How a workload's containers are found: any of the conditions.
#[derive(Clone, Debug, Serialize)]
pub struct SelectorView {
    /// The compose project.
    pub compose_project: Option<String>,
    /// The names.
    pub containers: Vec<String>,
    /// The labels, all of which must match.
    pub labels: BTreeMap<String, String>,
}

/// A workload as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct NowView {
    /// Its volumes.
    pub volumes: Vec<VolumeView>,
    /// Its containers, in starting order.
    pub containers: Vec<RunningView>,
    /// Mounts that are no volumes, each with its reason.
    pub left_out: Vec<String>,
}

/// A volume of a workload.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeView {
    /// Its name within the workload.
    pub target: String,
    /// The directory on the host.
    pub path: String,
}

/// A container of a workload.
#[derive(Clone, Debug, Serialize)]
pub struct RunningView {
    /// Its name.
    pub name: String,
    /// Its image as asked for.
    pub image: String,
    /// Its image by content.
    pub image_id: String,
    /// Whether it runs.
    pub state: RunState,
    /// When the engine starts it by itself.
    pub restart_policy: String,
}

/// The document of `workload list`.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadsView {
    /// The workloads, by name.
    pub workloads: Vec<WorkloadView>,
}

impl WorkloadView {
    /// The view of a workload, with a look at it if there was one.
    #[must_use]
    pub fn of(workload: &Workload, inspection: Option<&Inspection>) -> Self {
        let volume = |target: &str, path: &std::path::Path| VolumeView {
            target: target.into(),
            path: path.display().to_string(),
        };
        WorkloadView {
            id: workload.id,
            name: workload.name.clone(),
            source: match &workload.source {
                Source::Image => "image".into(),
                Source::Directories => "directories".into(),
                Source::Other(other) => other.clone(),
            },
            selector: SelectorView {
                compose_project: workload.selector.compose_project.clone(),
                containers: workload.selector.containers.clone(),
                labels: workload.selector.labels.iter().cloned().collect(),
            },
            declared: workload.volumes.iter().map(|v| volume(&v.target, &v.path)).collect(),
            created_at: workload.created_at,
            now: inspection.map(|seen| NowView {
                volumes: seen.resolved.volumes.iter().map(|v| volume(&v.target, &v.path)).collect(),
                containers: seen
                    .containers
                    .iter()
                    .map(|c| RunningView {
                        name: c.name.clone(),
                        image: c.image.clone(),
                        image_id: c.image_id.clone(),
                        state: c.run,
                        restart_policy: c.restart_policy.name.clone(),
                    })
                    .collect(),
                left_out: seen.resolved.left_out.clone(),
            }),
        }
    }
}
