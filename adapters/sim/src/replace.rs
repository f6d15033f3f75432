//! Bringing a container back: the same one, or another one in its place.

use volsnap_core::{
    model::{
        Container, ContainerId, Peer, Pinned, RestartPolicy, RestoreId, RunState, Shares,
        container::{passing_name, retired_name},
    },
    ports::EngineErrorKind,
};

use crate::{
    deploy::{EngineResult, refuse},
    engine::SimContainer,
    mutant::Mutant,
    places::Halt,
    record::from_record,
    world::World,
};

/// Which containers a replacement may refer to: those that are prepared too, or those that hold the names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Prepared,
    Standing,
}

impl World {
    /// The replacement under its passing name, from the record; policy `no`, so that no engine starts it too early.
    pub(crate) fn made_anew(
        &mut self,
        restore: RestoreId,
        record: &Container,
        which: Which,
    ) -> EngineResult<ContainerId> {
        let name = &passing_name(&record.name, restore);
        let peers: Vec<Peer> =
            record.particulars.peers.iter().map(|peer| self.peer_now(restore, peer, which)).collect();
        if let Some(container) = self.engine.named(name) {
            let (id, fits) = (container.seen.id.clone(), container.seen.particulars.peers == peers);
            if fits && container.seen.image_id == record.image_id {
                return Ok(id);
            }
            self.stop_one(&id)?;
            self.remove_container(&id)?;
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
                seen.particulars.peers = peers;
                if w.mutant == Some(Mutant::ImageByName) {
                    seen.image_id = format!("sha256:what {} means today", seen.image);
                }
                let container = from_record(seen);
                w.engine_mut().insert(container);
                id
            },
        )
    }

    /// What a reference of a record stands for now: by id whoever has the other's name, or is to have it.
    fn peer_now(&self, restore: RestoreId, peer: &Peer, which: Which) -> Peer {
        let prepared = match which {
            Which::Prepared => self.engine.named(&passing_name(&peer.name, restore)),
            Which::Standing => None,
        };
        match prepared.or_else(|| self.engine.named(&peer.name)) {
            Some(other) if !peer.by_name => Peer { name: other.seen.id.0.clone(), ..peer.clone() },
            Some(_) | None => peer.clone(),
        }
    }

    /// Whether the original is what is asked for, with all that it cannot be started without.
    fn serves(&self, restore: RestoreId, record: &Container, original: &SimContainer) -> bool {
        let of = |peers: &[Peer]| {
            let needed = peers.iter().filter(|peer| peer.shares != Shares::Volumes);
            needed.cloned().collect::<Vec<_>>()
        };
        let now: Vec<Peer> =
            record.particulars.peers.iter().map(|peer| self.peer_now(restore, peer, Which::Standing)).collect();
        original.seen.image_id == record.image_id && of(&original.seen.particulars.peers) == of(&now)
    }

    /// Old one out of the way, new one under its name, started; only then the old one removed.
    pub(crate) fn replace(&mut self, restore: RestoreId, record: &Container) -> EngineResult<()> {
        self.give_name_back(restore, record)?;
        let holder = self.engine.named(&record.name).map(|c| c.seen.id.clone());
        let new = match holder {
            Some(id) if id != record.id => match self.freshened(restore, record, id) {
                Err(Halt::Error(error)) => {
                    self.put_old_back(restore, record)?;
                    return Err(Halt::Error(error));
                }
                id => id?,
            },
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
        // It waits until the restore is closed: if the app is not well, it comes back.
        if let Some(old) = self.engine.named(&retired_name(&record.name, restore)).map(|c| c.seen.id.clone()) {
            self.stop_one(&old)?;
            if self.mutant == Some(Mutant::OriginalRemovedEarly) {
                self.remove_container(&old)?;
            }
        }
        Ok(())
    }

    /// The recorded container under a name that somebody gave it since gets its own back.
    fn give_name_back(&mut self, restore: RestoreId, record: &Container) -> EngineResult<()> {
        let is_free = |name: &str| self.engine.named(name).is_none();
        let is_there = self.engine.containers.contains_key(&record.id);
        match is_there && is_free(&record.name) && is_free(&retired_name(&record.name, restore)) {
            true => self.rename_container(&record.id, &record.name),
            false => Ok(()),
        }
    }

    fn put_new_in_place(
        &mut self,
        restore: RestoreId,
        record: &Container,
        old: Option<&ContainerId>,
    ) -> EngineResult<ContainerId> {
        let new = self.made_anew(restore, record, Which::Standing)?;
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
            self.start_again(&old, record)?;
        }
        Ok(())
    }

    /// The recorded container under its own name, started again if it ran. Another one only if there is none any more, or
    /// if it is not what is asked for.
    pub(crate) fn bring_back(&mut self, restore: RestoreId, pinned: &Pinned) -> EngineResult<()> {
        let record = &pinned.container;
        let (retired, passing) = (retired_name(&record.name, restore), passing_name(&record.name, restore));
        if pinned.is_replaced() {
            self.give_name_back(restore, record)?;
        }
        let holder = self.engine.named(&record.name).map(|c| c.seen.id.clone());
        let original =
            self.engine.containers.get(&record.id).map(|c| (c.seen.name.clone(), self.serves(restore, record, c)));
        match (holder, original) {
            _ if !pinned.is_replaced() => {}
            (Some(holder), Some((_, false))) if holder == record.id => return self.replace(restore, record),
            (Some(holder), Some((name, true))) if holder != record.id && name == retired => {
                self.stop_one(&holder)?;
                if let Some(unused) = self.engine.named(&passing).map(|c| c.seen.id.clone()) {
                    self.stop_one(&unused)?;
                    self.remove_container(&unused)?;
                }
                self.rename_container(&holder, &passing)?;
                self.rename_container(&record.id, &record.name)?;
            }
            (None, Some((name, true))) if name == retired => self.rename_container(&record.id, &record.name)?,
            (None, _) => {
                let id = self.made_anew(restore, record, Which::Standing)?;
                self.rename_container(&id, &record.name)?;
            }
            (Some(_), _) => {}
        }
        let by_id = || self.engine.containers.contains_key(&record.id).then(|| record.id.clone());
        let by_name = self.engine.named(&record.name).map(|c| c.seen.id.clone());
        let Some(id) = by_name.or_else(by_id) else { return Ok(()) };
        let id = match pinned.was_active() {
            true if pinned.is_replaced() && id != record.id => self.freshened(restore, record, id)?,
            true if self.has_lost_its_peer(&id) => {
                self.stop_one(&id)?;
                id
            }
            true | false => id,
        };
        match record.run {
            RunState::Stopped => self.stop_one(&id)?,
            RunState::Running | RunState::Paused => return self.start_again(&id, record),
        }
        self.write_policy(&id, &record.restart_policy)
    }

    /// A replacement that was made by an earlier call, as it has to be now: another one if it refers to a container that
    /// was replaced in its turn since, stopped if it has lost what it shares with one.
    fn freshened(&mut self, restore: RestoreId, record: &Container, id: ContainerId) -> EngineResult<ContainerId> {
        if self.mutant == Some(Mutant::LostPeersNotSeen) {
            return Ok(id);
        }
        let wanted: Vec<Peer> =
            record.particulars.peers.iter().map(|peer| self.peer_now(restore, peer, Which::Standing)).collect();
        if self.engine.containers.get(&id).is_some_and(|c| c.seen.particulars.peers != wanted) {
            self.stop_one(&id)?;
            if self.engine.containers.get(&id).is_some() {
                self.remove_container(&id)?;
            }
            let id = self.made_anew(restore, record, Which::Standing)?;
            self.rename_container(&id, &record.name)?;
            return Ok(id);
        }
        if self.has_lost_its_peer(&id) {
            self.stop_one(&id)?;
        }
        Ok(id)
    }

    /// Whether it runs on with the namespaces of a container that was started again since.
    fn has_lost_its_peer(&self, id: &ContainerId) -> bool {
        let Some(container) = self.engine.containers.get(id) else { return false };
        let shares = |peer: &&Peer| matches!(peer.shares, Shares::Network | Shares::Ipc | Shares::Pid);
        let was_started_again = |peer: &Peer| {
            let other = match peer.by_name {
                true => self.engine.named(&peer.name),
                false => self.engine.containers.get(&ContainerId(peer.name.clone())).map(|c| &**c),
            };
            other.is_some_and(|other| other.seen.run.is_active() && other.starts > container.starts)
        };
        container.seen.run.is_active()
            && container.seen.particulars.peers.iter().filter(shares).any(was_started_again)
            && self.mutant != Some(Mutant::LostPeersNotSeen)
    }

    /// The container that is the app whatever happens: it has its policy back also if it cannot be started.
    fn start_again(&mut self, id: &ContainerId, record: &Container) -> EngineResult<()> {
        if let Err(halt) = self.start_one(id) {
            if matches!(halt, Halt::Error(_)) && self.mutant != Some(Mutant::PolicyLostOnFailedStart) {
                self.write_policy(id, &record.restart_policy)?;
            }
            return Err(halt);
        }
        if record.run == RunState::Paused && self.engine.containers[id].seen.run == RunState::Running {
            self.set_run(id, RunState::Paused)?;
        }
        self.write_policy(id, &record.restart_policy)?;
        // It ended before it had its policy, so that the engine let it lie.
        let seen = &self.engine.containers[id].seen;
        match !seen.run.is_active() && !seen.restart_policy.is_never() {
            true => self.start_one(id),
            false => Ok(()),
        }
    }
}
