//! The tar stream of one volume, put together from its frames.

use volsnap_core::ports::FsError;

use super::{
    decompress::Content,
    format::{First, Frame},
    header::BLOCK,
    name,
    pipeline::Drain,
};
use crate::tree::Trouble;

/// Reads through the frames of a volume, and holds the index to what it says of members' beginnings.
pub(super) struct Stream<'a> {
    drain: Drain<Content>,
    frames: &'a [Frame],
    /// Frames taken so far.
    taken: usize,
    /// Content of the frame taken last, and how far it was read.
    content: Vec<u8>,
    at: usize,
    /// Frames whose first member has been compared with the index.
    compared: usize,
    /// The name of the member that began last; empty before the first.
    member: Vec<u8>,
    trouble: &'a Trouble,
}

/// A place in the stream.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    frame: usize,
    offset: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(drain: Drain<Content>, frames: &'a [Frame], trouble: &'a Trouble) -> Self {
        Stream { drain, frames, taken: 0, content: Vec::new(), at: 0, compared: 0, member: Vec::new(), trouble }
    }

    /// Whether everything was read.
    pub(super) fn at_end(&mut self) -> Result<bool, FsError> {
        if self.at == self.content.len() && self.taken < self.frames.len() {
            self.content = self.drain.next().ok_or_else(|| self.cut_off())??;
            (self.taken, self.at) = (self.taken + 1, 0);
        }
        Ok(self.at == self.content.len())
    }

    /// Where it stands; to be asked when not at the end.
    pub(super) fn mark(&self) -> Mark {
        Mark { frame: self.taken - 1, offset: self.at }
    }

    /// The next bytes, at most `bytes_max` of them and at least one.
    pub(super) fn chunk(&mut self, bytes_max: u64) -> Result<&[u8], FsError> {
        if self.at_end()? {
            return Err(self.cut_off());
        }
        let rest = &self.content[self.at..];
        let length = rest.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        self.at += length;
        Ok(&rest[..length])
    }

    /// The next tar block.
    pub(super) fn block(&mut self) -> Result<[u8; BLOCK], FsError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let chunk = self.chunk((BLOCK - filled) as u64)?;
            block[filled..filled + chunk.len()].copy_from_slice(chunk);
            filled += chunk.len();
        }
        Ok(block)
    }

    /// So many bytes; the caller bounds them.
    pub(super) fn bytes(&mut self, length: usize) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let chunk = self.chunk((length - bytes.len()) as u64)?;
            bytes.extend_from_slice(chunk);
        }
        Ok(bytes)
    }

    /// A member of that name began at `mark`: if it is the first in its frame, the index must say the same.
    pub(super) fn began(&mut self, mark: Mark, name: &[u8]) -> Result<(), FsError> {
        self.member.clear();
        self.member.extend_from_slice(name);
        if mark.frame < self.compared {
            return Ok(());
        }
        let here = First { offset: u32::try_from(mark.offset).unwrap_or(u32::MAX), name: name::escape(name) };
        self.compare(mark.frame, Some(&here))
    }

    /// Where it stands, for people.
    pub(super) fn place(&self) -> String {
        match self.member.as_slice() {
            [] => "at the beginning of a volume".into(),
            member => format!("after `{}`", Trouble::show(member)),
        }
    }

    /// The volume is read to its end.
    pub(super) fn finish(mut self) -> Result<(), FsError> {
        match self.frames.len() {
            count if count > self.compared => self.compare(count - 1, None),
            _ => Ok(()),
        }
    }

    /// No member began in the frames since the last comparison, and `first` did in this one.
    fn compare(&mut self, frame: usize, first: Option<&First>) -> Result<(), FsError> {
        let skipped = self.frames[self.compared..frame].iter().all(|frame| frame.first.is_none());
        self.compared = frame + 1;
        match skipped && self.frames[frame].first.as_ref() == first {
            true => Ok(()),
            false => Err(self.trouble.corrupt(format!("the index finds other members {}", self.place()))),
        }
    }

    fn cut_off(&self) -> FsError {
        self.trouble.corrupt(format!("a member is cut off {}", self.place()))
    }
}
