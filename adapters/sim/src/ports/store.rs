//! The catalog in memory: what a writing call wrote is durable when it returns.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{Hook, KnownVolume, Mark, Snapshot, SnapshotId, Workload, WorkloadId},
    ports::{Event, FsErrorKind, Store, StoreError, StoreErrorKind},
};

use crate::{
    machine::Machine,
    micro::{Interrupt, MicroKind},
    mutant::Mutant,
    places::Halt,
    world::World,
};

/// The rows, and whether they can be had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub workloads: BTreeMap<WorkloadId, Arc<Workload>>,
    pub snapshots: BTreeMap<SnapshotId, Arc<Snapshot>>,
    /// In the order in which they were recorded.
    pub events: Vec<Arc<Event>>,
    /// The greatest sequence that was given out.
    pub sequence: u64,
    pub settings: BTreeMap<String, String>,
    pub broken: Option<StoreErrorKind>,
}

impl Hash for Catalog {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.workloads.keys().for_each(|id| id.hash(state));
        self.snapshots.values().for_each(|s| (s.id(), &s.archive.digest).hash(state));
        self.events.iter().for_each(|e| (e.id, &e.outcome).hash(state));
        (&self.settings, self.sequence, self.broken.is_some()).hash(state);
    }
}

type StoreResult<T> = Result<T, Halt<StoreError>>;

impl From<Interrupt> for Halt<StoreError> {
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Silence => Halt::Silence,
            Interrupt::Failed(failure) if failure.kind == FsErrorKind::Corrupt => {
                Halt::Error(StoreError::new(StoreErrorKind::Corrupt, "simulated damage"))
            }
            Interrupt::Failed(failure) => Halt::Error(StoreError::new(StoreErrorKind::Io, &*failure.words)),
        }
    }
}

impl World {
    /// Makes every call of the catalog fail that way, or work again.
    pub fn break_store(&mut self, how: Option<StoreErrorKind>) {
        self.catalog_mut().broken = how;
    }

    /// Makes the catalog an empty one, as if its file had been lost.
    pub fn lose_catalog(&mut self) {
        *self.catalog_mut() = Catalog::default();
    }

    /// The snapshots that the catalog knows, by id.
    pub fn catalogued(&self) -> impl Iterator<Item = &Snapshot> {
        self.catalog.snapshots.values().map(|snapshot| &**snapshot)
    }

    /// The audit trail, in the order in which it was recorded.
    pub fn recorded_events(&self) -> impl Iterator<Item = &Event> {
        self.catalog.events.iter().map(|event| &**event)
    }

    fn store_call(&mut self, call: &'static str) -> StoreResult<&Catalog> {
        self.call(call, String::new)?;
        match self.catalog.broken {
            Some(kind) => Err(StoreError::new(kind, "the simulated catalog is broken").into()),
            None => Ok(&self.catalog),
        }
    }

    fn store_write(&mut self, call: &'static str, write: impl FnOnce(&mut Catalog)) -> StoreResult<()> {
        self.store_call(call)?;
        Ok(self.micro(MicroKind::Catalog, || call.into(), |w| write(w.catalog_mut()))?)
    }
}

/// The catalog of a machine.
#[derive(Clone, Debug)]
pub struct SimStore {
    pub(crate) machine: Machine,
}

#[async_trait]
impl Store for SimStore {
    async fn workloads(&self) -> Result<Vec<Workload>, StoreError> {
        let read = |w: &mut World| {
            let mut rows: Vec<Workload> =
                w.store_call("workloads")?.workloads.values().map(|row| Workload::clone(row)).collect();
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(rows)
        };
        self.machine.ask(read).await
    }

    async fn add_workload(&self, workload: &Workload) -> Result<(), StoreError> {
        let add = |w: &mut World| {
            let rows = &w.store_call("add_workload")?.workloads;
            if rows.contains_key(&workload.id) || rows.values().any(|row| row.name == workload.name) {
                let message = format!("workload {} ({}) is there already", workload.name, workload.id);
                return Err(StoreError::new(StoreErrorKind::Exists, message).into());
            }
            w.store_write("add_workload", |catalog| {
                catalog.workloads.insert(workload.id, Arc::new(workload.clone()));
            })
        };
        self.machine.ask(add).await
    }

    async fn set_registration(&self, workload: &Workload) -> Result<(), StoreError> {
        let set = |catalog: &mut Catalog| {
            if let Some(row) = catalog.workloads.get_mut(&workload.id) {
                let Workload { source, selector, volumes, known, .. } = workload.clone();
                let row = Arc::make_mut(row);
                (row.source, row.selector, row.volumes, row.known) = (source, selector, volumes, known);
            }
        };
        self.machine.ask(|w| w.store_write("set_registration", set)).await
    }

    async fn set_hooks(&self, id: WorkloadId, hooks: &[Hook]) -> Result<(), StoreError> {
        let set = |catalog: &mut Catalog| {
            if let Some(row) = catalog.workloads.get_mut(&id) {
                Arc::make_mut(row).hooks = hooks.to_vec();
            }
        };
        self.machine.ask(|w| w.store_write("set_hooks", set)).await
    }

    async fn set_known(&self, id: WorkloadId, known: &[KnownVolume]) -> Result<(), StoreError> {
        let set = |catalog: &mut Catalog| {
            if let Some(row) = catalog.workloads.get_mut(&id) {
                Arc::make_mut(row).known = known.to_vec();
            }
        };
        self.machine.ask(|w| w.store_write("set_known", set)).await
    }

    async fn remove_workload(&self, id: WorkloadId) -> Result<(), StoreError> {
        let remove = |catalog: &mut Catalog| {
            catalog.workloads.remove(&id);
            catalog.snapshots.retain(|_, snapshot| snapshot.workload() != id);
        };
        self.machine.ask(|w| w.store_write("remove_workload", remove)).await
    }

    async fn sequence(&self) -> Result<u64, StoreError> {
        self.machine.ask(|w| Ok(w.store_call("sequence")?.sequence)).await
    }

    async fn advance(&self, above: u64) -> Result<u64, StoreError> {
        let give = |w: &mut World| {
            let next = w.catalog.sequence.max(above) + 1;
            w.store_write("advance", |catalog| catalog.sequence = next)?;
            Ok(next)
        };
        self.machine.ask(give).await
    }

    async fn snapshots(&self, workload: Option<WorkloadId>) -> Result<Vec<Snapshot>, StoreError> {
        let by_clock = self.machine.world().mutant == Some(Mutant::LatestByClock);
        let read = |w: &mut World| {
            let rows = w.store_call("snapshots")?.snapshots.values();
            let mut rows: Vec<Snapshot> = rows
                .filter(|row| workload.is_none_or(|id| row.workload() == id))
                .map(|row| Snapshot::clone(row))
                .collect();
            match by_clock {
                true => rows.sort_by_key(|row| std::cmp::Reverse((row.created_at(), row.id()))),
                false => rows.sort_by_key(|row| std::cmp::Reverse(row.order())),
            }
            Ok(rows)
        };
        self.machine.ask(read).await
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let put = |catalog: &mut Catalog| {
            catalog.sequence = catalog.sequence.max(snapshot.order().0);
            catalog.snapshots.insert(snapshot.id(), Arc::new(snapshot.clone()));
        };
        self.machine.ask(|w| w.store_write("put_snapshot", put)).await
    }

    async fn mark_snapshot(&self, id: SnapshotId, mark: &Mark) -> Result<bool, StoreError> {
        let change = |w: &mut World| {
            let is_there = w.catalog.snapshots.contains_key(&id);
            w.store_write("mark_snapshot", |catalog| {
                if let Some(row) = catalog.snapshots.get_mut(&id) {
                    Arc::make_mut(row).mark(mark);
                }
            })?;
            Ok(is_there)
        };
        self.machine.ask(change).await
    }

    async fn remove_snapshot(&self, id: SnapshotId) -> Result<(), StoreError> {
        let remove = |catalog: &mut Catalog| {
            catalog.snapshots.remove(&id);
        };
        self.machine.ask(|w| w.store_write("remove_snapshot", remove)).await
    }

    async fn record(&self, event: &Event) -> Result<(), StoreError> {
        let lies = self.machine.world().mutant == Some(Mutant::EventsNotRecorded);
        let record = |catalog: &mut Catalog| {
            if lies {
                return;
            }
            if catalog.events.iter().all(|recorded| recorded.id != event.id) {
                catalog.events.push(Arc::new(event.clone()));
            }
        };
        self.machine.ask(|w| w.store_write("record", record)).await
    }

    async fn events(&self, workload: Option<WorkloadId>, count_max: u32) -> Result<Vec<Event>, StoreError> {
        let read = |w: &mut World| {
            let rows = w.store_call("events")?.events.iter().rev();
            let mut rows: Vec<Event> =
                rows.filter(|row| workload.is_none_or(|id| row.workload == id)).map(|row| Event::clone(row)).collect();
            rows.truncate(usize::try_from(count_max).unwrap_or(usize::MAX));
            Ok(rows)
        };
        self.machine.ask(read).await
    }

    async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.machine.ask(|w| Ok(w.store_call("setting")?.settings.get(key).cloned())).await
    }

    async fn set_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let set = |catalog: &mut Catalog| {
            catalog.settings.insert(key.to_string(), value.to_string());
        };
        self.machine.ask(|w| w.store_write("set_setting", set)).await
    }
}
