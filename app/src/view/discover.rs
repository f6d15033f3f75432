//! `workload add --dry-run` and `workload discover`: what could be registered.

use serde::Serialize;
use volsnap_core::model::Bond;

use super::workload::{RunningView, SelectorView, VolumeView};
use crate::{Advice, Discovered, Prospect};

/// A hook that a person might want, because of a container's image.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SuggestionView {
    /// The container.
    pub container: String,
    /// The database that its image speaks of.
    pub database: String,
    /// What makes it write down what it holds in memory.
    pub command: Vec<String>,
    /// The command line that would register that as a hook. Nothing does so by itself.
    pub register: String,
}

impl SuggestionView {
    /// The view of advice for a workload of that name.
    #[must_use]
    pub fn of(advice: &Advice, workload: &str) -> Self {
        SuggestionView {
            container: advice.container.clone(),
            database: advice.database.name().into(),
            command: advice.database.flush().iter().map(|word| (*word).to_string()).collect(),
            register: advice.command_line(workload),
        }
    }
}

/// The document of `workload add --dry-run`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProspectView {
    /// Always true: nothing was registered.
    pub dry_run: bool,
    /// Its name.
    pub name: String,
    /// What the name alone was taken for; `null` where the arguments say it.
    pub taken_for: Option<BondView>,
    /// How its containers are found.
    pub selector: SelectorView,
    /// Its volumes.
    pub volumes: Vec<ProspectVolumeView>,
    /// Its containers, in starting order.
    pub containers: Vec<RunningView>,
    /// Mounts that are no volumes, each with its reason.
    pub left_out: Vec<String>,
    /// Hooks to think about.
    pub suggestions: Vec<SuggestionView>,
}

/// What makes containers belong together.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BondView {
    /// `compose-project` or `container`.
    #[cfg_attr(test, schemars(extend("enum" = ["compose-project", "container"])))]
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl BondView {
    /// The view of a bond.
    #[must_use]
    pub fn of(bond: &Bond) -> Self {
        let kind = match bond {
            Bond::Project(_) => "compose-project",
            Bond::Single(_) => "container",
        };
        BondView { kind, name: bond.name().into() }
    }
}

/// A volume that would be registered.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProspectVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// The directory on the host.
    pub path: String,
    /// Bytes of contents, holes included; `null` if that cannot be told.
    pub bytes: Option<u64>,
    /// Bytes that it takes on disk.
    pub bytes_allocated: Option<u64>,
    /// Its entries, the root included.
    pub entries: Option<u64>,
    /// Why its size cannot be told.
    pub problem: Option<String>,
    /// Registered workloads that have the same directory.
    pub also_of: Vec<String>,
}

impl ProspectView {
    /// The view of a prospect; `bond` if the name alone was given.
    #[must_use]
    pub fn of(prospect: &Prospect, bond: Option<&Bond>) -> Self {
        let workload = &prospect.workload;
        let volume = |v: &crate::ProspectVolume| ProspectVolumeView {
            target: v.volume.target.clone(),
            path: v.volume.path.display().to_string(),
            bytes: v.size.map(|s| s.bytes),
            bytes_allocated: v.size.map(|s| s.bytes_allocated),
            entries: v.size.map(|s| s.entries),
            problem: v.problem.clone(),
            also_of: v.also_of.clone(),
        };
        let containers = &prospect.inspection.containers;
        ProspectView {
            dry_run: true,
            name: workload.name.clone(),
            taken_for: bond.map(BondView::of),
            selector: SelectorView::of(&workload.selector),
            volumes: prospect.volumes.iter().map(volume).collect(),
            containers: containers.iter().map(RunningView::of).collect(),
            left_out: prospect.inspection.resolved.left_out.clone(),
            suggestions: Advice::on(containers).iter().map(|a| SuggestionView::of(a, &workload.name)).collect(),
        }
    }
}

/// The document of `workload discover`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiscoveryView {
    /// Compose projects first, then single containers, by name.
    pub found: Vec<DiscoveredView>,
    /// Those whose writable mounts are all of kinds that no snapshot can hold.
    pub without_volumes: Vec<WithoutVolumesView>,
}

/// Something of which nothing can be registered.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WithoutVolumesView {
    /// What makes the containers belong together.
    #[serde(flatten)]
    pub bond: BondView,
    /// The mounts, each with the reason.
    pub left_out: Vec<String>,
}

/// Something that is not registered yet.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DiscoveredView {
    /// What makes the containers belong together.
    #[serde(flatten)]
    pub bond: BondView,
    /// The containers, in starting order.
    pub containers: Vec<RunningView>,
    /// The volumes.
    pub volumes: Vec<VolumeView>,
    /// Mounts that are no volumes, each with its reason.
    pub left_out: Vec<String>,
    /// The command line that registers it under its own name.
    pub register: String,
}

impl DiscoveryView {
    /// The view of what was found.
    #[must_use]
    pub fn of(found: &[Discovered]) -> Self {
        let one = |found: &Discovered| {
            Some(DiscoveredView {
                bond: BondView::of(&found.bond),
                containers: found.containers.iter().map(RunningView::of).collect(),
                volumes: found.resolved.volumes.iter().map(|v| VolumeView::of(&v.target, &v.path)).collect(),
                left_out: found.resolved.left_out.clone(),
                register: found.register.clone()?,
            })
        };
        let without = found.iter().filter(|found| found.register.is_none());
        let without = without.map(|found| WithoutVolumesView {
            bond: BondView::of(&found.bond),
            left_out: found.resolved.left_out.clone(),
        });
        DiscoveryView { found: found.iter().filter_map(one).collect(), without_volumes: without.collect() }
    }
}
