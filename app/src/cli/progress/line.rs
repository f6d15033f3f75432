//! The one line that shows how far an operation is: what, how much of it, how fast, and how long it will go on.

use std::{collections::VecDeque, time::Duration};

use volsnap::ports::{Phase, Progress};

use crate::cli::render::{bytes, seconds};

/// Over how long the rate is taken: long enough to be steady, short enough to show that something is stuck.
const WINDOW: Duration = Duration::from_secs(5);
/// Before that much time has gone by, nobody knows a rate.
const WINDOW_MIN: Duration = Duration::from_millis(300);
/// A bar is worth its place from this on, and needs no more than that.
const BAR: std::ops::RangeInclusive<usize> = 12..=40;

/// How fast bytes come, from the last few seconds of one phase and volume.
#[derive(Debug, Default)]
pub struct Speed {
    at: Option<(Phase, Option<String>, Option<String>)>,
    heard: VecDeque<(Duration, u64)>,
}

impl Speed {
    /// So far it is, at that time.
    pub fn hear(&mut self, now: Duration, progress: &Progress) {
        let at = Some((progress.phase, progress.workload.clone(), progress.volume.clone()));
        if self.at != at || self.heard.back().is_some_and(|(_, bytes)| *bytes > progress.bytes) {
            *self = Speed { at, heard: VecDeque::new() };
        }
        // A word in ten milliseconds is enough to know a rate by.
        if self.heard.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= Duration::from_millis(10)) {
            self.heard.push_back((now, progress.bytes));
        }
        while self.heard.len() > 2 && self.heard[1].0 + WINDOW < now {
            self.heard.pop_front();
        }
    }

    /// Bytes a second; `None` as long as that is not known. It falls when nothing comes any more.
    pub fn rate(&self, now: Duration, bytes: u64) -> Option<f64> {
        let (since, before) = self.heard.front()?;
        let time = now.saturating_sub(*since);
        (time >= WINDOW_MIN && bytes > *before).then(|| (bytes - before) as f64 / time.as_secs_f64())
    }
}

/// The line for a terminal of that width. Where not all of it has room, what matters least is left out: the bar, then
/// the rate, then the total, then the end of the name.
pub fn line(width: usize, progress: &Progress, rate: Option<f64>, elapsed: Duration) -> String {
    // A full last column would begin the next line, and Ctrl-C is echoed behind the bar.
    let width = width.saturating_sub(3);
    let volume = progress.volume.as_deref().unwrap_or_default();
    let whose = progress.workload.as_ref().map_or(String::new(), |name| format!("{name}: "));
    let name: String =
        format!("{whose}{} {volume}", doing(progress.phase)).chars().filter(|c| !c.is_control()).collect();
    let name = name.trim_end();
    let Progress { bytes: done, bytes_total: total, .. } = *progress;
    if total == 0 {
        let amount = if done > 0 { bytes(done) } else { String::new() };
        let rate = rate.map_or(String::new(), per_second);
        let time = seconds(elapsed.as_secs());
        return best(width, &[&[name, &amount, &rate, &time], &[name, &amount, &time], &[name, &time], &[name]]);
    }
    let share = (done.min(total) as f64 / total as f64).clamp(0.0, 1.0);
    let percent = format!("{:3.0}%", (share * 100.0).floor());
    let amount = format!("{} of {}", bytes(done), bytes(total));
    let left = rate.map_or(String::new(), |rate| {
        format!("{} left", seconds((total.saturating_sub(done) as f64 / rate).ceil() as u64))
    });
    let rate = rate.map_or(String::new(), per_second);
    let full = joined(&[name, &percent, &amount, &rate, &left]);
    let room = width.saturating_sub(full.chars().count() + 4);
    if room >= *BAR.start() {
        let bar = bar(room.min(*BAR.end()), share);
        return joined(&[name, &bar, &percent, &amount, &rate, &left]);
    }
    let short = [
        &[name, &percent, &amount, &rate, &left][..],
        &[name, &percent, &amount, &left],
        &[name, &percent, &bytes(done), &left],
        &[name, &percent, &left],
        &[name, &percent],
    ];
    best(width, &short)
}

/// The first that has room; else the last, cut off.
fn best(width: usize, choices: &[&[&str]]) -> String {
    let texts = || choices.iter().map(|parts| joined(parts));
    texts().find(|text| text.chars().count() <= width).unwrap_or_else(|| {
        let text = texts().next_back().unwrap_or_default();
        text.chars().take(width).collect()
    })
}

fn joined(parts: &[&str]) -> String {
    parts.iter().copied().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

/// `[=====>    ]`, so wide inside.
fn bar(inside: usize, share: f64) -> String {
    let full = (share * inside as f64) as usize;
    let head = if full < inside { ">" } else { "" };
    format!("[{}{head}{}]", "=".repeat(full), " ".repeat(inside.saturating_sub(full + head.len())))
}

fn per_second(rate: f64) -> String {
    format!("{}/s", bytes(rate as u64))
}

/// What is done in a phase, in words.
pub fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Recover => "recovering",
        Phase::Plan => "planning",
        Phase::Archive => "archiving",
        Phase::CatchUp => "taking up what changed",
        Phase::Stage => "staging",
        Phase::Fence => "stopping the app",
        Phase::Switch => "switching",
        Phase::Redeploy => "bringing the app back",
        Phase::Health => "waiting for the app's health",
        Phase::Boot => "starting the app on the copy",
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

    const MIB: u64 = 1 << 20;

    fn staging(bytes: u64, bytes_total: u64) -> Progress {
        Progress {
            volume: Some("/var/lib/shop".into()),
            bytes,
            bytes_total,
            entries: 1,
            ..Progress::begin(Phase::Stage)
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_and_what_is_being_done_is_always_said() {
        let line = |width| line(width, &staging(30 * MIB, 120 * MIB), Some(15.0 * MIB as f64), Duration::from_secs(2));
        for (width, expected) in [
            (
                120,
                "staging /var/lib/shop  [=========>                             ]   25%  30.00 MiB of 120.00 MiB  15.00 MiB/s  6s left",
            ),
            (80, "staging /var/lib/shop   25%  30.00 MiB of 120.00 MiB  15.00 MiB/s  6s left"),
            (70, "staging /var/lib/shop   25%  30.00 MiB of 120.00 MiB  6s left"),
            (40, "staging /var/lib/shop   25%  6s left"),
            (30, "staging /var/lib/shop   25%"),
            (20, "staging /var/lib/"),
        ] {
            assert_eq!(line(width), expected, "{width}");
            assert!(line(width).len() < width);
        }
        assert!(line(200).contains(&format!("[{}>{}]", "=".repeat(10), " ".repeat(29))), "{}", line(200));
        assert!(line(100).contains("[====>              ]"), "{}", line(100));
    }

    #[test]
    fn without_a_total_there_is_no_end_to_foretell() {
        let text = line(80, &staging(30 * MIB, 0), Some(15.0 * MIB as f64), Duration::from_secs(62));
        assert_eq!(text, "staging /var/lib/shop  30.00 MiB  15.00 MiB/s  1m 2s");
        assert_eq!(line(80, &Progress::begin(Phase::Fence), None, Duration::from_secs(3)), "stopping the app  3s");
    }

    #[test]
    fn all_of_it_is_a_full_bar_and_more_than_all_too() {
        for done in [120, 130] {
            let text = line(200, &staging(done * MIB, 120 * MIB), None, Duration::ZERO);
            assert!(text.contains(&format!("[{}]  100%", "=".repeat(40))), "{text}");
        }
    }

    #[test]
    fn a_rate_is_of_the_last_seconds_and_falls_when_nothing_comes() {
        let mut speed = Speed::default();
        let at = Duration::from_secs;
        assert_eq!(speed.rate(at(0), 0), None);
        for second in 0..20 {
            let faster = if second < 10 { second } else { 10 + 5 * (second - 10) };
            speed.hear(at(second), &staging(faster * MIB, 120 * MIB));
        }
        let rate = |now| speed.rate(at(now), 55 * MIB).map(|rate| (rate / MIB as f64).round());
        assert_eq!(rate(19), Some(5.0));
        assert_eq!(rate(44), Some(1.0));
        speed.hear(at(45), &Progress::begin(Phase::Switch));
        assert_eq!(speed.rate(at(46), 0), None, "another phase begins anew");
    }
}
