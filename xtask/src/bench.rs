//! `bench`: the figures that the documents promise, measured on this machine and never typed.

pub mod archive;
mod figures;
pub mod freeze;
mod memory;
mod tables;
mod world;

use figures::Figures;
use world::Arena;

use crate::{
    block::Block,
    engine::Engine,
    run::{Outcome, root},
    scratch::Scratch,
    volsnap,
};

/// Restores of each world; the median of them counts.
pub const ROUNDS: usize = 5;

/// Where the figures stand in the README.
pub const BLOCK: Block = Block { name: "bench downtime", command: "cargo xtask bench downtime --write" };

/// Measures, prints, and with `write` puts what it printed into the README. A missed target is an error, told after the
/// figures.
pub fn downtime(write: bool) -> Outcome {
    eprintln!("building the release binary (minutes the first time)");
    let binary = volsnap::build()?;
    let scratch = Scratch::new("bench")?;
    let arena = Arena::fill(scratch.path(), &binary)?;
    let directories = arena.measure(None)?;
    let containers = match Engine::at_hand(scratch.path()) {
        Ok(engine) => {
            engine.import_image(scratch.path())?;
            Ok(arena.measure(Some(&engine))?)
        }
        Err(why) if write => return Err(format!("the README needs the figures of a container too: {why}")),
        Err(why) => Err(why),
    };
    scratch.close()?;
    let figures = Figures { directories, containers };
    let block = tables::markdown(&figures);
    println!("{block}");
    if write {
        BLOCK.write(&root().join("README.md"), &block)?;
    }
    let missed = figures.missed();
    if missed.is_empty() { Ok(()) } else { Err(format!("targets missed: {}", missed.join("; "))) }
}

#[cfg(test)]
mod tests {
    use super::world::WORLDS;

    #[test]
    fn every_world_is_measured_against_the_first() {
        assert!(
            WORLDS.len() >= 3 && WORLDS[1..].iter().all(|w| w.bytes > WORLDS[0].bytes || w.files > WORLDS[0].files)
        );
    }
}
