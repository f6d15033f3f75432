//! Small worlds in which a restore is about to begin, from a specification that can be enumerated or drawn at random.

mod small;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    model::{
        Condition, DeclaredVolume, Manifest, ManifestVolume, Mode, Mount, Origin, Particulars, Peer, Redeploy,
        RestartPolicy, RunState, Selector, Shares, Snapshot, SnapshotId, Source, Workload, WorkloadId,
        snapshot::ARCHIVE_FORMAT,
    },
    restore::{
        Facts, Move, Options, State, Step,
        judge::{Failure, Verdict, judge, judge_survey},
        next,
    },
};
use volsnap_sim::{ContainerSpec, DiskSpec, HealthBehaviour, World, WorldBuilder, disk::Special};

use crate::oracle::Journals;

pub use small::small;

/// A tree as [`World::tree`] shows it.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// What stands at a live path before the restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// A directory with files.
    Full,
    /// An empty directory.
    Empty,
    /// Nothing.
    Missing,
    /// A directory with files that is the root of its disk: a mount point, which no rename can replace.
    MountPoint,
    /// A btrfs subvolume with files, which no rename replaces either, on a disk that tells subvolumes apart.
    Subvolume,
}

impl Live {
    /// Whether the live directory stays, and its entries are switched.
    #[must_use]
    pub fn stays(self) -> bool {
        matches!(self, Live::MountPoint | Live::Subvolume)
    }
}

/// A volume to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// The index of its disk in [`SceneSpec::disks`].
    pub disk: usize,
    /// What is there.
    pub live: Live,
    /// Whether the snapshot says that there was nothing.
    pub absent: bool,
}

/// A disk for volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeDisk {
    /// Whether it can exchange names.
    pub exchange: bool,
    /// Whether it orders changes over directories.
    pub ordered: bool,
}

/// Every restart policy.
pub const POLICIES: [&str; 4] = ["no", "on-failure", "unless-stopped", "always"];

/// A container to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSpec {
    /// Its restart policy.
    pub policy: &'static str,
    /// Whether it runs.
    pub run: RunState,
    /// Whether it belongs to the workload.
    pub member: bool,
    /// In what it differs from others.
    pub kind: Kind,
}

/// In what a container differs from one that simply runs until it is stopped. Except for the last three it has to do with
/// the first container of its world, which has to be a member that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In nothing.
    Plain,
    /// It ends unless the first one is healthy when it is started, which that is some time after its own start.
    Waits,
    /// It uses the network of the first one, by its id, and has lost it when that one is started after it.
    SharesNetwork,
    /// It is linked to the first one, by its id, and cannot be started without it.
    Linked,
    /// It has the volumes of the first one, by its id, without which no other one can be made like it.
    HasVolumes,
    /// Its engine removes it when it ends.
    RemovesItself,
    /// It runs one command, and must not be started again.
    OneOff,
    /// It cannot be started any more once it has ended.
    CannotStart,
}

impl AppSpec {
    /// A plain member that runs.
    #[must_use]
    pub fn running(policy: &'static str) -> Self {
        AppSpec { policy, run: RunState::Running, member: true, kind: Kind::Plain }
    }
}

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneSpec {
    /// What it is there for.
    pub name: String,
    /// Disks of volumes; the state directory is on the root disk, or on the first of these.
    pub disks: Vec<VolumeDisk>,
    /// Whether journal and archives share the first volume disk.
    pub state_with_volumes: bool,
    /// The volumes.
    pub volumes: Vec<VolumeSpec>,
    /// The containers; each mounts every volume.
    pub apps: Vec<AppSpec>,
    /// How containers come back.
    pub redeploy: Redeploy,
    /// Whether originals are archived.
    pub safety: bool,
    /// Whether the app is sick on the restored data, so that a health gate reverts.
    pub sick: bool,
    /// Whether a recovery goes on with the staging.
    pub resume: bool,
    /// Whether each full live directory has read-only subvolumes in it, at its top level and below.
    pub frozen: bool,
}

/// Where a volume with read-only subvolumes has them. What the directory of one holds besides is original or restored.
const FROZEN: [&str; 2] = ["top", "snaps/old"];

/// A volume of a scene.
#[derive(Clone, Debug)]
pub struct SceneVolume {
    /// Where it is.
    pub live: PathBuf,
    /// The original; `None` if there is none.
    pub original: Option<Tree>,
    /// What the snapshot holds.
    pub restored: Tree,
    /// Whether its live directory stays, and its entries are switched.
    pub stays: bool,
}

/// A world with all that a driver and an oracle need to know of it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What it is made from.
    pub spec: SceneSpec,
    /// The world before the restore.
    pub world: World,
    /// The workload.
    pub workload: Workload,
    /// The snapshot to restore.
    pub snapshot: Snapshot,
    /// What the user chose.
    pub options: Options,
    /// What the engine decides by; other than its own for a mutant.
    pub rules: Rules,
    /// The volumes, by target.
    pub volumes: Vec<SceneVolume>,
    /// What the oracle has read.
    pub journals: Journals,
}

/// What an engine decides and judges by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What is next.
    pub decide: fn(&State, &Facts) -> Move,
    /// What the failure of a step means.
    pub judge: fn(&State, &Step, &Failure, u32) -> Verdict,
    /// What the failure of a survey means.
    pub judge_survey: fn(&State, &Failure, u32) -> Verdict,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { decide: next, judge, judge_survey }
    }
}

/// Where the engine has the anonymous volume of a container.
fn anonymous(index: usize) -> PathBuf {
    PathBuf::from(format!("/anonymous/volumes/of-app{index}"))
}

const WORKLOAD: WorkloadId = WorkloadId(Uuid::from_u128(0x11));
const SNAPSHOT: SnapshotId = SnapshotId(Uuid::from_u128(0x22));

impl Scene {
    /// In what a container differs from others, by its name; one that was added later in nothing.
    #[must_use]
    pub fn kind_of(&self, name: &str) -> Kind {
        self.app(name).map_or(Kind::Plain, |app| app.kind)
    }

    /// Whether a container of its own belongs to the workload, by its name.
    #[must_use]
    pub fn is_member(&self, name: &str) -> bool {
        self.app(name).is_some_and(|app| app.member)
    }

    fn app(&self, name: &str) -> Option<&AppSpec> {
        self.spec.apps.get(name.strip_prefix("app")?.parse::<usize>().ok()?)
    }
}

impl SceneSpec {
    /// One full volume on a disk of its own, no containers.
    #[must_use]
    pub fn plain(name: &str) -> Self {
        SceneSpec {
            name: name.into(),
            disks: vec![VolumeDisk { exchange: true, ordered: true }],
            state_with_volumes: false,
            volumes: vec![VolumeSpec { disk: 0, live: Live::Full, absent: false }],
            apps: Vec::new(),
            redeploy: Redeploy::Recreate,
            safety: true,
            sick: false,
            resume: false,
            frozen: false,
        }
    }

    /// The same with a running app that its engine starts at boot.
    #[must_use]
    pub fn with_app(mut self) -> Self {
        self.apps.push(AppSpec::running("always"));
        self
    }

    /// The same with one more member of that kind, which runs.
    #[must_use]
    pub fn and(mut self, policy: &'static str, kind: Kind) -> Self {
        self.apps.push(AppSpec { kind, ..AppSpec::running(policy) });
        self
    }

    /// Whether the app is found to be sick: there are restored data, and health is that of the members that ran.
    #[must_use]
    pub fn reverts(&self) -> bool {
        let runs = |app: &AppSpec| app.member && app.run == RunState::Running;
        self.sick && self.volumes.iter().any(|volume| !volume.absent) && self.apps.iter().any(runs)
    }

    fn live(&self, index: usize) -> PathBuf {
        let VolumeSpec { disk, live, .. } = self.volumes[index];
        match live {
            Live::MountPoint => PathBuf::from(format!("/disk{disk}")),
            Live::Full | Live::Empty | Live::Missing | Live::Subvolume => {
                PathBuf::from(format!("/disk{disk}/apps/v{index}"))
            }
        }
    }

    /// Builds it.
    #[must_use]
    pub fn build(&self) -> Scene {
        let state = if self.state_with_volumes { "/disk0/volsnap" } else { "/var/lib/volsnap" };
        let mut builder = WorldBuilder::new(DiskSpec::at("/"), state);
        for (index, disk) in self.disks.iter().enumerate() {
            let mount = format!("/disk{index}");
            let is_here = |volume: &VolumeSpec| volume.disk == index && volume.live == Live::Subvolume;
            let subvolumes = self.volumes.iter().any(is_here);
            let spec = DiskSpec { exchange: disk.exchange, ordered: disk.ordered, subvolumes, ..DiskSpec::at(mount) };
            builder = builder.disk(spec);
        }
        let mut lists = Vec::new();
        for (index, volume) in self.volumes.iter().enumerate() {
            // The parent exists in any case.
            builder = builder.tree(self.live(index).with_file_name("neighbour"), &[("n", "not ours")]);
            let (old, new) = (format!("original {index}"), format!("restored {index}"));
            match volume.live {
                Live::Full | Live::MountPoint | Live::Subvolume => {
                    if volume.live == Live::Subvolume {
                        builder = builder.subvolume(self.live(index));
                    }
                    builder = builder.tree(self.live(index), &[("data", &old), ("dir/only-old", &old)]);
                    if self.frozen {
                        let within = FROZEN.map(|path| format!("{path}/data"));
                        builder = builder.tree(self.live(index), &[("snaps/one", &old)]);
                        builder =
                            builder.tree(self.live(index), &within.each_ref().map(|path| (path.as_str(), "kept")));
                    }
                }
                Live::Empty => builder = builder.tree(self.live(index), &[]),
                Live::Missing => {}
            }
            lists.push(if volume.absent { None } else { Some(new) });
        }
        for (index, app) in self.apps.iter().enumerate() {
            if app.kind == Kind::RemovesItself {
                builder = builder.tree(anonymous(index), &[("cache", "its own")]);
            }
            builder = builder.container(self.container(index, app));
        }
        let restored = ["data", "new", "snaps/one"];
        let names = if self.frozen { &restored[..] } else { &restored[..2] };
        let files: Vec<Vec<(&str, &str)>> = (lists.iter())
            .map(|text| text.as_deref().map_or(Vec::new(), |text| names.iter().map(|name| (*name, text)).collect()))
            .collect();
        let (builder, archive) = builder.archive(&self.manifest(), &files);
        let mut world = builder.workload(self.workload()).build();
        let full = |index: &usize| matches!(self.volumes[*index].live, Live::Full | Live::MountPoint | Live::Subvolume);
        for index in (0..self.volumes.len()).filter(full).filter(|_| self.frozen) {
            FROZEN.iter().for_each(|path| world.mark(&self.live(index).join(path), Special::Frozen));
        }
        let as_tree = |list: &Vec<(&str, &str)>| {
            let dirs = list.iter().filter_map(|(path, _)| Some((format!("{}/", path.split_once('/')?.0), Vec::new())));
            list.iter().map(|(path, text)| ((*path).into(), (*text).into())).chain(dirs).collect()
        };
        let volumes = (files.iter().enumerate())
            .map(|(i, list)| SceneVolume {
                live: self.live(i),
                original: world.tree(&self.live(i)).filter(|_| self.volumes[i].live != Live::Missing),
                restored: as_tree(list),
                stays: self.volumes[i].live.stays(),
            })
            .collect();
        Scene {
            spec: self.clone(),
            world,
            workload: self.workload(),
            snapshot: Snapshot::from(archive),
            options: Options {
                health_timeout: self.sick.then(|| std::time::Duration::from_secs(5)),
                redeploy: self.redeploy,
                safety_snapshot: self.safety,
                resume: self.resume,
                stop_one_offs: true,
                ..Options::default()
            },
            rules: Rules::default(),
            volumes,
            journals: Journals::default(),
        }
    }

    fn container(&self, index: usize, app: &AppSpec) -> ContainerSpec {
        let bare = ContainerSpec::named(format!("app{index}"));
        // One outside that runs on a volume is a reason not to begin.
        let mounts = if app.member || app.run == RunState::Stopped { self.volumes.len() } else { 0 };
        let bound = (0..mounts).fold(bare, |spec, v| spec.bind(self.target(v), self.live(v)));
        let project = if app.member { "app" } else { "other" };
        let mut bound = bound;
        let mut particulars = Particulars::default();
        let mut depends_on = Vec::new();
        let of_the_first = |shares| vec![Peer { name: "app0".into(), shares, by_name: false }];
        match app.kind {
            Kind::Plain | Kind::CannotStart => {}
            Kind::Waits => {
                particulars.conditions.insert("app0".into(), Condition::Healthy);
                depends_on.push("app0".into());
            }
            Kind::SharesNetwork => particulars.peers = of_the_first(Shares::Network),
            Kind::Linked => particulars.peers = of_the_first(Shares::Link),
            Kind::HasVolumes => particulars.peers = of_the_first(Shares::Volumes),
            Kind::RemovesItself => {
                particulars.removes_itself = true;
                bound.mounts.push(Mount {
                    target: "/cache".into(),
                    source: anonymous(index),
                    volume: Some(format!("anonymous-of-app{index}")),
                    writable: true,
                    unsupported: Some("an anonymous volume".into()),
                });
            }
            Kind::OneOff => particulars.is_one_off = true,
        }
        let is_waited_for = index == 0 && self.apps.iter().any(|app| app.kind == Kind::Waits);
        let health = match (app.kind == Kind::CannotStart, self.sick, is_waited_for) {
            (true, _, _) => HealthBehaviour::FailsToStart,
            (false, true, _) => HealthBehaviour::SickWith("new".into()),
            (false, false, true) => HealthBehaviour::After(1_500),
            (false, false, false) => HealthBehaviour::None,
        };
        ContainerSpec {
            policy: RestartPolicy { name: app.policy.into(), retries_max: 0 },
            run: app.run,
            project: Some(project.into()),
            layer: [format!("/etc/of-app{index}")].into(),
            depends_on,
            particulars,
            health,
            ..bound
        }
    }

    fn manifest(&self) -> Manifest {
        let volume = |(i, v): (usize, &VolumeSpec)| ManifestVolume {
            target: self.target(i),
            absent: v.absent,
            ..ManifestVolume::default()
        };
        Manifest {
            format: ARCHIVE_FORMAT,
            snapshot: SNAPSHOT,
            workload: WORKLOAD,
            workload_name: "shop".into(),
            source: self.workload().source,
            created_at: Timestamp::UNIX_EPOCH,
            mode: Mode::Stop,
            origin: Origin::Manual,
            note: None,
            images: Vec::new(),
            volumes: self.volumes.iter().enumerate().map(volume).collect(),
            registration: None,
            imported: None,
            sequence: None,
        }
    }

    fn target(&self, index: usize) -> String {
        format!("/v{index}")
    }

    fn workload(&self) -> Workload {
        let members = self.apps.iter().any(|app| app.member);
        let declared = |i| DeclaredVolume { target: self.target(i), path: self.live(i) };
        Workload {
            id: WORKLOAD,
            name: "shop".into(),
            source: if members { Source::Image } else { Source::Directories },
            selector: Selector { compose_project: members.then(|| "app".into()), ..Selector::default() },
            volumes: if members { Vec::new() } else { (0..self.volumes.len()).map(declared).collect() },
            created_at: Timestamp::UNIX_EPOCH,
            hooks: vec![],
            known: Vec::new(),
        }
    }
}
