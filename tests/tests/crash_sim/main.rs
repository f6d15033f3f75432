//! Crash tests on the simulator: small worlds exhaustively, larger ones at random, and broken ports on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod crashes;
mod faults;
mod identities;
mod kept;
mod lives;
mod mutants;
mod odd;
mod order;
mod resumed;
mod snapshots;
mod stories;
mod transfers;

/// Half of the time of a crashed world would be that of malloc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
