//! Power cuts on real filesystems.
//!
//! A restore runs on ext4, xfs or btrfs whose disks are served from memory, and every write and flush of all disks is
//! recorded in one order. From this log crash images are made: what a flush made durable, and of the later writes none,
//! all, each one, all but one, or some. They are mounted one after another on other devices than the recording, the
//! engine's recovery runs on each, and the oracle compares exact trees. Recoveries are recorded and crashed in turn.
//!
//! A filesystem is never told less than what a disk would keep: a write is torn only between blocks of 4096 bytes,
//! which is the sector size of these disks, and a flush of one disk orders nothing on another.

pub mod freeze;
pub mod guard;
pub mod killed;
pub mod litmus;
pub mod mutants;

mod cuts;
mod explore;
mod judge;
mod namespace;
mod platter;
mod ports;
mod rig;
mod scene;
mod server;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub use namespace::entered;
pub use ports::Lie;
pub use rig::Kind;
pub use scene::End;

use self::{
    explore::{Bounds, Figures, Share, Tally, Violation, walk},
    rig::Rig,
    scene::{Layout, Live},
};
use super::Budget;

/// Different states that a run without a time limit mounts at least.
pub const STATES_MIN: u64 = 20_000;

/// When a run without a time limit ends, whatever it has done.
const TIME_MAX: Duration = Duration::from_secs(540);

/// How much of one recording is explored before the next one is made.
const SHARE: Share = Share { states: 460, nested: (4, 130) };

/// Mounting waits much and computes little, so more run at once than there are processors.
const WORKERS: usize = 6;

/// Where journal and volumes lie, for each filesystem.
#[must_use]
pub fn layouts(kind: Kind) -> Vec<Layout> {
    use Live::{Directory, MountPoint, Subvolume};
    let layout = |name, disks, state, volumes, noise| Layout { name, kind, disks, state, volumes, noise };
    let mut layouts = vec![
        layout("two volumes and their journal on one disk", 1, 0, &[(0, Directory), (0, Directory)], false),
        layout("two volumes beside the journal's disk", 2, 0, &[(1, Directory), (1, Directory)], true),
        layout("a mount point beside the journal's disk", 2, 0, &[(1, MountPoint)], true),
        layout("two volumes and their journal on three disks", 3, 0, &[(1, Directory), (2, Directory)], false),
        layout("two volumes on two disks, the journal with one", 2, 0, &[(0, Directory), (1, Directory)], true),
        layout(
            "three volumes on three disks, the journal with one",
            3,
            1,
            &[(0, Directory), (1, Directory), (2, Directory)],
            true,
        ),
        layout("a mount point, and a volume with the journal", 2, 0, &[(1, MountPoint), (0, Directory)], false),
    ];
    match kind {
        Kind::Ext4 | Kind::Xfs => {}
        // A filesystem of its own in most ways, with a log of its own, on the journal's disk.
        Kind::Btrfs => {
            layouts.insert(
                1,
                layout("two subvolumes and the journal on one disk", 1, 0, &[(0, Subvolume), (0, Subvolume)], false),
            );
        }
    }
    layouts
}

/// What this machine lacks for the tier; `None` if nothing.
#[must_use]
pub fn missing() -> Option<String> {
    let problem = |kind: Kind| Rig::new(kind, 1).err().map(|why| format!("no {kind} on a recorded disk: {why}"));
    Kind::ALL.into_iter().find_map(problem)
}

/// What the tier did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By filesystem.
    pub kinds: BTreeMap<Kind, Figures>,
    /// How long it took.
    pub took: Duration,
    /// Recordings that could not be made.
    pub failures: Vec<String>,
}

impl Outcome {
    /// All filesystems together.
    #[must_use]
    pub fn all(&self) -> Figures {
        let mut all = Figures::default();
        self.kinds.values().cloned().for_each(|figures| all.add(figures));
        all
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all();
        let kinds = self.kinds.iter().map(|(kind, figures)| format!("{kind} {}", figures.total()));
        let nested = all.total() - all.states[0];
        write!(
            f,
            "{} different states mounted and recovered ({}), {nested} of them crashes of a recovery ({} one level \
             deeper), {} by the real binary; {} recordings of restores, {} of recoveries; {:.0} states/s; {} violations",
            all.total(),
            kinds.collect::<Vec<_>>().join(", "),
            all.states[2],
            all.by_binary,
            all.recordings,
            all.nested_recordings,
            all.total() as f64 / self.took.as_secs_f64(),
            all.violations.len(),
        )
    }
}

/// The filesystems in turn: twice the one that mounts fastest.
const TURNS: [Kind; 4] = [Kind::Ext4, Kind::Btrfs, Kind::Ext4, Kind::Xfs];

/// One recording to be made and explored.
struct Job {
    layout: Layout,
    seed: u64,
}

impl Job {
    /// The jobs of a run without end, every layout on every filesystem in turn.
    fn nth(index: usize, seed: u64) -> Self {
        let kind_of = |index: usize| TURNS[index % TURNS.len()];
        let kind = kind_of(index);
        let layouts = layouts(kind);
        let earlier = (0..index).filter(|earlier| kind_of(*earlier) == kind).count();
        Job { layout: layouts[earlier % layouts.len()], seed: platter::mix(seed ^ (index as u64) << 32) }
    }
}

/// Records and crashes until the budget is spent.
///
/// # Panics
/// If a worker does.
#[must_use]
pub fn run(budget: Budget) -> Outcome {
    crate::cli::binary();
    let began = Instant::now();
    let deadline = began + budget.time.unwrap_or(TIME_MAX);
    let outcome = Mutex::new(Outcome::default());
    let next = AtomicUsize::new(0);
    let tally = Tally::new(if budget.time.is_some() { u64::MAX } else { STATES_MIN });
    let work = || loop {
        if tally.is_full() || Instant::now() > deadline {
            return;
        }
        let job = Job::nth(next.fetch_add(1, Ordering::Relaxed), budget.seed);
        let bounds = Bounds { share: SHARE, deadline, tally: &tally, violations_max: 3, binary: true };
        let ran = walk(job.layout, job.seed, None, bounds);
        let mut outcome = outcome.lock().expect("nobody panics");
        match ran {
            Ok(figures) => outcome.kinds.entry(job.layout.kind).or_default().add(figures),
            Err(error) => outcome.failures.push(format!("{} on {}: {error}", job.layout.name, job.layout.kind)),
        }
        if outcome.failures.len() + outcome.all().violations.len() >= 10 {
            return;
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let mut outcome = outcome.into_inner().expect("nobody panics");
    outcome.took = began.elapsed();
    outcome
}

/// Violations in words, each with the way to it.
#[must_use]
pub fn told(violations: &[Violation], seed: u64) -> Vec<String> {
    let told = violations.iter().map(|Violation { story, wrongs }| {
        let (steps, wrongs) = (story.join("\n  "), wrongs.join("\n         "));
        format!("VIOLATION\n  {steps}\n  found: {wrongs}\n  again with --seed {seed}")
    });
    told.collect()
}
