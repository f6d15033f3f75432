//! Kept originals on simulated machines: archived after all, put back into service, discarded; each crashed at each of its
//! changes in every way, as its recoveries are, and failed at each of its calls.
//!
//! Whatever happens, no byte of an original is gone before it is in service or in a durable snapshot, or the person has
//! discarded it; and the same holds for what it replaces when it is put back.

use std::{collections::HashSet, path::PathBuf};

use volsnap_core::{
    error::{Code, Error},
    model::{
        Container, RestoreId,
        place::{aside_in, leaving_in, staged_in},
    },
    ports::FsErrorKind,
    restore::{Body, Entry, Facts, Journal, Move, Options, Outcome, Safety, State, Step, journal::Reopening, next},
};
use volsnap_sim::{Chooser, CrashPoint, Cuts, Event, Failure, Fault, Machine, MicroKind, Reach, Run, World};

use super::judge::{booted, killed};
use crate::{
    oracle::{self, Wrongs},
    process::{Ended, engine, quiet, recover, restore},
    worlds::{Live, Rules, Scene, SceneSpec, SceneVolume, Tree, VolumeDisk, VolumeSpec},
};

/// What is done about the originals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// They are archived.
    Archive,
    /// They are put back; what they replace is archived, or kept in its turn.
    PutBack {
        /// Whether it is archived.
        safety: bool,
    },
    /// They are discarded.
    Discard,
}

/// A restore that kept its originals, and what is to be done about them.
#[derive(Clone, Debug)]
pub struct Case {
    /// The world before that restore.
    pub scene: Scene,
    /// What is done.
    pub deed: Deed,
    /// The restore.
    restore: RestoreId,
    /// The world in which it is done.
    start: World,
}

/// What an exploration met.
#[derive(Debug, Default)]
pub struct Explored {
    /// Different worlds in which a process died or failed.
    pub states: u64,
    /// How many of them ended with the deed done, the rest with the originals kept as before.
    pub done: u64,
    /// What is wrong, with where; not more than a few.
    pub wrongs: Wrongs,
}

/// No more than so many are told.
const WRONGS_MAX: usize = 5;
/// Power cuts of a world with too many for all.
const CUTS: usize = 12;

/// Every deed in small worlds: an exchange, two renames, a mount point, two disks of which one orders nothing, an app.
#[must_use]
pub fn cases() -> Vec<Case> {
    let disk = |exchange, ordered| VolumeDisk { exchange, ordered };
    let volume = |disk, live| VolumeSpec { disk, live, absent: false };
    let specs = [
        SceneSpec::plain("one directory"),
        SceneSpec { disks: vec![disk(false, false)], ..SceneSpec::plain("two renames") },
        SceneSpec {
            disks: vec![disk(true, true), disk(true, false)],
            volumes: vec![volume(0, Live::Full), volume(1, Live::Full)],
            ..SceneSpec::plain("two on two disks, an app").with_app()
        },
        SceneSpec { volumes: vec![volume(0, Live::MountPoint)], ..SceneSpec::plain("a mount point") },
    ];
    let deeds = [Deed::Archive, Deed::PutBack { safety: true }, Deed::PutBack { safety: false }, Deed::Discard];
    specs.iter().flat_map(|spec| deeds.iter().map(|deed| Case::of(spec, *deed))).collect()
}

/// Leaves every original where it was set aside.
fn keeping(state: &State, facts: &Facts) -> Move {
    match next(state, facts) {
        Move::Perform(Step::Capture) => {
            Move::Record(Entry::Captured { safety: Safety::Kept { reason: "a test".into() } })
        }
        other @ (Move::Record(_) | Move::Perform(_) | Move::Finished | Move::AppDown | Move::NeedsAttention(_)) => {
            other
        }
    }
}

impl Case {
    fn of(spec: &SceneSpec, deed: Deed) -> Self {
        let scene = spec.build();
        let rules = Rules { decide: keeping, ..Rules::default() };
        let left = restore(&Scene { rules, ..scene.clone() }, scene.world.clone());
        let Ended::Reported(report) = &left.ended else { panic!("{:?}", left.ended) };
        let mut start = left.world;
        start.restart_process();
        start.happen(&Event::Writeback);
        Case { scene, deed, restore: report.restore_id, start }
    }

    /// In words.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, {:?}", self.scene.spec.name, self.deed)
    }

    /// The same, by an engine that breaks a rule, or on ports that do.
    pub fn prepare(&mut self, prepare: impl FnOnce(&mut Scene)) {
        let world = std::mem::replace(&mut self.scene.world, self.start.clone());
        prepare(&mut self.scene);
        self.start = std::mem::replace(&mut self.scene.world, world);
    }
}

/// What a process left that did it, or died of it.
struct Attempt {
    world: World,
    done: Option<Result<(), Error>>,
    points: Vec<CrashPoint>,
}

fn attempt(case: &Case, mut world: World) -> Attempt {
    world.record_crash_points();
    let machine = Machine::start(world);
    let engine = engine(&machine, &case.scene);
    let deed = async {
        let set = engine.kept_sets(None).await?.pop();
        let set = set.ok_or_else(|| Error::new(Code::NotFound, "nothing is kept"))?;
        match case.deed {
            Deed::Archive => engine.archive_kept(&set, &quiet()).await.map(drop),
            Deed::Discard => engine.discard_kept(&set, &quiet()).await,
            Deed::PutBack { safety } => {
                let options = Options { safety_snapshot: safety, ..case.scene.options };
                let request = engine.kept_request(&set, options).await?;
                let report = engine.restore(&request, &quiet()).await?;
                match report.outcome {
                    Outcome::Restored => Ok(()),
                    outcome @ (Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention) => {
                        Err(Error::new(Code::Aborted, format!("{outcome:?}: {:?}", report.cause)))
                    }
                }
            }
        }
    };
    let done = match machine.run(deed) {
        Run::Done(done) => Some(done),
        Run::Died | Run::Dropped => None,
    };
    let points = machine.world().take_crash_points();
    Attempt { world: machine.snapshot(), done, points }
}

/// Every crash of the deed, and with `deep` every crash of each recovery after it.
#[must_use]
pub fn crashes(case: &Case, deep: bool) -> Explored {
    let mut explored = Explored::default();
    let mut seen = HashSet::new();
    let whole = attempt(case, case.start.clone());
    if whole.done != Some(Ok(())) {
        explored.complain("without a crash", vec![format!("{:?}", whole.done)]);
    }
    explored.complain("without a crash", check_ended(case, &whole.world, true));
    explored.complain("a power cut after the end", after_cuts(case, &whole.world));
    for crashed in crashed_worlds(&whole.points, &mut seen) {
        explored.after(case, crashed, deep, &mut seen);
    }
    explored
}

/// Every error at each call of the deed, each followed by the next process.
#[must_use]
pub fn errors(case: &Case) -> Explored {
    let mut explored = Explored::default();
    let mut remembered = case.start.clone();
    remembered.remember(true);
    let whole = attempt(case, remembered);
    let calls = (0_u64..).zip(whole.world.history()).filter(|(_, moment)| {
        matches!(moment.kind, MicroKind::Call | MicroKind::Sync | MicroKind::Catalog | MicroKind::Change)
    });
    for (op, _) in calls {
        let strikes =
            [(FsErrorKind::Io, Reach::Once), (FsErrorKind::NoSpace, Reach::Once), (FsErrorKind::Io, Reach::Method)];
        for (kind, reach) in strikes {
            let mut world = case.start.clone();
            world.strike(op, Fault::Error { failure: Failure::of_disk(kind, "a test"), reach });
            let failed = attempt(case, world);
            explored.states += 1;
            let told = format!("{kind:?} {reach:?} at operation {op}");
            explored.complain(&told, check_safe(case, &failed.world));
            let is_done = failed.done == Some(Ok(()));
            let left = recover(&case.scene, killed(&failed.world));
            explored.complain(&told, check_struck(case, &left.world, is_done));
            explored.done += u64::from(is_over(case, &left.world));
        }
    }
    explored
}

impl Explored {
    fn complain(&mut self, place: &str, wrongs: Wrongs) {
        let room = WRONGS_MAX.saturating_sub(self.wrongs.len());
        self.wrongs.extend(wrongs.into_iter().take(room).map(|wrong| format!("{wrong} ({place})")));
    }

    fn after(&mut self, case: &Case, crashed: Crashed, deep: bool, seen: &mut HashSet<u64>) {
        if self.wrongs.len() >= WRONGS_MAX {
            return;
        }
        let Crashed { world, place } = crashed;
        self.states += 1;
        self.complain(&place, check_safe(case, &world));
        let mut world = world;
        if deep {
            world.record_crash_points();
        }
        let left = recover(&case.scene, world);
        self.complain(&place, check_ended(case, &left.world, false));
        if let Ended::Failed(error) = &left.ended {
            self.complain(&place, vec![format!("recovery failed: {error}")]);
        }
        self.done += u64::from(is_over(case, &left.world));
        for crashed in crashed_worlds(&left.points, seen) {
            let place = format!("{place}, then {}", crashed.place);
            self.after(case, Crashed { place, ..crashed }, false, seen);
        }
    }
}

/// A world as the next process finds it.
struct Crashed {
    world: World,
    place: String,
}

fn crashed_worlds(points: &[CrashPoint], seen: &mut HashSet<u64>) -> Vec<Crashed> {
    let mut crashed = Vec::new();
    let mut cuts = Cuts::default();
    for point in points {
        let kill = killed(&point.world);
        if seen.insert(volsnap_sim::fingerprint(&kill.key())) {
            crashed.push(Crashed { world: kill, place: format!("killed before operation {}", point.op) });
        }
        let mut chooser = Chooser::seeded(point.op);
        cuts.some(&point.world, CUTS, &mut chooser, &mut |cut| {
            let world = booted(cut.world());
            if seen.insert(volsnap_sim::fingerprint(&world.key())) {
                crashed
                    .push(Crashed { world, place: format!("cut before operation {}: {:?}", point.op, cut.script()) });
            }
        });
    }
    crashed
}

fn after_cuts(case: &Case, world: &World) -> Wrongs {
    let mut wrongs = Wrongs::new();
    Cuts::default().every(world, &mut |cut| wrongs.extend(check_ended(case, &booted(cut.world()), true)));
    wrongs
}

/// The states that the open journal and the records tell of.
fn told(world: &World) -> Vec<State> {
    let dir = world.journal_dir();
    let decode = |name: &String| match Journal::decode(&world.read(&dir.join(name))?).ok()?.body {
        Body::Restore(records) => State::replay(&records).ok(),
        Body::Snapshot(_) => None,
    };
    world.names(&dir).iter().filter(|name| !name.ends_with(".new")).filter_map(decode).collect()
}

/// Nothing is gone that nobody gave up.
fn check_safe(case: &Case, world: &World) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let given_up = |state: &State| matches!(state.reopened, Some(Reopening::Discard { .. }));
    let is_given_up = case.deed == Deed::Discard && told(world).iter().any(given_up);
    for (index, volume) in case.scene.volumes.iter().enumerate() {
        let mut wanted: Vec<(&str, &Tree)> = Vec::new();
        if let (Some(original), false) = (&volume.original, is_given_up) {
            wanted.push(("the original", original));
        }
        if matches!(case.deed, Deed::PutBack { .. }) {
            wanted.push(("what was live before it was put back", &volume.restored));
        } else if !oracle::holds(world, &volume.live, &volume.restored) {
            wrongs.push(format!("the live data of {} were touched", volume.live.display()));
        }
        for (what, tree) in wanted {
            let is_there = oracle::original_somewhere(&case.scene, world, index, volume, tree);
            if !is_there && !is_in_parts(world, volume, tree) {
                wrongs.push(format!("{what} of {} is nowhere whole", volume.live.display()));
            }
        }
    }
    wrongs
}

/// In the middle of a switch by entry some of it is live, and the rest where it comes from or gathers.
fn is_in_parts(world: &World, volume: &SceneVolume, tree: &Tree) -> bool {
    let within = |dir: PathBuf| [staged_in(&dir), aside_in(&dir), leaving_in(&dir)];
    let places = oracle::private_dirs(world, volume).into_iter().flat_map(within).chain([volume.live.clone()]);
    let parts: Vec<Tree> = places.filter_map(|place| world.tree(&place)).collect();
    volume.stays && tree.iter().all(|(path, bytes)| parts.iter().any(|part| part.get(path) == Some(bytes)))
}

fn privates(case: &Case, world: &World) -> usize {
    case.scene.volumes.iter().map(|volume| oracle::private_dirs(world, volume).len()).sum()
}

/// Whether the originals are no longer kept by the restore that set them aside.
fn is_over(case: &Case, world: &World) -> bool {
    !kept_by(case, world).contains(&case.restore)
}

/// The restores that keep something, as the engine lists them.
fn kept_by(case: &Case, world: &World) -> Vec<RestoreId> {
    let mut world = world.clone();
    world.restart_process();
    let machine = Machine::start(world);
    let engine = engine(&machine, &case.scene);
    let sets = machine.run(engine.kept_sets(None)).done().and_then(Result::ok).unwrap_or_default();
    sets.into_iter().filter(|set| set.record.is_some()).map(|set| set.restore_id).collect()
}

/// All of it as before, or all of it done.
fn check_ended(case: &Case, world: &World, must_be_done: bool) -> Wrongs {
    check(case, world, must_be_done, false)
}

/// The same after an error: what could not be archived of what is replaced is kept in its turn, and an archive that failed at
/// its very end may lie there, which nobody believes.
fn check_struck(case: &Case, world: &World, must_be_done: bool) -> Wrongs {
    check(case, world, must_be_done, true)
}

fn check(case: &Case, world: &World, must_be_done: bool, struck: bool) -> Wrongs {
    let mut wrongs = check_safe(case, world);
    wrongs.extend(world.violations().iter().cloned());
    if !world.journal_names().is_empty() {
        wrongs.push("the journal is left".into());
    }
    let live = |tree: fn(&SceneVolume) -> Option<&Tree>| {
        let is_live = |v: &SceneVolume| tree(v).is_some_and(|tree| oracle::holds(world, &v.live, tree));
        case.scene.volumes.iter().all(is_live)
    };
    let (is_restored, is_original) = (live(|v| Some(&v.restored)), live(|v| v.original.as_ref()));
    let (kept_by, privates) = (kept_by(case, world), privates(case, world));
    let volumes = case.scene.volumes.len();
    let archives = oracle::safety_archives(&case.scene, world).len();
    let is_over = !kept_by.contains(&case.restore);
    let fits = match (is_over, case.deed) {
        (false, _) => !must_be_done && is_restored && privates == volumes && archives == 0 && kept_by.len() == 1,
        (true, Deed::Archive) => is_restored && privates == 0 && archives == 1 && kept_by.is_empty(),
        (true, Deed::Discard) => is_restored && privates == 0 && archives == 0 && kept_by.is_empty(),
        (true, Deed::PutBack { .. }) if struck && privates > 0 => {
            is_original && privates == volumes && archives <= 1 && kept_by.len() == 1
        }
        (true, Deed::PutBack { safety: true }) => is_original && privates == 0 && archives == 1 && kept_by.is_empty(),
        (true, Deed::PutBack { safety: false }) => {
            is_original && privates == volumes && archives == 0 && kept_by.len() == 1
        }
    };
    if !fits {
        wrongs.push(format!(
            "neither as before nor done: over {is_over}, must be {must_be_done}, restored live {is_restored}, original live \
             {is_original}, {privates} private directories, {archives} archives, kept by {kept_by:?}"
        ));
    }
    for found in case.scene.world.containers() {
        let is_back = |now: &Container| now.run == found.run && now.restart_policy == found.restart_policy;
        if !world.container(&found.name).is_some_and(is_back) {
            wrongs.push(format!("{} is not as it was", found.name));
        }
    }
    wrongs
}
