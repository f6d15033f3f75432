//! Where the power goes in a recording, and what of the unflushed writes survives.

use std::collections::HashMap;

use super::{
    platter::{At, Event, Slot, hash_at, mix},
    scene::Recording,
    server::Shared,
};

/// A small generator: all choices of a run derive from its seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random(mix(seed))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A write that no flush has made durable yet.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Where.
    pub at: At,
    /// What.
    pub slot: Slot,
}

/// Which of the pending writes survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// None.
    None,
    /// All.
    All,
    /// One.
    Only(usize),
    /// All but one.
    AllBut(usize),
    /// The first ones.
    First(usize),
    /// Those of one disk.
    Disk(usize),
    /// Those of the other disks.
    NotDisk(usize),
    /// Each by chance, so many of eight.
    Chance(u64, u64),
}

impl Survivors {
    /// Whether the write at `index` survives.
    #[must_use]
    pub fn keep(self, index: usize, pending: &Pending) -> bool {
        match self {
            Survivors::None => false,
            Survivors::All => true,
            Survivors::Only(only) => index == only,
            Survivors::AllBut(but) => index != but,
            Survivors::First(count) => index < count,
            Survivors::Disk(disk) => pending.at.0 == disk,
            Survivors::NotDisk(disk) => pending.at.0 != disk,
            Survivors::Chance(seed, eighths) => mix(seed ^ index as u64) % 8 < eighths,
        }
    }
}

/// Ways to lose some of `count` pending writes on `disks` disks: none and all first, then not more than `most` others,
/// chosen from all of them by chance where there are more.
pub fn ways(count: usize, disks: usize, most: usize, random: &mut Random) -> Vec<Survivors> {
    if count == 0 {
        return vec![Survivors::None];
    }
    let mut others = Vec::new();
    if disks > 1 {
        others.extend((0..disks).flat_map(|disk| [Survivors::Disk(disk), Survivors::NotDisk(disk)]));
    }
    others.extend((0..count).flat_map(|i| [Survivors::Only(i), Survivors::AllBut(i), Survivors::First(i)]));
    let chances = if count > 2 { most.div_ceil(3) } else { 0 };
    others.extend((0..chances).map(|_| Survivors::Chance(random.next(), 1 + random.next() % 7)));
    let mut ways = vec![Survivors::None, Survivors::All];
    for _ in 0..most.min(others.len()) {
        ways.push(others.swap_remove(random.below(others.len())));
    }
    ways
}

/// The positions before which the power goes: each flush, each beginning and end of a call, and the end.
pub fn cuts(recording: &Recording) -> Vec<usize> {
    let flushes = recording.log.iter().enumerate().filter(|(_, event)| matches!(event, Event::Flush(_)));
    let mut cuts: Vec<usize> = flushes.map(|(position, _)| position).collect();
    cuts.extend(recording.marks.iter().map(|mark| mark.position.min(recording.log.len())));
    cuts.push(recording.log.len());
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// The disks on the way through a log: what is durable lies in their images, the rest waits here.
pub struct Cursor<'a> {
    disks: Shared,
    recording: &'a Recording,
    position: usize,
    pending: Vec<Pending>,
    hash: u64,
}

impl<'a> Cursor<'a> {
    /// Before the first event of a recording.
    pub fn new(disks: &Shared, recording: &'a Recording) -> Self {
        disks.lock().load(recording.start.clone());
        let images = recording.start.iter().enumerate();
        let blocks = images.flat_map(|(disk, image)| (0..).zip(image).map(move |(n, slot)| hash_at((disk, n), slot)));
        let hash = blocks.fold(0_u64, u64::wrapping_add);
        Cursor { disks: disks.clone(), recording, position: 0, pending: Vec::new(), hash }
    }

    /// What is gone through.
    pub fn recording(&self) -> &Recording {
        self.recording
    }

    /// How many events have happened.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The writes that nothing has made durable yet.
    pub fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// Lets events happen until there have been so many.
    pub fn advance(&mut self, position: usize) {
        let mut disks = self.disks.lock();
        for event in &self.recording.log[self.position..position] {
            match event {
                Event::Write(at, slot) => self.pending.push(Pending { at: *at, slot: slot.clone() }),
                Event::Flush(disk) => {
                    for durable in self.pending.extract_if(.., |pending| pending.at.0 == *disk) {
                        self.hash = self.hash.wrapping_sub(hash_at(durable.at, disks.base(durable.at)));
                        self.hash = self.hash.wrapping_add(hash_at(durable.at, &durable.slot));
                        disks.advance(durable.at, durable.slot);
                    }
                }
            }
        }
        self.position = position;
    }

    /// The last surviving write to each block, and the hash of all disks with these.
    pub fn image(&self, survivors: Survivors) -> (Vec<(At, Slot)>, u64) {
        let kept = self.pending.iter().enumerate().filter(|(index, pending)| survivors.keep(*index, pending));
        let last: HashMap<At, Slot> = kept.map(|(_, pending)| (pending.at, pending.slot.clone())).collect();
        let disks = self.disks.lock();
        let hash = last.iter().fold(self.hash, |hash, (at, slot)| {
            hash.wrapping_sub(hash_at(*at, disks.base(*at))).wrapping_add(hash_at(*at, slot))
        });
        (last.into_iter().collect(), hash)
    }

    /// The crash, for a story.
    pub fn in_words(&self, survivors: Survivors) -> String {
        let lost = (0..).zip(&self.pending).filter(|(index, pending)| !survivors.keep(*index, pending));
        let lost: Vec<String> = lost.map(|(_, pending)| format!("{}:{}", pending.at.0, pending.at.1)).collect();
        let shown = lost.iter().take(40).cloned().collect::<Vec<_>>().join(" ");
        format!(
            "power cut at {}; {survivors:?} of {} unflushed blocks survive, lost (disk:block) {shown}{}",
            self.recording.at(self.position),
            self.pending.len(),
            if lost.len() > 40 { " …" } else { "" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_room_enough_every_single_loss_is_among_the_ways() {
        let ways = ways(3, 2, 1000, &mut Random::new(1));
        for wanted in [Survivors::None, Survivors::All, Survivors::Disk(1), Survivors::NotDisk(0)] {
            assert!(ways.contains(&wanted), "{wanted:?}");
        }
        for index in 0..3 {
            assert!(ways.contains(&Survivors::Only(index)) && ways.contains(&Survivors::AllBut(index)), "{index}");
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let some = |seed| ways(50, 1, 10, &mut Random::new(seed));
        assert_eq!(some(7), some(7));
        assert_ne!(some(7), some(8));
        assert_eq!(some(7).len(), 12);
    }
}
