//! Finding workloads and snapshots by what people type, and registering workloads.

use jiff::Timestamp;
use serde_json::json;

use super::{
    Engine,
    drive::word,
    retain::{Pins, refuse_pinned},
};
use crate::{
    error::{Code, Error, Result},
    model::{Origin, Resolved, Snapshot, SnapshotId, Workload, WorkloadId},
    ports::{Event, EventKind, StoreError, StoreErrorKind},
    restore::Outcome,
};

/// Shortest prefix of a snapshot id that is taken for one.
pub const PREFIX_MIN: usize = 4;

/// How far back the last restore is looked for among a workload's events: at first, and at most. With a snapshot each
/// minute, each verified and pruned, the latter is more than half a year.
const UNDO_EVENTS: [u32; 2] = [1000, 1_000_000];

impl Engine {
    /// The registered workloads, by name.
    pub async fn workloads(&self) -> Result<Vec<Workload>> {
        Ok(self.ports.store.workloads().await?)
    }

    /// The workload of that name or id.
    pub async fn workload(&self, name_or_id: &str) -> Result<Workload> {
        let workloads = self.workloads().await?;
        let matches = |w: &&Workload| w.name == name_or_id || w.id.to_string() == name_or_id;
        workloads.iter().find(matches).cloned().ok_or_else(|| {
            let names: Vec<&str> = workloads.iter().map(|w| w.name.as_str()).collect();
            Error::new(Code::NotFound, format!("there is no workload {name_or_id}")).hint(match names.is_empty() {
                true => "register one with `volsnap workload add`".to_string(),
                false => format!("the workloads are: {}", names.join(", ")),
            })
        })
    }

    /// Looks at a workload that is to be registered: its name, containers and directories. Touches nothing.
    pub async fn check_workload(&self, workload: &Workload) -> Result<Resolved> {
        check_name(&workload.name)?;
        if workload.selector.is_empty() && workload.volumes.is_empty() {
            return Err(Error::new(
                Code::Usage,
                format!("workload {} has neither containers nor directories", workload.name),
            )
            .hint("give --compose-project, --container, --label or --volume"));
        }
        if let Some(other) = self.workloads().await?.iter().find(|other| other.name == workload.name) {
            let taken = format!("the name {:?} is taken by workload {}", workload.name, other.id);
            return Err(StoreError::new(StoreErrorKind::Exists, taken).into());
        }
        let resolved = self.resolve(workload).await?;
        if resolved.volumes.is_empty() {
            return Err(Error::new(Code::Refused, format!("workload {} has no volumes", workload.name)).hint(
                match resolved.left_out.is_empty() {
                    true => "no container matches, or none mounts a directory of the host".to_string(),
                    false => format!("left out: {}", resolved.left_out.join("; ")),
                },
            ));
        }
        for (i, volume) in resolved.volumes.iter().enumerate() {
            if resolved.volumes[..i].iter().any(|v| v.target == volume.target) {
                return Err(Error::new(Code::Usage, format!("volume {} is declared twice", volume.target))
                    .hint("give each directory a target of its own"));
            }
            self.ports
                .filesystem
                .locate(&volume.path)
                .await
                .map_err(|e| Error::from(e).context(format_args!("volume {}", volume.target)))?;
        }
        Ok(resolved)
    }

    /// Registers a workload, if [`Engine::check_workload`] has nothing against it.
    pub async fn add_workload(&self, workload: &Workload) -> Result<()> {
        let resolved = self.check_workload(workload).await?;
        self.ports.store.add_workload(workload).await?;
        self.tell(&self.event(workload, EventKind::WorkloadAdded, "added", json!({ "volumes": resolved.volumes })))
            .await;
        Ok(())
    }

    /// Forgets a workload; with `delete_snapshots` its archives are deleted too, without it they must be gone. While a
    /// pin is heeded, nothing is deleted at all.
    pub async fn remove_workload(&self, workload: &Workload, delete_snapshots: bool, pins: Pins) -> Result<usize> {
        let _held = self.hold(workload).await?;
        self.recover_or_refuse(workload.id, &super::recover::quiet()).await?;
        let snapshots = self.snapshots(Some(workload.id)).await?;
        if !snapshots.is_empty() && !delete_snapshots {
            return Err(Error::new(
                Code::Refused,
                match snapshots.len() {
                    1 => format!("workload {} has a snapshot", workload.name),
                    count => format!("workload {} has {count} snapshots", workload.name),
                },
            )
            .hint("give --delete-snapshots to delete them with it"));
        }
        refuse_pinned(snapshots.iter(), pins)?;
        for snapshot in &snapshots {
            self.forget(workload, snapshot, "remove workload").await?;
        }
        self.ports.store.remove_workload(workload.id).await?;
        let detail = json!({ "snapshots_deleted": snapshots.len() });
        self.tell(&self.event(workload, EventKind::WorkloadRemoved, "removed", detail)).await;
        Ok(snapshots.len())
    }

    /// Snapshots of a workload or of all, newest first.
    pub async fn snapshots(&self, workload: Option<WorkloadId>) -> Result<Vec<Snapshot>> {
        Ok(self.ports.store.snapshots(workload).await?)
    }

    /// The snapshot that `text` means: an id, a unique prefix of at least 4 characters, or `latest`, the
    /// newest that somebody asked for (what a restore replaced is found by [`Engine::undo_of`]). With `shop/` before it, it
    /// means one of the workload of that name or id: names have no `/`.
    pub async fn snapshot(&self, workload: Option<WorkloadId>, text: &str) -> Result<Snapshot> {
        let mut snapshots = self.snapshots(workload).await?;
        let which = match text.split_once('/') {
            // A path, where a snapshot was left out.
            None | Some(("", _)) => text,
            Some((name, which)) => {
                let named = self.workload(name).await?.id;
                snapshots.retain(|s| s.workload() == named);
                which
            }
        };
        if which == "latest" {
            // An import makes manual what a restore had kept; nobody asked for it all the same.
            let was =
                |s: &Snapshot| s.archive.manifest.imported.as_ref().map_or(s.origin(), |imported| imported.origin);
            let asked_for = |s: &Snapshot| s.origin() == Origin::Manual && was(s) == Origin::Manual;
            return snapshots.into_iter().find(asked_for).ok_or_else(|| {
                Error::new(Code::NotFound, "there is no snapshot yet").hint("take one with `volsnap create`")
            });
        }
        if let Ok(id) = which.parse::<SnapshotId>() {
            snapshots.retain(|s| s.id() == id);
        } else if which.len() < PREFIX_MIN {
            let hint = format!("give at least {PREFIX_MIN} characters of it, or `latest`");
            let hint = self.workload_meant(text).await?.unwrap_or(hint);
            return Err(Error::new(Code::Usage, format!("{text} is too short for a snapshot id")).hint(hint));
        } else {
            let prefix = which.to_lowercase();
            snapshots.retain(|s| s.id().to_string().starts_with(&prefix));
        }
        match snapshots.as_slice() {
            [one] => Ok(one.clone()),
            [] => {
                let hint = "`volsnap list` shows the snapshots".to_string();
                let hint = self.workload_meant(text).await?.unwrap_or(hint);
                Err(Error::new(Code::NotFound, format!("there is no snapshot {text}")).hint(hint))
            }
            several => {
                let ids: Vec<String> = several.iter().map(|s| s.id().to_string()).collect();
                Err(Error::new(Code::Usage, format!("{text} is the beginning of {} snapshots", several.len()))
                    .hint(format!("give more of the id: {}", ids.join(", "))))
            }
        }
    }

    /// What to say to somebody who named a workload where a snapshot is asked for.
    async fn workload_meant(&self, text: &str) -> Result<Option<String>> {
        let is_workload = self.workloads().await?.iter().any(|w| w.name == text);
        Ok(is_workload.then(|| format!("{text} is a workload; `{text}/latest` is its newest snapshot")))
    }

    /// The snapshot that keeps what the last restore of the workload replaced.
    ///
    /// If the last restore kept none, or it was deleted since, an earlier restore's is not taken for it: that would
    /// bring back something else than the data before the last restore.
    pub async fn undo_of(&self, workload: &Workload) -> Result<Snapshot> {
        let hint = "`volsnap list` shows the snapshots that can be restored";
        let snapshots = self.snapshots(Some(workload.id)).await?;
        let newest = snapshots.into_iter().find(|s| matches!(s.origin(), Origin::PreRestore(_))).ok_or_else(|| {
            Error::new(Code::NotFound, format!("no restore of {} left a safety snapshot", workload.name)).hint(hint)
        })?;
        let last = self.last_restore_since(workload, newest.created_at()).await?;
        match last.is_none_or(|event| event.detail["safety_snapshot"] == json!(newest.id())) {
            true => Ok(newest),
            false => Err(Error::new(
                Code::NotFound,
                format!("the last restore of {} left no safety snapshot, or it was deleted", workload.name),
            )
            .hint(hint)),
        }
    }

    /// The event of the workload's last restore, if that was after `since`, when the newest safety snapshot was begun: an
    /// older one says nothing, the event of the snapshot's own restore was lost.
    async fn last_restore_since(&self, workload: &Workload, since: Timestamp) -> Result<Option<Event>> {
        let [mut count, count_max] = UNDO_EVENTS;
        loop {
            let mut events = self.events(Some(workload.id), count).await?;
            let is_all = events.len() < count as usize || events.last().is_some_and(|oldest| oldest.at <= since);
            events.retain(|event| is_restored(event) && event.at > since);
            if is_all || !events.is_empty() {
                return Ok(events.into_iter().next());
            }
            if count >= count_max {
                let message = format!("the last restore of {} is behind more than {count} events", workload.name);
                return Err(Error::new(Code::NotFound, message)
                    .hint("`volsnap list` shows what restores kept; restore the one that you want by its id"));
            }
            count = count.saturating_mul(10).min(count_max);
        }
    }

    /// The audit trail, newest first.
    pub async fn events(&self, workload: Option<WorkloadId>, count_max: u32) -> Result<Vec<Event>> {
        Ok(self.ports.store.events(workload, count_max).await?)
    }
}

fn is_restored(event: &Event) -> bool {
    let restore = match event.kind {
        EventKind::RestoreEnded | EventKind::Recovered => true,
        EventKind::WorkloadAdded
        | EventKind::WorkloadChanged
        | EventKind::WorkloadRemoved
        | EventKind::SnapshotCreated
        | EventKind::SnapshotFailed
        | EventKind::SnapshotDeleted
        | EventKind::SnapshotVerified
        | EventKind::SnapshotPinned
        | EventKind::SnapshotUnpinned
        | EventKind::Unknown => false,
    };
    restore && event.outcome == word(Outcome::Restored)
}

pub(super) fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 128 || !name.chars().all(fine) || name.starts_with(['-', '.']) {
        return Err(Error::new(Code::Usage, format!("{name:?} cannot be the name of a workload"))
            .hint("use letters, digits, `-`, `_` and `.`, beginning with a letter or digit"));
    }
    Ok(())
}
