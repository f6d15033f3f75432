//! Reads what an archive says of itself, and checks it to its last byte.

use std::{path::Path, thread};

use volsnap_core::{
    model::ArchiveSummary,
    ports::{FsError, FsErrorKind, Limits, Phase, Verified, Watch},
};

use super::{
    decompress,
    format::Frame,
    header::BLOCK,
    member::Member,
    name,
    open::Archive,
    progress::Meter,
    read::{Sink, read_volume},
    stream::{Piece, Stream},
};
use crate::budget::Jobs;

/// What an archive says of itself: its end and its manifest are read and checked, its volumes are not.
///
/// # Errors
/// `NotFound` if there is none, `Corrupt` if it is damaged, `Unsupported` if a newer version wrote it.
pub fn summary(path: &Path) -> Result<ArchiveSummary, FsError> {
    Archive::open(path, 1).map(|archive| archive.summary())
}

/// The same of a file that is no archive of the state directory; links to it are followed.
///
/// # Errors
/// As for [`summary`].
pub fn summary_of_foreign(file: &Path) -> Result<ArchiveSummary, FsError> {
    Archive::open_foreign(file, 1).map(|archive| archive.summary())
}

/// Reads an archive to its last byte: each frame against its digests, each member against the rules by which it would
/// be extracted. (Whether a hard link's target exists shows only when it is extracted.)
///
/// # Errors
/// As for [`summary`]; `Hostile` if a member breaks a rule; `Cancelled` if the observer asks for the end.
pub fn verify(path: &Path, jobs: impl Into<Jobs>, watch: &Watch) -> Result<Verified, FsError> {
    verify_opened(&Archive::open(path, jobs)?, watch)
}

/// The same of a file that is no archive of the state directory; links to it are followed.
///
/// # Errors
/// As for [`verify`].
pub fn verify_foreign(file: &Path, jobs: impl Into<Jobs>, watch: &Watch) -> Result<Verified, FsError> {
    verify_opened(&Archive::open_foreign(file, jobs)?, watch)
}

fn verify_opened(archive: &Archive, watch: &Watch) -> Result<Verified, FsError> {
    let trouble = &archive.trouble;
    let mut meter = Meter::new(watch, trouble, Phase::Verify);
    for (at, (volume, named)) in archive.index.volumes.iter().zip(&archive.manifest.volumes).enumerate() {
        meter.volume(&named.target, volume.totals.bytes)?;
        if volume.frame_count > 0 {
            // What an archive may ask for is a matter of policy, not of soundness.
            let limits = Limits { bytes_max: u64::MAX, entries_max: u64::MAX, devices: true };
            extract_volume(archive, at, limits, &mut Nowhere, &mut meter)?;
        }
        meter.tell()?;
    }
    check_end(archive)?;
    Ok(Verified { summary: archive.summary(), bytes_read: archive.bytes })
}

/// Reads an archive to its last byte and compares each frame as it is stored with its digest. It is then the file that was
/// written, if its index is.
///
/// # Errors
/// As for [`summary`]; `Cancelled` if the observer asks for the end.
pub fn verify_stored(path: &Path, jobs: impl Into<Jobs>, watch: &Watch) -> Result<Verified, FsError> {
    let archive = Archive::open(path, jobs)?;
    let mut meter = Meter::new(watch, &archive.trouble, Phase::Verify);
    thread::scope(|scope| {
        let compared = decompress::compare(scope, &archive);
        let compare = |frames: &[Frame], meter: &mut Meter<'_>| {
            frames.iter().try_for_each(|frame| match compared.next() {
                Some(compared) => compared.and_then(|()| meter.add(frame.stored_bytes.into(), 0)),
                None => Err(archive.trouble.of(FsErrorKind::Io, "a thread that compares frames died")),
            })
        };
        let frames = &archive.index.frames;
        // The manifest's frame comes first, and behind the volumes the one that ends the stream.
        compare(&frames[..1], &mut meter)?;
        for (volume, named) in archive.index.volumes.iter().zip(&archive.manifest.volumes) {
            let own = &frames[volume.first_frame..volume.first_frame + volume.frame_count];
            meter.volume(&named.target, own.iter().map(|frame| u64::from(frame.stored_bytes)).sum())?;
            compare(own, &mut meter)?;
            meter.tell()?;
        }
        compare(&frames[frames.len() - 1..], &mut meter)
    })?;
    Ok(Verified { summary: archive.summary(), bytes_read: archive.bytes })
}

/// Leads a sink through the members of one volume.
pub(super) fn extract_volume(
    archive: &Archive,
    at: usize,
    limits: Limits,
    sink: &mut dyn Sink,
    meter: &mut Meter<'_>,
) -> Result<(), FsError> {
    let volume = &archive.index.volumes[at];
    let range = volume.first_frame..volume.first_frame + volume.frame_count;
    let frames = &archive.index.frames[range.clone()];
    thread::scope(|scope| {
        let drain = decompress::start(scope, archive, range);
        let stream = Stream::new(drain, frames, &archive.trouble);
        read_volume(stream, &name::volume_root(at), limits, &volume.totals, sink, meter, &archive.trouble)
    })
}

/// The last frame ends the tar stream with two empty blocks and holds nothing else.
fn check_end(archive: &Archive) -> Result<(), FsError> {
    let last = archive.index.frames.len() - 1;
    let content = thread::scope(|scope| decompress::start(scope, archive, last..last + 1).next());
    match content.transpose()? {
        Some(content) if *content == [0; 2 * BLOCK] => Ok(()),
        _ => Err(archive.trouble.corrupt("the tar stream does not end as it should")),
    }
}

/// Members are checked and forgotten.
struct Nowhere;

impl Sink for Nowhere {
    fn member(&mut self, _: usize, _: Member) -> Result<(), FsError> {
        Ok(())
    }

    fn data(&mut self, _: u64, _: Piece) -> Result<(), FsError> {
        Ok(())
    }

    fn complete(&mut self) -> Result<(), FsError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), FsError> {
        Ok(())
    }
}
