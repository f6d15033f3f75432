//! Copies of snapshots elsewhere than at the live directories.

use std::path::{Path, PathBuf};

use volsnap_core::{
    Code, Error, Result,
    engine::{CloneRequest, Copied, DrillRequest, Drilled, ExtractRequest, LeftCopy},
};

use super::Volsnap;
use crate::Operation;

impl Volsnap {
    /// Extracts a snapshot, or parts of it, into a directory that is empty or does not exist yet. It appears whole and
    /// durable or, when this fails or is cancelled, not at all. A relative path is resolved now.
    ///
    /// [`Code::NotFound`] names all that is asked for and not there, [`Code::Refused`] says why the directory cannot be
    /// taken or has no room; both before anything is made.
    pub fn extract(&self, request: ExtractRequest) -> Operation<Copied> {
        self.start(|engine, watch| async move {
            let dir = absolute(&request.dir)?;
            engine.extract(&ExtractRequest { dir, ..request }, &watch).await
        })
    }

    /// Clones volumes of a snapshot, each to a place of its own that is empty or does not exist yet, away from the live
    /// directories of all workloads. All are durable before the first one is in its place; if this fails or is cancelled, none is.
    pub fn clone_volumes(&self, request: CloneRequest) -> Operation<Copied> {
        self.start(|engine, watch| async move {
            let absolute = |(target, path): (_, PathBuf)| absolute(&path).map(|path| (target, path));
            let places = request.places.into_iter().map(absolute).collect::<Result<_>>()?;
            engine.clone_volumes(&CloneRequest { places, ..request }, &watch).await
        })
    }

    /// Proves that a snapshot can be restored: extracts it into private directories, durably, reads it back from the disk, and
    /// compares. [`Drilled::error`] tells of a difference; without one the snapshot's `proved_at` is set. With
    /// [`DrillRequest::boot`] the app is then started on the copy, and [`Drilled::came_up`] tells how that went.
    pub fn drill(&self, request: DrillRequest) -> Operation<Drilled> {
        self.start(|engine, watch| async move {
            let scratch = request.scratch.as_deref().map(absolute).transpose()?;
            engine.drill(&DrillRequest { scratch, ..request }, &watch).await
        })
    }

    /// What copies left that were interrupted. Needs no catalog.
    pub async fn left_copies(&self) -> Result<Vec<LeftCopy>> {
        self.engine.left_copies().await
    }

    /// Removes what copies left that were interrupted, and tells what it was; each copy begins with it, too. Needs no
    /// catalog.
    pub fn sweep_copies(&self) -> Operation<Vec<LeftCopy>> {
        self.start(|engine, _| async move { engine.sweep_copies().await })
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(Code::Usage, format!("{}: {error}", path.display())).hint("give the path of a directory")
    })
}
