//! The tier: small worlds to their end, then worlds from the seed, until there are states enough or the time is over.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use volsnap_sim::{Chooser, Mutant, fingerprint};

use super::{Explorer, Figures, Slow, any_spec, seeded};
use crate::{
    crash::Budget,
    worlds::{self, Scene},
};

/// How much is enough.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Small worlds from the smallest on, each with how many processes are crashed one after another.
    pub small: usize,
    /// States in all; at least half of them inside recoveries.
    pub states: u64,
}

impl Amount {
    /// What every change has to pass.
    pub const CI: Amount = Amount { small: usize::MAX, states: 10_000_000 };
}

/// So many processes of a small world are crashed one after another: a restore, its recovery, the recovery's recovery.
fn depth_of(nth: usize) -> usize {
    match nth {
        0 => 4,
        1..=6 => 3,
        _ => 2,
    }
}

/// Runs the tier. Stops early at the first scene in which something is wrong, and hands it over.
#[must_use]
pub fn run(budget: Budget, amount: Amount) -> (Figures, Option<Scene>) {
    let began = Instant::now();
    let is_over = |time: Option<Duration>| time.is_some_and(|time| began.elapsed() >= time);
    let mut figures = Figures::default();
    for (nth, spec) in worlds::small().iter().enumerate().take(amount.small) {
        let scene = spec.build();
        let explored = Explorer::new(&scene, None).every(depth_of(nth));
        println!("{}: {explored}", spec.name);
        figures.add(explored);
        figures.add(slow_boots(&scene, None));
        if !figures.violations.is_empty() {
            return (figures, Some(scene));
        }
        if is_over(budget.time) {
            return (figures, None);
        }
    }
    for nth in 0.. {
        let is_enough = figures.crashes >= amount.states && 2 * figures.in_recoveries >= figures.crashes;
        if is_over(budget.time) || budget.time.is_none() && is_enough {
            break;
        }
        let seed = fingerprint(&(budget.seed, nth));
        let scene = any_spec(&mut Chooser::seeded(seed), format!("world {nth} of seed {}", budget.seed)).build();
        figures.add(seeded(&scene, None, seed));
        if !figures.violations.is_empty() {
            return (figures, Some(scene));
        }
    }
    (figures, None)
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
#[must_use]
pub fn core_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Figures {
    /// The tier's line of figures; `spent` is the time of one core.
    #[must_use]
    pub fn line(&self, spent: Duration) -> String {
        let percent = 100.0 * self.in_recoveries as f64 / self.crashes.max(1) as f64;
        format!(
            "{} states ({} different worlds) in {} engine runs, {percent:.0} % inside recoveries, {:.0} states a second on \
             one core, {} recoveries crashed one after another, {} violations",
            self.crashes,
            self.states,
            self.runs,
            self.crashes as f64 / spent.as_secs_f64().max(1e-9),
            self.deepest,
            self.violations.len(),
        )
    }
}
