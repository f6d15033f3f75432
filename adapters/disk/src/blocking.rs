//! Blocking work off the runtime's own threads, and what becomes of it when nobody waits for it any more.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinError, time::timeout};
use volsnap_core::ports::{FsError, FsErrorKind, FsOp, Observer, Progress, Watch};

use crate::errno::io_error;

/// Runs `work` on a thread that may block. If the future is dropped, the work ends by itself.
pub(crate) async fn blocking<T: Send + 'static>(
    op: FsOp,
    path: &Path,
    work: impl FnOnce() -> Result<T, FsError> + Send + 'static,
) -> Result<T, FsError> {
    ended(op, path, tokio::task::spawn_blocking(work).await)
}

/// The result of a task. One that panicked, or that a runtime gave up at its end, is an error and not a panic here.
pub(crate) fn ended<T>(op: FsOp, path: &Path, task: Result<Result<T, FsError>, JoinError>) -> Result<T, FsError> {
    let error = match task {
        Ok(result) => return result,
        Err(error) => error,
    };
    let message = match error.try_into_panic() {
        Ok(payload) => format!("a fault of volsnap: {}", panic_words(&*payload)),
        Err(error) => format!("the work was given up: {error}"),
    };
    Err(FsError::new(FsErrorKind::Io, op, path, message))
}

/// Runs long `work` with a watch that also asks for the end when the future is dropped: a tree that nobody waits for
/// is not read or written to its end.
pub(crate) async fn watched<T: Send + 'static>(
    op: FsOp,
    path: &Path,
    watch: Watch,
    work: impl FnOnce(&Watch) -> Result<T, FsError> + Send + 'static,
) -> Result<T, FsError> {
    let attended = Arc::new(Attended { watch, abandoned: AtomicBool::new(false) });
    let inner: Watch = attended.clone();
    let mut guard = AbandonOnDrop(Some(attended));
    let result = blocking(op, path, move || work(&inner)).await;
    // The work came to its end; what it returned may go on using the watch.
    guard.0 = None;
    result
}

/// Runs `work` on a thread of its own and waits no longer than that, for looks that a stuck process or a dead server of
/// somebody else can hold up for ever. Such a thread is left to itself.
pub(crate) async fn impatient<T: Send + 'static>(
    op: FsOp,
    path: &Path,
    patience: Duration,
    work: impl FnOnce() -> Result<T, FsError> + Send + 'static,
) -> Result<T, FsError> {
    let (tell, told) = oneshot::channel();
    let look = move || drop(tell.send(work()));
    std::thread::Builder::new().spawn(look).map_err(|error| io_error(op, path, &error))?;
    match timeout(patience, told).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            Err(FsError::new(FsErrorKind::Io, op, path, "a fault of volsnap: the look ended without an answer"))
        }
        Err(_) => Err(FsError::new(FsErrorKind::Transient, op, path, format!("no answer after {patience:?}"))),
    }
}

struct Attended {
    watch: Watch,
    abandoned: AtomicBool,
}

impl Observer for Attended {
    fn progress(&self, progress: &Progress) {
        if !self.abandoned.load(Ordering::Relaxed) {
            self.watch.progress(progress);
        }
    }

    fn cancelled(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed) || self.watch.cancelled()
    }
}

struct AbandonOnDrop(Option<Arc<Attended>>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        if let Some(attended) = &self.0 {
            attended.abandoned.store(true, Ordering::Relaxed);
        }
    }
}

fn panic_words(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use volsnap_core::ports::Quiet;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_that_repeats_its_words() {
        let result: Result<(), _> = blocking(FsOp::Look, Path::new("/x"), || panic!("boom")).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind, FsErrorKind::Io);
        assert!(error.message.contains("boom"), "{error}");
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_asked_to_end() {
        let (told, end) = mpsc::channel();
        let work = move |watch: &Watch| {
            while !watch.cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            told.send(()).unwrap();
            Ok(())
        };
        let future = watched(FsOp::Stage, Path::new("/x"), Arc::new(Quiet), work);
        assert!(timeout(Duration::from_millis(20), future).await.is_err());
        end.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_given_up_and_one_that_does_not_is_answered() {
        let (release, held) = mpsc::channel::<()>();
        let hangs = move || {
            held.recv().ok();
            Ok(())
        };
        let error = impatient(FsOp::Look, Path::new("/x"), Duration::from_millis(20), hangs).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (FsErrorKind::Transient, "no answer after 20ms"));
        drop(release);
        impatient(FsOp::Look, Path::new("/x"), Duration::from_secs(10), || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn a_watch_that_outlives_its_work_is_not_cancelled() {
        let keep = |watch: &Watch| Ok(watch.clone());
        let watch = watched(FsOp::Archive, Path::new("/x"), Arc::new(Quiet), keep).await.unwrap();
        assert!(!watch.cancelled());
    }
}
