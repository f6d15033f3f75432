//! Who waits for a workload's lock in this process: first come, first served.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::WorkloadId;

/// Those who wait, by workload; shared by an engine and its clones.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    given: u64,
    lines: BTreeMap<WorkloadId, VecDeque<u64>>,
}

/// A place in a workload's line, until dropped.
pub(super) struct Turn {
    turns: Turns,
    workload: WorkloadId,
    number: u64,
}

impl Turns {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last place in the line of that workload.
    pub(super) fn line_up(&self, workload: WorkloadId) -> Turn {
        let mut waiting = self.waiting();
        waiting.given += 1;
        let number = waiting.given;
        waiting.lines.entry(workload).or_default().push_back(number);
        Turn { turns: self.clone(), workload, number }
    }
}

impl Turn {
    /// Whether nobody comes before.
    pub(super) fn has_come(&self) -> bool {
        self.turns.waiting().lines.get(&self.workload).is_some_and(|line| line.front() == Some(&self.number))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting();
        if let Some(line) = waiting.lines.get_mut(&self.workload) {
            line.retain(|number| *number != self.number);
            if line.is_empty() {
                waiting.lines.remove(&self.workload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_workload_has_its_own_line_and_who_leaves_is_not_waited_for() {
        let (turns, one, other) = (Turns::default(), WorkloadId(Uuid::from_u128(1)), WorkloadId(Uuid::from_u128(2)));
        let (first, second, third, unrelated) =
            (turns.line_up(one), turns.line_up(one), turns.clone().line_up(one), turns.line_up(other));
        assert_eq!([&first, &second, &third, &unrelated].map(Turn::has_come), [true, false, false, true]);
        drop(second);
        assert_eq!([&first, &third].map(Turn::has_come), [true, false]);
        drop(first);
        assert!(third.has_come());
        drop((third, unrelated));
        assert!(turns.waiting().lines.is_empty(), "nothing is kept of those who left");
    }
}
