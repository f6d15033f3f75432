//! What becomes of Ctrl-C and its kin: an operation that changes something is asked to end and waited for, anything else
//! ends the process at once.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};
use volsnap::{Canceller, ports::Phase};

use super::progress::{Reporter, Stand};

/// How long the bar may take to go away.
const DISPLAY_PATIENCE: Duration = Duration::from_millis(500);

/// What an operation is about, which decides what its early end comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aim {
    /// What is live and what is kept: restores, snapshots, archives, and what is recovered before them.
    #[default]
    Change,
    /// A copy out of a snapshot, in private directories until it is whole (`extract`, `clone`).
    Copy,
    /// A copy that is only looked at (`drill`).
    Trial,
}

/// What a signal meets.
#[derive(Default)]
enum Work {
    /// Nothing is under way that could be left half done.
    #[default]
    Idle,
    /// An operation that changes something, and how often somebody asked it to end.
    Running(Canceller, Aim, u32),
    /// It has ended, and what it came to is about to be said.
    Ended,
}

/// The operation that a signal would cancel.
#[derive(Clone, Default)]
pub struct Running {
    work: Arc<Mutex<Work>>,
    interrupted: Arc<AtomicBool>,
}

impl Running {
    /// Takes the signals over that ask a process to end.
    pub fn heed_signals(reporter: &Arc<Reporter>) -> Self {
        let running = Running::default();
        for (name, kind) in [
            ("interrupted", SignalKind::interrupt()),
            ("asked to terminate", SignalKind::terminate()),
            ("the terminal was closed", SignalKind::hangup()),
        ] {
            let mut signals = match signal(kind) {
                Ok(signals) => signals,
                Err(error) => {
                    tracing::warn!(%error, "a signal will end this process at once");
                    continue;
                }
            };
            let (running, reporter) = (running.clone(), reporter.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if let Some(what) = running.interrupt(reporter.stand()) {
                        reporter.notice(&format!("{name}: {what}"));
                    } else {
                        end_display(&reporter);
                        std::process::exit(128 + kind.as_raw_value());
                    }
                }
            });
        }
        running
    }

    /// An operation begins.
    pub fn begin(&self, canceller: Canceller, aim: Aim) {
        self.interrupted.store(false, Ordering::Relaxed);
        *self.work() = Work::Running(canceller, aim, 0);
    }

    /// It has ended.
    pub fn end(&self) {
        *self.work() = Work::Ended;
    }

    /// Nothing is under way any more.
    pub fn idle(&self) {
        *self.work() = Work::Idle;
    }

    /// Whether somebody asked the last operation to end.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Asks the operation to end and gives what is to be said about it; `None` if nothing is under way.
    fn interrupt(&self, stand: Stand) -> Option<&'static str> {
        match &mut *self.work() {
            Work::Idle => None,
            Work::Running(canceller, aim, count) => {
                canceller.cancel();
                self.interrupted.store(true, Ordering::Relaxed);
                *count += 1;
                Some(if *count == 1 { first_word(*aim, stand) } else { further_word(*aim, stand) })
            }
            Work::Ended => Some("it has just ended, and says in a moment how"),
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the bar away; a terminal that is held (Ctrl-S) does not hold up the end.
fn end_display(reporter: &Arc<Reporter>) {
    let (ended, end) = sync_channel(1);
    let reporter = reporter.clone();
    std::thread::spawn(move || {
        reporter.finish();
        let _ = ended.send(());
    });
    let _ = end.recv_timeout(DISPLAY_PATIENCE);
}

/// What happens now.
fn first_word(aim: Aim, stand: Stand) -> &'static str {
    match aim {
        Aim::Change => change_is_given_up(stand),
        Aim::Copy => "giving the copy up, unless it is whole this very moment: nothing of it is left",
        Aim::Trial => "giving the drill up: what was extracted for it is removed, the app and its data are as before",
    }
}

fn change_is_given_up(stand: Stand) -> &'static str {
    match (stand.phase, stand.switched) {
        (Some(Phase::Capture | Phase::Discard), true) => {
            "too late to go back, the restored data are in use: keeping what they replaced, then this ends"
        }
        (_, true) => {
            "too late to go back, the switch has begun: going on until all volumes are switched and the app is back"
        }
        (Some(Phase::Archive | Phase::CatchUp), false) => {
            "giving the snapshot up: the app goes on as before, and what was written of the snapshot is removed"
        }
        (Some(Phase::Stage | Phase::Fence | Phase::Redeploy | Phase::Capture | Phase::Discard), false) => {
            "going back to the original data, unless the switch begins this very moment; the app will be up either way"
        }
        (Some(Phase::Recover), false) => {
            "ending where it is safe: what recovery finds goes back to the original data, or on to the restored data"
        }
        (Some(Phase::Copy), false) => "giving the copy up: nothing of it stays",
        (Some(Phase::Boot), false) => "taking the copy of the app down; the app itself goes on as before",
        (None | Some(Phase::Plan | Phase::Verify | Phase::Read | Phase::Switch | Phase::Health), false) => {
            "ending where it is safe"
        }
    }
}

/// Why asking again does not help.
fn further_word(aim: Aim, stand: Stand) -> &'static str {
    match aim {
        Aim::Change => change_is_still_given_up(stand),
        Aim::Copy | Aim::Trial => {
            "still removing what was extracted; if that were cut off, `volsnap recover` would remove the rest"
        }
    }
}

fn change_is_still_given_up(stand: Stand) -> &'static str {
    match (stand.phase, stand.switched) {
        (Some(Phase::Capture | Phase::Discard), true) => {
            "still keeping what was replaced; if that were cut off, there would be no undo until `volsnap recover` has finished it"
        }
        (_, true) => {
            "still finishing; if that were cut off, the app would be down until `volsnap recover` has finished it"
        }
        (Some(Phase::Archive | Phase::CatchUp), false) => {
            "still ending; if that were cut off, the app could stay frozen until `volsnap recover` has woken it"
        }
        (Some(Phase::Copy), false) => "still removing what was copied",
        (Some(Phase::Boot), false) => {
            "still taking the copy of the app down; if that were cut off, `volsnap recover` would remove it"
        }
        (_, false) => {
            "still going back; if that were cut off, the app could be down until `volsnap recover` has brought it back"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_again_cancels_once_and_says_why_it_goes_on() {
        let running = Running::default();
        let stand = |phase, switched| Stand { phase: Some(phase), switched };
        assert_eq!(running.interrupt(Stand::default()), None);
        running.begin(Canceller::default(), Aim::Change);
        assert!(!running.was_interrupted());
        let said = |phase, switched| running.interrupt(stand(phase, switched)).unwrap_or_default();
        assert!(said(Phase::Stage, false).contains("going back to the original data"));
        assert!(said(Phase::Fence, false).contains("still going back"));
        assert!(said(Phase::Redeploy, true).contains("still finishing"));
        assert!(running.was_interrupted());
        running.end();
        assert!(running.interrupt(Stand::default()).is_some_and(|said| said.contains("just ended")));
        running.idle();
        assert_eq!(running.interrupt(Stand::default()), None);
    }
    #[test]
    fn of_a_copy_it_is_said_that_nothing_is_left_and_never_that_something_goes_back() {
        for (aim, first) in [(Aim::Copy, "nothing of it is left"), (Aim::Trial, "the app and its data are as before")] {
            for phase in [None, Some(Phase::Plan), Some(Phase::Stage), Some(Phase::Read), Some(Phase::Verify)] {
                let running = Running::default();
                running.begin(Canceller::default(), aim);
                let said = || running.interrupt(Stand { phase, switched: false }).unwrap_or_default();
                let words = [said(), said()];
                assert!(words[0].contains(first) && words[1].contains("still removing"), "{phase:?}: {words:?}");
                assert!(!words.concat().contains("original"), "{phase:?}: {words:?}");
            }
        }
    }
}
