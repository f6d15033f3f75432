//! What the journal of the restore at hand has said, and so in which phase a call comes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::Value;

/// Where a restore stands. The entries of its journal, and what is done between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// No journal yet.
    Planned,
    /// `Opened`.
    Opened,
    /// Every volume is staged.
    Staged,
    /// The replacements stand.
    Prepared,
    /// `Pinned`.
    Pinned,
    /// The restart policies are off.
    Fenced,
    /// The containers were stopped.
    Stopped,
    /// `Committed`.
    Committed,
    /// The volumes are switched, and nobody has written it down.
    Renamed,
    /// `Switched`.
    Switched,
    /// `Redeployed`.
    Redeployed,
    /// `Captured`.
    Captured,
    /// `Closed`.
    Closed,
    /// `Aborted`, and `Reverted` after it.
    Aborted,
}

/// Every phase of a restore that goes well, in order.
pub const PHASES: [Phase; 12] = [
    Phase::Opened,
    Phase::Staged,
    Phase::Prepared,
    Phase::Pinned,
    Phase::Fenced,
    Phase::Stopped,
    Phase::Committed,
    Phase::Renamed,
    Phase::Switched,
    Phase::Redeployed,
    Phase::Captured,
    Phase::Closed,
];

impl Phase {
    /// Whether the pins are taken and the app is not brought back yet: what the engine does to it meanwhile is undone.
    #[must_use]
    pub fn is_fenced(self) -> bool {
        (Phase::Pinned..=Phase::Switched).contains(&self)
    }

    /// Whether the app must not run.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        (Phase::Committed..=Phase::Renamed).contains(&self)
    }
}

/// The journal of one workload, read again and again.
#[derive(Clone, Debug)]
pub struct Ledger {
    journal: PathBuf,
    volumes: PathBuf,
    /// When each entry was written.
    entries: BTreeMap<String, Timestamp>,
    last: Option<String>,
    /// The last call before the renames and the first after them.
    renames: (Option<Timestamp>, Option<Timestamp>),
    creates: usize,
    updates: usize,
    stops: usize,
}

impl Ledger {
    /// Over a journal, and the directory in which the volumes and their private directories lie.
    #[must_use]
    pub fn new(journal: PathBuf, volumes: PathBuf) -> Self {
        Ledger {
            journal,
            volumes,
            entries: BTreeMap::new(),
            last: None,
            renames: (None, None),
            creates: 0,
            updates: 0,
            stops: 0,
        }
    }

    /// Forgets what was read and counted.
    pub fn forget(&mut self) {
        *self = Ledger::new(self.journal.clone(), self.volumes.clone());
    }

    /// When an entry was written, if it was.
    #[must_use]
    pub fn at(&self, entry: &str) -> Option<Timestamp> {
        self.entries.get(entry).copied()
    }

    /// The last entry; `None` without a journal.
    #[must_use]
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Between which instants the renames were: the last call before them and the first after them.
    #[must_use]
    pub fn renames(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        self.renames
    }

    /// Reads the journal as it is now. What an earlier look saw stays known.
    pub fn read(&mut self) {
        self.last = None;
        let Ok(text) = fs::read_to_string(&self.journal) else { return };
        let Ok(journal) = serde_json::from_str::<Value>(&text) else { return };
        for record in journal["body"]["restore"].as_array().into_iter().flatten() {
            let entry = &record["entry"];
            let first = || entry.as_object().and_then(|fields| fields.keys().next().cloned());
            let name = entry.as_str().map(String::from).or_else(first).unwrap_or_default();
            let at = record["at"].as_str().and_then(|at| at.parse().ok());
            self.entries.extend(at.map(|at| (name.clone(), at)));
            self.last = Some(name);
        }
    }

    /// The phase in which this call comes.
    pub fn phase_at(&mut self, method: &str, path: &str) -> Phase {
        self.read();
        let phase = self.phase(path == "containers/json");
        if phase == Phase::Committed {
            self.renames.0 = Some(Timestamp::now());
        } else if matches!(phase, Phase::Renamed | Phase::Switched) && self.renames.1.is_none() {
            self.renames.1 = Some(Timestamp::now());
        }
        match (method, path) {
            ("POST", "containers/create") => self.creates += 1,
            ("POST", "containers/*/update") => self.updates += 1,
            ("POST", "containers/*/stop") => self.stops += 1,
            _ => {}
        }
        phase
    }

    /// What is done between two entries shows in the first look at the world after it (`looks`), or stays shown.
    fn phase(&mut self, looks: bool) -> Phase {
        match self.last() {
            None => Phase::Planned,
            Some("opened") => match (self.all_staged(), self.creates > 0) {
                (false, _) => Phase::Opened,
                (true, true) if looks => Phase::Prepared,
                (true, _) => Phase::Staged,
            },
            Some("pinned") => match (self.updates > 0, self.stops > 0) {
                (_, true) if looks => Phase::Stopped,
                (true, false) if looks => Phase::Fenced,
                _ => Phase::Pinned,
            },
            Some("committed") if self.is_switched() => Phase::Renamed,
            Some("committed") => Phase::Committed,
            Some("switched") => Phase::Switched,
            Some("redeployed") => Phase::Redeployed,
            Some("captured") => Phase::Captured,
            Some("closed") => Phase::Closed,
            Some(_) => Phase::Aborted,
        }
    }

    fn private(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(&self.volumes).into_iter().flatten().flatten().map(|entry| entry.path());
        names.filter(|path| is_private(path)).collect()
    }

    fn all_staged(&self) -> bool {
        let volumes = fs::read_dir(&self.volumes).into_iter().flatten().flatten().filter(|e| !is_private(&e.path()));
        let staged = self.private().iter().filter(|private| private.join("staged").is_dir()).count();
        staged == volumes.count()
    }

    /// Whether what lies in the private directories is the originals.
    fn is_switched(&self) -> bool {
        let staged = |private: &PathBuf| private.join("staged").join(TODAY).exists() || private.join("aside").exists();
        self.private().iter().all(staged)
    }
}

/// A file that every original has and no snapshot.
pub const TODAY: &str = "files/today";

fn is_private(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".volsnap-"))
}
