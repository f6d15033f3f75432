//! What a restore is going to do: written down before anything is touched, and all that recovery needs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error},
    model::{Container, Identity, ImageChoice, Losses, Pinned, Redeploy, RestoreId, SnapshotId, Workload, place},
};

/// How a restored directory gets to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Live and staged directory exchange their names in one step: live is never missing.
    Exchange,
    /// Live is set aside, then the staged directory takes its name.
    TwoRenames,
    /// There is nothing to set aside: the staged directory takes the name.
    New,
    /// No rename can replace live: it stays, and its top-level entries are moved.
    ByEntry,
}

/// What to do when the app does not become healthy on the restored data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnhealthy {
    /// All volumes go back to the original, and the app with them.
    #[default]
    Revert,
    /// The restored data stay.
    Keep,
}

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How long to wait for the app to become healthy; `None` takes "it runs" for an answer.
    pub health_timeout: Option<Duration>,
    /// What to do when it does not.
    pub on_unhealthy: OnUnhealthy,
    /// Whether the originals are archived as a pre-restore snapshot before they are deleted.
    pub safety_snapshot: bool,
    /// How containers come back.
    pub redeploy: Redeploy,
    /// Whether device nodes in the archive are made.
    pub devices: bool,
    /// Whether a recovery goes on with a restore that a crash interrupted while it staged, instead of rolling it back.
    /// Left out where it is not wanted, so that a journal without it reads and is written as before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// With which image containers come back.
    #[serde(default, skip_serializing_if = "ImageChoice::is_current")]
    pub image: ImageChoice,
    /// Whether one-off containers that run are stopped for the restore, never to be started again; it is refused otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_one_offs: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            health_timeout: None,
            on_unhealthy: OnUnhealthy::Revert,
            safety_snapshot: true,
            redeploy: Redeploy::Restart,
            devices: false,
            resume: false,
            image: ImageChoice::Current,
            stop_one_offs: false,
        }
    }
}

/// A reason not to begin. Nothing was touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong, with the thing and its value.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { message: message.into(), hint: hint.into() }
    }

    /// Of a container whose orchestrator makes another one as soon as it ends: two would work on one volume.
    #[must_use]
    pub fn orchestrated(container: &str, service: &str) -> Self {
        Refusal::new(
            format!(
                "container {container} is a task of the Swarm service {service}, which makes another one when it ends"
            ),
            format!(
                "scale it to zero (`docker service scale {service}=0`), and work on its volumes as plain directories \
                 (`volsnap workload add NAME --volume TARGET=PATH`)"
            ),
        )
    }

    /// Refusals as one error that names all of them; `None` of none.
    #[must_use]
    pub fn together(refusals: &[Refusal]) -> Option<Error> {
        let (mut messages, mut hints): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for Refusal { message, hint } in refusals {
            messages.push(message);
            if !hints.contains(&hint.as_str()) {
                hints.push(hint);
            }
        }
        let error = |hints: String| Error::new(Code::Refused, messages.join("; ")).hint(hints);
        (!refusals.is_empty()).then(|| error(hints.join("; ")))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let Refusal { message, hint } = refusal;
        Error::new(Code::Refused, message).hint(hint)
    }
}

/// One volume of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedVolume {
    /// Its name within the workload.
    pub target: String,
    /// Its name in the snapshot, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_as: Option<String>,
    /// The live directory, links resolved. The only path that is journalled: the private names beside it follow from
    /// it and the restore id.
    pub live: PathBuf,
    /// The directory in which its names change ([`Plan::holder`]): another one means that a filesystem is not mounted.
    pub parent: Identity,
    /// The live directory; `None` if there is none yet.
    pub original: Option<Identity>,
    /// Its index in the archive; `None` if the snapshot says that there was no such directory.
    pub index: Option<usize>,
    /// How it is switched.
    pub method: Method,
    /// Why so.
    pub reason: String,
    /// Bytes of contents to restore.
    pub bytes: u64,
    /// Bytes that they take on disk.
    pub bytes_allocated: u64,
    /// Entries to restore.
    pub entries: u64,
    /// Where its data stand already, if they are what an earlier restore set aside: then they are moved, not extracted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptTree>,
}

/// A tree that an earlier restore ([`Plan::kept`]) set aside and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptTree {
    /// The volume's place in the plan of that restore, by which its private directory is named.
    pub index: usize,
    /// Its name in that private directory.
    pub name: KeptName,
    /// The directory.
    pub identity: Identity,
}

/// The names that a set-aside original can have in its private directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptName {
    /// After an exchange.
    Staged,
    /// After two renames, or a switch by entry.
    Aside,
}

impl KeptName {
    /// The tree within a private directory.
    #[must_use]
    pub fn within(self, private: &Path) -> PathBuf {
        match self {
            KeptName::Staged => place::staged_in(private),
            KeptName::Aside => place::aside_in(private),
        }
    }
}

/// What happens to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedContainer {
    /// Its name.
    pub name: String,
    /// Its image as asked for.
    pub image: String,
    /// In words: `stop and recreate`, `stop and start`, `start`, `leave stopped`, `hold stopped`.
    pub action: String,
    /// What the one does not have that is made in its place; `None` if it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loses: Option<Losses>,
}

/// The images of a container: the one that it has now, and the one that the snapshot was taken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedImage {
    /// The container's name.
    pub container: String,
    /// Now, by content.
    pub now: String,
    /// Now, as it was asked for.
    pub now_name: String,
    /// When the snapshot was taken, by content.
    pub snapshot: String,
    /// When the snapshot was taken, as it was asked for.
    pub snapshot_name: String,
}

impl PlannedImage {
    /// Whether the two are one.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.now == self.snapshot
    }
}

/// What a filesystem must have room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesystemNeed {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its type and disk, for people.
    pub kind: String,
    /// Bytes that the restore writes to it at the most.
    pub bytes_needed: u64,
    /// Bytes free now.
    pub bytes_free: u64,
    /// Inodes that the restore makes on it at the most.
    pub inodes_needed: u64,
    /// Inodes free now; `None` where there is no fixed number.
    pub inodes_free: Option<u64>,
}

/// The plan of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The restore.
    pub restore: RestoreId,
    /// The workload as it is registered: recovery works without the catalog.
    pub workload: Workload,
    /// The machine that it is for (`/etc/machine-id`); a journal that was copied elsewhere is not followed.
    pub host: String,
    /// The container engine that it is for ([`EngineInfo::id`](crate::ports::EngineInfo)), where containers have a part in
    /// it; another engine is not asked in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its place in the order of snapshots and restores, which the pre-restore snapshot gets; given when the restore
    /// begins. Journals of earlier versions have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
    /// What is restored.
    pub snapshot: SnapshotId,
    /// When that was taken.
    pub snapshot_created_at: Timestamp,
    /// BLAKE3 of the archive's index.
    pub archive_digest: String,
    /// The pre-restore snapshot to be.
    pub safety: SnapshotId,
    /// The restore whose kept originals are put back, where the data are not a snapshot's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<RestoreId>,
    /// The restore before this one, if it kept its originals: its record is set aside when this one's becomes the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RestoreId>,
    /// What the user chose.
    pub options: Options,
    /// The volumes.
    pub volumes: Vec<PlannedVolume>,
    /// The containers that the restore has to do with.
    pub containers: Vec<PlannedContainer>,
    /// The images of those that the snapshot knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PlannedImage>,
    /// Containers that an earlier operation could not bring back, as that one found them: what this restore owes the app
    /// however it ends. It finds them stopped, and would leave them so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub down: Vec<Pinned>,
    /// Containers outside the workload that use the network, shared memory or processes of a member: they lose them when it
    /// stops, and are stopped and started again with it. Names, in starting order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependants: Vec<String>,
    /// Space.
    pub filesystems: Vec<FilesystemNeed>,
    /// Reasons not to begin; a plan with any is never opened.
    pub refusals: Vec<Refusal>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What is only worth knowing: nothing that needs a look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The form that serde asks for.
fn is_zero(sequence: &u64) -> bool {
    *sequence == 0
}

impl PlannedVolume {
    /// Its name in the snapshot.
    #[must_use]
    pub fn archived(&self) -> &str {
        self.archived_as.as_deref().unwrap_or(&self.target)
    }
}

impl Plan {
    /// The same plan, for an app of which an earlier operation left those down.
    #[must_use]
    pub fn owing(mut self, down: Vec<Pinned>) -> Self {
        for container in self.containers.iter_mut().filter(|c| c.action == "leave stopped") {
            if down.iter().any(|p| p.container.name == container.name && p.was_active()) {
                container.action = "start".into();
            }
        }
        self.down = down;
        self
    }

    /// A container as it was before anything was done to it: as it is now, unless an earlier operation left it down.
    #[must_use]
    pub fn as_found(&self, now: &Container) -> Container {
        let mut found = now.clone();
        if let Some(before) = self.down.iter().find(|p| p.container.name == now.name).map(|p| &p.container) {
            if !now.run.is_active() {
                found.run = before.run;
            }
            if now.restart_policy.is_never() {
                found.restart_policy = before.restart_policy.clone();
            }
        }
        found
    }

    /// The private directory of a volume.
    #[must_use]
    pub fn private(&self, volume: usize) -> PathBuf {
        self.holder(volume).join(place::private_name(self.restore, volume))
    }

    /// The private directory in which an earlier restore kept what comes back for a volume.
    #[must_use]
    pub fn kept_private(&self, volume: usize) -> Option<PathBuf> {
        let (restore, tree) = (self.kept?, self.volumes[volume].kept?);
        Some(self.holder(volume).join(place::private_name(restore, tree.index)))
    }

    /// That tree itself.
    #[must_use]
    pub fn kept_tree(&self, volume: usize) -> Option<PathBuf> {
        Some(self.volumes[volume].kept?.name.within(&self.kept_private(volume)?))
    }

    /// The directory in which a volume's names change: the parent of the live directory, or the live directory itself
    /// when it is switched by entry. The private directory lies in it.
    #[must_use]
    pub fn holder(&self, volume: usize) -> &Path {
        let PlannedVolume { live, method, .. } = &self.volumes[volume];
        match method {
            Method::Exchange | Method::TwoRenames | Method::New => live.parent().unwrap_or(live),
            Method::ByEntry => live,
        }
    }

    /// Paths of all live directories.
    #[must_use]
    pub fn live_paths(&self) -> Vec<PathBuf> {
        self.volumes.iter().map(|v| v.live.clone()).collect()
    }

    /// Whether a running member is made anew.
    #[must_use]
    pub fn makes_anew(&self, name: &str) -> bool {
        self.options.redeploy == Redeploy::Recreate
            || self.containers.iter().any(|planned| planned.name == name && planned.loses.is_some())
    }

    /// A container as it is to come back with the restored data: with the image that was chosen.
    #[must_use]
    pub fn wanted(&self, container: &Container) -> Container {
        let image = match self.options.image {
            ImageChoice::Current => None,
            ImageChoice::Snapshot => {
                self.images.iter().find(|image| image.container == container.name && !image.is_same())
            }
        };
        match image {
            Some(image) => {
                Container { image: image.snapshot_name.clone(), image_id: image.snapshot.clone(), ..container.clone() }
            }
            None => container.clone(),
        }
    }

    /// Whether containers have a part in it: the workload's own, or stopped ones of others that mount its directories
    /// and that their engine could start in the middle.
    #[must_use]
    pub fn has_containers(&self) -> bool {
        !self.workload.selector.is_empty() || !self.containers.is_empty()
    }

    /// The refusals as one error; `Ok` if there are none.
    pub fn check(&self) -> Result<(), Error> {
        let Some(first) = self.refusals.first() else { return Ok(()) };
        let more = match self.refusals.len() {
            1 => String::new(),
            n => {
                let (workload, snapshot) = (&self.workload.name, self.snapshot);
                format!(" (and {} more: `volsnap plan {workload} {snapshot}` shows them)", n - 1)
            }
        };
        Err(Error::new(Code::Refused, format!("{}{more}", first.message)).hint(first.hint.clone()))
    }
}

/// Whether a journalled path has the shape that every live path has: absolute, with a name and a parent, no `..`.
#[must_use]
pub fn is_live_shape(path: &Path) -> bool {
    use std::path::Component;
    let mut components = path.components();
    components.next() == Some(Component::RootDir)
        && components.clone().count() >= 1
        && components.all(|c| matches!(c, Component::Normal(_)))
}
