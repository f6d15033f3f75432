//! The composition root: which disks, catalog, engine and clock a [`Volsnap`] works with.

use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use volsnap_core::{
    Code, Error, Result,
    engine::{Engine, Ports},
    model::{ArchiveLimits, HostHooks},
    ports::{Commands, Containers, Quiet, Store, StoreError, StoreErrorKind, Watch},
};
use volsnap_disk::{Disk, SystemClock};
use volsnap_host::HostCommands;

use crate::{UnavailableStore, Volsnap};

/// Composes a [`Volsnap`].
#[derive(Clone)]
pub struct Builder {
    state_dir: Option<PathBuf>,
    containers: Engines,
    store: Option<Arc<dyn Store>>,
    commands: Arc<dyn Commands>,
    watch: Watch,
    jobs: Option<NonZeroUsize>,
    patience: Option<Duration>,
    limits: ArchiveLimits,
    host_hooks: HostHooks,
    timezone: TimeZone,
    recover_on_open: bool,
    replace_damaged_catalog: bool,
}

#[derive(Clone)]
enum Engines {
    Environment,
    #[cfg(feature = "docker")]
    At(String),
    None,
    Given(Arc<dyn Containers>),
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            state_dir: None,
            containers: Engines::Environment,
            store: None,
            commands: Arc::new(HostCommands),
            watch: Arc::new(Quiet),
            jobs: None,
            patience: None,
            limits: ArchiveLimits::default(),
            host_hooks: HostHooks::default(),
            timezone: TimeZone::UTC,
            recover_on_open: true,
            replace_damaged_catalog: false,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("state_dir", &self.state_dir)
            .field("recover_on_open", &self.recover_on_open)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Where archives, journals, locks and the catalog lie. Required; made (mode 0700) if it does not exist.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// Docker, found as the docker client finds it (`DOCKER_HOST`, or the default socket). This is the default where
    /// the feature `docker` is on; an engine that does not answer is no reason not to open.
    #[cfg(feature = "docker")]
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.containers = Engines::Environment;
        self
    }

    /// Docker behind that socket, `unix:///path` as `DOCKER_HOST` has it, whatever the environment says.
    #[cfg(feature = "docker")]
    #[must_use]
    pub fn docker_at(mut self, host: impl Into<String>) -> Self {
        self.containers = Engines::At(host.into());
        self
    }

    /// The host's own deployer in place of Docker. Its deploy lock is taken through
    /// [`Containers::lease`](crate::ports::Containers::lease).
    #[must_use]
    pub fn containers(mut self, containers: Arc<dyn Containers>) -> Self {
        self.containers = Engines::Given(containers);
        self
    }

    /// No container engine at all: only workloads of plain directories work, and nobody is asked who else uses them.
    #[must_use]
    pub fn without_containers(mut self) -> Self {
        self.containers = Engines::None;
        self
    }

    /// The host's own catalog in place of `catalog.db` in the state directory.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// What runs the commands of hooks on the host; [`NoCommands`](crate::ports::NoCommands) runs none. Commands in
    /// containers go through the engine.
    #[must_use]
    pub fn commands(mut self, commands: Arc<dyn Commands>) -> Self {
        self.commands = commands;
        self
    }

    /// Who hears of every operation's progress. It may also cancel: [`Observer::cancelled`](crate::ports::Observer) is asked besides
    /// the operation's own flag.
    #[must_use]
    pub fn observer(mut self, watch: Watch) -> Self {
        self.watch = watch;
        self
    }

    /// How long a workload that other work holds is waited for, in turn ([`Engine::with_patience`](volsnap_core::engine::Engine::with_patience)).
    /// Hardly at all unless said otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How many threads work on archives, over all that is at work at once ([`Disk::with_jobs`](volsnap_disk::Disk::with_jobs)).
    #[must_use]
    pub fn jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// What an archive may come to that something is taken out of, or that comes from elsewhere. No limits unless said
    /// otherwise. A recovery goes on with what was begun, whatever the limits are by then.
    #[must_use]
    pub fn archive_limits(mut self, limits: ArchiveLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Hooks of this host, which run behind those that the workloads have in the catalog. None unless said otherwise. What an
    /// operation had to run is in its journal: a recovery runs that, whatever the host's hooks are by then.
    #[must_use]
    pub fn host_hooks(mut self, hooks: HostHooks) -> Self {
        self.host_hooks = hooks;
        self
    }

    /// By whose calendar [`Volsnap::prune`] tells hours, days, weeks, months and years. UTC's unless said otherwise.
    #[must_use]
    pub fn timezone(mut self, timezone: TimeZone) -> Self {
        self.timezone = timezone;
        self
    }

    /// Whether [`Builder::open`] recovers what crashes left before it returns. True unless said otherwise; a host that
    /// says otherwise calls [`Volsnap::recover`] before it starts any container.
    #[must_use]
    pub fn recover_on_open(mut self, recover: bool) -> Self {
        self.recover_on_open = recover;
        self
    }

    /// Whether a damaged `catalog.db` is moved aside, to a name that says so, and a new one made in its place:
    /// [`Volsnap::rebuild`] then fills it from the archives. False unless said otherwise; [`Volsnap::damaged_catalog`]
    /// says where it was moved to. Nobody else should have it open.
    #[must_use]
    pub fn replace_damaged_catalog(mut self, replace: bool) -> Self {
        self.replace_damaged_catalog = replace;
        self
    }

    /// Opens the state directory and recovers.
    ///
    /// What was recovered, and what could not be, is in [`Volsnap::recovered`]. A catalog that cannot be opened does
    /// not stop this: recovery goes by the journals, and [`Volsnap::catalog_problem`] says what is wrong. An error
    /// means that the state directory itself cannot be used.
    ///
    /// Must be called within a tokio runtime with time and I/O enabled.
    pub async fn open(self) -> Result<Volsnap> {
        let Some(state_dir) = &self.state_dir else {
            return Err(Error::new(Code::Usage, "no state directory was given").hint("call Builder::state_dir"));
        };
        let state_dir = std::path::absolute(state_dir).map_err(|error| {
            Error::new(Code::Io, format!("state directory {}: {error}", state_dir.display()))
                .hint("give an absolute path")
        })?;
        // Before anything is made: neither the catalog nor a journal can hold such a path.
        if state_dir.to_str().is_none() {
            return Err(Error::new(
                Code::Usage,
                format!("the path of state directory {} is not UTF-8", state_dir.display()),
            )
            .hint("give a path that is UTF-8"));
        }
        let disk = Disk::open(&state_dir).map_err(|error| Error::from(error).context("state directory"))?;
        let disk = match self.jobs {
            Some(jobs) => disk.with_jobs(jobs),
            None => disk,
        };
        let mut damaged = None;
        let (store, problem) = match self.store {
            Some(store) => (store, None),
            None => match open_catalog(&state_dir, self.replace_damaged_catalog, &mut damaged).await {
                Ok(store) => (store, None),
                Err(error) => {
                    let store: Arc<dyn Store> = Arc::new(UnavailableStore::new(error.clone()));
                    (store, Some(Error::from(error)))
                }
            },
        };
        let disk = Arc::new(disk);
        let ports = Ports {
            store,
            containers: match self.containers {
                Engines::Environment => environment(),
                #[cfg(feature = "docker")]
                Engines::At(host) => Some(docker(volsnap_docker::DockerEngine::at_host(&host))),
                Engines::None => None,
                Engines::Given(containers) => Some(containers),
            },
            filesystem: disk.clone(),
            archives: disk.clone(),
            journals: disk,
            commands: self.commands,
            clock: Arc::new(SystemClock::new()),
        };
        let engine = Engine::new(ports).with_limits(self.limits).with_host_hooks(self.host_hooks);
        let mut engine = engine.with_timezone(self.timezone);
        if let Some(patience) = self.patience {
            engine = engine.with_patience(patience);
        }
        let mut volsnap = Volsnap::compose(engine, self.watch, problem);
        volsnap.remember_damaged_catalog(damaged);
        if self.recover_on_open {
            let recovered = volsnap.recover(None).await?;
            volsnap.remember(recovered);
            crate::volsnap::sweep_drafts_first(volsnap.engine(), None).await;
        }
        Ok(volsnap)
    }
}

/// Opens the catalog; one that is damaged is moved to `damaged` if that was asked for, and a new one takes its place.
#[cfg(feature = "sqlite")]
async fn open_catalog(
    state_dir: &Path,
    replace: bool,
    damaged: &mut Option<PathBuf>,
) -> Result<Arc<dyn Store>, StoreError> {
    let path = state_dir.join("catalog.db");
    let opened = match volsnap_sqlite::SqliteStore::open(&path).await {
        Err(error) if replace && error.kind == StoreErrorKind::Corrupt => {
            *damaged = volsnap_sqlite::SqliteStore::set_aside(&path).await?;
            volsnap_sqlite::SqliteStore::open(&path).await
        }
        opened => opened,
    };
    match opened {
        Ok(store) => Ok(Arc::new(store)),
        // SQLite says only that it is unable to open a file.
        Err(error) if error.kind == StoreErrorKind::Io && [state_dir, &path].into_iter().any(Disk::is_denied) => {
            Err(StoreError { kind: StoreErrorKind::Denied, ..error })
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(feature = "sqlite"))]
async fn open_catalog(_: &Path, _: bool, _: &mut Option<PathBuf>) -> Result<Arc<dyn Store>, StoreError> {
    Err(StoreError::new(StoreErrorKind::Io, "none was given, and this build has none of its own (feature `sqlite`)"))
}

/// A socket that is no usable engine's is told by the first workload that needs one.
#[cfg(feature = "docker")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is none")]
fn environment() -> Option<Arc<dyn Containers>> {
    Some(docker(volsnap_docker::DockerEngine::from_env()))
}

#[cfg(feature = "docker")]
fn docker(
    engine: std::result::Result<volsnap_docker::DockerEngine, volsnap_core::ports::EngineError>,
) -> Arc<dyn Containers> {
    match engine {
        Ok(docker) => Arc::new(docker),
        Err(error) => Arc::new(crate::UnavailableEngine::new(error.message)),
    }
}

#[cfg(not(feature = "docker"))]
fn environment() -> Option<Arc<dyn Containers>> {
    None
}
