//! Power cuts in snapshots of an app that runs: whatever of them the disks keep, an archive that has a name is whole and
//! has the state of the freeze, one that was reported is there, and the next snapshot finds nothing in its way.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use volsnap_core::{
    engine::{Engine, Ports, SnapshotRequest},
    model::{RunState, Selector, SnapshotId, Source, Workload, WorkloadId},
    ports::{Archives, Clock, NoCommands, Quiet, Watch},
};
use volsnap_disk::{Disk, SystemClock};
use volsnap_sqlite::SqliteStore;

use super::{
    cuts::{Cursor, Random, cuts, ways},
    explore::Violation,
    ports::{Lie, Marks, Watched},
    rig::{Kind, Rig},
    scene::{Loose, Recording, fill},
};
use crate::{
    crash::app::{NAME, OneApp, digests},
    trees,
};

/// Where a snapshot's volumes and its archive lie: one volume beside the archive, one on another disk.
const DISKS: usize = 2;

/// The mark behind a snapshot that was reported.
const REPORTED: &str = "the snapshot is reported";

/// What was explored.
#[derive(Debug, Default)]
pub struct Figures {
    /// Different states that were mounted.
    pub states: u64,
    /// In how many of them the archive had its name.
    pub named: u64,
    /// In how many a journal told that the app was frozen.
    pub frozen: u64,
    /// What is wrong; not more than a few.
    pub violations: Vec<Violation>,
}

/// Volumes on the disks of a rig, ready to be snapshotted.
struct Scene {
    state: PathBuf,
    lives: Vec<PathBuf>,
    workload: Workload,
    runtime: tokio::runtime::Runtime,
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

impl Scene {
    fn prepare(rig: &mut Rig) -> Result<Self, String> {
        rig.mount()?;
        let lives: Vec<PathBuf> = (0..DISKS).map(|disk| rig.mount_point(disk).join("data")).collect();
        lives.iter().for_each(|live| fill(live, "saved"));
        let clock = SystemClock::new();
        let workload = Workload {
            id: WorkloadId(clock.fresh_id()),
            name: "shop".into(),
            source: Source::Image,
            selector: Selector { containers: vec![NAME.into()], ..Selector::default() },
            volumes: Vec::new(),
            created_at: clock.now(),
            hooks: Vec::new(),
            known: Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let scene = Scene { state: rig.mount_point(0).join("state"), lives, workload, runtime };
        let app = OneApp::running(&scene.lives, || ());
        scene.with_engine(rig, &app, None, async |engine, _| {
            engine.add_workload(&scene.workload).await.map_err(|e| e.to_string())
        })??;
        rig.unmount()?;
        // So old that the first pass can be believed.
        std::thread::sleep(Duration::from_millis(3200));
        Ok(scene)
    }

    fn with_engine<T>(
        &self,
        rig: &Rig,
        app: &OneApp,
        lie: Option<Lie>,
        work: impl AsyncFnOnce(Engine, Marks) -> T,
    ) -> Result<T, String> {
        let marks = Marks::new(rig.disks());
        self.runtime.block_on(async {
            let disk = Disk::open(&self.state).map_err(|e| e.to_string())?;
            let store = Arc::new(SqliteStore::open(&self.state.join("catalog.db")).await.map_err(|e| e.to_string())?);
            let disks = Arc::new(Watched::new(disk, &marks, lie));
            let engine = Engine::new(Ports {
                store: store.clone(),
                containers: Some(Arc::new(app.clone())),
                filesystem: disks.clone(),
                archives: disks.clone(),
                journals: disks,
                commands: Arc::new(NoCommands),
                clock: Arc::new(SystemClock::new()),
            });
            let done = work(engine, marks).await;
            store.close().await;
            Ok(done)
        })
    }

    /// Takes a snapshot and records what that does to the disks; gives also the digests of the volumes in the freeze.
    fn record(&self, rig: &mut Rig, lie: Option<Lie>, seed: u64) -> Result<(Recording, Vec<String>), String> {
        let start = rig.disks().lock().images();
        rig.disks().lock().load(start.clone());
        rig.mount()?;
        let frozen = Arc::new(Mutex::new(Vec::new()));
        let (seen, lives) = (frozen.clone(), self.lives.clone());
        let app = OneApp::running(&self.lives, move || {
            *seen.lock().expect("nobody panics") = digests(&lives);
        });
        let made = self.with_engine(rig, &app, lie, async |engine, marks| {
            let made = engine.create(&SnapshotRequest::of(self.workload.clone()), &quiet()).await;
            marks.set(REPORTED);
            made.map(|made| (made, marks.take()))
        })?;
        rig.unmount()?;
        let (made, marks) = made.map_err(|e| format!("the snapshot that is to be recorded: {e}"))?;
        let frozen = frozen.lock().expect("nobody panics").clone();
        let totals: Vec<&String> = made.snapshot.archive.totals.iter().map(|totals| &totals.digest).collect();
        if lie.is_none() && !totals.iter().copied().eq(&frozen) {
            return Err("the archive that was recorded has not the state of the freeze".into());
        }
        let log = rig.disks().lock().take_log();
        let story = vec![format!("snapshot of an app on two disks ({:?}), seed {seed}", rig.devices())];
        Ok((Recording { story, start, log, marks, bound: None, loose: Loose::default() }, frozen))
    }

    /// Mounted after a crash: what is there, then a recovery, then the next snapshot.
    fn judge(&self, rig: &Rig, reported: bool, digests: &[String], figures: &mut Figures) -> Vec<String> {
        let mut wrongs = Vec::new();
        let named = self.named();
        figures.named += u64::from(!named.is_empty());
        let journal = names(&self.state.join("journal")).iter().any(|name| name.ends_with(".json"));
        figures.frozen += u64::from(journal);
        if reported && (named.is_empty() || journal || !self.drafts().is_empty()) {
            wrongs.push(format!("it was reported: archives {named:?}, drafts {:?}", self.drafts()));
        }
        wrongs.extend(named.iter().filter_map(|id| self.verify(*id, digests).err()));
        let before: Vec<_> = self.lives.iter().map(|live| trees::read(live)).collect();
        // The engine starts it at boot.
        let app = OneApp::running(&self.lives, || ());
        let done = self.with_engine(rig, &app, None, async |engine, _| {
            let mut wrongs = Vec::new();
            let recovered = engine.recover(None, &quiet()).await.map_err(|e| e.to_string());
            match recovered {
                Ok(items) => {
                    wrongs.extend(items.into_iter().filter_map(|item| item.result.err().map(|e| e.to_string())));
                }
                Err(error) => wrongs.push(error),
            }
            if self.lives.iter().map(|live| trees::read(live)).collect::<Vec<_>>() != before {
                wrongs.push("recovery changed the volumes".into());
            }
            if journal && !self.drafts().is_empty() {
                wrongs.push(format!("after the recovery {:?} are left", self.drafts()));
            }
            match engine.snapshots(None).await {
                Ok(listed) => {
                    let lost = listed.iter().filter(|s| !named.contains(&s.id()));
                    wrongs.extend(lost.map(|s| format!("{} is listed, and is not there", s.id())));
                    if reported && listed.is_empty() {
                        wrongs.push("it was reported, and is not listed".into());
                    }
                }
                Err(error) => wrongs.push(error.to_string()),
            }
            let next = engine.create(&SnapshotRequest::of(self.workload.clone()), &quiet()).await;
            wrongs.extend(next.err().map(|error| format!("the next snapshot: {error}")));
            wrongs
        });
        match done {
            Ok(done) => wrongs.extend(done),
            Err(error) => wrongs.push(error),
        }
        if app.state() != RunState::Running {
            wrongs.push(format!("the app is {:?}", app.state()));
        }
        if self.named().len() != named.len() + 1 || !self.drafts().is_empty() {
            wrongs.push(format!("after the next snapshot: {:?}, drafts {:?}", self.named(), self.drafts()));
        }
        wrongs
    }

    fn verify(&self, id: SnapshotId, digests: &[String]) -> Result<(), String> {
        let verified = self.runtime.block_on(async {
            let disk = Disk::open(&self.state).map_err(|e| e.to_string())?;
            disk.verify_archive(self.workload.id, id, quiet()).await.map_err(|e| e.to_string())
        })?;
        let same = verified.summary.totals.iter().map(|totals| &totals.digest).eq(digests);
        if same { Ok(()) } else { Err(format!("archive {id} has not the state of the freeze")) }
    }

    fn archives(&self) -> Vec<String> {
        names(&self.state.join("snapshots").join(self.workload.id.to_string()))
    }

    fn named(&self) -> Vec<SnapshotId> {
        self.archives().iter().filter_map(|name| name.strip_suffix(".tar.zst")?.parse().ok()).collect()
    }

    fn drafts(&self) -> Vec<String> {
        self.archives().into_iter().filter(|name| !name.ends_with(".tar.zst")).collect()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Records a snapshot on that filesystem and mounts about so many different crash images of it.
///
/// # Errors
/// If it cannot be recorded.
pub fn snapshots(kind: Kind, states: usize, lie: Option<Lie>, seed: u64) -> Result<Figures, String> {
    let mut rig = Rig::new(kind, DISKS)?;
    let scene = Scene::prepare(&mut rig)?;
    let (recording, digests) = scene.record(&mut rig, lie, seed)?;
    rig.change_devices()?;
    let mut random = Random::new(seed);
    let mut figures = Figures::default();
    let mut seen = HashSet::new();
    let cuts = cuts(&recording);
    let mut cursor = Cursor::new(rig.disks(), &recording);
    for (index, cut) in cuts.iter().enumerate() {
        cursor.advance(*cut);
        let left = states.saturating_sub(figures.states as usize);
        let most = left / (cuts.len() - index);
        let reported = recording.marks.iter().any(|mark| mark.what == REPORTED && mark.position <= cursor.position());
        for survivors in ways(cursor.pending().len(), DISKS, most, &mut random) {
            let (survived, hash) = cursor.image(survivors);
            if !seen.insert(hash ^ u64::from(reported)) {
                continue;
            }
            figures.states += 1;
            rig.disks().lock().revert(&survived);
            let judged = rig.mount().map(|()| scene.judge(&rig, reported, &digests, &mut figures));
            let unmounted = rig.unmount();
            let wrongs = match (judged, unmounted) {
                (Ok(wrongs), Ok(())) => wrongs,
                (Err(wrong), _) | (_, Err(wrong)) => vec![wrong],
            };
            if !wrongs.is_empty() {
                let mut story = recording.story.clone();
                story.push(cursor.in_words(survivors));
                figures.violations.push(Violation { story, wrongs });
            }
            if figures.violations.len() >= 3 {
                return Ok(figures);
            }
        }
    }
    Ok(figures)
}

/// The same on each filesystem.
///
/// # Errors
/// If one cannot be recorded.
pub fn snapshots_everywhere(states: usize, seed: u64) -> Result<BTreeMap<Kind, Figures>, String> {
    Kind::ALL.into_iter().map(|kind| Ok((kind, snapshots(kind, states, None, seed)?))).collect()
}
