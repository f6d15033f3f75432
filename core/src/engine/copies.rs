//! Copies elsewhere than at the live directories: what they have in common, and what becomes of those that a crash left.
//!
//! No journal is opened for a copy: it replaces nothing that anybody has, so there is nothing to decide. What it makes
//! stands in private directories until it is whole and durable, and a note names them: it is durable before the first
//! one is made and goes after the last one. A process that dies leaves the note; whoever finds it without its lease
//! removes what it names.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Engine, restore::Ready};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{Location, RestoreId, Sight, Snapshot, Workload, place},
    ports::{CopyNote, Phase, PrivateNote, Progress, Watch},
};

/// A copy under way.
pub(super) struct Copying {
    pub(super) id: RestoreId,
    /// The private directories, in the order of the places that they were asked for.
    pub(super) private: Vec<PathBuf>,
    /// Whether containers have been started on them, or almost.
    pub(super) containers: bool,
    /// Holds the note.
    pub(super) engine: Engine,
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
    /// Whether it was to start containers on them, which are left too.
    pub containers: bool,
    /// Why they could not be removed; `None` if they were, or if it was only asked for them.
    pub problem: Option<String>,
}

impl Engine {
    /// What comes before a copy of volumes of that workload's snapshot: it must be one of its own and within the
    /// limits, and what earlier copies left makes room.
    pub(super) async fn prepare_copy(&self, workload: &Workload, snapshot: &Snapshot, watch: &Watch) -> Result<()> {
        if snapshot.workload() != workload.id {
            let of = &snapshot.archive.manifest.workload_name;
            return Err(Error::new(
                Code::Refused,
                format!("snapshot {} is of workload {of}, not of {}", snapshot.id(), workload.name),
            )
            .hint(format!("`volsnap list {}` shows the snapshots of this workload", workload.name)));
        }
        self.limits.check(&snapshot.archive)?;
        self.sweep_copies_first().await;
        watch.progress(&Progress::begin(Phase::Plan));
        Ok(())
    }

    /// Notes that private directories beside these places are going to be made.
    pub(super) async fn begin_copy(&self, what: &str, workload: &str, places: &[&Location]) -> Result<Copying> {
        let id = RestoreId(self.ports.clock.fresh_id());
        let beside = |(index, place): (usize, &&Location)| PrivateNote {
            path: place::private_dir(&place.real, id, index),
            parent: place.parent,
        };
        let private = places.iter().enumerate().map(beside).collect();
        self.begin_copy_in(what, workload, id, private, false).await
    }

    /// The same for private directories with these names, and for `containers` that may be started on them.
    pub(super) async fn begin_copy_in(
        &self,
        what: &str,
        workload: &str,
        id: RestoreId,
        mut private: Vec<PrivateNote>,
        containers: bool,
    ) -> Result<Copying> {
        let mut ready = Ready::default();
        for note in &mut private {
            if let Some(parent) = note.path.parent() {
                note.parent = self.ready(&mut ready, parent, note.parent).await?;
            }
        }
        let paths = private.iter().map(|private| private.path.clone()).collect();
        let began_at = self.ports.clock.now();
        let runtime = match containers {
            true => self.containers()?.info().await?.id,
            false => None,
        };
        let (what, workload) = (what.into(), workload.into());
        let note = CopyNote { id, what, workload, began_at, private, containers, runtime };
        let lease = self.ports.journals.begin_copy(&note).await?;
        Ok(Copying { id, private: paths, containers: false, engine: self.under(lease) })
    }

    /// Removes the containers of a copy, what is left of its private directories, and its note. What cannot be removed
    /// stays noted, and the next sweep tries again; it gives why.
    pub(super) async fn end_copy(&self, copying: Copying) -> Option<Error> {
        let left = copying.engine.discard_copy(copying.id, &copying.private, copying.containers).await.err();
        if let Some(error) = &left {
            tracing::warn!(%error, "what a copy made in passing stays until the next `volsnap recover`");
        }
        left
    }

    async fn discard_copy(&self, id: RestoreId, private: &[PathBuf], containers: bool) -> Result<()> {
        let filesystem = &self.ports.filesystem;
        if containers {
            // First, and durably: nothing is removed under who works in it, and the note tells of them until they are gone.
            self.containers()?.unboot(id).await?;
        }
        for path in private {
            filesystem.discard(id, path, None).await?;
        }
        let parents: Vec<PathBuf> = private.iter().filter_map(|path| path.parent().map(Path::to_path_buf)).collect();
        filesystem.settle(&parents).await?;
        Ok(self.ports.journals.end_copy(id).await?)
    }

    /// What interrupted copies left, oldest first. Touches nothing.
    pub async fn left_copies(&self) -> Result<Vec<LeftCopy>> {
        let notes = self.ports.journals.abandoned_copies().await?;
        Ok(notes.into_iter().map(|note| LeftCopy::of(&note, None)).collect())
    }

    /// Removes what interrupted copies left, oldest first, and gives what it was. What cannot be removed now is named with
    /// the reason, and stays noted.
    pub async fn sweep_copies(&self) -> Result<Vec<LeftCopy>> {
        let mut swept = Vec::new();
        for note in self.ports.journals.abandoned_copies().await? {
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
                Sight::Directory { identity, .. } if identity.is(private.parent) => {}
                Sight::Directory { .. } | Sight::Absent | Sight::Other => {
                    let (parent, id) = (parent.display(), note.id);
                    let message =
                        format!("{parent} is not the directory in which it was made; is a filesystem not mounted?");
                    let note = self.ports.journals.copy_note_path(id);
                    return Err(Error::new(Code::Refused, message)
                        .hint(format!("mount it; if it is gone for good, delete {}", note.display())));
                }
            }
        }
        if note.containers
            && let Some(anomaly) = self.other_engine(note.runtime.as_deref()).await
        {
            return Err(Error::new(Code::NeedsAttention, anomaly.to_string()).hint("set DOCKER_HOST to the engine that has its containers, then run `volsnap recover`; if that engine is gone for good, `volsnap recover --without-missing` goes on with this one"));
        }
        let paths: Vec<PathBuf> = note.private.iter().map(|private| private.path.clone()).collect();
        self.discard_copy(note.id, &paths, note.containers).await
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
            containers: note.containers,
            problem,
        }
    }
}
