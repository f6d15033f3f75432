//! What restores left beside the live directories and no journal speaks of any more: found, told, and on a person's word
//! archived, put back or discarded.

mod back;
mod end;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::Engine;
use crate::{
    error::{Code, Error, Result},
    model::{RestoreId, Sight, SnapshotId, TreeSize, Workload, WorkloadId, hook::quoted, place},
    restore::{Body, Entry, Journal, Safety, State},
};

/// How far back a workload's events are asked what their restores kept.
const KEPT_EVENTS_MAX: u32 = 1000;
/// Shortest beginning of an id that is taken for one.
const PREFIX_MIN: usize = 4;
/// Characters of a restore's id that stand for what it kept.
const ID_LEN: usize = 8;

/// A private directory that no recovery will remove.
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
    /// The tree in it; `None` if there is none.
    pub tree: Option<PathBuf>,
    /// Whether that restore said that it keeps originals there.
    pub told: bool,
    /// The volume whose original it is, where a record of the restore says so.
    pub target: Option<String>,
}

/// What one restore kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSet {
    /// What people call it by: the end of the restore's id.
    pub id: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// Its name.
    pub workload: String,
    /// The restore.
    pub restore_id: RestoreId,
    /// What is known of that restore; `None` if no record of it is left.
    pub record: Option<KeptRecord>,
    /// The directories that are still there.
    pub dirs: Vec<Kept>,
    /// Those that its record knows and that are not there any more: somebody moved or deleted them.
    pub gone: Vec<Kept>,
}

/// What the record of a restore says about the originals that it kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRecord {
    /// The snapshot that was restored.
    pub snapshot: SnapshotId,
    /// Since when they are kept.
    pub since: Timestamp,
    /// Why they were not archived.
    pub reason: String,
    /// Whether the restore waits for an app that did not come back: its journal is open.
    pub is_open: bool,
}

/// The short name of what a restore kept.
#[must_use]
pub fn short(restore: RestoreId) -> String {
    let id = restore.0.simple().to_string();
    id[id.len() - ID_LEN..].to_string()
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

    /// What to do about it: commands that can be given as they stand here.
    #[must_use]
    pub fn remedy(&self) -> String {
        let id = short(self.restore_id);
        match (&self.target, &self.tree) {
            (Some(_), _) => format!(
                "`volsnap kept archive {id}` makes a snapshot of it, `volsnap kept restore {id}` puts it back into service, \
                 `volsnap kept discard {id}` deletes it"
            ),
            (None, Some(tree)) => format!(
                "`volsnap workload add kept-{id} --volume /data={}` and `volsnap create kept-{id}` make a snapshot of it, \
                 `volsnap kept discard {id}` deletes it",
                quoted([tree.to_string_lossy().as_ref()])
            ),
            (None, None) => format!("`volsnap kept discard {id}` deletes it"),
        }
    }
}

impl KeptSet {
    /// For people who have to choose one.
    fn named(&self) -> String {
        match &self.record {
            Some(record) => format!("{} ({}, since {})", self.id, self.workload, record.since.strftime("%FT%TZ")),
            None => format!("{} ({})", self.id, self.workload),
        }
    }

    /// What to do about it, in commands that can be given as they stand here.
    #[must_use]
    pub fn remedy(&self) -> String {
        let Some(first) = self.gone.first() else {
            return self.dirs.first().map_or_else(String::new, Kept::remedy);
        };
        let (path, id) = (first.path.display(), &self.id);
        match self.dirs.is_empty() {
            true => format!("put it back at {path}, or `volsnap kept discard {id}` forgets it"),
            false => format!("put it back at {path}, or `volsnap kept discard {id}` deletes the rest and forgets it"),
        }
    }

    /// Whether that text means it: its id, or the beginning of the restore's.
    fn is_meant(&self, text: &str) -> bool {
        let wanted = text.to_lowercase().replace('-', "");
        let whole = self.restore_id.0.simple().to_string();
        wanted.len() >= PREFIX_MIN && (whole.starts_with(&wanted) || self.id.starts_with(&wanted))
    }
}

/// What is known of a restore that kept its originals.
struct Recorded {
    state: State,
    is_open: bool,
}

impl Recorded {
    fn of(state: State, is_open: bool) -> Option<Self> {
        state.keeps_originals().then_some(Recorded { state, is_open })
    }

    fn about(&self) -> Option<KeptRecord> {
        let Some(Safety::Kept { reason }) = &self.state.captured else { return None };
        let captured = |entry: &Entry| matches!(entry, Entry::Captured { .. });
        Some(KeptRecord {
            snapshot: self.state.plan.snapshot,
            since: self.state.time_of(captured)?,
            reason: reason.clone(),
            is_open: self.is_open,
        })
    }
}

impl Engine {
    /// What is kept beside the volumes of one workload or of all, by path. Touches nothing.
    ///
    /// The records of restores say where; besides, it is looked for beside and in the declared directories, and where
    /// events say that something was kept. Volumes that only the container engine knows are not asked for. While a journal
    /// cannot be read, nobody knows what is its own, and nothing is listed. Without a catalog, the records are all there
    /// is.
    pub async fn kept(&self, workload: Option<WorkloadId>) -> Result<Vec<Kept>> {
        Ok(self.kept_sets(workload).await?.into_iter().flat_map(|set| set.dirs).collect())
    }

    /// The same, restore by restore, in the order of their ids.
    pub async fn kept_sets(&self, workload: Option<WorkloadId>) -> Result<Vec<KeptSet>> {
        let found = self.found(workload).await;
        // After the directories: a restore has a journal from before it makes one until after it has removed it.
        let Some(open) = self.open_restores().await? else { return Ok(Vec::new()) };
        let recorded = self.recorded(workload, &open).await?;
        let is_busy = |id: &RestoreId| {
            let waits = |r: &Recorded| r.is_open && r.state.plan.restore == *id;
            open.iter().any(|state| state.plan.restore == *id) && !recorded.iter().any(waits)
        };
        let mut sets: BTreeMap<(RestoreId, WorkloadId), KeptSet> = BTreeMap::new();
        let mut add = |kept: Kept, record: Option<KeptRecord>, is_there: bool| {
            let id = (kept.restore_id, kept.workload_id);
            let set = sets.entry(id).or_insert_with(|| KeptSet {
                id: short(kept.restore_id),
                workload_id: kept.workload_id,
                workload: kept.workload.clone(),
                restore_id: kept.restore_id,
                record,
                dirs: Vec::new(),
                gone: Vec::new(),
            });
            if is_there { set.dirs.push(kept) } else { set.gone.push(kept) }
        };
        let mut known = BTreeSet::new();
        for one in recorded.iter().filter(|one| !is_busy(&one.state.plan.restore)) {
            let plan = &one.state.plan;
            for volume in (0..plan.volumes.len()).filter(|volume| plan.volumes[*volume].original.is_some()) {
                let path = plan.private(volume);
                known.insert(path.clone());
                let target = Some(plan.volumes[volume].target.clone());
                let (workload_id, workload) = (plan.workload.id, plan.workload.name.clone());
                let kept =
                    Kept { workload_id, workload, restore_id: plan.restore, path, tree: None, told: true, target };
                match self.still_there(kept.clone()).await {
                    Some(kept) => add(kept, one.about(), true),
                    None => add(kept, one.about(), false),
                }
            }
        }
        for (path, kept) in found {
            if !known.contains(&path)
                && !is_busy(&kept.restore_id)
                && let Some(kept) = self.still_there(kept).await
            {
                add(kept, None, true);
            }
        }
        Ok(sets.into_values().collect())
    }

    /// What somebody means by that text; [`Code::NotFound`] names what there is.
    pub async fn kept_set(&self, text: &str) -> Result<KeptSet> {
        let mut sets = self.kept_sets(None).await?;
        let all: Vec<String> = sets.iter().map(KeptSet::named).collect();
        sets.retain(|set| set.is_meant(text));
        if let [_] = sets.as_slice() {
            return Ok(sets.remove(0));
        }
        let (message, candidates) = match sets.is_empty() {
            true => (format!("nothing is kept under {text}"), all),
            false => (format!("{text} is not enough to tell"), sets.iter().map(KeptSet::named).collect()),
        };
        let hint = match candidates.is_empty() {
            true => "no restore has kept its originals".to_string(),
            false => format!("kept are: {}", candidates.join(", ")),
        };
        Err(Error::new(Code::NotFound, message).hint(hint))
    }

    /// How much is in it, by reading its names; `None` if that cannot be said.
    pub async fn kept_size(&self, kept: &Kept) -> Option<TreeSize> {
        self.ports.filesystem.measure(kept.tree.as_ref()?).await.ok()
    }

    /// The restore may have ended, and tidied up, since it was seen. What cannot be looked at may be there.
    async fn still_there(&self, mut kept: Kept) -> Option<Kept> {
        let filesystem = &self.ports.filesystem;
        if matches!(filesystem.look(&kept.path).await, Ok(Sight::Absent)) {
            return None;
        }
        for tree in [place::aside_in(&kept.path), place::staged_in(&kept.path)] {
            if kept.tree.is_none() && matches!(filesystem.look(&tree).await, Ok(Sight::Directory { .. })) {
                kept.tree = Some(tree);
            }
        }
        Some(kept)
    }

    /// Private directories about the volumes of workloads, by path. One that has been told of is its workload's; others may
    /// lie beside the volumes of several.
    async fn found(&self, workload: Option<WorkloadId>) -> BTreeMap<PathBuf, Kept> {
        let mut found = BTreeMap::new();
        let workloads = match self.workloads().await {
            Ok(workloads) => workloads,
            Err(error) => {
                tracing::debug!(%error, "what restores kept is known by their records alone");
                return found;
            }
        };
        for workload in workloads.iter().filter(|w| workload.is_none_or(|id| id == w.id)) {
            for (path, told) in self.candidates(workload).await {
                let Some(restore_id) = path.file_name().and_then(|n| n.to_str()).and_then(place::restore_of) else {
                    continue;
                };
                let (workload_id, name) = (workload.id, workload.name.clone());
                let (tree, target) = (None, None);
                let kept = Kept { workload_id, workload: name, restore_id, path: path.clone(), tree, told, target };
                if told || !found.contains_key(&path) {
                    found.insert(path, kept);
                }
            }
        }
        found
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
    async fn open_restores(&self) -> Result<Option<Vec<State>>> {
        let mut open = Vec::new();
        for id in self.ports.journals.journals().await? {
            let Some(bytes) = self.ports.journals.read_journal(id).await? else { continue };
            match Journal::decode(&bytes).map(|journal| journal.body) {
                Ok(Body::Snapshot(_)) => {}
                Ok(Body::Restore(records)) => match State::replay(&records) {
                    Ok(state) => open.push(state),
                    Err(_) => return Ok(None),
                },
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(open))
    }

    /// The restores that kept their originals, by their records. One that only waits for its app has not ended, and keeps
    /// them all the same.
    async fn recorded(&self, workload: Option<WorkloadId>, open: &[State]) -> Result<Vec<Recorded>> {
        let is_wanted = |id: WorkloadId| workload.is_none_or(|wanted| wanted == id);
        let mut recorded = Vec::new();
        for (id, aside) in self.ports.journals.records().await?.into_iter().filter(|(id, _)| is_wanted(*id)) {
            if let Some(state) = self.record_of(id, aside).await? {
                recorded.extend(Recorded::of(state, false));
            }
        }
        let waiting = open.iter().filter(|state| is_wanted(state.plan.workload.id) && state.waits_for_the_app());
        for state in waiting {
            recorded.retain(|one| one.state.plan.restore != state.plan.restore);
            recorded.extend(Recorded::of(state.clone(), true));
        }
        Ok(recorded)
    }
}
