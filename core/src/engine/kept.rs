//! What restores left beside the live directories and no journal speaks of any more: it is told, and never touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::Engine;
use crate::{
    error::Result,
    model::{RestoreId, Sight, Workload, WorkloadId, place},
    restore::{Body, Journal, State},
};

/// How far back a workload's events are asked what their restores kept.
const KEPT_EVENTS_MAX: u32 = 1000;

/// A private directory that belongs to no open journal: no recovery will remove it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The workload beside whose volumes it was found.
    pub workload_id: WorkloadId,
    /// Its name.
    pub workload: String,
    /// The restore that made it.
    pub restore_id: RestoreId,
    /// The directory.
    pub path: PathBuf,
    /// Whether that restore said that it keeps originals there.
    pub told: bool,
}

impl Kept {
    /// What it is, in words.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self.told {
            true => "the original of a volume, which was not archived when it was replaced",
            false => {
                "an original that was not archived when it was replaced, or what an earlier version left in a crash"
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        "what is in its `staged` or `aside` can be moved back by hand while the app is stopped; if you do not miss it, delete the directory"
    }
}

impl Engine {
    /// What is kept beside the volumes of one workload or of all, by path. Touches nothing.
    ///
    /// It is looked for beside and in the declared directories, and where earlier restores said that they kept
    /// something; volumes that only the container engine knows are not asked for. While a journal cannot be read,
    /// nobody knows what is its own, and nothing is listed; nor is anything without a catalog.
    pub async fn kept(&self, workload: Option<WorkloadId>) -> Result<Vec<Kept>> {
        let workloads = match self.workloads().await {
            Ok(workloads) => workloads,
            Err(error) => {
                tracing::debug!(%error, "what restores kept is not known");
                return Ok(Vec::new());
            }
        };
        let mut found = BTreeMap::new();
        for workload in workloads.iter().filter(|w| workload.is_none_or(|id| id == w.id)) {
            for (path, told) in self.candidates(workload).await {
                let Some(restore_id) = path.file_name().and_then(|n| n.to_str()).and_then(place::restore_of) else {
                    continue;
                };
                let (workload_id, name) = (workload.id, workload.name.clone());
                let kept = Kept { workload_id, workload: name, restore_id, path: path.clone(), told };
                // One that has been told of is its workload's; others may lie beside the volumes of several.
                if told || !found.contains_key(&path) {
                    found.insert(path, kept);
                }
            }
        }
        // After the directories: a restore has a journal from before it makes one until after it has removed it.
        let Some(open) = self.open_restores().await? else { return Ok(Vec::new()) };
        let mut kept = Vec::new();
        for one in found.into_values().filter(|kept| !open.contains(&kept.restore_id)) {
            // The restore may have ended, and tidied up, since it was seen. What cannot be looked at may be there.
            if !matches!(self.ports.filesystem.look(&one.path).await, Ok(Sight::Absent)) {
                kept.push(one);
            }
        }
        Ok(kept)
    }

    /// Private directories about a workload's volumes, and whether a restore told of them. What cannot be looked at has
    /// none: this is for people who look around, and decides nothing.
    async fn candidates(&self, workload: &Workload) -> BTreeMap<PathBuf, bool> {
        let filesystem = &self.ports.filesystem;
        let mut dirs = BTreeSet::new();
        for volume in &workload.volumes {
            let Ok(location) = filesystem.locate(&volume.path).await else { continue };
            dirs.extend(location.real.parent().map(Path::to_path_buf));
            // By entry, the private directory lies in the volume itself.
            if location.occupant.identity().is_some() {
                dirs.insert(location.real);
            }
        }
        let mut candidates = BTreeMap::new();
        for dir in dirs {
            match filesystem.private_dirs(&dir).await {
                Ok(paths) => candidates.extend(paths.into_iter().map(|path| (path, false))),
                Err(error) => tracing::debug!(%error, "what restores left is not known"),
            }
        }
        let events = self.ports.store.events(Some(workload.id), KEPT_EVENTS_MAX).await.unwrap_or_default();
        for event in events {
            // Most events tell of no restore, and those of earlier versions not of this.
            let paths: Vec<PathBuf> = serde_json::from_value(event.detail["kept"].clone()).unwrap_or_default();
            candidates.extend(paths.into_iter().map(|path| (path, true)));
        }
        candidates
    }

    /// The restores that have a journal; `None` if one of the journals cannot be read.
    async fn open_restores(&self) -> Result<Option<BTreeSet<RestoreId>>> {
        let mut open = BTreeSet::new();
        for id in self.ports.filesystem.journals().await? {
            let Some(bytes) = self.ports.filesystem.read_journal(id).await? else { continue };
            match Journal::decode(&bytes).map(|journal| journal.body) {
                Ok(Body::Snapshot(_)) => {}
                Ok(Body::Restore(records)) => match State::replay(&records) {
                    Ok(state) => drop(open.insert(state.plan.restore)),
                    Err(_) => return Ok(None),
                },
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(open))
    }
}
