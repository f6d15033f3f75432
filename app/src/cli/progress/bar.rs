//! The bar: one line at the foot of the terminal that is drawn over again and leaves nothing.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use volsnap::ports::Progress;

use super::{
    INTERVAL, Told,
    line::{self, Speed},
};
use crate::cli::{
    answer::{draw, erase, tell},
    width::Width,
};

/// A bar stands only while an operation has something to say: a question may be asked in between.
pub(super) fn bar(shown_after: Duration, receiver: &Receiver<Told>) {
    let mut bar = Bar::default();
    loop {
        match receiver.recv_timeout(INTERVAL) {
            Ok(Told::Progress(progress)) => bar.hear(progress),
            Ok(Told::Notice(text)) => bar.say(&text),
            Ok(Told::Ended(done)) => {
                bar = bar.cleared();
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        bar.draw_if_due(shown_after);
    }
    bar.cleared();
}

/// One line that is drawn over again, and leaves nothing.
#[derive(Default)]
struct Bar {
    began: Option<Instant>,
    at: Option<(Progress, Instant)>,
    speed: Speed,
    workload: Option<String>,
    are_several: bool,
    drawn: Option<Instant>,
}

impl Bar {
    fn hear(&mut self, mut progress: Progress) {
        // Whoever asked for one workload knows which; of several that are at work at once each is named.
        self.are_several |=
            self.workload.as_ref().is_some_and(|first| progress.workload.as_ref().is_some_and(|w| w != first));
        self.workload = self.workload.take().or_else(|| progress.workload.clone());
        if !self.are_several {
            progress.workload = None;
        }
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        self.speed.hear(now - began, &progress);
        let since = match &self.at {
            Some((last, since))
                if last.phase == progress.phase
                    && last.volume == progress.volume
                    && last.workload == progress.workload =>
            {
                *since
            }
            Some(_) | None => now,
        };
        self.at = Some((progress, since));
    }

    fn draw_if_due(&mut self, shown_after: Duration) {
        let (Some(began), Some((progress, since))) = (self.began, &self.at) else { return };
        if began.elapsed() < shown_after || self.drawn.is_some_and(|drawn| drawn.elapsed() < INTERVAL) {
            return;
        }
        let rate = self.speed.rate(began.elapsed(), progress.bytes);
        // Room for what the terminal echoes of a few more Ctrl-C: a line that wraps is not cleared as a whole.
        let width = Width::of(&io::stderr()).or(80).saturating_sub(6);
        let line = line::line(width, progress, rate, since.elapsed());
        draw(&line);
        self.drawn = Some(Instant::now());
    }

    /// A line that stays, above the bar.
    fn say(&mut self, text: &str) {
        tell(&Width::of(&io::stderr()).wrapped(text, 2));
        self.drawn = None;
    }

    fn cleared(self) -> Bar {
        erase();
        Bar::default()
    }
}
