//! The last step of a snapshot, when the app runs again: the archive from what was read before and what was captured.
//!
//! What comes out has, frame by frame, the contents that a plain archive of the captured state has. A frame that is
//! still whole and in its place is taken over as it is stored.

use std::{fs::File, io::Write, os::unix::fs::FileExt, path::PathBuf};

use async_trait::async_trait;
use rustix::{fs::FallocateFlags, io::Errno};
use volsnap_core::{
    model::{ArchiveSummary, Manifest},
    ports::{DraftArchive, FsError, Phase, Watch},
};

use super::{
    compress::{Closed, Cutter, io_error},
    decompress::{Stored, Unpacker},
    draft::{Draft, Partial, sealing, write_end, write_stream, write_volume},
    format::{FRAME_MAX, Frame, Volume},
    log::Log,
    name,
    notes::Reader,
    open::read_at,
    progress::Meter,
    script::Step,
    zeros,
};
use crate::tree::Trouble;

/// Bytes in a block of the filesystems whose files can share blocks.
const BLOCK: u64 = 4096;
const FRAME: u64 = FRAME_MAX as u64;

/// Everything of an archive, in parts.
pub(super) struct Composition {
    pub(super) dir: PathBuf,
    pub(super) manifest: Manifest,
    /// What was read before.
    pub(super) partial: Partial,
    pub(super) frames: Vec<Frame>,
    pub(super) volumes: Vec<Scripted>,
    pub(super) log: File,
    pub(super) script: File,
    pub(super) spool: File,
    pub(super) watch: Watch,
    pub(super) trouble: Trouble,
}

/// A volume, in parts.
#[derive(Default)]
pub(super) struct Scripted {
    /// Its earlier frames, and its totals as they are to be.
    pub(super) frames: Volume,
    /// Length of its earlier stream.
    pub(super) bytes: u64,
    /// Where its parts of the log and of the script begin and end.
    pub(super) log: (u64, u64),
    pub(super) script: (u64, u64),
    /// Captured bytes that share their blocks with the volume.
    pub(super) clones: Option<File>,
    /// Whether it is as it was read before.
    pub(super) unchanged: bool,
}

#[async_trait]
impl DraftArchive for Composition {
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let trouble = self.trouble.clone();
        sealing(trouble, move || self.compose()?.finish(quiesced_ms)).await
    }
}

impl Composition {
    fn compose(self) -> Result<Draft, FsError> {
        let Composition { dir, manifest, mut partial, frames, volumes, log, script, spool, watch, trouble } = self;
        if volumes.iter().all(|volume| volume.unchanged) {
            let volumes = volumes.into_iter().map(|volume| volume.frames).collect();
            return Ok(Draft::new(partial, &dir, &manifest, (frames, volumes), &trouble));
        }
        let earlier = Earlier::new(partial.renew(&trouble)?, frames, &trouble);
        let take_over = |offset, frame: &Frame| earlier.take_over(&partial.file, offset, frame);
        let (volumes, frames) = write_stream(&partial, &partial.jobs, take_over, &trouble, |cutter| {
            let mut composer = Composer { earlier: &earlier, unpacked: None, unpacker: Unpacker::new(), spool: &spool };
            let mut meter = Meter::new(&watch, &trouble, Phase::Archive);
            composer.stored(cutter, 0)?;
            let mut composed = Vec::new();
            for (index, (volume, of)) in volumes.iter().zip(&manifest.volumes).enumerate() {
                let steps = Reader::new(&script, volume.script.0, volume.script.1, &trouble);
                let log = Log::new(Reader::new(&log, volume.log.0, volume.log.1, &trouble), volume.bytes)?;
                composed.push(write_volume(cutter, &of.target, &mut meter, &trouble, |cutter, meter| {
                    composer.volume(cutter, index, volume, (steps, log), meter)?;
                    Ok(volume.frames.totals.clone())
                })?);
            }
            write_end(cutter, &trouble)?;
            Ok(composed)
        })?;
        Ok(Draft::new(partial, &dir, &manifest, (frames, volumes), &trouble))
    }
}

/// The file that was written before; it has no name any more.
struct Earlier<'a> {
    file: File,
    frames: Vec<Frame>,
    /// Where each frame begins.
    offsets: Vec<u64>,
    trouble: &'a Trouble,
}

impl<'a> Earlier<'a> {
    fn new(file: File, frames: Vec<Frame>, trouble: &'a Trouble) -> Self {
        let begin = |end: &mut u64, frame: &Frame| {
            let begin = *end;
            *end += u64::from(frame.stored_bytes);
            Some(begin)
        };
        let offsets = frames.iter().scan(0, begin).collect();
        Earlier { file, frames, offsets, trouble }
    }

    /// The content of a frame, which must be what was written.
    fn content(&self, number: usize, unpacker: &mut Unpacker) -> Result<Vec<u8>, FsError> {
        let (frame, offset) = (&self.frames[number], self.offsets[number]);
        unpacker.read(&Stored { number, frame, file: &self.file, offset, trouble: self.trouble })
    }

    /// Copies a frame as it is stored. The kernel does it, and where both files have it at the same place within a
    /// block and the filesystem can, they share the blocks.
    fn take_over(&self, mut to: &File, offset: u64, frame: &Frame) -> Result<(), FsError> {
        let (mut at, end) = (offset, offset + u64::from(frame.stored_bytes));
        while at < end {
            let piece = if at % BLOCK == 0 { end } else { at.next_multiple_of(BLOCK).min(end) };
            let wanted = usize::try_from(piece - at).unwrap_or(usize::MAX);
            match rustix::fs::copy_file_range(&self.file, Some(&mut at), to, None, wanted) {
                Ok(1..) | Err(Errno::INTR) => {}
                // It has an end before the frame's, or this filesystem has no such call: reading tells which.
                Ok(0) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::XDEV | Errno::PERM) => {
                    let mut rest = vec![0; usize::try_from(end - at).unwrap_or(0)];
                    read_at(&self.file, &mut rest, at, self.trouble)?;
                    to.write_all(&rest).map_err(|e| io_error(self.trouble, "write", &e))?;
                    at = end;
                }
                Err(error) => return Err(self.trouble.errno("write", error)),
            }
        }
        self.spent(offset, end);
        Ok(())
    }

    /// Gives back the space of what is not needed any more, so that the two files together take little more than one.
    /// Where that cannot be done they take more for a while.
    fn spent(&self, from: u64, to: u64) {
        let (from, to) = (from.next_multiple_of(BLOCK), to / BLOCK * BLOCK);
        if from < to {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = rustix::fs::fallocate(&self.file, flags, from, to - from);
        }
    }
}

/// Follows the scripts.
struct Composer<'a> {
    earlier: &'a Earlier<'a>,
    /// The frame that was read last, by number.
    unpacked: Option<(usize, Vec<u8>)>,
    unpacker: Unpacker,
    spool: &'a File,
}

impl Composer<'_> {
    /// Puts one volume together.
    fn volume(
        &mut self,
        cutter: &mut Cutter,
        index: usize,
        volume: &Scripted,
        (mut steps, mut log): (Reader<'_>, Log<'_>),
        meter: &mut Meter<'_>,
    ) -> Result<(), FsError> {
        let root = name::volume_root(index);
        let closed = |closed: Closed| closed.error(self.earlier.trouble);
        while let Some(step) = Step::read(&mut steps)? {
            match step {
                Step::Keep { from, to } => {
                    // Only at the end of the volume a frame may be shorter than others.
                    let end = if steps.at_end() { to } else { u64::MAX };
                    self.keep(cutter, volume, &root, (from, to, end), &mut log, meter)?;
                }
                Step::Member { path, header } => {
                    cutter.begin(&name::in_volume(&root, &path));
                    cutter.write(&header).map_err(closed)?;
                }
                Step::Data { cloned, offset, bytes } => {
                    let file = volume.clones.as_ref().filter(|_| cloned).unwrap_or(self.spool);
                    self.data(cutter, file, offset, bytes, meter)?;
                }
                Step::Zeros(mut bytes) => {
                    while bytes > 0 {
                        let step = bytes.min(zeros::STEP);
                        cutter.zeros(step).map_err(closed)?;
                        meter.add(step, 0)?;
                        bytes -= step;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a part of the earlier stream, frame by frame where frames begin and end alike.
    fn keep(
        &mut self,
        cutter: &mut Cutter,
        volume: &Scripted,
        root: &[u8],
        (mut at, to, end): (u64, u64, u64),
        log: &mut Log<'_>,
        meter: &mut Meter<'_>,
    ) -> Result<(), FsError> {
        while at < to {
            let number = volume.frames.first_frame + usize::try_from(at / FRAME).unwrap_or(usize::MAX);
            let first = at / FRAME * FRAME;
            let last = first + u64::from(self.earlier.frames[number].bytes);
            let whole = at == first && last <= to && (last - first == FRAME || last == end);
            if whole && cutter.is_between_frames() {
                self.stored(cutter, number)?;
                meter.add(last - at, 0)?;
                at = last;
                continue;
            }
            while log.peek().is_some_and(|(record, _)| record.offset < at) {
                log.skip()?;
            }
            let begins = log.peek().filter(|(record, _)| record.offset == at);
            let until = match begins {
                Some((record, after)) => {
                    cutter.begin(&name::in_volume(root, &record.path));
                    after
                }
                None => log.peek().map_or(to, |(record, _)| record.offset),
            };
            let until = until.min(to).min(last);
            let place = |offset: u64| usize::try_from(offset - first).unwrap_or(usize::MAX);
            let trouble = self.earlier.trouble;
            let part = &self.content(number)?[place(at)..place(until)];
            cutter.write(part).map_err(|closed| closed.error(trouble))?;
            meter.add(until - at, 0)?;
            at = until;
        }
        Ok(())
    }

    /// Takes a whole frame as it is stored.
    fn stored(&mut self, cutter: &mut Cutter, number: usize) -> Result<(), FsError> {
        let (offset, frame) = (self.earlier.offsets[number], self.earlier.frames[number].clone());
        cutter.stored(offset, frame).map_err(|closed| closed.error(self.earlier.trouble))
    }

    /// The content of a frame; the same one is asked for many times, and none before the last one again.
    fn content(&mut self, number: usize) -> Result<&[u8], FsError> {
        if self.unpacked.as_ref().is_none_or(|(unpacked, _)| *unpacked != number) {
            if let Some((spent, _)) = self.unpacked.take() {
                let offset = self.earlier.offsets[spent];
                self.earlier.spent(offset, offset + u64::from(self.earlier.frames[spent].stored_bytes));
            }
            self.unpacked = Some((number, self.earlier.content(number, &mut self.unpacker)?));
        }
        Ok(self.unpacked.as_ref().map_or(&[], |(_, content)| content))
    }

    /// Takes captured bytes.
    fn data(
        &self,
        cutter: &mut Cutter,
        file: &File,
        mut at: u64,
        mut bytes: u64,
        meter: &mut Meter<'_>,
    ) -> Result<(), FsError> {
        while bytes > 0 {
            let room = cutter.room();
            let wanted = usize::try_from(bytes).unwrap_or(usize::MAX).min(room.len());
            let read = file.read_exact_at(&mut room[..wanted], at);
            read.map_err(|e| io_error(self.earlier.trouble, "read again what was captured for", &e))?;
            cutter.filled(wanted).map_err(|closed| closed.error(self.earlier.trouble))?;
            meter.add(wanted as u64, 0)?;
            at += wanted as u64;
            bytes -= wanted as u64;
        }
        Ok(())
    }
}
