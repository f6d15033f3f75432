//! Verifying, pinning, deleting and pruning snapshots.

use std::collections::BTreeMap;

use serde_json::json;

use super::Engine;
use crate::{
    error::{Code, Error, Result},
    model::{
        ArchiveFile, Flaw, Mark, Pin, Snapshot, SnapshotId, Workload, WorkloadId,
        retention::{self, Circumstances, Policy, Verdict},
    },
    ports::{EventKind, FsError, Verified, Watch},
};

/// What a deletion does about pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pins {
    /// A pinned snapshot is not deleted: [`Code::Refused`], and nothing else is deleted either.
    Heed,
    /// Pinned or not, it is deleted.
    Override,
}

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
        let read = self.ports.archives.verify_archive(snapshot.workload(), snapshot.id(), watch.clone()).await;
        self.record_check(snapshot, read).await
    }

    /// Reads a snapshot's archive to the last byte and compares what is stored with its digests and with the catalog. The
    /// catalog has the digest of the index, and the index that of each frame: what agrees is the file that was written,
    /// and nothing need be unpacked to see it.
    pub async fn verify_stored(&self, snapshot: &Snapshot, watch: &Watch) -> Result<Verified> {
        let read = self.ports.archives.verify_stored(snapshot.workload(), snapshot.id(), watch.clone()).await;
        self.record_check(snapshot, read).await
    }

    /// Records what reading an archive showed. It is good only if it is the one that the catalog lists.
    async fn record_check(&self, snapshot: &Snapshot, read: Result<Verified, FsError>) -> Result<Verified> {
        let verified = match read {
            Ok(verified) => verified,
            Err(error) => {
                let error = Error::from(error);
                self.record_damage(snapshot, &error).await;
                return Err(error);
            }
        };
        if verified.summary.digest != snapshot.archive.digest {
            let message = format!("snapshot {} is another archive than the catalog lists", snapshot.id());
            let error = Error::new(Code::Corrupt, message).hint("somebody replaced it; choose another snapshot");
            self.record_damage(snapshot, &error).await;
            return Err(error);
        }
        // Reading takes long, and neither a deletion nor a pin waits for it: what was read before is not written back.
        if !self.ports.store.mark_snapshot(snapshot.id(), &Mark::Verified(self.ports.clock.now())).await? {
            return Err(Error::new(
                Code::NotFound,
                format!("snapshot {} was deleted while it was verified", snapshot.id()),
            )
            .hint("`volsnap list` shows the snapshots"));
        }
        if let Some(workload) = self.ports.store.workloads().await?.iter().find(|w| w.id == snapshot.workload()) {
            let detail = json!({ "snapshot": snapshot.id(), "bytes_read": verified.bytes_read });
            self.tell(&self.event(workload, EventKind::SnapshotVerified, "verified", detail)).await;
        }
        Ok(verified)
    }

    /// Records that reading an archive showed damage, if that is what the error says: retention counts on it no more. A
    /// catalog that cannot be written changes nothing about the answer.
    pub(super) async fn record_damage(&self, snapshot: &Snapshot, error: &Error) {
        if error.code != Code::Corrupt {
            return;
        }
        let mark = Mark::Corrupt(self.ports.clock.now());
        if let Err(error) = self.ports.store.mark_snapshot(snapshot.id(), &mark).await {
            tracing::warn!(%error, snapshot = %snapshot.id(), "the catalog does not say that this archive is damaged");
        }
        let workloads = self.ports.store.workloads().await.unwrap_or_default();
        if let Some(workload) = workloads.iter().find(|w| w.id == snapshot.workload()) {
            let detail = json!({ "snapshot": snapshot.id(), "error": error.message });
            self.tell(&self.event(workload, EventKind::SnapshotVerified, "corrupt", detail)).await;
        }
    }

    /// What has the name of an archive of the workload.
    async fn archive_files(&self, workload: WorkloadId) -> Result<BTreeMap<SnapshotId, ArchiveFile>> {
        let files = self.ports.archives.archives().await?.into_iter();
        Ok(files.filter(|file| file.workload == workload).map(|file| (file.snapshot, file)).collect())
    }

    /// What is wrong with the archives of these snapshots, as far as that is seen without reading them.
    pub async fn flaws(&self, snapshots: &[Snapshot]) -> Result<BTreeMap<SnapshotId, Flaw>> {
        let mut files: BTreeMap<WorkloadId, BTreeMap<SnapshotId, ArchiveFile>> = BTreeMap::new();
        for file in self.ports.archives.archives().await? {
            files.entry(file.workload).or_default().insert(file.snapshot, file);
        }
        let none = BTreeMap::new();
        let flaw = |s: &Snapshot| Flaw::of(s, files.get(&s.workload()).unwrap_or(&none)).map(|flaw| (s.id(), flaw));
        Ok(snapshots.iter().filter_map(flaw).collect())
    }

    /// Pins a snapshot, or takes its pin away with `None`; gives it as it is then. A pin takes the place of an earlier one.
    ///
    /// It holds the workload's lock, as whatever deletes does: what was pinned before a deletion looks is not deleted.
    pub async fn pin(
        &self,
        workload: &Workload,
        snapshot: &Snapshot,
        pin: Option<Pin>,
        watch: &Watch,
    ) -> Result<Snapshot> {
        let engine = &self.hold(workload, watch).await?;
        engine.recover_or_refuse(workload.id, watch).await?;
        let (kind, outcome) = match &pin {
            Some(_) => (EventKind::SnapshotPinned, "pinned"),
            None => (EventKind::SnapshotUnpinned, "unpinned"),
        };
        let detail = json!({ "snapshot": snapshot.id(), "note": pin.as_ref().and_then(|pin| pin.note.as_ref()) });
        let mark = pin.map_or(Mark::Unpinned, Mark::Pinned);
        if !engine.ports.store.mark_snapshot(snapshot.id(), &mark).await? {
            return Err(Error::new(Code::NotFound, format!("there is no snapshot {} any more", snapshot.id()))
                .hint("`volsnap list` shows the snapshots"));
        }
        engine.tell(&engine.event(workload, kind, outcome, detail)).await;
        let mut marked = snapshot.clone();
        marked.mark(&mark);
        Ok(marked)
    }

    /// Deletes a snapshot.
    pub async fn delete(&self, workload: &Workload, snapshot: &Snapshot, pins: Pins, watch: &Watch) -> Result<()> {
        let engine = &self.hold(workload, watch).await?;
        engine.recover_or_refuse(workload.id, watch).await?;
        let listed = engine.snapshots(Some(snapshot.workload())).await?;
        // As it is now: somebody may have pinned it since it was looked up.
        let now = listed.iter().find(|s| s.id() == snapshot.id()).unwrap_or(snapshot);
        refuse_pinned([now].into_iter(), pins)?;
        engine.forget(workload, now, "delete").await
    }

    /// Deletes what no rule keeps.
    ///
    /// It holds the workload's lock and no journal is open, so no restore reads what is deleted, and nobody pins it now.
    /// The archives are asked for first: while they cannot be listed, nothing is deleted.
    pub async fn prune(&self, workload: &Workload, policy: &Policy, dry_run: bool, watch: &Watch) -> Result<Pruned> {
        let engine = &match dry_run {
            true => self.clone(),
            false => self.hold(workload, watch).await?,
        };
        let mut needed: BTreeMap<SnapshotId, String> = BTreeMap::new();
        if dry_run {
            for open in engine.outlook(Some(workload.id)).await? {
                needed.extend(open.snapshot.map(|s| (s, "open restore".to_string())));
            }
        } else {
            engine.recover_or_refuse(workload.id, watch).await?;
        }
        let snapshots = engine.snapshots(Some(workload.id)).await?;
        let circumstances = Circumstances {
            needed,
            archives: engine.archive_files(workload.id).await?,
            zone: engine.zone.clone(),
            now: engine.ports.clock.now(),
        };
        let verdicts = retention::verdicts(&snapshots, &circumstances, policy);
        for verdict in verdicts.iter().filter(|v| !dry_run && v.kept_by.is_empty()) {
            if let Some(snapshot) = snapshots.iter().find(|s| s.id() == verdict.snapshot) {
                engine.forget(workload, snapshot, "prune").await?;
            }
        }
        Ok(Pruned { verdicts, dry_run })
    }

    /// The row goes first: a crash in between leaves an archive that nobody lists, never a listed snapshot that is
    /// not there. The audit event says which command did it, and what pin it overrode.
    pub(super) async fn forget(&self, workload: &Workload, snapshot: &Snapshot, by: &str) -> Result<()> {
        self.ports.store.remove_snapshot(snapshot.id()).await?;
        self.ports.archives.remove_archive(snapshot.workload(), snapshot.id()).await?;
        let detail = json!({ "snapshot": snapshot.id(), "by": by, "pin": snapshot.pin });
        self.tell(&self.event(workload, EventKind::SnapshotDeleted, "deleted", detail)).await;
        Ok(())
    }
}

/// Says no if one of them is pinned and pins are heeded.
pub(super) fn refuse_pinned<'a>(snapshots: impl Iterator<Item = &'a Snapshot>, pins: Pins) -> Result<()> {
    let pinned: Vec<&Snapshot> = match pins {
        Pins::Heed => snapshots.filter(|snapshot| snapshot.pin.is_some()).collect(),
        Pins::Override => Vec::new(),
    };
    let Some(first) = pinned.first() else { return Ok(()) };
    let note = first.pin.iter().find_map(|pin| pin.note.as_ref()).map_or(String::new(), |note| format!(" ({note})"));
    let more = match pinned.len() {
        1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    Err(Error::new(Code::Refused, format!("snapshot {} is pinned{note}{more}", first.id()))
        .hint(format!("`volsnap unpin {}` takes the pin away; --force deletes it all the same", first.id())))
}
