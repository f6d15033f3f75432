//! Broken engines on purpose: what the tier must not miss. The restore runs in this process over a port that lies, or
//! with a decision that is wrong; what follows is done by the honest binary.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{runtime::Runtime, task::JoinHandle};
use volsnap::{Engine, RestoreRequest, Result, Volsnap};
use volsnap_core::{
    model::{
        Container, ContainerId, Losses, Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector, WorkloadId,
    },
    ports::{Boot, BootCheck, Command, Containers, EngineError, EngineInfo, Health, Lease, Quiet, Ran, Watch},
    restore::{Entry, Facts, Move, Report, State, Step, next, state::Direction},
};
use volsnap_docker::DockerEngine;

use super::{
    case::{Case, Event, Place, Running},
    hands::Hand,
    ledger::Phase,
    world::World,
};
use crate::crash::Met;

type Answer<T> = std::result::Result<T, EngineError>;

/// What the port lies about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lie {
    Nothing,
    /// Restart policies are not switched off.
    Fence,
    /// Containers are not stopped.
    Stop,
    /// The app is not brought back.
    Redeploy,
    /// It is brought back without its restart policies.
    Policies,
    /// What was stopped is started.
    StartsAll,
    /// It is made from what its image's name stands for now.
    Tag {
        now: String,
    },
    /// What carries a name of the restore is left.
    Leftovers,
}

/// A break, and the case that shows it.
struct Mutant {
    name: &'static str,
    lie: Lie,
    decide: fn(&State, &Facts) -> Move,
    event: Event,
    place: Phase,
}

/// Meets every mutant; `None` where there is no private engine.
///
/// # Panics
/// If a world cannot be made ready.
#[must_use]
pub fn mutants() -> Option<Vec<Met>> {
    let mut world = World::start("mutants_docker")?;
    let tag = world.moved_image();
    let honest = |name, lie, event, place| Mutant { name, lie, decide: next, event, place };
    let lying = |name, lie| honest(name, lie, Event::Nothing, Phase::Planned);
    let deciding = |name, decide, event| Mutant { name, lie: Lie::Nothing, decide, event, place: Phase::Committed };
    let mutants = [
        honest("no fence before the stop", Lie::Fence, Event::Reboot, Phase::Committed),
        lying("nobody is stopped", Lie::Stop),
        deciding("not looked again after the commit", unquiet, Event::ByHand(Hand::Start)),
        deciding("redeploy before Switched", early, Event::Nothing),
        lying("the app is forgotten", Lie::Redeploy),
        lying("policies are not put back", Lie::Policies),
        lying("what was stopped is started", Lie::StartsAll),
        lying("the image by its name", Lie::Tag { now: tag }),
        lying("containers of the restore are not seen", Lie::Leftovers),
    ];
    Some(mutants.into_iter().map(|mutant| mutant.meet(&mut world)).collect())
}

/// Nobody is looked at once the decision has fallen.
fn unquiet(state: &State, facts: &Facts) -> Move {
    let mut facts = facts.clone();
    if state.direction() == Direction::Forward && !state.switched {
        facts.containers.clear();
    }
    next(state, &facts)
}

/// The app starts before it is written down that the volumes are switched.
fn early(state: &State, facts: &Facts) -> Move {
    let asked = next(state, facts);
    if asked == Move::Record(Entry::Switched) { Move::Perform(Step::Redeploy) } else { asked }
}

impl Mutant {
    fn meet(self, world: &mut World) -> Met {
        let case = Case { event: self.event, place: Place::Phase(self.place), restart: false };
        let mut running = Running::begin(case, world, "today");
        let runtime = Runtime::new().expect("a runtime");
        world.proxy.arm(case.rule());
        let restore = runtime.block_on(self.start(world)).expect("the state directory opens");
        if let Some(call) = world.proxy.wait_held(|| restore.is_finished()) {
            if case.event == Event::Reboot {
                // As a killed process: nothing of it goes on.
                restore.abort();
            }
            running.happen(world, call.phase);
            world.proxy.release();
        }
        // What it says is the mutant's word; what it leaves is looked at.
        let _ = runtime.block_on(restore);
        runtime.shutdown_timeout(Duration::from_secs(5));
        running.recover(world, true);
        let wrongs = running.judge(world).err();
        let sign = wrongs.as_ref().and_then(|wrongs| wrongs.first().cloned()).unwrap_or_default();
        Met { mutant: self.name, caught_after: wrongs.map(|_| 1), sign }
    }

    async fn start(&self, world: &World) -> Result<JoinHandle<Result<Report>>> {
        let socket = world.proxy.host().trim_start_matches("unix://").to_string();
        let port = Lying { engine: DockerEngine::at_socket(socket), lie: self.lie.clone(), touched: Mutex::default() };
        let builder = Volsnap::builder().state_dir(world.state()).containers(Arc::new(port)).recover_on_open(false);
        let volsnap = builder.open().await?;
        let workload = volsnap.workload("shop").await?;
        let snapshot = volsnap.snapshot(Some(workload.id), &world.snapshot).await?;
        let engine: Engine = volsnap.engine().clone().with_decision(self.decide);
        let watch: Watch = Arc::new(Quiet);
        Ok(tokio::spawn(async move { engine.restore(&RestoreRequest::of(workload, snapshot), &watch).await }))
    }
}

/// The real port, but for one lie.
struct Lying {
    engine: DockerEngine,
    lie: Lie,
    /// What it was asked to fence or stop, and did not.
    touched: Mutex<BTreeSet<ContainerId>>,
}

impl Lying {
    fn note(&self, ids: &[ContainerId]) {
        self.touched.lock().expect("no panic").extend(ids.iter().cloned());
    }

    /// Shows what it was asked to do as done.
    fn gloss(&self, seen: Answer<Vec<Container>>) -> Answer<Vec<Container>> {
        let touched = self.touched.lock().expect("no panic").clone();
        let hidden = |c: &Container| self.lie == Lie::Leftovers && c.name.contains(".volsnap-");
        let mut seen = seen?;
        seen.retain(|c| !hidden(c));
        for container in seen.iter_mut().filter(|c| touched.contains(&c.id)) {
            if self.lie == Lie::Fence {
                container.restart_policy = RestartPolicy::never();
            } else {
                container.run = RunState::Stopped;
            }
        }
        Ok(seen)
    }

    fn told(&self, container: &Container) -> Container {
        let mut told = container.clone();
        match &self.lie {
            Lie::Policies => told.restart_policy = RestartPolicy::never(),
            Lie::StartsAll => told.run = RunState::Running,
            Lie::Tag { now } => told.image_id.clone_from(now),
            Lie::Nothing | Lie::Fence | Lie::Stop | Lie::Redeploy | Lie::Leftovers => {}
        }
        told
    }
}

#[async_trait]
impl Containers for Lying {
    async fn is_expected(&self) -> bool {
        self.engine.is_expected().await
    }

    fn command(&self) -> &'static str {
        self.engine.command()
    }

    fn health_interval(&self) -> Duration {
        self.engine.health_interval()
    }

    async fn exec(&self, container: &str, command: &Command, watch: &Watch) -> Answer<Ran> {
        self.engine.exec(container, command, watch).await
    }

    async fn check_boot(&self, boots: &[Boot]) -> Answer<BootCheck> {
        self.engine.check_boot(boots).await
    }

    async fn boot(&self, drill: RestoreId, boots: &[Boot]) -> Answer<()> {
        self.engine.boot(drill, boots).await
    }

    async fn unboot(&self, drill: RestoreId) -> Answer<()> {
        self.engine.unboot(drill).await
    }

    async fn info(&self) -> Answer<EngineInfo> {
        self.engine.info().await
    }

    async fn lease(&self, workload: WorkloadId) -> Answer<Box<dyn Lease>> {
        self.engine.lease(workload).await
    }

    async fn find(&self, selector: &Selector) -> Answer<Vec<Container>> {
        self.gloss(self.engine.find(selector).await)
    }

    async fn all(&self) -> Answer<Vec<Container>> {
        self.gloss(self.engine.all().await)
    }

    async fn mounting(&self, paths: &[PathBuf]) -> Answer<Vec<Container>> {
        self.gloss(self.engine.mounting(paths).await)
    }

    async fn of_restore(&self, restore: RestoreId) -> Answer<Vec<Container>> {
        self.gloss(self.engine.of_restore(restore).await)
    }

    async fn losses(&self, id: &ContainerId) -> Answer<Losses> {
        self.engine.losses(id).await
    }

    async fn has_image(&self, image_id: &str) -> Answer<bool> {
        self.engine.has_image(image_id).await
    }

    async fn settle(&self) -> Answer<()> {
        self.engine.settle().await
    }

    async fn pause(&self, ids: &[ContainerId]) -> Answer<()> {
        self.engine.pause(ids).await
    }

    async fn unpause(&self, ids: &[ContainerId]) -> Answer<()> {
        self.engine.unpause(ids).await
    }

    async fn set_restart_policy(&self, id: &ContainerId, policy: &RestartPolicy) -> Answer<()> {
        if self.lie == Lie::Fence {
            self.note(std::slice::from_ref(id));
            return Ok(());
        }
        self.engine.set_restart_policy(id, policy).await
    }

    async fn stop(&self, ids: &[ContainerId]) -> Answer<()> {
        if self.lie == Lie::Stop {
            self.note(ids);
            return Ok(());
        }
        self.engine.stop(ids).await
    }

    async fn prepare(&self, restore: RestoreId, container: &Container) -> Answer<()> {
        self.engine.prepare(restore, &self.told(container)).await
    }

    async fn redeploy(&self, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> Answer<()> {
        if self.lie == Lie::Redeploy {
            return Ok(());
        }
        let told = pinned.iter().map(|p| Pinned { container: self.told(&p.container), ..p.clone() });
        let told: Vec<Pinned> = told.collect();
        // The prepared replacements are forgotten.
        let how = if self.lie == Lie::Leftovers { Redeploy::Restart } else { how };
        self.engine.redeploy(restore, &told, how).await
    }

    async fn discard(&self, restore: RestoreId) -> Answer<()> {
        if self.lie == Lie::Leftovers { Ok(()) } else { self.engine.discard(restore).await }
    }

    async fn health(&self, names: &[String]) -> Answer<Vec<Health>> {
        self.engine.health(names).await
    }
}
