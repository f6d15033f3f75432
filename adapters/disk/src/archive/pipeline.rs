//! Work done by several threads whose results come out in the order in which the work went in.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::Scope,
    time::Duration,
};

use crate::budget::{Jobs, Seat};

/// How often a thread that has nothing to do looks whether it goes on.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The end into which work goes. When it is dropped, the workers end.
pub(super) struct Feed<I, O> {
    items: SyncSender<(I, SyncSender<O>)>,
    order: SyncSender<Receiver<O>>,
}

/// The end from which results come.
pub(super) struct Drain<O> {
    order: Receiver<Receiver<O>>,
}

impl<I, O> Feed<I, O> {
    /// Hands in one piece of work, waiting while too much is under way; false when nobody takes results any more.
    pub(super) fn push(&self, item: I) -> bool {
        let (reply, result) = sync_channel(1);
        self.order.send(result).is_ok() && self.items.send((item, reply)).is_ok()
    }
}

impl<O> Drain<O> {
    /// The next result in order; `None` at the end, or if a worker died.
    pub(super) fn next(&self) -> Option<O> {
        self.order.recv().ok()?.recv().ok()
    }
}

#[cfg(any(test, fuzzing))]
impl<O> Drain<O> {
    /// Results that are there already.
    pub(super) fn of(results: Vec<O>) -> Self {
        let (order, drain) = sync_channel(results.len());
        for result in results {
            let (reply, received) = sync_channel(1);
            // Neither can fail: both ends are held here, and there is room for all.
            let _ = reply.send(result);
            let _ = order.send(received);
        }
        Drain { order: drain }
    }
}

/// Starts as many workers as there are `jobs` in `scope`; `context` makes what a worker keeps from one piece of work to the next.
pub(super) fn pipeline<'scope, C, I, O>(
    scope: &'scope Scope<'scope, '_>,
    jobs: &Jobs,
    context: impl Fn() -> C + Send + Clone + 'scope,
    work: impl Fn(&mut C, I) -> O + Send + Copy + 'scope,
) -> (Feed<I, O>, Drain<O>)
where
    I: Send + 'scope,
    O: Send + 'scope,
{
    let seats = jobs.seats();
    let (items, queue) = sync_channel::<(I, SyncSender<O>)>(1);
    let (order, results) = sync_channel(seats.len() + 1);
    let queue = Arc::new(Mutex::new(queue));
    for seat in seats {
        let (queue, context) = (Arc::clone(&queue), context.clone());
        scope.spawn(move || {
            // Seen by `top -H`, and counted by a test.
            let _ = rustix::thread::set_name(c"archive-frames");
            let mut context = context();
            while let Some((item, reply)) = next(&queue, &seat) {
                // Nobody waiting for the result means that the work was given up.
                let _ = reply.send(work(&mut context, item));
            }
        });
    }
    (Feed { items, order }, Drain { order: results })
}

/// The next piece of work for one of several threads; `None` at the end, or when this thread does not go on.
pub(super) fn next<T>(queue: &Mutex<Receiver<T>>, seat: &Seat) -> Option<T> {
    while seat.is_kept() {
        // One that waits for work looks now and then whether somebody else has a better use for its place.
        match queue.lock().ok()?.recv_timeout(LOOK_EVERY) {
            Ok(item) => return Some(item),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    None
}
