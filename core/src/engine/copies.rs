//! Copies elsewhere than at the live directories: what they have in common, and what becomes of those that a crash left.
//!
//! No journal is opened for a copy: it replaces nothing that anybody has, so there is nothing to decide. What it makes
//! stands in private directories until it is whole and durable, and a note names them: it is durable before the first
//! one is made and goes after the last one. A process that dies leaves the note; whoever finds it without its lease
//! removes what it names.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Engine;
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{Location, RestoreId, Sight, place},
    ports::{CopyNote, Lease, PrivateNote},
};

/// A copy under way.
pub(super) struct Copying {
    pub(super) id: RestoreId,
    /// The private directories, in the order of the places that they were asked for.
    pub(super) private: Vec<PathBuf>,
    _lease: Box<dyn Lease>,
}

/// A volume, or a part of one, that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedVolume {
    /// Its name within the workload.
    pub target: String,
    /// Where its root is now.
    pub path: PathBuf,
    /// Bytes of contents, holes included.
    pub bytes: u64,
    /// Entries, the root included.
    pub entries: u64,
}

/// A copy that is whole, durable and in its place.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The volumes.
    pub volumes: Vec<CopiedVolume>,
    /// What needs a look.
    pub warnings: Vec<String>,
    /// How long it took to extract and to make it durable, in milliseconds.
    pub stage_ms: u64,
}

/// What an interrupted copy left.
#[derive(Clone, Debug, Serialize)]
pub struct LeftCopy {
    /// The id that its names carry.
    pub id: RestoreId,
    /// What was being done: `extract`, `clone` or `drill`.
    pub what: String,
    /// The workload whose snapshot it was.
    pub workload: String,
    /// Its private directories, whether they are there or not.
    pub paths: Vec<PathBuf>,
    /// Why they could not be removed; `None` if they were, or if it was only asked for them.
    pub problem: Option<String>,
}

impl Engine {
    /// Notes that private directories beside these places are going to be made.
    pub(super) async fn begin_copy(&self, what: &str, workload: &str, places: &[&Location]) -> Result<Copying> {
        let id = RestoreId(self.ports.clock.fresh_id());
        let beside = |(index, place): (usize, &&Location)| PrivateNote {
            path: place::private_dir(&place.real, id, index),
            parent: place.parent,
        };
        self.begin_copy_in(what, workload, id, places.iter().enumerate().map(beside).collect()).await
    }

    /// The same for private directories with these names.
    pub(super) async fn begin_copy_in(
        &self,
        what: &str,
        workload: &str,
        id: RestoreId,
        private: Vec<PrivateNote>,
    ) -> Result<Copying> {
        let paths = private.iter().map(|private| private.path.clone()).collect();
        let began_at = self.ports.clock.now();
        let note = CopyNote { id, what: what.into(), workload: workload.into(), began_at, private };
        let lease = self.ports.filesystem.begin_copy(&note).await?;
        Ok(Copying { id, private: paths, _lease: lease })
    }

    /// Removes what is left of a copy's private directories, and its note. What cannot be removed stays noted, and the
    /// next sweep tries again.
    pub(super) async fn end_copy(&self, copying: Copying) {
        if let Err(error) = self.discard_copy(copying.id, &copying.private).await {
            tracing::warn!(%error, "what a copy made in passing stays until the next `volsnap recover`");
        }
    }

    async fn discard_copy(&self, id: RestoreId, private: &[PathBuf]) -> Result<()> {
        let filesystem = &self.ports.filesystem;
        for path in private {
            filesystem.discard(id, path).await?;
        }
        let parents: Vec<PathBuf> = private.iter().filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        filesystem.settle(&parents).await?;
        Ok(filesystem.end_copy(id).await?)
    }

    /// What interrupted copies left, oldest first. Touches nothing.
    pub async fn left_copies(&self) -> Result<Vec<LeftCopy>> {
        let notes = self.ports.filesystem.abandoned_copies().await?;
        Ok(notes.into_iter().map(|note| LeftCopy::of(&note, None)).collect())
    }

    /// Removes what interrupted copies left, oldest first, and gives what it was. What cannot be removed now is named with
    /// the reason, and stays noted.
    pub async fn sweep_copies(&self) -> Result<Vec<LeftCopy>> {
        let mut swept = Vec::new();
        for note in self.ports.filesystem.abandoned_copies().await? {
            let problem = self.sweep_copy(&note).await.err();
            if let Some(problem) = &problem {
                tracing::warn!(copy = %note.id, %problem, "what an interrupted copy left cannot be removed");
            }
            swept.push(LeftCopy::of(&note, problem));
        }
        Ok(swept)
    }

    async fn sweep_copy(&self, note: &CopyNote) -> Result<()> {
        for private in &note.private {
            let Some(parent) = private.path.parent() else { continue };
            // A filesystem that is not mounted looks like one on which everything has been removed.
            match self.ports.filesystem.look(parent).await? {
                Sight::Directory { identity, .. } if identity == private.parent => {}
                Sight::Directory { .. } | Sight::Absent | Sight::Other => {
                    let (parent, id) = (parent.display(), note.id);
                    let message =
                        format!("{parent} is not the directory in which it was made; is a filesystem not mounted?");
                    let notes = self.ports.filesystem.state_dir().join("copies").join(format!("{id}.json"));
                    return Err(Error::new(Code::Refused, message)
                        .hint(format!("mount it; if it is gone for good, delete {}", notes.display())));
                }
            }
        }
        let paths: Vec<PathBuf> = note.private.iter().map(|private| private.path.clone()).collect();
        self.discard_copy(note.id, &paths).await
    }

    /// Before a copy: what earlier ones left takes up space. That it cannot be removed is no reason not to begin.
    pub(super) async fn sweep_copies_first(&self) {
        match self.sweep_copies().await {
            Ok(swept) => {
                for copy in swept.iter().filter(|copy| copy.problem.is_none()) {
                    tracing::info!(
                        what = copy.what,
                        workload = copy.workload,
                        "removed what it left when it was interrupted"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "what interrupted copies left is not known"),
        }
    }

    /// Gives a staged copy its place, durably. An empty directory there makes room for it: a crash in between leaves the
    /// place absent.
    pub(super) async fn put_in_place(&self, staged: &Path, place: &Path) -> Result<()> {
        let filesystem = &self.ports.filesystem;
        match filesystem.look(place).await? {
            Sight::Absent => {}
            Sight::Directory { empty: true, .. } => filesystem.remove_empty(place).await?,
            Sight::Directory { empty: false, .. } | Sight::Other => {
                return Err(taken(place));
            }
        }
        match filesystem.rename(staged, place).await {
            Err(error) if error.kind == FsErrorKind::Exists => return Err(taken(place)),
            renamed => renamed?,
        }
        let parent = place.parent().map(Path::to_path_buf);
        Ok(filesystem.settle(&Vec::from_iter(parent)).await?)
    }
}

fn taken(place: &Path) -> Error {
    Error::new(Code::Refused, format!("{} was filled by somebody else meanwhile", place.display()))
        .hint("nothing of it was touched; choose another directory")
}

impl LeftCopy {
    fn of(note: &CopyNote, problem: Option<Error>) -> Self {
        let problem = problem.map(|error| match &error.hint {
            Some(hint) => format!("{}: {hint}", error.message),
            None => error.message.clone(),
        });
        LeftCopy {
            id: note.id,
            what: note.what.clone(),
            workload: note.workload.clone(),
            paths: note.private.iter().map(|private| private.path.clone()).collect(),
            problem,
        }
    }
}
