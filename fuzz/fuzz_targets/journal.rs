//! Any bytes as a journal. Three of four alterations are to its body alone, and the checksum is made to fit, since no
//! chance ever finds one.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use volsnap_core::restore::{Body, Journal, JournalError, State, journal::FORMAT};

fuzz_target!(|bytes: &[u8]| {
    let journal = match Journal::decode(bytes) {
        Ok(journal) => journal,
        Err(JournalError::Newer { found }) => {
            assert!(found > FORMAT);
            return;
        }
        Err(JournalError::Damaged(_) | JournalError::Unknown(_) | JournalError::Illegal(_)) => return,
    };
    let written = journal.encode().expect("what was read can be written");
    assert_eq!(Journal::decode(&written).as_ref(), Ok(&journal), "what is written is read as the same");
    assert_eq!(journal.encode(), Ok(written), "and is always written in the same way");
    if let Body::Restore(records) = &journal.body
        && let Ok(state) = State::replay(records)
    {
        assert_eq!(state.journal(), journal, "what a state says is what was replayed");
        assert!(records.iter().skip(1).all(|record| record.entry.name() != "opened"));
        assert!(!state.closed || state.is_settled() || state.committed.is_none(), "{state:?}");
        assert!(state.captured.is_none() || state.switched, "{state:?}");
    }
});

const BODY: &[u8] = b"\"body\":";

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match body(&data[..size]).filter(|_| seed % 4 != 0) {
        Some(body) => {
            let mut buffer = body.to_vec();
            buffer.resize(max_size, 0);
            let length = fuzzer_mutate(&mut buffer, body.len(), max_size);
            let whole = envelope(&buffer[..length]);
            let length = whole.len().min(max_size);
            data[..length].copy_from_slice(&whole[..length]);
            length
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

fn body(bytes: &[u8]) -> Option<&[u8]> {
    let begin = bytes.windows(BODY.len()).position(|window| window == BODY)? + BODY.len();
    bytes.trim_ascii_end().strip_suffix(b"}")?.get(begin..)
}

fn envelope(body: &[u8]) -> Vec<u8> {
    let checksum = blake3::hash(body).to_hex();
    let mut bytes = format!("{{\"format\":{FORMAT},\"checksum\":\"{checksum}\",").into_bytes();
    bytes.extend(BODY);
    bytes.extend(body);
    bytes.extend(b"}\n");
    bytes
}
