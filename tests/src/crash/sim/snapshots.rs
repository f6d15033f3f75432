//! Snapshots of an app that runs, on simulated machines: while it is copied the app works, at every instant once, and the
//! process is crashed at each of its changes, in every way, as the recoveries after it are.
//!
//! The state of the freeze is not what anybody says, but what the volumes hold in that run when the last container has
//! become quiet. Every archive that has a name must have exactly that.

mod faults;
mod judge;

use std::collections::HashSet;

use volsnap_core::{
    engine::{SnapshotRequest, Snapshotted},
    error::Error,
    model::Mode,
};
use volsnap_sim::{Boot, Chooser, CrashPoint, Cuts, Event, Fault, Machine, Mutant, Run, World, fingerprint};

pub use faults::{faults, replacements};

use self::judge::{Freeze, check_crashed, check_next, check_recovered, check_taken, check_taken_and_cut};
use super::{Crash, Figures, Happening, VIOLATIONS_MAX, judge::killed};
use crate::{
    oracle::{Past, Wrongs},
    process::{Ended, Left, engine, recover},
    worlds::{AppSpec, Kind, Live, Scene, SceneSpec, VolumeDisk, VolumeSpec},
};

/// A snapshot that is about to be taken.
#[derive(Clone, Debug)]
pub struct Case {
    /// The world.
    pub scene: Scene,
    /// What the app does meanwhile.
    pub mode: Mode,
}

/// The snapshots that are explored to their end.
#[must_use]
pub fn cases() -> Vec<Case> {
    use volsnap_core::model::RunState::{Paused, Running, Stopped};
    let app = |policy, run| AppSpec { run, ..AppSpec::running(policy) };
    let volume = |disk, live| VolumeSpec { disk, live, absent: false };
    let disk = |ordered| VolumeDisk { exchange: true, ordered };
    let one = SceneSpec::plain("an app").with_app();
    let two = SceneSpec {
        disks: vec![disk(true), disk(false)],
        volumes: vec![volume(0, Live::Full), volume(1, Live::Full)],
        apps: vec![app("unless-stopped", Running)],
        ..SceneSpec::plain("an app, two volumes on two disks")
    };
    let many = SceneSpec {
        volumes: vec![volume(0, Live::Full), volume(0, Live::Missing)],
        apps: vec![app("always", Running), app("no", Running), app("always", Stopped), app("no", Paused)],
        ..SceneSpec::plain("two running, a stopped and a frozen container")
    };
    let case = |spec: &SceneSpec, mode| Case::of(spec, mode);
    vec![
        case(&one, Mode::Pause),
        case(&one, Mode::Stop),
        case(&two, Mode::Pause),
        case(&many, Mode::Pause),
        case(&many, Mode::Stop),
        case(&SceneSpec { disks: vec![disk(false)], ..SceneSpec::plain("no app") }, Mode::Pause),
        case(&SceneSpec::plain("one waits for the other's health").with_app().and("no", Kind::Waits), Mode::Stop),
        case(&SceneSpec::plain("one in the other's network").with_app().and("always", Kind::SharesNetwork), Mode::Stop),
        case(&SceneSpec::plain("one removes itself").with_app().and("no", Kind::RemovesItself), Mode::Pause),
    ]
}

impl Case {
    fn of(spec: &SceneSpec, mode: Mode) -> Self {
        let mut scene = spec.build();
        for volume in scene.volumes.iter().filter(|volume| volume.original.is_some()) {
            scene.world.put_file(&volume.live.join("going"), b"to be removed");
        }
        scene.world.happen(&Event::Writeback);
        for volume in &mut scene.volumes {
            volume.original = scene.world.tree(&volume.live);
        }
        Case { scene, mode }
    }

    /// In words.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}, {:?}", self.scene.spec.name, self.mode)
    }

    /// Lets the apps work before that operation. What they write reaches the disk at once: which of an app's own writes a
    /// power cut takes is not what is explored here, and would be most of it.
    fn strike_work(&self, world: &mut World, op: u64) {
        for event in [Event::Work].into_iter().chain(self.writebacks()) {
            world.strike(op, Fault::Event(event));
        }
    }

    fn let_apps_work(&self, world: &mut World) {
        [Event::Work].into_iter().chain(self.writebacks()).for_each(|event| world.happen(&event));
    }

    /// Of the disks of volumes; the first one is the root's.
    fn writebacks(&self) -> impl Iterator<Item = Event> {
        (1..=self.scene.spec.disks.len()).map(Event::WritebackOf)
    }

    fn request(&self) -> SnapshotRequest {
        SnapshotRequest { workload: self.scene.workload.clone(), mode: self.mode, note: None }
    }
}

/// How the taking of a snapshot ended.
#[derive(Debug)]
enum Taken {
    Done(Box<Snapshotted>),
    Failed(Error),
    /// The process died, or its future was dropped.
    Gone,
}

/// What a process left that took a snapshot.
struct Attempt {
    world: World,
    taken: Taken,
    points: Vec<CrashPoint>,
    freeze: Option<Freeze>,
}

/// Takes the snapshot in a world, with the crash points on the way.
fn take(case: &Case, mut world: World) -> Attempt {
    world.record_crash_points();
    let start = world.clone();
    let machine = Machine::start(world);
    let taken = {
        let engine = engine(&machine, &case.scene);
        let (request, watch) = (case.request(), crate::process::quiet());
        match machine.run(engine.create(&request, &watch)) {
            Run::Done(Ok(snapshot)) => Taken::Done(Box::new(snapshot)),
            Run::Done(Err(error)) => Taken::Failed(error),
            Run::Died | Run::Dropped => Taken::Gone,
        }
    };
    let points = machine.world().take_crash_points();
    let world = machine.snapshot();
    let freeze = Freeze::seen(case, &start, &points, &world);
    Attempt { world, taken, points, freeze }
}

/// How many of the app's instants are tried in pairs is the square of this at the most.
const PAIRS_MAX: u64 = 60;

/// Every crash of a snapshot and, up to `depth` processes deep, of its recoveries: once with an app that is idle, and once
/// for each operation with an app that works just before it.
#[must_use]
pub fn snapshots(case: &Case, mutant: Option<&Mutant>, depth: usize) -> Figures {
    let mut explorer = Explorer {
        case,
        mutant,
        depth,
        figures: Figures::default(),
        cuts: Cuts::default(),
        seen: HashSet::new(),
        ended: HashSet::new(),
    };
    let operations = explorer.attempt(&[]);
    for at in 0..operations {
        if explorer.is_full() {
            break;
        }
        explorer.attempt(&[at]);
    }
    // What a first pass saw of one volume before the app worked, and of another one after it.
    for first in 0..operations.min(PAIRS_MAX) {
        for second in first + 1..operations.min(PAIRS_MAX) {
            if explorer.is_full() {
                break;
            }
            explorer.undisturbed(&[first, second]);
        }
    }
    explorer.figures
}

struct Explorer<'a> {
    case: &'a Case,
    mutant: Option<&'a Mutant>,
    depth: usize,
    figures: Figures,
    cuts: Cuts,
    /// Crashed worlds, with what they may expect.
    seen: HashSet<u64>,
    /// Worlds of processes that came to a good end.
    ended: HashSet<u64>,
}

/// A crashed world, with what an archive in it must have.
struct Node {
    world: World,
    freeze: Option<Freeze>,
    past: Past,
    path: Vec<Crash>,
}

impl Explorer<'_> {
    fn is_full(&self) -> bool {
        self.figures.violations.len() >= VIOLATIONS_MAX
    }

    /// Takes the snapshot without a crash, and looks at what it left. Gives the attempt and how many operations it had.
    fn undisturbed(&mut self, works: &[u64]) -> (Attempt, Vec<Crash>) {
        let mut world = self.case.scene.world.clone();
        world.set_mutant(self.mutant.cloned());
        works.iter().for_each(|op| self.case.strike_work(&mut world, *op));
        self.figures.runs += 1;
        let attempt = take(self.case, world);
        let path: Vec<Crash> = works.iter().map(|op| Crash::ByItself { op: *op, what: Happening::AppsWork }).collect();
        let wrongs = check_taken(self.case, &attempt);
        self.figures.complain(&path, wrongs);
        (attempt, path)
    }

    /// The same, with every crash of it, and every power cut after its end. Gives how many operations it had.
    fn attempt(&mut self, works: &[u64]) -> u64 {
        let (attempt, path) = self.undisturbed(works);
        let operations = attempt.world.ops();
        let mut wrongs = Wrongs::new();
        let (case, mut cuts) = (self.case, std::mem::take(&mut self.cuts));
        cuts.every(&attempt.world, &mut |cut| wrongs.extend(check_taken_and_cut(case, &attempt, cut.world())));
        self.cuts = cuts;
        self.figures.complain(&path, wrongs);
        let Attempt { points, freeze, .. } = attempt;
        self.crash_everywhere(&points, freeze.as_ref(), Past::default(), &path);
        operations
    }

    /// Crashes a process at each of its changes.
    fn crash_everywhere(&mut self, points: &[CrashPoint], freeze: Option<&Freeze>, past: Past, path: &[Crash]) {
        let is_recovery = path.iter().any(Crash::ends);
        for CrashPoint { op, world: point, .. } in points {
            let mut found = Vec::new();
            self.figures.crash_points += 1;
            let freeze = freeze.filter(|freeze| is_recovery || freeze.is_by(*op));
            self.crashed(killed(point), freeze, past, path, Crash::Kill { op: *op }, &mut found);
            let mut cuts = std::mem::take(&mut self.cuts);
            cuts.every(point, &mut |cut| {
                let mut world = cut.world();
                let past = Past { cut: true, unpinned: past.unpinned || self.is_left_to_engine(&world), ..past };
                world.boot_up(&Boot::default());
                self.case.let_apps_work(&mut world);
                self.crashed(world, freeze, past, path, Crash::Cut { op: *op, script: cut.script() }, &mut found);
            });
            self.cuts = cuts;
            for node in found {
                if self.is_full() {
                    return;
                }
                self.recover(node);
            }
        }
    }

    /// Whether nothing but its engine's own rules brings the app back: what was frozen does not stay so over a boot, and
    /// what runs before and after a snapshot is nobody's business.
    fn is_left_to_engine(&self, lost: &World) -> bool {
        lost.journal_names().is_empty() || self.case.mode == Mode::Pause
    }

    fn crashed(
        &mut self,
        world: World,
        freeze: Option<&Freeze>,
        past: Past,
        path: &[Crash],
        crash: Crash,
        found: &mut Vec<Node>,
    ) {
        let crashes = path.iter().filter(|crash| crash.ends()).count();
        self.figures.crashes += 1;
        self.figures.in_recoveries += u64::from(crashes > 0);
        self.figures.deepest = self.figures.deepest.max(crashes);
        let key = fingerprint(&(world.key(), past, freeze));
        self.figures.meet(key);
        if !self.seen.insert(key) {
            return;
        }
        self.figures.states += 1;
        let mut path = path.to_vec();
        path.push(crash);
        self.figures.complain(&path, check_crashed(self.case, &world, freeze));
        found.push(Node { world, freeze: freeze.cloned(), past, path });
    }

    /// Runs the recovery that a new process begins with, looks at what it left, and crashes it in its turn; then the next
    /// snapshot is taken.
    fn recover(&mut self, node: Node) {
        let Node { world: crashed, freeze, past, path } = node;
        let mut world = crashed.clone();
        world.record_crash_points();
        self.figures.runs += 1;
        let Left { world, ended, points } = recover(&self.case.scene, world);
        *self.figures.outcomes.entry(judge::outcome(&ended, &crashed, &world)).or_default() += 1;
        let key = fingerprint(&(world.key(), past, freeze.as_ref(), crashed.journal_names().is_empty()));
        if matches!(ended, Ended::Nothing) && !self.ended.insert(key) {
            return;
        }
        let mut wrongs = check_recovered(self.case, &crashed, &world, &ended, freeze.as_ref(), past);
        if wrongs.is_empty() {
            let mut next = world;
            next.restart_process();
            self.figures.runs += 1;
            wrongs = check_next(self.case, &take(self.case, next), freeze.as_ref());
        }
        self.figures.complain(&path, wrongs);
        if path.iter().filter(|crash| crash.ends()).count() < self.depth {
            self.crash_everywhere(&points, freeze.as_ref(), past, &path);
        }
    }
}

/// The story of a violation, in words.
#[must_use]
pub fn story(case: &Case, mutant: Option<&Mutant>, path: &[Crash]) -> Vec<String> {
    let mut world = case.scene.world.clone();
    world.set_mutant(mutant.cloned());
    world.remember(true);
    let mut taking = true;
    for crash in path {
        let op = match crash {
            Crash::ByItself { op, what } => {
                match what {
                    Happening::AppsWork => case.strike_work(&mut world, *op),
                    Happening::AppsWrite
                    | Happening::Writeback
                    | Happening::WritebackOf(_)
                    | Happening::ClockJumps(_) => {
                        world.strike(*op, Fault::Event(what.event()));
                    }
                }
                continue;
            }
            Crash::Kill { op } | Crash::Cut { op, .. } | Crash::SlowBoot { op, .. } => *op,
        };
        world.strike(op, Fault::Kill);
        let before =
            if std::mem::take(&mut taking) { take(case, world).world } else { recover(&case.scene, world).world };
        world = match crash {
            Crash::Cut { script, .. } | Crash::SlowBoot { script, .. } => {
                let mut lost = before;
                lost.reboot(&mut Chooser::scripted(script.clone()), &Boot::default());
                case.let_apps_work(&mut lost);
                lost
            }
            Crash::Kill { .. } | Crash::ByItself { .. } => killed(&before),
        };
    }
    if taking { take(case, world).world.story().to_vec() } else { recover(&case.scene, world).world.story().to_vec() }
}
