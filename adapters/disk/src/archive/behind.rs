//! Has what is written put on the disk while more is being made: the sync at the end finds little left to do.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rustix::io::Errno;

/// Bytes between two syncs. By itself the kernel waits until a tenth of its memory is dirty.
const STEP_BYTES: u64 = 64 << 20;

/// A thread that syncs whenever enough was written. When it is dropped, the thread has ended.
///
/// A sync that fails is told once, and to whoever asks next; it must be one that fails the whole work.
pub(super) struct WriteBehind {
    written: AtomicU64,
    /// Empty when the thread could not be started: then everything is left to the last sync.
    due: Option<SyncSender<()>>,
    failed: Arc<Mutex<Option<Errno>>>,
    thread: Option<JoinHandle<()>>,
}

impl WriteBehind {
    /// Calls `sync` on a thread of its own.
    pub(super) fn start(sync: impl Fn() -> Result<(), Errno> + Send + 'static) -> Self {
        let (due, calls) = sync_channel::<()>(1);
        let failed = Arc::new(Mutex::new(None));
        let failure = Arc::clone(&failed);
        let thread = std::thread::Builder::new().spawn(move || {
            while calls.recv().is_ok() {
                if let Err(error) = sync() {
                    *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                    return;
                }
            }
        });
        let thread = thread.inspect_err(|error| tracing::debug!(%error, "everything is left to the last sync")).ok();
        WriteBehind { written: AtomicU64::new(0), due: thread.is_some().then_some(due), failed, thread }
    }

    /// So much more was written.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / STEP_BYTES != (before + bytes) / STEP_BYTES
            && let Some(due) = &self.due
        {
            // Full means that a sync is waiting already; it will see this, too.
            let _ = due.try_send(());
        }
    }

    /// Waits for the sync that is under way.
    ///
    /// # Errors
    /// What a sync gave.
    pub(super) fn end(&mut self) -> Result<(), Errno> {
        self.due = None;
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| Errno::IO)?;
        }
        self.failed.lock().map_err(|_| Errno::IO)?.take().map_or(Ok(()), Err)
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_comes_with_each_step_and_its_failure_is_told() {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        let mut behind = WriteBehind::start(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        behind.wrote(STEP_BYTES - 1);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        behind.wrote(1);
        behind.end().unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 1);

        let mut failing = WriteBehind::start(|| Err(Errno::IO));
        failing.wrote(3 * STEP_BYTES);
        assert_eq!(failing.end(), Err(Errno::IO));
        let mut idle = WriteBehind::start(|| Err(Errno::IO));
        assert_eq!(idle.end(), Ok(()), "nothing was written, nothing was synced");
    }
}
