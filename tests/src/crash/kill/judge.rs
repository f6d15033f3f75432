//! What has to hold after a command: the volumes are wholly one or the other, and every word of the answer is true.

use serde_json::Value;

use super::{
    scene::{Scene, Seen, Trees},
    tracer::Traced,
};
use crate::trees::{EntryOf, Tree};

/// What is wrong, in words.
pub type Wrongs = Vec<String>;

/// Which of the two a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// As it was.
    Original,
    /// As it was in the snapshot.
    Restored,
}

/// What a run began with.
pub struct Before<'a> {
    /// The world.
    pub scene: &'a Scene,
    /// The volumes when the restore began.
    pub original: Trees,
    /// Whether the call that puts the time of a volume's root back was not done. xfs counts a move as a modification of
    /// a directory, and nothing remembers the time over the end of the process.
    pub root_time_lost: bool,
}

impl Before<'_> {
    /// Which of the two all volumes are; `None` for a mixture and for anything else.
    pub fn side(&self, live: &Trees) -> Option<Side> {
        let is = |expected: &Trees| live.iter().zip(expected).all(|(a, b)| self.same(a.as_ref(), b.as_ref()));
        match () {
            () if is(&self.original) => Some(Side::Original),
            () if is(&self.scene.saved) => Some(Side::Restored),
            () => None,
        }
    }

    fn same(&self, a: Option<&Tree>, b: Option<&Tree>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) if self.root_time_lost => {
                let timeless = |tree: &Tree| tree.get("").map(|root| EntryOf { mtime_ns: 0, ..root.clone() });
                timeless(a) == timeless(b) && a.iter().skip(1).eq(b.iter().skip(1))
            }
            _ => a == b,
        }
    }

    /// What holds at any time, also in the middle of a restore that was killed: every original is whole somewhere.
    pub fn always(&self, seen: &Seen) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let captured = seen.archives.len() > 1;
        for (index, original) in self.original.iter().enumerate() {
            let mut trees = seen.live[index].iter().chain(&seen.beside);
            if !captured && original.is_some() && !trees.any(|tree| self.same(Some(tree), original.as_ref())) {
                wrongs.push(format!("nowhere is the original of volume {index} whole"));
            }
        }
        wrongs
    }

    /// A restore that ended by itself.
    pub fn restored(&self, traced: &Traced, seen: &Seen) -> Wrongs {
        let (document, mut wrongs) = document(traced);
        wrongs.extend(self.always(seen));
        let status = traced.status.unwrap_or(-1);
        match document.get("outcome") {
            Some(_) => {
                wrongs.extend(self.report(&document, seen));
                let expected = status_of(&document);
                if status != expected {
                    wrongs.push(format!("exit status {status} for {}, not {expected}", document["outcome"]));
                }
            }
            None => wrongs.extend(self.error(status, &document["error"], seen, &self.original)),
        }
        wrongs
    }

    /// A recovery that ended by itself; `earlier` is what was there when it began.
    pub fn recovered(&self, traced: &Traced, seen: &Seen, earlier: &Seen) -> Wrongs {
        let (document, mut wrongs) = document(traced);
        wrongs.extend(self.always(seen));
        let status = traced.status.unwrap_or(-1);
        let items = document["recovered"].as_array().map_or(&[][..], Vec::as_slice);
        match (items, &document["error"]) {
            ([], Value::Null) if earlier.journal || seen.journal => {
                wrongs.push("it says that there was nothing to do".into());
            }
            ([], Value::Null) if status != 0 => wrongs.push(format!("exit status {status} for nothing to do")),
            ([], Value::Null) => {}
            ([], error) => wrongs.extend(self.error(status, error, seen, &earlier.live)),
            ([item], Value::Null) => {
                wrongs.extend(self.report(item, seen));
                // A restore that was rolled back is a recovery that went well.
                let expected = match item["outcome"].as_str() {
                    Some("needs-attention") => 6,
                    _ if item["warnings"].as_array().is_some_and(|w| !w.is_empty()) => 5,
                    _ => 0,
                };
                if status != expected {
                    wrongs.push(format!("exit status {status} for {}, not {expected}", item["outcome"]));
                }
            }
            _ => wrongs.push("it speaks of more than one workload".into()),
        }
        wrongs
    }

    /// What a report says against what is there.
    fn report(&self, report: &Value, seen: &Seen) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let outcome = report["outcome"].as_str().unwrap_or_default();
        let expected = match outcome {
            "restored" => Some(Side::Restored),
            "aborted" | "reverted" => Some(Side::Original),
            "needs-attention" => {
                if !seen.journal {
                    wrongs.push("it needs attention, and the journal is gone".into());
                }
                return wrongs;
            }
            _ => None,
        };
        if expected.is_none() || self.side(&seen.live) != expected {
            wrongs.push(format!("the report says {outcome}, and the volumes are {}", self.word(&seen.live)));
        }
        wrongs.extend(self.clean(seen, Some(report)));
        let methods: Vec<_> = report["volumes"].as_array().into_iter().flatten().map(|v| &v["method"]).collect();
        if methods != self.scene.shape.methods {
            wrongs.push(format!("the methods are {methods:?}"));
        }
        wrongs
    }

    /// Closed is clean. Originals that are kept for want of a safety snapshot are named in the report.
    pub fn clean(&self, seen: &Seen, report: Option<&Value>) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let warnings: Vec<&str> =
            report.and_then(|r| r["warnings"].as_array()).into_iter().flatten().filter_map(Value::as_str).collect();
        let told = |name: &String| warnings.iter().any(|warning| warning.contains(name));
        for name in seen.litter.iter().filter(|name| !told(name)) {
            wrongs.push(format!("{name} is left"));
        }
        if seen.journal {
            wrongs.push("the journal is left".into());
        }
        // One that cannot be removed lies there until the next snapshot; the report says that there is none of it.
        let untaken = warnings.iter().any(|warning| warning.starts_with("no safety snapshot was taken"));
        if !seen.drafts.is_empty() && !untaken {
            wrongs.push(format!("drafts are left: {:?}", seen.drafts));
        }
        let kept = self.side(&seen.live) == Some(Side::Restored) && seen.litter.is_empty();
        let safety: Vec<_> = seen.archives.iter().filter(|id| **id != self.scene.snapshot).collect();
        match (kept, safety.as_slice()) {
            (true, [one]) => {
                if report.is_some_and(|r| r["safety_snapshot"].as_str() != Some(one)) {
                    wrongs.push(format!("the report does not name the safety snapshot {one}"));
                }
            }
            (true, []) => wrongs.push("no safety snapshot was kept".into()),
            (false, []) => {}
            (_, more) => wrongs.push(format!("archives that nobody asked for: {more:?}")),
        }
        if seen.archives.len() == safety.len() {
            wrongs.push("the snapshot is gone".into());
        }
        wrongs
    }

    /// An error says what became of the data, and without a word the data are as they were before the command.
    fn error(&self, status: i32, error: &Value, seen: &Seen, earlier: &Trees) -> Wrongs {
        let mut wrongs = Wrongs::new();
        let (code, message) = (error["code"].as_str(), error["message"].as_str().unwrap_or_default());
        let expected = code.and_then(status_of_code);
        if expected != Some(status) || message.is_empty() {
            wrongs.push(format!("exit status {status} for the error {error}"));
        }
        let says = |words: &str| message.contains(words);
        let side = self.side(&seen.live);
        let is_true = match () {
            () if says("the restored data are live") => side == Some(Side::Restored),
            () if says("the original data are live") => side == Some(Side::Original),
            () if says("nothing was deleted") => seen.journal,
            () => seen.live == *earlier,
        };
        if !is_true {
            wrongs.push(format!("it says `{message}`, and the volumes are {}", self.word(&seen.live)));
        }
        match (seen.journal, says("journal kept")) {
            (false, true) => wrongs.push(format!("it says `{message}`, and there is no journal")),
            (false, false) => wrongs.extend(self.clean(seen, None)),
            (true, _) => {}
        }
        wrongs
    }

    fn word(&self, live: &Trees) -> &'static str {
        match self.side(live) {
            Some(Side::Original) => "the originals",
            Some(Side::Restored) => "the restored ones",
            None => "a mixture, or neither",
        }
    }
}

/// The one document of a command that ended by itself.
pub fn document(traced: &Traced) -> (Value, Wrongs) {
    match (serde_json::from_str(&traced.stdout), traced.status) {
        _ if traced.endless => (Value::Null, vec!["it does not end".into()]),
        (_, None) => (Value::Null, vec!["it was killed by a signal".into()]),
        (Ok(document), Some(_)) => (document, Wrongs::new()),
        (Err(error), Some(status)) => {
            let said =
                format!("exit status {status} without a document ({error}): {:?} {}", traced.stdout, traced.stderr);
            (Value::Null, vec![said])
        }
    }
}

/// The exit status that a report of a restore asks for.
fn status_of(report: &Value) -> i32 {
    let cause = report["cause"]["code"].as_str().and_then(status_of_code);
    match report["outcome"].as_str() {
        Some("restored") => 5 * i32::from(report["warnings"].as_array().is_some_and(|w| !w.is_empty())),
        Some("aborted") => cause.filter(|status| [3, 9, 10].contains(status)).unwrap_or(4),
        Some("reverted") => 4,
        _ => 6,
    }
}

fn status_of_code(code: &str) -> Option<i32> {
    Some(match code {
        "internal" | "io" | "engine" => 1,
        "usage" => 2,
        "refused" => 3,
        "aborted" => 4,
        "warnings" => 5,
        "needs-attention" => 6,
        "busy" => 7,
        "not-found" => 8,
        "corrupt" => 9,
        "hostile" => 10,
        _ => return None,
    })
}
