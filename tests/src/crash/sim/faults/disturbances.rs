//! What others do in the middle: people who start containers and replace directories, engines that restart, disks that
//! are suddenly full, a catalog that is lost.

use std::path::Path;

use volsnap_core::{
    model::place::{PRIVATE_PREFIX, aside_in, staged_in},
    ports::{Filesystem as _, StoreErrorKind},
    restore::Outcome,
};
use volsnap_sim::{Event, Fault, Machine, MicroKind, Moment, World};

use super::{Tally, Trial, is_end, outcome};
use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, Left, recover},
    worlds::{Live, Scene, SceneVolume},
};

/// The name of a container that somebody starts on a volume.
const STRANGER: &str = "stranger";

/// Disturbs a restore just before each of its operations.
#[must_use]
pub fn disturbances(scene: &Scene) -> Tally {
    let mut trial = Trial::of_restore(scene);
    let (history, left) = trial.undisturbed();
    let live = scene.volumes[0].live.clone();
    let looks = Looks::of(&history);
    for op in 0..history.len() {
        if trial.tally.is_full() {
            break;
        }
        let at = op as u64;
        trial.strike_in_vain("writeback", &[(at, Fault::Event(Event::Writeback))], &left.ended);
        trial.strike_in_vain("app writes", &[(at, Fault::Event(Event::Tick))], &left.ended);
        full(&mut trial, at, 0);
        full(&mut trial, at, 1);
        if history[op].kind != MicroKind::Engine {
            engine_restarts(&mut trial, at, is_racy(&history, op));
        }
        if op % 3 == 0 {
            catalog_lost(&mut trial, at);
        }
        if op % 3 == 1 {
            engine_swapped(&mut trial, at);
        }
        if !is_racy(&history, op) {
            started(&mut trial, at);
            if !scene.spec.apps.is_empty() {
                stranger(&mut trial, at, &live, op <= looks.before_commit);
            }
        }
        // In the middle of a call nobody can come between: a rename is one.
        let is_call = history[op].kind == MicroKind::Call;
        if is_call
            && scene.spec.safety
            && scene.spec.volumes[0].live == Live::Full
            && !scene.spec.apps.iter().any(|app| app.run.is_active())
        {
            replaced(&mut trial, at, &live, op <= looks.places_before_commit, op <= looks.before_switched);
        }
        let is_planned = op > looks.opened && scene.spec.volumes[0].live == Live::Subvolume;
        if is_call && is_planned && !is_unseen(&history, op, &live) {
            rolled_back(&mut trial, at, op <= looks.before_switched);
        }
    }
    trial.tally
}

/// The last looks before the decision falls: what comes before them has to be seen in time.
struct Looks {
    /// When the restore is written down, with what is live.
    opened: usize,
    /// At the containers.
    before_commit: usize,
    /// At the directories.
    places_before_commit: usize,
    /// At the directories, before `Switched` is written.
    before_switched: usize,
}

impl Looks {
    fn of(history: &[Moment]) -> Self {
        let calls = |name: &str| {
            let is_call = move |(_, m): &(usize, &Moment)| m.call == name && m.kind == MicroKind::Call;
            history.iter().enumerate().filter(is_call).map(|(op, _)| op).collect::<Vec<usize>>()
        };
        let writes = calls("write_journal");
        // Opened, pinned, committed, switched.
        let write = |nth: usize| writes.get(nth).copied().unwrap_or(0);
        let last = |name, before| calls(name).into_iter().rfind(|op| *op < before).unwrap_or(0);
        Looks {
            opened: write(0),
            before_commit: last("mounting", write(2)),
            places_before_commit: last("settle", write(2)),
            before_switched: last("settle", write(3)),
        }
    }
}

/// Whether a container that starts there cannot be seen any more before a name is changed. No look can close that gap:
/// the fence keeps the engine from it, and people are told not to.
fn is_racy(history: &[Moment], op: usize) -> bool {
    let renames = |m: &Moment| matches!(m.call, "exchange" | "rename" | "remove_empty" | "move_entries");
    let changes = |m: &Moment| renames(m) && m.kind == MicroKind::Change;
    let decisive = history[op..].iter().find(|m| m.call == "mounting" && m.kind == MicroKind::Call || changes(m));
    decisive.is_some_and(changes)
}

/// A disk is full from there on, for the next process too.
fn full(trial: &mut Trial<'_>, at: u64, disk: usize) {
    trial.strike("full disks", &[(at, Fault::Event(Event::Full(disk)))]);
}

fn engine_restarts(trial: &mut Trial<'_>, at: u64, racy: bool) {
    if trial.scene.spec.apps.is_empty() {
        return;
    }
    let strikes = [(at, Fault::Event(Event::EngineRestart))];
    trial.tally.count("engine restarts");
    let left = trial.struck(&strikes);
    let past = Past { cut: true, unpinned: true, faults: true };
    let mut wrongs = trial.follow(&left, past);
    if racy {
        wrongs.retain(|wrong| !wrong.contains("which is running"));
    }
    trial.complain(&strikes, wrongs);
}

/// Nothing that a recovery needs is in the catalog.
fn catalog_lost(trial: &mut Trial<'_>, at: u64) {
    let strikes = [(at, Fault::Kill)];
    trial.tally.count("lost catalogs");
    let mut world = trial.struck(&strikes).world;
    world.restart_process();
    world.break_store(Some(StoreErrorKind::Corrupt));
    let had_journal = !world.journal_names().is_empty();
    let left = recover(trial.scene, world);
    trial.tally.runs += 1;
    let mut wrongs = oracle::check_ended(trial.scene, &left.world, &left.ended, trial.past);
    if had_journal && !matches!(left.ended, Ended::Reported(_)) {
        wrongs.push(format!("recovery needs the catalog: {}", outcome(&left.ended)));
    }
    trial.complain(&strikes, wrongs);
}

/// A recovery finds another engine behind the socket, on which nothing may be done; the next one finds the right one.
fn engine_swapped(trial: &mut Trial<'_>, at: u64) {
    if trial.scene.spec.apps.is_empty() {
        return;
    }
    let strikes = [(at, Fault::Kill)];
    trial.tally.count("other engines");
    let mut world = trial.struck(&strikes).world;
    world.restart_process();
    let had_journal = !world.journal_names().is_empty();
    world.happen(&Event::OtherEngine);
    let mut left = recover(trial.scene, world);
    trial.tally.runs += 1;
    let mut wrongs = Wrongs::new();
    if had_journal && outcome(&left.ended) != format!("{:?}", Outcome::NeedsAttention) {
        wrongs.push(format!("another engine is believed: {}", outcome(&left.ended)));
    }
    if left.world.containers().next().is_some() {
        wrongs.push("the app was made a second time, on another engine".into());
    }
    left.world.happen(&Event::OtherEngine);
    // Also where the journal had gone: there is nothing to be done then.
    wrongs.extend(trial.follow(&left, trial.past));
    trial.complain(&strikes, wrongs);
}

/// Somebody starts an app that was stopped for the switch.
fn started(trial: &mut Trial<'_>, at: u64) {
    let apps: Vec<String> =
        trial.scene.world.containers().filter(|c| c.run.is_active()).map(|c| c.name.clone()).collect();
    for name in apps {
        trial.strike("apps started", &[(at, Fault::Event(Event::Start(name)))]);
    }
}

/// Somebody starts a container of their own on a volume: no name is changed under it, and unless the decision has
/// fallen it is left alone.
fn stranger(trial: &mut Trial<'_>, at: u64, live: &Path, in_time: bool) {
    let strikes = [(at, Fault::Event(Event::Run(STRANGER.into(), live.into())))];
    trial.tally.count("strangers");
    let left = trial.struck(&strikes);
    let mut wrongs: Wrongs = left.world.violations().to_vec();
    match &left.ended {
        Ended::Reported(report) if report.outcome == Outcome::NeedsAttention => {}
        Ended::Reported(report) => {
            wrongs.extend(oracle::check_data(trial.scene, &left.world, Some(report)));
            let told = report.warnings.iter().any(|warning| warning.contains(STRANGER));
            let runs = left.world.container(STRANGER).is_none_or(|c| c.run.is_active());
            if !runs && (in_time || !told) {
                wrongs.push(format!("the stranger was stopped, told {told} ({:?})", report.outcome));
            }
        }
        Ended::Failed(_) if is_end(&left) => {}
        other @ (Ended::Nothing | Ended::Failed(_) | Ended::Gone) => {
            wrongs.push(format!("it did not end: {}", outcome(other)));
        }
    }
    trial.complain(&strikes, wrongs);
}

/// Somebody puts a directory of their own in the place of a live one: it is never deleted, nor is what they moved.
fn replaced(trial: &mut Trial<'_>, at: u64, live: &Path, in_time: bool, before_switched: bool) {
    let strikes = [(at, Fault::Event(Event::Replace(live.into())))];
    trial.tally.count("replaced directories");
    let left = trial.struck(&strikes);
    let mut wrongs = Wrongs::new();
    let after = match &left.ended {
        Ended::Reported(report) => Some(report.outcome),
        Ended::Nothing | Ended::Failed(_) | Ended::Gone => None,
    };
    if in_time && after == Some(Outcome::NeedsAttention) {
        wrongs.push("a person is asked for while there is a way back".into());
    }
    let restored = left.world.tree(live).is_some_and(|tree| !tree.contains_key("foreign"));
    if before_switched && after == Some(Outcome::Restored) && !restored {
        wrongs.push("somebody else's directory is reported as restored".into());
    }
    let mut worlds = vec![left.world.clone()];
    let mut next = left.world;
    next.restart_process();
    trial.tally.runs += 1;
    worlds.push(recover(trial.scene, next).world);
    for world in worlds {
        if !foreign_somewhere(trial.scene, &world, live) {
            wrongs.push(format!("somebody else's directory at {} is gone", live.display()));
        }
        let moved = live.with_file_name(format!("{}.moved", live.file_name().unwrap_or_default().to_string_lossy()));
        // An absent volume is restored as an empty directory.
        let may_be_empty = trial.scene.spec.volumes[0].absent;
        if !may_be_empty && world.tree(&moved).is_some_and(|tree| tree.is_empty()) {
            wrongs.push(format!("what was moved to {} is gone", moved.display()));
        }
    }
    trial.complain(&strikes, wrongs);
}

/// Whether what is live is not looked at any more before its entries are moved, or something is written down of it.
fn is_unseen(history: &[Moment], op: usize, live: &Path) -> bool {
    let looks = |m: &Moment| m.call == "look" && m.kind == MicroKind::Call && Path::new(&m.label).ends_with(live);
    let acts = |m: &Moment| match m.call {
        "move_entries" => m.kind == MicroKind::Change,
        call => call == "write_journal" && m.kind == MicroKind::Call,
    };
    history[op..].iter().find(|m| looks(m) || acts(m)).is_some_and(acts)
}

/// Somebody puts a snapshot of a live subvolume in its place, which has its inode number and its birth. It is not the original,
/// nor is what is staged in it the staged tree: nothing in it is moved, and what is moved away is whole. Who is asked for and
/// puts the original back has the restore end as ever.
fn rolled_back(trial: &mut Trial<'_>, at: u64, before_switched: bool) {
    let volume = &trial.scene.volumes[0];
    let data = |world: &World| world.tree(&volume.live).map(|tree| oracle::own(&tree));
    let then = data(&trial.struck(&[(at, Fault::Kill)]).world);
    let strikes = [(at, Fault::Event(Event::RollBack(volume.live.clone())))];
    trial.tally.count("snapshots in place");
    let left = trial.struck(&strikes);
    let mut wrongs = Wrongs::new();
    let after = match &left.ended {
        Ended::Reported(report) => Some(report.outcome),
        Ended::Nothing | Ended::Failed(_) | Ended::Gone => None,
    };
    if before_switched && after == Some(Outcome::Restored) {
        wrongs.push("a snapshot of a subvolume is reported as restored".into());
    }
    let mut next = left.world.clone();
    next.restart_process();
    trial.tally.runs += 1;
    let moved = SceneVolume { live: volume.live.with_extension("moved"), ..volume.clone() };
    for world in [left.world.clone(), recover(trial.scene, next).world] {
        if data(&world) != then {
            wrongs.push(format!("{} is a snapshot that somebody put there, and it was changed", volume.live.display()));
        }
        let is_whole = |volume: &SceneVolume| {
            let original = volume.original.as_ref();
            original.is_none_or(|tree| oracle::original_somewhere(trial.scene, &world, 0, volume, tree))
        };
        if !is_whole(&moved) && !is_whole(volume) {
            wrongs.push(format!("the original of {} is nowhere whole", volume.live.display()));
        }
    }
    if wrongs.is_empty() && after == Some(Outcome::NeedsAttention) {
        let machine = Machine::start(left.world);
        let fs = machine.disks();
        for (from, to) in [(&volume.live, &volume.live.with_extension("snapshot")), (&moved.live, &volume.live)] {
            let put_back = machine.run(fs.rename(from, to)).done();
            wrongs.extend(put_back.and_then(Result::err).map(|error| format!("it cannot be put back: {error}")));
        }
        let mut left = Left { world: machine.snapshot(), ended: left.ended, points: left.points };
        // Whoever does this is not part of the story's crashes.
        left.world.happen(&Event::Writeback);
        wrongs.extend(trial.follow(&left, trial.past));
    }
    trial.complain(&strikes, wrongs);
}

fn foreign_somewhere(scene: &Scene, world: &World, live: &Path) -> bool {
    let has = |path: &Path| world.tree(path).is_some_and(|tree| tree.contains_key("foreign"));
    let parent = live.parent().unwrap_or(Path::new("/"));
    let names = world.names(parent);
    let mut private = names.iter().filter(|name| name.starts_with(PRIVATE_PREFIX)).map(|name| parent.join(name));
    let kept = oracle::safety_archives(scene, world).iter().flatten().any(|tree| tree.contains_key("foreign"));
    kept || has(live) || private.any(|dir| has(&staged_in(&dir)) || has(&aside_in(&dir)))
}
