//! What is open, and what a recovery would do about it. Touches nothing.

use super::*;
use crate::restore::journal::Reopening;

/// What an open journal is about and what recovery would do.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    /// The workload's id.
    pub workload_id: WorkloadId,
    /// Its name, if the journal can be read.
    pub workload: Option<String>,
    /// The restore, if it is one.
    pub restore_id: Option<RestoreId>,
    /// The snapshot that is restored or taken.
    pub snapshot: Option<SnapshotId>,
    /// The last entry of the journal.
    pub phase: String,
    /// What recovery would do, in words.
    pub would: String,
    /// What stands on disk beside the live directories because of it.
    pub leftovers: Vec<String>,
    /// Whether another process is at it right now.
    pub in_progress: bool,
    /// Why the journal cannot be followed.
    pub problem: Option<Error>,
}

impl Engine {
    /// What is open, and what recovery would do. Touches nothing.
    pub async fn outlook(&self, workload: Option<WorkloadId>) -> Result<Vec<Outlook>> {
        let mut outlooks = Vec::new();
        for id in self.ports.journals.journals().await? {
            if workload.is_none_or(|w| w == id)
                && let Some(bytes) = self.ports.journals.read_journal(id).await?
            {
                let mut outlook = self.outlook_of(id, &bytes).await;
                outlook.in_progress = self.ports.journals.lock(id).await.is_err();
                outlooks.push(outlook);
            }
        }
        Ok(outlooks)
    }

    pub(super) async fn outlook_of(&self, id: WorkloadId, bytes: &[u8]) -> Outlook {
        let mut outlook = Outlook {
            workload_id: id,
            workload: None,
            restore_id: None,
            snapshot: None,
            phase: "unreadable".into(),
            would: "nothing: a person has to look; nothing is deleted".into(),
            leftovers: Vec::new(),
            in_progress: false,
            problem: None,
        };
        let read = Journal::decode(bytes).and_then(|journal| match journal.body {
            Body::Restore(records) => State::replay(&records).map(Ok),
            Body::Snapshot(quiesced) => Ok(Err(quiesced)),
        });
        match read {
            Err(error) => outlook.problem = Some(self.name_journal(id, error.into())),
            Ok(Err(quiesced)) => {
                let elsewhere = self.elsewhere(&quiesced.host, quiesced.runtime.as_deref()).await;
                outlook.problem = elsewhere.map(|anomaly| attention(&quiesced.workload, &anomaly));
                outlook.workload = Some(quiesced.workload.name.clone());
                outlook.snapshot = Some(quiesced.snapshot);
                outlook.phase = "snapshot".into();
                outlook.would = would_wake(&quiesced);
            }
            Ok(Ok(state)) => {
                let elsewhere = self.elsewhere(&state.plan.host, state.runtime()).await;
                let name = &state.plan.workload.name;
                outlook.problem = elsewhere
                    .map(|anomaly| Error::new(Code::NeedsAttention, anomaly.to_string()).hint(anomaly.remedy(name)));
                outlook.workload = Some(state.plan.workload.name.clone());
                outlook.restore_id = Some(state.plan.restore);
                outlook.snapshot = Some(state.plan.snapshot);
                outlook.phase = state.phase().into();
                outlook.would = would(&state);
                if state.plan.workload.has_hooks(HookEvent::PostRestore) && state.reopened.is_none() {
                    outlook.would.push_str("; then run its post-restore hooks");
                }
                for volume in 0..state.plan.volumes.len() {
                    let private = state.plan.private(volume);
                    match self.ports.filesystem.look(&private).await {
                        Ok(crate::model::Sight::Absent) => {}
                        Ok(_) => outlook.leftovers.push(private.display().to_string()),
                        Err(error) => outlook.leftovers.push(error.to_string()),
                    }
                }
            }
        }
        outlook
    }
}

/// What recovery does after an interrupted snapshot.
pub(super) fn would_wake(quiesced: &Quiesced) -> String {
    let app = match (quiesced.mode, quiesced.containers.is_empty()) {
        (_, true) if !quiesced.down.is_empty() => {
            let why = quiesced.problem.as_deref().unwrap_or("nobody knows why");
            return format!("start the app again, which did not come back ({why})");
        }
        // It was written for the hooks that are due.
        (Mode::Live, _) | (_, true) => None,
        (Mode::Pause, false) => Some("thaw the app"),
        (Mode::Stop, false) => Some("start the app again"),
    };
    let hooks = quiesced.workload.has_hooks(HookEvent::PostCreate).then_some("run its post-create hooks");
    let all: Vec<&str> = app.into_iter().chain(["remove the unfinished archive"]).chain(hooks).collect();
    match all.as_slice() {
        [first, second] => format!("{first} and {second}"),
        all => all.join(", "),
    }
}

pub(super) fn would(state: &State) -> String {
    let what = match (state.direction(), state.is_settled(), &state.redeployed, state.closed) {
        (_, _, _, true) => "remove the journal: everything else is done",
        (_, _, Some(Some(problem)), _) if state.waits_for_the_app() => {
            return format!("start the app again, which did not come back ({problem}); all else is done");
        }
        _ if matches!(state.reopened, Some(Reopening::Discard { .. })) => "remove the originals that were discarded",
        _ if state.captured.is_some() => "clean up",
        (Direction::Undecided, ..) if state.resumes() => {
            "go on with the restore: stage what is missing, put the restored data in place and bring the app back"
        }
        (Direction::Undecided, ..) => "roll back: remove what was staged, and bring the app back if it was stopped",
        (Direction::Forward, false, ..) => "roll forward: put the restored data in place and bring the app back",
        (Direction::Forward, true, None, _) => "bring the app back on the restored data, then archive the originals",
        (Direction::Forward, true, Some(_), _) => "archive the originals as a safety snapshot and clean up",
        (Direction::Back, false, ..) => "roll back: put the original data in place and bring the app back",
        (Direction::Back, true, None, _) => "bring the app back on the original data and clean up",
        (Direction::Back, true, Some(_), _) => "clean up",
    };
    what.into()
}
