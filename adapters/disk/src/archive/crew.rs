//! Threads that make files while the archive is read on.
//!
//! The reader decides what is made and where; these threads only do it, each thing through a descriptor that the reader
//! opened. A directory or a file gets its attributes from whoever lets go of it last, as nothing is changed in it any more.

use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use volsnap_core::ports::{FsError, FsErrorKind};

use super::{
    behind::WriteBehind,
    earlier::{patch, write_at},
    extract::dress,
    member::{Kind, Member},
    pipeline::next,
    stream::Piece,
    xattr::Place,
};
use crate::{
    budget::{Jobs, Seat},
    flags::Giving,
    tree::Trouble,
};

/// Tasks are handed over in batches: at most so many, of at most so many bytes.
const BATCH_TASKS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// A directory in which files are being made.
pub(super) struct Dir {
    pub(super) fd: OwnedFd,
    pub(super) member: Member,
}

/// A file that is being written.
pub(super) struct Open {
    pub(super) file: OwnedFd,
    pub(super) member: Member,
    /// Whether it holds something already, which is compared before it is written.
    pub(super) adopted: bool,
}

/// Something to do.
pub(super) enum Task {
    /// Make a file with all its contents.
    Make { dir: Arc<Dir>, name: CString, member: Member, pieces: Vec<(u64, Piece)> },
    /// Write some of a file's contents.
    Write { file: Arc<Open>, offset: u64, piece: Piece },
}

/// The threads. When it is dropped, they have ended.
pub(super) struct Crew {
    queue: Option<SyncSender<(u64, Vec<Task>)>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Tasks that are not handed over yet, and their bytes.
    pending: Vec<Task>,
    pending_bytes: usize,
    /// Batches handed over.
    batches: u64,
}

struct Shared {
    state: Mutex<State>,
    done: Condvar,
    behind: WriteBehind,
    giving: Arc<Giving>,
    trouble: Trouble,
}

#[derive(Default)]
struct State {
    /// Batches handed over and not done.
    under_way: usize,
    /// The failure of the earliest batch, whichever thread came to its own first.
    failed: Option<(u64, FsError)>,
}

impl Crew {
    /// As many threads as there are, and what is written is told to `behind`.
    pub(super) fn start(
        jobs: &Jobs,
        behind: WriteBehind,
        giving: Arc<Giving>,
        trouble: &Trouble,
    ) -> Result<Self, FsError> {
        let (queue, tasks) = sync_channel::<(u64, Vec<Task>)>(1);
        let tasks = Arc::new(Mutex::new(tasks));
        let (state, done) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, done, behind, giving, trouble: trouble.clone() });
        let mut crew =
            Crew { queue: Some(queue), workers: Vec::new(), shared, pending: Vec::new(), pending_bytes: 0, batches: 0 };
        for seat in jobs.seats() {
            let (shared, tasks) = (Arc::clone(&crew.shared), Arc::clone(&tasks));
            let worker = std::thread::Builder::new().spawn(move || shared.work(&tasks, &seat));
            crew.workers.push(worker.map_err(|e| super::compress::io_error(trouble, "start a thread for", &e))?);
        }
        Ok(crew)
    }

    /// Hands over a task, waiting while too much is under way.
    ///
    /// # Errors
    /// What an earlier task gave.
    pub(super) fn push(&mut self, task: Task) -> Result<(), FsError> {
        self.pending_bytes += task.bytes();
        self.pending.push(task);
        match self.pending.len() >= BATCH_TASKS || self.pending_bytes >= BATCH_BYTES {
            true => self.hand_over(),
            false => Ok(()),
        }
    }

    /// Waits until everything that was handed over is done.
    ///
    /// # Errors
    /// What a task gave.
    pub(super) fn drain(&mut self) -> Result<(), FsError> {
        self.hand_over()?;
        let mut state = self.shared.state();
        while state.under_way > 0 {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.failure()
    }

    fn hand_over(&mut self) -> Result<(), FsError> {
        self.shared.state().failure()?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.shared.state().under_way += 1;
        self.batches += 1;
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send((self.batches, batch)).is_ok());
        match sent {
            true => Ok(()),
            false => Err(self.shared.trouble.of(FsErrorKind::Io, "the threads that make files died")),
        }
    }

    /// Waits for everything, and ends the threads.
    ///
    /// # Errors
    /// What a task gave; `SyncFailed` if something could not be written to the disk.
    pub(super) fn end(&mut self) -> Result<(), FsError> {
        self.drain()?;
        self.dismiss();
        match Arc::get_mut(&mut self.shared) {
            Some(shared) => shared.behind.end().map_err(|e| shared.trouble.sync("the staged tree", e)),
            None => Err(self.shared.trouble.of(FsErrorKind::Io, "a thread that makes files did not end")),
        }
    }

    fn dismiss(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            // One that panicked has told so as the failure of its batch.
            let _ = worker.join();
        }
    }

    /// Lets go of a directory.
    pub(super) fn leave(&self, dir: Arc<Dir>) -> Result<(), FsError> {
        leave(dir, &self.shared.giving, &self.shared.trouble)
    }

    /// Lets go of a file.
    pub(super) fn complete(&self, file: Arc<Open>) -> Result<(), FsError> {
        complete(file, &self.shared.giving, &self.shared.trouble)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            // Given up: what waits is not made any more.
            let given_up = self.shared.trouble.of(FsErrorKind::Io, "given up");
            self.shared.state().failed.get_or_insert((0, given_up));
        }
        self.dismiss();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, tasks: &Mutex<Receiver<(u64, Vec<Task>)>>, seat: &Seat) {
        while let Some((number, batch)) = next(tasks, seat) {
            let ended = Ended { shared: self, number };
            let result = batch.into_iter().try_for_each(|task| self.run(task));
            ended.with(result);
        }
    }

    fn run(&self, task: Task) -> Result<(), FsError> {
        if self.state().failed.is_some() {
            return Ok(());
        }
        let bytes = task.bytes();
        match task {
            Task::Make { dir, name, member, pieces } => {
                make(&dir, &name, member, &pieces, &self.giving, &self.trouble)?;
                leave(dir, &self.giving, &self.trouble)?;
            }
            Task::Write { file, offset, piece } => {
                // A disk that does not give back what it took a while ago is none to go on with: that is an error, too.
                let (write, doing) =
                    if file.adopted { (patch as Write, "compare") } else { (write_at as Write, "write") };
                let written = write(&file.file, offset, &piece);
                written.map_err(|e| self.trouble.entry(&file.member.path, doing, e))?;
                complete(file, &self.giving, &self.trouble)?;
            }
        }
        self.behind.wrote(bytes as u64);
        Ok(())
    }
}

type Write = fn(&OwnedFd, u64, &[u8]) -> Result<(), Errno>;

impl State {
    fn failure(&self) -> Result<(), FsError> {
        self.failed.as_ref().map_or(Ok(()), |(_, error)| Err(error.clone()))
    }
}

/// Counts a batch as done, also when its thread panics: nobody waits for it for ever.
struct Ended<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Ended<'_> {
    fn with(self, result: Result<(), FsError>) {
        self.record(result.err());
        std::mem::forget(self);
    }

    fn record(&self, error: Option<FsError>) {
        let mut state = self.shared.state();
        if let Some(error) = error
            && state.failed.as_ref().is_none_or(|(earliest, _)| self.number < *earliest)
        {
            state.failed = Some((self.number, error));
        }
        state.under_way -= 1;
        self.shared.done.notify_all();
    }
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.record(Some(
            self.shared.trouble.of(FsErrorKind::Io, "a fault of volsnap: a thread that makes files died"),
        ));
    }
}

impl Task {
    fn bytes(&self) -> usize {
        match self {
            Task::Make { pieces, .. } => pieces.iter().map(|(_, piece)| piece.len()).sum(),
            Task::Write { piece, .. } => piece.len(),
        }
    }
}

/// Makes a file with its contents and lets go of it. It gets its mode at once where the process's mask allows it: within the
/// private directory nobody else reaches it.
fn make(
    dir: &Dir,
    name: &CString,
    member: Member,
    pieces: &[(u64, Piece)],
    giving: &Giving,
    trouble: &Trouble,
) -> Result<(), FsError> {
    let file = create(dir.fd.as_fd(), name, member.mode).map_err(|error| not_made(&member, error, trouble))?;
    giving.early(&file, member.flags, dir.member.flags, &member.path);
    for (offset, piece) in pieces {
        write_at(&file, *offset, piece).map_err(|e| trouble.entry(&member.path, "write", e))?;
    }
    finish(&Open { file, member, adopted: false }, giving, trouble)
}

/// Makes an empty file for writing.
pub(super) fn create(dir: impl AsFd, name: &CString, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode & 0o777))
}

/// Why a member could not be made.
pub(super) fn not_made(member: &Member, error: Errno, trouble: &Trouble) -> FsError {
    match error {
        // In a directory that is made here and private, only another member can have taken the name.
        Errno::EXIST => trouble.hostile(&member.path, "comes twice"),
        _ => trouble.entry(&member.path, "make", error),
    }
}

fn leave(dir: Arc<Dir>, giving: &Giving, trouble: &Trouble) -> Result<(), FsError> {
    match Arc::into_inner(dir) {
        Some(dir) => dress(Place::Open(dir.fd.as_fd()), &dir.member, giving, trouble),
        None => Ok(()),
    }
}

fn complete(file: Arc<Open>, giving: &Giving, trouble: &Trouble) -> Result<(), FsError> {
    match Arc::into_inner(file) {
        Some(file) => finish(&file, giving, trouble),
        None => Ok(()),
    }
}

/// Gives a file whose contents are written its size and attributes.
fn finish(open: &Open, giving: &Giving, trouble: &Trouble) -> Result<(), FsError> {
    let Open { file, member, adopted } = open;
    if let Kind::File { size, holes } = &member.kind
        && (*adopted || !holes.is_empty())
    {
        // A hole at the end has not made the file longer yet, and an earlier file may be longer than it should be.
        rustix::fs::ftruncate(file, *size).map_err(|e| trouble.entry(&member.path, "write", e))?;
    }
    dress(Place::Open(file.as_fd()), member, giving, trouble)
}
