//! Cloning: volumes of a snapshot to places of their own, for another host's path or another workload.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    Copied, CopiedVolume, Engine,
    copies::Copying,
    destination::{Care, check_space, need},
    extract::{left_behind, refuse_devices, whole},
    inside::{look_into, volume},
};
use crate::{
    error::{Code, Error, Result},
    model::{Location, Owners, RestoreId, Snapshot, TreeSize, Workload, WorkloadId, place::staged_in},
    ports::{CopyJob, CopyMade, CopyTree, EventKind, Limits, Watch},
    restore::space::Needs,
};

/// What to clone, and whereto.
#[derive(Clone, Debug)]
pub struct CloneRequest {
    /// The workload whose snapshot it is.
    pub workload: Workload,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Volumes by target, and the absolute path of the place of each: empty, or absent with a parent that exists.
    pub places: Vec<(String, PathBuf)>,
    /// Whom the entries belong to.
    pub owners: Owners,
    /// Whether device nodes are made.
    pub devices: bool,
}

/// A volume on its way to its place.
struct Clone {
    index: usize,
    target: String,
    size: TreeSize,
    place: Location,
}

impl Engine {
    /// Clones volumes. All of them are extracted, checked and durable before the first one gets its place, by a rename that
    /// replaces nothing; if one cannot get it, those before it are taken away again.
    ///
    /// A crash leaves each place as it was, absent if an empty directory was there, or whole; and private directories beside
    /// them, which [`Engine::sweep_copies`] removes. Nothing is ever half a volume.
    pub async fn clone_volumes(&self, request: &CloneRequest, watch: &Watch) -> Result<Copied> {
        self.prepare_copy(&request.workload, &request.snapshot, watch).await?;
        let clones = self.plan_clones(request).await?;
        let places: Vec<&Location> = clones.iter().map(|clone| &clone.place).collect();
        let copying = self.begin_copy("clone", &request.workload.name, &places).await?;
        let cloned = copying.engine.clone_to(request, &clones, &copying, watch).await;
        self.end_copy(copying).await;
        let (outcome, detail) = match &cloned {
            Ok(_) => ("cloned", json!({ "snapshot": request.snapshot.id(), "places": request.places })),
            Err(error) => ("clone failed", json!({ "snapshot": request.snapshot.id(), "message": error.message })),
        };
        self.tell(&self.event(&request.workload, EventKind::RestoreEnded, outcome, detail)).await;
        cloned
    }

    async fn plan_clones(&self, request: &CloneRequest) -> Result<Vec<Clone>> {
        let snapshot = &request.snapshot;
        let lives = self.live_directories(Care::Settling).await?;
        let mut clones: Vec<Clone> = Vec::new();
        for (target, path) in &request.places {
            let index = volume(snapshot, target)?;
            if clones.iter().any(|clone| clone.index == index) {
                return Err(Error::new(Code::Usage, format!("volume {target} is named twice"))
                    .hint("clone it once for each place"));
            }
            let what = format!("volume {target}");
            let place = self.destination(&what, path, &lives, Care::Settling).await?;
            if let Some(other) = clones.iter().find(|other| other.place.overlaps(&place)) {
                return Err(Error::new(
                    Code::Refused,
                    format!("the places of volumes {} and {target} overlap", other.target),
                )
                .hint("give each volume a directory of its own"));
            }
            let size = whole(&snapshot.archive.totals[index]);
            clones.push(Clone { index, target: target.clone(), size, place });
        }
        if clones.is_empty() {
            return Err(Error::new(Code::Usage, "no volume was named").hint("give --volume TARGET=PATH"));
        }
        refuse_devices(snapshot, clones.iter().map(|clone| clone.index), request.devices)?;
        let paths: Vec<PathBuf> = clones.iter().map(|clone| clone.place.real.clone()).collect();
        // Nobody's own id: the restores of all workloads are asked.
        if let Some(neighbour) = self.neighbour(WorkloadId(uuid::Uuid::nil()), &paths, &[]).await? {
            return Err(neighbour.into());
        }
        let mut needs = Needs::default();
        for clone in &clones {
            need(&mut needs, &clone.place, clone.size.bytes_allocated, clone.size.entries);
        }
        check_space(needs)?;
        Ok(clones)
    }

    async fn clone_to(
        &self,
        request: &CloneRequest,
        clones: &[Clone],
        copying: &Copying,
        watch: &Watch,
    ) -> Result<Copied> {
        let began = self.ports.clock.monotonic();
        let mut made = CopyMade::default();
        for (clone, private) in clones.iter().zip(&copying.private) {
            let limits =
                Limits { bytes_max: clone.size.bytes, entries_max: clone.size.entries, devices: request.devices };
            let tree = CopyTree::whole(clone.index, &clone.target, limits);
            let job = CopyJob {
                archive: look_into(&request.snapshot),
                private: private.clone(),
                trees: vec![tree],
                owners: request.owners.clone(),
            };
            let one = self.ports.filesystem.copy_out(&job, watch.clone()).await?;
            made.trees.extend(one.trees);
            made.owners_left += one.owners_left;
            made.attributes_left += one.attributes_left;
            made.flags_left.join(one.flags_left);
        }
        let took = self.ports.clock.monotonic().saturating_sub(began).as_millis();
        let mut placed: Vec<(&Path, PathBuf)> = Vec::new();
        for (clone, private) in clones.iter().zip(&copying.private) {
            let staged = staged_in(private);
            if let Err(error) = self.put_in_place(&staged, &clone.place.real).await {
                return Err(self.take_back(&placed, copying.id, error).await);
            }
            placed.push((&clone.place.real, staged));
        }
        let copied = |(clone, size): (&Clone, &TreeSize)| CopiedVolume {
            target: clone.target.clone(),
            path: clone.place.real.clone(),
            bytes: size.bytes,
            entries: size.entries,
        };
        Ok(Copied {
            volumes: clones.iter().zip(&made.trees).map(copied).collect(),
            warnings: left_behind(&made),
            stage_ms: u64::try_from(took).unwrap_or(u64::MAX),
        })
    }

    /// One volume did not get its place: the others give theirs back, and are discarded with what was staged.
    async fn take_back(&self, placed: &[(&Path, PathBuf)], id: RestoreId, error: Error) -> Error {
        let mut error = error;
        for (place, staged) in placed.iter().rev() {
            if let Err(stays) = self.ports.filesystem.rename(place, staged).await {
                tracing::warn!(clone = %id, error = %stays, "a clone that is whole stays in its place");
                error.message = format!("{}; {} stays, whole", error.message, place.display());
            }
        }
        error
    }
}
