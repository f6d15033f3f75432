//! The Containers port on a real Docker Engine: the contract, and what only Docker has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod harness;
mod only_docker;
mod random;

volsnap_tests::containers_contract!(harness::DockerHarness::new);
