//! What every command works with: the opened library, and operations that signals cancel instead of killing them.

use std::sync::Arc;

use jiff::tz::TimeZone;
use volsnap::{Operation, Result, Volsnap};

use super::{
    answer::Printer,
    config::Settings,
    progress::Reporter,
    render,
    signals::{Aim, Running},
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
        builder = builder.archive_limits(settings.general.limits.in_force());
        builder = builder.host_hooks(settings.configuration.hooks());
        let timezone = settings.general.timezone.value.clone().map_or_else(TimeZone::system, |zone| zone.0);
        render::show_times_in(timezone.clone());
        builder = builder.timezone(timezone);
        if let Some(host) = &settings.general.docker_host.value {
            builder = builder.docker_at(&host.0);
        }
        let running = Running::heed_signals(&reporter);
        Ok(Session { volsnap: builder.open().await?, printer, settings, running, reporter })
    }

    /// The library, running hooks or none.
    pub fn with_hooks(&self, run: bool) -> Volsnap {
        if run { self.volsnap.clone() } else { self.volsnap.without_hooks() }
    }

    /// Waits for an operation that changes something. A signal asks it to end, and it is waited for all the same: it
    /// leaves the original or the restored data, never something in between. From its end on signals are not heeded, so
    /// that what happened is said; [`Session::heed`] heeds them again.
    pub async fn finish<T>(&self, operation: Operation<T>) -> Result<T> {
        self.finish_with(Aim::Change, operation).await
    }

    /// The same for an operation that is about something else.
    pub async fn finish_with<T>(&self, aim: Aim, operation: Operation<T>) -> Result<T> {
        self.running.begin(operation.canceller(), aim);
        let result = operation.await;
        self.running.end();
        self.reporter.clear();
        result
    }

    /// Waits for an operation that only reads. A signal ends the process.
    pub async fn look<T>(&self, operation: Operation<T>) -> Result<T> {
        let result = operation.await;
        self.reporter.clear();
        result
    }

    /// Lets signals end the process again: nothing is under way.
    pub fn heed(&self) {
        self.running.idle();
    }

    /// Whether somebody asked the last operation to end.
    pub fn was_interrupted(&self) -> bool {
        self.running.was_interrupted()
    }
}
