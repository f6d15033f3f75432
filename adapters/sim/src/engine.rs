//! The container engine: its containers, when it starts them by itself, and what they hold while they run.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

use volsnap_core::{
    model::{Condition, Container, ContainerId, Mount, Peer, RestartPolicy, RestoreId, RunState, Shares},
    ports::HealthState,
};

use crate::{chooser::Chooser, disk::Body, shared::Shared, world::World};

/// The engine with what it knows, in memory and on its disk.
#[derive(Clone, Debug, Hash)]
pub(crate) struct EngineState {
    pub containers: Shared<Records>,
    /// What the engine's disk may still say instead, oldest first; empty when all is durable.
    pub past: Vec<Shared<Records>>,
    pub images: BTreeSet<String>,
    /// Networks of drills. An engine's records of networks are durable at once.
    pub networks: BTreeSet<RestoreId>,
    pub ids: u64,
    pub up: bool,
    /// What it calls itself.
    pub name: &'static str,
}

/// The engine's records.
pub(crate) type Records = BTreeMap<ContainerId, Shared<SimContainer>>;

/// A directory that a process holds: disk, inode, and the path at which it was found.
pub(crate) type Bound = (usize, u64, PathBuf);

/// A container with what only the engine knows.
#[derive(Clone, Debug)]
pub(crate) struct SimContainer {
    pub seen: Container,
    pub project: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub env: BTreeMap<String, String>,
    /// What was changed in its own writable layer.
    pub layer: BTreeSet<String>,
    pub health: HealthBehaviour,
    /// The engine remembers it over restarts: `unless-stopped` depends on it.
    pub stopped_by_hand: bool,
    /// Whether it was asked to stop and has not ended yet. The engine goes on with that when nobody waits any more.
    pub stopping: bool,
    /// What its disk says of the policy; differs only where a mutant lies.
    pub policy_on_disk: RestartPolicy,
    /// Directories that its processes hold, captured at the start.
    pub bound: Vec<Bound>,
    pub started_ns: i64,
    /// When it was last thawed.
    pub thawed_ns: Option<i64>,
    /// How many containers were started before, of this engine.
    pub starts: u64,
}

/// What a health check says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HealthBehaviour {
    /// There is none.
    None,
    /// It is starting for that many milliseconds, then healthy.
    After(u64),
    /// It fails as long as a file of that name is in one of the mounted directories.
    SickWith(String),
    /// The process exits soon after each start, with an error.
    Exits,
    /// The process does its work and ends well, soon after each start.
    Completes,
    /// There is none, and the process ends so many milliseconds after each start and is started again at once.
    DiesEvery(u64),
    /// It is healthy, but for so many milliseconds after each thaw: it could not answer while it was frozen.
    UnwellAfterThaw(u64),
    /// The engine cannot start it.
    FailsToStart,
}

impl SimContainer {
    /// How long ago it was started.
    pub fn age_ms(&self, now_ns: i64) -> u64 {
        u64::try_from((now_ns - self.started_ns) / 1_000_000).unwrap_or(0)
    }

    /// Which of its runs it is in.
    pub fn run_at(&self, now_ns: i64) -> String {
        let again = match self.health {
            HealthBehaviour::DiesEvery(ms) => self.age_ms(now_ns) / ms.max(1),
            HealthBehaviour::None
            | HealthBehaviour::After(_)
            | HealthBehaviour::SickWith(_)
            | HealthBehaviour::UnwellAfterThaw(_)
            | HealthBehaviour::Exits
            | HealthBehaviour::Completes
            | HealthBehaviour::FailsToStart => 0,
        };
        format!("{} {again}", self.started_ns)
    }
}

impl Hash for SimContainer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Container { id, name, image_id, run, restart_policy, .. } = &self.seen;
        (id, name, image_id, run.is_active(), *run == RunState::Paused, &restart_policy.name).hash(state);
        (restart_policy.retries_max, &self.policy_on_disk.name, self.stopped_by_hand, self.stopping, &self.bound)
            .hash(state);
    }
}

impl EngineState {
    /// An engine that runs, without containers.
    pub fn empty(name: &'static str) -> Self {
        EngineState {
            containers: Shared::new(Records::new()),
            past: Vec::new(),
            images: BTreeSet::new(),
            networks: BTreeSet::new(),
            ids: 0,
            up: true,
            name,
        }
    }

    pub fn named(&self, name: &str) -> Option<&SimContainer> {
        self.containers.values().find(|c| c.seen.name == name).map(|c| &**c)
    }

    pub fn get_mut(&mut self, id: &ContainerId) -> Option<&mut SimContainer> {
        self.containers.get_mut().get_mut(id).map(Shared::get_mut)
    }

    pub fn insert(&mut self, container: SimContainer) {
        self.containers.get_mut().insert(container.seen.id.clone(), Shared::new(container));
    }

    pub fn remove(&mut self, id: &ContainerId) {
        self.containers.get_mut().remove(id);
    }

    /// The ids of all, for changes of each.
    fn ids(&self) -> Vec<ContainerId> {
        self.containers.keys().cloned().collect()
    }

    pub fn fresh_id(&mut self) -> ContainerId {
        self.ids += 1;
        ContainerId(format!("c{:04}", self.ids))
    }

    /// Nothing of what was done so far can be lost any more.
    pub fn sync(&mut self) {
        self.past.clear();
    }

    /// The power goes: the engine's disk has some earlier state since the last sync, and nothing runs.
    pub fn lose(&mut self, chooser: &mut Chooser) {
        self.past.dedup_by(|a, b| a.fingerprint() == b.fingerprint());
        let age = chooser.choose(self.past.len() + 1);
        if age < self.past.len() {
            self.containers = self.past.swap_remove(age);
        }
        self.past.clear();
        for id in self.ids() {
            if let Some(container) = self.containers.get(&id)
                && container.seen.restart_policy != container.policy_on_disk
                && let Some(container) = self.get_mut(&id)
            {
                container.seen.restart_policy = container.policy_on_disk.clone();
            }
        }
        self.up = false;
    }
}

impl World {
    /// All containers as they are.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.engine.containers.values().map(|c| &c.seen)
    }

    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.engine.named(name).map(|c| &c.seen)
    }

    /// The labels of the container of that name.
    #[must_use]
    pub fn container_labels(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.engine.named(name).map(|c| &c.labels)
    }

    /// The environment of the container of that name.
    #[must_use]
    pub fn container_env(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.engine.named(name).map(|c| &c.env)
    }

    /// What stands in the own layer of the container of that name.
    #[must_use]
    pub fn layer(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.engine.named(name).map(|c| &c.layer)
    }

    /// Whether a running container was started before another running one, of which it uses something: then it has lost
    /// that.
    #[must_use]
    pub fn started_before(&self, name: &str, other: &str) -> bool {
        let started = |name: &str| self.engine.named(name).map(|c| c.starts);
        started(name) < started(other)
    }

    /// Somebody changes something in a container's own layer (`docker cp`).
    pub fn change_layer(&mut self, name: &str, path: &str) {
        if let Some(id) = self.engine.named(name).map(|c| c.seen.id.clone())
            && let Some(container) = self.engine_mut().get_mut(&id)
        {
            container.layer.insert(path.to_string());
        }
    }

    /// Somebody pulls or builds an image.
    pub fn add_image(&mut self, image_id: &str) {
        self.engine_mut().images.insert(image_id.to_string());
    }

    /// The drills that have a network.
    #[must_use]
    pub fn drill_networks(&self) -> &BTreeSet<RestoreId> {
        &self.engine.networks
    }

    /// Somebody removes an image that no container needs any more.
    pub fn remove_image(&mut self, image_id: &str) {
        self.engine_mut().images.remove(image_id);
    }

    /// Somebody renames a container.
    pub fn rename_by_hand(&mut self, name: &str, to: &str) {
        if let Some(id) = self.engine.named(name).map(|c| c.seen.id.clone())
            && let Some(container) = self.engine_mut().get_mut(&id)
        {
            container.seen.name = to.to_string();
        }
    }

    /// Running containers that hold another directory than the one that is now where they found theirs.
    #[must_use]
    pub fn stale_containers(&self) -> Vec<String> {
        let stale =
            |c: &&Shared<SimContainer>| c.bound.iter().any(|(d, ino, path)| self.directory(path) != Ok((*d, *ino)));
        self.engine.containers.values().filter(stale).map(|c| c.seen.name.clone()).collect()
    }

    /// The engine restarts in the middle: containers die with it and come back by their policies.
    pub fn restart_engine(&mut self) {
        self.note(format_args!("--- the container engine restarts"));
        self.start_by_policy();
    }

    /// Docker's rule, on the cautious side: `always` is started even if it was stopped by hand or never ran.
    pub(crate) fn start_by_policy(&mut self) {
        // One that removes itself goes with the engine that ran it, as Docker's does when it comes up again.
        let going = self.engine.containers.values().filter(|c| c.seen.particulars.removes_itself);
        let going: Vec<ContainerId> = going.map(|c| c.seen.id.clone()).collect();
        for id in going {
            self.engine_mut().remove(&id);
        }
        let mut starting = Vec::new();
        for id in self.engine.ids() {
            let Some(container) = self.engine_mut().get_mut(&id) else { continue };
            let ran = container.seen.run.is_active();
            let starts = match &*container.seen.restart_policy.name {
                "always" => true,
                "unless-stopped" => !container.stopped_by_hand && ran,
                "on-failure" => ran && !container.stopped_by_hand,
                _ => false,
            };
            container.seen.run = RunState::Stopped;
            container.stopping = false;
            container.bound.clear();
            if starts {
                starting.push(id);
            }
        }
        // One whose namespaces are another's starts when that runs, and not without it.
        while let Some(place) = starting.iter().position(|id| self.lacks(id).is_none()) {
            self.begin_running(&starting.remove(place));
        }
    }

    /// What a container could not be started without and does not find: the other container does not run, or is gone.
    pub(crate) fn lacks(&self, id: &ContainerId) -> Option<String> {
        let container = self.engine.containers.get(id)?;
        let runs = |peer: &Peer| match peer.by_name {
            true => self.engine.named(&peer.name).is_some_and(|c| c.seen.run.is_active()),
            false => {
                let other = self.engine.containers.get(&ContainerId(peer.name.clone()));
                other.is_some_and(|c| c.seen.run.is_active())
            }
        };
        let needs = |peer: &&Peer| match peer.shares {
            Shares::Network | Shares::Ipc | Shares::Pid | Shares::Link => true,
            Shares::Volumes => false,
        };
        let missing = container.seen.particulars.peers.iter().filter(needs).find(|peer| !runs(peer));
        missing.map(|peer| format!("{:?} of {}, which does not run", peer.shares, peer.name))
    }

    pub(crate) fn start_by_hand(&mut self, name: &str) {
        if let Some(id) = self.engine.named(name).filter(|c| !c.seen.run.is_active()).map(|c| c.seen.id.clone())
            && self.lacks(&id).is_none()
        {
            self.begin_running(&id);
        }
    }

    pub(crate) fn stop_by_hand(&mut self, name: &str) {
        if let Some(id) = self.engine.named(name).map(|c| c.seen.id.clone()) {
            self.end_running(&id);
        }
    }

    pub(crate) fn remove_by_hand(&mut self, name: &str) {
        if let Some(id) = self.engine.named(name).map(|c| c.seen.id.clone()) {
            self.engine_mut().remove(&id);
        }
    }

    /// Starts it: mounts are captured by directory, and a missing bind source is made, as Docker does.
    pub(crate) fn begin_running(&mut self, id: &ContainerId) {
        let Some(container) = self.engine.containers.get(id) else { return };
        let lacks_something = self.lacks_something(container);
        let sources: Vec<Mount> = container.seen.mounts.clone();
        let mut bound = Vec::new();
        for mount in sources.iter().filter(|mount| mount.writable && mount.unsupported.is_none()) {
            if let Some((disk, ino)) = self.made_directory(&mount.source) {
                bound.push((disk, ino, mount.source.clone()));
            }
        }
        let now = self.clock.monotonic_ns();
        let starts = self.engine.containers.values().map(|c| c.starts).max().unwrap_or_default() + 1;
        if let Some(container) = self.engine_mut().get_mut(id) {
            container.starts = starts;
            container.seen.run = RunState::Running;
            container.stopped_by_hand = false;
            container.bound = bound;
            container.started_ns = now;
            let ends = matches!(container.health, HealthBehaviour::Exits | HealthBehaviour::Completes);
            if ends || lacks_something {
                container.seen.run = RunState::Stopped;
                container.bound.clear();
            }
        }
    }

    /// Whether it dies at its start for want of what it waits for, and is not started again until that is there: who waits
    /// for a healthy database ends without one.
    fn lacks_something(&self, container: &SimContainer) -> bool {
        let now = self.clock.monotonic_ns();
        let is_there = |(on, condition): (&String, &Condition)| {
            let is_it = |c: &&Shared<SimContainer>| {
                c.seen.name == *on
                    || c.project.is_some() && c.project == container.project && c.seen.service.as_ref() == Some(on)
            };
            let Some(other) = self.engine.containers.values().find(is_it) else { return true };
            match condition {
                Condition::Started => true,
                Condition::Healthy => {
                    let state = self.health_of(other, now);
                    matches!(state, HealthState::Healthy | HealthState::Running)
                }
                Condition::Completed => other.health == HealthBehaviour::Completes && !other.seen.run.is_active(),
            }
        };
        container.seen.restart_policy.is_never() && !container.seen.particulars.conditions.iter().all(is_there)
    }

    /// How a container is at that time.
    pub(crate) fn health_of(&self, container: &SimContainer, now_ns: i64) -> HealthState {
        match (container.seen.run.is_active(), &container.health) {
            (false, _) => HealthState::Down,
            (true, HealthBehaviour::None | HealthBehaviour::DiesEvery(_)) => HealthState::Running,
            (true, HealthBehaviour::Exits | HealthBehaviour::Completes | HealthBehaviour::FailsToStart) => {
                HealthState::Down
            }
            (true, HealthBehaviour::After(ms)) => match container.age_ms(now_ns) >= *ms {
                true => HealthState::Healthy,
                false => HealthState::Starting,
            },
            (true, HealthBehaviour::UnwellAfterThaw(ms)) => {
                let thawed_ms = container.thawed_ns.map(|thawed_ns| (now_ns - thawed_ns) / 1_000_000);
                match thawed_ms.is_some_and(|ago| u64::try_from(ago).is_ok_and(|ago| ago < *ms)) {
                    true => HealthState::Unhealthy,
                    false => HealthState::Healthy,
                }
            }
            (true, HealthBehaviour::SickWith(file)) => {
                let sick = container.bound.iter().any(|(disk, ino, _)| self.disk(*disk).lookup(*ino, file).is_some());
                if sick { HealthState::Unhealthy } else { HealthState::Healthy }
            }
        }
    }

    /// Somebody changes how a container does: unplugs what it needs to start, and plugs it in again.
    pub fn set_health_by_hand(&mut self, name: &str, health: HealthBehaviour) {
        if let Some(id) = self.engine.named(name).map(|c| c.seen.id.clone())
            && let Some(container) = self.engine_mut().get_mut(&id)
        {
            container.health = health;
        }
    }

    /// Somebody deploys a container with other conditions, while it runs on.
    pub fn set_conditions_by_hand(&mut self, name: &str, conditions: BTreeMap<String, Condition>) {
        if let Some(id) = self.engine.named(name).map(|c| c.seen.id.clone())
            && let Some(container) = self.engine_mut().get_mut(&id)
        {
            container.seen.particulars.conditions = conditions;
        }
    }

    /// A container that removes itself goes as soon as it ends.
    pub(crate) fn end_running(&mut self, id: &ContainerId) {
        if self.engine.containers.get(id).is_some_and(|c| c.seen.particulars.removes_itself && c.seen.run.is_active()) {
            self.engine_mut().remove(id);
            return;
        }
        if let Some(container) = self.engine_mut().get_mut(id) {
            container.seen.run = RunState::Stopped;
            container.stopped_by_hand = true;
            container.stopping = false;
            container.bound.clear();
        }
    }

    /// What was asked to stop ends at last, long after whoever asked.
    pub(crate) fn end_stops(&mut self) {
        let stopping = self.engine.containers.values().filter(|c| c.stopping && c.seen.run.is_active());
        for id in stopping.map(|c| c.seen.id.clone()).collect::<Vec<_>>() {
            self.note(format_args!("--- {id} ends, which was asked to stop"));
            self.end_running(&id);
        }
    }

    pub(crate) fn made_directory(&mut self, path: &Path) -> Option<(usize, u64)> {
        let mut so_far = PathBuf::from("/");
        for component in path.components().skip(1) {
            let (disk, dir) = self.directory(&so_far).ok()?;
            let name = component.as_os_str().to_string_lossy();
            so_far.push(component);
            if self.walk(&so_far, true).ok()?.target().is_none() {
                let now = self.clock.wall_ns();
                self.note(format_args!("--- the container engine creates the missing {}", so_far.display()));
                self.disk_mut(disk).create(dir, &name, Body::Dir, now);
            }
        }
        self.directory(path).ok()
    }

    /// Notes it if an active container holds one of these inodes that are about to be moved or removed.
    pub(crate) fn watch_quiet(&mut self, disk: usize, inos: &[u64], what: &str) {
        let holder = self
            .engine
            .containers
            .values()
            .find(|c| c.seen.run.is_active() && c.bound.iter().any(|(d, ino, _)| *d == disk && inos.contains(ino)));
        if let Some(name) = holder.map(|c| c.seen.name.clone()) {
            self.violation(format!("{what} under {name}, which is running"));
        }
    }

    pub(crate) fn violation(&mut self, what: String) {
        self.note(format_args!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// Keeps what the engine's disk may still say, before a change of it.
    pub(crate) fn remember_engine(&mut self) {
        let now = self.engine.containers.clone();
        self.engine_mut().past.push(now);
    }
}
