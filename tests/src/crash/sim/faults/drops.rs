//! Futures that are dropped at every await point, and two processes at the same time.

use std::{path::Path, pin::pin};

use uuid::Uuid;
use volsnap_core::{
    engine::{Engine, Ports, SnapshotRequest},
    error::{Code, Error},
    model::{SnapshotId, Workload, WorkloadId},
};
use volsnap_sim::{Machine, World};

use super::{Process, Tally, Trial};
use crate::{
    oracle::{Past, Wrongs},
    process::{Ended, Left, engine, quiet, recovering, restoring},
    worlds::Scene,
};

/// Drops the future of a restore at each of its await points; the same process recovers, or the next one. Then the same
/// for the recovery of a process that was killed in the middle.
#[must_use]
pub fn drops(scene: &Scene) -> Tally {
    let mut tally = drop_everywhere(Trial::of_restore(scene));
    let mut world = scene.world.clone();
    world.record_crash_points();
    for point in crate::process::restore(scene, world).points.into_iter().step_by(11) {
        let mut killed = point.world;
        killed.restart_process();
        tally.add(drop_everywhere(Trial::of_recovery(scene, killed)));
    }
    tally
}

fn drop_everywhere(mut trial: Trial<'_>) -> Tally {
    let mut polls = 0;
    loop {
        polls += 1;
        let machine = Machine::start_slow(trial.start.clone());
        let engine = engine(&machine, trial.scene);
        trial.tally.runs += 1;
        let ended = match trial.process {
            Process::Restore => machine.poll(pin!(restoring(&engine, trial.scene)), polls),
            Process::Recover => machine.poll(pin!(recovering(&engine)), polls),
        };
        if ended.is_some() || trial.tally.is_full() {
            return trial.tally;
        }
        trial.tally.count("drops at await points");
        // The next process.
        let left = Left { world: machine.snapshot(), ended: Ended::Gone, points: Vec::new() };
        let mut wrongs = trial.follow(&left, trial.past);
        // The same process: its locks are free again, since destructors ran.
        let again = machine.poll(pin!(recovering(&engine)), u64::MAX).unwrap_or(Ended::Gone);
        trial.tally.runs += 1;
        let left = Left { world: machine.snapshot(), ended: again, points: Vec::new() };
        if let Ended::Failed(error) = &left.ended {
            wrongs.push(format!("the same process cannot recover: {error}"));
        }
        wrongs.extend(trial.follow(&left, trial.past));
        let what = format!("{:?}: dropped after {polls} polls", trial.process);
        trial.tally.complain(trial.scene, what, wrongs, Vec::new);
    }
}

/// Another process recovers while a restore is under way, at each of its await points, and one with a state directory of
/// its own takes a snapshot of the same directories under another name: both must be told that somebody is at it, and the
/// restore must end as if it had been alone.
#[must_use]
pub fn together(scene: &Scene) -> Tally {
    let mut tally = Tally::default();
    let mut polls = 0;
    let journals = scene.world.journal_dir();
    while !tally.is_full() {
        polls += 5;
        let mut world = scene.world.clone();
        for dir in ["journal", "snapshots", "locks"] {
            world.put_dir(&Path::new(ELSEWHERE).join(dir));
        }
        let machine = Machine::start_slow(world);
        let (first, second) = (engine(&machine, scene), engine(&machine, scene));
        let mut restore = pin!(restoring(&first, scene));
        tally.runs += 2;
        if machine.poll(restore.as_mut(), polls).is_some() {
            break;
        }
        tally.count("two processes");
        let mut wrongs = Wrongs::new();
        match machine.poll(pin!(recovering(&second)), u64::MAX) {
            Some(Ended::Nothing) => {}
            Some(Ended::Failed(error)) if error.code == Code::Busy => {}
            other => wrongs.push(format!("a second process was let in: {other:?}")),
        }
        // From its journal on, the restore works on the directories.
        let is_open = !machine.world().names(&journals).is_empty();
        if is_open && scene.spec.apps.is_empty() {
            match machine.poll(pin!(snapshot_elsewhere(&machine, scene)), u64::MAX) {
                Some(Err(error)) if error.code == Code::Busy => {}
                // Between two renames there is nothing to be archived.
                Some(Err(error)) if error.code == Code::Refused && is_missing(&machine.world(), scene) => {}
                other => wrongs.push(format!("another state directory was let in: {other:?}")),
            }
        }
        let ended = machine.poll(restore, u64::MAX).unwrap_or(Ended::Gone);
        wrongs.extend(crate::oracle::check_ended(scene, &machine.snapshot(), &ended, Past::default()));
        tally.complain(scene, format!("a second process after {polls} polls"), wrongs, Vec::new);
    }
    tally
}

/// A state directory of somebody else.
const ELSEWHERE: &str = "/srv/other-volsnap";

/// Takes a snapshot of the same directories, under another name and from another state directory.
async fn snapshot_elsewhere(machine: &Machine, scene: &Scene) -> Result<SnapshotId, Error> {
    let ports = Ports { containers: None, ..machine.elsewhere(Path::new(ELSEWHERE)).ports() };
    let id = WorkloadId(Uuid::from_u128(0x99));
    let workload = Workload { id, name: "other".into(), ..scene.workload.clone() };
    let snapshot = Engine::new(ports).create(&SnapshotRequest::of(workload), &quiet()).await?;
    Ok(snapshot.snapshot.id())
}

fn is_missing(world: &World, scene: &Scene) -> bool {
    scene.volumes.iter().any(|volume| world.tree(&volume.live).is_none())
}
