//! The tar stream of one volume, put together from its frames.

use std::{
    ops::{Deref, Range},
    sync::Arc,
};

use volsnap_core::ports::FsError;

use super::{
    buffer::Buffer,
    decompress::Content,
    format::{FRAME_MAX, First, Frame},
    header::BLOCK,
    name,
    pipeline::Drain,
    zeros,
};
use crate::tree::Trouble;

/// Where the contents of a volume's frames come from.
pub(super) trait Frames {
    /// The content of the frame of that number among those of the stream. Numbers ascend; some may be left out.
    fn take(&mut self, number: usize) -> Option<Content>;
}

/// Every frame in turn.
impl Frames for Drain<Content> {
    fn take(&mut self, _: usize) -> Option<Content> {
        self.next()
    }
}

/// Reads through the frames of a volume, and holds the index to what it says of members' beginnings.
pub(super) struct Stream<'a, F = Drain<Content>> {
    source: F,
    frames: &'a [Frame],
    /// Frames taken so far.
    taken: usize,
    /// Content of the frame taken last, and how far it was read.
    content: Arc<Buffer>,
    at: usize,
    /// Frames whose first member has been compared with the index.
    compared: usize,
    /// The name of the member that began last; empty before the first.
    member: Vec<u8>,
    trouble: &'a Trouble,
}

/// Some bytes of a frame's content, which stays in memory as long as somebody holds any of it.
pub(super) struct Piece {
    content: Arc<Buffer>,
    range: Range<usize>,
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.content[self.range.clone()]
    }
}

/// A place in the stream.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    frame: usize,
    offset: usize,
}

impl<'a, F: Frames> Stream<'a, F> {
    pub(super) fn new(source: F, frames: &'a [Frame], trouble: &'a Trouble) -> Self {
        let (content, member) = (Arc::default(), Vec::new());
        Stream { source, frames, taken: 0, content, at: 0, compared: 0, member, trouble }
    }

    /// Whether everything was read.
    pub(super) fn at_end(&mut self) -> Result<bool, FsError> {
        if self.at == self.content.len() && self.taken < self.frames.len() {
            let content = self.source.take(self.taken);
            self.content = Arc::new(content.ok_or_else(|| self.cut_off())??);
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
        let range = self.next(bytes_max)?;
        Ok(&self.content[range])
    }

    /// Passes over the next bytes, at most `bytes_max` of them and at least one; gives how many, or `None` if they are not
    /// all zeros.
    pub(super) fn zeros(&mut self, bytes_max: u64) -> Result<Option<u64>, FsError> {
        let range = self.next(bytes_max)?;
        let length = range.len() as u64;
        let are_zeros = self.content.is_zeros() || zeros::are_in(&self.content[range]);
        Ok(are_zeros.then_some(length))
    }

    /// The next bytes, at most `bytes_max` of them and at least one, to be kept.
    pub(super) fn piece(&mut self, bytes_max: u64) -> Result<Piece, FsError> {
        let range = self.next(bytes_max)?;
        Ok(Piece { content: Arc::clone(&self.content), range })
    }

    /// Passes over the next bytes of the current frame.
    fn next(&mut self, bytes_max: u64) -> Result<Range<usize>, FsError> {
        if self.at_end()? {
            return Err(self.cut_off());
        }
        let start = self.at;
        self.at += (self.content.len() - start).min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
        Ok(start..self.at)
    }

    /// Goes on to where the index says that the first member of the first frame begins, before anything else is read.
    pub(super) fn skip_to_first(&mut self) -> Result<(), FsError> {
        let offset = self.frames.first().and_then(|frame| frame.first.as_ref()).map_or(0, |first| first.offset);
        match (offset as usize).is_multiple_of(BLOCK) {
            true => self.skip(offset.into()),
            false => Err(self.trouble.corrupt("the index finds a member where none can begin")),
        }
    }

    /// Leaves so many bytes out. Frames that hold nothing else are not read.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), FsError> {
        let mut left = bytes;
        while left > 0 {
            let untouched = match self.at == self.content.len() {
                true => self.frames.get(self.taken).filter(|frame| frame.first.is_none()),
                false => None,
            };
            match untouched.map(|frame| u64::from(frame.bytes)) {
                Some(bytes) if bytes <= left => {
                    // Nobody looks at the content, so its length is held to the format.
                    if self.taken + 1 < self.frames.len() && bytes != FRAME_MAX as u64 {
                        return Err(self.trouble.corrupt("a frame in the middle of a volume is not full"));
                    }
                    left -= bytes;
                    (self.content, self.at) = (Arc::default(), 0);
                    self.taken += 1;
                }
                _ => left -= self.chunk(left)?.len() as u64,
            }
        }
        Ok(())
    }

    /// The numbers of the frames that hold the next so many bytes, apart from those that are in hand.
    pub(super) fn holding(&self, bytes: u64) -> Range<usize> {
        let mut left = bytes.saturating_sub((self.content.len() - self.at) as u64);
        let mut end = self.taken;
        while let (1.., Some(frame)) = (left, self.frames.get(end)) {
            left = left.saturating_sub(frame.bytes.into());
            end += 1;
        }
        self.taken..end
    }

    pub(super) fn source(&mut self) -> &mut F {
        &mut self.source
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
    pub(super) fn finish(&mut self) -> Result<(), FsError> {
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
