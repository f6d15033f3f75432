//! Verifying, deleting and pruning snapshots.

use std::collections::BTreeMap;

use serde_json::json;

use super::Engine;
use crate::{
    error::Result,
    model::{
        Snapshot, SnapshotId, Workload,
        retention::{self, Policy, Verdict},
    },
    ports::{EventKind, Verified, Watch},
};

/// What a prune did or would do, newest first.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// The snapshots with the rules that keep them; no rule means deleted.
    pub verdicts: Vec<Verdict>,
    /// Whether it was only asked what it would do.
    pub dry_run: bool,
}

impl Engine {
    /// Reads a snapshot's archive to the last byte and compares it with itself and with the catalog.
    pub async fn verify(&self, snapshot: &Snapshot, watch: &Watch) -> Result<Verified> {
        let verified = self.ports.filesystem.verify_archive(snapshot.workload(), snapshot.id(), watch.clone()).await?;
        if verified.summary.digest != snapshot.archive.digest {
            return Err(crate::Error::new(
                crate::Code::Corrupt,
                format!("snapshot {} is another archive than the catalog lists", snapshot.id()),
            )
            .hint("somebody replaced it; choose another snapshot"));
        }
        // Reading takes long, and deleting does not wait for it: a row of what is gone must not come back.
        let listed = self.snapshots(Some(snapshot.workload())).await?;
        let Some(listed) = listed.into_iter().find(|s| s.id() == snapshot.id()) else {
            return Err(crate::Error::new(
                crate::Code::NotFound,
                format!("snapshot {} was deleted while it was verified", snapshot.id()),
            )
            .hint("`volsnap list` shows the snapshots"));
        };
        let now = self.ports.clock.now();
        self.ports.store.put_snapshot(&Snapshot { verified_at: Some(now), ..listed }).await?;
        if let Some(workload) = self.ports.store.workloads().await?.iter().find(|w| w.id == snapshot.workload()) {
            let detail = json!({ "snapshot": snapshot.id(), "bytes_read": verified.bytes_read });
            self.tell(&self.event(workload, EventKind::SnapshotVerified, "verified", detail)).await;
        }
        Ok(verified)
    }

    /// Deletes a snapshot.
    pub async fn delete(&self, workload: &Workload, snapshot: &Snapshot, watch: &Watch) -> Result<()> {
        let _held = self.hold(workload).await?;
        self.recover_or_refuse(workload.id, watch).await?;
        self.forget(workload, snapshot).await
    }

    /// Deletes what no rule keeps.
    ///
    /// It holds the workload's lock and no journal is open, so no restore reads what is deleted: the lock is the pin.
    pub async fn prune(&self, workload: &Workload, policy: &Policy, dry_run: bool, watch: &Watch) -> Result<Pruned> {
        let _held = match dry_run {
            true => None,
            false => Some(self.hold(workload).await?),
        };
        let mut pins: BTreeMap<SnapshotId, String> = BTreeMap::new();
        if dry_run {
            for open in self.outlook(Some(workload.id)).await? {
                pins.extend(open.snapshot.map(|s| (s, "an open restore".to_string())));
            }
        } else {
            self.recover_or_refuse(workload.id, watch).await?;
        }
        let snapshots = self.snapshots(Some(workload.id)).await?;
        let verdicts = retention::verdicts(&snapshots, &pins, policy, self.ports.clock.now());
        for verdict in verdicts.iter().filter(|v| !dry_run && v.kept_by.is_empty()) {
            if let Some(snapshot) = snapshots.iter().find(|s| s.id() == verdict.snapshot) {
                self.forget(workload, snapshot).await?;
            }
        }
        Ok(Pruned { verdicts, dry_run })
    }

    /// The row goes first: a crash in between leaves an archive that nobody lists, never a listed snapshot that is
    /// not there.
    pub(super) async fn forget(&self, workload: &Workload, snapshot: &Snapshot) -> Result<()> {
        self.ports.store.remove_snapshot(snapshot.id()).await?;
        self.ports.filesystem.remove_archive(snapshot.workload(), snapshot.id()).await?;
        let detail = json!({ "snapshot": snapshot.id() });
        self.tell(&self.event(workload, EventKind::SnapshotDeleted, "deleted", detail)).await;
        Ok(())
    }
}
