//! What must be true of a restore, whatever happened: the invariants of the design, as checks that name what they miss.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use volsnap_core::{
    model::{
        Redeploy, RestoreId, RunState, container,
        place::{PRIVATE_PREFIX, aside_in, leaving_in, staged_in},
    },
    ports::Event,
    restore::{Body, Journal, Outcome, Report, State, journal::Safety, state::Direction},
};
use volsnap_sim::{RESTORED_ATTRIBUTES, World, fingerprint};

use crate::{
    process::Ended,
    worlds::{Kind, Live, Scene, SceneVolume, Tree},
};

/// What happened before, as far as it changes what may be expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Past {
    /// The power went, or the engine restarted.
    pub cut: bool,
    /// That happened while the journal did not hold what ran: the engine's own rules are all that brings an app back.
    pub unpinned: bool,
    /// Something other than a crash went wrong: going back is always allowed.
    pub faults: bool,
}

/// Things that are wrong. Empty is good.
pub type Wrongs = Vec<String>;

/// The tree without what apps wrote while the story went on.
pub(crate) fn own(tree: &Tree) -> Tree {
    let is_own = |path: &str| !path.contains("app-") && !path.starts_with(PRIVATE_PREFIX);
    tree.iter().filter(|(path, _)| is_own(path)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub(crate) fn holds(world: &World, path: &Path, tree: &Tree) -> bool {
    world.tree(path).is_some_and(|found| own(&found) == *tree)
}

/// Journals that were read before, by fingerprint: thousands of worlds have the same.
#[derive(Clone, Debug, Default)]
pub struct Journals(Arc<Mutex<HashMap<u64, Option<Arc<State>>>>>);

impl Journals {
    fn read(&self, bytes: &[u8]) -> Option<Arc<State>> {
        let mut known = self.0.lock().expect("nobody panics with it");
        known.entry(fingerprint(bytes)).or_insert_with(|| Self::replay(bytes).map(Arc::new)).clone()
    }

    fn replay(bytes: &[u8]) -> Option<State> {
        match Journal::decode(bytes).ok()?.body {
            Body::Restore(records) => State::replay(&records).ok(),
            Body::Snapshot(_) => None,
        }
    }
}

/// The state of the open restore, if its journal can be read.
#[must_use]
pub fn state(scene: &Scene, world: &World) -> Option<Arc<State>> {
    let path = world.journal_dir().join(format!("{}.json", scene.workload.id));
    scene.journals.read(&world.read(&path)?)
}

/// Checks a world just after a crash, before anybody has repaired anything; `before` is the world at that instant.
#[must_use]
pub fn check_crashed(scene: &Scene, before: &World, after: &World) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let state = state(scene, after);
    if state.is_none() && !after.journal_names().is_empty() {
        return vec!["the journal cannot be read".into()];
    }
    wrongs.extend(check_frozen(scene, after, false));
    let committed = state.as_ref().is_some_and(|state| state.committed.is_some());
    for (index, volume) in scene.volumes.iter().enumerate() {
        if let Some(original) = &volume.original
            && scene.spec.safety
            && !original_somewhere(scene, after, index, volume, original)
        {
            wrongs.push(format!("one original: nowhere is the original of {} whole", volume.live.display()));
        }
        let moved = original_of(volume) != live_of(after, volume);
        if moved && !committed && (state.is_some() || has_private(before, volume)) {
            wrongs.push(format!("write-ahead: {} was renamed, and the commit is not durable", volume.live.display()));
        }
    }
    if let Some(state) = &state
        && after.disks().all(|disk| disk.mounted)
        && state.direction() == Direction::Forward
        && !state.switched
    {
        let revived: Vec<&str> = after.containers().filter(|c| c.run.is_active()).map(|c| c.name.as_str()).collect();
        let ran_before = before.containers().any(|c| c.run.is_active());
        if !revived.is_empty() && !ran_before {
            wrongs.push(format!("fence: {revived:?} run in the middle of the switch"));
        }
    }
    wrongs
}

/// Read-only subvolumes are nobody's to delete: each lies in its place or in what was set aside, and `in_place` once all
/// that is gone.
fn check_frozen(scene: &Scene, world: &World, in_place: bool) -> Wrongs {
    let mut wrongs = Wrongs::new();
    for (index, volume) in scene.volumes.iter().enumerate().filter(|_| scene.spec.frozen) {
        let live = || volume.live.clone();
        let mut found = world.frozen(&live());
        if !volume.stays {
            // Beside it there are those of its neighbours, too, whose subvolumes have the same names.
            let own = |dir: &&PathBuf| dir.to_string_lossy().ends_with(&format!("-{index}"));
            found.extend(private_dirs(world, volume).iter().filter(own).flat_map(|dir| world.frozen(dir)));
        }
        let expected = scene.world.frozen(&live());
        for path in &expected {
            let places = found.iter().filter(|place| place.ends_with(path)).count();
            if places != 1 {
                wrongs.push(format!(
                    "read-only subvolumes: {} of {} is at {places} places",
                    path.display(),
                    live().display()
                ));
            }
        }
        if in_place && !has_private(world, volume) && world.frozen(&live()) != expected {
            wrongs.push(format!("read-only subvolumes: those of {} are not in their places", live().display()));
        }
    }
    wrongs
}

/// A volume without an original may have been given an empty directory by the container engine.
fn original_of(volume: &SceneVolume) -> Tree {
    volume.original.clone().unwrap_or_default()
}

fn live_of(world: &World, volume: &SceneVolume) -> Tree {
    own(&world.tree(&volume.live).unwrap_or_default())
}

pub(crate) fn private_dirs(world: &World, volume: &SceneVolume) -> Vec<PathBuf> {
    let holder = match volume.stays {
        true => volume.live.as_path(),
        false => volume.live.parent().unwrap_or(Path::new("/")),
    };
    let names = world.names(holder);
    names.iter().filter(|name| name.starts_with(PRIVATE_PREFIX)).map(|name| holder.join(name)).collect()
}

fn has_private(world: &World, volume: &SceneVolume) -> bool {
    !private_dirs(world, volume).is_empty()
}

pub(crate) fn original_somewhere(
    scene: &Scene,
    world: &World,
    index: usize,
    volume: &SceneVolume,
    original: &Tree,
) -> bool {
    let beside = private_dirs(world, volume);
    holds(world, &volume.live, original)
        || beside.iter().any(|dir| holds(world, &staged_in(dir), original) || holds(world, &aside_in(dir), original))
        || volume.stays && original_in_parts(world, volume, original)
        || safety_archives(scene, world).iter().any(|trees| trees.get(index).is_some_and(|tree| own(tree) == *original))
}

/// In the middle of a switch by entry some of it is live, and the rest where it gathers.
fn original_in_parts(world: &World, volume: &SceneVolume, original: &Tree) -> bool {
    let gathering = private_dirs(world, volume).into_iter().flat_map(|dir| [leaving_in(&dir), aside_in(&dir)]);
    let parts: Vec<Tree> = gathering.chain([volume.live.clone()]).filter_map(|dir| world.tree(&dir)).collect();
    original.iter().all(|(path, bytes)| parts.iter().any(|part| part.get(path) == Some(bytes)))
}

/// The trees of every whole archive of the workload but the one that is restored.
#[must_use]
pub fn safety_archives(scene: &Scene, world: &World) -> Vec<Vec<Tree>> {
    let dir = world.state_dir().join("snapshots").join(scene.workload.id.to_string());
    let names = world.names(&dir);
    let ids = names.iter().filter_map(|name| name.strip_suffix(".tar.zst")?.parse().ok());
    ids.filter(|id| *id != scene.snapshot.id()).filter_map(|id| world.archived(scene.workload.id, id)).collect()
}

/// Checks a world in which an operation has come to its end and nothing more is to be done.
#[must_use]
pub fn check_ended(scene: &Scene, world: &World, ended: &Ended, past: Past) -> Wrongs {
    let mut wrongs: Wrongs = world.violations().to_vec();
    let report = match ended {
        Ended::Reported(report) => Some(&**report),
        Ended::Nothing => None,
        Ended::Failed(error) if !past.faults => {
            wrongs.push(format!("it failed: {error}"));
            None
        }
        Ended::Failed(_) => None,
        Ended::Gone => {
            wrongs.push("it waits for ever".into());
            None
        }
    };
    if let Some(Report { outcome: Outcome::NeedsAttention, cause, .. }) = report {
        wrongs.push(format!("it needs attention: {cause:?}"));
        return wrongs;
    }
    // What is resumed after a boot finds the app as its engine's rules left it: health is that of what ran then.
    let left_down = scene.spec.resume && past.unpinned && !world.containers().any(|c| c.run.is_active());
    if scene.spec.reverts()
        && !left_down
        && !past.faults
        && report.is_some_and(|report| report.outcome == Outcome::Restored)
    {
        wrongs.push("the restored data stand, and the app is sick on them".into());
    }
    wrongs.extend(check_data(scene, world, report));
    wrongs.extend(check_frozen(scene, world, true));
    wrongs.extend(check_clean(scene, world, report, past));
    wrongs.extend(check_apps(scene, world, report, past));
    wrongs
}

/// All as it was, or all restored; and if restored, the originals are kept.
#[must_use]
pub fn check_data(scene: &Scene, world: &World, report: Option<&Report>) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let volumes = || scene.volumes.iter();
    // A directory that stays has to be given the attributes of what is in it.
    let like = |v: &SceneVolume, wanted| !v.stays || world.attributes(&v.live) == wanted;
    let restored = volumes().all(|v| holds(world, &v.live, &v.restored) && like(v, Some(RESTORED_ATTRIBUTES)));
    let original = volumes().all(|v| original_of(v) == live_of(world, v) && like(v, scene.world.attributes(&v.live)));
    match report.map(|report| report.outcome) {
        Some(Outcome::Restored) if !restored => {
            wrongs.push(format!("the report says restored, and the data are not: {}", seen(scene, world)));
        }
        Some(Outcome::Aborted | Outcome::Reverted) if !original => {
            wrongs.push("the report says that the original is back, and it is not".into());
        }
        _ if !restored && !original => {
            let seen = seen(scene, world);
            wrongs.push(format!("one direction: neither all original nor all restored: {seen}"));
        }
        _ => {}
    }
    if restored && !original && scene.spec.safety {
        for (index, volume) in scene.volumes.iter().enumerate() {
            if let Some(original) = &volume.original
                && !original_somewhere(scene, world, index, volume, original)
            {
                wrongs.push(format!("the original of {} was not kept", volume.live.display()));
            }
        }
    }
    wrongs
}

/// What is live, in words.
fn seen(scene: &Scene, world: &World) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let files = |v| live_of(world, v).iter().map(|(path, bytes)| format!("{path}={}", text(bytes))).collect();
    let volumes = scene.volumes.iter().map(|v| (v.live.display().to_string(), files(v)));
    format!("{:?}", volumes.collect::<Vec<(String, Vec<String>)>>())
}

/// The restore that is undone: one that only waits for its app, or that of which there is a record.
fn last_restore(scene: &Scene, world: &World) -> Option<RestoreId> {
    if let Some(open) = state(scene, world).filter(|open| open.waits_for_the_app()) {
        return (open.direction() == Direction::Forward).then_some(open.plan.restore);
    }
    let path = world.state_dir().join("journal").join(format!("{}.last", scene.workload.id));
    match Journal::decode(&world.read(&path)?).ok()?.body {
        Body::Restore(records) => State::replay(&records).ok().map(|state| state.plan.restore),
        Body::Snapshot(_) => None,
    }
}

fn is_of(event: &Event, report: &Report) -> bool {
    event.detail["restore_id"] == serde_json::json!(report.restore_id)
}

/// Nothing of ours is left, and nothing of others is gone.
fn check_clean(scene: &Scene, world: &World, report: Option<&Report>, past: Past) -> Wrongs {
    let mut wrongs = Wrongs::new();
    // A report that did not reach its reader is in the audit trail.
    let told = world.recorded_events().any(|event| event.detail.to_string().contains("originals are kept"));
    let kept = told || report.is_some_and(|r| r.warnings.iter().any(|w| w.contains("originals are kept")));
    for volume in &scene.volumes {
        let left = private_dirs(world, volume);
        if !left.is_empty() && !kept {
            wrongs.push(format!("closed is clean: {left:?} is left"));
        }
        let neighbour = volume.live.with_file_name("neighbour");
        if world.tree(&neighbour).is_none_or(|tree| tree.is_empty()) {
            wrongs.push(format!("only our own litter: {} is gone", neighbour.display()));
        }
    }
    // One that is left for an app that is down says what ran.
    let owes = report.is_some_and(|r| r.app_problem.is_some())
        && state(scene, world).is_some_and(|state| state.waits_for_the_app());
    if !world.journal_names().is_empty() && !owes {
        wrongs.push("closed is clean: the journal is left".into());
    }
    if let Some(report) = report
        && report.outcome == Outcome::Restored
        && last_restore(scene, world) != Some(report.restore_id)
    {
        wrongs.push("undo would be of another restore than the last".into());
    }
    if let Some(report) = report
        && !past.faults
        && !world.recorded_events().any(|event| event.id == report.restore_id.0 || owes && is_of(event, report))
    {
        wrongs.push("the audit trail does not know of it".into());
    }
    let archives = world.names(&world.state_dir().join("snapshots").join(scene.workload.id.to_string()));
    // After an error the unfinished file waits for the next sweep.
    if let Some(draft) = archives.iter().find(|name| !name.ends_with(".tar.zst"))
        && !past.faults
    {
        wrongs.push(format!("closed is clean: the unfinished archive {draft} is left"));
    }
    if scene.spec.safety && safety_archives(scene, world).len() > 1 {
        wrongs.push("one restore left two safety archives".into());
    }
    wrongs
}

/// The app is back as it was found, on the directories that are live.
fn check_apps(scene: &Scene, world: &World, report: Option<&Report>, past: Past) -> Wrongs {
    let mut wrongs = Wrongs::new();
    let excused = report.is_some_and(|r| r.warnings.iter().any(|w| w.contains("did not come back")));
    let runs = |name: &str| world.container(name).is_some_and(|c| c.run == RunState::Running);
    // An engine that comes up removes it, and nothing says what ran.
    let goes = |kind| kind == Kind::RemovesItself && past.unpinned;
    for stale in world.stale_containers() {
        wrongs.push(format!("{stale} runs on a directory that is not live"));
    }
    for found in scene.world.containers() {
        let kind = scene.kind_of(&found.name);
        let Some(now) = world.container(&found.name) else {
            if !excused && !goes(kind) {
                wrongs.push(format!("container {} is gone", found.name));
            }
            continue;
        };
        if now.restart_policy != found.restart_policy {
            wrongs.push(format!("{} has policy {}", now.name, now.restart_policy.name));
        }
        // What stands in a container's own layer is in no archive: the way back leads to the very container, and so does a
        // restore that only starts it again.
        let went_back = report.is_some_and(|r| matches!(r.outcome, Outcome::Aborted | Outcome::Reverted));
        let stays = kind != Kind::RemovesItself && !past.faults;
        if now.id != found.id && stays && (went_back || scene.spec.redeploy == Redeploy::Restart) {
            wrongs.push(format!("{} is not the container that it was, but another one", now.name));
        }
        if now.image_id != found.image_id {
            wrongs.push(format!("{} runs {}", now.name, now.image_id));
        }
        let may_be = match kind {
            Kind::Plain | Kind::Waits | Kind::HasVolumes | Kind::RemovesItself => false,
            Kind::SharesNetwork | Kind::Linked => past.unpinned && !runs("app0"),
            Kind::OneOff => now.run == RunState::Stopped,
            Kind::CannotStart => past.unpinned,
        };
        // One that does not run keeps the volumes that it has, and so does one that could not be made anew; that it cannot
        // be made anew with them any more is said.
        let matters = !excused && (kind != Kind::HasVolumes || now.run.is_active());
        let by_id = now.particulars.peers.iter().filter(|peer| !peer.by_name && matters);
        for peer in by_id.filter(|peer| world.containers().all(|c| c.id.0 != peer.name)) {
            wrongs.push(format!("{} refers to {}, which is gone", now.name, peer.name));
        }
        // An engine that denies one outside is believed.
        let is_denied = past.faults && !scene.is_member(&found.name);
        if kind == Kind::SharesNetwork && !is_denied && runs(&now.name) && world.started_before(&now.name, "app0") {
            wrongs.push(format!("{} has lost its network", now.name));
        }
        if !excused && !may_be && !as_found(found.run, now.run, &found.restart_policy.name, past) {
            wrongs.push(format!("{} is {:?} and was {:?}", now.name, now.run, found.run));
        }
    }
    let names: Vec<&str> = world.containers().map(|c| c.name.as_str()).collect();
    let may_be_fewer = excused || scene.spec.apps.iter().any(|app| goes(app.kind));
    if !may_be_fewer && names.len() != scene.world.containers().count() {
        wrongs.push(format!("closed is clean: the containers are {names:?}"));
    }
    let restore = report.map(|report| report.restore_id);
    if let Some(ours) = names.iter().find(|name| restore.is_some_and(|id| container::is_ours(name, id))) {
        wrongs.push(format!("closed is clean: container {ours} is left"));
    }
    wrongs
}

/// Whether a container may be in that state: as found, or as a restart of the machine leaves it by its policy.
#[must_use]
pub fn as_found(found: RunState, now: RunState, policy: &str, past: Past) -> bool {
    let by_policy = match (policy, found) {
        ("always", _) => now == RunState::Running,
        ("no", _) => now == RunState::Stopped,
        (_, RunState::Stopped) => now == RunState::Stopped,
        (_, RunState::Running | RunState::Paused) => true,
    };
    now == found || past.unpinned && by_policy || past.cut && found == RunState::Stopped && by_policy
}

/// Checks that a power cut after the end changes nothing of what was reported.
#[must_use]
pub fn check_after_end(scene: &Scene, world: &World, ended: &Ended, past: Past) -> Wrongs {
    let Ended::Reported(report) = ended else { return Wrongs::new() };
    let past = Past { cut: true, unpinned: true, ..past };
    let mut wrongs = check_data(scene, world, Some(report));
    wrongs.extend(check_clean(scene, world, Some(report), past));
    wrongs.extend(check_apps(scene, world, Some(report), past));
    wrongs.into_iter().map(|wrong| format!("power cut after the report: {wrong}")).collect()
}

/// Whether a power cut in this world leaves the app to its engine's own rules: nothing says (any more) what ran.
#[must_use]
pub fn leaves_app_alone(scene: &Scene, world: &World) -> bool {
    state(scene, world).is_none_or(|state| state.pinned.is_none() || state.redeployed.is_some())
}

/// Checks that recovery went the way that the journal named: only `Committed` and `Aborted` choose it.
#[must_use]
pub fn check_direction(scene: &Scene, crashed: &World, ended: &Ended, past: Past) -> Wrongs {
    let (Some(state), Ended::Reported(report)) = (state(scene, crashed), ended) else { return Wrongs::new() };
    let turned_round = scene.spec.reverts() || past.faults;
    let goes_on = report.outcome == Outcome::Restored || turned_round && report.outcome == Outcome::Reverted;
    // A boot may have started somebody else's container on the volumes, under which nothing is switched.
    let may_give_up = past.faults || scene.spec.apps.iter().any(|app| !app.member);
    let expected = match state.direction() {
        Direction::Undecided if state.resumes() => goes_on || may_give_up && report.outcome == Outcome::Aborted,
        Direction::Undecided => report.outcome == Outcome::Aborted,
        Direction::Forward => goes_on,
        Direction::Back => matches!(report.outcome, Outcome::Aborted | Outcome::Reverted),
    };
    let kept = matches!(state.captured, Some(Safety::Kept { .. }));
    let live_missing = scene.spec.volumes.iter().any(|v| v.live == Live::Missing);
    match expected || kept || live_missing && past.faults {
        true => Wrongs::new(),
        false => vec![format!("the journal said {:?}, and it ended {:?}", state.direction(), report.outcome)],
    }
}
