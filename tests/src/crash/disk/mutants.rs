//! Barriers taken away in turn, each to be missed by the oracle.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Kind, WORKERS,
    explore::{Bounds, Share, Tally, walk},
    layouts,
    ports::Lie,
    scene::Layout,
};
use crate::crash::{Budget, Met};

/// The mutants, by the names that they have in all tiers.
///
/// Three barriers are not among them. B0, the fence, needs a container engine. B6 and B8 cannot be shown here: without
/// them a power cut leaves an older journal, but a whole one, since a replacement overwrites a spare that holds an
/// earlier journal. The recovery then finds the sealed safety archive, or nothing left to delete, and does again what
/// the lost entry had said. Only a torn journal would be missed, and that is the mutant of the journal's file.
const MUTANTS: [(&str, Lie); 10] = [
    ("staged data are not synced", Lie::StagedNotSynced),
    ("Committed is not durable", Lie::EntryNotDurable("committed")),
    ("the switches are not settled", Lie::SwitchesNotSettled),
    ("shifts of entries are not settled", Lie::ShiftsNotSettled),
    ("Switched is not durable", Lie::EntryNotDurable("switched")),
    ("the safety archive is not synced", Lie::ArchiveNotSynced),
    ("the deletions are not settled", Lie::DeletionsNotSettled),
    ("the journal's removal is not synced", Lie::RemovalNotSynced),
    ("journal data are not synced", Lie::JournalNotSynced),
    ("the journal's directory is not synced", Lie::JournalDirectoryNotSynced),
];

/// One mutant is looked for this long at most.
const TIME_MAX: Duration = Duration::from_secs(100);

/// How much of a mutant's recording is explored before the next one is made.
const SHARE: Share = Share { states: 250, nested: (0, 0) };

/// Records restores with each barrier taken away until one of their crash images shows it.
///
/// # Panics
/// If a worker does.
#[must_use]
pub fn meet(budget: Budget) -> Vec<Met> {
    let met = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((index, (mutant, lie))) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            MUTANTS.get(index).map(|mutant| (index, *mutant))
        } {
            let (caught_after, sign) = look_for(lie, budget.seed);
            met.lock().expect("nobody panics").push((index, Met { mutant, caught_after, sign }));
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let mut met = met.into_inner().expect("nobody panics");
    met.sort_by_key(|(index, _)| *index);
    met.into_iter().map(|(_, met)| met).collect()
}

/// How many states were tried until one showed it, and what was seen.
fn look_for(lie: Lie, seed: u64) -> (Option<u64>, String) {
    let deadline = Instant::now() + TIME_MAX;
    let mut states = 0;
    let mut index = 0;
    while Instant::now() < deadline {
        // Journal and volumes on different disks first: one filesystem hides much of what is not synced.
        let kind = Kind::ALL[index % Kind::ALL.len()];
        let mut all = layouts(kind);
        if lie == Lie::ShiftsNotSettled {
            all.retain(Layout::is_by_entry);
        }
        let layout = all[(1 + index / Kind::ALL.len()) % all.len()];
        index += 1;
        let tally = Tally::new(u64::MAX);
        let bounds = Bounds { share: SHARE, deadline, tally: &tally, violations_max: 1, binary: false };
        match walk(layout, seed.wrapping_add(index as u64), Some(lie), bounds) {
            Ok(figures) => {
                states += figures.total();
                if let Some(violation) = figures.violations.first() {
                    return (Some(states), format!("{kind}: {}", violation.wrongs.join("; ")));
                }
            }
            // A lie is found out by crashes alone.
            Err(error) => return (None, format!("{kind}: {error}")),
        }
    }
    (None, format!("not noticed in {states} states"))
}
