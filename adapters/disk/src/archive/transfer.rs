//! Copies an archive as it is stored, checking every byte on its way: frames against their digests, the end against its own.

use volsnap_core::ports::FsError;

use super::{
    format::{self, Digest, INDEX_FRAME_OVERHEAD, PIECE_BYTES, SKIPPABLE_HEADER_BYTES, seek_table_bytes},
    open::{Archive, read_at},
    progress::Meter,
};

/// Takes checked bytes.
pub(super) type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), FsError>;

/// Hands on the frames from that one on, each when it is seen to have its digest.
pub(super) fn frames(archive: &Archive, from: usize, take: Take<'_>, meter: &mut Meter<'_>) -> Result<(), FsError> {
    let mut at = archive.index.offset(from);
    let mut stored = Vec::new();
    for number in from..archive.index.frames.len() {
        archive.stored(number, at).read(&mut stored)?;
        take(&stored)?;
        at += stored.len() as u64;
        meter.add(stored.len() as u64, 0)?;
    }
    Ok(())
}

/// Hands on what comes after the frames. The index goes out while it is read once more: if it has not the digest that it
/// had when the archive was opened, that is known at its end.
pub(super) fn end(archive: &Archive, take: Take<'_>, meter: &mut Meter<'_>) -> Result<(), FsError> {
    let trouble = &archive.trouble;
    let frames_bytes = archive.index.stored_bytes();
    let table_bytes = seek_table_bytes(archive.index.frames.len() + 1) as u64;
    // Opening has proved that these add up to the file.
    let payload_bytes = archive.bytes.saturating_sub(frames_bytes + INDEX_FRAME_OVERHEAD as u64 + table_bytes);
    take(&format::index_head(payload_bytes).ok_or_else(|| trouble.corrupt("its index is too long"))?)?;

    let (mut at, mut left) = (frames_bytes + SKIPPABLE_HEADER_BYTES as u64, payload_bytes);
    let (mut piece, mut hasher) = (vec![0; PIECE_BYTES], blake3::Hasher::new());
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        read_at(&archive.file, &mut piece[..length], at, trouble)?;
        hasher.update(&piece[..length]);
        take(&piece[..length])?;
        (at, left) = (at + length as u64, left - length as u64);
        meter.add(length as u64, 0)?;
    }
    if Digest(*hasher.finalize().as_bytes()) != archive.digest {
        return Err(trouble.corrupt("its index changed while it was read"));
    }
    take(&format::trailer(payload_bytes, archive.digest))?;
    let mut table = Vec::new();
    let written = format::write_seek_table(&archive.index.frames, payload_bytes, &mut table);
    written.map_err(|e| trouble.corrupt(format!("its seek table cannot be: {e}")))?;
    take(&table)?;
    meter.tell()
}
