//! Contract suites of the ports, worlds and the oracle for crash tests, and helpers for end-to-end tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

pub mod contracts;

pub mod worlds;

pub mod oracle;
pub mod process;

pub mod crash;
pub mod mutants;

pub mod cli;
pub mod loop_disk;
pub mod private_engine;
pub mod trees;
