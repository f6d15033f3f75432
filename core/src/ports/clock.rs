//! Time and fresh ids come from outside, so that a simulation is a function of its seed.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

/// The clock of the host and its source of ids.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock. It may jump; nothing is decided by it.
    fn now(&self) -> Timestamp;

    /// Time since some moment before the first call; never goes back. Measures how long things take.
    fn monotonic(&self) -> Duration;

    /// An id that was never given out before, sortable by time (UUID version 7).
    fn fresh_id(&self) -> Uuid;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}
