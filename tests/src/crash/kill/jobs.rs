//! Which faults are tried, on all cores, and what came of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{
    Bench, Chain, FAULTS, Run,
    judge::Side,
    scene::{SHAPES, Shape},
    tracer::{Fault, Use},
};
use crate::crash::Budget;

/// How many violations are kept; a broken engine has thousands.
const VIOLATIONS_MAX: usize = 40;

/// Recoveries that are disturbed, for each world, in the fixed amount.
const RECOVERIES: usize = 200;

/// What the tier did and found.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Chains of faults that were run, each on a world of its own.
    pub runs: usize,
    /// The worlds that this machine could have.
    pub worlds: BTreeSet<&'static str>,
    /// Kinds of system calls at which a fault struck.
    pub calls: BTreeSet<&'static str>,
    /// Processes that were killed.
    pub kills: usize,
    /// Calls that failed.
    pub errors: usize,
    /// Recoveries that were killed.
    pub recoveries_killed: usize,
    /// How many runs ended on which side.
    pub ends: BTreeMap<Side, usize>,
    /// What must not be, with what led to it.
    pub violations: Vec<String>,
    /// How long it took.
    pub time: Duration,
    /// How many processes ran at a time.
    pub workers: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = self.runs as f64 / self.time.as_secs_f64();
        write!(
            f,
            "{} runs in {} worlds, {} kinds of system calls, {} kills, {} errors, {} recoveries killed, {} violations, {per_second:.1} runs/s on {} cores",
            self.runs,
            self.worlds.len(),
            self.calls.len(),
            self.kills,
            self.errors,
            self.recoveries_killed,
            self.violations.len(),
            self.workers,
        )
    }
}

impl Figures {
    fn add(&mut self, shape: Shape, chain: &Chain, run: &Run) {
        self.runs += 1;
        self.worlds.insert(shape.name);
        for (index, (one, fault)) in run.struck.iter().enumerate() {
            self.calls.insert(one.call);
            match fault {
                Fault::Kill => self.kills += 1,
                Fault::Fail(_) | Fault::Lie => self.errors += 1,
            }
            self.recoveries_killed += usize::from(index > 0 && *fault == Fault::Kill);
        }
        if let Some(side) = run.side {
            *self.ends.entry(side).or_default() += 1;
        }
        if !run.wrongs.is_empty() && self.violations.len() < VIOLATIONS_MAX {
            let struck: Vec<_> =
                run.struck.iter().map(|(one, fault)| format!("{fault:?} at {} {}", one.call, one.what)).collect();
            self.violations.push(format!("{}, {chain:?} ({}): {:#?}", shape.name, struck.join(", then "), run.wrongs));
        }
    }
}

/// Runs the tier. `launcher` is the binary `volsnap-stopped`.
pub fn tier(budget: Budget, launcher: &Path) -> Figures {
    let began = Instant::now();
    let jobs: Vec<(Shape, Chain)> = SHAPES
        .iter()
        .flat_map(|shape| chains(*shape, budget.seed, launcher).into_iter().map(|chain| (*shape, chain)))
        .collect();
    let figures = Mutex::new(Figures::default());
    let next = AtomicUsize::new(0);
    let cores = cores();
    thread::scope(|scope| {
        for core in &cores {
            scope.spawn(|| {
                stay_on(*core);
                let mut bench: Option<Bench> = None;
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let job = match jobs.get(index) {
                        Some(job) => job.clone(),
                        None if budget.time.is_some_and(|time| began.elapsed() < time) => at_random(budget.seed, index),
                        None => break,
                    };
                    let (shape, chain) = job;
                    if bench.as_ref().is_none_or(|bench| bench.scene.shape != shape) {
                        drop(bench.take());
                        bench = Bench::build(shape, launcher);
                    }
                    let Some(bench) = &bench else { continue };
                    let run = bench.chain(&chain, index.is_multiple_of(16));
                    figures.lock().expect("no panic").add(shape, &chain, &run);
                }
            });
        }
    });
    let figures = figures.into_inner().expect("no panic");
    Figures { time: began.elapsed(), workers: cores.len(), ..figures }
}

/// The fixed amount in one world: every use of a restore with each fault, and recoveries of restores that were killed.
fn chains(shape: Shape, seed: u64, launcher: &Path) -> Vec<Chain> {
    let Some(bench) = Bench::build(shape, launcher) else { return Vec::new() };
    let (before, traced) = bench.restore(|_, _| None);
    let wrongs = before.restored(&traced, &bench.scene.see());
    assert!(
        wrongs.is_empty() && traced.status == Some(0),
        "{}: undisturbed: {wrongs:#?} {}",
        shape.name,
        traced.stdout
    );
    let mut dice = Dice(seed);
    let tried = thinned(&traced.uses, &mut dice);
    let restores = tried.into_iter().flat_map(|nth| {
        let [kill, io, space] = FAULTS;
        // Beyond the first world, where the calls are the same and the disks others, one of the two errors at each.
        let other = if dice.below(2) == 0 { io } else { space };
        let faults = if shape == SHAPES[0] { vec![kill, io, space] } else { vec![kill, other] };
        faults.into_iter().map(move |fault| vec![(nth, fault)])
    });
    let mut chains: Vec<Chain> = restores.collect();
    // A state differs from the one before where a name changes; between two such points only drafts grow.
    let names =
        |one: &Use| one.call.starts_with("rename") || one.call.starts_with("unlink") || one.call.starts_with("mkdir");
    let points =
        traced.uses.iter().enumerate().filter(|(_, one)| names(one)).flat_map(|(index, _)| [index + 1, index + 2]);
    let points: BTreeSet<usize> = points.collect();
    let mut recoveries = Vec::new();
    for point in points {
        let _ = bench.restore(|nth, _| (nth == point).then_some(Fault::Kill));
        let uses = bench.recover(|_, _| None).uses;
        let second = thinned(&uses, &mut dice).into_iter().flat_map(|nth| FAULTS.map(|fault| (nth, fault)));
        recoveries.extend(second.map(|second| vec![(point, Fault::Kill), second]));
    }
    while recoveries.len() > RECOVERIES {
        recoveries.swap_remove(dice.below(recoveries.len()));
    }
    chains.extend(recoveries);
    chains
}

/// The numbers of uses that are tried: all, but of many alike in a row (the blocks of one file) the first, the last and
/// one of eight between them.
fn thinned(uses: &[Use], dice: &mut Dice) -> Vec<usize> {
    let alike = |a: usize, b: usize| uses.get(a).is_some_and(|one| uses.get(b) == Some(one));
    let between = |index: usize| index > 0 && alike(index - 1, index) && alike(index, index + 1);
    let tried = (0..uses.len()).filter(|index| !between(*index) || dice.below(8) == 0);
    tried.map(|index| index + 1).collect()
}

/// Beyond the fixed amount: a restore and up to three recoveries, disturbed anywhere.
fn at_random(seed: u64, index: usize) -> (Shape, Chain) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9).wrapping_add(index as u64));
    // A world is built once for many runs.
    let shape = SHAPES[index / 200 % SHAPES.len()];
    let length = 1 + dice.below(4);
    let mut chain: Chain = (0..length).map(|_| (1 + dice.below(120), FAULTS[dice.below(FAULTS.len())])).collect();
    chain[0].0 = 1 + dice.below(440);
    (shape, chain)
}

/// Numbers that look random and derive from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap_or(0)
    }
}

/// The cores that this process may use.
fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("an affinity");
    (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
}

/// Keeps this thread and all that it starts on one core: a tracer and what it traces take turns, and to wake each other
/// on another core costs more than all the rest.
fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a core that is allowed");
}
