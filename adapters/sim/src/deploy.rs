//! The calls of the container engine, step by step: find, fence, stop, prepare, bring back, clean up.

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::{Value, json};
use volsnap_core::{
    model::{
        Container, ContainerId, Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector,
        container::{is_ours, passing_name, retired_name},
    },
    ports::{EngineError, EngineErrorKind, Health, HealthState},
};

use crate::{
    engine::{HealthBehaviour, SimContainer},
    micro::{Interrupt, MicroKind},
    mutant::Mutant,
    places::Halt,
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
            let outcome = match self.engine.containers.get(id).map(|c| c.seen.run) {
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

    fn write_policy(&mut self, id: &ContainerId, policy: &RestartPolicy) -> EngineResult<()> {
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
        self.engine_step(|| format!("stop {id}"), |w| w.end_running(id))
    }

    pub(crate) fn start_one(&mut self, id: &ContainerId) -> EngineResult<()> {
        if self.engine.containers.get(id).is_some_and(|c| c.seen.run.is_active()) {
            return Ok(());
        }
        if self.engine.containers.get(id).is_some_and(|c| c.health == HealthBehaviour::FailsToStart) {
            return refuse(EngineErrorKind::Failed, format!("{id} cannot be started"));
        }
        self.engine_step(|| format!("start {id}"), |w| w.begin_running(id))
    }

    fn set_run(&mut self, id: &ContainerId, run: RunState) -> EngineResult<()> {
        self.engine_step(
            || format!("{id}: {run:?}"),
            |w| {
                if let Some(container) = w.engine_mut().get_mut(id) {
                    container.seen.run = run;
                }
            },
        )
    }

    fn rename_container(&mut self, id: &ContainerId, name: &str) -> EngineResult<()> {
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
        self.made_anew(&passing_name(&container.name, restore), container)?;
        self.engine_sync()
    }

    /// The replacement under that name, from the record; policy `no`, so that no engine starts it too early.
    fn made_anew(&mut self, name: &str, record: &Container) -> EngineResult<ContainerId> {
        if let Some(container) = self.engine.named(name) {
            return Ok(container.seen.id.clone());
        }
        if !self.engine.images.contains(&record.image_id) {
            return refuse(EngineErrorKind::NotFound, format!("no image {}", record.image_id));
        }
        self.engine_step(
            || format!("create {name}"),
            |w| {
                let id = w.engine_mut().fresh_id();
                let mut seen = record.clone();
                seen.id = id.clone();
                seen.name = name.to_string();
                seen.run = RunState::Stopped;
                seen.restart_policy = RestartPolicy::never();
                if w.mutant == Some(Mutant::ImageByName) {
                    seen.image_id = format!("sha256:what {} means today", seen.image);
                }
                let container = from_record(seen);
                w.engine_mut().insert(container);
                id
            },
        )
    }

    pub(crate) fn redeploy(&mut self, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> EngineResult<()> {
        self.engine_call("redeploy", || format!("{how:?}"))?;
        let containers = ordered(pinned.iter().map(|p| p.container.clone()).collect());
        let mut failed = None;
        for record in &containers {
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

    /// Old one out of the way, new one under its name, started; only then the old one removed.
    fn replace(&mut self, restore: RestoreId, record: &Container) -> EngineResult<()> {
        let holder = self.engine.named(&record.name).map(|c| c.seen.id.clone());
        let new = match holder {
            Some(id) if id != record.id => id,
            holder => match self.put_new_in_place(restore, record, holder.as_ref()) {
                Err(Halt::Error(error)) => {
                    self.put_old_back(restore, record)?;
                    return Err(Halt::Error(error));
                }
                new => new?,
            },
        };
        let started = self.start_one(&new);
        if let Err(Halt::Error(error)) = started {
            if new != record.id && self.engine.named(&retired_name(&record.name, restore)).is_some() {
                // It may run all the same.
                self.stop_one(&new)?;
                self.rename_container(&new, &passing_name(&record.name, restore))?;
                self.put_old_back(restore, record)?;
            }
            return Err(Halt::Error(error));
        }
        started?;
        if record.run == RunState::Paused && self.engine.containers[&new].seen.run == RunState::Running {
            self.set_run(&new, RunState::Paused)?;
        }
        self.write_policy(&new, &record.restart_policy)?;
        if let Some(old) = self.engine.named(&retired_name(&record.name, restore)).map(|c| c.seen.id.clone()) {
            self.stop_one(&old)?;
            self.remove_container(&old)?;
        }
        Ok(())
    }

    fn put_new_in_place(
        &mut self,
        restore: RestoreId,
        record: &Container,
        old: Option<&ContainerId>,
    ) -> EngineResult<ContainerId> {
        let new = self.made_anew(&passing_name(&record.name, restore), record)?;
        if let Some(old) = old {
            self.stop_one(old)?;
            self.rename_container(old, &retired_name(&record.name, restore))?;
        }
        self.rename_container(&new, &record.name)?;
        Ok(new)
    }

    fn put_old_back(&mut self, restore: RestoreId, record: &Container) -> EngineResult<()> {
        if self.engine.named(&record.name).is_none()
            && let Some(old) = self.engine.named(&retired_name(&record.name, restore)).map(|c| c.seen.id.clone())
        {
            self.rename_container(&old, &record.name)?;
        }
        if let Some(old) = self.engine.named(&record.name).map(|c| c.seen.id.clone()) {
            self.start_one(&old)?;
            self.write_policy(&old, &record.restart_policy)?;
        }
        Ok(())
    }

    /// The container that holds the name, started again if it ran; the recorded one gets its name back first.
    fn bring_back(&mut self, restore: RestoreId, pinned: &Pinned) -> EngineResult<()> {
        let record = &pinned.container;
        if self.engine.named(&record.name).is_none() {
            let retired = self.engine.named(&retired_name(&record.name, restore)).map(|c| c.seen.id.clone());
            match retired {
                Some(old) => self.rename_container(&old, &record.name)?,
                None if pinned.member => {
                    let id = self.made_anew(&passing_name(&record.name, restore), record)?;
                    self.rename_container(&id, &record.name)?;
                }
                None => return Ok(()),
            }
        }
        let Some(id) = self.engine.named(&record.name).map(|c| c.seen.id.clone()) else { return Ok(()) };
        match record.run {
            RunState::Stopped => self.stop_one(&id)?,
            RunState::Running => self.start_one(&id)?,
            RunState::Paused => {
                self.start_one(&id)?;
                if self.engine.containers[&id].seen.run == RunState::Running {
                    self.set_run(&id, RunState::Paused)?;
                }
            }
        }
        self.write_policy(&id, &record.restart_policy)
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

    pub(crate) fn health(&mut self, names: &[String]) -> EngineResult<Vec<Health>> {
        self.engine_call("health", || format!("{names:?}"))?;
        let now = self.clock.wall_ns();
        let health = |name: &String| {
            let state = match self.engine.named(name) {
                None => HealthState::Down,
                Some(c) if !c.seen.run.is_active() => HealthState::Down,
                Some(c) => self.checked(c, now),
            };
            let run = self.engine.named(name).map(|c| c.run_at(now));
            Health { name: name.clone(), state, run, detail: format!("simulated {state:?}") }
        };
        Ok(names.iter().map(health).collect())
    }

    fn checked(&self, container: &SimContainer, now_ns: i64) -> HealthState {
        match &container.health {
            HealthBehaviour::None | HealthBehaviour::DiesEvery(_) => HealthState::Running,
            HealthBehaviour::Exits | HealthBehaviour::FailsToStart => HealthState::Down,
            HealthBehaviour::After(ms) => {
                let age_ms = container.age_ms(now_ns);
                if age_ms >= *ms { HealthState::Healthy } else { HealthState::Starting }
            }
            HealthBehaviour::SickWith(file) => {
                let sick = container.bound.iter().any(|(disk, ino, _)| self.disk(*disk).lookup(*ino, file).is_some());
                if sick { HealthState::Unhealthy } else { HealthState::Healthy }
            }
        }
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
        let depends_on = container.seen.depends_on.iter().map(|on| named(on)).collect();
        let mut particulars = container.seen.particulars.clone();
        particulars.conditions = particulars.conditions.into_iter().map(|(on, what)| (named(&on), what)).collect();
        for peer in &mut particulars.peers {
            peer.name = named(&peer.name);
        }
        Container { depends_on, particulars, project: container.project.clone(), ..container.seen.clone() }
    }
}

fn selects(selector: &Selector, container: &SimContainer) -> bool {
    let by_project = selector.compose_project.is_some() && selector.compose_project == container.project;
    let has = |(key, value): &(String, String)| container.labels.get(key) == Some(value);
    let by_labels = !selector.labels.is_empty() && selector.labels.iter().all(has);
    by_project || by_labels || selector.containers.contains(&container.seen.name)
}

/// What the port's records hold of a container beside what everybody sees.
pub(crate) fn record_of(container: &SimContainer) -> Value {
    let health = match &container.health {
        HealthBehaviour::None => json!(null),
        HealthBehaviour::After(ms) => json!({ "after_ms": ms }),
        HealthBehaviour::SickWith(file) => json!({ "sick_with": file }),
        HealthBehaviour::DiesEvery(ms) => json!({ "dies_every_ms": ms }),
        HealthBehaviour::Exits => json!("exits"),
        HealthBehaviour::FailsToStart => json!("fails to start"),
    };
    json!({ "project": container.project, "labels": container.labels, "env": container.env, "health": health })
}

pub(crate) fn from_record(seen: Container) -> SimContainer {
    let spec = &seen.spec;
    let text = |value: &Value| value.as_str().map(str::to_string);
    let map = |value: &Value| {
        let pairs = value.as_object().into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
    };
    let health = &spec["health"];
    let health = match (health["after_ms"].as_u64(), text(&health["sick_with"])) {
        _ if health.is_null() => HealthBehaviour::None,
        _ if health == "fails to start" => HealthBehaviour::FailsToStart,
        _ if health["dies_every_ms"].is_u64() => {
            HealthBehaviour::DiesEvery(health["dies_every_ms"].as_u64().unwrap_or_default())
        }
        (Some(ms), _) => HealthBehaviour::After(ms),
        (None, Some(file)) => HealthBehaviour::SickWith(file),
        (None, None) => HealthBehaviour::Exits,
    };
    SimContainer {
        project: text(&spec["project"]),
        labels: map(&spec["labels"]),
        env: map(&spec["env"]),
        health,
        stopped_by_hand: false,
        policy_on_disk: seen.restart_policy.clone(),
        bound: Vec::new(),
        started_ns: 0,
        seen,
    }
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
