//! Shows how far an operation is, on a thread of its own: a terminal that is held (Ctrl-S) or a full pipe must not
//! hold up a restore while the app is down.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use volsnap::{
    model::SnapshotId,
    ports::{Observer, Phase, Progress},
    restore::Report,
    view::RecoveredView,
};

use super::args::ProgressMode;

/// How often a line or the bar is renewed within a phase.
const INTERVAL: Duration = Duration::from_millis(100);

/// Words that wait for the thread; more are dropped, since the next ones say more.
const WAITING_MAX: usize = 256;

/// Hears of progress and of recoveries.
#[derive(Debug)]
pub struct Reporter {
    sender: Mutex<Option<SyncSender<Progress>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    recovered: Mutex<Vec<RecoveredView>>,
}

impl Reporter {
    /// Shows progress in that way from now on.
    pub fn start(mode: ProgressMode, quiet: bool) -> Self {
        let began = Instant::now();
        let show: Option<fn(Instant, &Receiver<Progress>)> = match mode {
            ProgressMode::Json => Some(lines),
            ProgressMode::Bar => Some(bar),
            ProgressMode::Auto if io::stderr().is_terminal() && !quiet => Some(bar),
            ProgressMode::Auto | ProgressMode::None => None,
        };
        let (sender, thread) = match show {
            Some(show) => {
                let (sender, receiver) = sync_channel(WAITING_MAX);
                (Some(sender), Some(std::thread::spawn(move || show(began, &receiver))))
            }
            None => (None, None),
        };
        Reporter { sender: Mutex::new(sender), thread: Mutex::new(thread), recovered: Mutex::default() }
    }

    /// Ends the display, and gives what was recovered.
    pub fn finish(&self) -> Vec<RecoveredView> {
        drop(take(&self.sender));
        if let Some(thread) = take(&self.thread)
            && thread.join().is_err()
        {
            tracing::debug!("the progress display ended early");
        }
        std::mem::take(&mut *self.recovered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what was recovered.
    pub fn note(&self, recovered: RecoveredView) {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).push(recovered);
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Observer for Reporter {
    fn progress(&self, progress: &Progress) {
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = sender.try_send(progress.clone());
        }
    }

    fn recovered(&self, report: &Report) {
        self.note(RecoveredView::restore(report));
    }

    fn woken(&self, workload: &str, snapshot: SnapshotId, complete: bool) {
        self.note(RecoveredView::snapshot(workload, snapshot, complete));
    }
}

/// Lets through what is new: another phase or volume, the end of one, or enough time gone by.
#[derive(Default)]
struct Pace {
    last: Option<(Phase, Option<String>)>,
    shown: Option<Instant>,
}

impl Pace {
    fn is_due(&mut self, progress: &Progress) -> bool {
        let at = Some((progress.phase, progress.volume.clone()));
        let complete = progress.bytes_total > 0 && progress.bytes >= progress.bytes_total;
        let due = self.last != at || complete || self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL);
        if due {
            self.last = at;
            self.shown = Some(Instant::now());
        }
        due
    }
}

#[derive(Serialize)]
struct Line<'a> {
    phase: Phase,
    volume: Option<&'a str>,
    bytes: u64,
    bytes_total: u64,
    entries: u64,
    elapsed_ms: u128,
}

fn lines(began: Instant, receiver: &Receiver<Progress>) {
    let mut pace = Pace::default();
    while let Ok(progress) = receiver.recv() {
        if !pace.is_due(&progress) {
            continue;
        }
        let line = Line {
            phase: progress.phase,
            volume: progress.volume.as_deref(),
            bytes: progress.bytes,
            bytes_total: progress.bytes_total,
            entries: progress.entries,
            elapsed_ms: began.elapsed().as_millis(),
        };
        let Ok(text) = serde_json::to_string(&line) else { continue };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn bar(_: Instant, receiver: &Receiver<Progress>) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.enable_steady_tick(INTERVAL);
    while let Ok(progress) = receiver.recv() {
        let template = match progress.bytes_total {
            0 => "{spinner} {prefix} {msg} {bytes} {elapsed}",
            _ => "{spinner} {prefix} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(doing(progress.phase));
        bar.set_message(progress.volume.unwrap_or_default());
        bar.set_length(progress.bytes_total.max(1));
        bar.set_position(progress.bytes);
    }
    bar.finish_and_clear();
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Recover => "recovering",
        Phase::Plan => "planning",
        Phase::Archive => "archiving",
        Phase::Stage => "staging",
        Phase::Fence => "stopping",
        Phase::Switch => "switching",
        Phase::Redeploy => "redeploying",
        Phase::Health => "waiting for health",
        Phase::Capture => "keeping the original",
        Phase::Discard => "cleaning up",
        Phase::Verify => "verifying",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_phase_and_the_end_of_a_volume_are_always_shown() {
        let mut pace = Pace::default();
        let stage =
            |bytes| Progress { phase: Phase::Stage, volume: Some("/data".into()), bytes, bytes_total: 10, entries: 1 };
        assert!(pace.is_due(&stage(0)));
        assert!(!pace.is_due(&stage(1)));
        assert!(pace.is_due(&stage(10)));
        assert!(pace.is_due(&Progress::begin(Phase::Switch)));
    }

    #[test]
    fn nobody_waits_for_a_display_that_is_stuck() {
        let (sender, receiver) = sync_channel(1);
        let reporter =
            Reporter { sender: Mutex::new(Some(sender)), thread: Mutex::default(), recovered: Mutex::default() };
        for _ in 0..10 {
            reporter.progress(&Progress::begin(Phase::Stage));
        }
        assert!(receiver.try_recv().is_ok());
        assert!(receiver.try_recv().is_err());
    }
}
