//! Members of a tree, some at a time: a thread reads ahead, and waits for whoever takes them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use volsnap_core::{
    model::Member,
    ports::{Found, FsError, FsErrorKind, FsOp, LookInto, Members, MembersOf, Observer, Place, Progress, Watch},
};

use crate::{archive, budget::Jobs};

/// Members handed over at a time, if they do not have [`BATCH_BYTES`] before.
const BATCH_MEMBERS: usize = 256;
/// What attributes may make of a few members.
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that wait for the taker.
const BATCHES_AHEAD: usize = 2;

/// Starts to read a live directory.
pub(crate) fn live(root: &Path, of: &MembersOf, watch: Watch) -> Box<dyn Members> {
    let of = of.clone();
    start(root, watch, move |root, sink, watch| archive::living(root, &of.path, of.contents, sink, watch))
}

/// Starts to read a volume of an archive; with `jobs` the contents, too.
pub(crate) fn archived(
    path: &Path,
    archive: &LookInto,
    index: usize,
    of: &MembersOf,
    jobs: Option<Jobs>,
    watch: Watch,
) -> Box<dyn Members> {
    let (archive, place) = (archive.clone(), Place { index, path: of.path.clone() });
    start(path, watch, move |path, sink, watch| match jobs {
        Some(jobs) => archive::hashed(path, &archive, (index, &place.path), sink, jobs, watch),
        None => match archive::list_each(path, &archive, &[place], &mut |_, member| sink(member), watch)? {
            Found::Done(_) | Found::Other(_) | Found::Nothing(_) => Ok(()),
        },
    })
}

/// Takes members one by one.
type Sink<'a> = &'a mut (dyn FnMut(Member) -> Result<(), FsError> + Send);

fn start(
    path: &Path,
    watch: Watch,
    read: impl FnOnce(&Path, Sink<'_>, &Watch) -> Result<(), FsError> + Send + 'static,
) -> Box<dyn Members> {
    let (sender, receiver) = channel(BATCHES_AHEAD);
    let place = path.to_path_buf();
    tokio::task::spawn_blocking(move || {
        let watch: Watch = std::sync::Arc::new(Attended { watch, sender: sender.clone() });
        let mut batch = Batch { members: Vec::new(), bytes: 0, sender, path: &place };
        let read = read(&place, &mut |member| batch.push(member), &watch).and_then(|()| batch.flush());
        // Nobody listening any more means that the reading was given up. An empty batch is the end.
        let _ = batch.sender.blocking_send(read.map(|()| Vec::new()));
    });
    Box::new(Ahead { receiver, path: path.to_path_buf(), ended: false })
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
