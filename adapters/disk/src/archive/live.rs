//! Members straight into the stream that is being cut into frames.

use std::path::Path;

use rustix::{fs::Statx, io::Errno};
use volsnap_core::ports::{FsError, FsErrorKind};

use super::{
    compress::{Closed, Cutter},
    log, notes,
    progress::Meter,
    source::{Seen, Size, Source, Taker},
    spool::open_unnamed,
};
use crate::{
    direct::{self, Direct},
    tree::Trouble,
};

/// Takes members as they are read.
pub(super) struct Live<'a> {
    cutter: &'a mut Cutter,
    /// Where the volume's stream begins.
    start: u64,
    /// Where it is noted what was read, for a capture that follows.
    log: Option<&'a mut notes::Writer>,
    landing: Option<Landing<'a>>,
    trouble: &'a Trouble,
}

impl<'a> Live<'a> {
    /// The cutter must stand between two frames.
    pub(super) fn new(
        cutter: &'a mut Cutter,
        log: Option<&'a mut notes::Writer>,
        landing: Option<Landing<'a>>,
        trouble: &'a Trouble,
    ) -> Self {
        let start = cutter.at();
        Live { cutter, start, log, landing, trouble }
    }

    fn closed(&self, closed: &Closed) -> FsError {
        closed.error(self.trouble)
    }
}

/// What is to land before it is read.
pub(super) struct Landing<'a> {
    pub(super) direct: &'a Direct,
    /// The volume, whose filesystem it is.
    pub(super) root: &'a Path,
}

impl Landing<'_> {
    /// Waits for what is in flight to a file; gives whether that could be.
    pub(super) fn wait(&self, from: &Source<'_>, stat: &Statx) -> Result<bool, FsError> {
        if !self.direct.has(stat) {
            return Ok(false);
        }
        // Where no such file can be made, none can share its blocks.
        if let Ok(unnamed) = open_unnamed(self.root) {
            let landed = direct::land(from.file, unnamed.into());
            landed.map_err(|why| {
                let message = format!("`{}`: {why}; `create --mode stop` waits for them", Trouble::show(from.path));
                from.trouble.of(FsErrorKind::Transient, message)
            })?;
        }
        Ok(true)
    }
}

impl Closed {
    /// The failure, for those who do not know the writer's.
    pub(super) fn error(&self, trouble: &Trouble) -> FsError {
        trouble.of(FsErrorKind::Io, "the archive cannot be written any more")
    }
}

impl Taker for Live<'_> {
    fn keep(&mut self, _: &Seen<'_>) -> Result<Option<Size>, FsError> {
        Ok(None)
    }

    fn land(&mut self, from: &Source<'_>, stat: &Statx) -> Result<bool, FsError> {
        self.landing.as_ref().map_or(Ok(false), |landing| landing.wait(from, stat))
    }

    fn begin(&mut self, seen: &Seen<'_>, name: &[u8], header: &[u8], size: Size) -> Result<(), FsError> {
        if let Some(notes) = &mut self.log {
            log::write(notes, seen, size, self.cutter.at() - self.start)?;
        }
        self.cutter.begin(name);
        self.cutter.write(header).map_err(|closed| self.closed(&closed))
    }

    fn data(&mut self, from: &Source<'_>, mut at: u64, end: u64, meter: &mut Meter<'_>) -> Result<u64, FsError> {
        while at < end {
            let room = self.cutter.room();
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(room.len());
            match rustix::io::pread(from.file, &mut room[..wanted], at) {
                Ok(0) => break,
                Ok(read) => {
                    self.cutter.filled(read).map_err(|closed| self.closed(&closed))?;
                    at += read as u64;
                    meter.add(read as u64, 0)?;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(from.trouble.entry(from.path, "read", error)),
            }
        }
        Ok(at)
    }

    fn zeros(&mut self, bytes: u64) -> Result<(), FsError> {
        self.cutter.zeros(bytes).map_err(|closed| self.closed(&closed))
    }
}
