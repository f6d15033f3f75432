//! The real binary killed at, and failed by, the system calls of a snapshot in two passes: the app is woken, a named
//! archive is whole and has the state of the freeze, and the next snapshot sweeps what is left.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::errno::Errno;
use volsnap_core::{
    model::{SnapshotId, WorkloadId},
    ports::{Archives, Quiet},
};
use volsnap_disk::Disk;

use super::{
    engine::{App, Engine, NAME},
    judge::{Wrongs, document},
    odd,
    scene::{base, copy},
    tracer::{Fault, Traced, Tracer, Use},
};
use crate::{cli::Cli, loop_disk::LoopDisk, trees};

/// So many uses are met with each fault, evenly spread over those of a snapshot. Each fault strikes, besides, each use at which
/// the app is frozen, and a kill each one from the first that has to do with the journal to the last.
const USES_MAX: usize = 40;

/// What was tried and found.
#[derive(Debug, Default)]
pub struct Figures {
    /// How many changing or syncing system calls an undisturbed snapshot makes.
    pub uses: usize,
    /// Processes that were killed.
    pub kills: usize,
    /// Calls that failed.
    pub errors: usize,
    /// In how many runs the app was frozen when the process was gone.
    pub left_frozen: usize,
    /// In how many runs the archive had got its name.
    pub named: usize,
    /// What must not be, with what led to it.
    pub violations: Vec<String>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { uses, kills, errors, left_frozen, named, violations } = self;
        write!(f, "{uses} uses, {kills} kills, {errors} errors, {left_frozen} times left frozen, ")?;
        write!(f, "{named} named archives, {} violations", violations.len())
    }
}

/// Two volumes on ext4, where a first pass can be believed, with the state directory on the same disk.
struct Place {
    cli: Cli,
    state: PathBuf,
    template: PathBuf,
    workload: WorkloadId,
    engine: Engine,
    tracer: Tracer,
    runtime: tokio::runtime::Runtime,
    // Dropped in this order.
    _disk: LoopDisk,
    _scratch: tempfile::TempDir,
}

/// Where a fault strikes: at the use with a number, counted from 1, of all uses or of those at which the app is frozen. The
/// latter are few, and their numbers among all uses are not the same in each run.
#[derive(Clone, Copy, Debug)]
enum At {
    Any(usize),
    Frozen(usize),
}

/// What lies among the archives.
#[derive(Debug, Default)]
struct Seen {
    named: BTreeSet<SnapshotId>,
    drafts: Vec<String>,
    journal: bool,
}

impl Place {
    fn build(launcher: &Path) -> Option<Self> {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let disk = LoopDisk::new_in(&base(), "ext4", "the kill tier's snapshots")?;
        let volumes = ["one", "two"].map(|name| disk.join(name));
        for volume in &volumes {
            trees::make(volume, "saved");
            fs::write(volume.join("large"), "saved".repeat(6000)).expect("a file");
        }
        let engine = Engine::listen(&scratch.path().join("engine.sock"), &volumes);
        let (state, template) = (disk.join("state"), scratch.path().join("template"));
        let cli = Cli::new(&state, engine.host());
        let added = cli.ok(&["workload", "add", "shop", "--container", NAME]);
        let workload = added["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        copy(&state, &template);
        let tracer = Tracer::new(launcher, vec![disk.path()], scratch.path());
        if let Err(why) = tracer.probe() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "the kill tier needs ptrace: {why}");
            println!("skipped the kill tier's snapshots: no ptrace: {why}");
            return None;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // So old that the first pass can be believed. What the app writes later is captured.
        std::thread::sleep(Duration::from_millis(3200));
        Some(Place { cli, state, template, workload, engine, tracer, runtime, _disk: disk, _scratch: scratch })
    }

    /// Takes a snapshot from the beginning, with something done to one of its uses.
    fn create(&self, fault: impl FnMut(usize, &Use) -> Option<Fault>) -> Traced {
        fs::remove_dir_all(&self.state).expect("removed");
        copy(&self.template, &self.state);
        *self.engine.app() = App::default();
        self.tracer.run(&self.cli.command(&["create", "shop"]), fault)
    }

    fn see(&self) -> Seen {
        let mut seen = Seen { journal: !self.cli.journal(&self.workload.to_string()).is_empty(), ..Seen::default() };
        let archives = fs::read_dir(self.state.join("snapshots").join(self.workload.to_string()));
        for name in archives.into_iter().flatten().map(|entry| entry.expect("an entry").file_name()) {
            let name = name.to_string_lossy().into_owned();
            match name.strip_suffix(".tar.zst").and_then(|id| id.parse().ok()) {
                Some(id) => {
                    seen.named.insert(id);
                }
                None => seen.drafts.push(name),
            }
        }
        seen
    }

    /// Whether an archive is whole and has these digests.
    fn check(&self, id: SnapshotId, digests: Option<&Vec<String>>) -> Result<(), String> {
        let digests = digests.ok_or_else(|| format!("archive {id} is there, and the app was never frozen"))?;
        let verified = self.runtime.block_on(async {
            let disk = Disk::open(&self.state).map_err(|e| e.to_string())?;
            disk.verify_archive(self.workload, id, std::sync::Arc::new(Quiet)).await.map_err(|e| e.to_string())
        })?;
        let same = verified.summary.totals.iter().map(|totals| &totals.digest).eq(digests);
        if same { Ok(()) } else { Err(format!("archive {id} has not the state of the freeze")) }
    }

    /// How many of the uses of an undisturbed snapshot come while the app is frozen.
    fn uses_frozen(&self) -> usize {
        let mut frozen = 0;
        self.create(|_, _| {
            frozen += usize::from(self.engine.app().frozen);
            None
        });
        frozen
    }

    /// One fault, the recovery from it, and the next snapshot; also the use that it struck.
    fn run(&self, at: At, fault: Fault, figures: &mut Figures) -> (Traced, Option<Use>, Wrongs) {
        let (mut frozen, mut struck) = (0, None);
        let traced = self.create(|number, one| {
            frozen += usize::from(self.engine.app().frozen);
            let is_met = match at {
                At::Any(nth) => number == nth,
                At::Frozen(nth) => frozen == nth && struck.is_none(),
            };
            is_met.then(|| struck = Some(one.clone())).map(|()| fault)
        });
        let seen = self.see();
        let app = self.engine.app().clone();
        let mut wrongs = odd(&traced);
        figures.left_frozen += usize::from(app.frozen);
        figures.named += usize::from(!seen.named.is_empty());
        wrongs.extend(seen.named.iter().filter_map(|id| self.check(*id, app.digests.as_ref()).err()));
        match traced.status {
            None => {}
            Some(0) => {
                let id = document(&traced).0["id"].as_str().and_then(|id| id.parse().ok());
                if id.is_none_or(|id: SnapshotId| !seen.named.contains(&id)) || seen.journal || app.frozen {
                    wrongs.push(format!("it says that all is well: {} {seen:?} {app:?}", traced.stdout));
                }
            }
            Some(status) => {
                let error = &document(&traced).0["error"];
                let is_told = error["hint"].as_str().is_some_and(|hint| !hint.is_empty()) || !app.frozen;
                if !is_told || app.frozen && !seen.journal {
                    wrongs.push(format!("exit status {status}, {error}, {seen:?}, {app:?}"));
                }
            }
        }
        let recovered = self.cli.run(&["recover"]);
        if recovered.status != Some(0) {
            wrongs.push(format!("recovery: {recovered:?}"));
        }
        let after = self.see();
        if self.engine.app().frozen || after.journal || seen.journal && !after.drafts.is_empty() {
            wrongs.push(format!("after the recovery: {after:?}, frozen: {}", self.engine.app().frozen));
        }
        let next = self.cli.run(&["create", "shop"]);
        let last = self.see();
        if next.status != Some(0) || !last.drafts.is_empty() || last.named.len() != after.named.len() + 1 {
            wrongs.push(format!("the next snapshot: {next:?}, {last:?}"));
        }
        let digests = self.engine.app().digests.clone();
        wrongs.extend(last.named.difference(&after.named).filter_map(|id| self.check(*id, digests.as_ref()).err()));
        (traced, struck, wrongs)
    }
}

/// Kills and fails snapshots; `None` (with the reason printed) where the machine cannot. `launcher` is the binary
/// `volsnap-stopped`.
///
/// # Panics
/// Where it would skip and the environment says `CI=true`.
pub fn snapshots(launcher: &Path, seed: u64) -> Option<Figures> {
    let place = Place::build(launcher)?;
    let undisturbed = place.create(|_, _| None);
    let mut figures = Figures { uses: undisturbed.uses.len(), ..Figures::default() };
    let frozen = place.engine.app().digests.clone();
    let wrongs: Wrongs = place.see().named.iter().filter_map(|id| place.check(*id, frozen.as_ref()).err()).collect();
    if undisturbed.status != Some(0) || !wrongs.is_empty() {
        figures.violations.push(format!("undisturbed: {wrongs:?} {undisturbed:?}"));
        return Some(figures);
    }
    let uses_frozen = place.uses_frozen();
    let step = figures.uses.div_ceil(USES_MAX);
    let of_journal = |one: &Use| one.what.contains("journal/");
    let (uses, first) = (&undisturbed.uses, undisturbed.uses.iter().position(of_journal).unwrap_or(0));
    let last = uses.iter().rposition(of_journal).unwrap_or(0);
    let faults = [(Fault::Kill, step), (Fault::Fail(Errno::EIO), 2 * step), (Fault::Fail(Errno::ENOSPC), 2 * step)];
    for (fault, step) in faults {
        let is_met = |nth: &usize| {
            let has_journal = fault == Fault::Kill && (first..=last + 1).contains(nth);
            has_journal || (nth + seed as usize).is_multiple_of(step)
        };
        let anywhere = (1..=figures.uses).filter(is_met).map(At::Any);
        for at in anywhere.chain((1..=uses_frozen).map(At::Frozen)) {
            if figures.violations.len() >= 5 {
                return Some(figures);
            }
            let (traced, struck, wrongs) = place.run(at, fault, &mut figures);
            match fault {
                Fault::Kill => figures.kills += usize::from(traced.status.is_none()),
                Fault::Fail(_) | Fault::Lie => figures.errors += 1,
            }
            if !wrongs.is_empty() {
                figures.violations.push(format!("{fault:?} at {at:?}, {struck:?}: {wrongs:#?}"));
            }
        }
    }
    Some(figures)
}
