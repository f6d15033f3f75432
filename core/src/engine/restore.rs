//! A restore: plan under the lock, open the journal, drive.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{Engine, drive::word, hooks::Around, recover::Sake};
use crate::{
    error::{Code, Error, Result},
    model::{HookEvent, Identity, RestoreId, Snapshot, Workload},
    ports::{About, EventKind, Phase, Progress, Watch},
    restore::{Options, Outcome, Plan, PlannedVolume, Record, Report, State, next::abort, report::Notes},
};

/// What to restore, and how.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The workload.
    pub workload: Workload,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The volumes; empty for all.
    pub targets: Vec<String>,
    /// What the user chose.
    pub options: Options,
    /// The plan that the user agreed to, if one was shown.
    pub shown: Option<Plan>,
    /// The restore whose kept originals are put back, in place of a snapshot ([`Engine::kept_request`]).
    pub kept: Option<RestoreId>,
}

impl RestoreRequest {
    /// All volumes, with the default options.
    #[must_use]
    pub fn of(workload: Workload, snapshot: Snapshot) -> Self {
        RestoreRequest { workload, snapshot, targets: Vec::new(), options: Options::default(), shown: None, kept: None }
    }

    /// Whether a plan is of this very wish: the same data, for the same volumes, in the same way.
    pub(super) fn asks_for(&self, plan: &Plan) -> bool {
        let all: BTreeSet<&str> = self.snapshot.volumes().map(|(_, volume, _)| volume.target.as_str()).collect();
        let planned = || plan.volumes.iter();
        let (now, then): (BTreeSet<&str>, BTreeSet<&str>) =
            (planned().map(|v| v.target.as_str()).collect(), planned().map(PlannedVolume::archived).collect());
        // Each by the snapshot's name or, where it is not one of these, by the present one.
        let is_asked = match self.targets.is_empty() {
            true => then == all,
            false => {
                let wanted: BTreeSet<&str> = self.targets.iter().map(String::as_str).collect();
                wanted == then || wanted == now
            }
        };
        let is_same = plan.archive_digest == self.snapshot.archive.digest && plan.kept == self.kept;
        is_same && plan.options == self.options && is_asked
    }
}

/// Directories that were made ready, with what they were and what they are.
pub(super) type Ready = BTreeMap<PathBuf, (Identity, Identity)>;

impl Engine {
    /// Restores a workload, and returns how it ended.
    ///
    /// What a crash left of the workload is brought to its end before. If that is this very restore and it can be
    /// resumed, then it is this call's own work, and what it returns is the report of it: whoever asks for the same
    /// again wants it done, not done twice. Any other restore that could be resumed is rolled back.
    ///
    /// An error means that it did not begin, or (as its message says) that it did not end and the journal was kept.
    /// If the future is dropped, the restore stops as if the process were killed; run it in a task of its own.
    pub async fn restore(&self, request: &RestoreRequest, watch: &Watch) -> Result<Report> {
        let workload = &request.workload;
        let watch = &About::workload(watch, &workload.name);
        let engine = &self.hold(workload, watch).await?;
        if let Some((report, is_own)) = engine.recover_held(workload.id, watch, Sake::Restore(Some(request))).await?
            && (is_own || report.outcome == Outcome::NeedsAttention)
        {
            return Ok(report);
        }
        watch.progress(&Progress::begin(Phase::Plan));
        // Looked at again now that nobody else can change it: the workload, its volumes, containers and space.
        let registered = engine.ports.store.workloads().await?.into_iter().find(|w| w.id == workload.id);
        let request = match registered {
            Some(workload) => &RestoreRequest { workload, ..request.clone() },
            None => {
                return Err(Error::new(Code::NotFound, format!("workload {} was removed", workload.name))
                    .hint("`volsnap workload list` shows the workloads"));
            }
        };
        let (mut plan, places) = engine.plan_with_places(request).await?;
        if let Err(refused) = plan.check() {
            let event = engine.event(workload, EventKind::RestoreEnded, "refused", json!(plan.refusals));
            engine.tell(&event).await;
            return Err(refused);
        }
        if let Some(difference) = request.shown.as_ref().and_then(|shown| plan.differs_from(shown)) {
            return Err(Error::new(
                Code::Refused,
                format!("the world has changed since the plan was made: {difference}"),
            )
            .hint(format!(
                "nothing was touched; look at `volsnap plan {} {}` again",
                plan.workload.name, plan.snapshot
            )));
        }
        // Held until it has ended. A directory that was replaced since the plan was made is not what the plan knows.
        let (engine, unguarded) = &engine.claim(&workload.name, &places).await?;
        // Read and not given out: a catalog that cannot be written stops no restore. What takes the same place at the same
        // time is of another workload.
        let given = engine.ports.store.sequence().await?;
        let last = engine.last_known(workload.id).await?;
        plan.sequence = given.max(last.as_ref().map_or(0, |last| last.plan.sequence)).saturating_add(1);
        let kept = last.filter(State::keeps_originals).map(|last| last.plan.restore);
        plan.record = kept.filter(|restore| plan.kept != Some(*restore));
        // A catalog that takes nothing, on a full disk, hinders no restore: the journal and the safety snapshot have the
        // names as well, and they follow from what is seen.
        if plan.workload.known != request.workload.known
            && let Err(error) = engine.ports.store.set_known(plan.workload.id, &plan.workload.known).await
        {
            tracing::warn!(%error, "the names of the volumes were not written down");
        }
        engine.ready_places(&mut plan).await?;
        if !plan.down.is_empty() {
            engine.take_over(workload.id).await?;
        }
        let mut state = State::opened(plan, engine.ports.clock.now());
        // From here on everything that the restore makes has an owner. A crash just before leaves nothing at all.
        engine.ports.journals.write_journal(workload.id, &state.journal().encode()?).await?;
        // Asked again now that this journal can be seen: of two that begin at once, at least one sees the other.
        let names: Vec<String> = state.plan.containers.iter().map(|container| container.name.clone()).collect();
        let refused = match engine.neighbour(workload.id, &state.plan.live_paths(), &names).await? {
            Some(neighbour) => Some(engine.give_up(&mut state, neighbour.into()).await?),
            None => engine.prelude(&mut state, watch).await?,
        };
        let notes = Notes { warnings: unguarded.clone(), ..Notes::default() };
        let mut report = engine.drive(&mut state, watch, notes).await?;
        if let (Some(refused), Some(cause)) = (refused, &mut report.cause) {
            cause.hint = refused.hint;
        }
        tracing::info!(workload = %report.workload, outcome = word(report.outcome), downtime_ms = report.downtime_ms, "restore ended");
        Ok(report)
    }

    /// Has directories that become other ones when something is made in them become so now, and plans with what they are
    /// then: what is made beside a live directory must not make its parent unknown. A crash leaves nothing of it.
    async fn ready_places(&self, plan: &mut Plan) -> Result<()> {
        let mut ready = Ready::default();
        for index in 0..plan.volumes.len() {
            let (holder, parent) = (plan.holder(index).to_path_buf(), plan.volumes[index].parent);
            plan.volumes[index].parent = self.ready(&mut ready, &holder, parent).await?;
            if let Some(original) = plan.volumes[index].original {
                let live = plan.volumes[index].live.clone();
                plan.volumes[index].original = Some(self.ready(&mut ready, &live, original).await?);
            }
        }
        Ok(())
    }

    /// The same for one directory, whose identity then is remembered: it may be asked for again by the one that it had.
    pub(super) async fn ready(&self, ready: &mut Ready, dir: &Path, known: Identity) -> Result<Identity> {
        if let Some((_, now)) = ready.get(dir).filter(|(before, _)| *before == known) {
            return Ok(*now);
        }
        let now = self.ports.filesystem.ready(dir, known).await?;
        ready.insert(dir.to_path_buf(), (known, now));
        Ok(now)
    }

    /// Runs the hooks before a restore, after its journal was opened and before anything is made. One that fails is
    /// written down as the end of the restore, and given back.
    pub(super) async fn prelude(&self, state: &mut State, watch: &Watch) -> Result<Option<Error>> {
        let ran = self.run_before(HookEvent::PreRestore, &Around::restore(state), watch).await;
        match ran {
            Ok(()) => Ok(None),
            Err(refused) => self.give_up(state, refused).await.map(Some),
        }
    }

    /// Writes down that it ends before anything was made, and gives back why.
    async fn give_up(&self, state: &mut State, refused: Error) -> Result<Error> {
        state.append(Record { at: self.ports.clock.now(), entry: abort(refused.code, refused.message.clone()) })?;
        self.ports.journals.write_journal(state.plan.workload.id, &state.journal().encode()?).await?;
        Ok(refused)
    }
}
