//! Every crash of a restore, and every crash of each recovery after it: a stateless model checker over the simulator.
//!
//! One run of the engine yields the world before each of its changes. Each of these worlds is crashed in every way: the
//! process is killed, or the power goes with every legal subset of what was not synced. Worlds in which the next process
//! meets the same are explored once.

mod boots;
mod errors;
mod random;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use volsnap_sim::{Boot, Chooser, Fault, Mutant, World};

pub use boots::slow_boots;
pub use errors::{errors, recovery_errors};
pub use random::at_random;

use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, Left, recover, restore},
    worlds::Scene,
};

/// How a process ended that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process was killed before that operation.
    Kill {
        /// The operation.
        op: u64,
    },
    /// The power went before that operation.
    Cut {
        /// The operation.
        op: u64,
        /// What was lost, by choices.
        script: Vec<usize>,
    },
}

/// A violation, with the crashes that lead to it.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The crashes, one for each process, beginning with the restore's.
    pub path: Vec<Crash>,
    /// The fault that struck the process after the last crash, if one did.
    pub fault: Option<(u64, Fault)>,
    /// What is wrong.
    pub wrongs: Wrongs,
}

/// What an exploration did.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Engine runs.
    pub runs: u64,
    /// Operations at which a process was crashed.
    pub crash_points: u64,
    /// Crashed worlds, counted with all ways of losing.
    pub crashes: u64,
    /// Different crashed worlds.
    pub states: u64,
    /// How recoveries ended.
    pub outcomes: BTreeMap<String, u64>,
    /// What is wrong; not more than a few.
    pub violations: Vec<Violation>,
}

/// No more than so many violations are collected.
const VIOLATIONS_MAX: usize = 3;

struct Node {
    world: World,
    past: Past,
    path: Vec<Crash>,
}

/// Explores every crash of a restore and, up to `depth` processes deep, of its recoveries.
#[must_use]
pub fn crashes(scene: &Scene, mutant: Option<&Mutant>, depth: usize) -> Figures {
    let mut explorer = Explorer { scene, figures: Figures::default(), seen: BTreeSet::new(), queue: VecDeque::new() };
    let mut world = scene.world.clone();
    world.set_mutant(mutant.cloned());
    world.record_crash_points();
    explorer.figures.runs += 1;
    let left = restore(scene, world);
    explorer.judge(&left, &Node { world: scene.world.clone(), past: Past::default(), path: Vec::new() });
    explorer.crash_everywhere(left, Past::default(), &[]);
    while let Some(mut node) = explorer.queue.pop_front() {
        if explorer.figures.violations.len() >= VIOLATIONS_MAX {
            break;
        }
        let deeper = node.path.len() < depth;
        if deeper {
            node.world.record_crash_points();
        }
        explorer.figures.runs += 1;
        let left = recover(scene, node.world.clone());
        explorer.judge(&left, &node);
        if deeper {
            explorer.crash_everywhere(left, node.past, &node.path);
        }
    }
    explorer.figures
}

struct Explorer<'a> {
    scene: &'a Scene,
    figures: Figures,
    seen: BTreeSet<(u64, u8)>,
    queue: VecDeque<Node>,
}

impl Explorer<'_> {
    /// Checks what a process left that came to its end, and that a power cut just after it takes nothing back.
    fn judge(&mut self, left: &Left, node: &Node) {
        let Node { past, path, world } = node;
        let mut wrongs = oracle::check_ended(self.scene, &left.world, &left.ended, *past);
        wrongs.extend(oracle::check_direction(self.scene, world, &left.ended, *past));
        let outcome = match &left.ended {
            Ended::Reported(report) => format!("{:?}", report.outcome),
            Ended::Nothing => "nothing to do".into(),
            Ended::Failed(error) => format!("failed ({})", error.code),
            Ended::Gone => "gone".into(),
        };
        *self.figures.outcomes.entry(outcome).or_default() += 1;
        if wrongs.is_empty() {
            Chooser::every(|chooser| {
                let mut after = left.world.clone();
                after.reboot(chooser, &Boot::default());
                wrongs.extend(oracle::check_after_end(self.scene, &after, &left.ended, *past));
            });
        }
        self.complain(wrongs, path);
    }

    fn crash_everywhere(&mut self, left: Left, past: Past, path: &[Crash]) {
        for point in left.points {
            self.figures.crash_points += 1;
            let mut killed = point.world.clone();
            killed.restart_process();
            self.crashed(&point.world, killed, past, path, Crash::Kill { op: point.op });
            let cut = Past { cut: true, ..past };
            Chooser::every(|chooser| {
                let mut world = point.world.clone();
                world.cut_power(chooser);
                world.boot_up(&Boot::default());
                world.tick();
                let crash = Crash::Cut { op: point.op, script: chooser.script() };
                self.crashed(&point.world, world, cut, path, crash);
            });
        }
    }

    fn crashed(&mut self, before: &World, world: World, mut past: Past, path: &[Crash], crash: Crash) {
        self.figures.crashes += 1;
        if !self.seen.insert((world.key(), u8::from(past.cut) + 2 * u8::from(past.unpinned))) {
            return;
        }
        self.figures.states += 1;
        if matches!(crash, Crash::Cut { .. }) {
            past.unpinned |= oracle::leaves_app_alone(self.scene, &world);
        }
        let mut path = path.to_vec();
        path.push(crash);
        let wrongs = oracle::check_crashed(self.scene, before, &world);
        self.complain(wrongs, &path);
        self.queue.push_back(Node { world, past, path });
    }

    fn complain(&mut self, wrongs: Wrongs, path: &[Crash]) {
        if !wrongs.is_empty() && self.figures.violations.len() < VIOLATIONS_MAX {
            self.figures.violations.push(Violation { path: path.to_vec(), fault: None, wrongs });
        }
    }
}

/// The story of a violation: every operation of every process on its way, in words.
#[must_use]
pub fn story(scene: &Scene, mutant: Option<&Mutant>, violation: &Violation) -> Vec<String> {
    let mut world = scene.world.clone();
    world.set_mutant(mutant.cloned());
    world.remember(true);
    // A fault strikes the process after the last crash.
    let last_fault = violation.fault.clone();
    let mut first = true;
    for crash in &violation.path {
        let (Crash::Kill { op } | Crash::Cut { op, .. }) = crash;
        world.strike(*op, Fault::Kill);
        let run = if std::mem::take(&mut first) { restore } else { recover };
        world = run(scene, world).world;
        match crash {
            Crash::Kill { .. } => world.restart_process(),
            Crash::Cut { script, .. } => {
                world.reboot(&mut Chooser::scripted(script.clone()), &Boot::default());
                world.tick();
            }
        }
    }
    let run = if first { restore } else { recover };
    if let Some((op, fault)) = last_fault {
        world.strike(op, fault);
    }
    let left = run(scene, world);
    let mut story = left.world.story().to_vec();
    story.push(format!("ended: {:?}", left.ended));
    story
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { runs, crash_points, crashes, states, outcomes, violations } = self;
        write!(f, "{crash_points} crash points, {crashes} crashes, {states} different worlds, {runs} engine runs, ")?;
        write!(f, "{} violations; {outcomes:?}", violations.len())
    }
}
