//! Writes an archive: the volumes under a passing name, then, sealed, durable and under its own name.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{ArchiveSummary, Manifest, VolumeTotals, snapshot::ARCHIVE_FORMAT},
    ports::{ArchiveSource, DraftArchive, FsError, FsErrorKind, FsOp, Phase, Watch},
};

use super::{
    compress::{self, Cutter, io_error},
    format::{self, FRAME_MAX, Frame, Index, Volume},
    header::{self, BLOCK},
    live::{Landing, Live},
    name,
    progress::Meter,
    source::read_volume,
};
use crate::{budget::Jobs, direct::Direct, tree::Trouble};

/// Reads `sources` into `<dir>/.<snapshot>.partial`, making `dir` (mode 0700) if it does not exist. Nothing is durable
/// yet. Dropping the draft removes the file; after a crash it stays, recognisable by its name.
///
/// # Errors
/// [`FsErrorKind::NotFound`] if a source does not exist, [`FsErrorKind::Cancelled`] if the observer asks for the end,
/// otherwise what reading or writing gave.
pub fn draft(
    dir: &Path,
    manifest: &Manifest,
    sources: &[ArchiveSource],
    jobs: impl Into<Jobs>,
    watch: &Watch,
) -> Result<Box<dyn DraftArchive>, FsError> {
    let trouble = Trouble::new(FsOp::Archive, &path_in(dir, manifest));
    agree(manifest, sources, &trouble)?;
    let partial = Partial::create(dir, manifest, jobs, &trouble)?;
    let (volumes, frames) = write_stream(&partial, &partial.jobs, no_earlier_file(&trouble), &trouble, |cutter| {
        read_all(cutter, manifest, sources, watch, &trouble)
    })?;
    Ok(Box::new(Draft::new(partial, dir, manifest, (frames, volumes), &trouble)))
}

/// Where a draft stands. A sweep knows it by this name.
pub(super) fn path_in(dir: &Path, manifest: &Manifest) -> PathBuf {
    dir.join(format!(".{}.partial", manifest.snapshot))
}

/// An archive without its end.
pub(super) struct Draft {
    partial: Partial,
    target: PathBuf,
    manifest: Manifest,
    frames: Vec<Frame>,
    volumes: Vec<Volume>,
    trouble: Trouble,
}

impl Draft {
    /// Of all frames and volumes; the digests of the volumes are still to come.
    pub(super) fn new(
        partial: Partial,
        dir: &Path,
        manifest: &Manifest,
        (frames, mut volumes): (Vec<Frame>, Vec<Volume>),
        trouble: &Trouble,
    ) -> Self {
        for volume in &mut volumes {
            let own = &frames[volume.first_frame..volume.first_frame + volume.frame_count];
            volume.totals.digest = Index::digest_of(own).hex();
        }
        let target = dir.join(format!("{}.tar.zst", manifest.snapshot));
        Draft { partial, target, manifest: manifest.clone(), frames, volumes, trouble: trouble.clone() }
    }
}

#[async_trait]
impl DraftArchive for Draft {
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let trouble = self.trouble.clone();
        sealing(trouble, move || self.finish(quiesced_ms)).await
    }
}

/// Does the work of sealing on a thread that may block.
pub(super) async fn sealing(
    trouble: Trouble,
    work: impl FnOnce() -> Result<ArchiveSummary, FsError> + Send + 'static,
) -> Result<ArchiveSummary, FsError> {
    let sealed = tokio::task::spawn_blocking(work).await;
    sealed.map_err(|e| trouble.of(FsErrorKind::Io, format!("the thread that seals it died: {e}")))?
}

impl Draft {
    pub(super) fn finish(self, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let Draft { mut partial, target, manifest, frames, volumes, trouble } = self;
        let index = Index { format: ARCHIVE_FORMAT, quiesced_ms, volumes, frames };
        let (digest, end_bytes) = format::write_end(&index, &mut partial.file, &trouble)?;
        rustix::fs::fsync(&partial.file).map_err(|e| trouble.sync("the archive", e))?;
        publish(partial, &target, &trouble)?;
        let archive_bytes = index.stored_bytes() + end_bytes;
        let totals = index.volumes.into_iter().map(|volume| volume.totals).collect();
        Ok(ArchiveSummary { manifest, totals, quiesced_ms, archive_bytes, digest: digest.hex() })
    }
}

/// Gives a file that is durable its name, and makes the name durable.
pub(super) fn publish(mut partial: Partial, target: &Path, trouble: &Trouble) -> Result<(), FsError> {
    // A crash before the rename leaves a draft, which is swept; after it, the whole archive or, until the directory is
    // durable, the draft again.
    rustix::fs::rename(&partial.path, target).map_err(|e| trouble.errno("name the archive", e))?;
    partial.named = true;
    // The directory itself and the one above it may be as new as the file.
    let mut dirs = target.ancestors().skip(1).take(3).filter(|dir| !dir.as_os_str().is_empty());
    let synced = dirs.try_for_each(|dir| sync_dir(dir, trouble));
    // Reported as not taken, so it must not stand there as if it were. What a power cut brings back is whole.
    if synced.is_err()
        && let Err(error) = std::fs::remove_file(target)
    {
        tracing::warn!(archive = %target.display(), %error, "an archive whose name is not durable is left");
    }
    synced
}

/// Makes the names in a directory durable.
fn sync_dir(dir: &Path, trouble: &Trouble) -> Result<(), FsError> {
    let opened = File::open(dir).map_err(|e| io_error(trouble, &format!("open {}", dir.display()), &e))?;
    rustix::fs::fsync(opened).map_err(|e| trouble.sync("the archive's name", e))
}

/// A file that is removed unless it got its name.
pub(super) struct Partial {
    path: PathBuf,
    pub(super) file: File,
    /// Threads that compress what goes into it.
    pub(super) jobs: Jobs,
    named: bool,
}

impl Partial {
    /// Makes the file, and its directory (mode 0700) if there is none.
    pub(super) fn create(
        dir: &Path,
        manifest: &Manifest,
        jobs: impl Into<Jobs>,
        trouble: &Trouble,
    ) -> Result<Self, FsError> {
        let path = path_in(dir, manifest);
        let make = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        make.map_err(|e| io_error(trouble, "make the directory of", &e))?;
        // Left by a crash in an earlier attempt at the same snapshot; the caller holds the workload's lock.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error(trouble, "remove an earlier draft", &error));
            }
            _ => {}
        }
        Ok(Partial { file: open_new(&path, trouble)?, path, jobs: jobs.into(), named: false })
    }

    /// Where it stands for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins anew under the same name; gives the file so far, which is without a name from now on.
    pub(super) fn renew(&mut self, trouble: &Trouble) -> Result<File, FsError> {
        std::fs::remove_file(&self.path).map_err(|e| io_error(trouble, "remove the name of", &e))?;
        Ok(std::mem::replace(&mut self.file, open_new(&self.path, trouble)?))
    }
}

fn open_new(path: &Path, trouble: &Trouble) -> Result<File, FsError> {
    let created = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    created.map_err(|e| io_error(trouble, "create", &e))
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.named
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished archive stays until the next sweep");
        }
    }
}

/// Whether manifest and sources speak of the same volumes.
pub(super) fn agree(manifest: &Manifest, sources: &[ArchiveSource], trouble: &Trouble) -> Result<(), FsError> {
    let same = manifest.volumes.len() == sources.len()
        && manifest
            .volumes
            .iter()
            .zip(sources)
            .all(|(volume, source)| volume.target == source.target && volume.absent == source.root.is_none());
    if !same || manifest.format != ARCHIVE_FORMAT {
        return Err(trouble.of(FsErrorKind::Unsupported, "the manifest does not fit what is to be archived"));
    }
    Ok(())
}

/// Writes what `read` gives to the cutter, in frames, to the end of the file. `earlier` takes over the frames that come
/// from an earlier file.
pub(super) fn write_stream<T>(
    partial: &Partial,
    jobs: &Jobs,
    earlier: impl FnMut(u64, &Frame) -> Result<(), FsError> + Send,
    trouble: &Trouble,
    read: impl FnOnce(&mut Cutter) -> Result<T, FsError>,
) -> Result<(T, Vec<Frame>), FsError> {
    let (read, written) = thread::scope(|scope| {
        let (mut cutter, drain) = compress::start(scope, jobs);
        // The writer owns the drain: when it gives up, the cutter is told.
        let writer = scope.spawn(move || {
            let drain = drain;
            compress::write_frames(&drain, &partial.file, earlier, trouble)
        });
        let read = read(&mut cutter).and_then(|read| Ok((read, cut(&mut cutter, trouble)?)));
        drop(cutter);
        (read, writer.join())
    });
    let frames = written.map_err(|_| trouble.of(FsErrorKind::Io, "the writing thread died"))??;
    let (read, frame_count) = read?;
    match frames.len() == frame_count {
        true => Ok((read, frames)),
        false => Err(trouble.of(FsErrorKind::Io, "a compressing thread died")),
    }
}

/// For a stream that takes no frames from an earlier file.
pub(super) fn no_earlier_file(trouble: &Trouble) -> impl Fn(u64, &Frame) -> Result<(), FsError> {
    |_, _| Err(trouble.of(FsErrorKind::Io, "there is no earlier file"))
}

/// Ends the current frame; gives the number of frames so far.
pub(super) fn cut(cutter: &mut Cutter, trouble: &Trouble) -> Result<usize, FsError> {
    cutter.cut().map_err(|closed| closed.error(trouble))
}

/// The whole tar stream: manifest, volumes, end.
fn read_all(
    cutter: &mut Cutter,
    manifest: &Manifest,
    sources: &[ArchiveSource],
    watch: &Watch,
    trouble: &Trouble,
) -> Result<Vec<Volume>, FsError> {
    let mut meter = Meter::new(watch, trouble, Phase::Archive);
    write_manifest(cutter, manifest, trouble)?;
    // All of it is read now, whatever is known of direct writes: what can be seen of them lands before.
    let direct = Direct::seen().unwrap_or_default();
    let mut volumes = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let read = |cutter: &mut Cutter, meter: &mut Meter<'_>| match &source.root {
            Some(root) => read_volume(
                &mut Live::new(cutter, None, Some(Landing { direct: &direct, root }), trouble),
                index,
                root,
                meter,
            ),
            None => Ok(VolumeTotals::default()),
        };
        volumes.push(write_volume(cutter, &source.target, &mut meter, trouble, read)?);
    }
    write_end(cutter, trouble)?;
    Ok(volumes)
}

pub(super) fn write_manifest(cutter: &mut Cutter, manifest: &Manifest, trouble: &Trouble) -> Result<(), FsError> {
    cutter.begin(name::MANIFEST);
    cutter.write(&manifest_member(manifest, trouble)?).map_err(|closed| closed.error(trouble))?;
    cut(cutter, trouble).map(drop)
}

/// Has `read` give a volume to the cutter, in frames of its own.
pub(super) fn write_volume(
    cutter: &mut Cutter,
    target: &str,
    meter: &mut Meter<'_>,
    trouble: &Trouble,
    read: impl FnOnce(&mut Cutter, &mut Meter<'_>) -> Result<VolumeTotals, FsError>,
) -> Result<Volume, FsError> {
    meter.volume(target, 0)?;
    let first_frame = cut(cutter, trouble)?;
    let totals = read(cutter, meter)?;
    meter.tell()?;
    Ok(Volume { first_frame, frame_count: cut(cutter, trouble)? - first_frame, totals })
}

pub(super) fn write_end(cutter: &mut Cutter, trouble: &Trouble) -> Result<(), FsError> {
    cutter.zeros(2 * BLOCK as u64).map_err(|closed| closed.error(trouble))?;
    cut(cutter, trouble).map(drop)
}

/// `volsnap.json` with header and padding; it fills one frame, so that it is read alone.
pub(super) fn manifest_member(manifest: &Manifest, trouble: &Trouble) -> Result<Vec<u8>, FsError> {
    let json = serde_json::to_vec_pretty(manifest);
    let json = json.map_err(|e| trouble.of(FsErrorKind::Io, format!("manifest: {e}")))?;
    let seconds = u64::try_from(manifest.created_at.as_second()).unwrap_or(0);
    let mut member = header::plain(name::MANIFEST, json.len() as u64, seconds).as_bytes().to_vec();
    member.extend(&json);
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    match member.len() <= FRAME_MAX {
        true => Ok(member),
        false => Err(trouble.of(FsErrorKind::Unsupported, "the manifest is larger than 4 MiB")),
    }
}
