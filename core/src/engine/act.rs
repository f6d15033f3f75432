//! Does one step through the ports. Decides nothing.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    Engine,
    conditions::PATIENCE,
    health::{Gate, Verdict},
    snapshot::lasts,
};
use crate::{
    model::{
        ARCHIVE_FORMAT, Container, ImageRef, Manifest, Mode, Origin, Pinned, Redeploy, RestartPolicy, RunState,
        container, place,
    },
    ports::{ArchiveSource, HealthState, Limits, Phase, Progress, Retold, StageJob, Standing, Watch},
    restore::{
        Entry, Facts, State, Step,
        by_entry::{Root, Shift},
        conditions::jobs,
        facts::Holds,
        judge::Failure,
        plan::Method,
        report::Notes,
        state::Direction,
        switch::Rename,
    },
};

impl Engine {
    /// Does a step. An entry that is returned says what only this call knows.
    pub(super) async fn act(
        &self,
        state: &State,
        facts: &Facts,
        step: &Step,
        watch: &Watch,
        notes: &mut Notes,
    ) -> Result<Option<Entry>, Failure> {
        let plan = &state.plan;
        match step {
            Step::Stage { volume } => self.stage(state, *volume, watch, notes).await?,
            Step::Prepare { containers } => {
                for container in containers {
                    self.containers()?.prepare(plan.restore, &plan.wanted(container)).await?;
                }
            }
            Step::Fence { containers } => {
                for id in containers {
                    self.containers()?.set_restart_policy(id, &RestartPolicy::never()).await?;
                }
            }
            Step::Stop { containers } => self.containers()?.stop(containers).await?,
            Step::KeepAttributes { volume } => {
                let kept = place::original_root_in(&plan.private(*volume));
                self.ports.filesystem.copy_attributes(&plan.volumes[*volume].live, &kept).await?;
            }
            Step::Switch { renames } => {
                for (volume, rename) in renames {
                    self.rename(state, *volume, *rename).await?;
                }
            }
            Step::Redeploy => {
                self.end_stops_in_flight(state, notes).await?;
                // Asked before the first attempt: one that failed may have started it.
                if notes.down_since.is_none() && notes.up_all_along.is_none() {
                    notes.up_all_along = Some(self.is_up(state).await);
                }
                let changed = self.changed_since(state, notes).await;
                notes.watched = self.redeploy(state, watch).await?;
                notes.warnings.extend(changed);
                return Ok(Some(Entry::Redeployed { problem: None }));
            }
            Step::Capture => self.capture(state, facts, watch).await?,
            Step::Discard { volume } => {
                let live = plan.volumes[*volume].live.clone();
                self.ports.filesystem.discard(plan.restore, &plan.private(*volume), Some(live)).await?;
            }
            Step::GiveBack { volume } => self.give_back(state, *volume).await?,
            Step::DiscardKept { volume } => {
                if let (Some(restore), Some(private)) = (plan.kept, plan.kept_private(*volume)) {
                    self.ports.filesystem.discard(restore, &private, None).await?;
                }
            }
            Step::DiscardContainers => self.containers()?.discard(plan.restore).await?,
        }
        Ok(None)
    }

    async fn stage(&self, state: &State, volume: usize, watch: &Watch, notes: &mut Notes) -> Result<(), Failure> {
        let plan = &state.plan;
        let planned = &plan.volumes[volume];
        let job = StageJob {
            workload: plan.workload.id,
            snapshot: plan.snapshot,
            archive_digest: plan.archive_digest.clone(),
            index: planned.index,
            target: planned.target.clone(),
            private: plan.private(volume),
            like: planned.original.is_some().then(|| planned.live.clone()),
            entries_of: (planned.method == Method::ByEntry).then(|| planned.live.clone()),
            standing: plan.kept.map(|_| plan.kept_tree(volume).map_or(Standing::Nothing, Standing::Tree)),
            limits: Limits { bytes_max: planned.bytes, entries_max: planned.entries, devices: plan.options.devices },
            resume: plan.options.resume,
        };
        let staged = self.ports.filesystem.stage(&job, watch.clone()).await?;
        let left = staged.flags_left.told();
        notes.warnings.extend(left.map(|left| format!("volume {}: {left}", planned.target)));
        Ok(())
    }

    /// Puts a kept tree back to where it was kept. A crash leaves it at one of the two names.
    async fn give_back(&self, state: &State, volume: usize) -> Result<(), Failure> {
        let (plan, filesystem) = (&state.plan, &self.ports.filesystem);
        let Some(tree) = plan.kept_tree(volume) else { return Ok(()) };
        let private = plan.private(volume);
        let staged = place::staged_in(&private);
        // Its entries have been out and in again, which its own times tell.
        if state.committed.is_some() && plan.volumes[volume].method == Method::ByEntry {
            filesystem.copy_attributes(&place::restored_root_in(&private), &staged).await?;
        }
        filesystem.rename(&staged, &tree).await?;
        Ok(())
    }

    /// One rename. What a crash leaves is in the table of [`crate::restore::switch`]: both names as before, or both as
    /// after.
    async fn rename(&self, state: &State, volume: usize, rename: Rename) -> Result<(), Failure> {
        let filesystem = &self.ports.filesystem;
        let live = &state.plan.volumes[volume].live;
        let private = state.plan.private(volume);
        let (staged, aside) = (place::staged_in(&private), place::aside_in(&private));
        match rename {
            Rename::Exchange => filesystem.exchange(live, &staged).await?,
            Rename::SetAside => filesystem.rename(live, &aside).await?,
            Rename::Install => filesystem.rename(&staged, live).await?,
            Rename::TakeOut => filesystem.rename(live, &staged).await?,
            Rename::PutBack => filesystem.rename(&aside, live).await?,
            Rename::ClearLive => filesystem.remove_empty(live).await?,
            Rename::ByEntry(shift) => self.shift(live, &private, shift).await?,
        }
        Ok(())
    }

    /// One shift of a switch by entry. What a crash leaves is in the table of [`crate::restore::by_entry`]: some entries
    /// moved, and the rest where they were.
    async fn shift(&self, live: &Path, private: &Path, shift: Shift) -> Result<(), Failure> {
        let filesystem = &self.ports.filesystem;
        let (staged, leaving, aside) =
            (place::staged_in(private), place::leaving_in(private), place::aside_in(private));
        let kept = |root| match root {
            Root::Original => place::original_root_in(private),
            Root::Restored => place::restored_root_in(private),
        };
        match shift {
            Shift::Gather => filesystem.move_entries(live, &leaving).await?,
            Shift::Seal => {
                filesystem.copy_attributes(&kept(Root::Original), &leaving).await?;
                filesystem.rename(&leaving, &aside).await?;
            }
            Shift::Fill => {
                filesystem.move_entries(&staged, live).await?;
                filesystem.copy_attributes(&kept(Root::Restored), live).await?;
            }
            Shift::TakeOut => filesystem.move_entries(live, &staged).await?,
            Shift::Unseal => filesystem.rename(&aside, &leaving).await?,
            Shift::BringHome => {
                filesystem.move_entries(&leaving, live).await?;
                filesystem.copy_attributes(&kept(Root::Original), live).await?;
            }
            Shift::Dress(root) => filesystem.copy_attributes(&kept(root), live).await?,
        }
        Ok(())
    }

    /// Starts the app, and says how long it had been up already when it was found to be.
    /// Waits for the end of stops that were begun and that nobody saw the end of, such as those of a process that was
    /// killed meanwhile: the engine goes on with them. What seems to run would end a moment after it was found to be
    /// back, and a restart policy starts nothing that was stopped on purpose.
    ///
    /// Nothing is stopped before all of it is fenced, and when the restore is committed all stops have been seen to end.
    async fn end_stops_in_flight(&self, state: &State, notes: &mut Notes) -> Result<(), Failure> {
        let (Some(pinned), None, false) = (&state.pinned, &state.committed, notes.stops_ended) else { return Ok(()) };
        let ran: Vec<Pinned> = pinned.iter().filter(|p| p.was_active()).cloned().collect();
        let now = self.ports.clock.now();
        if !ran.is_empty() && self.end_stops(&state.plan.workload, &ran).await? {
            notes.down_since = notes.down_since.or(Some(now));
        }
        notes.stops_ended = true;
        Ok(())
    }

    async fn redeploy(&self, state: &State, watch: &Watch) -> Result<Duration, Failure> {
        let plan = &state.plan;
        let pinned = state.owed();
        let wanted = |p: &Pinned| Pinned { container: plan.wanted(&p.container), ..p.clone() };
        let (how, wanted): (Redeploy, Vec<Pinned>) = match state.direction() {
            // When it is tried again, a container that serves is good enough.
            Direction::Forward if state.again => (Redeploy::Restart, pinned.iter().map(wanted).collect()),
            Direction::Forward => (plan.options.redeploy, pinned.iter().map(wanted).collect()),
            // On the way back the original containers come back, as they were.
            Direction::Back | Direction::Undecided => (Redeploy::Restart, pinned.to_vec()),
        };
        let health_timeout = plan.options.health_timeout.filter(|_| state.direction() == Direction::Forward);
        let began = self.ports.clock.monotonic();
        self.bring_back(plan.restore, &wanted, how, health_timeout.unwrap_or(PATIENCE)).await?;
        match health_timeout {
            Some(timeout) => {
                watch.progress(&Progress::begin(Phase::Health));
                self.await_health(pinned, began, timeout).await
            }
            None => Ok(Duration::ZERO),
        }
    }

    /// What became of the containers between the crash and this recovery, for the report. An engine that does not answer
    /// tells nothing.
    async fn changed_since(&self, state: &State, notes: &Notes) -> Vec<String> {
        let (true, Ok(containers)) = (notes.recovered, self.containers()) else { return Vec::new() };
        let Ok(all) = containers.all().await else { return Vec::new() };
        let plan = &state.plan;
        let told = |p: &&Pinned| {
            let Container { id, name, .. } = &p.container;
            let named = all.iter().any(|c| c.name == *name);
            match all.iter().find(|c| c.id == *id) {
                Some(now) if !named && container::restore_of(&now.name).is_none() => {
                    Some(format!("container {name} had been renamed to {}: it has its own name again", now.name))
                }
                None if !named && !plan.makes_anew(name) => Some(format!(
                    "container {name} was gone and was made anew: what it had written outside of its volumes is lost"
                )),
                Some(_) | None => None,
            }
        };
        let owed = state.owed().iter().filter(|p| p.is_replaced() && !p.container.particulars.is_one_off);
        owed.filter_map(|p| told(&p)).filter(|told| !notes.warnings.contains(told)).collect()
    }

    /// Healthy is: every container that ran is healthy by its own check, or has none and stays up.
    /// The time runs since the first of them was started.
    async fn await_health(&self, pinned: &[Pinned], began: Duration, timeout: Duration) -> Result<Duration, Failure> {
        let containers = self.containers()?;
        let clock = &self.ports.clock;
        let names = running(pinned);
        let mut gate = Gate::new(began, timeout);
        gate.more_started(clock.monotonic(), 0);
        loop {
            let health = containers.health(&names).await?;
            match gate.judge(clock.monotonic(), &health) {
                Verdict::Healthy { watched } => return Ok(watched),
                Verdict::Sick(why) => return Err(Failure::Unhealthy(why)),
                Verdict::Waiting => clock.sleep(containers.health_interval()).await,
            }
        }
    }

    /// Whether the app runs. An engine that does not answer counts as no.
    async fn is_up(&self, state: &State) -> bool {
        let names = running(state.owed());
        let Ok(containers) = self.containers() else { return false };
        let health = containers.health(&names).await.unwrap_or_default();
        !health.is_empty() && health.iter().all(|health| health.state != HealthState::Down)
    }

    /// Archives the originals from where the facts show them.
    async fn capture(&self, state: &State, facts: &Facts, watch: &Watch) -> Result<(), Failure> {
        let plan = &state.plan;
        let mut sources = Vec::new();
        for (index, planned) in plan.volumes.iter().enumerate() {
            let private = plan.private(index);
            let names = facts.names(state, index);
            let root = match (names.staged, names.aside) {
                (Holds::Original, _) => Some(place::staged_in(&private)),
                (_, Holds::Original) => Some(place::aside_in(&private)),
                _ if planned.original.is_none() => None,
                _ => {
                    return Err(Failure::Unhealthy(format!(
                        "the original of {} is not in {}",
                        planned.live.display(),
                        private.display()
                    )));
                }
            };
            sources.push(ArchiveSource { target: planned.target.clone(), root });
        }
        let manifest = safety_manifest(self, state);
        // An attempt that a crash cut off left an unfinished file.
        self.ports.archives.sweep_drafts(plan.workload.id).await?;
        // The snapshot that was restored is of the same app, so it tells about how large the originals are.
        let expected = plan.volumes.iter().map(|v| (v.target.clone(), v.bytes)).collect();
        let watch: Watch = Arc::new(Retold::new(watch.clone(), Phase::Capture, expected));
        let draft = self.ports.archives.draft_archive(&manifest, &sources, watch).await?;
        draft.seal(0).await?;
        Ok(())
    }
}

/// What the safety snapshot of a restore says of itself.
pub(super) fn safety_manifest(engine: &Engine, state: &State) -> Manifest {
    let plan = &state.plan;
    Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: plan.safety,
        workload: plan.workload.id,
        workload_name: plan.workload.name.clone(),
        source: plan.workload.source.clone(),
        created_at: plan.created_at,
        mode: Mode::Stop,
        origin: Origin::PreRestore(plan.restore),
        note: Some(match plan.kept {
            None => format!("before the restore of {}", plan.snapshot),
            Some(kept) => format!("before what restore {kept} had replaced was put back"),
        }),
        images: images(state.pinned.iter().flatten().filter(|p| p.member).map(|p| &p.container).filter(|c| lasts(c))),
        volumes: plan.volumes.iter().map(|v| plan.workload.in_manifest(&v.target, v.original.is_none())).collect(),
        registration: Some(engine.registration(&plan.workload, plan.created_at)),
        imported: None,
        // A journal of an earlier version has none.
        sequence: (plan.sequence > 0).then_some(plan.sequence),
    }
}

/// The images of containers, by name and by content.
pub(super) fn images<'a>(containers: impl Iterator<Item = &'a Container>) -> Vec<ImageRef> {
    containers
        .map(|c| ImageRef {
            container: c.name.clone(),
            service: c.service.clone(),
            image: c.image.clone(),
            image_id: c.image_id.clone(),
        })
        .collect()
}

/// The names of the members that ran and have to go on running: not those of jobs, which end when they are done.
pub(super) fn running(pinned: &[Pinned]) -> Vec<String> {
    let jobs = jobs(pinned);
    let running = pinned.iter().filter(|p| p.member && p.container.run == RunState::Running);
    running.map(|p| p.container.name.clone()).filter(|name| !jobs.contains(name.as_str())).collect()
}
