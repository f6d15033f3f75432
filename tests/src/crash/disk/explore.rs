//! Mounts the crash images of a recording one after another, recovers each, and crashes the recoveries, too.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use super::{
    cuts::{Cursor, Random, Survivors, cuts, ways},
    judge::{By, Ended, judge},
    platter::{At, Slot},
    ports::{Lie, Marks},
    rig::Rig,
    scene::{End, Expected, Host, Layout, Recording, Scene},
};

/// So deep are recoveries crashed: the restore, its recovery, and that one's recovery.
pub const DEPTH_MAX: usize = 3;

/// Of so many states one is recovered by the real binary.
const BINARY_EVERY: u64 = 64;

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The processes and crashes that lead to it.
    pub story: Vec<String>,
    /// What is wrong.
    pub wrongs: Vec<String>,
}

/// What an exploration did.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Recordings of restores.
    pub recordings: u64,
    /// Recordings of recoveries.
    pub nested_recordings: u64,
    /// Different states that were mounted, by how many processes had crashed before.
    pub states: [u64; DEPTH_MAX],
    /// How they ended.
    pub ends: BTreeMap<End, u64>,
    /// How many were recovered by the real binary.
    pub by_binary: u64,
    /// What is wrong; not more than a few.
    pub violations: Vec<Violation>,
}

impl Figures {
    /// All different states.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.states.iter().sum()
    }

    /// Adds another one's.
    pub fn add(&mut self, other: Figures) {
        self.recordings += other.recordings;
        self.nested_recordings += other.nested_recordings;
        self.states.iter_mut().zip(other.states).for_each(|(a, b)| *a += b);
        other.ends.into_iter().for_each(|(end, count)| *self.ends.entry(end).or_default() += count);
        self.by_binary += other.by_binary;
        self.violations.extend(other.violations);
    }
}

/// Counts the states of all explorers, up to as many as are wanted.
#[derive(Debug)]
pub struct Tally {
    states: AtomicU64,
    wanted: u64,
}

impl Tally {
    /// None yet.
    #[must_use]
    pub fn new(wanted: u64) -> Self {
        Tally { states: AtomicU64::new(0), wanted }
    }

    /// Whether there are as many as are wanted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.states.load(Ordering::Relaxed) >= self.wanted
    }
}

/// How much of a recording is explored.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// Different states, at most about so many.
    pub states: usize,
    /// How many of the recoveries are recorded and crashed in turn, with so many states altogether.
    pub nested: (usize, usize),
}

/// How far an exploration goes, and by whom it recovers.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// How much of the recording is explored.
    pub share: Share,
    /// Where to stop in any case.
    pub deadline: Instant,
    /// What all explorers together have to do.
    pub tally: &'a Tally,
    /// After how many violations to stop.
    pub violations_max: usize,
    /// Whether the real binary recovers some of the states.
    pub binary: bool,
}

/// Explores one recording on the rig on which it was made.
struct Explorer<'a> {
    rig: &'a mut Rig,
    scene: &'a Scene,
    host: &'a Host,
    bounds: Bounds<'a>,
    figures: Figures,
    /// States that have been met, with how they ended unless that was wrong.
    seen: HashMap<u64, Option<Ended>>,
    /// All choices.
    random: Random,
}

/// Makes a recording of a restore and crashes it.
///
/// # Errors
/// If it cannot be made.
pub fn walk(layout: Layout, seed: u64, lie: Option<Lie>, bounds: Bounds<'_>) -> Result<Figures, String> {
    let mut rig = Rig::new(layout.kind, layout.disks)?;
    let host = Host::default();
    let scene = Scene::prepare(layout, &mut rig, &host)?;
    let recording = scene.record(&mut rig, &host, lie, seed)?;
    rig.change_devices()?;
    let (figures, random) = (Figures::default(), Random::new(seed));
    let (rig, scene, host, seen) = (&mut rig, &scene, &host, HashMap::new());
    let mut explorer = Explorer { rig, scene, host, bounds, figures, seen, random };
    explorer.explore(&recording);
    Ok(explorer.figures)
}

impl Explorer<'_> {
    /// Crashes a recording, and the recoveries from these crashes.
    fn explore(&mut self, recording: &Recording) {
        let share = self.bounds.share;
        self.figures.recordings += 1;
        let mut nested = self.crash(recording, share, 0);
        for depth in 1..DEPTH_MAX {
            let count = nested.len().max(1);
            let states = share.nested.1 / count;
            // Two of these are crashed once more.
            let deeper = Share { states, nested: (2_usize.div_ceil(count), states) };
            let recordings = std::mem::take(&mut nested);
            for recording in recordings {
                if self.over() {
                    return;
                }
                self.figures.nested_recordings += 1;
                let wanted = if nested.len() < 2 { deeper } else { Share { nested: (0, 0), ..deeper } };
                nested.extend(self.crash(&recording, wanted, depth));
            }
        }
    }

    fn over(&self) -> bool {
        let Bounds { violations_max, tally, deadline, .. } = self.bounds;
        self.figures.violations.len() >= violations_max || tally.is_full() || Instant::now() > deadline
    }

    /// Goes through a recording in the order of its events, and gives recordings of some of the recoveries.
    fn crash(&mut self, recording: &Recording, share: Share, depth: usize) -> Vec<Recording> {
        let cuts = cuts(recording);
        let mut cursor = Cursor::new(self.rig.disks(), recording);
        let mut nested = Vec::new();
        let before = self.figures.states[depth];
        for (index, cut) in cuts.iter().enumerate() {
            cursor.advance(*cut);
            let left = share.states.saturating_sub((self.figures.states[depth] - before) as usize);
            // Half as many again as an even share: many are the same.
            let most = left * 3 / 2 / (cuts.len() - index);
            for survivors in ways(cursor.pending().len(), recording.start.len(), most, &mut self.random) {
                if self.over() {
                    return nested;
                }
                // Spread over the recording.
                let due = share.nested.0 * (index + 1) > nested.len() * cuts.len();
                let recorded = self.meet(&cursor, depth, survivors, due && depth + 1 < DEPTH_MAX);
                nested.extend(recorded);
            }
        }
        nested
    }

    /// Mounts one crash image, unless it was met before, and judges it.
    fn meet(&mut self, cursor: &Cursor<'_>, depth: usize, survivors: Survivors, record: bool) -> Option<Recording> {
        let expected = cursor.recording().expected(cursor.position());
        let (survived, hash) = cursor.image(survivors);
        let key = hash ^ u64::from(expected.reported);
        match self.seen.get(&key) {
            Some(ended) => {
                let wrongs = ended.map(|ended| expected.wrongs(ended)).unwrap_or_default();
                if !wrongs.is_empty() {
                    self.complain(cursor, survivors, wrongs);
                }
                return None;
            }
            None => self.seen.insert(key, None),
        };
        self.figures.states[depth] += 1;
        self.bounds.tally.states.fetch_add(1, Ordering::Relaxed);
        self.rig.disks().lock().revert(&survived);
        let marks = Marks::new(self.rig.disks());
        let by = match self.bounds.binary && self.figures.total().is_multiple_of(BINARY_EVERY) {
            true => By::Binary,
            false => By::Engine,
        };
        self.figures.by_binary += u64::from(by == By::Binary);
        let judged = self.judge(&marks, expected, by);
        let ended = match judged {
            Ok(ended) => ended,
            Err(wrongs) => {
                self.complain(cursor, survivors, wrongs);
                return None;
            }
        };
        *self.figures.ends.entry(ended.end).or_default() += 1;
        self.seen.insert(key, Some(ended));
        let marks = marks.take();
        // A recovery that had something to do has written it down.
        let worked = marks.iter().any(|mark| mark.what.starts_with("write"));
        (record && worked).then(|| self.recorded(cursor, survivors, &survived, marks, ended.end))
    }

    fn judge(&mut self, marks: &Marks, expected: Expected, by: By) -> Result<Ended, Vec<String>> {
        self.rig.mount().map_err(|wrong| vec![wrong])?;
        let judged = judge(self.scene, self.host, marks, expected, by);
        self.rig.unmount().map_err(|wrong| vec![wrong])?;
        judged
    }

    /// The recovery that has just run, as a recording to be crashed.
    fn recorded(
        &mut self,
        cursor: &Cursor<'_>,
        survivors: Survivors,
        survived: &[(At, Slot)],
        marks: Vec<super::ports::Mark>,
        end: End,
    ) -> Recording {
        let mut disks = self.rig.disks().lock();
        let log = disks.take_log();
        disks.revert(survived);
        let start = disks.images();
        disks.revert(&[]);
        let mut story = cursor.recording().story.clone();
        story.push(cursor.in_words(survivors));
        let loose = cursor.recording().loose_at(cursor.position());
        Recording { story, start, log, marks, bound: Some(end), loose }
    }

    fn complain(&mut self, cursor: &Cursor<'_>, survivors: Survivors, wrongs: Vec<String>) {
        let mut story = cursor.recording().story.clone();
        story.push(cursor.in_words(survivors));
        story.push(format!("expected: {:?}", cursor.recording().expected(cursor.position())));
        self.figures.violations.push(Violation { story, wrongs });
    }
}
