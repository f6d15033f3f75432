//! Any bytes as the tar stream of a volume. Half of the alterations are to one block alone, so that the others stay where
//! they are, and after three of four the headers' checksums are made to fit.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| volsnap_disk::fuzzing::volume(bytes));

const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let blocks = data[..size].as_chunks_mut::<BLOCK>().0;
    let size = match seed % 4 {
        0 | 1 if !blocks.is_empty() => {
            let at = seed as usize / 4 % blocks.len();
            let length = fuzzer_mutate(&mut blocks[at], BLOCK, BLOCK);
            blocks[at][length..].fill(0);
            size
        }
        _ => fuzzer_mutate(data, size, max_size),
    };
    if seed % 4 != 3 {
        data[..size].as_chunks_mut().0.iter_mut().for_each(mend);
    }
    size
});

/// Gives a block that looks like a header its checksum.
fn mend(block: &mut [u8; BLOCK]) {
    if &block[257..262] != b"ustar" {
        return;
    }
    block[CHECKSUM].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[CHECKSUM].copy_from_slice(format!("{sum:07o}\0").as_bytes());
}
