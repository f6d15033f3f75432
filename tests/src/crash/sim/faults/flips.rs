//! Bits that turn in a journal between two processes, and in an archive at any time before it is needed.

use std::{collections::BTreeSet, path::PathBuf};

use volsnap_core::error::Code;
use volsnap_sim::{Event, Fault, World};

use super::{Tally, Trial};
use crate::{
    oracle::{Past, Wrongs},
    process::{Ended, recover, restore},
    worlds::Scene,
};

/// Which bits of each byte of a journal are turned.
#[derive(Clone, Copy, Debug)]
pub enum Bits {
    /// Each of the eight.
    All,
    /// One, another one from byte to byte.
    OneOfEachByte,
}

/// Turns the bits of every journal that a killed process can leave, cuts each journal short, and turns bits of every
/// member of the archive, before the restore and while it stages.
#[must_use]
pub fn flips(scene: &Scene, bits: Bits) -> Tally {
    let mut tally = archive(scene);
    tally.add(torn_journals(scene));
    if !tally.is_full() {
        tally.add(journals(scene, bits));
    }
    tally
}

fn journal_path(scene: &Scene, world: &World) -> PathBuf {
    world.journal_dir().join(format!("{}.json", scene.workload.id))
}

fn journals(scene: &Scene, bits: Bits) -> Tally {
    let mut tally = Tally::default();
    let mut world = scene.world.clone();
    world.record_crash_points();
    tally.runs += 1;
    let mut seen = BTreeSet::new();
    for point in restore(scene, world).points {
        let path = journal_path(scene, &point.world);
        if !point.world.read(&path).is_some_and(|bytes| seen.insert(bytes)) {
            continue;
        }
        let mut killed = point.world;
        killed.restart_process();
        // To read a journal makes it durable; nothing else may differ afterwards.
        killed.happen(&Event::Writeback);
        for bit in 0..killed.bits(&path) {
            if matches!(bits, Bits::OneOfEachByte) && bit % 8 != bit / 8 % 8 {
                continue;
            }
            if tally.is_full() {
                return tally;
            }
            tally.count("journal bits");
            let mut world = killed.clone();
            world.happen(&Event::BitFlip(path.clone(), bit));
            let wrongs = refused(scene, world, &mut tally);
            tally.complain(scene, format!("bit {bit} of the journal before operation {}", point.op), wrongs, Vec::new);
        }
    }
    tally
}

/// A journal that fails its checks blocks its workload: nothing is believed, nothing is changed, and somebody is told.
fn refused(scene: &Scene, world: World, tally: &mut Tally) -> Wrongs {
    tally.runs += 1;
    let before = world.key();
    let left = recover(scene, world);
    let mut wrongs = Wrongs::new();
    match &left.ended {
        Ended::Failed(error) if matches!(error.code, Code::Corrupt | Code::NeedsAttention) => {}
        other @ (Ended::Reported(_) | Ended::Nothing | Ended::Failed(_) | Ended::Gone) => {
            wrongs.push(format!("a damaged journal was followed: {other:?}"));
        }
    }
    if left.world.key() != before {
        wrongs.push("something was changed on the word of a damaged journal".into());
    }
    wrongs
}

/// A write of the journal takes half of it and tells nobody; the process is killed before it writes the next one.
fn torn_journals(scene: &Scene) -> Tally {
    let mut trial = Trial::of_restore(scene);
    let (history, _) = trial.undisturbed();
    let is_write = |op: usize| history[op].call == "write_journal" && history[op].label.starts_with("write ");
    for torn in (0..history.len()).filter(|op| is_write(*op)) {
        let begins = |op: &usize| history[*op].call == "write_journal" && is_write((op + 1).min(history.len() - 1));
        let next = (torn + 1..history.len()).find(begins).unwrap_or(history.len());
        // After the write come the file's sync, the rename and the directory's sync.
        for killed in (torn + 4..next).step_by(5) {
            let strikes = [(torn as u64, Fault::ShortWrite(None)), (killed as u64, Fault::Kill)];
            let left = trial.struck(&strikes);
            let mut world = left.world;
            if world.read(&journal_path(scene, &world)).is_none() {
                continue;
            }
            trial.tally.count("torn journals");
            world.restart_process();
            world.happen(&Event::Writeback);
            let wrongs = refused(scene, world, &mut trial.tally);
            trial.complain(&strikes, wrongs);
        }
    }
    trial.tally
}

/// Before anything is asked for, and just before each operation up to the last that stages.
fn archive(scene: &Scene) -> Tally {
    let mut trial = Trial::of_restore(scene);
    let path = scene.world.archive_path(scene.workload.id, scene.snapshot.id());
    let bits = scene.world.bits(&path);
    let (history, _) = trial.undisturbed();
    let last_stage = history.iter().rposition(|moment| moment.call == "stage").unwrap_or(0);
    // Each volume is read from the archive when its staging begins; a bit that turns later is of no account.
    let begins: Vec<usize> = (0..=last_stage)
        .filter(|op| *op == 0 || history[*op].call == "stage" && history[*op].label.starts_with('/'))
        .collect();
    for op in begins {
        for bit in (0..bits).step_by(3) {
            let strikes = [(op as u64, Fault::Event(Event::BitFlip(path.clone(), bit)))];
            trial.tally.count("archive bits");
            let left = trial.struck(&strikes);
            let mut wrongs =
                crate::oracle::check_ended(scene, &left.world, &left.ended, Past { faults: true, ..Past::default() });
            let stopped = left.world.containers().zip(scene.world.containers()).any(|(now, then)| now.run != then.run);
            if stopped {
                wrongs.push("the app was touched for a damaged archive".into());
            }
            trial.complain(&strikes, wrongs);
        }
    }
    trial.tally
}
