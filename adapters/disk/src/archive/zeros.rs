//! Frames of nothing but zeros, of which a hole of terabytes is made: one is compressed, hashed and unpacked for all.

use std::{io, sync::OnceLock};

use super::{
    format::{Digest, FRAME_MAX, Frame},
    squeeze::Squeezer,
};

/// Zeros that take no memory as long as nobody looks at them.
pub(super) static ZEROS: [u8; FRAME_MAX] = [0; FRAME_MAX];

/// Zeros that are passed over between two looks at whether to go on: some hundred frames.
pub(super) const STEP: u64 = 1 << 30;

/// The digest of a whole frame's content.
pub(super) fn digest() -> Digest {
    static DIGEST: OnceLock<Digest> = OnceLock::new();
    *DIGEST.get_or_init(|| Digest::of(&ZEROS))
}

/// A whole frame, as it is stored.
pub(super) fn frame() -> io::Result<&'static (Vec<u8>, Frame)> {
    static FRAME: OnceLock<Option<(Vec<u8>, Frame)>> = OnceLock::new();
    let made = FRAME.get_or_init(|| {
        let stored = Squeezer::new().and_then(|mut squeezer| squeezer.squeeze(&ZEROS)).ok()?;
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok();
        let (stored_bytes, stored_digest) = (length(&stored)?, Digest::of(&stored));
        let frame = Frame { stored_bytes, stored_digest, bytes: length(&ZEROS)?, digest: digest(), first: None };
        Some((stored, frame))
    });
    made.as_ref().ok_or_else(|| io::Error::other("zeros cannot be compressed"))
}

/// Whether a frame's content is a whole frame of zeros, if it is what the index says.
pub(super) fn is_of(frame: &Frame) -> bool {
    frame.bytes as usize == FRAME_MAX && frame.digest == digest()
}

/// Whether there is nothing else.
pub(super) fn are_in(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|&byte| byte == 0)
}
