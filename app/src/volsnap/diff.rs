//! What differs between snapshots, and between a snapshot and what is live.

use std::{io, sync::Arc};

use volsnap_core::{
    Code, Result,
    engine::{Against, DiffRequest},
    model::{Change, Snapshot, VolumeDifference},
    ports::{Observer, Progress, Watch},
};

use super::Volsnap;
use crate::Operation;

impl Volsnap {
    /// Hands on what differs, each with its volume's target and in the order of paths, and gives the numbers of each
    /// volume. Nothing is touched and no lock is taken; a million members take no more memory than a few hundred.
    ///
    /// `sink` is called on the runtime's own threads, so it should not wait for long; an error of it ends the comparison.
    pub fn diff(
        &self,
        request: DiffRequest,
        mut sink: impl FnMut(&str, &Change) -> io::Result<()> + Send + 'static,
    ) -> Operation<Vec<VolumeDifference>> {
        let sink = move |target: &str, change: &Change| sink(target, change).map_err(|error| error.to_string());
        self.start(|engine, watch| async move { engine.diff(&request, Box::new(sink), &watch).await })
    }

    /// What was changed since a snapshot, in numbers, for one who is about to restore it: these volumes (none: all) with
    /// what is live now. Live files are not read, so that it takes as long as a walk through the volumes and a look through
    /// the archive. It goes on in passing: no observer hears of its progress.
    ///
    /// [`Code::NotFound`] if the snapshot's workload is not registered.
    pub fn diff_summary(&self, snapshot: Snapshot, targets: Vec<String>) -> Operation<Vec<VolumeDifference>> {
        self.start(|engine, watch| async move {
            let live = live(&engine, &snapshot).await?;
            let request = DiffRequest { targets, ..DiffRequest::of(snapshot, live) };
            let watch: Watch = Arc::new(InPassing(watch));
            engine.diff(&request, Box::new(|_, _| Ok(())), &watch).await
        })
    }

    /// The live volumes that a snapshot can be compared with: those of its workload.
    pub async fn live_of(&self, snapshot: &Snapshot) -> Result<Against> {
        live(self.engine(), snapshot).await
    }
}

async fn live(engine: &volsnap_core::engine::Engine, snapshot: &Snapshot) -> Result<Against> {
    let workload = engine.workload(&snapshot.workload().to_string()).await;
    workload.map(|workload| Against::Live(Box::new(workload))).map_err(|error| match error.code == Code::NotFound {
        true => {
            let name = &snapshot.archive.manifest.workload_name;
            error
                .context(format_args!("snapshot {} is of {name}, which is not registered any more", snapshot.id()))
                .hint("give a second snapshot to compare it with")
        }
        false => error,
    })
}

/// Asks for the end and tells nothing.
struct InPassing(Watch);

impl Observer for InPassing {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}
