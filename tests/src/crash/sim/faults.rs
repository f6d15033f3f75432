//! Faults that are no crashes: every error of every call, bits that turn, futures that are dropped, people who meddle.
//!
//! A trial strikes one process, a restore or a recovery, and follows what is left to its end: by a new process, and by a
//! new process after a power cut. Then the oracle looks.

mod disturbances;
mod drops;
mod errors;
mod flips;
mod pairs;
mod refusals;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Instant,
};

use volsnap_core::restore::Outcome;
use volsnap_sim::{Boot, Chooser, Fault, Moment, World, disk::Disk};

pub use disturbances::disturbances;
pub use drops::{drops, together};
pub use errors::{ERRNOS, Numbers, errors, failure_of, recovery_errors};
pub(in crate::crash::sim) use errors::{errors_at, harmless_at, is_repeated, rarer_at};
pub use flips::{Bits, flips};
pub use pairs::pairs;
pub use refusals::{refusals, refusals_by};

use crate::{
    crash::Budget,
    oracle::{self, Past, Wrongs},
    process::{Ended, Left, recover, restore},
    worlds::{self, Scene, SceneSpec},
};

/// What trials did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many strikes there were of each sort.
    pub strikes: BTreeMap<&'static str, u64>,
    /// Engine runs.
    pub runs: u64,
    /// What is wrong; not more than a few.
    pub findings: Vec<Finding>,
}

/// Something wrong, with the way to it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The scene's name.
    pub scene: String,
    /// What struck, in words.
    pub strikes: String,
    /// What is wrong.
    pub wrongs: Wrongs,
    /// Every operation of the process that was struck and of the last one, in words.
    pub story: Vec<String>,
}

/// No more than so many findings are collected.
const FINDINGS_MAX: usize = 3;

impl Tally {
    /// All strikes.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.strikes.values().sum()
    }

    /// Whether enough is known to be wrong.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.findings.len() >= FINDINGS_MAX
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Tally) {
        for (what, count) in other.strikes {
            *self.strikes.entry(what).or_default() += count;
        }
        self.runs += other.runs;
        self.findings.extend(other.findings);
    }

    fn count(&mut self, what: &'static str) {
        *self.strikes.entry(what).or_default() += 1;
    }

    pub(in crate::crash::sim) fn complain(
        &mut self,
        scene: &Scene,
        strikes: String,
        wrongs: Wrongs,
        story: impl FnOnce() -> Vec<String>,
    ) {
        if !wrongs.is_empty() && !self.is_full() {
            self.findings.push(Finding { scene: scene.spec.name.clone(), strikes, wrongs, story: story() });
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults (", self.struck())?;
        for (index, (what, count)) in self.strikes.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{what} {count}")?;
        }
        write!(f, "), {} engine runs, {} violations", self.runs, self.findings.len())
    }
}

/// The worlds that are struck with every error number, by index: plain, beside its journal, two renames, an app. The
/// others are struck with one number of each kind.
const NUMBERED: [usize; 4] = [0, 1, 2, 7];
/// The worlds in which recoveries are struck, by index: two renames, an app, a sick one, several disks.
const RECOVERED: [usize; 4] = [2, 7, 11, 14];
/// The worlds in which futures are dropped at every await point: plain, two renames, an app.
const DROPPED: [usize; 3] = [0, 2, 7];
/// Pairs of faults in each world, if no time is given.
const PAIRS: u64 = 150;

/// Every fault in every small world; with a time, random pairs of faults until it is over.
#[must_use]
pub fn faults(budget: Budget) -> Tally {
    let began = Instant::now();
    let mut tally = Tally::default();
    let scenes: Vec<Scene> = worlds::small().iter().map(SceneSpec::build).collect();
    for (index, scene) in scenes.iter().enumerate() {
        tally.add(errors(scene, if NUMBERED.contains(&index) { Numbers::All } else { Numbers::OneOfEachKind }));
        tally.add(disturbances(scene));
        tally.add(pairs(scene, budget.seed, PAIRS));
        if RECOVERED.contains(&index) {
            tally.add(recovery_errors(scene));
        }
        if DROPPED.contains(&index) {
            tally.add(drops(scene));
            tally.add(together(scene));
        }
    }
    tally.add(refusals());
    tally.add(flips(&scenes[0], Bits::All));
    tally.add(flips(&scenes[7], Bits::OneOfEachByte));
    let mut seed = budget.seed;
    while budget.time.is_some_and(|time| began.elapsed() < time) && !tally.is_full() {
        seed = seed.wrapping_add(1);
        for scene in &scenes {
            tally.add(pairs(scene, seed, PAIRS));
        }
    }
    tally
}

/// Which process is struck.
#[derive(Clone, Copy, Debug)]
enum Process {
    Restore,
    Recover,
}

/// One process that is struck again and again, each time from the same world.
struct Trial<'a> {
    scene: &'a Scene,
    start: World,
    process: Process,
    past: Past,
    /// Worlds whose recovery has been seen.
    seen: BTreeSet<u64>,
    tally: Tally,
}

impl<'a> Trial<'a> {
    fn of_restore(scene: &'a Scene) -> Self {
        let past = Past { faults: true, ..Past::default() };
        let start = scene.world.clone();
        Trial { scene, start, process: Process::Restore, past, seen: BTreeSet::new(), tally: Tally::default() }
    }

    fn of_recovery(scene: &'a Scene, start: World) -> Self {
        Trial { start, process: Process::Recover, ..Trial::of_restore(scene) }
    }

    fn run(&self, world: World) -> Left {
        match self.process {
            Process::Restore => restore(self.scene, world),
            Process::Recover => recover(self.scene, world),
        }
    }

    /// What the process does if nothing strikes, with each operation in words.
    fn undisturbed(&mut self) -> (Vec<Moment>, Left) {
        let mut world = self.start.clone();
        world.remember(true);
        self.tally.runs += 1;
        let left = self.run(world);
        (left.world.history().to_vec(), left)
    }

    fn struck(&mut self, strikes: &[(u64, Fault)]) -> Left {
        let mut world = self.start.clone();
        for (op, fault) in strikes {
            world.strike(*op, fault.clone());
        }
        self.tally.runs += 1;
        self.run(world)
    }

    /// Strikes, follows what is left to its end, and looks.
    fn strike(&mut self, what: &'static str, strikes: &[(u64, Fault)]) {
        self.tally.count(what);
        let left = self.struck(strikes);
        let wrongs = self.follow(&left, self.past);
        self.complain(strikes, wrongs);
    }

    /// Strikes with something that must not make a difference to how it ends.
    fn strike_in_vain(&mut self, what: &'static str, strikes: &[(u64, Fault)], expected: &Ended) {
        self.tally.count(what);
        let left = self.struck(strikes);
        let mut wrongs = oracle::check_ended(self.scene, &left.world, &left.ended, Past::default());
        if outcome(&left.ended) != outcome(expected) {
            wrongs.push(format!("it made a difference: {:?}", left.ended));
        }
        self.complain(strikes, wrongs);
    }

    fn complain(&mut self, strikes: &[(u64, Fault)], wrongs: Wrongs) {
        if wrongs.is_empty() {
            return;
        }
        let story = || {
            let mut world = self.start.clone();
            world.remember(true);
            strikes.iter().for_each(|(op, fault)| world.strike(*op, fault.clone()));
            let left = self.run(world);
            let mut story = left.world.story().to_vec();
            story.push(format!("ended: {:?}", left.ended));
            let mut next = left.world;
            next.restart_process();
            if next.engine_is_down() {
                next.start_engine();
            }
            let last = recover(self.scene, next);
            story.extend(last.world.story().iter().skip(story.len() - 1).cloned());
            story.push(format!("ended: {:?}", last.ended));
            story
        };
        let story = if self.tally.is_full() { Vec::new() } else { story() };
        self.tally.complain(self.scene, format!("{:?}: {strikes:?}", self.process), wrongs, || story);
    }

    /// What a strike left is an end, or a new process makes it one, before or after a reboot.
    fn follow(&mut self, first: &Left, past: Past) -> Wrongs {
        if is_end(first) {
            let mut wrongs = oracle::check_ended(self.scene, &first.world, &first.ended, past);
            if wrongs.is_empty() {
                wrongs.extend(self.cut_after(first, past));
            }
            return wrongs;
        }
        let mut wrongs = oracle::check_crashed(self.scene, &first.world, &first.world);
        wrongs.extend(first.world.violations().to_vec());
        if !self.seen.insert(first.world.key()) {
            return wrongs;
        }
        for (world, past) in nexts(self.scene, &first.world, past) {
            let crashed = world.clone();
            let second = recover(self.scene, world);
            self.tally.runs += 1;
            if let Ended::Failed(error) = &second.ended {
                wrongs.push(format!("recovery failed: {error}"));
            }
            wrongs.extend(oracle::check_ended(self.scene, &second.world, &second.ended, past));
            wrongs.extend(oracle::check_direction(self.scene, &crashed, &second.ended, past));
        }
        wrongs
    }

    /// A power cut after the end takes nothing back, whether it takes all that was not synced or as little as it may.
    fn cut_after(&self, left: &Left, past: Past) -> Wrongs {
        let mut wrongs = Wrongs::new();
        for script in [vec![0; 16], vec![1; 16]] {
            let mut after = left.world.clone();
            after.reboot(&mut Chooser::scripted(script), &Boot::default());
            wrongs.extend(oracle::check_after_end(self.scene, &after, &left.ended, past));
        }
        wrongs
    }
}

/// Whether nothing is left to do.
fn is_end(left: &Left) -> bool {
    match &left.ended {
        // What is left for an app that did not come back is done by the next process.
        Ended::Reported(report) => {
            report.outcome != Outcome::NeedsAttention
                && (report.app_problem.is_none() || left.world.journal_names().is_empty())
        }
        Ended::Failed(_) => left.world.journal_names().is_empty(),
        Ended::Nothing => true,
        Ended::Gone => false,
    }
}

/// How the next process may find what one left: as it is, or after a power cut that takes all or little. After a sync
/// that lost names only the latter: that it takes a remount to see what is there is what the report says.
fn nexts(scene: &Scene, world: &World, past: Past) -> Vec<(World, Past)> {
    let mut worlds = Vec::new();
    let mut killed = world.clone();
    killed.restart_process();
    let mut restarted = past;
    if killed.engine_is_down() {
        killed.start_engine();
        restarted = Past { cut: true, unpinned: true, ..past };
    }
    if !world.disks().any(Disk::deceives) {
        worlds.push((killed, restarted));
    }
    for script in [vec![0; 16], vec![1; 16]] {
        let mut cut = world.clone();
        cut.cut_power(&mut Chooser::scripted(script));
        let unpinned = past.unpinned || world.engine_is_down() || oracle::leaves_app_alone(scene, &cut);
        cut.boot_up(&Boot::default());
        worlds.push((cut, Past { cut: true, unpinned, ..past }));
    }
    worlds
}

fn outcome(ended: &Ended) -> String {
    match ended {
        Ended::Reported(report) => format!("{:?}", report.outcome),
        Ended::Nothing => "nothing".into(),
        Ended::Failed(error) => format!("failed: {}", error.code),
        Ended::Gone => "gone".into(),
    }
}
