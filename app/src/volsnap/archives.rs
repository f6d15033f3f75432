//! Archives out of the state directory and into it, and the catalog made again from them.

use std::{
    io,
    path::{Path, PathBuf},
};

use volsnap_core::{
    engine::{ImportOutcome, ImportRequest, Rebuilt},
    model::Snapshot,
};

use super::{Volsnap, Written};
use crate::Operation;

impl Volsnap {
    /// Copies a snapshot's archive to a file at an absolute path, whole and durable, and gives its length. Every byte is
    /// checked on its way. A file that stands there is replaced only with `replace`
    /// ([`Code::Refused`](volsnap_core::Code)). A kill leaves at most a passing file beside it, which the next export to
    /// it clears away.
    pub fn export(&self, snapshot: Snapshot, to: &Path, replace: bool) -> Operation<u64> {
        let to = to.to_path_buf();
        self.start(move |engine, watch| async move { engine.export(&snapshot, &to, replace, &watch).await })
    }

    /// Writes a snapshot's archive to whatever takes bytes, each part when it has been checked, and gives its length.
    /// `out` is written to on a thread that may block.
    pub fn write_out(&self, snapshot: Snapshot, out: impl io::Write + Send + 'static) -> Operation<u64> {
        self.start(|engine, watch| async move { engine.write_out(&snapshot, Box::new(Written(out)), &watch).await })
    }

    /// Takes a file among the archives of a workload. Nothing of it is believed before every byte is checked. What it
    /// says of workloads and restores is not followed later either.
    ///
    /// [`Code::Refused`](volsnap_core::Code) if its workload is not registered and none is given, or its id stands for
    /// other contents here.
    pub fn import(&self, request: ImportRequest) -> Operation<ImportOutcome> {
        self.start(|engine, watch| async move { engine.import(&request, &watch).await })
    }

    /// Adds to the catalog what the archives know and it does not: snapshots, and the workloads that they were taken of.
    /// With [`Builder::replace_damaged_catalog`](crate::Builder::replace_damaged_catalog) also where the catalog is
    /// damaged. With `prune_missing`, snapshots whose archive is gone are taken out of it. No archive is touched.
    pub fn rebuild(&self, prune_missing: bool) -> Operation<Rebuilt> {
        self.start(move |engine, watch| async move { engine.rebuild(prune_missing, &watch).await })
    }

    /// Where opening has moved a damaged catalog to.
    #[must_use]
    pub fn damaged_catalog(&self) -> Option<&Path> {
        self.damaged_catalog.as_deref()
    }

    pub(crate) fn remember_damaged_catalog(&mut self, path: Option<PathBuf>) {
        self.damaged_catalog = path;
    }
}
