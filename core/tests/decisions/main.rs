//! The decisions of a restore, on a world of values.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test's way to fail is to panic"
)]

mod cases;
mod every_state;
mod world;
