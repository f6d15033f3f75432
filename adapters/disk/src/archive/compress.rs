//! The writing half of frames: a byte stream is cut into frames, which are compressed in parallel and written in order.

use std::{fs::File, io::Write, thread::Scope};

use volsnap_core::ports::{FsError, FsErrorKind};

use super::{
    behind::WriteBehind,
    format::{Digest, FRAME_MAX, First, Frame},
    name,
    pipeline::{Drain, Feed, pipeline},
    squeeze::Squeezer,
    zeros,
};
use crate::{budget::Jobs, tree::Trouble};

/// Takes the stream and cuts it.
pub(super) struct Cutter {
    feed: Feed<Cut, Compressed>,
    /// Content of the frame being filled: `used` bytes of [`FRAME_MAX`].
    content: Vec<u8>,
    used: usize,
    first: Option<First>,
    cut: usize,
}

/// A frame on its way to a worker.
enum Cut {
    Content(Vec<u8>, Option<First>),
    /// As many zeros as it can hold.
    Zeros(Option<First>),
    /// It is compressed already, and stands at that offset of an earlier file.
    Stored(u64, Frame),
}

/// A frame on its way to the file.
pub(super) struct Compressed(Result<(Bytes, Frame), std::io::Error>);

/// A frame as it is to lie in the file, or where it lies in an earlier one.
enum Bytes {
    Here(Vec<u8>),
    Known(&'static [u8]),
    At(u64),
}

/// Starts so many workers.
pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, jobs: &Jobs) -> (Cutter, Drain<Compressed>) {
    let (feed, drain) = pipeline(scope, jobs, Squeezer::new, |squeezer, cut| {
        Compressed(match cut {
            Cut::Content(content, first) => compress(squeezer, &content, first),
            Cut::Zeros(first) => {
                zeros::frame().map(|(stored, frame)| (Bytes::Known(stored), Frame { first, ..frame.clone() }))
            }
            Cut::Stored(offset, frame) => Ok((Bytes::At(offset), frame)),
        })
    });
    (Cutter { feed, content: vec![0; FRAME_MAX], used: 0, first: None, cut: 0 }, drain)
}

/// Nobody takes frames any more: writing failed, and that failure is the one to report.
pub(super) struct Closed;

impl Cutter {
    /// A member begins here.
    pub(super) fn begin(&mut self, name: &[u8]) {
        if self.first.is_none() {
            // A full frame is cut at once, so the offset is less than the frame's length and fits.
            let offset = u32::try_from(self.used).unwrap_or(u32::MAX);
            self.first = Some(First { offset, name: name::escape(name) });
        }
    }

    /// Room for at least one byte, to be filled and then told of with [`Cutter::filled`].
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.content[self.used..]
    }

    /// So many bytes of the room have been filled.
    pub(super) fn filled(&mut self, bytes: usize) -> Result<(), Closed> {
        self.used += bytes;
        if self.used == FRAME_MAX { self.cut().map(drop) } else { Ok(()) }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Closed> {
        while !bytes.is_empty() {
            let room = self.room();
            let length = room.len().min(bytes.len());
            room[..length].copy_from_slice(&bytes[..length]);
            self.filled(length)?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    pub(super) fn zeros(&mut self, mut bytes: u64) -> Result<(), Closed> {
        while bytes > 0 {
            if self.used == 0 && bytes >= FRAME_MAX as u64 {
                self.cut += 1;
                if !self.feed.push(Cut::Zeros(self.first.take())) {
                    return Err(Closed);
                }
                bytes -= FRAME_MAX as u64;
                continue;
            }
            let room = self.room();
            let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(room.len());
            room[..length].fill(0);
            self.filled(length)?;
            bytes -= length as u64;
        }
        Ok(())
    }

    /// How far the stream has come, counted as if all frames so far were full.
    pub(super) fn at(&self) -> u64 {
        self.cut as u64 * FRAME_MAX as u64 + self.used as u64
    }

    /// Whether the next byte begins a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.used == 0
    }

    /// Takes a whole frame from an earlier file, where it stands at that offset. The current one must have ended.
    pub(super) fn stored(&mut self, offset: u64, frame: Frame) -> Result<(), Closed> {
        self.cut += 1;
        if self.feed.push(Cut::Stored(offset, frame)) { Ok(()) } else { Err(Closed) }
    }

    /// Ends the current frame, if it holds anything; gives the number of frames so far.
    pub(super) fn cut(&mut self) -> Result<usize, Closed> {
        if self.used > 0 {
            let mut content = std::mem::replace(&mut self.content, vec![0; FRAME_MAX]);
            content.truncate(self.used);
            self.used = 0;
            self.cut += 1;
            if !self.feed.push(Cut::Content(content, self.first.take())) {
                return Err(Closed);
            }
        }
        Ok(self.cut)
    }
}

/// Writes frames as they come, in order, until the cutter is dropped. `earlier` takes over those that stand in an
/// earlier file. Most of them are on the disk by then.
pub(super) fn write_frames(
    drain: &Drain<Compressed>,
    mut file: &File,
    mut earlier: impl FnMut(u64, &Frame) -> Result<(), FsError>,
    trouble: &Trouble,
) -> Result<Vec<Frame>, FsError> {
    let synced = file.try_clone().map_err(|e| io_error(trouble, "write", &e))?;
    let mut behind = WriteBehind::start(move || rustix::fs::fdatasync(&synced));
    let mut frames = Vec::new();
    while let Some(Compressed(result)) = drain.next() {
        let (bytes, frame) = result.map_err(|e| trouble.of(FsErrorKind::Io, format!("cannot compress: {e}")))?;
        match bytes {
            Bytes::Here(stored) => file.write_all(&stored).map_err(|e| io_error(trouble, "write", &e))?,
            Bytes::Known(stored) => file.write_all(stored).map_err(|e| io_error(trouble, "write", &e))?,
            Bytes::At(offset) => earlier(offset, &frame)?,
        }
        behind.wrote(frame.stored_bytes.into());
        frames.push(frame);
    }
    behind.end().map_err(|e| trouble.sync("the archive", e))?;
    Ok(frames)
}

/// An error of the standard library's calls on files.
pub(super) fn io_error(trouble: &Trouble, doing: &str, error: &std::io::Error) -> FsError {
    match rustix::io::Errno::from_io_error(error) {
        Some(errno) => trouble.errno(doing, errno),
        None => trouble.of(FsErrorKind::Io, format!("cannot {doing}: {error}")),
    }
}

fn compress(
    squeezer: &mut std::io::Result<Squeezer>,
    content: &[u8],
    first: Option<First>,
) -> std::io::Result<(Bytes, Frame)> {
    let stored = squeezer.as_mut().map_err(|e| std::io::Error::new(e.kind(), e.to_string()))?.squeeze(content)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(std::io::Error::other);
    let frame = Frame {
        stored_bytes: length(&stored)?,
        stored_digest: Digest::of(&stored),
        bytes: length(content)?,
        digest: Digest::of(content),
        first,
    };
    Ok((Bytes::Here(stored), frame))
}
