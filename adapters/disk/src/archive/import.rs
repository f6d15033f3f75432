//! Takes a file from elsewhere among the archives. Nothing in it is believed: it is copied to a draft, the draft is read
//! back from the disk and checked to its last byte, and only then has it a name.

use std::{io::Write, path::Path};

use rustix::fs::Advice;
use volsnap_core::{
    model::{ArchiveSummary, Manifest},
    ports::{FsError, FsErrorKind, FsOp, ImportJob, Phase, Watch},
};

use super::{
    compress::io_error,
    draft::{Partial, manifest_member, publish},
    format::{self, Digest, First, Frame},
    name,
    open::Archive,
    progress::Meter,
    squeeze::Squeezer,
    transfer,
    verify::verify,
};
use crate::{budget::Jobs, tree::Trouble};

/// Copies the file of the job into `dir` under the identity that the job's manifest gives it, durably.
///
/// All frames of volumes are taken as they are. If the manifest is another than the file's, its frame is made anew, and
/// index and seek table with it; frames are independent of each other, so nothing else changes, digests of volumes least
/// of all.
///
/// # Errors
/// `Corrupt` or `Hostile` if the file is no sound archive, or not the one that the job speaks of any more; `Exists` if an
/// archive stands there that is not to be replaced; otherwise what reading or writing gave. Then no file is left.
pub fn import(dir: &Path, job: &ImportJob, jobs: impl Into<Jobs>, watch: &Watch) -> Result<ArchiveSummary, FsError> {
    let archive = Archive::open_foreign(&job.file, 1)?;
    if archive.digest.hex() != job.archive_digest {
        return Err(archive.trouble.corrupt("the file was changed meanwhile"));
    }
    let target = dir.join(format!("{}.tar.zst", job.manifest.snapshot));
    let trouble = Trouble::new(FsOp::Archive, &target);
    if !job.replace && target.symlink_metadata().is_ok() {
        return Err(trouble.of(FsErrorKind::Exists, "an archive stands there"));
    }
    let jobs = jobs.into();
    let partial = Partial::create(dir, &job.manifest, jobs.clone(), &trouble)?;
    copy_in(&archive, &job.manifest, &partial, &trouble, watch)?;
    rustix::fs::fsync(&partial.file).map_err(|e| trouble.sync("the archive", e))?;
    // What is verified is to be what the disk has.
    rustix::fs::fadvise(&partial.file, 0, None, Advice::DontNeed).map_err(|e| trouble.errno("read back", e))?;
    let verified = verify(partial.path(), jobs, watch).map_err(|error| FsError { path: job.file.clone(), ..error })?;
    if verified.summary.manifest != job.manifest {
        return Err(trouble.corrupt("the copy has another manifest than it was given"));
    }
    publish(partial, &target, &trouble)?;
    Ok(verified.summary)
}

fn copy_in(
    archive: &Archive,
    manifest: &Manifest,
    partial: &Partial,
    trouble: &Trouble,
    watch: &Watch,
) -> Result<(), FsError> {
    let mut meter = Meter::new(watch, trouble, Phase::Copy);
    meter.whole(archive.bytes)?;
    let mut take = |bytes: &[u8]| (&partial.file).write_all(bytes).map_err(|e| io_error(trouble, "write", &e));
    if archive.manifest == *manifest {
        transfer::frames(archive, 0, &mut take, &mut meter)?;
        return transfer::end(archive, &mut take, &mut meter);
    }
    let (stored, frame) = manifest_frame(manifest, trouble)?;
    take(&stored)?;
    transfer::frames(archive, 1, &mut take, &mut meter)?;
    let mut index = archive.index.clone();
    index.format = manifest.format;
    index.frames[0] = frame;
    format::write_end(&index, &mut &partial.file, trouble).map(drop)
}

/// The frame with that manifest, and what the index says of it.
fn manifest_frame(manifest: &Manifest, trouble: &Trouble) -> Result<(Vec<u8>, Frame), FsError> {
    let content = manifest_member(manifest, trouble)?;
    let squeezed = Squeezer::new().and_then(|mut squeezer| squeezer.squeeze(&content));
    let stored = squeezed.map_err(|e| trouble.of(FsErrorKind::Io, format!("cannot compress: {e}")))?;
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len()).map_err(|_| trouble.of(FsErrorKind::Unsupported, "the manifest is too large"))
    };
    let frame = Frame {
        stored_bytes: length(&stored)?,
        stored_digest: Digest::of(&stored),
        bytes: length(&content)?,
        digest: Digest::of(&content),
        first: Some(First { offset: 0, name: name::escape(name::MANIFEST) }),
    };
    Ok((stored, frame))
}
