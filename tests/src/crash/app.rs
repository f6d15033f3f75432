//! A container engine with one app, which works in its volumes as long as it runs: its last writes come just before it is
//! frozen, and its next ones just after.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use volsnap_core::{
    model::{
        ARCHIVE_FORMAT, Container, ContainerId, Losses, Manifest, ManifestVolume, Mode, Mount, Origin, Particulars,
        Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector, SnapshotId, Source, WorkloadId,
    },
    ports::{
        ArchiveSource, Archives, Boot, BootCheck, Clock, Command, Containers, EngineError, EngineErrorKind, EngineInfo,
        Health, Lease, Quiet, Ran, Watch,
    },
    restore::Refusal,
};
use volsnap_disk::{Disk, SystemClock};

/// The engine; clones share the app.
#[derive(Clone)]
pub struct OneApp {
    lives: Vec<PathBuf>,
    run: Arc<Mutex<RunState>>,
    /// Called when the app has just been frozen.
    frozen: Arc<dyn Fn() + Send + Sync>,
}

/// The app's name, and its container's id.
pub const NAME: &str = "app";

struct Nothing;

impl Lease for Nothing {}

impl OneApp {
    /// Runs, on these volumes.
    pub fn running(lives: &[PathBuf], frozen: impl Fn() + Send + Sync + 'static) -> Self {
        OneApp { lives: lives.to_vec(), run: Arc::new(Mutex::new(RunState::Running)), frozen: Arc::new(frozen) }
    }

    /// Whether it runs.
    pub fn state(&self) -> RunState {
        *self.locked()
    }

    fn locked(&self) -> MutexGuard<'_, RunState> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> Container {
        let mount = |(index, live): (usize, &PathBuf)| Mount {
            target: format!("/v{index}"),
            source: live.clone(),
            volume: None,
            writable: true,
            unsupported: None,
        };
        Container {
            id: ContainerId(NAME.into()),
            name: NAME.into(),
            project: None,
            service: None,
            image: "image".into(),
            image_id: "sha256:image".into(),
            run: self.state(),
            restart_policy: RestartPolicy { name: "always".into(), retries_max: 0 },
            stop_timeout: None,
            particulars: Particulars::default(),
            mounts: self.lives.iter().enumerate().map(mount).collect(),
            depends_on: Vec::new(),
            spec: Value::Null,
        }
    }

    /// One round of work in each volume.
    fn work(&self, mark: &str) {
        for live in &self.lives {
            work(live, mark).expect("the app can write");
        }
    }
}

/// One round of work in one volume: a part of `large` is written over where it stands, `replaced` is another file of that
/// name, a file is made, and `file-3` is removed if it is there.
///
/// # Errors
/// If something cannot be written.
pub fn work(live: &Path, mark: &str) -> std::io::Result<()> {
    let large = fs::File::options().write(true).open(live.join("large"))?;
    large.write_all_at(mark.as_bytes(), 9000)?;
    fs::write(live.join("replaced.new"), mark)?;
    fs::rename(live.join("replaced.new"), live.join("replaced"))?;
    fs::write(live.join("sub").join(format!("made-{mark}")), mark)?;
    let removed = fs::remove_file(live.join("file-3"));
    removed.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// What a plain archive of these volumes has as their digests. It is made elsewhere, and gone again.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn digests(lives: &[PathBuf]) -> Vec<String> {
    let (dir, lives) = (tempfile::tempdir().expect("a directory"), lives.to_vec());
    // Not on the thread that waits in the call to the engine.
    let archive = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let disk = Disk::open(&dir.path().join("state")).expect("a state directory");
            let clock = SystemClock::new();
            let target = |index| format!("/v{index}");
            let manifest = Manifest {
                format: ARCHIVE_FORMAT,
                snapshot: SnapshotId(clock.fresh_id()),
                workload: WorkloadId(clock.fresh_id()),
                workload_name: "shop".into(),
                source: Source::Image,
                created_at: clock.now(),
                mode: Mode::Live,
                origin: Origin::Manual,
                note: None,
                images: Vec::new(),
                imported: None,
                sequence: None,
                registration: None,
                volumes: (0..lives.len())
                    .map(|i| ManifestVolume { target: target(i), absent: false, ..ManifestVolume::default() })
                    .collect(),
            };
            let source = |(i, live)| ArchiveSource { target: target(i), root: Some(live) };
            let sources: Vec<_> = lives.into_iter().enumerate().map(source).collect();
            let draft = disk.draft_archive(&manifest, &sources, Arc::new(Quiet)).await.expect("a plain archive");
            let summary = draft.seal(0).await.expect("a plain archive");
            summary.totals.into_iter().map(|totals| totals.digest).collect()
        })
    };
    std::thread::spawn(archive).join().expect("an archive")
}

#[async_trait]
impl Containers for OneApp {
    async fn is_expected(&self) -> bool {
        true
    }

    fn command(&self) -> &'static str {
        "docker"
    }

    fn health_interval(&self) -> Duration {
        Duration::from_millis(1)
    }

    async fn all(&self) -> Result<Vec<Container>, EngineError> {
        Ok(vec![self.seen()])
    }

    async fn exec(&self, container: &str, _: &Command, _: &Watch) -> Result<Ran, EngineError> {
        let why = format!("this deployer runs no commands in {container}");
        Err(EngineError::new(EngineErrorKind::Unsupported, why))
    }

    async fn check_boot(&self, _: &[Boot]) -> Result<BootCheck, EngineError> {
        let refusal = Refusal::new("this deployer starts no copies of an app", "drill without --boot");
        Ok(BootCheck { refusals: vec![refusal], warnings: Vec::new() })
    }

    async fn boot(&self, _: RestoreId, _: &[Boot]) -> Result<(), EngineError> {
        Err(EngineError::new(EngineErrorKind::Unsupported, "this deployer starts no copies of an app"))
    }

    async fn unboot(&self, _: RestoreId) -> Result<(), EngineError> {
        // What it never starts never stands.
        Ok(())
    }

    async fn info(&self) -> Result<EngineInfo, EngineError> {
        Ok(EngineInfo { version: "one app".into(), id: None, root: None, live_restore: None, fixed_policies: false })
    }

    async fn lease(&self, _: WorkloadId) -> Result<Box<dyn Lease>, EngineError> {
        Ok(Box::new(Nothing))
    }

    async fn find(&self, _: &Selector) -> Result<Vec<Container>, EngineError> {
        Ok(vec![self.seen()])
    }

    async fn mounting(&self, _: &[PathBuf]) -> Result<Vec<Container>, EngineError> {
        Ok(vec![self.seen()])
    }

    async fn of_restore(&self, _: RestoreId) -> Result<Vec<Container>, EngineError> {
        Ok(Vec::new())
    }

    async fn losses(&self, _: &ContainerId) -> Result<Losses, EngineError> {
        Ok(Losses::default())
    }

    async fn has_image(&self, _: &str) -> Result<bool, EngineError> {
        Ok(true)
    }

    async fn settle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn pause(&self, _: &[ContainerId]) -> Result<(), EngineError> {
        self.work("just before");
        *self.locked() = RunState::Paused;
        (self.frozen)();
        Ok(())
    }

    async fn unpause(&self, _: &[ContainerId]) -> Result<(), EngineError> {
        let was_frozen = *self.locked() == RunState::Paused;
        if was_frozen {
            *self.locked() = RunState::Running;
            self.work("just after");
        }
        Ok(())
    }

    async fn set_restart_policy(&self, _: &ContainerId, _: &RestartPolicy) -> Result<(), EngineError> {
        Ok(())
    }

    async fn stop(&self, _: &[ContainerId]) -> Result<(), EngineError> {
        *self.locked() = RunState::Stopped;
        Ok(())
    }

    async fn prepare(&self, _: RestoreId, _: &Container) -> Result<(), EngineError> {
        Ok(())
    }

    async fn redeploy(&self, _: RestoreId, _: &[Pinned], _: Redeploy) -> Result<(), EngineError> {
        *self.locked() = RunState::Running;
        Ok(())
    }

    async fn discard(&self, _: RestoreId) -> Result<(), EngineError> {
        Ok(())
    }

    async fn health(&self, _: &[String]) -> Result<Vec<Health>, EngineError> {
        Ok(Vec::new())
    }
}
