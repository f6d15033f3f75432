//! What every command works with: the opened library, and operations that signals cancel instead of killing them.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::signal::unix::{SignalKind, signal};
use volsnap::{Canceller, Operation, Result, Volsnap};

use super::{
    answer::{Printer, tell},
    config::Settings,
    progress::Reporter,
};

/// An opened state directory and the way to the user.
pub struct Session {
    /// The library.
    pub volsnap: Volsnap,
    /// Where answers go.
    pub printer: Printer,
    /// What is in force.
    pub settings: Settings,
    running: Running,
    reporter: Arc<Reporter>,
}

impl Session {
    /// Opens the state directory. Recovers nothing: the commands that only look must touch nothing.
    /// With `rebuild`, a damaged catalog makes way for a new one.
    pub async fn open(settings: Settings, printer: Printer, reporter: Arc<Reporter>, rebuild: bool) -> Result<Session> {
        let state_dir = settings.state_dir()?;
        let mut builder = Volsnap::builder().state_dir(state_dir).recover_on_open(false).observer(reporter.clone());
        builder = builder.replace_damaged_catalog(rebuild);
        if let Some(jobs) = settings.general.jobs.value {
            builder = builder.jobs(jobs);
        }
        if let Some(host) = &settings.general.docker_host.value {
            builder = builder.docker_at(&host.0);
        }
        let session =
            Session { volsnap: builder.open().await?, printer, settings, running: Running::default(), reporter };
        session.running.heed_signals();
        Ok(session)
    }

    /// The library, running hooks or none.
    pub fn with_hooks(&self, run: bool) -> Volsnap {
        if run { self.volsnap.clone() } else { self.volsnap.without_hooks() }
    }

    /// Waits for an operation. A signal asks it to end, and it is waited for all the same: it leaves the original or
    /// the restored data, never something in between.
    pub async fn finish<T>(&self, operation: Operation<T>) -> Result<T> {
        self.running.set(Some(operation.canceller()));
        let result = operation.await;
        self.running.set(None);
        self.reporter.clear();
        result
    }
}

/// The operation that a signal would cancel.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Option<Canceller>>>);

impl Running {
    fn set(&self, canceller: Option<Canceller>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = canceller;
    }

    fn get(&self) -> Option<Canceller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the signals over that ask a process to end. While an operation runs they cancel it, however often they
    /// come; otherwise nothing is under way and they end the process as ever.
    fn heed_signals(&self) {
        for (name, kind) in [
            ("interrupted", SignalKind::interrupt()),
            ("asked to terminate", SignalKind::terminate()),
            ("terminal closed", SignalKind::hangup()),
        ] {
            let mut signals = match signal(kind) {
                Ok(signals) => signals,
                Err(error) => {
                    tracing::warn!(%error, "a signal will end this process at once");
                    continue;
                }
            };
            let running = self.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    match running.get() {
                        Some(canceller) => {
                            canceller.cancel();
                            tell(&format!("{name}: {WHAT_HAPPENS}"));
                        }
                        None => {
                            show_cursor();
                            std::process::exit(128 + kind.as_raw_value());
                        }
                    }
                }
            });
        }
    }
}

/// A question hides the cursor and gives it back only when it is answered.
fn show_cursor() {
    let mut stderr = io::stderr().lock();
    if stderr.is_terminal() {
        let _ = stderr.write_all(b"\x1b[?25h\r\n");
    }
}

const WHAT_HAPPENS: &str = "ending where it is safe, please wait; \
    a restore goes back to the original data, or on to the restored data if it has already begun to switch";
