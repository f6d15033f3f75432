//! Copies of containers that a drill starts on copied directories.

use volsnap_core::{
    model::{
        Container, ContainerId, Mount, RestartPolicy, RestoreId, RunState,
        container::{DRILL_LABEL, drill_name},
    },
    ports::{Boot, BootCheck, EngineErrorKind},
    restore::Refusal,
};

use crate::{
    deploy::{EngineResult, refuse},
    record::from_record,
    world::World,
};

impl World {
    pub(crate) fn check_boot(&mut self, boots: &[Boot]) -> EngineResult<BootCheck> {
        self.engine_call("check_boot", || names(boots))?;
        let gone = boots.iter().filter(|boot| !self.engine.images.contains(&boot.image_id));
        let refusals = gone.map(|boot| {
            let message = format!("the engine has no image {} for {}", boot.image_id, boot.container.name);
            Refusal::new(message, "load it again")
        });
        Ok(BootCheck { refusals: refusals.collect(), warnings: Vec::new() })
    }

    /// Each of its changes may be lost in a power cut: what is removed in the end needs no sync before.
    pub(crate) fn boot(&mut self, drill: RestoreId, boots: &[Boot]) -> EngineResult<()> {
        self.engine_call("boot", || names(boots))?;
        if !self.engine.networks.contains(&drill) {
            self.engine_step(|| format!("network of {drill}"), |w| w.engine_mut().networks.insert(drill))?;
        }
        for boot in boots {
            let id = self.made_for_drill(drill, boot)?;
            self.start_one(&id)?;
        }
        Ok(())
    }

    fn made_for_drill(&mut self, drill: RestoreId, boot: &Boot) -> EngineResult<ContainerId> {
        let name = drill_name(&boot.container.name, drill);
        if let Some(container) = self.engine.named(&name) {
            return Ok(container.seen.id.clone());
        }
        if !self.engine.images.contains(&boot.image_id) {
            return refuse(EngineErrorKind::NotFound, format!("no image {}", boot.image_id));
        }
        if let Some(missing) = boot.copies.values().find(|copy| self.directory(copy).is_err()) {
            return refuse(EngineErrorKind::Failed, format!("{name}: no directory {}", missing.display()));
        }
        self.engine_step(
            || format!("create {name}"),
            |w| {
                let id = w.engine_mut().fresh_id();
                let seen = Container {
                    id: id.clone(),
                    name: name.clone(),
                    project: None,
                    service: None,
                    image_id: boot.image_id.clone(),
                    run: RunState::Stopped,
                    restart_policy: RestartPolicy::never(),
                    mounts: boot.container.mounts.iter().filter_map(|mount| mount_of(mount, boot)).collect(),
                    depends_on: Vec::new(),
                    ..boot.container.clone()
                };
                let mut container = from_record(seen);
                container.project = None;
                // Copies find each other in the network that they share.
                container.seen.particulars.peers.clear();
                container.labels = [(DRILL_LABEL.to_string(), drill.to_string())].into();
                w.engine_mut().insert(container);
                id
            },
        )
    }

    pub(crate) fn unboot(&mut self, drill: RestoreId) -> EngineResult<()> {
        self.engine_call("unboot", || drill.to_string())?;
        let of_drill = drill.to_string();
        let ours = self.engine.containers.values().filter(|c| c.labels.get(DRILL_LABEL) == Some(&of_drill));
        for id in ours.map(|c| c.seen.id.clone()).collect::<Vec<_>>() {
            self.stop_one(&id)?;
            self.remove_container(&id)?;
        }
        if self.engine.networks.contains(&drill) {
            self.engine_step(|| format!("no network of {drill}"), |w| w.engine_mut().networks.remove(&drill))?;
        }
        self.engine_sync()
    }
}

/// The copy of a directory, or what can only be read; what else is writable has no counterpart.
fn mount_of(mount: &Mount, boot: &Boot) -> Option<Mount> {
    match boot.copies.get(&mount.target) {
        Some(copy) => Some(Mount { source: copy.clone(), volume: None, ..mount.clone() }),
        None => (!mount.writable).then(|| mount.clone()),
    }
}

fn names(boots: &[Boot]) -> String {
    boots.iter().map(|boot| boot.container.name.as_str()).collect::<Vec<_>>().join(" ")
}
