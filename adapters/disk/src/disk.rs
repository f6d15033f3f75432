//! The disks of this host, with the state directory among them.

mod archives;
mod filesystem;
mod held;
mod journals;

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use volsnap_core::ports::{FsError, FsErrorKind, FsOp, Lease, Watch};

use self::held::{Leases, under};
use crate::{
    blocking::{blocking, watched},
    budget::{Budget, Jobs},
    journal::{self, Journals},
    locate,
    state::{self, State},
};

/// The [`Filesystem`](volsnap_core::ports::Filesystem), the [`Archives`](volsnap_core::ports::Archives) and the
/// [`Journals`](volsnap_core::ports::Journals) of this host.
///
/// Every call runs on a thread that may block and comes to its end there also if its future is dropped; what it goes on
/// under ([`Filesystem::under`](volsnap_core::ports::Filesystem::under)) lasts until then.
#[derive(Clone, Debug)]
pub struct Disk {
    state: State,
    budget: Budget,
    /// What its calls have of the budget, where that is reserved; without it each takes some for itself.
    share: Option<Jobs>,
    held: Leases,
}

/// Threads for one archive if nobody says how many: with more than these its memory passes 128 MiB.
const JOBS_USUAL: usize = 4;

impl Disk {
    /// Threads for one archive at the most: a host does not give any number of them.
    pub const JOBS_MAX: usize = 256;

    /// Opens the state directory at an absolute path; makes it, only for its owner's eyes, if it is not there. Blocks
    /// for a few system calls.
    pub fn open(state_dir: &Path) -> Result<Disk, FsError> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from).min(JOBS_USUAL);
        let state = State::open(state_dir)?;
        Ok(Disk { state, budget: Budget::of(jobs), share: None, held: Leases::default() })
    }

    /// How many threads compress or decompress archives, and how many make files meanwhile; each takes some 25 MiB. All
    /// that is at work at once on this disk and its clones shares them: one operation has them alone, and of several each
    /// has at least one or waits its turn. As many as there are processors, at most four, unless said otherwise; never more
    /// than [`Disk::JOBS_MAX`].
    #[must_use]
    pub fn with_jobs(mut self, jobs: NonZeroUsize) -> Disk {
        self.budget = Budget::of(jobs.get().min(Self::JOBS_MAX));
        self
    }

    /// Whether this process may not read and write what is there, for others whose errors do not tell. Blocks.
    #[must_use]
    pub fn is_denied(path: &Path) -> bool {
        locate::is_denied(path)
    }

    /// The bytes of all records of restores in a state directory, for whoever only looks, such as a shell that completes a
    /// word: nothing is opened, made durable or locked, and what cannot be read is left out. Blocks.
    #[must_use]
    pub fn peek_records(state_dir: &Path) -> Vec<Vec<u8>> {
        journal::peek_records(&state::journals_in(state_dir))
    }

    /// Runs a call on a thread that may block, and holds what it goes on under until it has ended.
    async fn run<T: Send + 'static>(
        &self,
        op: FsOp,
        path: &Path,
        work: impl FnOnce(&Path) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let (held, owned) = (self.held.clone(), path.to_path_buf());
        blocking(op, path, move || under(held, || work(&owned))).await
    }

    /// The same for long work, which ends early when nobody waits for it any more.
    async fn run_watched<T: Send + 'static>(
        &self,
        op: FsOp,
        path: &Path,
        watch: Watch,
        work: impl FnOnce(&Path, &Watch) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let (held, owned) = (self.held.clone(), path.to_path_buf());
        watched(op, path, watch, move |watch| under(held, || work(&owned, watch))).await
    }

    /// The same for work on an archive, with the threads that it gets for that.
    async fn run_shared<T: Send + 'static>(
        &self,
        op: FsOp,
        path: &Path,
        watch: Watch,
        work: impl FnOnce(&Path, Jobs, &Watch) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let jobs = self.jobs(op, path, &watch).await?;
        self.run_watched(op, path, watch, move |path, watch| work(path, jobs, watch)).await
    }

    /// Threads for one call: those that are reserved, or as many as are free.
    async fn jobs(&self, op: FsOp, path: &Path, watch: &Watch) -> Result<Jobs, FsError> {
        let jobs = match &self.share {
            Some(share) => Some(share.clone()),
            None => self.budget.take(watch).await,
        };
        let message = "asked to end while other work had all threads";
        jobs.ok_or_else(|| FsError::new(FsErrorKind::Cancelled, op, path, message))
    }

    /// The same disk, whose calls go on under a lease as well.
    fn held_under(&self, lease: Arc<dyn Lease>) -> Disk {
        Disk { held: self.held.and(lease), ..self.clone() }
    }

    async fn with_journals<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journals) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        self.run(FsOp::Journal, &self.state.journals(), |dir| work(&Journals::open(dir)?)).await
    }
}
