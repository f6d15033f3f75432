//! Worlds drawn from a seed: too many and too large to be explored to their end.

use volsnap_core::model::{Redeploy, RunState};
use volsnap_sim::{Chooser, Mutant, fingerprint};

use super::{
    Figures, Happening, Slow,
    explorer::{Explorer, Node},
};
use crate::worlds::{AppSpec, Kind, Live, POLICIES, Scene, SceneSpec, VolumeDisk, VolumeSpec};

/// So many crashed worlds of each depth are crashed in their turn.
const GO_ON_WITH: usize = 12;
/// Recoveries that are crashed one after another.
const DEPTH: usize = 3;
/// Nothing happens by itself after so many operations.
const OPS: usize = 300;

/// A random world: up to three filesystems of volumes beside that of the journal, up to four volumes, up to three
/// containers with any restart policy.
#[must_use]
pub fn any_spec(chooser: &mut Chooser, name: String) -> SceneSpec {
    let disks: Vec<VolumeDisk> = (0..1 + chooser.choose(3))
        .map(|_| VolumeDisk { exchange: chooser.choose(2) == 0, ordered: chooser.choose(2) == 0 })
        .collect();
    let volumes = (0..1 + chooser.choose(4))
        .map(|_| VolumeSpec {
            disk: chooser.choose(disks.len()),
            live: [Live::Full, Live::Full, Live::Full, Live::Empty, Live::Missing][chooser.choose(5)],
            absent: chooser.choose(5) == 0,
        })
        .collect();
    let mut apps: Vec<AppSpec> = (0..chooser.choose(4)).map(|_| any_app(chooser)).collect();
    // One in three has to do with the first of them, or is odd by itself.
    let first = apps.first().is_some_and(|app| app.member && app.run == RunState::Running);
    for app in apps.iter_mut().skip(1).filter(|app| first && app.member) {
        *app = any_kind(chooser, *app);
    }
    SceneSpec {
        name,
        disks,
        state_with_volumes: chooser.choose(2) == 0,
        volumes,
        apps,
        redeploy: [Redeploy::Recreate, Redeploy::Restart][chooser.choose(2)],
        safety: chooser.choose(4) != 0,
        sick: chooser.choose(8) == 0,
        resume: chooser.choose(3) == 0,
        frozen: chooser.choose(6) == 0,
    }
}

fn any_app(chooser: &mut Chooser) -> AppSpec {
    let policy = POLICIES[chooser.choose(POLICIES.len())];
    let run = [RunState::Running, RunState::Running, RunState::Paused, RunState::Stopped][chooser.choose(4)];
    let member = chooser.choose(5) != 0;
    // A running container of somebody else on a volume is refused.
    AppSpec { policy, run: if member { run } else { RunState::Stopped }, member, kind: Kind::Plain }
}

fn any_kind(chooser: &mut Chooser, app: AppSpec) -> AppSpec {
    const ODD: [Kind; 7] = [
        Kind::Waits,
        Kind::SharesNetwork,
        Kind::Linked,
        Kind::HasVolumes,
        Kind::RemovesItself,
        Kind::OneOff,
        Kind::CannotStart,
    ];
    match ODD.get(chooser.choose(3 * ODD.len())) {
        // The engine takes no policy for these.
        Some(kind @ (Kind::RemovesItself | Kind::OneOff)) => AppSpec { kind: *kind, ..AppSpec::running("no") },
        Some(kind) => AppSpec { kind: *kind, ..AppSpec::running(app.policy) },
        None => app,
    }
}

/// Explores a world as the seed has it: every crash of the restore, with some of the ways of losing; recoveries of all
/// that they leave; and of some of these, and so on, every crash again. Half of the runs that are crashed see something
/// happen by itself.
#[must_use]
pub fn seeded(scene: &Scene, mutant: Option<&Mutant>, seed: u64) -> Figures {
    let mut chooser = Chooser::seeded(seed);
    let mut explorer = Explorer::new(scene, mutant).sampling(fingerprint(&(seed, "cuts")));
    let events = happenings(scene, &mut chooser);
    let restored = explorer.restore(&events);
    if chooser.choose(4) == 0 {
        let boot = Slow::ALL[chooser.choose(Slow::ALL.len())];
        explorer.boot_slowly_everywhere(&restored, &[boot]);
    }
    let mut runs = vec![restored];
    for depth in 0..=DEPTH {
        let mut sample = Sample { chooser: Chooser::seeded(fingerprint(&(seed, depth))), met: 0, nodes: Vec::new() };
        for run in runs {
            explorer.crash_everywhere(run, &mut |explorer, node| {
                if depth < DEPTH {
                    sample.offer(&node);
                }
                drop(explorer.recover(node, &[]));
            });
        }
        runs = Vec::new();
        for node in sample.nodes {
            let events = happenings(scene, &mut chooser);
            runs.push(explorer.recover_to_crash(node, &events));
        }
    }
    explorer.into_figures()
}

/// What happens by itself in one process: something in every second one.
fn happenings(scene: &Scene, chooser: &mut Chooser) -> Vec<(u64, Happening)> {
    if chooser.choose(2) == 0 {
        return Vec::new();
    }
    let disks = scene.world.disks().count();
    let mut happening = || {
        let what = match chooser.choose(5) {
            0 => Happening::Writeback,
            1 => Happening::AppsWrite,
            2 => Happening::ClockJumps([-86_400, 86_400][chooser.choose(2)]),
            _ => Happening::WritebackOf(chooser.choose(disks)),
        };
        (chooser.choose(OPS) as u64, what)
    };
    // The first is a writeback in any case.
    let (op, _) = happening();
    let mut all = vec![(op, Happening::Writeback)];
    all.extend((0..2).map(|_| happening()));
    all
}

/// A few of many, each as likely as every other.
struct Sample {
    chooser: Chooser,
    met: usize,
    nodes: Vec<Node>,
}

impl Sample {
    fn offer(&mut self, node: &Node) {
        self.met += 1;
        if self.nodes.len() < GO_ON_WITH {
            self.nodes.push(node.clone());
        } else {
            let place = self.chooser.choose(self.met);
            if let Some(kept) = self.nodes.get_mut(place) {
                *kept = node.clone();
            }
        }
    }
}
