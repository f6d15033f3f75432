//! Restores on a real Docker Engine: the engine killed and restarted in each phase, the connection cut in each call, and
//! a person at work in the middle, while a member of each restart policy writes all the time.

mod case;
mod hands;
mod ledger;
mod mutants;
mod oracle;
mod proxy;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

pub use self::{
    case::{Case, Done, Event, Place},
    hands::{HANDS, Hand},
    ledger::{PHASES, Phase},
    mutants::mutants,
    oracle::End,
    proxy::{Call, Fate},
    world::World,
};
use super::Budget;

/// The ways to cut a call.
const CUTS: [Fate; 4] = [Fate::CutBefore, Fate::CutAfter, Fate::CutWithin, Fate::CutLate];
/// How many more calls of a restore are cut in a run of fixed length, before, after and late, for each way to bring the app
/// back.
const CUTS_SOME: usize = 4;
/// How many calls of recoveries are cut in a run of fixed length.
const RECOVERY_CUTS_SOME: usize = 6;
/// A recovery makes about so many calls before it has nothing to do.
const RECOVERY_CALLS: usize = 60;
/// Engines at a time: most of the time is waiting.
const ENGINES: usize = 2;

/// What a tier's run did.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Cases by kind.
    pub cases: BTreeMap<&'static str, usize>,
    /// How they ended.
    pub ends: BTreeMap<End, usize>,
    /// Cases whose place was not reached, so that nothing happened.
    pub missed: Vec<Case>,
    /// Ends and starts of an engine in the middle.
    pub engine_restarts: usize,
    /// Calls that were cut.
    pub cuts: usize,
    /// Calls of volsnap that the proxies saw.
    pub calls: usize,
    /// Different containers that stood at the end of a case.
    pub containers: BTreeSet<String>,
    /// Violations, each with its case.
    pub violations: Vec<(Case, Vec<String>)>,
    /// Wall time.
    pub time: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.cases.values().sum();
        let kinds: Vec<String> = self.cases.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let ended = |end| self.ends.get(&end).copied().unwrap_or_default();
        write!(
            f,
            "{total} cases ({}), {} engine restarts, {} cut calls of {}, {} containers, {} restored, {} original, \
             {} violations, {} s",
            kinds.join(", "),
            self.engine_restarts,
            self.cuts,
            self.calls,
            self.containers.len(),
            ended(End::Restored),
            ended(End::Original),
            self.violations.len(),
            self.time.as_secs(),
        )
    }
}

impl Figures {
    fn add(&mut self, case: Case, done: Done) {
        *self.cases.entry(case.event.kind()).or_default() += 1;
        self.engine_restarts += usize::from(done.reached && case.event.ends_engine());
        self.calls += done.calls.len();
        self.containers.extend(done.containers);
        if !done.reached {
            self.missed.push(case);
        }
        match done.end {
            Ok(end) => *self.ends.entry(end).or_default() += 1,
            Err(wrongs) => {
                println!("VIOLATION {case}: {wrongs:#?}");
                self.violations.push((case, wrongs));
            }
        }
    }
}

/// Runs the tier on private engines; `None` where there are none.
///
/// # Panics
/// If a world cannot be made ready.
#[must_use]
pub fn tier(budget: &Budget) -> Option<Figures> {
    let began = Instant::now();
    let figures = Mutex::new(Figures::default());
    let mut first = World::start("tier_docker")?;
    // What restores do when nothing happens: which calls there are to cut.
    let mut calls = [Vec::new(), Vec::new()];
    for (restart, calls) in [false, true].into_iter().zip(&mut calls) {
        let case = Case { event: Event::Nothing, place: Place::Call(0), restart };
        let done = case.run(&mut first, "calm");
        calls.clone_from(&done.calls);
        lock(&figures).add(case, done);
    }
    let cases = match budget.time {
        None => some(budget.seed, &calls),
        Some(_) => shuffled(budget.seed, all(calls.each_ref().map(Vec::len))),
    };
    let queue = Mutex::new(VecDeque::from(cases));
    let over = || budget.time.is_some_and(|time| began.elapsed() > time);
    let work = |mut world: World| {
        while !over() {
            let Some(case) = lock(&queue).pop_front() else { break };
            let began = Instant::now();
            let done = case.run(&mut world, "today");
            println!("{:5.1} s  {case}: {:?}", began.elapsed().as_secs_f64(), done.end);
            lock(&figures).add(case, done);
        }
        lock(&figures).cuts += world.proxy.cut();
    };
    thread::scope(|scope| {
        for _ in 1..ENGINES {
            scope.spawn(|| World::start("tier_docker").map(work));
        }
        work(first);
    });
    let mut figures = figures.into_inner().expect("no panic");
    figures.time = began.elapsed();
    Some(figures)
}

/// Each thing in each phase once, each kind of call in each phase cut in its middle, and some of the calls cut otherwise:
/// enough to see a break, chosen by the seed.
fn some(seed: u64, calls: &[Vec<Call>; 2]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, phase) in PHASES.into_iter().enumerate() {
        let place = Place::Phase(phase);
        let pick = |salt: &str, count: usize| usize::try_from(hash(seed, (phase, salt)) % count as u64).unwrap_or(0);
        let restart = pick("redeploy", 2) == 0 && phase != Phase::Prepared;
        let engine = [Event::DaemonKilled, Event::EngineRestarted][(index + pick("engine", 2)) % 2];
        cases.push(Case { event: Event::Reboot, place, restart });
        cases.push(Case { event: engine, place, restart: false });
        cases.push(Case { event: Event::ByHand(HANDS[(index + seed as usize) % HANDS.len()]), place, restart: false });
    }
    let mut met = BTreeSet::new();
    for (restart, calls) in [false, true].into_iter().zip(calls) {
        for call in calls.iter().filter(|call| met.insert((call.phase, &call.method, &call.path))) {
            let (event, place) = (Event::Cut(Fate::CutWithin), Place::Call(call.number));
            cases.push(Case { event, place, restart });
        }
        let calls = calls.len();
        for part in 0..CUTS_SOME {
            // One of each part of the restore, so that none is left out.
            let (from, to) = (1 + part * calls / CUTS_SOME, (part + 1) * calls / CUTS_SOME);
            let within = to.saturating_sub(from) as u64 + 1;
            let number = from + usize::try_from(hash(seed, (part, restart)) % within).unwrap_or(0);
            let event = Event::Cut(CUTS[part % CUTS.len()]);
            cases.push(Case { event, place: Place::Call(number), restart });
        }
    }
    let cuts =
        all(calls.each_ref().map(Vec::len)).into_iter().filter(|case| matches!(case.event, Event::RecoveryCut(..)));
    cases.extend(shuffled(seed, cuts.collect()).into_iter().take(RECOVERY_CUTS_SOME));
    shuffled(seed, cases)
}

/// Everything that can happen, everywhere.
fn all(calls: [usize; 2]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (restart, calls) in [false, true].into_iter().zip(calls) {
        // An app that is only started again has no replacements.
        for phase in PHASES.into_iter().filter(|phase| !restart || *phase != Phase::Prepared) {
            let mut push = |event| cases.push(Case { event, place: Place::Phase(phase), restart });
            [Event::Reboot, Event::DaemonKilled, Event::EngineRestarted].into_iter().for_each(&mut push);
            HANDS.into_iter().map(Event::ByHand).for_each(&mut push);
            for number in 1..=RECOVERY_CALLS {
                CUTS.into_iter().map(|cut| Event::RecoveryCut(cut, number)).for_each(&mut push);
            }
        }
        for number in 1..=calls {
            let place = Place::Call(number);
            cases.extend(CUTS.into_iter().map(|cut| Case { event: Event::Cut(cut), place, restart }));
        }
    }
    cases
}

fn shuffled(seed: u64, mut cases: Vec<Case>) -> Vec<Case> {
    cases.sort_by_cached_key(|case| hash(seed, case));
    cases
}

fn hash(seed: u64, what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, what).hash(&mut hasher);
    hasher.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}
