//! The members of a volume in an archive, with digests of their contents: everything of the volume is read.

use std::path::Path;

use volsnap_core::{
    model,
    ports::{FsError, Limits, LookInto, Phase, Watch},
};

use super::{
    contents::Contents,
    find::{is_below, open, told},
    member::{Kind, Member},
    progress::Meter,
    read::Sink,
    stream::Piece,
    verify::extract_volume,
};
use crate::budget::Jobs;

/// Hands on the members at and below a path of the volume of that index, files with BLAKE3 of their contents.
///
/// # Errors
/// As for [`super::list`].
pub fn hashed(
    path: &Path,
    wanted: &LookInto,
    (index, below): (usize, &[u8]),
    sink: &mut dyn FnMut(model::Member) -> Result<(), FsError>,
    jobs: Jobs,
    watch: &Watch,
) -> Result<(), FsError> {
    let archive = open(path, wanted, jobs)?;
    let mut meter = Meter::new(watch, &archive.trouble, Phase::Read);
    let named = archive.manifest.volumes.get(index).filter(|volume| !volume.absent);
    let named = named.ok_or_else(|| archive.trouble.corrupt("it has no such volume"))?;
    meter.volume(&named.target, archive.index.volumes[index].totals.bytes)?;
    // What an archive may ask for is a matter of policy, and nothing is made here.
    let limits = Limits { bytes_max: u64::MAX, entries_max: u64::MAX, devices: true };
    let mut hashing = Hashing { below, sink, file: None, flags_known: archive.flags_known(index) };
    extract_volume(&archive, index, limits, &mut hashing, &mut meter)?;
    meter.tell()
}

/// Hands on what it is given; a file when it is complete.
struct Hashing<'a> {
    below: &'a [u8],
    sink: &'a mut dyn FnMut(model::Member) -> Result<(), FsError>,
    file: Option<Unfinished>,
    flags_known: bool,
}

/// A file whose contents are still coming.
struct Unfinished {
    member: Member,
    size: u64,
    contents: Contents,
}

impl Hashing<'_> {
    fn hand_on(&mut self, member: Member, contents: Option<[u8; 32]>) -> Result<(), FsError> {
        match is_below(&member.path, self.below) {
            true => (self.sink)(model::Member { contents, ..told(member, self.flags_known) }),
            false => Ok(()),
        }
    }
}

impl Sink for Hashing<'_> {
    fn member(&mut self, _: usize, member: Member) -> Result<(), FsError> {
        match member.kind {
            Kind::File { size, .. } => {
                self.file = Some(Unfinished { member, size, contents: Contents::default() });
                Ok(())
            }
            Kind::Directory | Kind::HardLink { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => {
                self.hand_on(member, None)
            }
        }
    }

    fn data(&mut self, offset: u64, piece: Piece) -> Result<(), FsError> {
        if let Some(file) = &mut self.file {
            file.contents.zeros(offset);
            file.contents.data(&piece);
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), FsError> {
        match self.file.take() {
            Some(mut file) => {
                file.contents.zeros(file.size);
                self.hand_on(file.member, Some(file.contents.finish()))
            }
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), FsError> {
        Ok(())
    }
}
