//! Every crash of a restore, and every crash of each recovery after it.

use std::collections::{HashSet, VecDeque};

use volsnap_sim::{Boot, Chooser, Cut, Cuts, Mutant, World, fingerprint};

use super::{
    Crash, Figures, Happening, Slow, VIOLATIONS_MAX,
    boots::boot_slowly,
    judge::{booted, check_end, killed, outcome, past_of_cut},
};
use crate::{
    oracle::{self, Past},
    process::{Ended, Left, recover, restore},
    worlds::Scene,
};

/// Explores the crashes in one scene.
pub struct Explorer<'a> {
    scene: &'a Scene,
    mutant: Option<&'a Mutant>,
    figures: Figures,
    cuts: Cuts,
    cuts_at_end: Cuts,
    /// Crashed worlds, with what they may expect.
    seen: HashSet<u64>,
    /// Power cuts that were looked at, before the machine came up again.
    cut: HashSet<u64>,
    /// Worlds of processes that came to a good end.
    ended: HashSet<u64>,
    runs_max: u64,
    /// Chooses some of the cuts; without it all are made.
    some: Option<Chooser>,
}

/// Of a world that is too large for all, so many cuts are made.
const CUTS: usize = 12;
/// And so many after a process that came to its end.
const CUTS_AT_END: usize = 3;

/// A crashed world.
#[derive(Clone)]
pub(super) struct Node {
    pub world: World,
    pub past: Past,
    pub path: Vec<Crash>,
}

/// What to do with each world that was not met before.
type Found<'f, 'a> = dyn FnMut(&mut Explorer<'a>, Node) + 'f;

impl<'a> Explorer<'a> {
    /// Has not explored anything yet.
    #[must_use]
    pub fn new(scene: &'a Scene, mutant: Option<&'a Mutant>) -> Self {
        Explorer {
            scene,
            mutant,
            figures: Figures::default(),
            cuts: Cuts::default(),
            cuts_at_end: Cuts::default(),
            seen: HashSet::new(),
            cut: HashSet::new(),
            ended: HashSet::new(),
            runs_max: u64::MAX,
            some: None,
        }
    }

    /// Makes only some of the power cuts, as the seed has it: in large worlds all are too many.
    #[must_use]
    pub fn sampling(mut self, seed: u64) -> Self {
        self.some = Some(Chooser::seeded(seed));
        self
    }

    /// Gives up after so many runs of the engine.
    #[must_use]
    pub fn runs_max(mut self, runs_max: u64) -> Self {
        self.runs_max = runs_max;
        self
    }

    /// Every crash, up to `depth` processes deep, the shortest paths first, until something is wrong.
    #[must_use]
    pub fn every(mut self, depth: usize) -> Figures {
        let mut queue = VecDeque::new();
        // The last ones are not crashed in their turn, and need not be kept.
        let later = |explorer: &mut Explorer<'a>, node: Node, queue: &mut VecDeque<Node>| {
            if node.path.len() < depth { queue.push_back(node) } else { drop(explorer.recover(node, &[])) }
        };
        let restored = self.restore(&[]);
        self.crash_everywhere(restored, &mut |explorer, node| later(explorer, node, &mut queue));
        while let Some(node) = queue.pop_front() {
            if self.figures.violations.len() >= VIOLATIONS_MAX || self.figures.runs >= self.runs_max {
                break;
            }
            let recovered = self.recover_to_crash(node, &[]);
            self.crash_everywhere(recovered, &mut |explorer, node| later(explorer, node, &mut queue));
        }
        self.figures
    }

    /// What was done so far.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Ends it.
    #[must_use]
    pub fn into_figures(self) -> Figures {
        self.figures
    }

    /// Runs the restore, with its crash points.
    pub(super) fn restore(&mut self, events: &[(u64, Happening)]) -> Run {
        let mut world = self.scene.world.clone();
        world.set_mutant(self.mutant.cloned());
        let node = Node { world, past: Past::default(), path: Vec::new() };
        self.process(node, events, true, restore)
    }

    /// Runs a recovery, with its crash points.
    pub(super) fn recover_to_crash(&mut self, node: Node, events: &[(u64, Happening)]) -> Run {
        self.process(node, events, true, recover)
    }

    /// Runs a recovery and judges it.
    pub(super) fn recover(&mut self, node: Node, events: &[(u64, Happening)]) -> Run {
        self.process(node, events, false, recover)
    }

    fn process(
        &mut self,
        node: Node,
        events: &[(u64, Happening)],
        to_crash: bool,
        run: fn(&Scene, World) -> Left,
    ) -> Run {
        let Node { world: crashed, past, mut path } = node;
        let mut world = crashed.clone();
        for (op, what) in events {
            world.strike(*op, volsnap_sim::Fault::Event(what.event()));
            path.push(Crash::ByItself { op: *op, what: *what });
        }
        if to_crash {
            world.record_crash_points();
        }
        self.figures.runs += 1;
        let left = run(self.scene, world);
        self.judge(&left, &crashed, past, &path);
        Run { left, past, path }
    }

    fn judge(&mut self, left: &Left, crashed: &World, past: Past, path: &[Crash]) {
        let outcome = outcome(&left.ended);
        let mut wrongs = oracle::check_direction(self.scene, crashed, &left.ended, past);
        let told = match &left.ended {
            Ended::Reported(report) => Some((&report.warnings, report.restore_id)),
            Ended::Nothing | Ended::Failed(_) | Ended::Gone => None,
        };
        let key = fingerprint(&(left.world.key(), &outcome, told, past));
        self.figures.meet(key);
        let good = left.world.violations().is_empty() && !matches!(left.ended, Ended::Failed(_));
        if !good || !self.ended.contains(&key) {
            wrongs.extend(check_end(self.scene, left, past, |world, visit| match &mut self.some {
                None => self.cuts_at_end.every(world, visit),
                Some(chooser) => self.cuts_at_end.some(world, CUTS_AT_END, chooser, visit),
            }));
            if good && wrongs.is_empty() {
                self.ended.insert(key);
            }
        }
        *self.figures.outcomes.entry(outcome).or_default() += 1;
        self.figures.complain(path, wrongs);
    }

    /// Crashes a run at each of its points.
    pub(super) fn crash_everywhere(&mut self, run: Run, found: &mut Found<'_, 'a>) {
        let Run { left, past, path } = run;
        for point in left.points {
            self.figures.crash_points += 1;
            let op = point.op;
            self.crashed(&point.world, || killed(&point.world), past, &path, || Crash::Kill { op }, found);
            self.cut_everywhere(&point.world, &mut |explorer, cut| {
                explorer.figures.meet(cut.key());
                if explorer.cut.insert(fingerprint(&(cut.key(), past))) {
                    let crash = || Crash::Cut { op, script: cut.script() };
                    explorer.crashed(&point.world, || booted(cut.world()), past, &path, crash, found);
                } else {
                    explorer.count(&path);
                }
            });
        }
    }

    /// Cuts the power of a world, in every way or in some.
    fn cut_everywhere(&mut self, world: &World, visit: &mut dyn FnMut(&mut Self, &Cut<'_>)) {
        // What is visited may look for cuts in its turn.
        let (mut cuts, mut some) = (std::mem::take(&mut self.cuts), self.some.take());
        match &mut some {
            None => cuts.every(world, &mut |cut| visit(self, cut)),
            Some(chooser) => {
                self.some = Some(Chooser::seeded(fingerprint(&world.key())));
                cuts.some(world, CUTS, chooser, &mut |cut| visit(self, cut));
            }
        }
        (self.cuts, self.some) = (cuts, some);
    }

    /// Boots slowly after each crash point, with what the cuts leave.
    pub(super) fn boot_slowly_everywhere(&mut self, run: &Run, boots: &[Slow]) {
        for point in &run.left.points {
            self.figures.crash_points += 1;
            self.cut_everywhere(&point.world, &mut |explorer, cut| {
                for boot in boots {
                    explorer.slow_boot(cut, *boot, point.op, run);
                }
            });
        }
    }

    fn slow_boot(&mut self, cut: &Cut<'_>, boot: Slow, op: u64, run: &Run) {
        let key = fingerprint(&(cut.key(), boot, run.past));
        let lost = cut.world();
        // Nobody holds the engine back from starting an app that is not fenced on the bare mount point.
        let fenced = lost.containers().all(|container| container.restart_policy.is_never());
        if !fenced && boot == Slow::Unmounted {
            return;
        }
        self.count(&run.path);
        self.figures.meet(key);
        if !self.seen.insert(key) {
            return;
        }
        self.figures.states += 1;
        self.figures.runs += 2;
        let (wrongs, left) = boot_slowly(self.scene, lost, boot, run.past);
        *self.figures.outcomes.entry(format!("after a slow boot: {}", outcome(&left.ended))).or_default() += 1;
        let mut path = before(&run.path, op);
        path.push(Crash::SlowBoot { op, script: cut.script(), boot });
        self.figures.complain(&path, wrongs);
    }

    fn count(&mut self, path: &[Crash]) {
        let crashes = path.iter().filter(|crash| crash.ends()).count();
        self.figures.crashes += 1;
        self.figures.in_recoveries += u64::from(crashes > 0);
        self.figures.deepest = self.figures.deepest.max(crashes);
    }

    fn crashed(
        &mut self,
        point: &World,
        after: impl FnOnce() -> World,
        mut past: Past,
        path: &[Crash],
        crash: impl FnOnce() -> Crash,
        found: &mut Found<'_, 'a>,
    ) {
        self.count(path);
        let world = after();
        let crash = crash();
        let is_cut = matches!(crash, Crash::Cut { .. });
        past.cut |= is_cut;
        let key = fingerprint(&(world.key(), past));
        self.figures.meet(key);
        if !self.seen.insert(key) {
            return;
        }
        self.figures.states += 1;
        if is_cut {
            past = past_of_cut(self.scene, &world, past);
        }
        let (Crash::Kill { op } | Crash::Cut { op, .. } | Crash::SlowBoot { op, .. } | Crash::ByItself { op, .. }) =
            &crash;
        let mut path = before(path, *op);
        path.push(crash);
        self.figures.complain(&path, oracle::check_crashed(self.scene, point, &world));
        found(self, Node { world, past, path });
    }
}

/// The path without what would have happened by itself only after that operation of the last process.
fn before(path: &[Crash], op: u64) -> Vec<Crash> {
    let last = path.iter().rposition(Crash::ends).map_or(0, |last| last + 1);
    let happens = |crash: &Crash| matches!(crash, Crash::ByItself { op: at, .. } if *at >= op);
    path.iter().enumerate().filter(|(i, crash)| *i < last || !happens(crash)).map(|(_, crash)| crash.clone()).collect()
}

/// A process that ran, and how it came about.
pub(super) struct Run {
    pub left: Left,
    pub past: Past,
    pub path: Vec<Crash>,
}

/// How machines come up that are not ready.
pub(super) fn boot_of(scene: &Scene, slow: Slow) -> Boot {
    let state_with_volumes = usize::from(scene.spec.state_with_volumes);
    let mounts: Vec<_> = scene.world.disks().skip(1 + state_with_volumes).map(|d| d.mount.to_path_buf()).collect();
    match slow {
        Slow::Unmounted => Boot { unmounted: mounts, ..Boot::default() },
        Slow::UnmountedAndEngineDown => Boot { unmounted: mounts, engine_down: true, ..Boot::default() },
        Slow::ReadOnlyAndEngineDown => Boot { read_only: mounts, engine_down: true, ..Boot::default() },
        Slow::EngineDown => Boot { engine_down: true, ..Boot::default() },
    }
}
