//! What every command works with: the opened library, and operations that signals cancel instead of killing them.

use std::{future, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};
use volsnap::{Operation, Result, Volsnap};

use super::{
    answer::{Printer, tell},
    args::Global,
    parse::default_state_dir,
    progress::Reporter,
};

/// An opened state directory and the way to the user.
pub struct Session {
    /// The library.
    pub volsnap: Volsnap,
    /// Where answers go.
    pub printer: Printer,
}

impl Session {
    /// Opens the state directory. Recovers nothing: the commands that only look must touch nothing.
    pub async fn open(global: &Global, printer: Printer, reporter: Arc<Reporter>) -> Result<Session> {
        let state_dir = match &global.state_dir {
            Some(dir) => dir.clone(),
            None => default_state_dir()?,
        };
        let builder = Volsnap::builder().state_dir(state_dir).recover_on_open(false).observer(reporter);
        Ok(Session { volsnap: builder.open().await?, printer })
    }

    /// Waits for an operation. A signal asks it to end, and it is waited for all the same: it leaves the original or
    /// the restored data, never something in between.
    pub async fn finish<T>(&self, operation: Operation<T>) -> Result<T> {
        let canceller = operation.canceller();
        let mut signals = Signals::listen();
        let mut operation = operation;
        loop {
            tokio::select! {
                result = &mut operation => return result,
                name = signals.next() => {
                    canceller.cancel();
                    tell(&format!(
                        "{name}: before the switch this goes back to the original data, after it it is brought to its end; please wait"
                    ));
                }
            }
        }
    }
}

/// The signals that ask a process to end. They are taken over only while an operation runs.
struct Signals(Vec<(&'static str, Signal)>);

impl Signals {
    fn listen() -> Self {
        let kinds = [
            ("interrupted", SignalKind::interrupt()),
            ("asked to terminate", SignalKind::terminate()),
            ("terminal closed", SignalKind::hangup()),
        ];
        let listen = |(name, kind)| match signal(kind) {
            Ok(signal) => Some((name, signal)),
            Err(error) => {
                tracing::warn!(%error, "a signal will end this process at once");
                None
            }
        };
        Signals(kinds.into_iter().filter_map(listen).collect())
    }

    /// The next one's name.
    async fn next(&mut self) -> &'static str {
        future::poll_fn(|context| {
            for (name, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*name);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
