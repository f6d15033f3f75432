//! Threads for archives, shared by all that one [`Disk`](crate::Disk) does at the same time.
//!
//! An operation alone has all of them. When others come, it gives up one after the other until it has one left, and takes
//! what has become free when it begins its next volume. Who comes when each has but one waits its turn: the threads, and
//! with them the memory, stay as many as were configured, however many operations there are.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use volsnap_core::ports::Watch;

/// How often one that waits looks whether it shall go on waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What there is to share.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    shares: Arc<Mutex<Vec<Weak<Share>>>>,
}

impl Budget {
    /// So many threads.
    pub(crate) fn of(count: usize) -> Self {
        Budget { places: Arc::new(Semaphore::new(count)), waiting: Arc::default(), shares: Arc::default() }
    }

    /// As many as are free; waits for one if none is, each in its turn. `None` if it is asked to end.
    pub(crate) async fn take(&self, watch: &Watch) -> Option<Jobs> {
        let waiting = Waiting::among(&self.waiting);
        self.ask_for_what_is_idle();
        let first = self.places.clone().acquire_owned();
        tokio::pin!(first);
        let first = loop {
            match tokio::time::timeout(LOOK_EVERY, &mut first).await {
                Ok(place) => break place.ok()?,
                Err(_) if watch.cancelled() => return None,
                Err(_) => self.ask_for_what_is_idle(),
            }
        };
        drop(waiting);
        let places = std::iter::once(first).chain(self.free()).collect();
        let seats = Mutex::new(Seats { places, at_work: Vec::new() });
        let share = Arc::new(Share { seats, budget: self.clone() });
        lock(&self.shares).push(Arc::downgrade(&share));
        Some(Jobs { held: Held::Shared(share), is_steady: false })
    }

    /// Those that nobody has and nobody waits for.
    fn free(&self) -> impl Iterator<Item = OwnedSemaphorePermit> {
        std::iter::from_fn(|| self.places.clone().try_acquire_owned().ok())
    }

    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Has all shares give up what no thread of theirs uses just now.
    fn ask_for_what_is_idle(&self) {
        let shares: Vec<Arc<Share>> = {
            let mut shares = lock(&self.shares);
            shares.retain(|share| share.strong_count() > 0);
            shares.iter().filter_map(Weak::upgrade).collect()
        };
        for share in shares {
            share.give_up_what_is_idle(&mut lock(&share.seats));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody waits as long as this lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn among(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The threads of one operation: so many that compress or decompress, and so many that make files meanwhile.
#[derive(Clone, Debug)]
pub struct Jobs {
    held: Held,
    is_steady: bool,
}

#[derive(Clone, Debug)]
enum Held {
    /// They are its own.
    Own(usize),
    Shared(Arc<Share>),
}

#[derive(Debug)]
struct Share {
    seats: Mutex<Seats>,
    budget: Budget,
}

#[derive(Debug)]
struct Seats {
    places: Vec<OwnedSemaphorePermit>,
    /// How many threads there are with each number.
    at_work: Vec<usize>,
}

/// A thread's place among those of its operation, until dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    jobs: Jobs,
    number: usize,
}

impl From<usize> for Jobs {
    /// Threads that are shared with nobody.
    fn from(count: usize) -> Self {
        Jobs { held: Held::Own(count.max(1)), is_steady: true }
    }
}

impl Jobs {
    /// The same, of which none is given up: an app waits for the end of what they do.
    pub(crate) fn steady(&self) -> Self {
        Jobs { is_steady: true, ..self.clone() }
    }

    /// A seat for each of them, with those that have become free by now.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let count = match &self.held {
            Held::Own(count) => *count,
            Held::Shared(share) => {
                let mut seats = lock(&share.seats);
                seats.places.extend(share.budget.free());
                let count = seats.places.len();
                if seats.at_work.len() < count {
                    seats.at_work.resize(count, 0);
                }
                seats.at_work[..count].iter_mut().for_each(|threads| *threads += 1);
                count
            }
        };
        (0..count).map(|number| Seat { jobs: self.clone(), number }).collect()
    }
}

impl Seat {
    /// Whether its thread goes on. One that does not leaves its place to somebody who waits. The first one always goes on.
    pub(crate) fn is_kept(&self) -> bool {
        let Held::Shared(share) = &self.jobs.held else { return true };
        if self.jobs.is_steady || self.number == 0 {
            return true;
        }
        let places = lock(&share.seats).places.len();
        let is_last = self.number + 1 == places;
        self.number < places && !(is_last && share.budget.is_waited_for())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Held::Shared(share) = &self.jobs.held {
            let mut seats = lock(&share.seats);
            seats.at_work[self.number] -= 1;
            share.give_up_what_is_idle(&mut seats);
        }
    }
}

impl Share {
    /// Gives up places, the last first, as long as somebody waits and no thread uses them; never the only one.
    fn give_up_what_is_idle(&self, seats: &mut Seats) {
        while self.budget.is_waited_for() && seats.places.len() > 1 && seats.is_idle(seats.places.len() - 1) {
            seats.places.pop();
        }
    }
}

impl Seats {
    fn is_idle(&self, number: usize) -> bool {
        self.at_work.get(number).is_none_or(|threads| *threads == 0)
    }
}

#[cfg(test)]
mod tests {
    use volsnap_core::ports::{Observer, Progress, Quiet};

    use super::*;

    fn quiet() -> Watch {
        Arc::new(Quiet)
    }

    async fn take(budget: &Budget) -> Jobs {
        budget.take(&quiet()).await.unwrap()
    }

    fn places(jobs: &Jobs) -> usize {
        match &jobs.held {
            Held::Own(count) => *count,
            Held::Shared(share) => lock(&share.seats).places.len(),
        }
    }

    async fn until_waited_for(budget: &Budget, by: usize) {
        while budget.waiting.load(Ordering::Relaxed) < by {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_alone_has_all_and_gives_up_what_it_does_not_use_at_once() {
        let budget = Budget::of(3);
        let first = take(&budget).await;
        assert_eq!(places(&first), 3);
        let second = take(&budget).await;
        assert_eq!((places(&first), places(&second)), (1, 2));
        let third = take(&budget).await;
        assert_eq!((places(&first), places(&second), places(&third)), (1, 1, 1));
        drop((second, third));
        assert_eq!(first.seats().len(), 3, "it has all again when it begins something");
    }

    #[tokio::test]
    async fn threads_at_work_end_for_others_one_after_the_other_but_for_the_first() {
        let budget = Budget::of(2);
        let first = take(&budget).await;
        // Two pipelines, each with a thread of each number.
        let (mut frames, mut files) = (first.seats(), first.seats());
        assert!(frames.iter().chain(&files).all(Seat::is_kept), "nobody else is there");
        let other = budget.clone();
        let second = tokio::spawn(async move { take(&other).await });
        until_waited_for(&budget, 1).await;
        assert!(frames[0].is_kept() && !frames[1].is_kept() && !files[1].is_kept());
        frames.pop();
        assert_eq!(places(&first), 2, "a thread is still in that place");
        files.pop();
        assert_eq!(places(&first), 1);
        let second = second.await.unwrap();
        assert_eq!(places(&second), 1);
        assert!(frames[0].is_kept() && files[0].is_kept());
    }

    #[tokio::test]
    async fn they_have_their_turns_and_one_that_is_asked_to_end_waits_no_more() {
        struct Ending;
        impl Observer for Ending {
            fn progress(&self, _: &Progress) {}
            fn cancelled(&self) -> bool {
                true
            }
        }
        let budget = Budget::of(1);
        let first = take(&budget).await;
        let ending: Watch = Arc::new(Ending);
        assert!(budget.take(&ending).await.is_none());
        assert!(!budget.is_waited_for());
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut turns = Vec::new();
        for turn in 0..5 {
            let (mine, order) = (budget.clone(), order.clone());
            turns.push(tokio::spawn(async move {
                let _jobs = take(&mine).await;
                lock(&order).push(turn);
            }));
            until_waited_for(&budget, turn + 1).await;
        }
        drop(first);
        for turn in turns {
            turn.await.unwrap();
        }
        assert_eq!(*lock(&order), [0, 1, 2, 3, 4]);
        assert_eq!(places(&take(&budget).await), 1);
    }

    #[tokio::test]
    async fn what_an_app_waits_for_gives_up_none() {
        let budget = Budget::of(2);
        let first = take(&budget).await.steady();
        let seats = first.seats();
        let _waiting = Waiting::among(&budget.waiting);
        budget.ask_for_what_is_idle();
        assert!(seats.iter().all(Seat::is_kept));
        assert_eq!(places(&first), 2);
    }
}
