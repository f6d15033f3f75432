//! Kept originals are archived after all, or discarded: the closed journal of their restore is opened again, and driven to
//! its end like any other.

use serde_json::json;

use super::{KeptSet, short};
use crate::{
    engine::Engine,
    error::{Code, Error, Result},
    model::{Sight, SnapshotId, WorkloadId},
    ports::{EventKind, PrivateNote, Watch},
    restore::{
        Entry, Outcome, Record, Refusal, Report, Safety, State,
        facts::{Facts, Holds},
        journal::Reopening,
        report::Notes,
        space::human,
    },
};

/// What an original that is not there any more means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Nothing is done.
    Refused,
    /// It need not be removed.
    Fine,
}

/// Kept free beside an archive, in bytes.
const RESERVE: u64 = 1 << 20;

impl Engine {
    /// Archives what a restore kept, as the safety snapshot that it would have taken, and removes what was set aside when
    /// that is durable. The app is not touched. An error means that all of it stays where it is.
    pub async fn archive_kept(&self, set: &KeptSet, watch: &Watch) -> Result<Report> {
        let (engine, mut state) = self.take_up(set, Missing::Refused, watch).await?;
        engine.refuse_without_room(&state).await?;
        let safety = SnapshotId(engine.ports.clock.fresh_id());
        let report = engine.reopen(&mut state, Reopening::Archive { safety }, watch).await?;
        match &state.captured {
            Some(Safety::Kept { reason }) => {
                let name = &state.plan.workload.name;
                Err(Error::new(
                    if watch.cancelled() { Code::Aborted } else { Code::Io },
                    format!("the originals of {name} were not archived ({reason}); they are kept as before"),
                )
                .hint(format!("remove the cause, then run `volsnap kept archive {}` again", set.id)))
            }
            Some(Safety::Taken | Safety::NotWanted) | None => Ok(report),
        }
    }

    /// Removes what a restore kept, or what is left of it. After a crash a recovery removes the rest of it.
    pub async fn discard_kept(&self, set: &KeptSet, watch: &Watch) -> Result<()> {
        if set.record.is_none() {
            return self.discard_unknown(set, watch).await;
        }
        let (engine, mut state) = self.take_up(set, Missing::Fine, watch).await?;
        let event = engine.ports.clock.fresh_id();
        engine.reopen(&mut state, Reopening::Discard { event }, watch).await.map(drop)
    }

    /// The restore that kept it, as its record is now, with all that is to be held for it. Nothing has been touched when
    /// this refuses.
    async fn take_up(&self, set: &KeptSet, missing: Missing, watch: &Watch) -> Result<(Engine, State)> {
        let engine = self.lock(set.workload_id, &set.workload, watch).await?;
        engine.refuse_open(set).await?;
        let state = engine.kept_state(set.workload_id, set.restore_id).await?;
        if let Some(anomaly) = engine.other_host(&state.plan.host) {
            return Err(Error::new(Code::NeedsAttention, anomaly.to_string()).hint("run this on that machine"));
        }
        let (engine, _) = engine.claim(&set.workload, &state.plan.live_paths()).await?;
        engine.see_kept(&state, missing).await?;
        Ok((engine, state))
    }

    /// Nothing is done beside an operation that has not ended: it needs the same journal.
    async fn refuse_open(&self, set: &KeptSet) -> Result<()> {
        match self.journal_body(set.workload_id).await? {
            None => Ok(()),
            Some(_) => Err(not_ended(set)),
        }
    }

    /// Sees that every original is where it was kept, or that nothing is there.
    async fn see_kept(&self, state: &State, missing: Missing) -> Result<()> {
        let facts = Facts { volumes: self.places(state).await?, ..Facts::default() };
        for (volume, planned) in state.plan.volumes.iter().enumerate() {
            if facts.volumes[volume].parent.identity() != Some(planned.parent) {
                let holder = state.plan.holder(volume).display();
                return Err(Refusal::new(
                    format!("{holder} is not the directory that the restore of {} worked in", planned.target),
                    "mount its filesystem, then run this again",
                )
                .into());
            }
            let names = facts.names(state, volume);
            let is_empty = [names.staged, names.aside] == [Holds::Absent; 2];
            if planned.original.is_none()
                || [names.staged, names.aside].contains(&Holds::Original)
                || is_empty && missing == Missing::Fine
            {
                continue;
            }
            match missing {
                Missing::Refused => return Err(gone(state, volume)),
                Missing::Fine => return Err(another(state, volume)),
            }
        }
        Ok(())
    }

    /// The archive is compressed, but nobody knows by how much: the size of the originals is the safe bound.
    async fn refuse_without_room(&self, state: &State) -> Result<()> {
        let filesystem = &self.ports.filesystem;
        let (info, space) = filesystem.space(&filesystem.state_dir()).await?;
        let mut needed = RESERVE;
        for (volume, planned) in state.plan.volumes.iter().enumerate() {
            if planned.original.is_some() {
                let size = filesystem.measure(&state.plan.private(volume)).await?;
                needed = needed.saturating_add(size.bytes_allocated);
            }
        }
        match needed > space.bytes_free {
            false => Ok(()),
            true => Err(Refusal::new(
                format!(
                    "the filesystem at {} has {} free, and the archive may take {}",
                    info.mount.display(),
                    human(space.bytes_free),
                    human(needed)
                ),
                format!("free {} there; until then everything stays as it is", human(needed - space.bytes_free)),
            )
            .into()),
        }
    }

    /// Opens the journal of a closed restore again. A crash before the write leaves its record alone, one after it a journal
    /// that a recovery follows to its end.
    async fn reopen(&self, state: &mut State, to: Reopening, watch: &Watch) -> Result<Report> {
        state.append(Record { at: self.ports.clock.now(), entry: Entry::Reopened { to } })?;
        self.ports.journals.write_journal(state.plan.workload.id, &state.journal().encode()?).await?;
        let report = self.drive(state, watch, Notes::default()).await?;
        match (report.outcome, &report.cause) {
            (Outcome::NeedsAttention, Some(cause)) => {
                let error = Error::new(Code::NeedsAttention, cause.message.clone());
                Err(cause.hint.iter().fold(error, |error, hint| error.hint(hint.clone())))
            }
            _ => Ok(report),
        }
    }

    /// The end of a restore that was opened again. Each part can be done once more by the recovery that finds the closed
    /// journal; its record goes, or is replaced, before the journal does.
    pub(in crate::engine) async fn finish_reopened(&self, state: &State, mut notes: Notes) -> Result<Report> {
        if state.captured == Some(Safety::Taken) {
            self.catalogue_safety(state, &mut notes.warnings).await;
        }
        let mut report = Report::of(state, None, &notes);
        let keeps = state.keeps_originals();
        let (kind, outcome, event_id) = match &state.reopened {
            Some(Reopening::Discard { event }) => (EventKind::OriginalsDiscarded, "discarded", *event),
            Some(Reopening::Archive { safety }) if !keeps => (EventKind::OriginalsArchived, "archived", safety.0),
            Some(Reopening::Archive { safety }) => (EventKind::OriginalsArchived, "kept", safety.0),
            None => (EventKind::RestoreEnded, "restored", state.plan.restore.0),
        };
        let mut event = self.event(&state.plan.workload, kind, outcome, json!(report));
        event.id = event_id;
        report.warnings.extend(self.tell(&event).await);
        let id = state.plan.workload.id;
        if let (true, Some(Reopening::Archive { safety })) = (keeps, &state.reopened)
            && let Err(error) = self.ports.archives.remove_archive(id, *safety).await
        {
            // Nobody lists it, and nobody knows whether it reached the disk.
            tracing::warn!(%error, "what was archived of kept originals stays, and is not believed");
        }
        if self.is_last(id, state).await? {
            self.ports.journals.retire_journal(id).await?;
            return Ok(report);
        }
        if !keeps {
            self.ports.journals.forget_record_aside(id, state.plan.restore).await?;
        }
        self.ports.journals.remove_journal(id).await?;
        Ok(report)
    }

    async fn is_last(&self, id: WorkloadId, state: &State) -> Result<bool> {
        Ok(self.record_of(id, None).await?.is_some_and(|last| last.plan.restore == state.plan.restore))
    }

    /// Removes directories of a restore of which no record is left. A note tells of them until they are gone, so that a
    /// recovery removes what a crash leaves.
    async fn discard_unknown(&self, set: &KeptSet, watch: &Watch) -> Result<()> {
        let engine = &self.lock(set.workload_id, &set.workload, watch).await?;
        engine.refuse_open(set).await?;
        let mut private = Vec::new();
        for dir in &set.dirs {
            let Some(parent) = dir.path.parent() else { continue };
            match engine.ports.filesystem.look(parent).await? {
                Sight::Directory { identity, .. } => {
                    private.push(PrivateNote { path: dir.path.clone(), parent: identity });
                }
                Sight::Absent | Sight::Other => {}
            }
        }
        let copying = engine.begin_copy_in("kept discard", &set.workload, set.restore_id, private, false).await?;
        if let Some(error) = engine.end_copy(copying).await {
            return Err(error.hint("`volsnap recover` removes the rest"));
        }
        let workloads = engine.workloads().await.unwrap_or_default();
        if let Some(workload) = workloads.iter().find(|workload| workload.id == set.workload_id) {
            let paths: Vec<_> = set.dirs.iter().map(|dir| &dir.path).collect();
            let detail = json!({ "restore_id": set.restore_id, "discarded": paths });
            engine.tell(&engine.event(workload, EventKind::OriginalsDiscarded, "discarded", detail)).await;
        }
        Ok(())
    }
}

/// That something of the workload has to be brought to its end first.
pub(super) fn not_ended(set: &KeptSet) -> Error {
    let name = &set.workload;
    Error::new(Code::Refused, format!("an earlier operation on {name} has not ended"))
        .hint(format!("`volsnap recover {name}` brings it to its end; then run this again"))
}

/// That an original is not where it was kept.
pub(super) fn gone(state: &State, volume: usize) -> Error {
    let (target, private) = (&state.plan.volumes[volume].target, state.plan.private(volume));
    let id = short(state.plan.restore);
    Refusal::new(
        format!("the original of volume {target} is not in {} any more", private.display()),
        format!("put it back there; if it is gone for good, `volsnap kept discard {id}` deletes what is left"),
    )
    .into()
}

/// That something else is where an original was kept: it is not ours to delete.
fn another(state: &State, volume: usize) -> Error {
    let (target, private) = (&state.plan.volumes[volume].target, state.plan.private(volume));
    let id = short(state.plan.restore);
    Refusal::new(
        format!("what is in {} is not the original of volume {target}", private.display()),
        format!("move it elsewhere, then `volsnap kept discard {id}` deletes the rest"),
    )
    .into()
}
