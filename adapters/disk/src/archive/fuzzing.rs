//! What must hold for any bytes that are read as an archive. The fuzz targets (`fuzz/`) try these with bytes without
//! end, the tests with the seeds that are kept there; nobody else can see them.

#![allow(clippy::unwrap_used, reason = "a target's way to fail is to panic")]

mod end;
mod tree;
mod volume;

pub use end::{archive, join, manifest, parts};
pub use volume::volume;

#[cfg(test)]
pub(super) use end::freeze;

use volsnap_core::ports::Limits;

/// No limits: what an archive may ask for is a matter of policy.
const OPEN: Limits = Limits { bytes_max: u64::MAX, entries_max: u64::MAX, devices: true };
