//! The library as a host uses it, on real directories.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use volsnap::{
    Code, NewWorkload, RecoveredItem, RestoreRequest, SnapshotRequest, UnavailableEngine, UnavailableStore, Volsnap,
    model::{Mode, Selector, Snapshot, SnapshotId, Workload},
    ports::{Observer, Phase, Progress, StoreError, StoreErrorKind},
    restore::{Body, Journal, Outcome, journal::Quiesced},
};

struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Host { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(host.data()).unwrap();
        fs::write(host.data().join("file"), "as it was").unwrap();
        host
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn builder(&self) -> volsnap::Builder {
        Volsnap::builder().state_dir(self.state()).without_containers()
    }

    async fn with_snapshot(&self, volsnap: &Volsnap) -> (Workload, Snapshot) {
        let app = volsnap.add_workload(NewWorkload::directories("app", [("/data", self.data())])).await.unwrap();
        let taken = volsnap.create(SnapshotRequest::of(app.clone())).await.unwrap();
        fs::write(self.data().join("file"), "changed").unwrap();
        (app, taken.snapshot)
    }

    fn read(&self) -> String {
        fs::read_to_string(self.data().join("file")).unwrap()
    }

    /// Nothing of a restore stands beside the live directory.
    fn is_swept(&self) -> bool {
        let mut names: Vec<String> = names(self.dir.path());
        names.sort();
        names == ["data", "state"]
    }
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// Holds an operation up in a phase until it is let go.
struct Gate {
    phase: Phase,
    reached: AtomicBool,
    open: AtomicBool,
}

impl Gate {
    fn at(phase: Phase) -> Arc<Self> {
        Arc::new(Gate { phase, reached: AtomicBool::new(false), open: AtomicBool::new(false) })
    }

    async fn reached(&self) {
        while !self.reached.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

impl Observer for Gate {
    fn progress(&self, progress: &Progress) {
        if progress.phase == self.phase {
            self.reached.store(true, Ordering::SeqCst);
            while !self.open.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Drops a restore in a phase and waits until its task has come to an end.
async fn dropped_in(phase: Phase) -> (Host, Workload, Volsnap) {
    let host = Host::new();
    let quiet = host.builder().open().await.unwrap();
    let (app, snapshot) = host.with_snapshot(&quiet).await;
    let gate = Gate::at(phase);
    let volsnap = host.builder().observer(gate.clone()).open().await.unwrap();
    let restore = volsnap.restore(RestoreRequest::of(app.clone(), snapshot));
    let mut progress = restore.progress();
    gate.reached().await;
    drop(restore);
    gate.open();
    while progress.changed().await.is_ok() {}
    (host, app, quiet)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_dropped_before_the_commit_ends_on_the_original() {
    let (host, app, volsnap) = dropped_in(Phase::Stage).await;
    assert_eq!(host.read(), "changed");
    assert!(host.is_swept());
    assert!(volsnap.status(None).await.unwrap().is_empty());
    assert_eq!(volsnap.events(Some(app.id), 1).await.unwrap()[0].outcome, "aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_dropped_in_the_switch_ends_on_the_restored_data() {
    let (host, app, volsnap) = dropped_in(Phase::Switch).await;
    assert_eq!(host.read(), "as it was");
    assert!(host.is_swept());
    assert!(volsnap.status(None).await.unwrap().is_empty());
    assert_eq!(volsnap.events(Some(app.id), 1).await.unwrap()[0].outcome, "restored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_restore_tells_how_it_ended() {
    let host = Host::new();
    let gate = Gate::at(Phase::Stage);
    let (app, snapshot) = host.with_snapshot(&host.builder().open().await.unwrap()).await;
    let volsnap = host.builder().observer(gate.clone()).open().await.unwrap();
    let restore = volsnap.restore(RestoreRequest::of(app, snapshot));
    gate.reached().await;
    restore.cancel();
    gate.open();
    let report = restore.await.unwrap();
    assert_eq!((report.outcome, report.code()), (Outcome::Aborted, Some(Code::Aborted)));
    assert_eq!(host.read(), "changed");
}

#[tokio::test]
async fn opening_recovers_and_hands_out_what_it_recovered() {
    let host = Host::new();
    let volsnap = host.builder().open().await.unwrap();
    let (app, snapshot) = host.with_snapshot(&volsnap).await;
    let journal = interrupted(&app, &volsnap);
    fs::write(host.state().join("journal").join(format!("{}.json", app.id)), journal).unwrap();

    let waits = host.builder().recover_on_open(false).open().await.unwrap();
    assert!(waits.recovered().is_empty());
    assert_eq!(waits.status(None).await.unwrap()[0].phase, "snapshot");

    let opened = host.builder().open().await.unwrap();
    match &opened.recovered()[0].result {
        Ok(RecoveredItem::Snapshot { workload, complete: false, .. }) => assert_eq!(workload, "app"),
        other => panic!("{other:?}"),
    }
    assert!(opened.status(None).await.unwrap().is_empty());
    assert_eq!(opened.snapshots(None).await.unwrap(), [snapshot]);
}

/// The journal of a snapshot that never came to its archive, of an app that needs no waking.
fn interrupted(app: &Workload, volsnap: &Volsnap) -> Vec<u8> {
    let ports = volsnap.engine().ports();
    let quiesced = Quiesced {
        workload: app.clone(),
        host: ports.filesystem.host(),
        runtime: None,
        snapshot: SnapshotId(ports.clock.fresh_id()),
        mode: Mode::Live,
        containers: Vec::new(),
        down: Vec::new(),
        problem: None,
        at: ports.clock.now(),
    };
    Journal { body: Body::Snapshot(Box::new(quiesced)) }.encode().unwrap()
}

#[tokio::test]
async fn a_damaged_catalog_does_not_keep_a_host_from_recovering() {
    let host = Host::new();
    let volsnap = host.builder().open().await.unwrap();
    let (app, _) = host.with_snapshot(&volsnap).await;
    let journal = host.state().join("journal").join(format!("{}.json", app.id));
    fs::write(&journal, interrupted(&app, &volsnap)).unwrap();
    drop(volsnap);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(host.state().join(format!("catalog.db{suffix}"))).ok();
    }
    fs::write(host.state().join("catalog.db"), "no database at all").unwrap();

    let opened = host.builder().open().await.unwrap();
    assert!(opened.recovered()[0].result.is_ok(), "{:?}", opened.recovered());
    assert!(!journal.exists());
    assert_eq!(opened.catalog_problem().unwrap().code, Code::Corrupt);
    assert_eq!(opened.workloads().await.unwrap_err().code, Code::Corrupt);
}

#[tokio::test]
async fn a_host_brings_its_own_engine_and_store() {
    let host = Host::new();
    let engine = Arc::new(UnavailableEngine::new("the host's deployer is on holiday"));
    let volsnap = host.builder().containers(engine).open().await.unwrap();
    let selector = Selector { containers: vec!["web".into()], ..Selector::default() };
    let web = NewWorkload { name: "web".into(), selector, volumes: Vec::new() };
    let error = volsnap.add_workload(web).await.unwrap_err();
    assert_eq!(error.code, Code::Engine);
    assert!(error.message.contains("on holiday"), "{error}");

    let other = Host::new();
    let lost = StoreError::new(StoreErrorKind::Io, "the host's catalog is elsewhere");
    let volsnap = other.builder().store(Arc::new(UnavailableStore::new(lost))).open().await.unwrap();
    let error = volsnap.workloads().await.unwrap_err();
    assert!(error.message.contains("elsewhere"), "{error}");
    assert!(!other.state().join("catalog.db").exists(), "a host with a catalog of its own needs no second one");
}

#[tokio::test]
async fn a_restore_is_refused_when_the_world_is_not_the_one_that_was_shown() {
    let host = Host::new();
    let volsnap = host.builder().open().await.unwrap();
    let (app, snapshot) = host.with_snapshot(&volsnap).await;
    let mut request = RestoreRequest::of(app, snapshot);
    request.shown = Some(volsnap.plan(&request).await.unwrap());
    fs::rename(host.data(), host.dir.path().join("moved")).unwrap();
    fs::create_dir(host.data()).unwrap();
    fs::write(host.data().join("file"), "another").unwrap();
    let error = volsnap.restore(request).await.unwrap_err();
    assert_eq!(error.code, Code::Refused);
    assert_eq!(host.read(), "another");
}
