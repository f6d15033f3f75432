//! Finding workloads and snapshots by what people type, and registering workloads.

use serde_json::json;

use super::{
    Engine,
    drive::word,
    kept::short,
    retain::{Pins, refuse_pinned},
};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{ImageChoice, Origin, Resolved, Snapshot, SnapshotId, Workload, WorkloadId, hook::quoted},
    ports::{Event, EventKind, StoreError, StoreErrorKind, Watch},
    restore::{
        Body, Journal, Options, Outcome, Refusal, State,
        journal::{JournalError, Safety},
        state::Direction,
    },
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
                true => "register one with `volsnap workload add NAME`".to_string(),
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
        // One that is to be changed has its own name.
        let is_another = |other: &&Workload| other.name == workload.name && other.id != workload.id;
        if let Some(other) = self.workloads().await?.iter().find(is_another) {
            let taken = format!("the name {:?} is taken by workload {}", workload.name, other.id);
            return Err(Error::from(StoreError::new(StoreErrorKind::Exists, taken)).hint(format!(
                "choose another name; `{} --update` with the same options registers it anew and keeps its snapshots",
                quoted(["volsnap", "workload", "add", &workload.name])
            )));
        }
        let members = self.members(workload).await?;
        let mut active = members.iter().filter(|c| c.run.is_active());
        if let Some((name, service)) = active.find_map(|c| Some((&c.name, c.particulars.orchestrator.as_ref()?))) {
            return Err(Refusal::orchestrated(name, service).into());
        }
        let resolved = workload.resolve(&members);
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
        self.ports.store.add_workload(&workload.knowing(&resolved)).await?;
        self.tell(&self.event(workload, EventKind::WorkloadAdded, "added", json!({ "volumes": resolved.volumes })))
            .await;
        Ok(())
    }

    /// Registers a workload anew: what it is made of is replaced by that of `to`; its id, name, hooks, snapshots and the names
    /// of the volumes that it has still stay. Gives it as it is then.
    pub async fn change_workload(&self, workload: &Workload, to: &Workload, watch: &Watch) -> Result<Workload> {
        let engine = &self.hold(workload, watch).await?;
        engine.recover_or_refuse(workload.id, watch).await?;
        // As it is now: a restore may have learned names since it was looked up.
        let now = engine.workload(&workload.id.to_string()).await?;
        let (source, selector, volumes) = (to.source.clone(), to.selector.clone(), to.volumes.clone());
        let changed = Workload { source, selector, volumes, ..now };
        let resolved = engine.check_workload(&changed).await?;
        let changed = changed.knowing(&resolved);
        engine.ports.store.set_registration(&changed).await?;
        let detail = json!({ "volumes": resolved.volumes });
        engine.tell(&engine.event(&changed, EventKind::WorkloadChanged, "registered anew", detail)).await;
        Ok(changed)
    }

    /// Forgets a workload; with `delete_snapshots` its archives are deleted too, without it they must be gone. While a
    /// pin is heeded, nothing is deleted at all.
    pub async fn remove_workload(&self, workload: &Workload, delete_snapshots: bool, pins: Pins) -> Result<usize> {
        let engine = &self.hold(workload, &super::recover::quiet()).await?;
        engine.recover_or_refuse(workload.id, &super::recover::quiet()).await?;
        let snapshots = engine.snapshots(Some(workload.id)).await?;
        if !snapshots.is_empty() && !delete_snapshots {
            return Err(Error::new(
                Code::Refused,
                match snapshots.len() {
                    1 => format!("workload {} has a snapshot", workload.name),
                    count => format!("workload {} has {count} snapshots", workload.name),
                },
            )
            .hint(format!(
                "give --delete-snapshots to delete them with it; to change what it is made of and keep them: `{} --update` with --container \
                 or whatever it is made of",
                quoted(["volsnap", "workload", "add", &workload.name])
            )));
        }
        engine.refuse_kept(workload).await?;
        refuse_pinned(snapshots.iter(), pins)?;
        for snapshot in &snapshots {
            engine.forget(workload, snapshot, "remove workload").await?;
        }
        engine.ports.store.remove_workload(workload.id).await?;
        engine.ports.journals.forget_retired(workload.id).await?;
        engine.forget_records_aside(workload.id).await?;
        let detail = json!({ "snapshots_deleted": snapshots.len() });
        engine.tell(&engine.event(workload, EventKind::WorkloadRemoved, "removed", detail)).await;
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
                Error::new(Code::NotFound, "there is no snapshot yet").hint("take one with `volsnap create WORKLOAD`")
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
    /// The record of that restore says which it is, whatever became of the catalog since. If that restore kept none, or it
    /// was deleted since, an earlier restore's is not taken for it: that would bring back something else than the data
    /// before the last restore.
    pub async fn undo_of(&self, workload: &Workload) -> Result<Snapshot> {
        let name = &workload.name;
        if let Some(open) = self.open_restore(workload.id).await?.filter(|open| !open.waits_for_the_app()) {
            return Err(Error::new(Code::Refused, format!("restore {} of {name} has not ended", open.plan.restore))
                .hint(format!("`volsnap recover {name}` ends it; then there may be something to undo")));
        }
        let snapshots = self.snapshots(Some(workload.id)).await?;
        let Some(last) = self.last_restore(workload.id).await? else {
            return self.undo_by_events(workload, snapshots).await;
        };
        let none = |why: &str| {
            Err(Error::new(Code::NotFound, format!("the last restore of {name} left no safety snapshot{why}"))
                .hint("`volsnap list` shows the snapshots that can be restored"))
        };
        match &last.captured {
            Some(Safety::Taken) => {}
            Some(Safety::Kept { reason }) => {
                let id = short(last.plan.restore);
                let message =
                    format!("the last restore of {name} left no safety snapshot ({reason}); its originals are kept");
                let hint = format!(
                    "`volsnap kept restore {id}` puts them back; `volsnap kept list {name}` shows where they are"
                );
                return Err(Error::new(Code::NotFound, message).hint(hint));
            }
            Some(Safety::NotWanted) | None => return none(""),
        }
        // One that came back from elsewhere may hold anything, and an import has taken that claim from it.
        let is_kept = |s: &Snapshot| s.origin() == Origin::PreRestore(last.plan.restore);
        if let Some(listed) = snapshots.into_iter().find(|s| s.id() == last.plan.safety) {
            return if is_kept(&listed) { Ok(listed) } else { none(", or it was deleted and imported again") };
        }
        // The catalog could not be written then, or was lost since. The archive says of itself what it is.
        match self.ports.archives.read_archive(workload.id, last.plan.safety).await.map(Snapshot::from) {
            Ok(archive) if is_kept(&archive) => Ok(archive),
            Ok(_) => none(", or it was deleted and imported again"),
            Err(error) if error.kind == FsErrorKind::NotFound => none(", or it was deleted"),
            Err(error) => Err(error.into()),
        }
    }

    /// The restore that is open, if it has decided, or may have, that the data are replaced.
    async fn open_restore(&self, workload: WorkloadId) -> Result<Option<State>> {
        let Some(bytes) = self.ports.journals.read_journal(workload).await? else { return Ok(None) };
        match Journal::decode(&bytes)?.body {
            Body::Snapshot(_) => Ok(None),
            Body::Restore(records) => {
                Ok(Some(State::replay(&records)?).filter(|state| state.direction() == Direction::Forward))
            }
        }
    }

    /// The last restore that replaced the workload's data, whether its app came back or not; `None` if none did since
    /// volsnap keeps a record of it.
    pub(super) async fn last_restore(&self, workload: WorkloadId) -> Result<Option<State>> {
        if let Ok(Some(open)) = self.open_restore(workload).await
            && open.waits_for_the_app()
        {
            return Ok(Some(open));
        }
        let Some(bytes) = self.ports.journals.retired_journal(workload).await? else { return Ok(None) };
        let unreadable = |error: JournalError| {
            Error::new(Code::Corrupt, format!("the record of the last restore cannot be read: {error}"))
                .hint("`volsnap list` shows what restores kept; restore the one that you want by its id")
        };
        read_record(&bytes).map(Some).map_err(unreadable)
    }

    /// The place in the order that the last restore of the workload has; 0 if none is known. A record that cannot be read
    /// says nothing.
    pub(super) async fn restored_at(&self, workload: WorkloadId) -> Result<u64> {
        Ok(self.last_known(workload).await?.map_or(0, |last| last.plan.sequence))
    }

    /// The last restore of the workload, if a record of it can be read.
    pub(super) async fn last_known(&self, workload: WorkloadId) -> Result<Option<State>> {
        match self.last_restore(workload).await {
            Err(error) if error.code == Code::Corrupt => Ok(None),
            last => last,
        }
    }

    /// Where an earlier version made the last restore, the audit trail knows it. Its order is that in which it was
    /// written. Where it says nothing, nobody knows.
    async fn undo_by_events(&self, workload: &Workload, snapshots: Vec<Snapshot>) -> Result<Snapshot> {
        let name = &workload.name;
        let hint = "`volsnap list` shows what restores kept; restore the one that you want by its id";
        if !snapshots.iter().any(|s| matches!(s.origin(), Origin::PreRestore(_))) {
            return Err(Error::new(Code::NotFound, format!("no restore of {name} left a safety snapshot"))
                .hint("`volsnap list` shows the snapshots that can be restored"));
        }
        let Some(event) = self.last_restored(workload).await? else {
            let message = format!("which restore of {name} was the last is not known: no record of it is left");
            return Err(Error::new(Code::NotFound, message).hint(hint));
        };
        let is_its = |s: &Snapshot| event.detail["safety_snapshot"] == json!(s.id());
        snapshots.into_iter().find(is_its).ok_or_else(|| {
            let message = format!("the last restore of {name} left no safety snapshot, or it was deleted");
            Error::new(Code::NotFound, message).hint(hint)
        })
    }

    /// How the data that a restore replaced come back, over what is asked for: if it brought the image of its snapshot
    /// along, that of before belongs to them; and if it was allowed device nodes, so is the way back.
    pub async fn options_to_undo(&self, workload: &Workload, safety: &Snapshot, asked: Options) -> Result<Options> {
        let last = self.last_restore(workload.id).await?.filter(|last| last.plan.safety == safety.id());
        let Some(undone) = last.map(|last| last.plan.options) else { return Ok(asked) };
        let image = match asked.image {
            ImageChoice::Current => undone.image,
            ImageChoice::Snapshot => ImageChoice::Snapshot,
        };
        Ok(Options { image, devices: asked.devices || undone.devices, ..asked })
    }

    /// The event of the workload's last restore.
    async fn last_restored(&self, workload: &Workload) -> Result<Option<Event>> {
        let [mut count, count_max] = UNDO_EVENTS;
        loop {
            let events = self.events(Some(workload.id), count).await?;
            let is_all = events.len() < count as usize;
            let last = events.into_iter().find(is_restored);
            if is_all || last.is_some() {
                return Ok(last);
            }
            if count >= count_max {
                let message = format!("the last restore of {} is behind more than {count} events", workload.name);
                return Err(Error::new(Code::NotFound, message)
                    .hint("`volsnap list` shows what restores kept; restore the one that you want by its id"));
            }
            count = count.saturating_mul(10).min(count_max);
        }
    }

    /// The audit trail, what was recorded last first.
    pub async fn events(&self, workload: Option<WorkloadId>, count_max: u32) -> Result<Vec<Event>> {
        Ok(self.ports.store.events(workload, count_max).await?)
    }
}

/// The restore that a record is of.
pub(super) fn read_record(bytes: &[u8]) -> Result<State, JournalError> {
    match Journal::decode(bytes)?.body {
        Body::Snapshot(_) => Err(JournalError::Illegal("it is of a snapshot".into())),
        Body::Restore(records) => State::replay(&records),
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
        | EventKind::OriginalsArchived
        | EventKind::OriginalsDiscarded
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
