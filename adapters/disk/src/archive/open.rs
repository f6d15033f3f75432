//! Opens an archive: finds the index from the end, checks it, and reads the manifest.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use rustix::fs::{Mode, OFlags};
use volsnap_core::{
    model::{ArchiveSummary, Manifest, snapshot::ARCHIVE_FORMAT},
    ports::{FsError, FsErrorKind, FsOp},
};

use super::{
    compress::io_error,
    decompress::Unpacker,
    format::{
        self, Digest, INDEX_FRAME_OVERHEAD, INDEX_MAX, Index, SEEK_FOOTER_BYTES, TRAILER_BYTES, seek_table_bytes,
    },
    header::{self, BLOCK},
    name,
};
use crate::tree::Trouble;

/// An archive whose index is known to be whole; the frames are still to be checked.
pub(super) struct Archive {
    pub(super) file: File,
    pub(super) index: Index,
    pub(super) manifest: Manifest,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) trouble: Trouble,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, FsError> {
        let trouble = Trouble::new(FsOp::Archive, path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| trouble.errno("open", e))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(|e| io_error(&trouble, "look at", &e))?;
        if !metadata.is_file() {
            return Err(trouble.corrupt("this is no regular file"));
        }
        let (index, digest) = read_index(&file, metadata.len(), &trouble)?;
        let manifest = read_manifest(&file, &index, &trouble)?;
        Ok(Archive { file, index, manifest, digest, bytes: metadata.len(), trouble })
    }

    pub(super) fn summary(&self) -> ArchiveSummary {
        ArchiveSummary {
            manifest: self.manifest.clone(),
            totals: self.index.volumes.iter().map(|volume| volume.totals.clone()).collect(),
            quiesced_ms: self.index.quiesced_ms,
            archive_bytes: self.bytes,
            digest: self.digest.hex(),
        }
    }
}

/// Reads the index by way of seek table and trailer, and proves that the file has nothing else behind its frames than
/// what this index gives.
fn read_index(file: &File, bytes: u64, trouble: &Trouble) -> Result<(Index, Digest), FsError> {
    let truncated = || trouble.corrupt("the end of the archive is missing or damaged");
    let mut footer = [0; SEEK_FOOTER_BYTES];
    let footer_at = bytes.checked_sub(footer.len() as u64).ok_or_else(truncated)?;
    read_at(file, &mut footer, footer_at, trouble)?;
    let table_frames = format::read_seek_footer(&footer).ok_or_else(truncated)? as usize;
    let table_bytes = seek_table_bytes(table_frames) as u64;

    let mut trailer = [0; TRAILER_BYTES];
    let table_at = bytes.checked_sub(table_bytes).ok_or_else(truncated)?;
    let trailer_at = table_at.checked_sub(TRAILER_BYTES as u64).ok_or_else(truncated)?;
    read_at(file, &mut trailer, trailer_at, trouble)?;
    let (length, digest) = format::read_trailer(&trailer).ok_or_else(truncated)?;
    let payload_at = trailer_at.checked_sub(length).filter(|_| length <= INDEX_MAX).ok_or_else(truncated)?;
    let mut payload = vec![0; usize::try_from(length).map_err(|_| truncated())?];
    read_at(file, &mut payload, payload_at, trouble)?;
    if Digest::of(&payload) != digest {
        return Err(trouble.corrupt("the index does not have its digest"));
    }

    let version: Version =
        serde_json::from_slice(&payload).map_err(|e| trouble.corrupt(format!("the index cannot be read: {e}")))?;
    if version.format > ARCHIVE_FORMAT {
        let message =
            format!("written by a newer volsnap (format {}, known is {ARCHIVE_FORMAT}); use that one", version.format);
        return Err(trouble.of(FsErrorKind::Unsupported, message));
    }
    if version.format == 0 {
        return Err(trouble.corrupt("the index has no format"));
    }
    let index: Index =
        serde_json::from_slice(&payload).map_err(|e| trouble.corrupt(format!("the index cannot be read: {e}")))?;
    index.check(trouble)?;

    let tail = format::tail(&payload, &index.frames, trouble)?;
    let tail_at = bytes.checked_sub(tail.len() as u64).ok_or_else(truncated)?;
    if tail_at != index.stored_bytes() || tail.len() as u64 != length + INDEX_FRAME_OVERHEAD as u64 + table_bytes {
        return Err(trouble.corrupt("the file is longer or shorter than its index says"));
    }
    let mut found = vec![0; tail.len()];
    read_at(file, &mut found, tail_at, trouble)?;
    if found != tail {
        return Err(trouble.corrupt("the seek table does not fit the index"));
    }
    Ok((index, digest))
}

/// What is read first of an index, so that a newer one is named as such.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

/// Reads the frame with `volsnap.json`, which holds nothing else.
fn read_manifest(file: &File, index: &Index, trouble: &Trouble) -> Result<Manifest, FsError> {
    let frame = index.frames.first().ok_or_else(|| trouble.corrupt("the archive has no frames"))?;
    let mut stored = vec![0; frame.stored_bytes as usize];
    read_at(file, &mut stored, 0, trouble)?;
    let content = Unpacker::new().unpack(0, &stored, frame, trouble)?;
    let bad = |why: &str| trouble.corrupt(format!("manifest: {why}"));
    let (block, rest) = content.split_first_chunk::<BLOCK>().ok_or_else(|| bad("it is too short"))?;
    let head = header::decode(block).map_err(bad)?;
    if head.name != name::MANIFEST || head.entry != tar::EntryType::Regular {
        return Err(bad("another member stands in its place"));
    }
    let json = usize::try_from(head.size).ok().and_then(|size| rest.get(..size));
    let json = json.ok_or_else(|| bad("it is cut off"))?;
    if rest.len() != json.len().next_multiple_of(BLOCK) {
        return Err(bad("something follows it in its frame"));
    }
    let manifest: Manifest = serde_json::from_slice(json).map_err(|e| bad(&e.to_string()))?;
    if manifest.format != index.format {
        return Err(bad("it has another format than the index"));
    }
    let same = manifest.volumes.len() == index.volumes.len()
        && manifest.volumes.iter().zip(&index.volumes).all(|(volume, own)| volume.absent == (own.frame_count == 0));
    if same { Ok(manifest) } else { Err(bad("it names other volumes than the index")) }
}

/// Fills the buffer from that offset; a file that ends before is corrupt.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64, trouble: &Trouble) -> Result<(), FsError> {
    file.read_exact_at(buffer, offset).map_err(|error| match error.kind() == std::io::ErrorKind::UnexpectedEof {
        true => trouble.corrupt("the archive is cut off"),
        false => io_error(trouble, "read", &error),
    })
}
