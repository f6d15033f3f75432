//! Compresses frames, each with the cheaper of two settings unless the dearer one is worth its time.

use std::io::Result;

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, compress_bound},
};

use super::format::FRAME_MAX;

/// Bytes from the middle of a frame that are tried with both settings: 3 % of its time.
const SAMPLE_BYTES: usize = 64 * 1024;
/// Percent by which the dearer setting must beat the cheaper one.
const GAIN_PERCENT: usize = 3;

/// Level 3, and level 2 with matches from 4 bytes and a larger table, which takes half to two thirds of the time.
///
/// Measured on what volumes hold: of databases and of data that is partly random the cheap one makes the same size within
/// 2 %, in part less; of source code and prose it makes 11 % more, which nobody would want to keep for years.
pub(super) struct Squeezer {
    thorough: Compressor<'static>,
    quick: Compressor<'static>,
    sample: Vec<u8>,
}

impl Squeezer {
    pub(super) fn new() -> Result<Self> {
        let quick = [CParameter::MinMatch(4), CParameter::HashLog(17)];
        let sample = Vec::with_capacity(compress_bound(SAMPLE_BYTES));
        Ok(Squeezer { thorough: compressor(3, &[])?, quick: compressor(2, &quick)?, sample })
    }

    /// One zstd frame with content size and checksum.
    pub(super) fn squeeze(&mut self, content: &[u8]) -> Result<Vec<u8>> {
        match self.is_worth_it(content)? {
            true => self.thorough.compress(content),
            false => self.quick.compress(content),
        }
    }

    fn is_worth_it(&mut self, content: &[u8]) -> Result<bool> {
        // What is small costs little either way.
        if content.len() < FRAME_MAX / 4 {
            return Ok(true);
        }
        let middle = &content[content.len() / 2..][..SAMPLE_BYTES];
        let mut try_with = |compressor: &mut Compressor<'_>| {
            self.sample.clear();
            compressor.compress_to_buffer(middle, &mut self.sample)
        };
        let (quick, thorough) = (try_with(&mut self.quick)?, try_with(&mut self.thorough)?);
        Ok(quick * 100 > thorough * (100 + GAIN_PERCENT))
    }
}

fn compressor(level: i32, parameters: &[CParameter]) -> Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
    for parameter in parameters {
        compressor.set_parameter(*parameter)?;
    }
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source code: this crate's own.
    fn source(bytes: usize) -> Vec<u8> {
        const FILES: [&str; 7] = [
            include_str!("../../README.md"),
            include_str!("draft.rs"),
            include_str!("extract.rs"),
            include_str!("header.rs"),
            include_str!("read.rs"),
            include_str!("source.rs"),
            include_str!("stage.rs"),
        ];
        FILES.concat().into_bytes().into_iter().cycle().take(bytes).collect()
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }

    #[test]
    fn source_code_is_worth_the_dearer_setting_and_noise_is_not() {
        let mut squeezer = Squeezer::new().unwrap();
        assert!(squeezer.is_worth_it(&source(FRAME_MAX)).unwrap());
        assert!(!squeezer.is_worth_it(&noise(FRAME_MAX)).unwrap());
        assert!(!squeezer.is_worth_it(&vec![0; FRAME_MAX]).unwrap());
    }

    #[test]
    fn frames_of_any_length_come_back_with_size_and_checksum() {
        let mut squeezer = Squeezer::new().unwrap();
        for length in [1, 512, SAMPLE_BYTES, FRAME_MAX / 4, FRAME_MAX / 4 + 1, FRAME_MAX] {
            let content = [&noise(length / 2)[..], &source(length - length / 2)].concat();
            let mut stored = squeezer.squeeze(&content).unwrap();
            assert_eq!(zstd::bulk::decompress(&stored, length).unwrap(), content);
            let size = zstd::zstd_safe::get_frame_content_size(&stored).ok().flatten();
            assert_eq!(size, Some(length as u64));
            let last = stored.len() - 1;
            stored[last] ^= 1;
            assert!(zstd::bulk::decompress(&stored, length).is_err(), "the checksum is looked at");
        }
    }
}
