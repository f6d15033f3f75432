//! The reading half of frames: read in order, checked and decompressed ahead in parallel, handed out in order.

use std::{fs::File, num::NonZeroU64, thread::Scope};

use rustix::fs::Advice;
use volsnap_core::ports::{FsError, FsErrorKind};
use zstd::bulk::Decompressor;

use super::{
    buffer::{Buffer, Pool},
    format::{Digest, First, Frame},
    open::{Archive, read_at},
    pipeline::{Drain, Feed, pipeline},
    zeros,
};
use crate::tree::Trouble;

/// The content of a frame, or why there is none.
pub(super) type Content = Result<Buffer, FsError>;

/// Starts to read frames, by ascending numbers. When the drain is dropped, it ends.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    archive: &'scope Archive,
    numbers: impl IntoIterator<Item = usize, IntoIter: Send + 'scope>,
) -> Drain<Content> {
    let pool = Pool::default();
    let context = move || (Unpacker::new(), pool.clone());
    let (feed, drain) = pipeline(scope, &archive.jobs, context, |(unpacker, pool), (number, offset): (usize, u64)| {
        let mut content = pool.take();
        let read = unpacker.read_into(&mut content, &archive.stored(number, offset));
        let content = pool.lend(content);
        read.map(|unpacked| match unpacked {
            Unpacked::Content => content,
            Unpacked::Zeros => Buffer::zeros(),
        })
        .map_err(|error| naming(archive, number, error))
    });
    feed_frames(scope, archive, numbers, feed);
    drain
}

/// Hands frames to whoever reads them, with where they lie. The disk is told of them before, so that it does not wait for
/// the processors.
fn feed_frames<'scope, O: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    archive: &'scope Archive,
    numbers: impl IntoIterator<Item = usize, IntoIter: Send + 'scope>,
    feed: Feed<(usize, u64), O>,
) {
    let numbers = numbers.into_iter();
    scope.spawn(move || {
        let frames = &archive.index.frames;
        let (mut next, mut offset) = (0, 0);
        for number in numbers {
            offset += frames[next..number].iter().map(|frame| u64::from(frame.stored_bytes)).sum::<u64>();
            let stored_bytes = u64::from(frames[number].stored_bytes);
            // Without it everything is read all the same.
            let _ = rustix::fs::fadvise(&archive.file, offset, NonZeroU64::new(stored_bytes), Advice::WillNeed);
            if !feed.push((number, offset)) {
                return;
            }
            (next, offset) = (number + 1, offset + stored_bytes);
        }
    });
}

/// Starts to compare all frames, in their order, as they are stored with their digests.
pub(super) fn compare<'scope>(
    scope: &'scope Scope<'scope, '_>,
    archive: &'scope Archive,
) -> Drain<Result<(), FsError>> {
    let (feed, drain) = pipeline(scope, &archive.jobs, Vec::new, |bytes, (number, offset): (usize, u64)| {
        archive.stored(number, offset).read(bytes).map_err(|error| naming(archive, number, error))
    });
    feed_frames(scope, archive, 0..archive.index.frames.len(), feed);
    drain
}

/// A frame as it lies in a file.
pub(super) struct Stored<'a> {
    pub(super) number: usize,
    pub(super) frame: &'a Frame,
    pub(super) file: &'a File,
    pub(super) offset: u64,
    pub(super) trouble: &'a Trouble,
}

impl Stored<'_> {
    /// Reads it as it is stored, which must be what the index says.
    pub(super) fn read(&self, bytes: &mut Vec<u8>) -> Result<(), FsError> {
        bytes.resize(self.frame.stored_bytes as usize, 0);
        read_at(self.file, bytes, self.offset, self.trouble)?;
        match Digest::of(bytes) == self.frame.stored_digest {
            true => Ok(()),
            false => Err(self.damaged("does not have its digest")),
        }
    }

    fn damaged(&self, what: &str) -> FsError {
        self.trouble.corrupt(format!("frame {} {what}", self.number))
    }
}

/// Says which member a damaged frame holds at least a part of.
fn naming(archive: &Archive, number: usize, error: FsError) -> FsError {
    let firsts = archive.index.frames[..=number].iter().rev().map(|frame| frame.first.as_ref());
    match firsts.flatten().next() {
        Some(First { name, .. }) if error.kind == FsErrorKind::Corrupt => {
            let message = format!("{}; it holds a part of `{}`", error.message, Trouble::show(name.as_bytes()));
            FsError { message, ..error }
        }
        _ => error,
    }
}

/// Decompresses frames that are what the index says.
pub(super) struct Unpacker {
    decompressor: std::io::Result<Decompressor<'static>>,
    stored: Vec<u8>,
    /// What was stored of a frame that was seen to be one of zeros.
    zeros: Option<Digest>,
}

/// What a frame holds.
enum Unpacked {
    Content,
    /// A whole frame of zeros, which nobody has to unpack twice.
    Zeros,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Unpacker { decompressor: Decompressor::new(), stored: Vec::new(), zeros: None }
    }

    /// The content of a frame.
    pub(super) fn read(&mut self, from: &Stored<'_>) -> Result<Vec<u8>, FsError> {
        let mut content = Vec::new();
        match self.read_into(&mut content, from)? {
            Unpacked::Content => Ok(content),
            Unpacked::Zeros => Ok(vec![0; from.frame.bytes as usize]),
        }
    }

    /// Puts a frame's content in the place of what was there. Nothing of it is looked at before both digests are seen to
    /// be right.
    fn read_into(&mut self, content: &mut Vec<u8>, from: &Stored<'_>) -> Result<Unpacked, FsError> {
        from.read(&mut self.stored)?;
        let zeros = zeros::is_of(from.frame).then_some(from.frame.stored_digest);
        if zeros.is_some() && zeros == self.zeros {
            return Ok(Unpacked::Zeros);
        }
        let cannot = |e: &mut std::io::Error| from.trouble.of(FsErrorKind::Io, format!("cannot decompress: {e}"));
        let decompressor = self.decompressor.as_mut().map_err(cannot)?;
        content.clear();
        content.reserve_exact(from.frame.bytes as usize);
        // The buffer's capacity bounds what comes out, whatever the frame claims.
        let unpacked = decompressor.decompress_to_buffer(&self.stored, content);
        unpacked.map_err(|e| from.damaged(&format!("cannot be read: {e}")))?;
        match content.len() == from.frame.bytes as usize && Digest::of(content) == from.frame.digest {
            true => {
                self.zeros = zeros.or(self.zeros);
                Ok(Unpacked::Content)
            }
            false => Err(from.damaged("has other content than the index says")),
        }
    }
}
