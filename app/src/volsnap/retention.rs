//! Which snapshots stay: pinned, deleted and pruned.

use volsnap_core::{
    engine::{Pins, Pruned},
    model::{Pin, Snapshot, Workload, retention::Policy},
};

use super::{Volsnap, owner, sweep_drafts_first};
use crate::Operation;

impl Volsnap {
    /// Pins a snapshot: neither [`Volsnap::prune`] nor a deletion with [`Pins::Heed`] takes it away. Gives it as it is
    /// then; a pin takes the place of an earlier one. Pins are kept in the catalog, not in the archive.
    pub fn pin(&self, snapshot: Snapshot, note: Option<String>) -> Operation<Snapshot> {
        self.start(|engine, watch| async move {
            let pin = Pin { at: engine.ports().clock.now(), note };
            engine.pin(&owner(&engine, &snapshot).await?, &snapshot, Some(pin), &watch).await
        })
    }

    /// Takes a snapshot's pin away, if it has one.
    pub fn unpin(&self, snapshot: Snapshot) -> Operation<Snapshot> {
        self.start(|engine, watch| async move {
            engine.pin(&owner(&engine, &snapshot).await?, &snapshot, None, &watch).await
        })
    }

    /// Deletes a snapshot. [`Code::Refused`](crate::Code::Refused) if it is pinned and pins are heeded.
    pub fn delete(&self, snapshot: Snapshot, pins: Pins) -> Operation<()> {
        self.start(move |engine, watch| async move {
            let owner = owner(&engine, &snapshot).await?;
            engine.delete(&owner, &snapshot, pins, &watch).await?;
            sweep_drafts_first(&engine, Some(owner.id)).await;
            Ok(())
        })
    }

    /// Deletes the workload's snapshots that no rule keeps; with `dry_run` only says which. A policy without rules
    /// keeps everything.
    pub fn prune(&self, workload: Workload, policy: Policy, dry_run: bool) -> Operation<Pruned> {
        self.start(move |engine, watch| async move {
            let pruned = engine.prune(&workload, &policy, dry_run, &watch).await?;
            if !dry_run {
                sweep_drafts_first(&engine, Some(workload.id)).await;
            }
            Ok(pruned)
        })
    }
}
