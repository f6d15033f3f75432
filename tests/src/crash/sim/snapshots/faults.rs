//! Faults that are no crashes, in snapshots: every error of every call, what others do in the middle, and an app that
//! works just after it.

use std::path::Path;

use volsnap_core::model::SnapshotId;
use volsnap_sim::{Boot, Chooser, Event, Fault, MicroKind, Moment, World, disk::Disk};

use super::{
    Attempt, Case, Taken,
    judge::{check_apps, check_crashed, check_next, check_recovered, check_taken},
    take,
};
use crate::{
    crash::sim::faults::{Tally, errors_at, harmless_at, is_repeated, rarer_at},
    oracle::{Past, Wrongs},
    process::recover,
    worlds::Kind,
};

/// Strikes a snapshot at each of its operations with one error of each kind, with people and machines, and lets the app
/// work at the operation after it.
#[must_use]
pub fn faults(case: &Case) -> Tally {
    let mut tally = Tally::default();
    let mut world = case.scene.world.clone();
    world.remember(true);
    let history = take(case, world).world.history().to_vec();
    let apps: Vec<String> = case.scene.world.containers().map(|c| c.name.clone()).collect();
    // Without the first one, one that uses its network cannot be started again, and that is said.
    let is_used = case.scene.spec.apps.iter().any(|app| app.kind == Kind::SharesNetwork);
    // One that removes itself goes when it is stopped, whoever does it.
    let goes = |name: &str| case.scene.kind_of(name) == Kind::RemovesItself;
    let mut stoppable = apps.clone();
    stoppable.retain(|name| !goes(name) && (!is_used || name != "app0"));
    let restarts = !apps.iter().any(|name| goes(name));
    for (op, moment) in (0..).zip(&history) {
        let struck = errors_at(moment).into_iter().chain(rarer_at(moment)).filter(|(_, fault)| !is_repeated(fault));
        for (what, fault) in struck.chain(meddling(moment, &apps, &stoppable, restarts)) {
            if tally.is_full() {
                return tally;
            }
            strike(case, &mut tally, what, op, fault);
        }
        for (what, fault) in harmless_at(moment) {
            let strikes = [(op, fault)];
            let attempt = struck_by(case, &mut tally, what, &strikes);
            let wrongs = check_taken(case, &attempt);
            complain(case, &mut tally, &strikes, wrongs);
        }
    }
    tally
}

/// What others do: an engine that restarts, a person who starts or stops a container, a disk that is full.
fn meddling(moment: &Moment, apps: &[String], stoppable: &[String], restarts: bool) -> Vec<(&'static str, Fault)> {
    let mut faults = vec![
        ("full disks", Fault::Event(Event::Full(0))),
        ("full disks", Fault::Event(Event::Full(1))),
        ("writeback", Fault::Event(Event::Writeback)),
    ];
    if moment.kind != MicroKind::Engine && !apps.is_empty() {
        if restarts {
            faults.push(("engine restarts", Fault::Event(Event::EngineRestart)));
        }
        for app in apps {
            faults.push(("apps started", Fault::Event(Event::Start(app.clone()))));
        }
        for app in stoppable {
            faults.push(("apps stopped", Fault::Event(Event::Stop(app.clone()))));
        }
    }
    faults
}

/// Puts another directory at the root of each volume at each operation of a snapshot. What was read before the last look
/// at the roots is no snapshot, and the app goes on.
#[must_use]
pub fn replacements(case: &Case) -> Tally {
    let mut tally = Tally::default();
    let mut world = case.scene.world.clone();
    world.remember(true);
    let undisturbed = take(case, world);
    let last_read = undisturbed.world.history().iter().rposition(|moment| moment.call == "capture");
    for op in 0..=last_read.unwrap_or(0) as u64 {
        for volume in case.scene.volumes.iter().filter(|volume| volume.original.is_some()) {
            let fault = Fault::Event(Event::Replace(volume.live.clone()));
            let attempt = struck_by(case, &mut tally, "roots replaced", &[(op, fault.clone())]);
            let mut wrongs = match &attempt.taken {
                Taken::Failed(_) => Wrongs::new(),
                // It came before the first look.
                Taken::Done(taken) if is_of_replaced(case, &attempt.world, taken.snapshot.id(), &volume.live) => {
                    Wrongs::new()
                }
                taken @ (Taken::Done(_) | Taken::Gone) => vec![format!("replaced at {op}, and it ended in {taken:?}")],
            };
            wrongs.extend(check_apps(case, &attempt.world, Past::default()));
            complain(case, &mut tally, &[(op, fault)], wrongs);
        }
    }
    tally
}

fn is_of_replaced(case: &Case, world: &World, snapshot: SnapshotId, live: &Path) -> bool {
    let index = case.scene.volumes.iter().position(|volume| volume.live == live);
    let archived = world.archived(case.scene.workload.id, snapshot).unwrap_or_default();
    index.and_then(|index| archived.get(index)).is_some_and(|tree| tree.contains_key("foreign"))
}

fn struck_by(case: &Case, tally: &mut Tally, what: &'static str, strikes: &[(u64, Fault)]) -> Attempt {
    *tally.strikes.entry(what).or_default() += 1;
    tally.runs += 1;
    take(case, struck_world(case, strikes))
}

fn struck_world(case: &Case, strikes: &[(u64, Fault)]) -> World {
    let mut world = case.scene.world.clone();
    strikes.iter().for_each(|(op, fault)| world.strike(*op, fault.clone()));
    world
}

fn strike(case: &Case, tally: &mut Tally, what: &'static str, op: u64, fault: Fault) {
    // Whoever changes what runs is not asked to set it right again.
    let meddled = matches!(&fault, Fault::Event(Event::EngineRestart | Event::Start(_) | Event::Stop(_)));
    let strikes = [(op, fault), (op + 1, Fault::Event(Event::Work))];
    let attempt = struck_by(case, tally, what, &strikes);
    let mut wrongs = check_crashed(case, &attempt.world, attempt.freeze.as_ref());
    if let Taken::Done(_) = attempt.taken
        && !meddled
    {
        wrongs.extend(check_taken(case, &attempt));
    }
    if let (Taken::Failed(error), true) = (&attempt.taken, attempt.world.journal_names().is_empty())
        && !meddled
        && !attempt.world.engine_is_down()
    {
        let apps = check_apps(case, &attempt.world, Past::default());
        wrongs.extend(apps.into_iter().map(|wrong| format!("after `{error}` without a journal: {wrong}")));
    }
    for (crashed, past) in nexts(&attempt.world, meddled) {
        tally.runs += 2;
        let left = recover(&case.scene, crashed.clone());
        let mut after = check_recovered(case, &crashed, &left.world, &left.ended, attempt.freeze.as_ref(), past);
        if meddled {
            after.retain(|wrong| !wrong.contains(" is ") || wrong.contains("archive"));
        }
        let mut next = left.world;
        next.restart_process();
        // Whoever needs a disk makes room first.
        (0..case.scene.world.disks().count()).for_each(|disk| next.set_space(disk, 1 << 30));
        after.extend(check_next(case, &take(case, next), attempt.freeze.as_ref()));
        wrongs.extend(after);
    }
    complain(case, tally, &strikes, wrongs);
}

/// How the next process may find what one left: as it is, or after a power cut that takes all or little.
fn nexts(world: &World, meddled: bool) -> Vec<(World, Past)> {
    let mut killed = world.clone();
    killed.restart_process();
    let engine_was_down = killed.engine_is_down();
    if engine_was_down {
        killed.start_engine();
    }
    let past = Past { cut: engine_was_down, unpinned: engine_was_down || meddled, faults: true };
    let mut worlds = Vec::new();
    // After a sync that lost names it takes a remount to see what is there.
    if !world.disks().any(Disk::deceives) {
        worlds.push((killed, past));
    }
    for script in [vec![0; 16], vec![1; 16]] {
        let mut cut = world.clone();
        cut.reboot(&mut Chooser::scripted(script), &Boot::default());
        worlds.push((cut, Past { cut: true, unpinned: true, faults: true }));
    }
    worlds
}

fn complain(case: &Case, tally: &mut Tally, strikes: &[(u64, Fault)], wrongs: Wrongs) {
    tally.complain(&case.scene, format!("{}: {strikes:?}", case.name()), wrongs, || {
        let mut world = struck_world(case, strikes);
        world.remember(true);
        let attempt = take(case, world);
        let mut story = attempt.world.story().to_vec();
        story.push(format!("ended: {:?}", attempt.taken));
        story
    });
}
