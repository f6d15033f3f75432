//! Members of a tree, some at a time: a thread reads ahead, and waits for whoever takes them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use volsnap_core::{
    model::Member,
    ports::{Found, FsError, FsErrorKind, FsOp, Members, MembersOf, Observer, Place, Progress, Tree, Watch},
};

use crate::{archive, budget::Jobs, state::State};

/// Members handed over at a time, if they do not have [`BATCH_BYTES`] before.
const BATCH_MEMBERS: usize = 256;
/// What attributes may make of a few members.
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that wait for the taker.
const BATCHES_AHEAD: usize = 2;

/// Starts to read; with `jobs` the contents of what is archived, too.
pub(crate) fn members(state: &State, of: &MembersOf, jobs: Option<Jobs>, watch: Watch) -> Box<dyn Members> {
    let path = match &of.tree {
        Tree::Archived(archive, _) => state.archive(archive.workload, archive.snapshot),
        Tree::Live(root) => root.clone(),
    };
    let (sender, receiver) = channel(BATCHES_AHEAD);
    let (of, place) = (of.clone(), path.clone());
    tokio::task::spawn_blocking(move || {
        let watch: Watch = std::sync::Arc::new(Attended { watch, sender: sender.clone() });
        let mut batch = Batch { members: Vec::new(), bytes: 0, sender, path: &place };
        let read = read(&place, &of, jobs, &mut |member| batch.push(member), &watch).and_then(|()| batch.flush());
        // Nobody listening any more means that the reading was given up. An empty batch is the end.
        let _ = batch.sender.blocking_send(read.map(|()| Vec::new()));
    });
    Box::new(Ahead { receiver, path, ended: false })
}

fn read(
    path: &Path,
    of: &MembersOf,
    jobs: Option<Jobs>,
    sink: &mut (dyn FnMut(Member) -> Result<(), FsError> + Send),
    watch: &Watch,
) -> Result<(), FsError> {
    let (archive, index) = match &of.tree {
        Tree::Live(root) => return archive::living(root, &of.path, of.contents, sink, watch),
        Tree::Archived(archive, index) => (archive, *index),
    };
    match jobs {
        Some(jobs) => archive::hashed(path, archive, (index, &of.path), sink, jobs, watch),
        None => {
            let place = Place { index, path: of.path.clone() };
            match archive::list_each(path, archive, &[place], &mut |_, member| sink(member), watch)? {
                Found::Done(_) | Found::Other(_) | Found::Nothing(_) => Ok(()),
            }
        }
    }
}

/// Members that are handed over together.
struct Batch<'a> {
    members: Vec<Member>,
    bytes: usize,
    sender: Sender<Result<Vec<Member>, FsError>>,
    path: &'a Path,
}

impl Batch<'_> {
    fn push(&mut self, member: Member) -> Result<(), FsError> {
        self.bytes += member.path.len() + member.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        self.members.push(member);
        match self.members.len() >= BATCH_MEMBERS || self.bytes >= BATCH_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), FsError> {
        self.bytes = 0;
        let members = std::mem::take(&mut self.members);
        if members.is_empty() {
            return Ok(());
        }
        let sent = self.sender.blocking_send(Ok(members));
        sent.map_err(|_| FsError::new(FsErrorKind::Cancelled, FsOp::Look, self.path, "nobody reads on"))
    }
}

/// Asks for the end also when nobody listens any more.
struct Attended {
    watch: Watch,
    sender: Sender<Result<Vec<Member>, FsError>>,
}

impl Observer for Attended {
    fn progress(&self, progress: &Progress) {
        self.watch.progress(progress);
    }

    fn cancelled(&self) -> bool {
        self.sender.is_closed() || self.watch.cancelled()
    }
}

/// What the thread has read ahead.
struct Ahead {
    receiver: Receiver<Result<Vec<Member>, FsError>>,
    path: PathBuf,
    ended: bool,
}

#[async_trait]
impl Members for Ahead {
    async fn next(&mut self) -> Result<Vec<Member>, FsError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let next = self.receiver.recv().await.unwrap_or_else(|| {
            Err(FsError::new(FsErrorKind::Io, FsOp::Look, &self.path, "a fault of volsnap: the reading thread died"))
        });
        self.ended = next.as_ref().map_or(true, Vec::is_empty);
        next
    }
}
