//! What was read of each member while the app ran, in the order of members: how one knows later whether it is still
//! the same, and where its copy is.

use rustix::fs::{Statx, StatxFlags, StatxTimestamp};
use volsnap_core::ports::FsError;

use super::{
    name,
    notes::{Reader, Writer},
    source::{Seen, Size},
};
use crate::tree::device;

/// What is known of an entry without reading it. Owner, mode, number of names and attributes cannot change without its
/// time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    device: u64,
    inode: u64,
    birth: (u64, u64),
    mode: u64,
    size: u64,
    modified: (u64, u64),
    changed: (u64, u64),
}

impl Facts {
    fn of(stat: &Statx) -> Self {
        let time = |time: &StatxTimestamp| (time.tv_sec.cast_unsigned(), u64::from(time.tv_nsec));
        let born = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        Facts {
            device: device(stat),
            inode: stat.stx_ino,
            birth: if born { time(&stat.stx_btime) } else { (0, 0) },
            mode: stat.stx_mode.into(),
            size: stat.stx_size,
            modified: time(&stat.stx_mtime),
            changed: time(&stat.stx_ctime),
        }
    }

    fn numbers(&self) -> [u64; 10] {
        let Facts { device, inode, birth, mode, size, modified, changed } = *self;
        [device, inode, birth.0, birth.1, mode, size, modified.0, modified.1, changed.0, changed.1]
    }

    fn from_numbers(numbers: [u64; 10]) -> Self {
        let [device, inode, b0, b1, mode, size, m0, m1, c0, c1] = numbers;
        Facts { device, inode, birth: (b0, b1), mode, size, modified: (m0, m1), changed: (c0, c1) }
    }
}

/// A member that was read.
pub(super) struct Record {
    /// Path below the volume's root.
    pub(super) path: Vec<u8>,
    first_name: Vec<u8>,
    facts: Facts,
    pub(super) size: Size,
    /// Where it begins in the volume's stream. It ends where the next one begins.
    pub(super) offset: u64,
}

/// Notes a member whose header begins at `offset`.
pub(super) fn write(notes: &mut Writer, seen: &Seen<'_>, size: Size, offset: u64) -> Result<(), FsError> {
    notes.string(seen.path)?;
    notes.string(seen.first_name)?;
    for number in Facts::of(seen.stat).numbers().into_iter().chain([size.bytes, size.allocated, offset]) {
        notes.number(number)?;
    }
    Ok(())
}

/// The members of one volume that were read.
pub(super) struct Log<'a> {
    notes: Reader<'a>,
    /// Where the volume's stream ends.
    end: u64,
    next: Option<Record>,
    after: Option<Record>,
}

impl<'a> Log<'a> {
    pub(super) fn new(notes: Reader<'a>, end: u64) -> Result<Self, FsError> {
        let mut log = Log { notes, end, next: None, after: None };
        log.skip()?;
        log.skip()?;
        Ok(log)
    }

    /// The next member and where it ends.
    pub(super) fn peek(&self) -> Option<(&Record, u64)> {
        let end = self.after.as_ref().map_or(self.end, |after| after.offset);
        self.next.as_ref().map(|record| (record, end))
    }

    pub(super) fn skip(&mut self) -> Result<(), FsError> {
        let read = if self.notes.at_end() { None } else { Some(read(&mut self.notes)?) };
        self.next = std::mem::replace(&mut self.after, read);
        Ok(())
    }

    /// Goes on to a path, past all that come before it in the order of members; gives the member of that path.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<(&Record, u64)>, FsError> {
        while self.next.as_ref().is_some_and(|next| next.path != path && name::order(&next.path, path).is_lt()) {
            self.skip()?;
        }
        Ok(self.peek().filter(|(record, _)| record.path == path))
    }
}

fn read(notes: &mut Reader<'_>) -> Result<Record, FsError> {
    let (path, first_name) = (notes.string()?, notes.string()?);
    let mut facts = [0; 10];
    for number in &mut facts {
        *number = notes.number()?;
    }
    let size = Size { bytes: notes.number()?, allocated: notes.number()? };
    Ok(Record { path, first_name, facts: Facts::from_numbers(facts), size, offset: notes.number()? })
}

impl Record {
    /// Whether it is what is seen now, and was last changed before that second.
    pub(super) fn is_still(&self, seen: &Seen<'_>, before: i64) -> bool {
        self.facts == Facts::of(seen.stat)
            && self.facts.changed.0.cast_signed() < before
            && self.first_name == seen.first_name
    }
}
