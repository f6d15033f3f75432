//! `workload add`, `list` and `show`: workloads.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::model::{Container, RunState, Selector, Source, Workload, WorkloadId};

use super::{HookView, discover::SuggestionView};
use crate::{Advice, Inspection};

/// The document of `workload add` and `workload show`, and an item of `workload list`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// What runs before and after its snapshots and restores.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookView>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Its volumes and containers as they are now; only where it was looked.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub now: Option<NowView>,
}

/// How a workload's containers are found: any of the conditions.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NowView {
    /// Its volumes.
    pub volumes: Vec<VolumeView>,
    /// Its containers, in starting order.
    pub containers: Vec<RunningView>,
    /// Mounts that are no volumes, each with its reason.
    pub left_out: Vec<String>,
    /// What a restore would not be possible for, and what else to know of the volumes before relying on them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<String>,
    /// Hooks to think about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suggestions: Vec<SuggestionView>,
    /// What the engine cannot do with its containers, and what to do about it: restores would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
}

/// A volume of a workload.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VolumeView {
    /// Its name within the workload.
    pub target: String,
    /// The directory on the host.
    pub path: String,
}

/// A container of a workload.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorkloadsView {
    /// The workloads, by name.
    pub workloads: Vec<WorkloadView>,
}

/// The document of `workload remove`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RemovedView {
    /// The workload that is registered no more.
    pub removed: RemovedWorkloadView,
    /// How many of its snapshots were deleted.
    pub snapshots_deleted: usize,
}

/// A workload that was removed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RemovedWorkloadView {
    /// Its id.
    pub id: WorkloadId,
    /// Its name.
    pub name: String,
}

impl SelectorView {
    /// The view of a selector.
    #[must_use]
    pub fn of(selector: &Selector) -> Self {
        SelectorView {
            compose_project: selector.compose_project.clone(),
            containers: selector.containers.clone(),
            labels: selector.labels.iter().cloned().collect(),
        }
    }
}

impl VolumeView {
    pub(super) fn of(target: &str, path: &Path) -> Self {
        VolumeView { target: target.into(), path: path.display().to_string() }
    }
}

impl RunningView {
    /// The view of a container.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        RunningView {
            name: container.name.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            state: container.run,
            restart_policy: container.restart_policy.name.clone(),
        }
    }
}

impl NowView {
    fn of(workload: &Workload, seen: &Inspection) -> Self {
        let has_hook = |a: &&Advice| workload.hooks.iter().any(|hook| hook.container.as_ref() == Some(&a.container));
        let all = Advice::on(&seen.containers);
        let advice = all.iter().filter(|a| !has_hook(a));
        NowView {
            volumes: seen.resolved.volumes.iter().map(|v| VolumeView::of(&v.target, &v.path)).collect(),
            containers: seen.containers.iter().map(RunningView::of).collect(),
            left_out: seen.resolved.left_out.clone(),
            concerns: seen.concerns.clone(),
            suggestions: advice.map(|a| SuggestionView::of(a, &workload.name)).collect(),
            unable: seen.unable.as_ref().map(|refusal| format!("{}: {}", refusal.message, refusal.hint)),
        }
    }
}

impl WorkloadView {
    /// The view of a workload, with a look at it if there was one.
    #[must_use]
    pub fn of(workload: &Workload, inspection: Option<&Inspection>) -> Self {
        WorkloadView {
            id: workload.id,
            name: workload.name.clone(),
            source: match &workload.source {
                Source::Image => "image".into(),
                Source::Directories => "directories".into(),
                Source::Other(other) => other.clone(),
            },
            selector: SelectorView::of(&workload.selector),
            declared: workload.volumes.iter().map(|v| VolumeView::of(&v.target, &v.path)).collect(),
            hooks: HookView::some(workload, |_| true),
            created_at: workload.created_at,
            now: inspection.map(|seen| NowView::of(workload, seen)),
        }
    }
}
