//! Whole lives of a machine at random: crashes, errors and disturbances, one process after another.

use volsnap_core::ports::FsErrorKind;
use volsnap_sim::{Boot, Chooser, Event, Fault, Reach, World};

use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, recover, restore},
    worlds::Scene,
};

/// One life of a machine as the seed has it: a restore that is killed, cut off, hit by errors and disturbed, processes
/// that recover and are crashed in turn, and at last one that is left in peace. What is wrong, with the story.
pub fn at_random(scene: &Scene, seed: u64) -> Result<(), (Wrongs, Vec<String>)> {
    let mut chooser = Chooser::seeded(seed);
    let mut world = scene.world.clone();
    world.remember(true);
    let mut past = Past::default();
    let mut wrongs = Wrongs::new();
    let mut told = None;
    for process in 0..1 + chooser.choose(4) {
        disturb(&mut world, &mut chooser, &mut past);
        let run = if process == 0 { restore } else { recover };
        let left = run(scene, world);
        let before = left.world.clone();
        world = left.world;
        if matches!(left.ended, Ended::Reported(_)) {
            told = Some(left.ended);
        }
        let dead = world.is_dead();
        if dead && chooser.choose(2) == 0 {
            world.cut_power(&mut chooser);
            past = Past { cut: true, unpinned: past.unpinned || oracle::leaves_app_alone(scene, &world), ..past };
            world.boot_up(&Boot::default());
        } else {
            world.restart_process();
        }
        // Without a journal the restore has ended, and its originals may be archived or, if not wanted, gone.
        wrongs.extend(oracle::check_crashed(scene, &before, &world).into_iter().filter(|_| dead && !past.faults));
    }
    let last = recover(scene, world);
    past.faults = true;
    if let Ended::Failed(error) = &last.ended {
        wrongs.push(format!("the last recovery failed: {error}"));
    }
    // If there is nothing left to do, an earlier process ended it all, and said how.
    let ended = match (&last.ended, &told) {
        (Ended::Nothing, Some(told)) => told,
        (last, _) => last,
    };
    wrongs.extend(oracle::check_ended(scene, &last.world, ended, past));
    if wrongs.is_empty() { Ok(()) } else { Err((wrongs, last.world.story().to_vec())) }
}

/// Plans what happens to the next process: a death in most cases, some errors, and things that happen by themselves.
fn disturb(world: &mut World, chooser: &mut Chooser, past: &mut Past) {
    let op = |chooser: &mut Chooser| chooser.choose(320) as u64;
    for _ in 0..chooser.choose(3) {
        let event = match chooser.choose(4) {
            0 => Event::Writeback,
            1 => Event::ClockJump(-7200),
            2 => Event::Tick,
            _ => {
                *past = Past { cut: true, unpinned: true, ..*past };
                Event::EngineRestart
            }
        };
        world.strike(op(chooser), Fault::Event(event));
    }
    if chooser.choose(4) == 0 {
        past.faults = true;
        let kind = [FsErrorKind::Io, FsErrorKind::Transient, FsErrorKind::NoSpace][chooser.choose(3)];
        let reach = if chooser.choose(4) == 0 { Reach::Method } else { Reach::Once };
        world.strike(op(chooser), Fault::Error { failure: kind.into(), reach });
    }
    if chooser.choose(8) != 0 {
        world.strike(op(chooser), Fault::Kill);
    }
}
