//! Stand-ins for a catalog or an engine that cannot be had: each call says why, so that the rest goes on without.

use std::{path::PathBuf, time::Duration};

use async_trait::async_trait;
use volsnap_core::{
    model::{
        Container, ContainerId, Hook, KnownVolume, Losses, Mark, Pinned, Redeploy, RestartPolicy, RestoreId, Selector,
        Snapshot, SnapshotId, Workload, WorkloadId,
    },
    ports::{
        Boot, BootCheck, Command, Containers, EngineError, EngineErrorKind, EngineInfo, Event, Health, Lease, Ran,
        Store, StoreError, Watch,
    },
};

/// A catalog that could not be opened. Recovery needs none; everything else fails with the reason.
#[derive(Clone, Debug)]
pub struct UnavailableStore {
    error: StoreError,
}

impl UnavailableStore {
    /// A catalog that answers every call with that error.
    #[must_use]
    pub fn new(error: StoreError) -> Self {
        UnavailableStore { error }
    }

    fn refuse<T>(&self) -> Result<T, StoreError> {
        Err(self.error.clone())
    }
}

#[async_trait]
impl Store for UnavailableStore {
    async fn workloads(&self) -> Result<Vec<Workload>, StoreError> {
        self.refuse()
    }

    async fn add_workload(&self, _: &Workload) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn set_registration(&self, _: &Workload) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn set_hooks(&self, _: WorkloadId, _: &[Hook]) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn set_known(&self, _: WorkloadId, _: &[KnownVolume]) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn remove_workload(&self, _: WorkloadId) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn sequence(&self) -> Result<u64, StoreError> {
        self.refuse()
    }

    async fn advance(&self, _: u64) -> Result<u64, StoreError> {
        self.refuse()
    }

    async fn snapshots(&self, _: Option<WorkloadId>) -> Result<Vec<Snapshot>, StoreError> {
        self.refuse()
    }

    async fn put_snapshot(&self, _: &Snapshot) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn mark_snapshot(&self, _: SnapshotId, _: &Mark) -> Result<bool, StoreError> {
        self.refuse()
    }

    async fn remove_snapshot(&self, _: SnapshotId) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn record(&self, _: &Event) -> Result<(), StoreError> {
        self.refuse()
    }

    async fn events(&self, _: Option<WorkloadId>, _: u32) -> Result<Vec<Event>, StoreError> {
        self.refuse()
    }

    async fn setting(&self, _: &str) -> Result<Option<String>, StoreError> {
        self.refuse()
    }

    async fn set_setting(&self, _: &str, _: &str) -> Result<(), StoreError> {
        self.refuse()
    }
}

/// An engine that cannot be named. Plain directories need none; a workload with containers fails with the reason.
#[derive(Clone, Debug)]
pub struct UnavailableEngine {
    reason: String,
}

impl UnavailableEngine {
    /// An engine that answers every call with that it cannot be reached, for that reason.
    pub fn new(reason: impl Into<String>) -> Self {
        UnavailableEngine { reason: reason.into() }
    }

    fn refuse<T>(&self) -> Result<T, EngineError> {
        Err(EngineError::new(EngineErrorKind::Unreachable, self.reason.clone()))
    }
}

#[async_trait]
impl Containers for UnavailableEngine {
    /// It is not on this host, so no volume of it is.
    async fn is_expected(&self) -> bool {
        false
    }

    fn command(&self) -> &'static str {
        "docker"
    }

    fn health_interval(&self) -> Duration {
        Duration::from_millis(250)
    }

    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.refuse()
    }

    async fn lease(&self, _: WorkloadId) -> Result<Box<dyn Lease>, EngineError> {
        self.refuse()
    }

    async fn find(&self, _: &Selector) -> Result<Vec<Container>, EngineError> {
        self.refuse()
    }

    async fn all(&self) -> Result<Vec<Container>, EngineError> {
        self.refuse()
    }

    async fn mounting(&self, _: &[PathBuf]) -> Result<Vec<Container>, EngineError> {
        self.refuse()
    }

    async fn of_restore(&self, _: RestoreId) -> Result<Vec<Container>, EngineError> {
        self.refuse()
    }

    async fn settle(&self) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn pause(&self, _: &[ContainerId]) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn unpause(&self, _: &[ContainerId]) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn set_restart_policy(&self, _: &ContainerId, _: &RestartPolicy) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn stop(&self, _: &[ContainerId]) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn losses(&self, _: &ContainerId) -> Result<Losses, EngineError> {
        self.refuse()
    }

    async fn has_image(&self, _: &str) -> Result<bool, EngineError> {
        self.refuse()
    }

    async fn prepare(&self, _: RestoreId, _: &Container) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn redeploy(&self, _: RestoreId, _: &[Pinned], _: Redeploy) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn discard(&self, _: RestoreId) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn check_boot(&self, _: &[Boot]) -> Result<BootCheck, EngineError> {
        self.refuse()
    }

    async fn boot(&self, _: RestoreId, _: &[Boot]) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn unboot(&self, _: RestoreId) -> Result<(), EngineError> {
        self.refuse()
    }

    async fn exec(&self, _: &str, _: &Command, _: &Watch) -> Result<Ran, EngineError> {
        self.refuse()
    }

    async fn health(&self, _: &[String]) -> Result<Vec<Health>, EngineError> {
        self.refuse()
    }
}
