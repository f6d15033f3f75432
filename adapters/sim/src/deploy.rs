//! The calls of the container engine, step by step: find, fence, stop, prepare, bring back, clean up.

use std::{collections::BTreeSet, path::PathBuf};

use volsnap_core::{
    model::{
        Container, ContainerId, Losses, Mount, Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector,
        container::{is_ours, retired_name},
    },
    ports::{EngineError, EngineErrorKind, Health, HealthState},
};

use crate::{
    engine::{HealthBehaviour, SimContainer},
    micro::{Interrupt, MicroKind},
    mutant::Mutant,
    places::Halt,
    replace::Which,
    shared::Shared,
    world::World,
};

pub(crate) type EngineResult<T> = Result<T, Halt<EngineError>>;

pub(crate) fn refuse<T>(kind: EngineErrorKind, message: impl Into<String>) -> EngineResult<T> {
    Err(EngineError::new(kind, message).into())
}

impl From<Interrupt> for Halt<EngineError> {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Silence => Halt::Silence,
            Interrupt::Failed(failure) => Halt::Error(EngineError::new(failure.engine, &*failure.words)),
        }
    }
}

impl World {
    pub(crate) fn engine_call(&mut self, call: &'static str, label: impl FnOnce() -> String) -> EngineResult<()> {
        self.call(call, label)?;
        if self.engine.up { Ok(()) } else { refuse(EngineErrorKind::Unreachable, "the simulated engine is down") }
    }

    /// One change of the engine's state, which a power cut may take back until the engine syncs.
    pub(crate) fn engine_step<R>(
        &mut self,
        label: impl FnOnce() -> String,
        act: impl FnOnce(&mut World) -> R,
    ) -> EngineResult<R> {
        Ok(self.micro(MicroKind::Engine, label, |w| {
            w.remember_engine();
            act(w)
        })?)
    }

    pub(crate) fn engine_sync(&mut self) -> EngineResult<()> {
        let sync = |w: &mut World| w.engine_mut().sync();
        Ok(self.micro(MicroKind::Engine, || "the engine's records are durable".into(), sync)?)
    }

    pub(crate) fn find(&mut self, selector: &Selector) -> EngineResult<Vec<Container>> {
        self.engine_call("find", || format!("{selector:?}"))?;
        for name in &selector.containers {
            if self.engine.named(name).is_none() {
                return refuse(EngineErrorKind::NotFound, format!("no container {name}"));
            }
        }
        let ours = |name: &str| name.contains(".volsnap-new-") || name.contains(".volsnap-old-");
        let found = self.engine.containers.values().filter(|c| selects(selector, c) && !ours(&c.seen.name));
        Ok(ordered(found.map(|c| self.shown(c)).collect()))
    }

    pub(crate) fn all_containers(&mut self) -> EngineResult<Vec<Container>> {
        self.engine_call("all", String::new)?;
        Ok(ordered(self.engine.containers.values().map(|c| self.shown(c)).collect()))
    }

    pub(crate) fn mounting(&mut self, paths: &[PathBuf]) -> EngineResult<Vec<Container>> {
        self.engine_call("mounting", || format!("{paths:?}"))?;
        let real = |path: &PathBuf| self.walk(path, true).map_or_else(|_| path.clone(), |spot| spot.real);
        let wanted: Vec<PathBuf> = paths.iter().map(real).collect();
        let blind = self.mutant == Some(Mutant::OtherUsersNotSeen);
        let touches = |c: &SimContainer| {
            !(blind && c.project.as_deref() != Some("app"))
                && (c.seen.mounts.iter().map(|mount| real(&mount.source)))
                    .any(|source| wanted.iter().any(|path| path.starts_with(&source) || source.starts_with(path)))
        };
        Ok(self.engine.containers.values().filter(|c| touches(c)).map(|c| self.shown(c)).collect())
    }

    pub(crate) fn of_restore(&mut self, restore: RestoreId) -> EngineResult<Vec<Container>> {
        self.engine_call("of_restore", || restore.to_string())?;
        Ok(self.engine.containers.values().filter(|c| is_ours(&c.seen.name, restore)).map(|c| self.shown(c)).collect())
    }

    pub(crate) fn pause(&mut self, ids: &[ContainerId]) -> EngineResult<()> {
        self.engine_call("pause", || format!("{ids:?}"))?;
        let mut frozen = Vec::new();
        for id in ids {
            let found = self.engine.containers.get(id).map(|c| (c.seen.run, c.seen.particulars.is_restarting));
            let outcome = match found.map(|(run, is_restarting)| if is_restarting { RunState::Stopped } else { run }) {
                Some(RunState::Running) => self.set_run(id, RunState::Paused).map(|()| frozen.push(id.clone())),
                Some(RunState::Paused) => Ok(()),
                Some(RunState::Stopped) => refuse(EngineErrorKind::Conflict, format!("{id} is not running")),
                None => refuse(EngineErrorKind::NotFound, format!("no container {id}")),
            };
            if let Err(halt) = outcome {
                if !self.dead {
                    for id in frozen {
                        self.set_run(&id, RunState::Running)?;
                    }
                }
                return Err(halt);
            }
        }
        Ok(())
    }

    pub(crate) fn unpause(&mut self, ids: &[ContainerId]) -> EngineResult<()> {
        self.engine_call("unpause", || format!("{ids:?}"))?;
        if self.mutant == Some(Mutant::NotThawed) {
            return Ok(());
        }
        for id in ids {
            if self.engine.containers.get(id).is_some_and(|c| c.seen.run == RunState::Paused) {
                self.set_run(id, RunState::Running)?;
            }
        }
        Ok(())
    }

    pub(crate) fn settle_engine(&mut self) -> EngineResult<()> {
        self.engine_call("settle_engine", String::new)?;
        if self.mutant == Some(Mutant::EngineNotSettled) { Ok(()) } else { self.engine_sync() }
    }

    pub(crate) fn set_restart_policy(&mut self, id: &ContainerId, policy: &RestartPolicy) -> EngineResult<()> {
        self.engine_call("set_restart_policy", || format!("{id} {}", policy.name))?;
        self.write_policy(id, policy)?;
        self.engine_sync()
    }

    pub(crate) fn write_policy(&mut self, id: &ContainerId, policy: &RestartPolicy) -> EngineResult<()> {
        let lies = self.mutant == Some(Mutant::FenceNotDurable);
        let Some(container) = self.engine.containers.get(id) else { return Ok(()) };
        if self.mutant == Some(Mutant::PoliciesNotBack) && !policy.is_never() {
            return Ok(());
        }
        if container.seen.restart_policy == *policy && (lies || container.policy_on_disk == *policy) {
            return Ok(());
        }
        self.engine_step(
            || format!("{id}: policy {}", policy.name),
            |w| {
                if let Some(container) = w.engine_mut().get_mut(id) {
                    container.seen.restart_policy = policy.clone();
                    if !lies {
                        container.policy_on_disk = policy.clone();
                    }
                }
            },
        )
    }

    pub(crate) fn stop(&mut self, ids: &[ContainerId]) -> EngineResult<()> {
        self.engine_call("stop", || format!("{ids:?}"))?;
        for id in ids {
            self.stop_one(id)?;
        }
        Ok(())
    }

    pub(crate) fn stop_one(&mut self, id: &ContainerId) -> EngineResult<()> {
        if !self.engine.containers.get(id).is_some_and(|c| c.seen.run.is_active()) {
            return Ok(());
        }
        if self.engine.containers.get(id).is_some_and(|c| c.stopping) {
            if self.mutant == Some(Mutant::StopsNotAwaited) {
                return Ok(());
            }
        } else {
            // What is frozen is thawed for it.
            let ask = |w: &mut World| {
                if let Some(container) = w.engine_mut().get_mut(id) {
                    container.stopping = true;
                    container.seen.run = RunState::Running;
                }
            };
            self.engine_step(|| format!("ask {id} to stop"), ask)?;
        }
        self.engine_step(
            || format!("stop {id}"),
            |w| {
                w.watch_anonymous(id);
                w.end_running(id);
            },
        )
    }

    pub(crate) fn start_one(&mut self, id: &ContainerId) -> EngineResult<()> {
        if self.engine.containers.get(id).is_some_and(|c| c.seen.run.is_active()) {
            return Ok(());
        }
        if self.engine.containers.get(id).is_some_and(|c| c.health == HealthBehaviour::FailsToStart) {
            return refuse(EngineErrorKind::Failed, format!("{id} cannot be started"));
        }
        if let Some(lacks) = self.lacks(id) {
            return refuse(EngineErrorKind::Failed, format!("{id} cannot be started: {lacks}"));
        }
        self.engine_step(
            || format!("start {id}"),
            |w| {
                if w.engine.containers.get(id).is_some_and(|c| c.seen.particulars.is_one_off) {
                    w.violation(format!("{id} runs one command and was started again"));
                }
                w.begin_running(id);
            },
        )
    }

    /// Notes it if a container is about to remove itself with an anonymous volume that no other container has.
    fn watch_anonymous(&mut self, id: &ContainerId) {
        let Some(going) = self.engine.containers.get(id).filter(|c| c.seen.particulars.removes_itself) else { return };
        let anonymous = going.seen.mounts.iter().filter(|mount| is_anonymous(mount));
        let others = || self.engine.containers.values().filter(|c| c.seen.id != *id);
        let has = |source: &PathBuf| others().any(|c| c.seen.mounts.iter().any(|mount| mount.source == *source));
        let lost = anonymous.map(|mount| &mount.source).find(|source| !has(source)).cloned();
        if let Some(source) = lost {
            self.violation(format!("{} is gone with {id}, which removed itself", source.display()));
        }
    }

    pub(crate) fn set_run(&mut self, id: &ContainerId, run: RunState) -> EngineResult<()> {
        self.engine_step(
            || format!("{id}: {run:?}"),
            |w| {
                let now = w.clock.monotonic_ns();
                if let Some(container) = w.engine_mut().get_mut(id) {
                    if container.seen.run == RunState::Paused {
                        container.thawed_ns = Some(now);
                    }
                    container.seen.run = run;
                }
            },
        )
    }

    pub(crate) fn rename_container(&mut self, id: &ContainerId, name: &str) -> EngineResult<()> {
        if self.engine.named(name).is_some() {
            return refuse(EngineErrorKind::Conflict, format!("the name {name} is taken"));
        }
        self.engine_step(
            || format!("rename {id} to {name}"),
            |w| {
                if let Some(container) = w.engine_mut().get_mut(id) {
                    container.seen.name = name.to_string();
                }
            },
        )
    }

    pub(crate) fn remove_container(&mut self, id: &ContainerId) -> EngineResult<()> {
        self.engine_step(|| format!("remove {id}"), |w| w.engine_mut().remove(id))
    }

    pub(crate) fn prepare(&mut self, restore: RestoreId, container: &Container) -> EngineResult<()> {
        self.engine_call("prepare", || container.name.clone())?;
        self.made_anew(restore, container, Which::Prepared)?;
        self.engine_sync()
    }

    pub(crate) fn redeploy(&mut self, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> EngineResult<()> {
        self.engine_call("redeploy", || format!("{how:?}"))?;
        let containers = ordered(pinned.iter().map(|p| p.container.clone()).collect());
        let mut failed = None;
        for record in &containers {
            if record.run == RunState::Stopped {
                // Never made anew: it may have removed itself.
                self.write_policy(&record.id, &record.restart_policy)?;
                continue;
            }
            let Some(pinned) = pinned.iter().find(|p| p.container.name == record.name) else { continue };
            let outcome = match how {
                Redeploy::Recreate if pinned.is_replaced() => self.replace(restore, record),
                Redeploy::Recreate | Redeploy::Restart => self.bring_back(restore, pinned),
            };
            match outcome {
                // One that does not come back must not keep the others down.
                Err(Halt::Error(error)) => failed = failed.or(Some(error)),
                outcome => outcome?,
            }
        }
        self.engine_sync()?;
        failed.map_or(Ok(()), |error| Err(Halt::Error(error)))
    }

    pub(crate) fn discard_containers(&mut self, restore: RestoreId) -> EngineResult<()> {
        self.engine_call("discard_containers", || restore.to_string())?;
        let ours: Vec<Container> = self.containers().filter(|c| is_ours(&c.name, restore)).cloned().collect();
        for container in ours.iter().filter(|c| !c.run.is_active()) {
            let own = container.name.split(".volsnap-").next().unwrap_or_default().to_string();
            let retired = container.name == retired_name(&own, restore);
            match retired && self.engine.named(&own).is_none() {
                true => self.rename_container(&container.id, &own)?,
                false => self.remove_container(&container.id)?,
            }
        }
        self.engine_sync()
    }

    pub(crate) fn losses(&mut self, id: &ContainerId) -> EngineResult<Losses> {
        self.engine_call("losses", || id.to_string())?;
        let Some(container) = self.engine.containers.get(id) else {
            return refuse(EngineErrorKind::NotFound, format!("no container {id}"));
        };
        let anonymous = container.seen.mounts.iter().filter(|mount| is_anonymous(mount));
        Ok(Losses {
            changes: container.layer.len() as u64,
            first: container.layer.iter().take(Losses::NAMED_MAX).cloned().collect(),
            log: true,
            anonymous: anonymous.map(|mount| mount.target.clone()).collect(),
            other_addresses: false,
        })
    }

    pub(crate) fn has_image(&mut self, image_id: &str) -> EngineResult<bool> {
        self.engine_call("has_image", || image_id.to_string())?;
        Ok(self.engine.images.contains(image_id))
    }

    pub(crate) fn health(&mut self, names: &[String]) -> EngineResult<Vec<Health>> {
        self.engine_call("health", || format!("{names:?}"))?;
        let now = self.clock.monotonic_ns();
        let health = |name: &String| {
            let container = self.engine.named(name);
            let state = container.map_or(HealthState::Down, |c| self.health_of(c, now));
            let run = container.map(|c| c.run_at(now));
            let ended = container.filter(|c| state == HealthState::Down && c.starts != 0);
            let exit_code = ended.map(|c| i64::from(c.health != HealthBehaviour::Completes));
            Health { name: name.clone(), state, run, detail: format!("simulated {state:?}"), exit_code }
        };
        Ok(names.iter().map(health).collect())
    }

    /// As the port shows it. A dependency that names a service of the project is
    /// shown as the container that is this service.
    fn shown(&self, container: &SimContainer) -> Container {
        let named = |on: &str| {
            let is_service = |c: &&Shared<SimContainer>| {
                c.project.is_some() && c.project == container.project && c.seen.service.as_deref() == Some(on)
            };
            self.engine.containers.values().find(is_service).map_or_else(|| on.to_string(), |c| c.seen.name.clone())
        };
        let mut depends_on: Vec<String> = container.seen.depends_on.iter().map(|on| named(on)).collect();
        let mut particulars = container.seen.particulars.clone();
        particulars.conditions = particulars.conditions.into_iter().map(|(on, what)| (named(&on), what)).collect();
        if self.mutant == Some(Mutant::ConditionsNotSeen) {
            particulars.conditions.clear();
        }
        let health = self.health_of(container, self.clock.monotonic_ns());
        particulars.is_unhealthy = health == HealthState::Unhealthy;
        particulars.is_healthy = health == HealthState::Healthy;
        for peer in &mut particulars.peers {
            if let Some(other) = self.engine.containers.get(&ContainerId(peer.name.clone())) {
                peer.name = other.seen.name.clone();
            }
            if !depends_on.contains(&peer.name) {
                depends_on.push(peer.name.clone());
            }
        }
        match self.mutant {
            Some(Mutant::SelfRemovalNotSeen) => particulars.removes_itself = false,
            Some(Mutant::OneOffsNotSeen) => particulars.is_one_off = false,
            Some(_) | None => {}
        }
        Container { depends_on, particulars, project: container.project.clone(), ..container.seen.clone() }
    }
}

/// Whether the engine made up the name of its volume.
fn is_anonymous(mount: &Mount) -> bool {
    mount.volume.as_deref().is_some_and(|name| name.starts_with("anonymous-of-"))
}

fn selects(selector: &Selector, container: &SimContainer) -> bool {
    let by_project = selector.compose_project.is_some() && selector.compose_project == container.project;
    let has = |(key, value): &(String, String)| container.labels.get(key) == Some(value);
    let by_labels = !selector.labels.is_empty() && selector.labels.iter().all(has);
    by_project || by_labels || selector.containers.contains(&container.seen.name)
}

/// Each after those that it depends on, otherwise by name.
fn ordered(mut containers: Vec<Container>) -> Vec<Container> {
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut placed: BTreeSet<String> = BTreeSet::new();
    let mut order = Vec::new();
    while !containers.is_empty() {
        let waits = |c: &Container| {
            c.depends_on.iter().any(|on| !placed.contains(on) && containers.iter().any(|c| c.name == *on))
        };
        // A circle of dependencies is broken at the first name.
        let next = containers.iter().position(|c| !waits(c)).unwrap_or(0);
        let container = containers.remove(next);
        placed.insert(container.name.clone());
        order.push(container);
    }
    order
}
