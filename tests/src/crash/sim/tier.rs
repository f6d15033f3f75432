//! The tier: small worlds to their end, then worlds from the seed, until there are states enough or the time is over.

use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use volsnap_sim::{Chooser, Mutant, fingerprint};

use super::{Explorer, Figures, Slow, any_spec, seeded};
use crate::{
    crash::Budget,
    worlds::{self, Scene, SceneSpec},
};

/// How much is enough.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Small worlds from the smallest on, each with how many processes are crashed one after another.
    pub small: usize,
    /// Worlds drawn from the seed, at least.
    pub seeded: usize,
    /// States in all, at least; half of them inside recoveries.
    pub states: u64,
}

impl Amount {
    /// What every change has to pass.
    pub const CI: Amount = Amount { small: usize::MAX, seeded: 100, states: 10_000_000 };
}

/// So many processes of a small world are crashed one after another: a restore, its recovery, the recovery's recovery.
fn depth_of(nth: usize) -> usize {
    match nth {
        0 => 4,
        // Two volumes, or entries, and an app: one level more is many millions of states.
        14 | 16 | 17 | 21.. => 2,
        _ => 3,
    }
}

/// One world of the tier.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// A small world, by index, to its end.
    Small(usize),
    /// A world drawn from a seed.
    Seeded { nth: usize, seed: u64 },
}

/// A world that was explored.
struct Done {
    spec: SceneSpec,
    figures: Figures,
    /// The time that it took of one core.
    spent: Duration,
}

/// What the tier did.
pub struct Tier {
    /// In figures.
    pub figures: Figures,
    /// The time of one core that they took.
    pub spent: Duration,
    /// The world in which something is wrong first.
    pub failed: Option<SceneSpec>,
}

/// Runs the tier, on all cores. Stops at the first world in which something is wrong. What counts is counted in the order
/// of the worlds, whichever is done first: the same seed makes the same run.
///
/// # Panics
/// If a world makes the engine panic.
#[must_use]
pub fn run(budget: Budget, amount: Amount) -> Tier {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let (done, explored) = mpsc::channel();
    let work = |done: mpsc::Sender<(usize, Done)>| {
        while !over.load(Ordering::Relaxed) {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if done.send((nth, explore(job(nth, budget, amount)))).is_err() {
                break;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let done = done.clone();
            scope.spawn(|| work(done));
        }
        drop(done);
        let mut tier = Tier { figures: Figures::default(), spent: Duration::ZERO, failed: None };
        let mut early = BTreeMap::new();
        let mut in_order = (0_usize..).map_while(|nth| {
            while !early.contains_key(&nth) {
                let (other, done) = explored.recv().ok()?;
                early.insert(other, done);
            }
            early.remove(&nth)
        });
        for nth in 0.. {
            let is_over = budget.time.is_some_and(|time| began.elapsed() >= time);
            let Figures { crashes, in_recoveries, .. } = tier.figures;
            let is_enough = crashes >= amount.states && 2 * in_recoveries >= crashes;
            let small = amount.small.min(worlds::small().len());
            if is_over || budget.time.is_none() && is_enough && nth >= small + amount.seeded {
                break;
            }
            let Done { spec, figures, spent } = in_order.next().expect("a thread explores it");
            if nth < small {
                println!("{}: {figures}", spec.name);
            }
            tier.figures.add(figures);
            tier.spent += spent;
            if !tier.figures.violations.is_empty() {
                tier.failed = Some(spec);
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        tier
    })
}

fn job(nth: usize, budget: Budget, amount: Amount) -> Job {
    match nth.checked_sub(amount.small.min(worlds::small().len())) {
        None => Job::Small(nth),
        Some(nth) => Job::Seeded { nth, seed: fingerprint(&(budget.seed, nth)) },
    }
}

fn explore(job: Job) -> Done {
    let began = core_time();
    let (spec, figures) = match job {
        Job::Small(nth) => {
            let spec = worlds::small().swap_remove(nth);
            let scene = spec.build();
            let mut figures = Explorer::new(&scene, None).every(depth_of(nth));
            figures.add(slow_boots(&scene, None));
            (spec, figures)
        }
        Job::Seeded { nth, seed } => {
            let spec = any_spec(&mut Chooser::seeded(seed), format!("world {nth} of seed {seed:016x}"));
            let figures = seeded(&spec.build(), None, seed);
            (spec, figures)
        }
    };
    Done { spec, figures, spent: core_time().saturating_sub(began) }
}

/// Crashes a restore everywhere, and boots slowly each time.
#[must_use]
pub fn slow_boots(scene: &Scene, mutant: Option<&Mutant>) -> Figures {
    let mut explorer = Explorer::new(scene, mutant).sampling(1);
    let run = explorer.restore(&[]);
    explorer.boot_slowly_everywhere(&run, &Slow::ALL);
    explorer.into_figures()
}

/// The time that this thread had a core to itself, from some instant on.
fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Tier {
    /// Its line of figures.
    #[must_use]
    pub fn line(&self) -> String {
        let Figures { crashes, states, runs, in_recoveries, deepest, violations, .. } = &self.figures;
        let percent = 100.0 * *in_recoveries as f64 / (*crashes).max(1) as f64;
        format!(
            "{crashes} states ({states} different worlds) in {runs} engine runs, {percent:.0} % inside recoveries, {:.0} states \
             a second on one core, {deepest} recoveries crashed one after another, {} violations",
            *crashes as f64 / self.spent.as_secs_f64().max(1e-9),
            violations.len(),
        )
    }
}
