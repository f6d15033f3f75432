//! The second pass of a snapshot, while the app is quiet: what is still as it was read is kept, and of the rest so much
//! is captured that the archive can be put together later.

use rustix::fs::Statx;
use volsnap_core::ports::{DraftArchive, FsError, Phase, Watch};

use super::{
    compose::{Composition, Scripted},
    draft::{no_earlier_file, write_stream, write_volume},
    format::Volume,
    live::{Landing, Live},
    log::Log,
    notes::{Reader, Writer},
    precopy::{Copied, Precopied},
    progress::Meter,
    script::Step,
    source::{Seen, Size, Source, Taker, read_volume},
    spool::{Clones, Spool},
};
use crate::direct::Direct;

impl Precopied {
    /// Captures the volumes as they are.
    pub fn capture(self, watch: &Watch) -> Result<Box<dyn DraftArchive>, FsError> {
        let Precopied {
            dir,
            manifest,
            sources,
            partial,
            mut frames,
            volumes,
            since,
            direct,
            log,
            mut script,
            mut spool,
            trouble,
        } = self;
        let (mut before, mut direct) = (since.unchanged_before(), direct);
        match Direct::seen() {
            Ok(now) => direct = direct.and(now),
            Err(why) => {
                tracing::warn!(why, "direct writes might go unnoticed; the volumes are read while the app is frozen");
                before = i64::MIN;
            }
        }
        // The app waits for the end of it.
        let jobs = partial.jobs.steady();
        let mut meter = Meter::new(watch, &trouble, Phase::Archive);
        let mut scripted = Vec::new();
        for (index, (source, copied)) in sources.iter().zip(volumes).enumerate() {
            let from = script.at();
            let Copied { frames: volume, bytes, log: (start, end), ground } = copied;
            scripted.push(match (&source.root, ground) {
                (None, _) => Scripted { frames: volume, unchanged: true, ..Scripted::default() },
                (Some(root), Some(mut ground)) => {
                    meter.volume(&source.target, 0)?;
                    let mut changes = Changes {
                        known: Log::new(Reader::new(&log, start, end, &trouble), bytes)?,
                        before,
                        landing: Landing { direct: &direct, root },
                        kept: None,
                        script: &mut script,
                        spool: &mut spool,
                        clones: ground.clones.as_mut(),
                    };
                    let totals = read_volume(&mut changes, index, root, &mut meter)?;
                    let unchanged = changes.kept == Some((0, bytes)) && changes.script.at() == from;
                    changes.end_kept()?;
                    Scripted {
                        frames: Volume { totals, ..volume },
                        bytes,
                        log: (start, end),
                        script: (from, script.at()),
                        clones: ground.clones.map(Clones::finish),
                        unchanged,
                    }
                }
                // Read to its end now, behind the others.
                (Some(root), None) => {
                    let (mut volume, read) =
                        write_stream(&partial, &jobs, no_earlier_file(&trouble), &trouble, |cutter| {
                            write_volume(cutter, &source.target, &mut meter, &trouble, |cutter, meter| {
                                let landing = Some(Landing { direct: &direct, root });
                                read_volume(&mut Live::new(cutter, None, landing, &trouble), index, root, meter)
                            })
                        })?;
                    volume.first_frame += frames.len();
                    let bytes = read.iter().map(|frame| u64::from(frame.bytes)).sum();
                    frames.extend(read);
                    Step::Keep { from: 0, to: bytes }.write(&mut script)?;
                    Scripted { frames: volume, bytes, script: (from, script.at()), ..Scripted::default() }
                }
            });
        }
        let (script, spool) = (script.finish()?, spool.finish()?);
        let watch = watch.clone();
        Ok(Box::new(Composition {
            dir,
            manifest,
            partial,
            frames,
            volumes: scripted,
            log,
            script,
            spool,
            watch,
            trouble,
        }))
    }
}

/// Takes only what is not known yet, and writes down how to put it together with what is.
struct Changes<'a> {
    known: Log<'a>,
    /// What was changed last before this second is known if it looks the same.
    before: i64,
    landing: Landing<'a>,
    /// A part of the earlier stream that is to be kept, not yet written down: it may go on.
    kept: Option<(u64, u64)>,
    script: &'a mut Writer,
    spool: &'a mut Spool,
    clones: Option<&'a mut Clones>,
}

impl Changes<'_> {
    fn end_kept(&mut self) -> Result<(), FsError> {
        match self.kept.take() {
            Some((from, to)) => Step::Keep { from, to }.write(self.script),
            None => Ok(()),
        }
    }
}

impl Taker for Changes<'_> {
    fn keep(&mut self, seen: &Seen<'_>) -> Result<Option<Size>, FsError> {
        // The time of change of a direct write is that of its beginning.
        if self.landing.direct.has(seen.stat) {
            return Ok(None);
        }
        let before = self.before;
        let found = self.known.find(seen.path)?.filter(|(record, _)| record.is_still(seen, before));
        let Some((size, from, to)) = found.map(|(record, to)| (record.size, record.offset, to)) else {
            return Ok(None);
        };
        match &mut self.kept {
            Some(kept) if kept.1 == from => kept.1 = to,
            _ => {
                self.end_kept()?;
                self.kept = Some((from, to));
            }
        }
        Ok(Some(size))
    }

    fn land(&mut self, from: &Source<'_>, stat: &Statx) -> Result<bool, FsError> {
        self.landing.wait(from, stat)
    }

    fn begin(&mut self, seen: &Seen<'_>, _: &[u8], header: &[u8], _: Size) -> Result<(), FsError> {
        self.end_kept()?;
        Step::Member { path: seen.path.to_vec(), header: header.to_vec() }.write(self.script)
    }

    fn data(&mut self, from: &Source<'_>, at: u64, end: u64, meter: &mut Meter<'_>) -> Result<u64, FsError> {
        if let Some(clones) = &mut self.clones
            && let Some((offset, reached)) = clones.take(from, at, end, meter)?
        {
            Step::Data { cloned: true, offset, bytes: reached - at }.write(self.script)?;
            return Ok(reached);
        }
        let offset = self.spool.at();
        let reached = self.spool.take(from, at, end, meter)?;
        Step::Data { cloned: false, offset, bytes: reached - at }.write(self.script)?;
        Ok(reached)
    }

    fn zeros(&mut self, bytes: u64) -> Result<(), FsError> {
        match bytes {
            0 => Ok(()),
            _ => Step::Zeros(bytes).write(self.script),
        }
    }
}
