//! Any bytes as the manifest of an archive.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| volsnap_disk::fuzzing::manifest(bytes));
