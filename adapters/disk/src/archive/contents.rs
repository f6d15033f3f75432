//! The digest of a file's contents, to which holes cost next to nothing.
//!
//! BLAKE3, of a file of more than 4 MiB that of the digests of its pieces of 4 MiB: those of zeros are known. How much of
//! the zeros are holes makes no difference.

use super::{
    format::FRAME_MAX,
    zeros::{self, ZEROS},
};

const PIECE: u64 = FRAME_MAX as u64;

/// Takes a file's contents from their beginning.
#[derive(Default)]
pub(super) struct Contents {
    pieces: blake3::Hasher,
    piece: blake3::Hasher,
    at: u64,
}

impl Contents {
    /// How much was taken.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn data(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(PIECE - self.at % PIECE).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.piece.update(now);
            self.taken(now.len() as u64);
            bytes = later;
        }
    }

    /// Zeros up to there.
    pub(super) fn zeros(&mut self, end: u64) {
        while self.at < end {
            let length = (end - self.at).min(PIECE - self.at % PIECE);
            if length == PIECE {
                self.pieces.update(&zeros::digest().0);
                self.at += PIECE;
            } else {
                self.piece.update(&ZEROS[..usize::try_from(length).unwrap_or(0)]);
                self.taken(length);
            }
        }
    }

    fn taken(&mut self, bytes: u64) {
        self.at += bytes;
        if self.at.is_multiple_of(PIECE) {
            self.end_piece();
        }
    }

    fn end_piece(&mut self) {
        self.pieces.update(self.piece.finalize().as_bytes());
        self.piece.reset();
    }

    /// The digest.
    pub(super) fn finish(mut self) -> [u8; 32] {
        if self.at <= PIECE && !self.at.is_multiple_of(PIECE) || self.at == 0 {
            return *self.piece.finalize().as_bytes();
        }
        if !self.at.is_multiple_of(PIECE) {
            self.end_piece();
        }
        *self.pieces.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros_however_they_come() {
        let data = [7; 1000];
        for zeros in [0, 1, PIECE - 1000, PIECE, PIECE + 1, 3 * PIECE + 5] {
            for after in [0, 10] {
                let (mut holes, mut bytes) = (Contents::default(), Contents::default());
                for contents in [&mut holes, &mut bytes] {
                    contents.data(&data);
                }
                holes.zeros(1000 + zeros);
                (0..zeros).step_by(1 << 16).for_each(|at| bytes.data(&ZEROS[..(zeros - at).min(1 << 16) as usize]));
                for contents in [&mut holes, &mut bytes] {
                    contents.data(&data[..after]);
                }
                assert_eq!(holes.at(), bytes.at());
                assert_eq!(holes.finish(), bytes.finish(), "{zeros} {after}");
            }
        }
        let (mut short, mut long) = (Contents::default(), Contents::default());
        short.zeros(2 * PIECE);
        long.zeros(3 * PIECE);
        assert_ne!(short.finish(), long.finish());
    }
}
