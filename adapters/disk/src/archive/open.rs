//! Opens an archive: finds the index from the end, checks it, and reads the manifest.

use std::{
    fs::File,
    io::{BufReader, BufWriter, ErrorKind, Read, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::fs::{Mode, OFlags};
use volsnap_core::{
    model::{ArchiveSummary, Manifest, snapshot::ARCHIVE_FORMAT},
    ports::{FsError, FsErrorKind, FsOp},
};

use super::{
    compress::io_error,
    decompress::{Stored, Unpacker},
    format::{
        self, Digest, INDEX_MAX, Index, PIECE_BYTES, SEEK_FOOTER_BYTES, SKIPPABLE_HEADER_BYTES, TRAILER_BYTES,
        seek_table_bytes,
    },
    header::{self, BLOCK},
    name,
};
use crate::{budget::Jobs, tree::Trouble};

/// An archive whose index is known to be whole; the frames are still to be checked.
pub(super) struct Archive {
    pub(super) file: File,
    pub(super) index: Index,
    pub(super) manifest: Manifest,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    /// Threads that decompress its frames.
    pub(super) jobs: Jobs,
    pub(super) trouble: Trouble,
}

impl Archive {
    pub(super) fn open(path: &Path, jobs: impl Into<Jobs>) -> Result<Self, FsError> {
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
        Ok(Archive { file, index, manifest, digest, bytes: metadata.len(), jobs: jobs.into(), trouble })
    }

    /// A frame, which begins at `offset`.
    pub(super) fn stored(&self, number: usize, offset: u64) -> Stored<'_> {
        Stored { number, frame: &self.index.frames[number], file: &self.file, offset, trouble: &self.trouble }
    }

    /// The same of a file that lies elsewhere: links to it are followed.
    pub(super) fn open_foreign(file: &Path, jobs: impl Into<Jobs>) -> Result<Self, FsError> {
        let trouble = Trouble::new(FsOp::Archive, file);
        let real = std::fs::canonicalize(file).map_err(|e| io_error(&trouble, "find", &e))?;
        let metadata = std::fs::metadata(&real).map_err(|e| io_error(&trouble, "look at", &e))?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "no regular file" };
            return Err(trouble.of(FsErrorKind::Unsupported, format!("this is {what}, and no archive")));
        }
        Archive::open(&real, jobs).map_err(|error| match error.kind == FsErrorKind::Corrupt && !begins_as_ours(&real) {
            true => trouble.corrupt("this is no archive of volsnap: it does not begin as one"),
            false => error,
        })
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
    let index = parse(&Part::new(file, payload_at, trailer_at), digest, trouble)?;
    index.check(trouble)?;

    let head_at = payload_at.checked_sub(SKIPPABLE_HEADER_BYTES as u64).ok_or_else(truncated)?;
    let mut head = [0; SKIPPABLE_HEADER_BYTES];
    read_at(file, &mut head, head_at, trouble)?;
    if head_at != index.stored_bytes() || format::index_head(length) != Some(head) {
        return Err(trouble.corrupt("the file is longer or shorter than its index says"));
    }
    let mut same = BufWriter::with_capacity(PIECE_BYTES, Same { file, at: table_at });
    match format::write_seek_table(&index.frames, length, &mut same).and_then(|()| same.flush()) {
        Ok(()) if same.get_ref().at == bytes => Ok((index, digest)),
        Err(error) if !is_other(&error) => Err(io_error(trouble, "read", &error)),
        _ => Err(trouble.corrupt("the seek table does not fit the index")),
    }
}

/// Whether a part of the file is not there, or not what it should be.
fn is_other(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

/// Reads the index piece by piece, so that never more of it is in memory than what it says. What is read is hashed on
/// its way: nothing is believed that does not have the digest.
fn parse(payload: &Part<'_>, digest: Digest, trouble: &Trouble) -> Result<Index, FsError> {
    let damaged = || trouble.corrupt("the index does not have its digest");
    let newer = |format| {
        let message = format!("written by a newer volsnap (format {format}, known is {ARCHIVE_FORMAT}); use that one");
        trouble.of(FsErrorKind::Unsupported, message)
    };
    let mut reader = payload.buffered();
    let error = match serde_json::from_reader::<_, Index>(&mut reader) {
        Ok(_) if reader.get_ref().digest() != digest => return Err(damaged()),
        Ok(index) if index.format > ARCHIVE_FORMAT => return Err(newer(index.format)),
        Ok(index) if index.format == 0 => return Err(trouble.corrupt("the index has no format")),
        Ok(index) => return Ok(index),
        Err(error) => error,
    };
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| io_error(trouble, "read", &e))?;
    if reader.get_ref().digest() != digest {
        return Err(damaged());
    }
    // What a newer version writes need not look like an index to this one, but for its number.
    match serde_json::from_reader(payload.buffered()) {
        Ok(Version { format }) if format > ARCHIVE_FORMAT => Err(newer(format)),
        _ => Err(trouble.corrupt(format!("the index cannot be read: {error}"))),
    }
}

/// A part of a file, read from its beginning and hashed.
#[derive(Clone)]
struct Part<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    hasher: blake3::Hasher,
}

impl<'a> Part<'a> {
    fn new(file: &'a File, at: u64, end: u64) -> Self {
        Part { file, at, end, hasher: blake3::Hasher::new() }
    }

    fn buffered(&self) -> BufReader<Part<'a>> {
        BufReader::with_capacity(PIECE_BYTES, self.clone())
    }

    /// Of all that was read so far.
    fn digest(&self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..length], self.at)?;
        self.hasher.update(&buffer[..read]);
        self.at += read as u64;
        Ok(read)
    }
}

/// Takes bytes that must be those of a file from some place on: [`ErrorKind::InvalidData`] if they are not.
struct Same<'a> {
    file: &'a File,
    at: u64,
}

impl Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        self.file.read_exact_at(&mut there, self.at)?;
        self.at += bytes.len() as u64;
        if there == bytes { Ok(bytes.len()) } else { Err(ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What every version can read of an index, so that a newer one is named as such.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

/// Reads the frame with `volsnap.json`, which holds nothing else.
fn read_manifest(file: &File, index: &Index, trouble: &Trouble) -> Result<Manifest, FsError> {
    let frame = index.frames.first().ok_or_else(|| trouble.corrupt("the archive has no frames"))?;
    let content = Unpacker::new().read(&Stored { number: 0, frame, file, offset: 0, trouble })?;
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

/// Whether a file begins as archives do, whatever follows: its first member is the manifest.
fn begins_as_ours(file: &Path) -> bool {
    let mut block = [0; BLOCK];
    let begun = File::open(file).and_then(|file| {
        let mut unpacked = zstd::Decoder::new(file)?;
        // A foreign file is not to have more memory than one of ours needs.
        unpacked.window_log_max(23)?;
        unpacked.read_exact(&mut block)
    });
    begun.is_ok() && header::decode(&block).is_ok_and(|head| head.name == name::MANIFEST)
}

/// Fills the buffer from that offset; a file that ends before is corrupt.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64, trouble: &Trouble) -> Result<(), FsError> {
    file.read_exact_at(buffer, offset).map_err(|error| match error.kind() == ErrorKind::UnexpectedEof {
        true => trouble.corrupt("the archive is cut off"),
        false => io_error(trouble, "read", &error),
    })
}
