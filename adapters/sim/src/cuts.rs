//! Every power cut of many worlds: what a disk can lose is found out once for all worlds that share it, and each
//! combination over the disks is a cut.

use std::{collections::HashMap, sync::Arc};

use crate::{
    chooser::Chooser,
    disk::Disk,
    engine::EngineState,
    loss::Loss,
    shared::{Shared, fingerprint},
    world::World,
};

/// Finds the power cuts of worlds, all of them or a few of each, and remembers what it found.
#[derive(Debug, Default)]
pub struct Cuts {
    disks: HashMap<u64, Arc<Vec<Loss>>>,
}

/// One way in which the power goes.
#[derive(Debug)]
pub struct Cut<'a> {
    world: &'a World,
    disks: Vec<Option<&'a Loss>>,
    engine: &'a (Vec<usize>, Shared<EngineState>),
}

/// So many different disks are remembered.
const REMEMBERED_MAX: usize = 4096;

impl Cuts {
    /// Calls `visit` for every power cut that this world can suffer now: each disk and the container engine's records
    /// lose what they lose independently. Two ways that leave the same are one.
    pub fn every(&mut self, world: &World, visit: &mut dyn FnMut(&Cut<'_>)) {
        let possible = self.possible(world, Disk::losses);
        let arities = possible.arities();
        let mut turn = vec![0; arities.len()];
        loop {
            visit(&possible.cut(world, &turn));
            // The next combination, as an odometer counts.
            let Some(digit) = turn.iter().zip(&arities).position(|(nth, arity)| nth + 1 < *arity) else { return };
            turn[digit] += 1;
            turn[..digit].fill(0);
        }
    }

    /// Calls `visit` for no more than `count` of these cuts, those that lose everything and nothing among them.
    pub fn some(&mut self, world: &World, count: usize, chooser: &mut Chooser, visit: &mut dyn FnMut(&Cut<'_>)) {
        let possible = self.possible(world, Disk::some_losses);
        let arities = possible.arities();
        let cuts: usize = arities.iter().product();
        visit(&possible.cut(world, &vec![0; arities.len()]));
        if cuts > 1 {
            visit(&possible.cut(world, &arities.iter().map(|arity| arity - 1).collect::<Vec<_>>()));
        }
        for _ in 2..count.min(cuts) {
            let turn: Vec<usize> = arities.iter().map(|arity| chooser.choose(*arity)).collect();
            visit(&possible.cut(world, &turn));
        }
    }

    fn possible(&mut self, world: &World, losses: fn(&Disk) -> Vec<Loss>) -> Possible {
        if self.disks.len() >= REMEMBERED_MAX {
            self.disks.clear();
        }
        let mut of = |disk: &Shared<Disk>| {
            let known = self.disks.entry(disk.fingerprint());
            (!disk.is_settled()).then(|| known.or_insert_with(|| Arc::new(losses(disk))).clone())
        };
        Possible { disks: world.disks.iter().map(&mut of).collect(), engines: engine_losses(&world.engine) }
    }
}

/// What each disk and the container engine can lose.
struct Possible {
    disks: Vec<Option<Arc<Vec<Loss>>>>,
    engines: Vec<(Vec<usize>, Shared<EngineState>)>,
}

impl Possible {
    fn arities(&self) -> Vec<usize> {
        let disks = self.disks.iter().map(|losses| losses.as_deref().map_or(1, Vec::len));
        disks.chain([self.engines.len()]).collect()
    }

    fn cut<'a>(&'a self, world: &'a World, turn: &[usize]) -> Cut<'a> {
        let disks = self.disks.iter().zip(turn).map(|(losses, nth)| losses.as_deref().map(|losses| &losses[*nth]));
        Cut { world, disks: disks.collect(), engine: &self.engines[turn[self.disks.len()]] }
    }
}

fn engine_losses(engine: &Shared<EngineState>) -> Vec<(Vec<usize>, Shared<EngineState>)> {
    let mut losses = Vec::new();
    Chooser::every(|chooser| {
        let mut engine = engine.clone();
        engine.get_mut().lose(chooser);
        losses.push((chooser.script(), engine));
    });
    losses
}

impl Cut<'_> {
    /// A number that is equal for two cuts after which the machine comes up the same.
    #[must_use]
    pub fn key(&self) -> u64 {
        let World { disks, catalog, reserves, clock, .. } = self.world;
        let left = disks.iter().zip(&self.disks).map(|(disk, loss)| loss.map_or(disk, |loss| &loss.left).fingerprint());
        let left: Vec<u64> = left.chain([self.engine.1.fingerprint(), catalog.fingerprint()]).collect();
        fingerprint(&(left, reserves, clock.past()))
    }

    /// The choices that make this cut again, for [`World::cut_power`].
    #[must_use]
    pub fn script(&self) -> Vec<usize> {
        let disks = self.disks.iter().flatten().flat_map(|loss| &loss.script);
        disks.chain(&self.engine.0).copied().collect()
    }

    /// The world after it, before it comes up again.
    #[must_use]
    pub fn world(&self) -> World {
        let mut world = self.world.clone();
        for (disk, loss) in world.disks.iter_mut().zip(&self.disks) {
            if let Some(loss) = loss {
                *disk = loss.left.clone();
            }
        }
        world.engine = self.engine.1.clone();
        world
    }
}
