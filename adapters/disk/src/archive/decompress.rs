//! The reading half of frames: read in order, checked and decompressed ahead in parallel, handed out in order.

use std::thread::Scope;

use volsnap_core::ports::{FsError, FsErrorKind};
use zstd::bulk::Decompressor;

use super::{
    format::{Digest, First, Frame},
    open::{Archive, read_at},
    pipeline::{Drain, pipeline},
};
use crate::tree::Trouble;

/// The content of a frame, or why there is none.
pub(super) type Content = Result<Vec<u8>, FsError>;

/// Starts to read frames, by ascending numbers. When the drain is dropped, it ends.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    archive: &'scope Archive,
    numbers: impl IntoIterator<Item = usize, IntoIter: Send + 'scope>,
) -> Drain<Content> {
    let (feed, drain) = pipeline(scope, archive.jobs, Unpacker::new, |unpacker, (number, stored): (usize, Content)| {
        let content = unpacker.unpack(number, &stored?, &archive.index.frames[number], &archive.trouble);
        content.map_err(|error| naming(archive, number, error))
    });
    let numbers = numbers.into_iter();
    scope.spawn(move || {
        let frames = &archive.index.frames;
        let (mut next, mut offset) = (0, 0);
        for number in numbers {
            offset += frames[next..number].iter().map(|frame| u64::from(frame.stored_bytes)).sum::<u64>();
            let mut stored = vec![0; frames[number].stored_bytes as usize];
            let read = read_at(&archive.file, &mut stored, offset, &archive.trouble);
            (next, offset) = (number + 1, offset + stored.len() as u64);
            if !feed.push((number, read.map(|()| stored))) {
                return;
            }
        }
    });
    drain
}

/// Starts to compare all frames, in their order, as they are stored with their digests.
pub(super) fn compare<'scope>(
    scope: &'scope Scope<'scope, '_>,
    archive: &'scope Archive,
) -> Drain<Result<(), FsError>> {
    let (feed, drain) = pipeline(scope, archive.jobs, Vec::new, |stored, (number, offset): (usize, u64)| {
        let frame = &archive.index.frames[number];
        stored.resize(frame.stored_bytes as usize, 0);
        read_at(&archive.file, stored, offset, &archive.trouble)?;
        check_stored(number, stored, frame, &archive.trouble).map_err(|error| naming(archive, number, error))
    });
    scope.spawn(move || {
        let mut offset = 0;
        for (number, frame) in archive.index.frames.iter().enumerate() {
            if !feed.push((number, offset)) {
                return;
            }
            offset += u64::from(frame.stored_bytes);
        }
    });
    drain
}

fn check_stored(number: usize, stored: &[u8], frame: &Frame, trouble: &Trouble) -> Result<(), FsError> {
    match Digest::of(stored) == frame.stored_digest {
        true => Ok(()),
        false => Err(trouble.corrupt(format!("frame {number} does not have its digest"))),
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
pub(super) struct Unpacker(std::io::Result<Decompressor<'static>>);

impl Unpacker {
    pub(super) fn new() -> Self {
        Unpacker(Decompressor::new())
    }

    /// The content of frame `number`. Nothing of it is looked at before both digests are seen to be right.
    pub(super) fn unpack(&mut self, number: usize, stored: &[u8], frame: &Frame, trouble: &Trouble) -> Content {
        let damaged = |what: &str| trouble.corrupt(format!("frame {number} {what}"));
        check_stored(number, stored, frame, trouble)?;
        let unpacker = self.0.as_mut().map_err(|e| trouble.of(FsErrorKind::Io, format!("cannot decompress: {e}")))?;
        let mut content = Vec::with_capacity(frame.bytes as usize);
        // The buffer's capacity bounds what comes out, whatever the frame claims.
        unpacker.decompress_to_buffer(stored, &mut content).map_err(|e| damaged(&format!("cannot be read: {e}")))?;
        if content.len() != frame.bytes as usize || Digest::of(&content) != frame.digest {
            return Err(damaged("has other content than the index says"));
        }
        Ok(content)
    }
}
