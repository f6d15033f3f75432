//! The composition root: which disks, catalog, engine and clock a [`Volsnap`] works with.

use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::{
    Code, Error, Result,
    engine::{Engine, Ports},
    ports::{Commands, Containers, Quiet, Store, StoreError, Watch},
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
    recover_on_open: bool,
}

#[derive(Clone)]
enum Engines {
    Environment,
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
            recover_on_open: true,
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

    /// How many threads work on an archive ([`Disk::with_jobs`](volsnap_disk::Disk::with_jobs)).
    #[must_use]
    pub fn jobs(mut self, jobs: NonZeroUsize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// Whether [`Builder::open`] recovers what crashes left before it returns. True unless said otherwise; a host that
    /// says otherwise calls [`Volsnap::recover`] before it starts any container.
    #[must_use]
    pub fn recover_on_open(mut self, recover: bool) -> Self {
        self.recover_on_open = recover;
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
        let state_dir = std::path::absolute(state_dir)
            .map_err(|error| Error::new(Code::Io, format!("state directory {}: {error}", state_dir.display())))?;
        let disk = Disk::open(&state_dir).map_err(|error| Error::from(error).context("state directory"))?;
        let disk = match self.jobs {
            Some(jobs) => disk.with_jobs(jobs),
            None => disk,
        };
        let (store, problem) = match self.store {
            Some(store) => (store, None),
            None => match open_catalog(&state_dir).await {
                Ok(store) => (store, None),
                Err(error) => {
                    let store: Arc<dyn Store> = Arc::new(UnavailableStore::new(error.clone()));
                    (store, Some(Error::from(error)))
                }
            },
        };
        let ports = Ports {
            store,
            containers: match self.containers {
                Engines::Environment => environment(),
                Engines::None => None,
                Engines::Given(containers) => Some(containers),
            },
            filesystem: Arc::new(disk),
            commands: self.commands,
            clock: Arc::new(SystemClock::new()),
        };
        let mut volsnap = Volsnap::compose(Engine::new(ports), self.watch, problem);
        if self.recover_on_open {
            let recovered = volsnap.recover(None).await?;
            volsnap.remember(recovered);
        }
        Ok(volsnap)
    }
}

#[cfg(feature = "sqlite")]
async fn open_catalog(state_dir: &Path) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(volsnap_sqlite::SqliteStore::open(&state_dir.join("catalog.db")).await?))
}

#[cfg(not(feature = "sqlite"))]
async fn open_catalog(_: &Path) -> Result<Arc<dyn Store>, StoreError> {
    use volsnap_core::ports::StoreErrorKind;
    Err(StoreError::new(StoreErrorKind::Io, "none was given, and this build has none of its own (feature `sqlite`)"))
}

/// An environment that names no usable engine is told by the first workload that needs one.
#[cfg(feature = "docker")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature there is none")]
fn environment() -> Option<Arc<dyn Containers>> {
    match volsnap_docker::DockerEngine::from_env() {
        Ok(docker) => Some(Arc::new(docker)),
        Err(error) => Some(Arc::new(crate::UnavailableEngine::new(error.message))),
    }
}

#[cfg(not(feature = "docker"))]
fn environment() -> Option<Arc<dyn Containers>> {
    None
}
