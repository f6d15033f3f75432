//! Starting an app on a copy of its data, beside the app itself, to see whether it comes up.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Engine,
    copies::Copying,
    health::{Gate, Verdict},
};
use crate::{
    error::{Code, EngineError, EngineErrorKind, Error, FsErrorKind, Result},
    model::{
        Container, Recognised, Resolved, Snapshot, Workload,
        container::{drill_name, drill_of},
    },
    ports::{Boot, Health, HealthState, Phase, Progress, Watch},
    restore::Refusal,
};

/// How long one that has ended is let lie before it is started again, as an engine does by its restart policy.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How an app did on a copy of its data.
#[derive(Clone, Debug)]
pub struct Booted {
    /// The containers of which copies were to be started, in that order.
    pub containers: Vec<String>,
    /// What the copies went without, and what is left of them.
    pub warnings: Vec<String>,
    /// How long it took until all were healthy, or one was not, in milliseconds.
    pub boot_ms: u64,
    /// Why it is not known to have come up; [`Code::Warnings`] if it is known not to have.
    pub error: Option<Error>,
}

/// What is started, and on what.
#[derive(Default)]
pub(super) struct BootPlan {
    boots: Vec<Boot>,
    warnings: Vec<String>,
    /// Places within the copies that containers mount by themselves.
    within: Vec<Within>,
}

/// A place below the root of a copy. What the snapshot has there must not lead out of it.
struct Within {
    container: String,
    target: String,
    path: PathBuf,
}

impl Engine {
    /// What would be started on the copies that `copy` gives by a volume's index. Touches nothing; refuses what cannot be
    /// kept apart from the app itself.
    pub(super) async fn plan_boot(
        &self,
        workload: &Workload,
        snapshot: &Snapshot,
        copy: impl Fn(usize) -> PathBuf,
    ) -> Result<BootPlan> {
        let members = self.members(workload).await?;
        if members.is_empty() {
            return Err(Error::new(
                Code::Refused,
                format!("workload {} has no containers that could be started on a copy", workload.name),
            )
            .hint("drill it without --boot: the data are proved all the same"));
        }
        let mut drawn = Drawn::default();
        let resolved = self.name_volumes(workload, &members).await?;
        let recognised = Recognised::of(&snapshot.archive.manifest, &resolved.volumes);
        // What is stopped stays stopped, as after a restore; an app that is down as a whole is tried as a whole.
        let is_up = members.iter().any(|member| member.run.is_active());
        for member in members.iter().filter(|member| member.run.is_active() || !is_up) {
            drawn.add(member, &resolved, snapshot, &recognised, &copy);
        }
        let checked = self.containers()?.check_boot(&drawn.plan.boots).await?;
        drawn.refusals.extend(checked.refusals);
        drawn.plan.warnings.extend(checked.warnings);
        match Refusal::together(&drawn.refusals) {
            None => Ok(drawn.plan),
            Some(refused) => {
                Err(refused.context(format_args!("workload {} cannot be started on a copy", workload.name)))
            }
        }
    }

    /// Starts the app on the copies and waits until it is healthy there. What was started is left to
    /// [`Engine::end_copy`].
    pub(super) async fn boot_copy(
        &self,
        plan: BootPlan,
        copying: &mut Copying,
        timeout: Duration,
        watch: &Watch,
    ) -> Booted {
        watch.progress(&Progress::begin(Phase::Boot));
        let began = self.ports.clock.monotonic();
        copying.containers = true;
        let error = self.boot_in_waves(&plan, copying, timeout, watch).await.err();
        let took = self.ports.clock.monotonic().saturating_sub(began);
        Booted {
            containers: plan.boots.into_iter().map(|boot| boot.container.name).collect(),
            warnings: plan.warnings,
            boot_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            error,
        }
    }

    /// Each wave is healthy before the next one is started: nobody meets a database that is not ready.
    async fn boot_in_waves(&self, plan: &BootPlan, copying: &Copying, timeout: Duration, watch: &Watch) -> Result<()> {
        for within in &plan.within {
            self.check_within(within).await?;
        }
        let containers = self.containers()?;
        let mut gate = Gate::new(self.ports.clock.monotonic(), timeout);
        let mut started = Started::default();
        let waves = waves(&plan.boots);
        for (nth, wave) in waves.iter().enumerate() {
            go_on(watch)?;
            containers.boot(copying.id, wave).await.map_err(not_started)?;
            let now = self.ports.clock.monotonic();
            wave.iter().for_each(|boot| started.note(boot, now));
            gate.more_started(now, u32::try_from(waves.len() - nth - 1).unwrap_or(u32::MAX - 1));
            self.await_boot(&mut gate, &mut started, copying, watch).await?;
        }
        Ok(())
    }

    async fn await_boot(
        &self,
        gate: &mut Gate,
        started: &mut Started<'_>,
        copying: &Copying,
        watch: &Watch,
    ) -> Result<()> {
        let containers = self.containers()?;
        let names = started.names(copying);
        loop {
            go_on(watch)?;
            let health = containers.health(&names).await.map_err(not_started)?;
            let health = started.by_own_names(health);
            let now = self.ports.clock.monotonic();
            match gate.judge(now, &health) {
                Verdict::Healthy { .. } => return Ok(()),
                Verdict::Sick(why) => return Err(did_not_come_up(&why)),
                Verdict::Waiting => {}
            }
            for again in started.to_start_again(&health, now)? {
                containers.boot(copying.id, std::slice::from_ref(again)).await.map_err(not_started)?;
                started.note(again, now);
            }
            self.ports.clock.sleep(containers.health_interval()).await;
        }
    }

    async fn check_within(&self, within: &Within) -> Result<()> {
        let Within { container, target, path } = within;
        match self.ports.filesystem.locate(path).await {
            Ok(found) if found.real == *path && found.inode.is_some() => Ok(()),
            Ok(found) if found.real != *path => {
                Err(did_not_come_up(&format!("what container {container} has at {target} leads out of the copy")))
            }
            Ok(_) => {
                Err(did_not_come_up(&format!("what container {container} has at {target} is not in the snapshot")))
            }
            Err(error) if error.kind == FsErrorKind::NotFound => {
                Err(did_not_come_up(&format!("what container {container} has at {target} is not in the snapshot")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A plan as it is drawn up, with what speaks against it.
#[derive(Default)]
struct Drawn {
    plan: BootPlan,
    refusals: Vec<Refusal>,
}

impl Drawn {
    fn add(
        &mut self,
        member: &Container,
        resolved: &Resolved,
        snapshot: &Snapshot,
        recognised: &Recognised,
        copy: &impl Fn(usize) -> PathBuf,
    ) {
        let mut copies = BTreeMap::new();
        for mount in member.mounts.iter().filter(|mount| mount.unsupported.is_none()) {
            let held = |target: &String| recognised.index_of(target);
            let Some((volume, below)) = volume_of(resolved, &mount.source, |target| held(target).is_some()) else {
                continue;
            };
            match held(volume) {
                Some(index) if below.as_os_str().is_empty() => {
                    copies.insert(mount.target.clone(), copy(index));
                }
                Some(index) => {
                    let (container, target, path) =
                        (member.name.clone(), mount.target.clone(), copy(index).join(below));
                    copies.insert(target.clone(), path.clone());
                    self.plan.within.push(Within { container, target, path });
                }
                None => self.refusals.push(Refusal::new(
                    format!("container {} has volume {volume}, which is not in the snapshot", member.name),
                    "take a snapshot as the app is now, and drill that",
                )),
            }
        }
        let images = &snapshot.archive.manifest.images;
        let image_id = match images.iter().find(|image| image.container == member.name) {
            Some(image) => image.image_id.clone(),
            None => {
                let name = &member.name;
                let warning = format!("the snapshot has no image of container {name}: it ran what it runs now");
                self.plan.warnings.push(warning);
                member.image_id.clone()
            }
        };
        self.plan.boots.push(Boot { container: member.clone(), image_id, copies });
    }
}

/// The volume that a directory is or lies in, the innermost one that the snapshot holds by itself, and where in it.
fn volume_of<'a>(
    resolved: &'a Resolved,
    source: &'a Path,
    is_held: impl Fn(&String) -> bool,
) -> Option<(&'a String, &'a Path)> {
    let volumes = resolved.volumes.iter();
    let found = volumes.filter_map(|volume| Some((&volume.target, source.strip_prefix(&volume.path).ok()?)));
    found.min_by_key(|(target, below)| (!is_held(target), below.components().count()))
}

/// Runs of containers of which none depends on another one in its run.
fn waves(boots: &[Boot]) -> Vec<&[Boot]> {
    let (mut waves, mut first) = (Vec::new(), 0);
    for (at, boot) in boots.iter().enumerate() {
        let needs = |other: &Boot| boot.container.depends_on.contains(&other.container.name);
        if boots[first..at].iter().any(needs) {
            waves.push(&boots[first..at]);
            first = at;
        }
    }
    waves.push(&boots[first..]);
    waves
}

/// Those that have been started, in order, and when last.
#[derive(Default)]
struct Started<'a>(Vec<(&'a Boot, Duration)>);

impl<'a> Started<'a> {
    fn note(&mut self, boot: &'a Boot, now: Duration) {
        self.0.retain(|(other, _)| other.container.name != boot.container.name);
        self.0.push((boot, now));
    }

    fn names(&self, copying: &Copying) -> Vec<String> {
        self.0.iter().map(|(boot, _)| drill_name(&boot.container.name, copying.id)).collect()
    }

    /// The same under the names that people know.
    fn by_own_names(&self, health: Vec<Health>) -> Vec<Health> {
        let own = |name: &str| drill_of(name).map_or(name, |(own, _)| own).to_string();
        health.into_iter().map(|health| Health { name: own(&health.name), ..health }).collect()
    }

    /// Those that have ended and that an engine would start again by itself. One that it would not stays down.
    fn to_start_again(&self, health: &[Health], now: Duration) -> Result<Vec<&'a Boot>> {
        let mut again = Vec::new();
        for down in health.iter().filter(|health| health.state == HealthState::Down) {
            let Some((boot, last)) = self.0.iter().find(|(boot, _)| boot.container.name == down.name) else { continue };
            if boot.container.restart_policy.is_never() {
                return Err(did_not_come_up(&format!("container {} ended ({})", down.name, down.detail)));
            }
            if now.saturating_sub(*last) >= RESTART_PAUSE {
                again.push(*boot);
            }
        }
        Ok(again)
    }
}

fn go_on(watch: &Watch) -> Result<()> {
    match watch.cancelled() {
        false => Ok(()),
        true => Err(Error::new(Code::Aborted, "the drill was cancelled before the app was healthy on the copy")
            .hint("the data are proved, and nothing is left of the drill; run it again when you are ready")),
    }
}

/// The app is to blame, or its data are.
fn did_not_come_up(why: &str) -> Error {
    Error::new(Code::Warnings, format!("the app did not come up on the data, which came back as they were: {why}"))
        .hint("the app itself was not touched; drill an earlier snapshot, or look at the data with `volsnap extract SNAPSHOT DIR`. One that needs longer gets it by --boot-timeout")
}

/// The engine could not do it, or did not answer.
fn not_started(error: EngineError) -> Error {
    match error.kind {
        EngineErrorKind::Failed | EngineErrorKind::NotFound | EngineErrorKind::Unsupported => did_not_come_up(&error.message),
        EngineErrorKind::Conflict => Error::from(error).hint(
            "the data are proved all the same; `docker network prune` frees address ranges, and `docker ps -a` shows a name \
             that is taken",
        ),
        EngineErrorKind::Unreachable | EngineErrorKind::TimedOut => error.into(),
    }
}
