//! Shows how far an operation is, on a thread of its own: a terminal that is held (Ctrl-S) or a full pipe must not
//! hold up a restore while the app is down.

mod bar;
mod line;

use std::{
    io::{self, IsTerminal},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use volsnap::{
    model::SnapshotId,
    ports::{Observer, Phase, Progress},
    restore::Report,
    view::{ProgressView, RecoveredView},
};

use self::bar::bar;
use super::{answer::tell, args::ProgressMode};

/// How often a line or the bar is renewed within a phase.
const INTERVAL: Duration = Duration::from_millis(100);

/// No bar is shown of what takes no longer, unless it is asked for.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// Words that wait for the thread; more are dropped, since the next ones say more.
const WAITING_MAX: usize = 256;

/// What the thread is told.
enum Told {
    /// So far it has come.
    Progress(Progress),
    /// Something to be said in between.
    Notice(String),
    /// An operation has ended: clear the display, then answer.
    Ended(SyncSender<()>),
}

/// Where an operation stands, for those who want to end it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// What is being done; `None` before the first word.
    pub phase: Option<Phase>,
    /// Whether names have been changed, for good or on the way back.
    pub switched: bool,
}

/// Hears of progress and of recoveries.
#[derive(Debug)]
pub struct Reporter {
    sender: Mutex<Option<SyncSender<Told>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    recovered: Mutex<Vec<RecoveredView>>,
    stand: Mutex<Stand>,
}

impl Reporter {
    /// Shows progress in that way from now on.
    pub fn start(mode: ProgressMode, quiet: bool) -> Self {
        let began = Instant::now();
        let show: Option<fn(Instant, &Receiver<Told>)> = match mode {
            ProgressMode::Json => Some(lines),
            ProgressMode::Bar => Some(|_, receiver| bar(Duration::ZERO, receiver)),
            ProgressMode::Auto if io::stderr().is_terminal() && !quiet => {
                Some(|_, receiver| bar(SHOWN_AFTER, receiver))
            }
            ProgressMode::Auto | ProgressMode::None => None,
        };
        let (sender, thread) = match show {
            Some(show) => {
                let (sender, receiver) = sync_channel(WAITING_MAX);
                (Some(sender), Some(std::thread::spawn(move || show(began, &receiver))))
            }
            None => (None, None),
        };
        Reporter::with(sender, thread)
    }

    fn with(sender: Option<SyncSender<Told>>, thread: Option<JoinHandle<()>>) -> Self {
        Reporter {
            sender: Mutex::new(sender),
            thread: Mutex::new(thread),
            recovered: Mutex::default(),
            stand: Mutex::default(),
        }
    }

    /// Clears the display, so that something else can be shown: called when an operation has ended.
    pub fn clear(&self) {
        *lock(&self.stand) = Stand::default();
        let (done, cleared) = sync_channel(1);
        if let Some(sender) = &*lock(&self.sender)
            && sender.send(Told::Ended(done)).is_ok()
        {
            // An answer that does not come means that the display has ended, and shows nothing either.
            let _ = cleared.recv();
        }
    }

    /// Says something in between, without getting into the display's way. Never waits.
    pub fn notice(&self, text: &str) {
        match &*lock(&self.sender) {
            Some(sender) => drop(sender.try_send(Told::Notice(text.to_string()))),
            None => tell(text),
        }
    }

    /// Where the operation stands.
    pub fn stand(&self) -> Stand {
        *lock(&self.stand)
    }

    /// Ends the display, and gives what was recovered.
    pub fn finish(&self) -> Vec<RecoveredView> {
        drop(lock(&self.sender).take());
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::debug!("the progress display ended early");
        }
        std::mem::take(&mut *lock(&self.recovered))
    }

    /// Notes what was recovered.
    pub fn note(&self, recovered: RecoveredView) {
        lock(&self.recovered).push(recovered);
    }
}

fn lock<T>(slot: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Reporter {
    fn progress(&self, progress: &Progress) {
        {
            let mut stand = lock(&self.stand);
            stand.phase = Some(progress.phase);
            stand.switched |= progress.phase == Phase::Switch;
        }
        if let Some(sender) = &*lock(&self.sender) {
            let _ = sender.try_send(Told::Progress(progress.clone()));
        }
    }

    fn recovered(&self, report: &Report) {
        *lock(&self.stand) = Stand::default();
        self.note(RecoveredView::restore(report));
    }

    fn woken(&self, workload: &str, snapshot: SnapshotId, complete: bool) {
        self.note(RecoveredView::snapshot(workload, snapshot, complete));
    }
}

/// Lets through what is new: another phase or volume, the end of one, or enough time gone by.
#[derive(Default)]
struct Pace {
    last: Option<(Phase, Option<String>, Option<String>)>,
    shown: Option<Instant>,
}

impl Pace {
    fn is_due(&mut self, progress: &Progress) -> bool {
        let at = Some((progress.phase, progress.workload.clone(), progress.volume.clone()));
        let complete = progress.bytes_total > 0 && progress.bytes >= progress.bytes_total;
        let due = self.last != at || complete || self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL);
        if due {
            self.last = at;
            self.shown = Some(Instant::now());
        }
        due
    }
}

fn lines(began: Instant, receiver: &Receiver<Told>) {
    let mut pace = Pace::default();
    while let Ok(told) = receiver.recv() {
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let line = match &told {
            Told::Progress(progress) if pace.is_due(progress) => ProgressView::of(progress, elapsed_ms),
            Told::Progress(_) => continue,
            Told::Notice(notice) => ProgressView::Notice { notice, elapsed_ms },
            Told::Ended(done) => {
                let _ = done.send(());
                continue;
            }
        };
        if let Ok(text) = serde_json::to_string(&line) {
            tell(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(bytes: u64) -> Progress {
        Progress { volume: Some("/data".into()), bytes, bytes_total: 10, entries: 1, ..Progress::begin(Phase::Stage) }
    }

    #[test]
    fn a_new_phase_and_the_end_of_a_volume_are_always_shown() {
        let mut pace = Pace::default();
        assert!(pace.is_due(&stage(0)));
        assert!(!pace.is_due(&stage(1)));
        assert!(pace.is_due(&stage(10)));
        assert!(pace.is_due(&Progress::begin(Phase::Switch)));
    }

    #[test]
    fn nobody_waits_for_a_display_that_is_stuck() {
        let (sender, receiver) = sync_channel(1);
        let reporter = Reporter::with(Some(sender), None);
        for _ in 0..10 {
            reporter.progress(&Progress::begin(Phase::Stage));
            reporter.notice("interrupted");
        }
        assert!(receiver.try_recv().is_ok());
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn a_switch_is_remembered_until_the_operation_has_ended() {
        let reporter = Reporter::with(None, None);
        assert_eq!(reporter.stand(), Stand::default());
        for phase in [Phase::Fence, Phase::Switch, Phase::Redeploy] {
            reporter.progress(&Progress::begin(phase));
        }
        assert_eq!(reporter.stand(), Stand { phase: Some(Phase::Redeploy), switched: true });
        reporter.clear();
        assert_eq!(reporter.stand(), Stand::default());
    }

    /// An archive tells of each MiB and of each 256 entries: at a gigabyte and half a million entries a second, which no
    /// disk here does, that is 3000 words a second, and 2 % of a second are 6 µs for each.
    #[test]
    fn a_word_of_progress_costs_less_than_two_percent_of_what_it_tells_of() {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let display = std::thread::spawn(move || lines_into_nothing(&receiver));
        let reporter = Reporter::with(Some(sender), Some(display));
        let words = 20_000;
        // The best of some: others use this machine too.
        let best = (0..10).map(|_| {
            let began = Instant::now();
            (0..words).for_each(|n| reporter.progress(&stage(n)));
            began.elapsed()
        });
        let each = best.min().unwrap_or_default() / u32::try_from(words).unwrap_or(1);
        reporter.finish();
        assert!(each < Duration::from_micros(6), "{each:?} for a word");
    }

    fn lines_into_nothing(receiver: &Receiver<Told>) {
        let mut pace = Pace::default();
        while let Ok(told) = receiver.recv() {
            if let Told::Progress(progress) = told {
                pace.is_due(&progress);
            }
        }
    }
}
