//! The loop: look, ask what is next, write it down or do it, look again.
//!
//! [`Engine::restore`] opens a journal and drives; [`Engine::recover`] replays a journal and drives. There is no other
//! way through a restore.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{Engine, act::running, hooks::Around, survey::EngineView};
use crate::{
    error::{Code, Error, Result},
    model::{HookEvent, RunState, Snapshot, WorkloadId, snapshot::FROZEN_LEFT_OUT},
    ports::{EventKind, Observer, Phase, Progress, Watch},
    restore::{
        Anomaly, Body, Entry, Facts, Move, Outcome, Record, Report, State, Step,
        facts::Survey,
        journal::Safety,
        judge::{Failure, Verdict},
        next::abort,
        report::Notes,
        state::Direction,
        writers,
    },
};

/// How the loop ended.
enum End {
    Finished,
    /// All is done but for the app.
    AppDown,
    Attention(Anomaly),
}

/// Consecutive failures of one step.
#[derive(Default)]
struct Attempts {
    step: &'static str,
    count: u32,
}

impl Attempts {
    fn next(&mut self, step: &'static str) -> u32 {
        if self.step != step {
            *self = Attempts { step, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

/// Once the direction is decided nothing is cancelled any more: a capture that is cut off would leave the originals
/// lying about.
struct Steadfast(Watch);

impl Observer for Steadfast {
    fn progress(&self, progress: &Progress) {
        self.0.progress(progress);
    }
}

impl Engine {
    /// Brings a restore to its end, whichever it is. The caller holds the workload's lock.
    pub(super) async fn drive(&self, state: &mut State, watch: &Watch, mut notes: Notes) -> Result<Report> {
        let end = match self.run(state, watch, &mut notes).await {
            Ok(end) => end,
            Err(error) => return Err(left_open(state, error)),
        };
        let kind = if notes.recovered { EventKind::Recovered } else { EventKind::RestoreEnded };
        match end {
            End::Attention(anomaly) => {
                let report = Report::of(state, Some(&anomaly), &notes);
                let event = self.event(&state.plan.workload, kind, word(report.outcome), json!(report));
                self.tell(&event).await;
                Ok(report)
            }
            End::AppDown => Ok(self.leave_down(state, kind, notes).await),
            End::Finished => self.finish(state, kind, notes).await.map_err(|error| left_open(state, error)),
        }
    }

    async fn run(&self, state: &mut State, watch: &Watch, notes: &mut Notes) -> Result<End> {
        match self.turns(state, watch, notes).await? {
            // No live directory has been touched: there is a way back that needs no decision by a person.
            End::Attention(anomaly @ Anomaly::NoProgress { .. }) if state.direction() == Direction::Undecided => {
                self.record(state, abort(Code::Aborted, anomaly.to_string())).await?;
                self.turns(state, watch, notes).await
            }
            end @ (End::Finished | End::AppDown | End::Attention(_)) => Ok(end),
        }
    }

    /// The loop itself, within its bound.
    async fn turns(&self, state: &mut State, watch: &Watch, notes: &mut Notes) -> Result<End> {
        let mut attempts = Attempts::default();
        let mut engine = EngineView { spent: Duration::ZERO, settled: !notes.recovered };
        let mut last = "nothing";
        let mut looked_for_writers = false;
        // A restore takes some ten moves and a few for each volume; failures and revived containers add to that.
        let moves_max = 64 + 32 * state.plan.volumes.len();
        for _ in 0..moves_max {
            if state.direction() == Direction::Undecided && watch.cancelled() {
                self.record(state, abort(Code::Aborted, "cancelled")).await?;
            }
            // The app is back, and the originals are still whole: from here on they are archived and removed.
            if Survey::of(state).safety_archive && !looked_for_writers {
                looked_for_writers = true;
                self.note_writers(state, notes).await;
            }
            let surveyed = self.survey(state, &mut engine).await;
            charge(state, std::mem::take(&mut engine.spent), notes);
            let facts = match surveyed {
                Ok(facts) => facts,
                Err(failure) => {
                    let verdict = (self.judge_survey)(state, &failure, attempts.next("survey"));
                    match self.follow(state, verdict, &attempts).await? {
                        Some(end) => return Ok(end),
                        None => continue,
                    }
                }
            };
            match (self.decide)(state, &facts) {
                Move::Finished => return Ok(End::Finished),
                Move::AppDown => return Ok(End::AppDown),
                Move::NeedsAttention(anomaly) => {
                    return Ok(End::Attention(self.guided(state, &facts, anomaly).await));
                }
                Move::Record(entry) => self.record(state, entry).await?,
                Move::Perform(step) => {
                    last = step.name();
                    if let Some(end) = self.perform(state, &facts, &step, watch, notes, &mut attempts).await? {
                        return Ok(end);
                    }
                }
            }
        }
        Ok(End::Attention(Anomaly::NoProgress { last }))
    }

    /// Tells of processes of the host that went on writing into the originals when these were set aside.
    async fn note_writers(&self, state: &State, notes: &mut Notes) {
        let writers = self.ports.filesystem.writers(&writers::aside_dirs(&state.plan)).await;
        notes.warnings.extend(writers::after_the_switch(&state.plan, &writers));
    }

    async fn perform(
        &self,
        state: &mut State,
        facts: &Facts,
        step: &Step,
        watch: &Watch,
        notes: &mut Notes,
        attempts: &mut Attempts,
    ) -> Result<Option<End>> {
        tracing::debug!(restore = %state.plan.restore, step = step.name(), "perform");
        watch.progress(&Progress::begin(phase(step)));
        note_strangers(state, facts, step, notes);
        if matches!(step, Step::Stop { .. } | Step::Switch { .. }) && notes.down_since.is_none() {
            notes.down_since = Some(self.ports.clock.now());
        }
        let began = self.ports.clock.monotonic();
        let watch = match state.direction() {
            Direction::Undecided => watch.clone(),
            // Kept originals that are not archived now stay kept.
            Direction::Forward if state.reopened.is_some() => watch.clone(),
            Direction::Forward | Direction::Back => Arc::new(Steadfast(watch.clone())),
        };
        let done = self.act(state, facts, step, &watch, notes).await;
        if matches!(step, Step::Fence { .. } | Step::Stop { .. } | Step::Redeploy) {
            // Of the time in which an app that was up had to stay up, nothing is downtime.
            let spent = self.ports.clock.monotonic().saturating_sub(began).saturating_sub(notes.watched);
            charge(state, spent, notes);
        }
        match done {
            Ok(Some(entry)) => self.record(state, entry).await.map(|()| None),
            Ok(None) => {
                *attempts = Attempts::default();
                Ok(None)
            }
            Err(failure) => {
                match failure {
                    Failure::Cancelled => tracing::debug!(step = step.name(), "step cancelled"),
                    Failure::Filesystem(_) | Failure::Engine(_) | Failure::Unhealthy(_) => {
                        tracing::warn!(step = step.name(), error = %failure.error(), "step failed");
                    }
                }
                let verdict = (self.judge)(state, step, &failure, attempts.next(step.name()));
                self.follow(state, verdict, attempts).await
            }
        }
    }

    async fn follow(&self, state: &mut State, verdict: Verdict, attempts: &Attempts) -> Result<Option<End>> {
        match verdict {
            Verdict::Again => {
                self.ports.clock.sleep(Duration::from_millis(100) * attempts.count).await;
                Ok(None)
            }
            Verdict::Record(entry) => self.record(state, entry).await.map(|()| None),
            Verdict::Stop(error) => Err(error),
            Verdict::Attention(anomaly) => Ok(Some(End::Attention(anomaly))),
        }
    }

    /// Writes an entry. A crash before it leaves the old journal, a crash after it the new one: both are followed.
    ///
    /// If the write fails, nobody knows which of the two a power cut would leave. Nothing more is done then: the next
    /// recovery reads what is there, and goes on in the direction that it names.
    async fn record(&self, state: &mut State, entry: Entry) -> Result<()> {
        tracing::debug!(restore = %state.plan.restore, entry = entry.name(), "record");
        let mut after = state.clone();
        after.append(Record { at: self.ports.clock.now(), entry })?;
        let bytes = after.journal().encode()?;
        self.ports.journals.write_journal(state.plan.workload.id, &bytes).await?;
        *state = after;
        Ok(())
    }

    /// Leaves the journal of a restore whose app did not come back. Its hooks wait: what they end has not ended.
    async fn leave_down(&self, state: &State, kind: EventKind, mut notes: Notes) -> Report {
        if state.captured == Some(Safety::Taken) {
            self.catalogue_safety(state, &mut notes.warnings).await;
        }
        let mut report = Report::of(state, None, &notes);
        let event = self.event(&state.plan.workload, kind, word(report.outcome), json!(report));
        report.warnings.extend(self.tell(&event).await);
        report
    }

    /// Ends a restore that only waits for its app, since another operation takes the app over with what it owes to it, and
    /// its journal: what it replaced is on record, and its hooks have run.
    pub(super) async fn take_over(&self, id: WorkloadId) -> Result<()> {
        let Some(Body::Restore(records)) = self.journal_body(id).await? else { return Ok(()) };
        let state = State::replay(&records)?;
        let outcome = Report::of(&state, None, &Notes::default()).outcome;
        if outcome == Outcome::Restored {
            self.keep_record(&state).await?;
        }
        for complaint in self.run_after(HookEvent::PostRestore, &Around::restore(&state), word(outcome)).await? {
            tracing::warn!(restore = %state.plan.restore, "{complaint}");
        }
        Ok(())
    }

    /// Closed: the event, the catalog's row of the safety snapshot, and last of all the journal. Each can be done
    /// again by the recovery that finds the closed journal.
    async fn finish(&self, state: &State, kind: EventKind, mut notes: Notes) -> Result<Report> {
        if state.reopened.is_some() {
            return self.finish_reopened(state, notes).await;
        }
        if state.captured == Some(Safety::Taken) {
            self.catalogue_safety(state, &mut notes.warnings).await;
        }
        self.note_ended(state, &mut notes).await;
        let mut report = Report::of(state, None, &notes);
        // While the closed journal stands: a crash here, or an engine that is away, has them run by the next recovery.
        let around = Around::restore(state);
        report.warnings.extend(self.run_after(HookEvent::PostRestore, &around, word(report.outcome)).await?);
        let mut event = self.event(&state.plan.workload, kind, word(report.outcome), json!(report));
        event.id = state.plan.restore.0; // one event for one restore, also if it is recorded twice
        report.warnings.extend(self.tell(&event).await);
        // A process that was killed in the middle of a discard may have removed containers in the engine's memory only.
        // They are not seen any more, and a power cut would bring them back when nobody remembers them; a discard that
        // returns is durable.
        if state.plan.has_containers() {
            self.containers()?.discard(state.plan.restore).await?;
        }
        match report.outcome {
            Outcome::Restored => self.retire(state).await?,
            // The data are those that the restore before this one left.
            Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention => {
                self.ports.journals.remove_journal(state.plan.workload.id).await?;
            }
        }
        Ok(report)
    }

    /// Tells of members that this process has started and that are not there any more. Where no health is waited for, this
    /// is the only look at an app that dies of its data.
    async fn note_ended(&self, state: &State, notes: &mut Notes) {
        let started = running(state.owed());
        let is_told = notes.recovered || state.redeployed != Some(None);
        let (false, Some(containers)) = (is_told || started.is_empty(), &self.ports.containers) else { return };
        // All is done by now: an engine that does not answer has nothing to tell.
        let seen = Self::members_left(containers.as_ref(), &state.plan.workload.selector).await.unwrap_or_default();
        for member in seen.iter().filter(|c| c.run == RunState::Stopped && started.contains(&c.name)) {
            let name = &member.name;
            notes
                .warnings
                .push(format!("container {name} has ended since it was started; `docker logs {name}` may tell why"));
        }
    }

    pub(super) async fn catalogue_safety(&self, state: &State, warnings: &mut Vec<String>) {
        let plan = &state.plan;
        let archive = match self.ports.archives.read_archive(plan.workload.id, plan.safety).await {
            Ok(archive) => archive,
            Err(error) => return warnings.push(format!("the safety snapshot is not in the catalog: {error}")),
        };
        let snapshot = Snapshot::from(archive);
        // Somebody held on to the originals when they were set aside: what they wrote since may be in no copy.
        for (_, volume, totals) in snapshot.volumes() {
            let unsteady = |name| format!("safety snapshot, volume {}: {name}", volume.target);
            // The plan told of those that are no part of the volume.
            let of_note = totals.unsteady.iter().filter(|name| !name.ends_with(FROZEN_LEFT_OUT));
            warnings.extend(of_note.map(unsteady));
        }
        if let Err(error) = self.ports.store.put_snapshot(&snapshot).await {
            warnings.push(format!("the safety snapshot {} is not in the catalog: {error}", plan.safety));
        }
    }
}

/// Tells of containers that nobody will bring back, since they came after the pins were taken. The fence is where
/// their restart policies can still be seen.
fn note_strangers(state: &State, facts: &Facts, step: &Step, notes: &mut Notes) {
    let (Step::Fence { containers } | Step::Stop { containers }) = step else { return };
    let fencing = matches!(step, Step::Fence { .. });
    for container in facts.strangers(state).into_iter().filter(|c| containers.contains(&c.id)) {
        let (name, policy) = (&container.name, &container.restart_policy.name);
        notes.warnings.push(match fencing {
            true => format!(
                "container {name} appeared in the middle of the switch; give it back its restart policy, {policy}"
            ),
            false => format!(
                "container {name} was started on a volume in the middle of the switch and was stopped; start it again"
            ),
        });
    }
}

/// Adds to the engine's share of the downtime, if the app is down.
fn charge(state: &State, engine: Duration, notes: &mut Notes) {
    if notes.down_since.is_some() && state.redeployed.is_none() {
        notes.engine += engine;
    }
}

fn left_open(state: &State, error: Error) -> Error {
    let name = &state.plan.workload.name;
    if state.closed {
        // The journal may be there or not; if it is, a recovery has nothing to do but remove it.
        let which = match state.direction() {
            Direction::Forward => "restored",
            Direction::Back | Direction::Undecided => "original",
        };
        let context = format!("the restore of {name} has ended (the {which} data are live), but not for the journal");
        return error.context(context).hint(format!("run `volsnap recover {name}`"));
    }
    let volumes = match (state.direction(), state.is_settled()) {
        (Direction::Undecided, _) | (Direction::Back, true) => "the original data are live",
        (Direction::Forward, true) => "the restored data are live",
        (Direction::Forward | Direction::Back, false) => "nothing was deleted",
    };
    let hint = error.hint.clone().map_or_else(String::new, |h| format!("{h}; then "));
    let context = format!("the restore of {name} did not end ({volumes}, journal kept)");
    error.context(context).hint(format!("{hint}run `volsnap recover {name}`"))
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Restored => "restored",
        Outcome::Reverted => "reverted",
        Outcome::Aborted => "aborted",
        Outcome::NeedsAttention => "needs-attention",
    }
}

fn phase(step: &Step) -> Phase {
    match step {
        Step::Stage { .. } => Phase::Stage,
        Step::Prepare { .. } | Step::Fence { .. } | Step::Stop { .. } | Step::KeepAttributes { .. } => Phase::Fence,
        Step::Switch { .. } => Phase::Switch,
        Step::Redeploy => Phase::Redeploy,
        Step::Capture => Phase::Capture,
        Step::Discard { .. } | Step::GiveBack { .. } | Step::DiscardKept { .. } | Step::DiscardContainers => {
            Phase::Discard
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error()
    }
}
