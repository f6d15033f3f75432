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

/// What the thread is told.
enum Told {
    /// So far it has come.
    Progress(Progress),
    /// An operation has ended: clear the display, then answer.
    Ended(SyncSender<()>),
}

/// Hears of progress and of recoveries.
#[derive(Debug)]
pub struct Reporter {
    sender: Mutex<Option<SyncSender<Told>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    recovered: Mutex<Vec<RecoveredView>>,
}

impl Reporter {
    /// Shows progress in that way from now on.
    pub fn start(mode: ProgressMode, quiet: bool) -> Self {
        let began = Instant::now();
        let show: Option<fn(Instant, &Receiver<Told>)> = match mode {
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

    /// Clears the display, so that something else can be shown: called when an operation has ended.
    pub fn clear(&self) {
        let (done, cleared) = sync_channel(1);
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner)
            && sender.send(Told::Ended(done)).is_ok()
        {
            // An answer that does not come means that the display has ended, and shows nothing either.
            let _ = cleared.recv();
        }
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
            let _ = sender.try_send(Told::Progress(progress.clone()));
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

fn lines(began: Instant, receiver: &Receiver<Told>) {
    let mut pace = Pace::default();
    while let Ok(told) = receiver.recv() {
        let progress = match told {
            Told::Progress(progress) if pace.is_due(&progress) => progress,
            Told::Progress(_) => continue,
            Told::Ended(done) => {
                let _ = done.send(());
                continue;
            }
        };
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

/// A bar stands only while an operation has something to say: a question may be asked in between.
fn bar(_: Instant, receiver: &Receiver<Told>) {
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    let counting = style("{spinner} {prefix} {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let busy = style("{spinner} {prefix} {msg} {elapsed}");
    let mut pace = Pace::default();
    let mut shown: Option<ProgressBar> = None;
    while let Ok(told) = receiver.recv() {
        let progress = match told {
            Told::Progress(progress) if pace.is_due(&progress) => progress,
            Told::Progress(_) => continue,
            Told::Ended(done) => {
                clear(&mut shown);
                let _ = done.send(());
                continue;
            }
        };
        let bar = shown.get_or_insert_with(|| ProgressBar::hidden().with_style(busy.clone()));
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes);
        bar.set_style(if progress.bytes_total == 0 { busy.clone() } else { counting.clone() });
        bar.set_prefix(doing(progress.phase));
        bar.set_message(progress.volume.unwrap_or_default());
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(INTERVAL);
        }
    }
    clear(&mut shown);
}

fn clear(shown: &mut Option<ProgressBar>) {
    if let Some(bar) = shown.take() {
        bar.finish_and_clear();
    }
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
        Phase::Read => "reading",
        Phase::Copy => "copying",
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
