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
    name,
    progress::Meter,
    source::read_volume,
};
use crate::tree::Trouble;

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
    watch: &Watch,
) -> Result<Box<dyn DraftArchive>, FsError> {
    let path = dir.join(format!(".{}.partial", manifest.snapshot));
    let trouble = Trouble::new(FsOp::Archive, &path);
    agree(manifest, sources, &trouble)?;
    let make = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    make.map_err(|e| io_error(&trouble, "make the directory of", &e))?;
    let partial = Partial::create(path, &trouble)?;
    let (frames, volumes) = write_volumes(&partial.file, manifest, sources, watch, &trouble)?;
    let target = dir.join(format!("{}.tar.zst", manifest.snapshot));
    Ok(Box::new(Draft { partial, target, manifest: manifest.clone(), frames, volumes, trouble }))
}

/// An archive without its end.
struct Draft {
    partial: Partial,
    target: PathBuf,
    manifest: Manifest,
    frames: Vec<Frame>,
    volumes: Vec<Volume>,
    trouble: Trouble,
}

#[async_trait]
impl DraftArchive for Draft {
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let trouble = self.trouble.clone();
        let sealed = tokio::task::spawn_blocking(move || self.finish(quiesced_ms)).await;
        sealed.map_err(|e| trouble.of(FsErrorKind::Io, format!("the thread that seals it died: {e}")))?
    }
}

impl Draft {
    fn finish(self, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let Draft { mut partial, target, manifest, frames, volumes, trouble } = self;
        let index = Index { format: ARCHIVE_FORMAT, quiesced_ms, volumes, frames };
        let (digest, end_bytes) = format::write_end(&index, &mut partial.file, &trouble)?;
        rustix::fs::fsync(&partial.file).map_err(|e| trouble.sync("the archive", e))?;
        // A crash before the rename leaves a draft, which is swept; after it, the whole archive or, until the
        // directory is durable, the draft again.
        rustix::fs::rename(&partial.path, &target).map_err(|e| trouble.errno("name the archive", e))?;
        partial.named = true;
        // The directory itself and the one above it may be as new as the file.
        let mut dirs = target.ancestors().skip(1).take(3).filter(|dir| !dir.as_os_str().is_empty());
        if let Err(error) = dirs.try_for_each(|dir| sync_dir(dir, &trouble)) {
            // Reported as not taken, so it must not stand there as if it were. What a power cut brings back is whole.
            if let Err(error) = std::fs::remove_file(&target) {
                tracing::warn!(archive = %target.display(), %error, "an archive whose name is not durable is left");
            }
            return Err(error);
        }
        let archive_bytes = index.stored_bytes() + end_bytes;
        let totals = index.volumes.into_iter().map(|volume| volume.totals).collect();
        Ok(ArchiveSummary { manifest, totals, quiesced_ms, archive_bytes, digest: digest.hex() })
    }
}

/// Makes the names in a directory durable.
fn sync_dir(dir: &Path, trouble: &Trouble) -> Result<(), FsError> {
    let opened = File::open(dir).map_err(|e| io_error(trouble, &format!("open {}", dir.display()), &e))?;
    rustix::fs::fsync(opened).map_err(|e| trouble.sync("the archive's name", e))
}

/// A file that is removed unless it got its name.
struct Partial {
    path: PathBuf,
    file: File,
    named: bool,
}

impl Partial {
    fn create(path: PathBuf, trouble: &Trouble) -> Result<Self, FsError> {
        // Left by a crash in an earlier attempt at the same snapshot; the caller holds the workload's lock.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error(trouble, "remove an earlier draft", &error));
            }
            _ => {}
        }
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = created.map_err(|e| io_error(trouble, "create", &e))?;
        Ok(Partial { path, file, named: false })
    }
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
fn agree(manifest: &Manifest, sources: &[ArchiveSource], trouble: &Trouble) -> Result<(), FsError> {
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

fn write_volumes(
    file: &File,
    manifest: &Manifest,
    sources: &[ArchiveSource],
    watch: &Watch,
    trouble: &Trouble,
) -> Result<(Vec<Frame>, Vec<Volume>), FsError> {
    let (read, written) = thread::scope(|scope| {
        let (mut cutter, drain) = compress::start(scope);
        // The writer owns the drain: when it gives up, the cutter is told.
        let writer = scope.spawn(move || {
            let drain = drain;
            compress::write_frames(&drain, file, trouble)
        });
        let read = read_all(&mut cutter, manifest, sources, watch, trouble);
        drop(cutter);
        (read, writer.join())
    });
    let frames = written.map_err(|_| trouble.of(FsErrorKind::Io, "the writing thread died"))??;
    let (mut volumes, frame_count) = read?;
    if frames.len() != frame_count {
        return Err(trouble.of(FsErrorKind::Io, "a compressing thread died"));
    }
    for volume in &mut volumes {
        let own = &frames[volume.first_frame..volume.first_frame + volume.frame_count];
        volume.totals.digest = Index::digest_of(own).hex();
    }
    Ok((frames, volumes))
}

/// The whole tar stream: manifest, volumes, end.
fn read_all(
    cutter: &mut Cutter,
    manifest: &Manifest,
    sources: &[ArchiveSource],
    watch: &Watch,
    trouble: &Trouble,
) -> Result<(Vec<Volume>, usize), FsError> {
    let closed = |_| trouble.of(FsErrorKind::Io, "the archive cannot be written any more");
    cutter.begin(name::MANIFEST);
    cutter.write(&manifest_member(manifest, trouble)?).map_err(closed)?;
    let mut next = cutter.cut().map_err(closed)?;
    let mut meter = Meter::new(watch, trouble, Phase::Archive);
    let mut volumes = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        meter.volume(&source.target, 0)?;
        let totals = match &source.root {
            Some(root) => read_volume(cutter, index, root, &mut meter)?,
            None => VolumeTotals::default(),
        };
        meter.tell()?;
        let end = cutter.cut().map_err(closed)?;
        volumes.push(Volume { first_frame: next, frame_count: end - next, totals });
        next = end;
    }
    cutter.zeros(2 * BLOCK as u64).map_err(closed)?;
    let frame_count = cutter.cut().map_err(closed)?;
    Ok((volumes, frame_count))
}

/// `volsnap.json` with header and padding; it fills one frame, so that it is read alone.
fn manifest_member(manifest: &Manifest, trouble: &Trouble) -> Result<Vec<u8>, FsError> {
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
