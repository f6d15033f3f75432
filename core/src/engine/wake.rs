//! Waking an app after its snapshot, and remembering what of it did not come back.

use std::time::Duration;

use super::{Engine, conditions::PATIENCE, snapshot::Rest};
use crate::{
    error::{EngineError, EngineErrorKind, Error, Result},
    model::{Container, ContainerId, HookEvent, Mode, Pinned, Redeploy, RestoreId, RunState, Workload, WorkloadId},
    restore::{Body, Journal, State, journal::Quiesced, judge},
};

impl Engine {
    pub(super) async fn write_quiesced(&self, quiesced: &Quiesced) -> Result<()> {
        if !quiesced.down.is_empty() {
            self.take_over(quiesced.workload.id).await?;
        }
        let journal = Journal { body: Body::Snapshot(Box::new(quiesced.clone())) };
        Ok(self.ports.journals.write_journal(quiesced.workload.id, &journal.encode()?).await?)
    }

    /// Whether the journal says that there is an app to be woken; one that cannot be read may.
    pub(super) async fn is_quiesced(&self, id: WorkloadId) -> bool {
        let Ok(bytes) = self.ports.journals.read_journal(id).await else { return true };
        match bytes.map(|bytes| Journal::decode(&bytes)) {
            Some(Ok(Journal { body: Body::Snapshot(quiesced) })) => !quiesced.containers.is_empty(),
            Some(Ok(Journal { body: Body::Restore(_) }) | Err(_)) => true,
            None => false,
        }
    }

    /// The app is as it was, so nobody has to wake it; hooks may be due yet.
    pub(super) async fn put_down(&self, quiesced: &Quiesced) -> Result<()> {
        match quiesced.workload.has_hooks(HookEvent::PostCreate) {
            true => self.write_quiesced(&Quiesced { containers: Vec::new(), ..quiesced.clone() }).await,
            false => self.lay_down(quiesced).await,
        }
    }

    /// Ends the journal of a snapshot, unless containers are down for which it has to remember how they were.
    pub(super) async fn lay_down(&self, quiesced: &Quiesced) -> Result<()> {
        let id = quiesced.workload.id;
        if quiesced.down.is_empty() {
            return Ok(self.ports.journals.remove_journal(id).await?);
        }
        let mut remembered = Quiesced { containers: Vec::new(), ..quiesced.clone() };
        remembered.workload.hooks.clear();
        self.write_quiesced(&remembered).await
    }

    /// Wakes the app. What cannot be started is down from then on, and the journal says so; an error says that the engine
    /// did not answer, or that a frozen app could not be thawed.
    pub(super) async fn wake(&self, quiesced: Quiesced) -> Result<Quiesced> {
        if quiesced.containers.is_empty() {
            return Ok(quiesced);
        }
        let pinned = quiesced.containers.clone();
        match self.resume(&quiesced).await {
            Ok(()) => Ok(Quiesced { containers: Vec::new(), ..quiesced }),
            Err(error) if quiesced.mode == Mode::Stop && stays_so(&error) => {
                let is_new = |p: &Pinned| quiesced.down.iter().all(|d| d.container.name != p.container.name);
                let mut down: Vec<Pinned> = pinned.into_iter().filter(is_new).collect();
                down.extend(quiesced.down.clone());
                let down = Quiesced { containers: Vec::new(), down, problem: Some(error.message), ..quiesced };
                self.write_quiesced(&down).await?;
                Ok(down)
            }
            Err(error) => Err(Error::from(error)),
        }
    }

    pub(super) async fn start_what_is_down(&self, quiesced: Quiesced) -> Result<Quiesced> {
        let restore = RestoreId(quiesced.snapshot.0);
        match self.bring_back(restore, &quiesced.down, Redeploy::Restart, PATIENCE).await {
            Ok(()) => Ok(Quiesced { down: Vec::new(), problem: None, ..quiesced }),
            Err(error) if stays_so(&error) => Ok(Quiesced { problem: Some(error.message), ..quiesced }),
            Err(error) => Err(error.into()),
        }
    }

    /// What an open journal owes to the app of a workload, if it is only there because the app did not come back: the
    /// containers as they were found. `None` if the journal has to be followed first, or there is none.
    pub(super) async fn owed(&self, id: WorkloadId) -> Result<Option<Vec<Pinned>>> {
        Ok(match self.journal_body(id).await? {
            Some(Body::Restore(records)) => {
                let state = State::replay(&records)?;
                state.waits_for_the_app().then(|| state.owed().to_vec())
            }
            Some(Body::Snapshot(quiesced)) => quiesced.waits_for_the_app().then_some(quiesced.down),
            None => None,
        }
        .map(|owed| owed.into_iter().filter(|p| p.member && p.was_active()).collect()))
    }

    /// What the open journal of a workload says, if there is one.
    pub(super) async fn journal_body(&self, id: WorkloadId) -> Result<Option<Body>> {
        let Some(bytes) = self.ports.journals.read_journal(id).await? else { return Ok(None) };
        let journal = Journal::decode(&bytes).map_err(|e| self.name_journal(id, e.into()))?;
        Ok(Some(journal.body))
    }

    /// What was frozen is thawed, what was stopped is started. None that is not there any more is made anew: a snapshot
    /// makes no containers.
    async fn resume(&self, quiesced: &Quiesced) -> Result<(), EngineError> {
        let (frozen, stopped) = (resting(quiesced, Rest::Frozen), resting(quiesced, Rest::Stopped));
        if !frozen.is_empty() {
            // First and by id, without a look at the others: the app is waiting.
            let ids: Vec<_> = frozen.iter().map(|p| p.container.id.clone()).collect();
            self.thaw(&ids).await?;
        }
        if !stopped.is_empty() {
            let (standing, _) = self.standing(&quiesced.workload, stopped).await?;
            self.bring_back(RestoreId(quiesced.snapshot.0), &standing, Redeploy::Restart, PATIENCE).await?;
        }
        Ok(())
    }

    /// The same for a snapshot whose process was killed.
    pub(super) async fn end_stops_of(&self, quiesced: &Quiesced) -> Result<()> {
        let stopped = resting(quiesced, Rest::Stopped);
        if !stopped.is_empty() {
            self.end_stops(&quiesced.workload, &stopped).await?;
        }
        Ok(())
    }

    /// Sees the end of stops that were begun: what was asked to stop, and runs yet, may end a moment after it was found to be
    /// back. Nothing is asked to stop before all of it is fenced. Whether there were any.
    pub(super) async fn end_stops(&self, workload: &Workload, stopped: &[Pinned]) -> Result<bool, EngineError> {
        let seen = self.seen_of(workload, stopped).await?;
        // What is frozen was not asked: it would have been thawed for it.
        let of_ours = |c: &&Container| c.run == RunState::Running && stopped.iter().any(|p| p.container.id == c.id);
        let running: Vec<&Container> = seen.iter().filter(of_ours).collect();
        if running.is_empty() || running.iter().any(|c| !c.restart_policy.is_never()) {
            return Ok(false);
        }
        let ids: Vec<_> = running.into_iter().map(|c| c.id.clone()).collect();
        // An engine that says no may have begun all the same. One that says no again stops nothing: the app is brought back
        // as it runs.
        for _ in 0..2 {
            match self.containers()?.stop(&ids).await {
                Err(error) if stays_so(&error) => {}
                stopped => return stopped.map(|()| true),
            }
        }
        Ok(false)
    }

    /// Thaws, and goes on until that is seen: an engine that answers too late may have thawed or not.
    async fn thaw(&self, ids: &[ContainerId]) -> Result<(), EngineError> {
        let containers = self.containers()?;
        let mut attempt = 1;
        loop {
            match containers.unpause(ids).await {
                Err(error) if error.is_transient() && attempt < judge::ATTEMPTS_MAX => {
                    self.ports.clock.sleep(Duration::from_millis(100) * attempt).await;
                    attempt += 1;
                }
                thawed => return thawed,
            }
        }
    }

    /// Which of them stand, by id or by name: what was deployed anew meanwhile stands under its name. And those that do
    /// not, unless they are not of the workload.
    pub(super) async fn standing(
        &self,
        workload: &Workload,
        pinned: Vec<Pinned>,
    ) -> Result<(Vec<Pinned>, Vec<Container>), EngineError> {
        let seen = self.seen_of(workload, &pinned).await?;
        let (standing, gone): (Vec<_>, Vec<_>) = pinned.into_iter().partition(|p| !p.member || stands(&seen, p));
        Ok((standing, gone.into_iter().map(|p| p.container).collect()))
    }

    /// The containers of a workload as they are now, and whatever else was pinned, as far as it is there.
    async fn seen_of(&self, workload: &Workload, pinned: &[Pinned]) -> Result<Vec<Container>, EngineError> {
        let containers = self.containers()?;
        let mut seen = Self::members_left(containers, &workload.selector).await?;
        if !pinned.iter().all(|p| stands(&seen, p)) {
            // One that was renamed is found by what it mounts, and so is one that is not of the workload.
            let sources: Vec<_> = pinned.iter().flat_map(|p| &p.container.mounts).map(|m| m.source.clone()).collect();
            seen.extend(containers.mounting(&sources).await?);
        }
        if !pinned.iter().all(|p| stands(&seen, p)) {
            match containers.all().await {
                Err(error) if error.kind == EngineErrorKind::Unsupported => {}
                all => seen.extend(all?),
            }
        }
        Ok(seen)
    }
}

/// Those that the snapshot keeps quiet in that way.
fn resting(quiesced: &Quiesced, how: Rest) -> Vec<Pinned> {
    let rests = |p: &&Pinned| Rest::of(quiesced.mode, &p.container) == Some(how);
    quiesced.containers.iter().filter(rests).cloned().collect()
}

/// Whether one is there, by its id or by its name.
fn stands(seen: &[Container], pinned: &Pinned) -> bool {
    seen.iter().any(|c| c.id == pinned.container.id || c.name == pinned.container.name)
}

/// Whether the engine answered, and says no as long as the world is as it is.
fn stays_so(error: &EngineError) -> bool {
    match error.kind {
        EngineErrorKind::Unreachable | EngineErrorKind::TimedOut => false,
        EngineErrorKind::NotFound
        | EngineErrorKind::Conflict
        | EngineErrorKind::Failed
        | EngineErrorKind::Unsupported => true,
    }
}
