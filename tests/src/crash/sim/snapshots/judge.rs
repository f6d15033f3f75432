//! What must be true of a snapshot, whatever happened: what is named is whole and has the state of the freeze, what is
//! listed is there, the app runs as it did, and nothing unfinished stays.

use std::path::PathBuf;

use volsnap_core::model::{Mode, RunState, SnapshotId};
use volsnap_sim::{CrashPoint, World};

use super::{Attempt, Case, Taken};
use crate::{
    oracle::{self, Past, Wrongs},
    process::Ended,
    worlds::{Kind, Tree},
};

/// What the volumes held when the app had become quiet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Freeze {
    /// From that operation on.
    from: u64,
    /// The volumes, in order; nothing where there is no directory.
    trees: Vec<Tree>,
}

impl Freeze {
    /// What is seen of it at the crash points of a run; where nothing has to become quiet, it is what was there before.
    pub fn seen(case: &Case, start: &World, points: &[CrashPoint], end: &World) -> Option<Freeze> {
        let busy = |world: &World| world.containers().any(|c| is_disturbed(case.mode, c.run));
        if !busy(start) {
            return Some(Freeze { from: 0, trees: live(case, start) });
        }
        let seen = points.iter().map(|point| (point.op, &point.world)).chain([(end.ops(), end)]);
        let (from, world) = seen.into_iter().find(|(_, world)| !busy(world))?;
        Some(Freeze { from, trees: live(case, world) })
    }

    /// Whether the app had become quiet when its process came to that operation.
    pub fn is_by(&self, op: u64) -> bool {
        self.from <= op
    }
}

fn is_disturbed(mode: Mode, run: RunState) -> bool {
    match mode {
        Mode::Pause => run == RunState::Running,
        Mode::Stop => run.is_active(),
        Mode::Live => false,
    }
}

fn live(case: &Case, world: &World) -> Vec<Tree> {
    case.scene.volumes.iter().map(|volume| world.tree(&volume.live).unwrap_or_default()).collect()
}

fn dir(case: &Case, world: &World) -> PathBuf {
    world.state_dir().join("snapshots").join(case.scene.workload.id.to_string())
}

/// The archives that have a name, but for the one that was there before.
fn named(case: &Case, world: &World) -> Vec<SnapshotId> {
    let names = world.names(&dir(case, world));
    let ids = names.iter().filter_map(|name| name.strip_suffix(".tar.zst")?.parse().ok());
    ids.filter(|id| *id != case.scene.snapshot.id()).collect()
}

fn drafts(case: &Case, world: &World) -> Vec<String> {
    world.names(&dir(case, world)).into_iter().filter(|name| !name.ends_with(".tar.zst")).collect()
}

/// What holds at any instant: an archive that has a name is whole and has the state of the freeze, and one that is listed
/// is there.
pub fn check_crashed(case: &Case, world: &World, freeze: Option<&Freeze>) -> Wrongs {
    let mut wrongs: Wrongs = world.violations().to_vec();
    let workload = case.scene.workload.id;
    let names = named(case, world);
    for id in &names {
        match (world.archived(workload, *id), freeze) {
            (None, _) => wrongs.push(format!("archive {id} has a name and is not whole")),
            (Some(_), None) => wrongs.push(format!("archive {id} is there, and the app was never quiet")),
            (Some(trees), Some(freeze)) if trees != freeze.trees => {
                wrongs.push(format!("archive {id} has not the state of the freeze: {}", difference(&trees, freeze)));
            }
            (Some(_), Some(_)) => {}
        }
    }
    if names.len() > 1 {
        wrongs.push(format!("one snapshot left {} archives", names.len()));
    }
    for snapshot in world.catalogued() {
        let whole = world.archived(workload, snapshot.id()).is_some();
        if !whole {
            wrongs.push(format!("snapshot {} is listed, and its archive is not there", snapshot.id()));
        }
    }
    wrongs
}

/// The first file that differs, in words.
fn difference(trees: &[Tree], freeze: &Freeze) -> String {
    let text = |bytes: Option<&Vec<u8>>| bytes.map_or("nothing".into(), |b| String::from_utf8_lossy(b).into_owned());
    for (index, (tree, frozen)) in trees.iter().zip(&freeze.trees).enumerate() {
        let mut paths = tree.keys().chain(frozen.keys());
        if let Some(path) = paths.find(|path| tree.get(*path) != frozen.get(*path)) {
            return format!("{path} of volume {index} is {}, not {}", text(tree.get(path)), text(frozen.get(path)));
        }
    }
    format!("{} volumes, not {}", trees.len(), freeze.trees.len())
}

/// A process that took a snapshot and was disturbed by nothing but an app that works.
pub fn check_taken(case: &Case, attempt: &Attempt) -> Wrongs {
    let Attempt { world, taken, freeze, .. } = attempt;
    let mut wrongs = check_crashed(case, world, freeze.as_ref());
    match taken {
        Taken::Done(snapshot) => {
            let id = snapshot.snapshot.id();
            if !named(case, world).contains(&id) || !world.catalogued().any(|listed| listed.id() == id) {
                wrongs.push(format!("snapshot {id} is reported, and is not there"));
            }
        }
        Taken::Failed(error) => wrongs.push(format!("it failed: {error}")),
        Taken::Gone => wrongs.push("it waits for ever".into()),
    }
    wrongs.extend(check_clean(case, world));
    wrongs.extend(check_apps(case, world, Past::default()));
    wrongs
}

/// A power cut after a snapshot was reported takes nothing of it back.
pub fn check_taken_and_cut(case: &Case, attempt: &Attempt, mut lost: World) -> Wrongs {
    let Taken::Done(snapshot) = &attempt.taken else { return Wrongs::new() };
    lost.boot_up(&volsnap_sim::Boot::default());
    let mut wrongs = check_crashed(case, &lost, attempt.freeze.as_ref());
    if !named(case, &lost).contains(&snapshot.snapshot.id()) {
        wrongs.push("its archive is gone".into());
    }
    wrongs.extend(check_clean(case, &lost));
    wrongs.extend(check_apps(case, &lost, Past { cut: true, unpinned: true, faults: false }));
    wrongs.into_iter().map(|wrong| format!("power cut after the report: {wrong}")).collect()
}

/// A recovery after a snapshot that was crashed.
pub fn check_recovered(
    case: &Case,
    crashed: &World,
    world: &World,
    ended: &Ended,
    freeze: Option<&Freeze>,
    past: Past,
) -> Wrongs {
    let mut wrongs = check_crashed(case, world, freeze);
    if !matches!(ended, Ended::Nothing) {
        wrongs.push(format!("recovery: {ended:?}"));
    }
    if !world.journal_names().is_empty() {
        wrongs.push("the journal is left".into());
    }
    // Without a journal nothing tells of a draft, and the next snapshot sweeps it.
    if let Some(draft) = drafts(case, world).first()
        && !crashed.journal_names().is_empty()
    {
        wrongs.push(format!("the unfinished archive {draft} is left"));
    }
    if live(case, crashed) != live(case, world) {
        wrongs.push("recovery changed the volumes".into());
    }
    wrongs.extend(check_apps(case, world, past));
    wrongs
}

/// The snapshot that is taken after a recovery.
pub fn check_next(case: &Case, next: &Attempt, earlier: Option<&Freeze>) -> Wrongs {
    let Attempt { world, taken, freeze, .. } = next;
    let mut wrongs = check_clean(case, world);
    let Taken::Done(snapshot) = taken else { return vec![format!("the next snapshot: {taken:?}")] };
    for id in named(case, world) {
        let wanted = if id == snapshot.snapshot.id() { freeze.as_ref() } else { earlier };
        let trees = world.archived(case.scene.workload.id, id);
        if trees.as_ref() != wanted.map(|freeze| &freeze.trees) {
            wrongs.push(format!("archive {id} has not the state of its freeze"));
        }
    }
    wrongs.into_iter().map(|wrong| format!("after the next snapshot: {wrong}")).collect()
}

fn check_clean(case: &Case, world: &World) -> Wrongs {
    let mut wrongs = Wrongs::new();
    if let Some(draft) = drafts(case, world).first() {
        wrongs.push(format!("the unfinished archive {draft} is left"));
    }
    if !world.journal_names().is_empty() {
        wrongs.push("the journal is left".into());
    }
    wrongs
}

/// The app runs as it was found, or as a boot leaves it by its engine's rules.
pub fn check_apps(case: &Case, world: &World, past: Past) -> Wrongs {
    let mut wrongs = Wrongs::new();
    // An engine that comes up again has removed it.
    let may_go = |name: &str| past.cut && case.scene.kind_of(name) == Kind::RemovesItself;
    let gone = case.scene.world.containers().filter(|c| may_go(&c.name) && world.container(&c.name).is_none()).count();
    for found in case.scene.world.containers() {
        let Some(now) = world.container(&found.name) else {
            if !may_go(&found.name) {
                wrongs.push(format!("container {} is gone", found.name));
            }
            continue;
        };
        if now.restart_policy != found.restart_policy {
            wrongs.push(format!("{} has policy {}", now.name, now.restart_policy.name));
        }
        if !oracle::as_found(found.run, now.run, &found.restart_policy.name, past) {
            wrongs.push(format!("{} is {:?} and was {:?}", now.name, now.run, found.run));
        }
    }
    if world.containers().count() + gone != case.scene.world.containers().count() {
        wrongs.push("there are other containers than before".into());
    }
    wrongs
}

/// How a recovery ended, in words.
pub fn outcome(ended: &Ended, crashed: &World, world: &World) -> String {
    match ended {
        Ended::Nothing if crashed.journal_names().is_empty() => "nothing to do".into(),
        Ended::Nothing if world.journal_names().is_empty() => "woken".into(),
        Ended::Nothing => "journal left".into(),
        Ended::Reported(_) => "a restore".into(),
        Ended::Failed(error) => format!("failed ({})", error.code),
        Ended::Gone => "gone".into(),
    }
}
