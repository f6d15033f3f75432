//! What is recorded: a workload on real disks, its restore, and what both of its ends look like.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::fs::XattrFlags;
use volsnap::UnavailableStore;
use volsnap_core::{
    engine::{Engine, Ports, Recovered, RestoreRequest, SnapshotRequest},
    model::{DeclaredVolume, Selector, Snapshot, SnapshotId, Source, Workload, WorkloadId},
    ports::{Clock, NoCommands, Quiet, Store, StoreError, StoreErrorKind, Watch},
    restore::Outcome,
};
use volsnap_disk::{Disk, SystemClock};
use volsnap_sqlite::SqliteStore;

use super::{
    judge::Ended,
    platter::{Event, Image, mix},
    ports::{Lie, Mark, Marks, Watched},
    rig::{self, Kind, Rig},
};
use crate::trees::{self, Tree};

/// What a volume's live directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// A directory that a rename can replace.
    Directory,
    /// The mount point of its disk: switched by entry.
    MountPoint,
    /// The root of a btrfs subvolume: switched by entry.
    Subvolume,
}

impl Live {
    /// Whether what is in the directory is moved, and not the directory.
    #[must_use]
    pub fn stays(self) -> bool {
        match self {
            Live::Directory => false,
            Live::MountPoint | Live::Subvolume => true,
        }
    }
}

/// Where things lie in a recording.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// In words.
    pub name: &'static str,
    /// The filesystem of every disk.
    pub kind: Kind,
    /// How many disks.
    pub disks: usize,
    /// The disk of the state directory.
    pub state: usize,
    /// The disk of each volume, and what it is there.
    pub volumes: &'static [(usize, Live)],
    /// Whether somebody outside calls `syncfs` and `fsync` at random moments.
    pub noise: bool,
}

impl Layout {
    /// Whether every volume is switched by entry.
    #[must_use]
    pub fn is_by_entry(&self) -> bool {
        self.volumes.iter().all(|(_, live)| live.stays())
    }
}

/// What a whole set of volumes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// As it was before the restore.
    Original,
    /// As in the snapshot.
    Restored,
}

/// A workload on the disks of a rig, ready to be restored.
pub struct Scene {
    /// Where things lie.
    pub layout: Layout,
    /// The volumes' directories.
    pub lives: Vec<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
    /// The workload.
    pub workload: Workload,
    /// The snapshot to be restored.
    pub snapshot: Snapshot,
    /// Digests of the volumes as they are: what a safety archive must have.
    pub digests: Vec<String>,
    /// The archives that were there before.
    pub archives: Vec<SnapshotId>,
    /// The volumes as they are.
    pub original: Vec<Tree>,
    /// The volumes as the snapshot has them.
    pub saved: Vec<Tree>,
}

/// What a process did to the disks, from clean or crashed images on.
#[derive(Debug)]
pub struct Recording {
    /// How it came about, one line for each process.
    pub story: Vec<String>,
    /// The disks when it began.
    pub start: Vec<Image>,
    /// Everything that happened to them.
    pub log: Vec<Event>,
    /// When calls began and ended.
    pub marks: Vec<Mark>,
    /// What the volumes were bound to become when it began; `None` if it decided that itself.
    pub bound: Option<End>,
    /// Which root times an earlier crash may have cost.
    pub loose: Loose,
}

/// Whether a crash may have changed the modification time of a root that stays while its entries change: names of ours
/// come and go in it, and the time is put back after that, not at once with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loose {
    /// The original's: something was staged in it.
    pub original: bool,
    /// The restored one's, which is given after the switch: what was staged in it was removed.
    pub restored: bool,
}

impl Loose {
    fn allows(self, end: End) -> bool {
        match end {
            End::Original => self.original,
            End::Restored => self.restored,
        }
    }
}

/// What a cut at some position may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What the volumes must become; `None` where both are right.
    pub end: Option<End>,
    /// Whether success was reported: then everything is as it must be without any recovery.
    pub reported: bool,
    /// Which root times may be others.
    pub loose: Loose,
}

impl Expected {
    /// What is wrong with how it ended.
    #[must_use]
    pub fn wrongs(self, ended: Ended) -> Vec<String> {
        let Ended { end, exact } = ended;
        let mut wrongs = Vec::new();
        if let Some(expected) = self.end
            && expected != end
        {
            wrongs.push(format!("all volumes are {end:?}, and they must be {expected:?}"));
        }
        if !exact && !self.loose.allows(end) {
            wrongs.push(format!("all volumes are {end:?} but for the modification time of a root"));
        }
        wrongs
    }
}

/// The mark behind the last call of a process: it told that it was done.
const REPORTED: &str = "success is reported";

impl Recording {
    /// What a cut before the event at `position` may leave.
    #[must_use]
    pub fn expected(&self, position: usize) -> Expected {
        let passed = |what: &str| self.marks.iter().any(|mark| mark.what == what && mark.position <= position);
        let end = self.bound.or_else(|| match (passed("write committed begins"), passed("write committed ends")) {
            (false, _) => Some(End::Original),
            (true, false) => None,
            (true, true) => Some(End::Restored),
        });
        let reported = passed(REPORTED);
        Expected { end, reported, loose: if reported { self.loose } else { self.loose_at(position) } }
    }

    /// Which root times a crash at a position may cost.
    #[must_use]
    pub fn loose_at(&self, position: usize) -> Loose {
        let passed = |what: &str| self.marks.iter().any(|mark| mark.what == what && mark.position <= position);
        Loose {
            original: self.loose.original || passed("stage begins"),
            restored: self.loose.restored || passed("discard begins"),
        }
    }

    /// What was going on at a position.
    #[must_use]
    pub fn at(&self, position: usize) -> String {
        let before = self.marks.iter().take_while(|mark| mark.position <= position).last();
        format!("event {position} of {}, {}", self.log.len(), before.map_or("before any call", |mark| &mark.what))
    }
}

/// Runs the engine on this thread.
pub struct Host {
    runtime: tokio::runtime::Runtime,
}

impl Default for Host {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Host { runtime: runtime.expect("a runtime") }
    }
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

impl Host {
    /// Runs `work` with an engine over the state directory and its catalog, and closes both.
    fn with_catalog<T>(
        &self,
        state: &Path,
        marks: &Marks,
        lie: Option<Lie>,
        work: impl AsyncFnOnce(Engine) -> T,
    ) -> Result<T, String> {
        self.runtime.block_on(async {
            let disk = Disk::open(state).map_err(|e| e.to_string())?;
            let store = Arc::new(SqliteStore::open(&state.join("catalog.db")).await.map_err(|e| e.to_string())?);
            let done = work(engine(store.clone(), Watched::new(disk, marks, lie))).await;
            store.close().await;
            Ok(done)
        })
    }

    /// Recovers as a process does that begins, its catalog lost.
    ///
    /// # Errors
    /// If the state directory cannot be used, or not be looked into.
    pub fn recover(&self, state: &Path, marks: &Marks) -> Result<Vec<Recovered>, String> {
        self.runtime.block_on(async {
            let disk = Disk::open(state).map_err(|e| e.to_string())?;
            let lost = StoreError::new(StoreErrorKind::Io, "lost");
            let engine = engine(Arc::new(UnavailableStore::new(lost)), Watched::new(disk, marks, None));
            let recovered = engine.recover(None, &quiet()).await.map_err(|e| e.to_string());
            marks.set(REPORTED);
            recovered
        })
    }

    /// Runs a call of the adapter.
    pub fn block_on<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }
}

fn engine(store: Arc<dyn Store>, disks: Watched) -> Engine {
    let disks = Arc::new(disks);
    Engine::new(Ports {
        store,
        containers: None,
        filesystem: disks.clone(),
        archives: disks.clone(),
        journals: disks,
        commands: Arc::new(NoCommands),
        clock: Arc::new(SystemClock::new()),
    })
}

/// Fills a volume: entries of each kind, one of them larger than a few blocks, one file in two directories, one at the
/// top that only this state has, and attributes.
pub fn fill(live: &Path, mark: &str) {
    trees::make(live, mark);
    fs::write(live.join("large"), mark.repeat(6000)).expect("a file");
    fs::write(live.join(format!("only-{mark}")), mark).expect("a file");
    fs::create_dir(live.join("other")).expect("a directory");
    fs::hard_link(live.join(format!("sub/deeper/{mark}-0")), live.join("other/same")).expect("a hard link");
    for name in ["large", "sub"] {
        rustix::fs::setxattr(live.join(name), "user.volsnap", mark.as_bytes(), XattrFlags::empty()).expect("xattr");
    }
}

impl Scene {
    /// Makes the volumes, snapshots them, and changes them. Leaves the disks unmounted and wholly written.
    ///
    /// # Errors
    /// What did not work.
    pub fn prepare(layout: Layout, rig: &mut Rig, host: &Host) -> Result<Self, String> {
        rig.mount()?;
        let mut lives = Vec::new();
        for (index, (disk, live)) in layout.volumes.iter().enumerate() {
            let root = rig.mount_point(*disk);
            let beneath = root.join("data").join(format!("v{index}"));
            lives.push(match live {
                Live::Directory => beneath,
                Live::MountPoint => root,
                Live::Subvolume => rig::subvolume(beneath)?,
            });
        }
        let state = rig.mount_point(layout.state).join("state");
        for live in &lives {
            fill(live, "saved");
        }
        let clock = SystemClock::new();
        let declared = lives.iter().enumerate();
        let workload = Workload {
            id: WorkloadId(clock.fresh_id()),
            name: "shop".into(),
            source: Source::Directories,
            selector: Selector::default(),
            volumes: declared
                .map(|(i, path)| DeclaredVolume { target: format!("/v{i}"), path: path.clone() })
                .collect(),
            created_at: clock.now(),
            hooks: Vec::new(),
            known: Vec::new(),
        };
        let read = || lives.iter().map(|live| trees::read(live).expect("a tree")).collect::<Vec<Tree>>();
        let saved = read();
        let made = host.with_catalog(&state, &Marks::new(rig.disks()), None, async |engine| {
            engine.add_workload(&workload).await?;
            let snapshot = engine.create(&SnapshotRequest::of(workload.clone()), &quiet()).await?.snapshot;
            for live in &lives {
                trees::clear(live);
                fill(live, "today");
            }
            let reference = engine.create(&SnapshotRequest::of(workload.clone()), &quiet()).await?.snapshot;
            Ok::<_, volsnap::Error>((snapshot, reference))
        })?;
        let (snapshot, reference) = made.map_err(|e| e.to_string())?;
        let original = read();
        rig.unmount()?;
        let digests = reference.archive.totals.iter().map(|totals| totals.digest.clone()).collect();
        let archives = vec![snapshot.id(), reference.id()];
        Ok(Scene { layout, lives, state, workload, snapshot, digests, archives, original, saved })
    }

    /// Restores, and records what that does to the disks.
    ///
    /// # Errors
    /// If it does not succeed.
    pub fn record(&self, rig: &mut Rig, host: &Host, lie: Option<Lie>, seed: u64) -> Result<Recording, String> {
        let start = rig.disks().lock().images();
        rig.disks().lock().load(start.clone());
        rig.mount()?;
        let marks = Marks::new(rig.disks());
        let is_volume = |disk| self.layout.volumes.contains(&(disk, Live::MountPoint));
        let points = (0..rig.count()).map(|disk| (rig.mount_point(disk), is_volume(disk))).collect();
        let noise = self.layout.noise.then(|| Noise::start(points, seed));
        let request = RestoreRequest::of(self.workload.clone(), self.snapshot.clone());
        let report = host.with_catalog(&self.state, &marks, lie, async |engine| {
            let report = engine.restore(&request, &quiet()).await;
            marks.set(REPORTED);
            report
        })?;
        drop(noise);
        rig.unmount()?;
        let report = report.map_err(|e| e.to_string())?;
        if report.outcome != Outcome::Restored || lie.is_none() && !report.warnings.is_empty() {
            return Err(format!("the restore that is to be recorded did not succeed: {report:?}"));
        }
        let log = rig.disks().lock().take_log();
        let Layout { name, kind, .. } = self.layout;
        let story = vec![format!("restore of {name} on {kind} ({:?}), seed {seed}", rig.devices())];
        Ok(Recording { story, start, log, marks: marks.take(), bound: None, loose: Loose::default() })
    }
}

/// Somebody outside who syncs filesystems and files of his own at random moments, until dropped. Where the root of a
/// disk is a volume, there is no place for his files.
struct Noise {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Noise {
    fn start(points: Vec<(PathBuf, bool)>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut random = seed;
            while !stopped.load(Ordering::Relaxed) {
                random = mix(random);
                std::thread::sleep(Duration::from_micros(random % 12_000));
                let (point, is_volume) = &points[(random >> 32) as usize % points.len()];
                // What cannot be synced any more is not synced.
                let _ = match random >> 63 == 0 || *is_volume {
                    true => fs::File::open(point).and_then(|dir| Ok(rustix::fs::syncfs(dir)?)),
                    false => fs::File::create(point.join("elsewhere")).and_then(|file| file.sync_all()),
                };
            }
        });
        Noise { stop, thread: Some(thread) }
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
