//! Any bytes as the file of an archive. Three of four alterations are to its frames or to its index alone, and all
//! lengths and digests are made to fit, since no chance ever finds a digest.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use volsnap_disk::fuzzing::{join, parts};

fuzz_target!(|bytes: &[u8]| volsnap_disk::fuzzing::archive(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let altered = parts(&data[..size]).filter(|_| seed % 4 != 0).map(|(frames, payload)| match seed % 4 {
        1 => join(&mutate(frames, max_size), payload),
        _ => join(frames, &mutate(payload, max_size)),
    });
    match altered.filter(|altered| altered.len() <= max_size) {
        Some(altered) => {
            data[..altered.len()].copy_from_slice(&altered);
            altered.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

fn mutate(part: &[u8], max_size: usize) -> Vec<u8> {
    let mut buffer = part.to_vec();
    buffer.resize(max_size.max(part.len()), 0);
    let size = fuzzer_mutate(&mut buffer, part.len(), max_size.max(part.len()));
    buffer.truncate(size);
    buffer
}
