//! A host with a deployer of its own in place of Docker: it lends its deploy lock, is asked to stop and to bring back, and
//! a restore that finds a deployment under way is refused as busy.
//!
//! Run it with `cargo run --package volsnap --example deployer`.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use volsnap::{
    Code, NewWorkload, RestoreRequest, SnapshotRequest, Volsnap,
    model::{
        Container, ContainerId, Losses, Mount, Particulars, Pinned, Redeploy, RestartPolicy, RestoreId, RunState,
        Selector, WorkloadId,
    },
    ports::{
        Boot, BootCheck, Command, Containers, EngineError, EngineErrorKind, EngineInfo, Health, HealthState, Lease,
        Ran, Watch,
    },
    restore::{Options, Outcome, Refusal},
};

type Result<T> = std::result::Result<T, EngineError>;

/// The host's deployer. Here it deploys one app, and all that it knows of it is in memory; yours asks its own records.
#[derive(Clone)]
struct Deployer {
    data: PathBuf,
    state: Arc<Mutex<RunState>>,
    deploying: Arc<Mutex<bool>>,
}

impl Deployer {
    fn state(&self) -> MutexGuard<'_, RunState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, what: &str, state: RunState) {
        println!("  deployer: {what}");
        *self.state() = state;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.deploying.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn app(&self) -> Container {
        Container {
            id: ContainerId("guestbook".into()),
            name: "guestbook".into(),
            project: None,
            service: None,
            image: "guestbook:7".into(),
            image_id: "sha256:0".into(),
            run: *self.state(),
            // This deployer starts nothing by itself. One that does says so here, and heeds `set_restart_policy`.
            restart_policy: RestartPolicy::never(),
            mounts: vec![Mount {
                target: "/data".into(),
                source: self.data.clone(),
                volume: None,
                writable: true,
                unsupported: None,
            }],
            depends_on: Vec::new(),
            stop_timeout: None,
            particulars: Particulars::default(),
            // Whatever `redeploy` needs to make it anew, also after a crash: it is written into the journal.
            spec: serde_json::json!({ "revision": 7 }),
        }
    }
}

/// The deploy lock, for as long as volsnap works on the workload.
struct Deploying(Deployer);

impl Lease for Deploying {}

impl Drop for Deploying {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

#[async_trait]
impl Containers for Deployer {
    async fn is_expected(&self) -> bool {
        true
    }

    /// By what people work it, for hints.
    fn command(&self) -> &'static str {
        "deployer"
    }

    /// It is asked over HTTP.
    fn health_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn all(&self) -> Result<Vec<Container>> {
        Ok(vec![self.app()])
    }

    async fn exec(&self, container: &str, _: &Command, _: &Watch) -> Result<Ran> {
        let why = format!("this deployer runs no commands in {container}");
        Err(EngineError::new(EngineErrorKind::Unsupported, why))
    }

    async fn check_boot(&self, _: &[Boot]) -> Result<BootCheck> {
        let refusal = Refusal::new("this deployer starts no copies of an app", "drill without --boot");
        Ok(BootCheck { refusals: vec![refusal], warnings: Vec::new() })
    }

    async fn boot(&self, _: RestoreId, _: &[Boot]) -> Result<()> {
        Err(EngineError::new(EngineErrorKind::Unsupported, "this deployer starts no copies of an app"))
    }

    async fn unboot(&self, _: RestoreId) -> Result<()> {
        // What it never starts never stands.
        Ok(())
    }

    async fn info(&self) -> Result<EngineInfo> {
        Ok(EngineInfo {
            version: "our deployer 1".into(),
            id: None,
            root: None,
            live_restore: None,
            fixed_policies: false,
        })
    }

    async fn lease(&self, _: WorkloadId) -> Result<Box<dyn Lease>> {
        let mut deploying = self.lock();
        if *deploying {
            return Err(EngineError::new(EngineErrorKind::Conflict, "a deployment of guestbook is under way"));
        }
        *deploying = true;
        Ok(Box::new(Deploying(self.clone())))
    }

    async fn find(&self, selector: &Selector) -> Result<Vec<Container>> {
        Ok([self.app()].into_iter().filter(|app| selector.containers.contains(&app.name)).collect())
    }

    async fn mounting(&self, paths: &[PathBuf]) -> Result<Vec<Container>> {
        let touches = |path: &PathBuf| self.data.starts_with(path) || path.starts_with(&self.data);
        Ok(if paths.iter().any(touches) { vec![self.app()] } else { Vec::new() })
    }

    async fn of_restore(&self, _: RestoreId) -> Result<Vec<Container>> {
        // It makes no second container under a passing name.
        Ok(Vec::new())
    }

    async fn losses(&self, _: &ContainerId) -> Result<Losses> {
        // It keeps nothing in the container: whatever is in there is of the revision.
        Ok(Losses::default())
    }

    async fn has_image(&self, _: &str) -> Result<bool> {
        Ok(true)
    }

    async fn settle(&self) -> Result<()> {
        Ok(())
    }

    async fn pause(&self, _: &[ContainerId]) -> Result<()> {
        self.set("frozen for a snapshot", RunState::Paused);
        Ok(())
    }

    async fn unpause(&self, _: &[ContainerId]) -> Result<()> {
        self.set("awake", RunState::Running);
        Ok(())
    }

    async fn set_restart_policy(&self, _: &ContainerId, _: &RestartPolicy) -> Result<()> {
        Ok(())
    }

    async fn stop(&self, _: &[ContainerId]) -> Result<()> {
        self.set("stopped for the switch", RunState::Stopped);
        Ok(())
    }

    async fn prepare(&self, _: RestoreId, _: &Container) -> Result<()> {
        Ok(())
    }

    async fn redeploy(&self, _: RestoreId, pinned: &[Pinned], _: Redeploy) -> Result<()> {
        // What ran runs again, and what was stopped stays so. It may be asked twice, also after a crash.
        for app in pinned.iter().filter(|app| app.member && app.was_active()) {
            let spec = &app.container.spec;
            self.set(
                &format!("{} deployed again at revision {}", app.container.name, spec["revision"]),
                RunState::Running,
            );
        }
        Ok(())
    }

    async fn discard(&self, _: RestoreId) -> Result<()> {
        Ok(())
    }

    async fn health(&self, names: &[String]) -> Result<Vec<Health>> {
        let state = if *self.state() == RunState::Running { HealthState::Healthy } else { HealthState::Down };
        let detail = "asked over HTTP".to_string();
        let health =
            |name: &String| Health { name: name.clone(), state, run: None, exit_code: None, detail: detail.clone() };
        Ok(names.iter().map(health).collect())
    }
}

/// The whole of it.
#[tokio::main]
pub async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    fs::create_dir(&data)?;
    fs::write(data.join("guests"), "as it was")?;

    let state = Arc::new(Mutex::new(RunState::Running));
    let deployer = Deployer { data: data.clone(), state, deploying: Arc::default() };
    let builder = Volsnap::builder().state_dir(scratch.path().join("state"));
    let volsnap = builder.containers(Arc::new(deployer.clone())).open().await?;

    let selector = Selector { containers: vec!["guestbook".into()], ..Selector::default() };
    let app = volsnap.add_workload(NewWorkload { name: "guestbook".into(), selector, volumes: Vec::new() }).await?;
    println!("create");
    let taken = volsnap.create(SnapshotRequest::of(app.clone())).await?;
    damage(&data)?;

    println!("restore");
    // With `Redeploy::Recreate` a replacement would be prepared while the app still runs, and this deployer makes none.
    let health_timeout = Some(Duration::from_secs(30));
    let options = Options { health_timeout, ..Options::default() };
    let request = RestoreRequest { options, ..RestoreRequest::of(app.clone(), taken.snapshot.clone()) };
    let report = volsnap.restore(request).await?;
    assert_eq!((report.outcome, report.code()), (Outcome::Restored, None), "{:?}", report.cause);
    println!("  {:?}: {:?}", report.outcome, fs::read_to_string(data.join("guests"))?);

    println!("restore while the host deploys");
    let deployment = deployer.lease(app.id).await?;
    let error = volsnap.restore(RestoreRequest::of(app, taken.snapshot)).await.err().ok_or("it was not refused")?;
    assert_eq!(error.code, Code::Busy);
    println!("  refused: {error}");
    drop(deployment);

    assert_eq!(fs::read_to_string(data.join("guests"))?, "as it was");
    assert_eq!(*deployer.state(), RunState::Running);
    Ok(())
}

fn damage(data: &Path) -> std::io::Result<()> {
    fs::write(data.join("guests"), "a bad migration")
}
