//! What was the last: under a clock that jumps, a catalog that fails, and one that was lost.

use std::sync::Arc;

use uuid::Uuid;
use volsnap_core::{
    Code,
    engine::{Engine, Ports, RecoveredItem, RestoreRequest, SnapshotRequest},
    model::{DeclaredVolume, Selector, Snapshot, SnapshotId, Source, Workload, WorkloadId},
    ports::{FsErrorKind, Quiet, Watch},
    restore::Outcome,
};
use volsnap_sim::{DiskSpec, Event, Failure, Fault, Machine, MicroKind, Mutant, Reach, World, WorldBuilder};

const YEAR_S: i64 = 365 * 24 * 3600;

/// A clock that stays, one that is set to a year that is yet to come, and one that is set back before the epoch.
const JUMPS_S: [i64; 3] = [0, 17 * YEAR_S, -57 * YEAR_S];

fn workload() -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "app".into(),
        source: Source::Directories,
        selector: Selector::default(),
        volumes: vec![DeclaredVolume { target: "/data".into(), path: "/srv/data".into() }],
        created_at: jiff::Timestamp::UNIX_EPOCH,
        hooks: Vec::new(),
        known: Vec::new(),
    }
}

fn engine(machine: &Machine) -> Engine {
    Engine::new(Ports { containers: None, ..machine.ports() })
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

fn world() -> World {
    WorldBuilder::new(DiskSpec::at("/"), "/state")
        .disk(DiskSpec::at("/srv"))
        .tree("/srv/data", &[("a", "1"), ("b/c", "22")])
        .build()
}

/// What a life came to.
struct Life {
    machine: Machine,
    first: Snapshot,
    second: Snapshot,
    safeties: [SnapshotId; 2],
}

/// Two snapshots and two restores, with a jump of the clock before each but the first.
fn live(mutant: Option<Mutant>, jumps: [i64; 3]) -> Life {
    let mut world = world();
    world.set_mutant(mutant);
    let machine = Machine::start(world);
    let engine = engine(&machine);
    let jump = |seconds| machine.world().happen(&Event::ClockJump(seconds));
    let life = async {
        engine.add_workload(&workload()).await.unwrap();
        let first = engine.create(&SnapshotRequest::of(workload()), &quiet()).await.unwrap().snapshot;
        let mut safeties = [first.id(); 2];
        let mut second = None;
        for (index, seconds) in jumps.into_iter().enumerate() {
            jump(seconds);
            if index == 1 {
                second = Some(engine.create(&SnapshotRequest::of(workload()), &quiet()).await.unwrap().snapshot);
                continue;
            }
            let request = RestoreRequest::of(workload(), first.clone());
            let report = engine.restore(&request, &quiet()).await.unwrap();
            safeties[index / 2] = report.safety_snapshot.expect("originals were kept");
        }
        (first, second.unwrap(), safeties)
    };
    let (first, second, safeties) = machine.run(life).done().unwrap();
    Life { machine, first, second, safeties }
}

/// What is wrong about the last ones.
fn wrongs(life: &Life) -> Vec<String> {
    let engine = engine(&life.machine);
    let look = async {
        let latest = engine.snapshot(None, "app/latest").await.map(|s| s.id());
        let undo = engine.undo_of(&workload()).await.map(|s| s.id());
        let listed: Vec<SnapshotId> = engine.snapshots(None).await.unwrap().iter().map(Snapshot::id).collect();
        (latest, undo, listed)
    };
    let (latest, undo, listed) = life.machine.run(look).done().unwrap();
    let mut wrongs = Vec::new();
    if latest != Ok(life.second.id()) {
        wrongs.push(format!("latest is {latest:?}"));
    }
    if undo != Ok(life.safeties[1]) {
        wrongs.push(format!("undo is of {undo:?}"));
    }
    if listed != [life.safeties[1], life.second.id(), life.safeties[0], life.first.id()] {
        wrongs.push(format!("listed as {listed:?}"));
    }
    wrongs
}

fn every_jumps() -> Vec<[i64; 3]> {
    let pairs = JUMPS_S.into_iter().flat_map(|a| JUMPS_S.into_iter().map(move |b| (a, b)));
    pairs.flat_map(|(a, b)| JUMPS_S.into_iter().map(move |c| [a, b, c])).collect()
}

#[test]
fn the_last_is_what_happened_last_however_the_clock_jumps_and_after_a_rebuild() {
    for jumps in every_jumps() {
        let life = live(None, jumps);
        assert_eq!(wrongs(&life), Vec::<String>::new(), "{jumps:?}");
        life.machine.world().lose_catalog();
        let engine = engine(&life.machine);
        life.machine.run(engine.rebuild(false, &quiet())).done().unwrap().unwrap();
        assert_eq!(wrongs(&life), Vec::<String>::new(), "{jumps:?}, rebuilt");
        // What is taken after that is later still.
        let next = async { engine.create(&SnapshotRequest::of(workload()), &quiet()).await.unwrap().snapshot };
        let next = life.machine.run(next).done().unwrap();
        let latest = life.machine.run(engine.snapshot(None, "latest")).done().unwrap().unwrap();
        assert_eq!(latest.id(), next.id(), "{jumps:?}");
    }
}

#[test]
fn a_catalog_by_the_clock_is_noticed() {
    let noticed =
        every_jumps().into_iter().filter(|jumps| !wrongs(&live(Some(Mutant::LatestByClock), *jumps)).is_empty());
    assert!(noticed.count() > 0);
}

#[test]
fn undo_is_of_the_last_restore_wherever_the_catalog_fails_in_it() {
    let start = live(None, [0; 3]);
    let request = RestoreRequest::of(workload(), start.second.clone());
    let run = |strike: Option<(u64, Reach)>| {
        let mut world = start.machine.snapshot();
        world.restart_process();
        world.remember(false);
        if let Some((op, reach)) = strike {
            let failure = Failure::of_disk(FsErrorKind::Io, "the catalog is locked");
            world.strike(op, Fault::Error { failure, reach });
        }
        let machine = Machine::start(world);
        let report = machine.run(engine(&machine).restore(&request, &quiet())).done().unwrap();
        (machine, report)
    };
    let (machine, report) = run(None);
    assert!(report.is_ok());
    let history: Vec<MicroKind> = machine.world().history().iter().map(|moment| moment.kind).collect();
    let calls = (0_u64..).zip(&history).filter(|(_, kind)| matches!(kind, MicroKind::Catalog | MicroKind::Call));
    let (mut restored, mut others) = (0, 0);
    for (op, _) in calls {
        for reach in [Reach::Once, Reach::Method] {
            let (machine, report) = run(Some((op, reach)));
            let Ok(report) = report else {
                others += 1;
                continue;
            };
            // The next process finds a catalog that works again.
            let mut world = machine.snapshot();
            world.restart_process();
            let machine = Machine::start(world);
            let engine = engine(&machine);
            let undo = || machine.run(engine.undo_of(&workload())).done().unwrap();
            let mut report = report;
            if report.outcome == Outcome::NeedsAttention {
                // It has decided, and has not ended: which was the last is not known before it has.
                assert_eq!(undo().map_err(|error| error.code), Err(Code::Refused), "operation {op}: {report:?}");
                let recovered = machine.run(engine.recover(None, &quiet())).done().unwrap().unwrap().remove(0);
                let Ok(RecoveredItem::Restore(ended)) = recovered.result else { panic!("operation {op}") };
                report = *ended;
            }
            // One that did not replace the data leaves the restore before it the last.
            let expected = match report.outcome {
                Outcome::Restored => report.safety_snapshot,
                Outcome::Reverted | Outcome::Aborted => Some(start.safeties[1]),
                Outcome::NeedsAttention => panic!("operation {op}: {report:?}"),
            };
            let undo = undo();
            match (undo, expected) {
                (Ok(snapshot), Some(expected)) => assert_eq!(snapshot.id(), expected, "operation {op}: {report:?}"),
                (Err(_), None) => {}
                (undo, expected) => panic!("operation {op}: {undo:?} where {expected:?} is right; {report:?}"),
            }
            restored += 1;
        }
    }
    assert!(restored > 20 && others > 0, "{restored} {others}");
}
