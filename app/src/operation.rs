//! A long operation in a task of its own, so that no dropped future ends a restore in the middle.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
};
use volsnap_core::{
    Code, Error, Result,
    model::SnapshotId,
    ports::{Observer, Progress, Watch},
    restore::Report,
};

/// An operation under way.
///
/// It runs whether it is awaited or not. Awaiting it gives its result; **dropping it cancels it**, as does
/// [`Operation::cancel`]: a restore that has not yet committed goes back to the original, one that has goes on to the
/// restored data, and either way the task brings the app back before it ends. Only the end of the runtime or of the
/// process stops it in between, and then the next recovery finishes it.
#[must_use = "an operation that is dropped is cancelled"]
#[derive(Debug)]
pub struct Operation<T> {
    task: JoinHandle<Result<T>>,
    canceller: Canceller,
    progress: watch::Receiver<Option<Progress>>,
}

/// Asks an operation to end, from wherever it is kept.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Asks the operation to end; asking again changes nothing.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<T: Send + 'static> Operation<T> {
    /// Starts a task that works under `host`'s eyes.
    pub(crate) fn start<F>(host: Watch, work: impl FnOnce(Watch) -> F) -> Self
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let canceller = Canceller::default();
        let (sender, progress) = watch::channel(None);
        // Only the task holds the sender: when it ends, the listeners hear of it.
        let watch = Arc::new(Relay { host, canceller: canceller.clone(), progress: sender });
        Operation { task: tokio::spawn(work(watch)), canceller, progress }
    }
}

impl<T> Operation<T> {
    /// How far it has come. Only the latest word is kept; the channel closes when the operation has ended.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.clone()
    }

    /// Asks it to end. Await it to learn how it did.
    pub fn cancel(&self) {
        self.canceller.cancel();
    }

    /// A handle that can cancel it from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl<T> Future for Operation<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.task).poll(context).map(|joined| joined.unwrap_or_else(|error| Err(lost(&error))))
    }
}

impl<T> Drop for Operation<T> {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

/// The task panicked, or its runtime was shut down under it: what is left is what a killed process leaves.
fn lost(error: &JoinError) -> Error {
    Error::new(Code::Internal, format!("the operation ended without a result: {error}"))
        .hint("run `volsnap recover`: it finishes or rolls back what is open")
}

/// Passes on to the host and to the channel, and adds the operation's own cancellation.
struct Relay {
    host: Watch,
    canceller: Canceller,
    progress: watch::Sender<Option<Progress>>,
}

impl Observer for Relay {
    fn progress(&self, progress: &Progress) {
        self.host.progress(progress);
        self.progress.send_replace(Some(progress.clone()));
    }

    fn recovered(&self, report: &Report) {
        self.host.recovered(report);
    }

    fn woken(&self, workload: &str, snapshot: SnapshotId, complete: bool) {
        self.host.woken(workload, snapshot, complete);
    }

    fn cancelled(&self) -> bool {
        self.canceller.is_cancelled() || self.host.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use volsnap_core::ports::{Phase, Quiet};

    use super::*;

    fn until_cancelled(ended: oneshot::Sender<&'static str>) -> Operation<()> {
        Operation::start(Arc::new(Quiet), |watch| async move {
            while !watch.cancelled() {
                tokio::task::yield_now().await;
            }
            // What a restore does on its way back takes time too, and must not be cut off.
            tokio::task::yield_now().await;
            ended.send("came to its end").ok();
            Ok(())
        })
    }

    #[tokio::test]
    async fn a_dropped_operation_is_cancelled_and_still_comes_to_its_end() {
        let (sender, receiver) = oneshot::channel();
        drop(until_cancelled(sender));
        assert_eq!(receiver.await.unwrap(), "came to its end");
    }

    #[tokio::test]
    async fn a_canceller_reaches_an_operation_that_is_awaited() {
        let (sender, _receiver) = oneshot::channel();
        let operation = until_cancelled(sender);
        let canceller = operation.canceller();
        let (result, ()) = tokio::join!(operation, async move { canceller.cancel() });
        result.unwrap();
    }

    #[tokio::test]
    async fn the_progress_channel_closes_when_the_operation_ends() {
        let operation = Operation::start(Arc::new(Quiet), |watch| async move {
            watch.progress(&Progress::begin(Phase::Stage));
            Ok(())
        });
        let mut progress = operation.progress();
        operation.await.unwrap();
        let last = progress.borrow_and_update().as_ref().map(|p| p.phase);
        assert_eq!(last, Some(Phase::Stage));
        assert!(tokio::time::timeout(Duration::from_secs(10), progress.changed()).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_with_a_way_out() {
        let operation: Operation<()> = Operation::start(Arc::new(Quiet), |_| async { panic!("oh") });
        let error = operation.await.unwrap_err();
        assert_eq!(error.code, Code::Internal);
        assert!(error.hint.unwrap().contains("volsnap recover"));
    }
}
