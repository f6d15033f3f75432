//! Work done by several threads whose results come out in the order in which the work went in.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::Scope,
};

/// The end into which work goes. When it is dropped, the workers end.
pub(super) struct Feed<I, O> {
    jobs: SyncSender<(I, SyncSender<O>)>,
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
        self.order.send(result).is_ok() && self.jobs.send((item, reply)).is_ok()
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

/// Starts so many workers in `scope`; `context` makes what a worker keeps from one piece of work to the next.
pub(super) fn pipeline<'scope, C, I, O>(
    scope: &'scope Scope<'scope, '_>,
    count: usize,
    context: impl Fn() -> C + Send + Clone + 'scope,
    work: impl Fn(&mut C, I) -> O + Send + Copy + 'scope,
) -> (Feed<I, O>, Drain<O>)
where
    I: Send + 'scope,
    O: Send + 'scope,
{
    let (jobs, queue) = sync_channel::<(I, SyncSender<O>)>(1);
    let (order, results) = sync_channel(count + 1);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..count {
        let (queue, context) = (Arc::clone(&queue), context.clone());
        scope.spawn(move || {
            let mut context = context();
            while let Some((item, reply)) = take(&queue) {
                // Nobody waiting for the result means that the work was given up.
                let _ = reply.send(work(&mut context, item));
            }
        });
    }
    (Feed { jobs, order }, Drain { order: results })
}

fn take<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().ok()?.recv().ok()
}
