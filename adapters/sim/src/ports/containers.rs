//! The container engine's port.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use volsnap_core::{
    model::{Container, ContainerId, Losses, Pinned, Redeploy, RestartPolicy, RestoreId, Selector, WorkloadId},
    ports::{
        Boot, BootCheck, Command, Containers, EngineError, EngineErrorKind, EngineInfo, Health, Lease, Ran, Watch,
    },
};

use crate::{
    deploy::{EngineResult, refuse},
    machine::Machine,
    mutant::Mutant,
    world::World,
};

/// The container engine of a machine.
#[derive(Clone, Debug)]
pub struct SimContainers {
    pub(crate) machine: Machine,
}

/// A deploy lock; gives it back unless its process died, whose locks are gone anyway.
struct DeployLease {
    machine: Machine,
    workload: WorkloadId,
}

impl Lease for DeployLease {}

impl Drop for DeployLease {
    fn drop(&mut self) {
        self.machine.world().deploy_locks.remove(&self.workload);
    }
}

impl SimContainers {
    /// A request that changes something; it may arrive twice, and the answer is that to the second.
    async fn ask<T>(&self, call: impl Fn(&mut World) -> EngineResult<T>) -> Result<T, EngineError> {
        let answer = |w: &mut World| {
            let first = call(w)?;
            if w.arrived_again() { call(w) } else { Ok(first) }
        };
        self.machine.ask(answer).await
    }
}

#[async_trait]
impl Containers for SimContainers {
    async fn is_expected(&self) -> bool {
        true
    }

    fn command(&self) -> &'static str {
        "docker"
    }

    async fn info(&self) -> Result<EngineInfo, EngineError> {
        let info = |w: &mut World| {
            w.engine_call("info", String::new)?;
            Ok(EngineInfo {
                version: "simulated engine 1".into(),
                id: Some(if w.mutant == Some(Mutant::EnginesAlike) { "simulated" } else { w.engine.name }.into()),
                root: Some(PathBuf::from("/var/lib/engine")),
                live_restore: Some(false),
                fixed_policies: false,
            })
        };
        self.machine.ask(info).await
    }

    async fn lease(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, EngineError> {
        let take = |w: &mut World| {
            w.engine_call("lease", || workload.to_string())?;
            match w.deploy_locks.insert(workload) {
                true => Ok(()),
                false => refuse(EngineErrorKind::Conflict, format!("{workload} is being deployed")),
            }
        };
        let lease = |()| DeployLease { machine: self.machine.clone(), workload };
        Ok(Box::new(self.machine.ask_for(take, lease).await?))
    }

    async fn find(&self, selector: &Selector) -> Result<Vec<Container>, EngineError> {
        self.machine.ask(|w| w.find(selector)).await
    }

    async fn all(&self) -> Result<Vec<Container>, EngineError> {
        self.machine.ask(World::all_containers).await
    }

    async fn mounting(&self, paths: &[PathBuf]) -> Result<Vec<Container>, EngineError> {
        self.machine.ask(|w| w.mounting(paths)).await
    }

    async fn of_restore(&self, restore: RestoreId) -> Result<Vec<Container>, EngineError> {
        self.machine.ask(|w| w.of_restore(restore)).await
    }

    async fn losses(&self, id: &ContainerId) -> Result<Losses, EngineError> {
        self.machine.ask(|w| w.losses(id)).await
    }

    async fn has_image(&self, image_id: &str) -> Result<bool, EngineError> {
        self.machine.ask(|w| w.has_image(image_id)).await
    }

    async fn exec(&self, container: &str, command: &Command, _: &Watch) -> Result<Ran, EngineError> {
        self.machine.ask(|w| w.exec(container, command)).await
    }

    async fn settle(&self) -> Result<(), EngineError> {
        self.ask(World::settle_engine).await
    }

    async fn pause(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        self.ask(|w| w.pause(ids)).await
    }

    async fn unpause(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        self.ask(|w| w.unpause(ids)).await
    }

    async fn set_restart_policy(&self, id: &ContainerId, policy: &RestartPolicy) -> Result<(), EngineError> {
        self.ask(|w| w.set_restart_policy(id, policy)).await
    }

    async fn stop(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        self.ask(|w| w.stop(ids)).await
    }

    async fn prepare(&self, restore: RestoreId, container: &Container) -> Result<(), EngineError> {
        self.ask(|w| w.prepare(restore, container)).await
    }

    async fn redeploy(&self, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> Result<(), EngineError> {
        self.ask(|w| w.redeploy(restore, pinned, how)).await
    }

    async fn discard(&self, restore: RestoreId) -> Result<(), EngineError> {
        self.ask(|w| w.discard_containers(restore)).await
    }

    async fn check_boot(&self, boots: &[Boot]) -> Result<BootCheck, EngineError> {
        self.machine.ask(|w| w.check_boot(boots)).await
    }

    async fn boot(&self, drill: RestoreId, boots: &[Boot]) -> Result<(), EngineError> {
        self.ask(|w| w.boot(drill, boots)).await
    }

    async fn unboot(&self, drill: RestoreId) -> Result<(), EngineError> {
        self.ask(|w| w.unboot(drill)).await
    }

    async fn health(&self, names: &[String]) -> Result<Vec<Health>, EngineError> {
        self.machine.ask(|w| w.health(names)).await
    }

    fn health_interval(&self) -> Duration {
        Duration::from_secs(1)
    }
}
