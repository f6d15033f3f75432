//! What is held, and by whom it cannot be.

use std::path::PathBuf;

/// Something that is held as long as the value lives, and ends with the process.
pub trait Lease: Send + Sync {}

/// Live directories that are held.
pub struct Claim {
    /// Holds them as long as it lives.
    pub lease: Box<dyn Lease>,
    /// Those of them that others could not be kept from, since their filesystem has no locks.
    pub unguarded: Vec<PathBuf>,
}
