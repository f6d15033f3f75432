//! A clock that only moves when it is asked, and ids from a counter: a run is a function of its choices.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::ports::Clock;

use crate::machine::Machine;

/// 2026-01-01T00:00:00Z.
const EPOCH_NS: i64 = 1_767_225_600_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

#[derive(Clone, Debug)]
pub(crate) struct ClockState {
    process: u64,
    passed_ns: i64,
    pub wall_jump_s: i64,
    ids: u64,
    marks: u64,
}

impl ClockState {
    pub fn new() -> Self {
        ClockState { process: 0, passed_ns: 0, wall_jump_s: 0, ids: 0, marks: 0 }
    }

    /// Time of the world since its epoch: each process has an hour of its own, so that what two processes of
    /// different pasts see does not differ by how long these took.
    pub fn wall_ns(&self) -> i64 {
        EPOCH_NS + self.monotonic_ns() + self.wall_jump_s.saturating_mul(1_000_000_000)
    }

    pub fn monotonic_ns(&self) -> i64 {
        i64::try_from(self.process).unwrap_or(0).saturating_mul(HOUR_NS) + self.passed_ns
    }

    pub fn pass_ns(&mut self, ns: i64) {
        self.passed_ns += ns;
    }

    /// What the names and births of things depend on that the next process makes.
    pub fn past(&self) -> (u64, u64, i64) {
        (self.process, self.marks, self.wall_jump_s)
    }

    pub fn next_process(&mut self) {
        self.process += 1;
        self.passed_ns = 0;
        self.ids = 0;
    }

    fn fresh_id(&mut self) -> Uuid {
        self.ids += 1;
        let mut tail = [0; 10];
        tail[..4].copy_from_slice(&u32::try_from(self.process).unwrap_or(u32::MAX).to_be_bytes());
        tail[4..].copy_from_slice(&self.ids.to_be_bytes()[2..]);
        let millis = u64::try_from((EPOCH_NS + self.monotonic_ns()) / 1_000_000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }

    /// A name for the next file that an app writes.
    pub fn next_mark(&mut self) -> String {
        self.marks += 1;
        format!("app-{:04}", self.marks)
    }
}

/// The clock of a machine.
#[derive(Clone, Debug)]
pub struct SimClock {
    pub(crate) machine: Machine,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let mut world = self.machine.world();
        world.clock.pass_ns(1_000_000);
        Timestamp::from_nanosecond(i128::from(world.clock.wall_ns())).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        let mut world = self.machine.world();
        world.clock.pass_ns(1_000_000);
        Duration::from_nanos(u64::try_from(world.clock.monotonic_ns()).unwrap_or(0))
    }

    fn fresh_id(&self) -> Uuid {
        self.machine.world().clock.fresh_id()
    }

    async fn sleep(&self, duration: Duration) {
        let ns = i64::try_from(duration.as_nanos()).unwrap_or(HOUR_NS);
        self.machine.world().clock.pass_ns(ns);
    }
}
