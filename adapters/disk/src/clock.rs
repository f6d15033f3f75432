//! The clock of the host and its source of ids.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::ports::Clock;

/// The system's clocks; ids are random and sort by the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    begun: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        SystemClock { begun: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.begun.elapsed()
    }

    fn fresh_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_passes_and_ids_sort_by_it() {
        let clock = SystemClock::new();
        let (early, first) = (clock.monotonic(), clock.fresh_id());
        clock.sleep(Duration::from_millis(5)).await;
        let (late, second) = (clock.monotonic(), clock.fresh_id());
        assert!(late - early >= Duration::from_millis(5));
        assert!(first < second);
        assert_eq!(first.get_version_num(), 7);
    }
}
