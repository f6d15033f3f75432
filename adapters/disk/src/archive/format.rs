//! The layout of an archive's end: index, trailer and seek table.

use std::io::{BufWriter, Write};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use volsnap_core::{
    model::VolumeTotals,
    ports::{FsError, FsErrorKind},
};

use super::compress::io_error;
use crate::tree::Trouble;

/// Content of a frame at the most; a multiple of tar's block.
pub(super) const FRAME_MAX: usize = 4 * 1024 * 1024;

/// Bytes of JSON in an index at the most: enough for some 8 TiB of content.
pub(super) const INDEX_MAX: u64 = 512 << 20;

/// Bytes of the end of an archive that are read or written at a time.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Magic number of the skippable zstd frame that holds the index.
const INDEX_MAGIC: u32 = 0x184D_2A50;
/// What the trailer of the index ends with.
const TRAILER_MAGIC: [u8; 8] = *b"VOLSNAP1";
/// Length of the payload, its digest, magic.
pub(super) const TRAILER_BYTES: usize = 8 + 32 + 8;
/// Magic number of the skippable zstd frame that holds the seek table.
const SEEK_TABLE_MAGIC: u32 = 0x184D_2A5E;
/// What a seek table ends with.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;
/// Number of frames, descriptor, magic.
pub(super) const SEEK_FOOTER_BYTES: usize = 9;
pub(super) const SKIPPABLE_HEADER_BYTES: usize = 8;

/// BLAKE3, in hexadecimal where it is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digest(pub(super) [u8; 32]);

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    pub(super) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)?;
        Ok(Digest(*hash.as_bytes()))
    }
}

/// One zstd frame, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// Its length in the file.
    pub(super) stored_bytes: u32,
    /// BLAKE3 of it as it lies in the file.
    pub(super) stored_digest: Digest,
    /// Length of its content.
    pub(super) bytes: u32,
    /// BLAKE3 of its content.
    pub(super) digest: Digest,
    /// The first member that begins in it; none if it holds nothing but the middle of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<First>,
}

/// Where in a frame's content the first member begins, with its PAX header if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct First {
    pub(super) offset: u32,
    /// The member's name in the archive without a slash at its end, escaped (see [`super::name::escape`]).
    pub(super) name: String,
}

/// A volume's frames and what reading it showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Volume {
    pub(super) first_frame: usize,
    /// 0 if the volume is absent.
    pub(super) frame_count: usize,
    pub(super) totals: VolumeTotals,
}

/// The index: where everything is and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) format: u32,
    pub(super) quiesced_ms: u64,
    pub(super) volumes: Vec<Volume>,
    pub(super) frames: Vec<Frame>,
}

impl Index {
    /// Bytes of the file before the index: all frames.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.stored_bytes)).sum()
    }

    /// Offset of a frame in the file.
    pub(super) fn offset(&self, frame: usize) -> u64 {
        self.frames[..frame].iter().map(|frame| u64::from(frame.stored_bytes)).sum()
    }

    /// The frames' digests, hashed: the digest of a volume.
    pub(super) fn digest_of(frames: &[Frame]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        for frame in frames {
            hasher.update(&frame.digest.0);
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// Whether the parts of the index agree with each other, so that the rest can rely on it.
    pub(super) fn check(&self, trouble: &Trouble) -> Result<(), FsError> {
        let bad = |what: String| Err(trouble.corrupt(format!("index: {what}")));
        for (at, frame) in self.frames.iter().enumerate() {
            // zstd stores what it cannot compress with a few bytes more; what is far longer is no frame of ours.
            let stored = 1..=2 * FRAME_MAX;
            if !(1..=FRAME_MAX).contains(&(frame.bytes as usize)) || !stored.contains(&(frame.stored_bytes as usize)) {
                return bad(format!("frame {at} has {} bytes, {} in the file", frame.bytes, frame.stored_bytes));
            }
            if frame.first.as_ref().is_some_and(|first| first.offset >= frame.bytes) {
                return bad(format!("frame {at} begins a member beyond its end"));
            }
        }
        // The manifest's frame comes first, the end of the tar stream last, the volumes' frames in between, all of
        // them in order.
        let mut next = 1;
        for (at, volume) in self.volumes.iter().enumerate() {
            let end = volume.first_frame.checked_add(volume.frame_count);
            let Some(frames) = end.and_then(|end| self.frames.get(volume.first_frame..end)) else {
                return bad(format!("volume {at} has frames that do not exist"));
            };
            if volume.first_frame != next {
                return bad(format!("volume {at} begins at frame {}, not {next}", volume.first_frame));
            }
            if Index::digest_of(frames).hex() != volume.totals.digest {
                return bad(format!("volume {at} has another digest than its frames"));
            }
            next += volume.frame_count;
        }
        match next + 1 == self.frames.len() {
            true => Ok(()),
            false => bad(format!("{} frames where {} are spoken for", self.frames.len(), next + 1)),
        }
    }
}

/// The index frame and the seek table, which are everything after the frames; gives the digest of the payload and how many
/// bytes that are. The payload is written twice, the first time to nowhere: its length comes before it, and in memory it
/// might be larger than anything else.
pub(super) fn write_end(index: &Index, out: &mut impl Write, trouble: &Trouble) -> Result<(Digest, u64), FsError> {
    let mut measured = Measured { inner: std::io::sink(), hasher: blake3::Hasher::new(), bytes: 0 };
    write_payload(index, &mut measured, trouble)?;
    let (payload_bytes, digest) = (measured.bytes, Digest(*measured.hasher.finalize().as_bytes()));
    let too_large = || trouble.of(FsErrorKind::Unsupported, "the volumes are too large for one archive");
    let head = index_head(payload_bytes).filter(|_| payload_bytes <= INDEX_MAX).ok_or_else(too_large)?;
    let table_bytes = seek_table_bytes(index.frames.len() + 1) as u64;
    let io = |error: std::io::Error| io_error(trouble, "write", &error);

    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    out.write_all(&head).map_err(io)?;
    write_payload(index, &mut out, trouble)?;
    out.write_all(&trailer(payload_bytes, digest)).map_err(io)?;
    write_seek_table(&index.frames, payload_bytes, &mut out).map_err(io)?;
    out.flush().map_err(io)?;
    Ok((digest, payload_bytes + INDEX_FRAME_OVERHEAD as u64 + table_bytes))
}

fn write_payload(index: &Index, out: &mut impl Write, trouble: &Trouble) -> Result<(), FsError> {
    serde_json::to_writer(out, index).map_err(|error| match error.is_io() {
        true => io_error(trouble, "write", &error.into()),
        false => trouble.of(FsErrorKind::Io, format!("index: {error}")),
    })
}

/// Hashes and counts what goes through.
struct Measured<W> {
    inner: W,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// What comes before a payload of that length; `None` if no frame is that long.
pub(super) fn index_head(payload_bytes: u64) -> Option<[u8; SKIPPABLE_HEADER_BYTES]> {
    let rest = u32::try_from(payload_bytes + TRAILER_BYTES as u64).ok()?;
    Some(pair(INDEX_MAGIC, rest))
}

pub(super) fn trailer(payload_bytes: u64, digest: Digest) -> Vec<u8> {
    [&payload_bytes.to_le_bytes()[..], &digest.0, &TRAILER_MAGIC].concat()
}

/// The seek table speaks of every frame before itself, the index frame (without content) included.
pub(super) fn write_seek_table(frames: &[Frame], payload_bytes: u64, out: &mut impl Write) -> std::io::Result<()> {
    let number = |number: u64| u32::try_from(number).map_err(std::io::Error::other);
    let count = frames.len() + 1;
    let rest = number((seek_table_bytes(count) - SKIPPABLE_HEADER_BYTES) as u64)?;
    out.write_all(&pair(SEEK_TABLE_MAGIC, rest))?;
    for frame in frames {
        out.write_all(&pair(frame.stored_bytes, frame.bytes))?;
    }
    out.write_all(&pair(number(payload_bytes + INDEX_FRAME_OVERHEAD as u64)?, 0))?;
    out.write_all(&number(count as u64)?.to_le_bytes())?;
    out.write_all(&[0])?; // no checksums: the index has better ones
    out.write_all(&SEEKABLE_MAGIC.to_le_bytes())
}

/// Two numbers, one after the other.
fn pair(first: u32, second: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_le_bytes(), second.to_le_bytes());
    [a, b, c, d, e, f, g, h]
}

/// Size of a seek table of so many frames, its skippable header included.
pub(super) fn seek_table_bytes(frames: usize) -> usize {
    SKIPPABLE_HEADER_BYTES + frames * 8 + SEEK_FOOTER_BYTES
}

/// Number of frames that a seek table speaks of, from the last bytes of a file; `None` if it is no seek table.
pub(super) fn read_seek_footer(footer: &[u8; SEEK_FOOTER_BYTES]) -> Option<u32> {
    let [a, b, c, d, descriptor, magic @ ..] = *footer;
    (descriptor == 0 && u32::from_le_bytes(magic) == SEEKABLE_MAGIC).then(|| u32::from_le_bytes([a, b, c, d]))
}

/// Length and digest of the index from its trailer; `None` if it is no trailer.
pub(super) fn read_trailer(trailer: &[u8; TRAILER_BYTES]) -> Option<(u64, Digest)> {
    let (length, rest) = trailer.split_first_chunk::<8>()?;
    let (digest, magic) = rest.split_first_chunk::<32>()?;
    (magic == TRAILER_MAGIC).then(|| (u64::from_le_bytes(*length), Digest(*digest)))
}

/// Bytes of the index frame around its payload.
pub(super) const INDEX_FRAME_OVERHEAD: usize = SKIPPABLE_HEADER_BYTES + TRAILER_BYTES;
