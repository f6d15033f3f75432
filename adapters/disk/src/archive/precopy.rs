//! The first pass of a snapshot of an app that runs: reads its volumes while they change, and notes what it saw.

use std::{
    fs::File,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use volsnap_core::{
    model::{Manifest, VolumeTotals},
    ports::{ArchiveSource, FsError, FsOp, Phase, Watch},
};

use super::{
    compress::Cutter,
    draft::{Partial, agree, no_earlier_file, path_in, write_end, write_manifest, write_stream, write_volume},
    format::{Frame, Volume},
    live::Live,
    notes::Writer,
    progress::Meter,
    source::read_volume,
    spool::{Clones, Spool},
};
use crate::{
    budget::Jobs,
    direct::Direct,
    tree::{Trouble, open_root},
};

/// Filesystems of which it is known that whatever changes an entry moves its time of change, also a store into a shared
/// mapping, once the page had been written back; by the magic numbers of `statfs`. Not so: tmpfs, where such stores go
/// unnoticed, and filesystems of networks and of FUSE, where what is seen may be an earlier state.
const FAITHFUL: [u64; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];

/// A time of change that is not older than this before the beginning may be that of a later change: some filesystems
/// count whole seconds, and all of them take the time from a clock that ticks.
const SLACK_SECONDS: i64 = 2;

/// How far the wall clock may have been set back without anything following from it.
const SET_BACK_MAX: Duration = Duration::from_millis(500);

/// Reads `sources` into `<dir>/.<snapshot>.partial` while they may change, making `dir` (mode 0700) if it does not
/// exist. `None` if there is no volume where a later change would be noticed.
///
/// # Errors
/// As those of [`draft`](super::draft()).
pub fn precopy(
    dir: &Path,
    manifest: &Manifest,
    sources: &[ArchiveSource],
    jobs: impl Into<Jobs>,
    watch: &Watch,
) -> Result<Option<Precopied>, FsError> {
    let trouble = Trouble::new(FsOp::Archive, &path_in(dir, manifest));
    agree(manifest, sources, &trouble)?;
    let since = Clocks::now();
    // Before the first byte is read: whoever opens a file later to write to it past the page cache moves its time of change
    // later too.
    let direct = match Direct::seen() {
        Ok(direct) => direct,
        Err(why) => {
            tracing::warn!(why, "direct writes might go unnoticed; the volumes are read while the app is frozen");
            return Ok(None);
        }
    };
    let grounds = sources.iter().map(Ground::of).collect::<Result<Vec<_>, _>>()?;
    if grounds.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut partial = Partial::create(dir, manifest, jobs, &trouble)?;
    let mut log = Writer::new(partial.renew(&trouble)?, &trouble);
    let script = Writer::new(partial.renew(&trouble)?, &trouble);
    let spool = Spool::new(partial.renew(&trouble)?, &trouble);
    let (volumes, frames) = write_stream(&partial, &partial.jobs, no_earlier_file(&trouble), &trouble, |cutter| {
        let mut meter = Meter::new(watch, &trouble, Phase::Archive);
        write_manifest(cutter, manifest, &trouble)?;
        let mut volumes = Vec::new();
        for (index, (source, ground)) in sources.iter().zip(grounds).enumerate() {
            volumes.push(copy(cutter, index, source, ground, &mut log, &mut meter, &trouble)?);
        }
        write_end(cutter, &trouble)?;
        Ok(volumes)
    })?;
    for ground in volumes.iter().filter_map(|copied| copied.ground.as_ref()).filter(|g| g.clones.is_some()) {
        // A clone would wait for what is not written yet. No harm is done if this fails.
        let _ = rustix::fs::syncfs(&ground.root);
    }
    let (dir, manifest, sources) = (dir.to_path_buf(), manifest.clone(), sources.to_vec());
    let log = log.finish()?;
    Ok(Some(Precopied { dir, manifest, sources, partial, frames, volumes, since, direct, log, script, spool, trouble }))
}

/// Reads one volume into the stream, if it has a ground to be read on.
fn copy(
    cutter: &mut Cutter,
    index: usize,
    source: &ArchiveSource,
    ground: Option<Ground>,
    log: &mut Writer,
    meter: &mut Meter<'_>,
    trouble: &Trouble,
) -> Result<Copied, FsError> {
    let (start, mut bytes) = (log.at(), 0);
    let frames = write_volume(cutter, &source.target, meter, trouble, |cutter, meter| {
        let Some(ground) = &ground else { return Ok(VolumeTotals::default()) };
        let before = cutter.at();
        let totals = read_volume(&mut Live::new(cutter, Some(log), None, trouble), index, &ground.path, meter);
        bytes = cutter.at() - before;
        totals
    })?;
    Ok(Copied { frames, bytes, log: (start, log.at()), ground })
}

/// A volume on a filesystem where changes are noticed.
pub(super) struct Ground {
    path: PathBuf,
    root: OwnedFd,
    pub(super) clones: Option<Clones>,
}

impl Ground {
    /// Also has all that was written so far reach the disk, so that each page that is stored to afterwards is noticed.
    fn of(source: &ArchiveSource) -> Result<Option<Self>, FsError> {
        let Some(path) = &source.root else { return Ok(None) };
        let trouble = Trouble::new(FsOp::Archive, path);
        let root = open_root(path, &trouble)?;
        let kind = rustix::fs::fstatfs(&root).map_err(|e| trouble.errno("look at the filesystem of", e))?.f_type;
        if !FAITHFUL.contains(&u64::try_from(kind).unwrap_or(0)) {
            return Ok(None);
        }
        if let Err(error) = rustix::fs::syncfs(root.as_fd()) {
            // What could not be written back may not be noticed when it changes again.
            tracing::warn!(volume = %path.display(), %error, "cannot sync the filesystem; the volume is not copied before");
            return Ok(None);
        }
        Ok(Some(Ground { path: path.clone(), clones: Clones::on(path), root }))
    }
}

/// A volume, read while it may have changed.
pub(super) struct Copied {
    /// Its frames, and totals that are of no one point in time.
    pub(super) frames: Volume,
    /// Length of its stream.
    pub(super) bytes: u64,
    /// Where its part of the log begins and ends.
    pub(super) log: (u64, u64),
    /// `None` if it is absent, or is to be read as a whole while the app is quiet.
    pub(super) ground: Option<Ground>,
}

/// All volumes, as far as they could be read before.
pub struct Precopied {
    pub(super) dir: PathBuf,
    pub(super) manifest: Manifest,
    pub(super) sources: Vec<ArchiveSource>,
    pub(super) partial: Partial,
    pub(super) frames: Vec<Frame>,
    pub(super) volumes: Vec<Copied>,
    pub(super) since: Clocks,
    /// What was open for writes past the page cache when it began.
    pub(super) direct: Direct,
    pub(super) log: File,
    pub(super) script: Writer,
    pub(super) spool: Spool,
    pub(super) trouble: Trouble,
}

/// The time of the wall clock, and by a clock that nobody sets.
pub(super) struct Clocks {
    wall_seconds: i64,
    wall: Duration,
    steady: Duration,
}

impl Clocks {
    fn now() -> Self {
        let read = |clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        let wall = read(ClockId::Realtime);
        Clocks { wall_seconds: wall.as_secs().cast_signed(), wall, steady: read(ClockId::Boottime) }
    }

    /// What was changed last before that second has not changed since these clocks were read.
    pub(super) fn unchanged_before(&self) -> i64 {
        let now = Clocks::now();
        let steady = now.steady.saturating_sub(self.steady);
        match self.wall + steady <= now.wall + SET_BACK_MAX {
            true => self.wall_seconds - SLACK_SECONDS,
            // Set back: what changes now may seem to have changed long ago.
            false => i64::MIN,
        }
    }
}
