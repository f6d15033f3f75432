//! Pairs of faults, drawn at random: two in one process, or one in a restore and one in the recovery after it.

use volsnap_sim::{Chooser, Fault, Moment};

use super::{Tally, Trial, errors::dead_disk, errors::errors_at, is_end, nexts};
use crate::worlds::Scene;

/// So many pairs of faults as the seed has them.
#[must_use]
pub fn pairs(scene: &Scene, seed: u64, count: u64) -> Tally {
    let mut chooser = Chooser::seeded(seed);
    let mut trial = Trial::of_restore(scene);
    let (history, _) = trial.undisturbed();
    for _ in 0..count {
        if trial.tally.is_full() {
            break;
        }
        let first = any_fault(&history, 0, &mut chooser);
        let left = trial.struck_and_remembered(&first);
        if chooser.choose(2) == 0 || is_end(&left) {
            // What comes after the first fault differs from the run without it.
            let later = usize::try_from(first.0 + 1).unwrap_or(usize::MAX).min(left.world.history().len());
            if later == left.world.history().len() {
                continue;
            }
            let second = any_fault(left.world.history(), later, &mut chooser);
            trial.strike("pairs", &[first, second]);
            continue;
        }
        for (world, past) in nexts(scene, &left.world, trial.past) {
            let mut recovery = Trial { past, ..Trial::of_recovery(scene, world) };
            let (history, _) = recovery.undisturbed();
            let second = any_fault(&history, 0, &mut chooser);
            recovery.strike("pairs", &[second]);
            trial.tally.add(recovery.tally);
        }
    }
    trial.tally
}

fn any_fault(history: &[Moment], from: usize, chooser: &mut Chooser) -> (u64, Fault) {
    let op = from + chooser.choose(history.len() - from);
    let mut faults = errors_at(&history[op]);
    faults.push(("dead disk", dead_disk()));
    let (_, fault) = faults.swap_remove(chooser.choose(faults.len()));
    (op as u64, fault)
}

impl Trial<'_> {
    fn struck_and_remembered(&mut self, strike: &(u64, Fault)) -> crate::process::Left {
        let mut world = self.start.clone();
        world.remember(true);
        world.strike(strike.0, strike.1.clone());
        self.tally.runs += 1;
        self.run(world)
    }
}
