//! Disks in memory: blocks that are shared between all images of them, and the log of what happened to them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, OnceLock},
};

/// Bytes of a block: what a disk writes wholly or not at all, and the sector size that filesystems are told.
pub const BLOCK: usize = 4096;

/// Contents of a block, with their hash once somebody asked for it. A block of zeros is no block.
#[derive(Debug)]
pub struct Block {
    bytes: [u8; BLOCK],
    hash: OnceLock<u64>,
}

impl Block {
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let words = self.bytes.as_chunks::<8>().0;
            words.iter().fold(0, |hash, word| mix(hash ^ u64::from_le_bytes(*word)))
        })
    }
}

/// A block as images hold it.
pub type Slot = Option<Arc<Block>>;

/// One disk's blocks, as they are at one instant.
pub type Image = Vec<Slot>;

/// Where a block lies: the disk's index and the block's number on it.
pub type At = (usize, u32);

/// What happened to a disk, in the one order of all disks.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block was written. It is durable with the next flush of its disk, and may be any time before.
    Write(At, Slot),
    /// Every earlier write to this disk is durable.
    Flush(usize),
}

/// The disks that are served at the moment: images, what was changed in them since, and the log of the changes.
#[derive(Debug, Default)]
pub struct Platters {
    base: Vec<Image>,
    changed: Vec<HashMap<u32, Slot>>,
    stale: Vec<BTreeSet<u32>>,
    log: Vec<Event>,
}

/// The hash of a block's contents at its place; that of a whole set of disks is the sum over all blocks.
#[must_use]
pub fn hash_at((disk, number): At, slot: &Slot) -> u64 {
    let Some(block) = slot else { return 0 };
    let place = (disk as u64 + 1) << 32 | u64::from(number);
    mix(block.hash() ^ mix(place))
}

/// A mixing function whose every output bit depends on every input bit (splitmix64).
#[must_use]
pub fn mix(seed: u64) -> u64 {
    let a = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ a >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ b >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ c >> 31
}

fn slot(bytes: [u8; BLOCK]) -> Slot {
    match bytes == [0; BLOCK] {
        true => None,
        false => Some(Arc::new(Block { bytes, hash: OnceLock::new() })),
    }
}

impl Platters {
    /// Empty disks of so many blocks each.
    #[must_use]
    pub fn new(blocks: &[usize]) -> Self {
        let mut platters = Platters::default();
        platters.load(blocks.iter().map(|&blocks| vec![None; blocks]).collect());
        platters
    }

    /// Serves these images from now on.
    pub fn load(&mut self, images: Vec<Image>) {
        self.changed = images.iter().map(|_| HashMap::new()).collect();
        self.stale = images.iter().map(|image| (0..image.len() as u32).collect()).collect();
        self.base = images;
        self.log.clear();
    }

    /// The blocks of each disk that were changed by other means than a write since this was last asked.
    pub fn take_stale(&mut self) -> Vec<BTreeSet<u32>> {
        self.stale.iter_mut().map(std::mem::take).collect()
    }

    /// The disks as they are now.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        let mut images = self.base.clone();
        for (image, changed) in images.iter_mut().zip(&self.changed) {
            for (number, slot) in changed {
                image[*number as usize].clone_from(slot);
            }
        }
        images
    }

    /// Changes the images themselves: what [`Platters::revert`] goes back to.
    pub fn advance(&mut self, (disk, number): At, slot: Slot) {
        self.base[disk][number as usize] = slot;
        self.stale[disk].insert(number);
    }

    /// A block of the images.
    #[must_use]
    pub fn base(&self, (disk, number): At) -> &Slot {
        &self.base[disk][number as usize]
    }

    /// Goes back to the images with these blocks in place of theirs, and forgets the log.
    pub fn revert(&mut self, with: &[(At, Slot)]) {
        for (changed, stale) in self.changed.iter_mut().zip(&mut self.stale) {
            stale.extend(changed.drain().map(|(number, _)| number));
        }
        for ((disk, number), slot) in with {
            self.changed[*disk].insert(*number, slot.clone());
            self.stale[*disk].insert(*number);
        }
        self.log.clear();
    }

    /// How many events there have been: what is logged from now on stands behind this.
    #[must_use]
    pub fn position(&self) -> usize {
        self.log.len()
    }

    /// The log so far, which begins anew.
    pub fn take_log(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.log)
    }

    /// Bytes of a disk.
    #[must_use]
    pub fn size(&self, disk: usize) -> Option<u64> {
        self.base.get(disk).map(|image| (image.len() * BLOCK) as u64)
    }

    fn at(&self, disk: usize, number: u32) -> &Slot {
        self.changed[disk].get(&number).unwrap_or(&self.base[disk][number as usize])
    }

    /// Reads what a disk holds now; short at its end.
    #[must_use]
    pub fn read(&self, disk: usize, offset: u64, bytes_max: usize) -> Vec<u8> {
        let end = (offset + bytes_max as u64).min(self.size(disk).unwrap_or(0));
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        for (number, within, place) in pieces(offset, bytes.len()) {
            if let Some(block) = self.at(disk, number) {
                let len = place.len();
                bytes[place].copy_from_slice(&block.bytes[within..within + len]);
            }
        }
        bytes
    }

    /// Writes to a disk and logs each block by itself.
    pub fn write(&mut self, disk: usize, offset: u64, bytes: &[u8]) {
        for (number, within, place) in pieces(offset, bytes.len()) {
            let mut whole = self.at(disk, number).as_ref().map_or([0; BLOCK], |block| block.bytes);
            whole[within..within + place.len()].copy_from_slice(&bytes[place]);
            self.put(disk, number, slot(whole));
        }
    }

    /// Makes a range of a disk zero, as a discard does here.
    pub fn zero(&mut self, disk: usize, offset: u64, bytes: u64) {
        let end = (offset + bytes).min(self.size(disk).unwrap_or(0));
        for number in offset.div_ceil(BLOCK as u64)..end / BLOCK as u64 {
            let number = number as u32;
            if self.at(disk, number).is_some() {
                self.put(disk, number, None);
            }
        }
    }

    /// Notes that a disk was flushed.
    pub fn flush(&mut self, disk: usize) {
        self.log.push(Event::Flush(disk));
    }

    fn put(&mut self, disk: usize, number: u32, slot: Slot) {
        self.changed[disk].insert(number, slot.clone());
        self.log.push(Event::Write((disk, number), slot));
    }
}

/// The blocks that a range touches: number, first byte within the block, and the part of the range that lies in it.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u32, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let place = done..len.min(done + BLOCK - within);
        done = place.end;
        (!place.is_empty()).then(|| ((at / BLOCK as u64) as u32, within, place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_logged_block_by_block() {
        let mut platters = Platters::new(&[4, 4]);
        platters.write(1, 4000, &[7; 200]);
        assert_eq!(platters.read(1, 3999, 300)[..202], [&[0][..], &[7; 200], &[0]].concat());
        assert_eq!(platters.read(0, 0, 9), [0; 9]);
        assert_eq!(platters.read(1, 4 * 4096 - 3, 100), [0; 3], "short at the end");
        platters.flush(1);
        platters.zero(1, 0, 4096);
        platters.zero(1, 8192, 4096);
        let log = platters.take_log();
        let places: Vec<_> = log.iter().map(|event| matches!(event, Event::Write((1, 0 | 1), _))).collect();
        assert_eq!(places, [true, true, false, true], "zeros over zeros are no change: {log:?}");
    }

    #[test]
    fn a_revert_takes_every_change_back_and_the_hash_tells_images_apart() {
        let mut platters = Platters::new(&[4]);
        platters.write(0, 0, &[1; 4096]);
        let Some(Event::Write(at, written)) = platters.take_log().pop() else { panic!("a write") };
        platters.advance(at, written.clone());
        platters.write(0, 0, &[2; 8192]);
        let then = platters.images();
        platters.revert(&[((0, 3), written.clone())]);
        assert_eq!(platters.read(0, 0, 16384), [[1; 4096], [0; 4096], [0; 4096], [1; 4096]].concat());
        platters.load(then);
        assert_eq!(platters.read(0, 0, 12288), [[2; 4096], [2; 4096], [0; 4096]].concat());
        assert_ne!(hash_at((0, 0), &written), hash_at((0, 1), &written));
        assert_ne!(hash_at((0, 0), &written), hash_at((1, 0), &written));
        assert_eq!(hash_at((0, 0), &None), 0);
    }
}
