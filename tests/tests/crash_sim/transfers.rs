//! Exports, imports and rebuilds, crashed at every change that they make: what the next one finds is nothing, or whole.

use std::{path::Path, sync::Arc};

use uuid::Uuid;
use volsnap_core::{
    engine::{Engine, ImportRequest, Ports, SnapshotRequest},
    model::{DeclaredVolume, Pin, Selector, Snapshot, Source, Workload, WorkloadId},
    ports::{Archives, Quiet, Watch},
};
use volsnap_sim::{Boot, Chooser, DiskSpec, Machine, World, WorldBuilder};

const COPY: &str = "/out/copy";

fn workload(number: u128, name: &str) -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(number)),
        name: name.into(),
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

/// A world with a snapshot of `app`, and one with a copy of it outside besides.
fn worlds() -> (World, World, Snapshot) {
    let world = WorldBuilder::new(DiskSpec::at("/"), "/state")
        .disk(DiskSpec::at("/srv"))
        .disk(DiskSpec { ordered: false, ..DiskSpec::at("/out") })
        .tree("/srv/data", &[("a", "1"), ("b/c", "22")])
        .build();
    let machine = Machine::start(world);
    let engine = engine(&machine);
    let prepared = async {
        for (number, name) in [(1, "app"), (2, "other")] {
            engine.add_workload(&workload(number, name)).await.unwrap();
        }
        engine.create(&SnapshotRequest::of(workload(1, "app")), &quiet()).await.unwrap().snapshot
    };
    let snapshot = machine.run(prepared).done().unwrap();
    let without = machine.snapshot();
    machine.run(engine.export(&snapshot, Path::new(COPY), false, &quiet())).done().unwrap().unwrap();
    (without, machine.snapshot(), snapshot)
}

/// Every world that a kill or a power cut in the middle of that work, or at its end, can leave.
fn crashed<F: Future>(start: &World, work: impl FnOnce(Machine) -> F) -> Vec<World> {
    let mut start = start.clone();
    start.record_crash_points();
    let machine = Machine::start(start);
    assert!(machine.run(work(machine.clone())).done().is_some());
    let points = machine.world().take_crash_points();
    let mut left = Vec::new();
    for world in points.into_iter().map(|point| point.world).chain([machine.snapshot()]) {
        let mut killed = world.clone();
        killed.restart_process();
        left.push(killed);
        Chooser::every(|chooser| {
            let mut cut = world.clone();
            cut.reboot(chooser, &Boot::default());
            left.push(cut);
        });
    }
    assert!(left.len() > 4, "only {} crashes", left.len());
    left
}

#[test]
fn an_import_that_crashes_anywhere_is_done_once_by_the_next_one() {
    let (_, world, snapshot) = worlds();
    let request = ImportRequest { file: COPY.into(), workload: Some(workload(2, "other")) };
    let worlds = crashed(&world, |machine| {
        let (engine, request) = (engine(&machine), request.clone());
        async move { engine.import(&request, &quiet()).await.unwrap() }
    });
    for world in worlds {
        let machine = Machine::start(world);
        let engine = engine(&machine);
        let outcome = machine.run(engine.import(&request, &quiet())).done().unwrap().unwrap();
        let rows = machine.run(engine.snapshots(Some(request.workload.as_ref().unwrap().id))).done().unwrap().unwrap();
        assert!(rows.iter().any(|row| row.id() == outcome.snapshot.id()), "{rows:?}");
        assert_eq!(rows.len(), 1, "imported twice");
        machine.run(engine.verify(&outcome.snapshot, &quiet())).done().unwrap().unwrap();
        assert_eq!(outcome.snapshot.archive.totals, snapshot.archive.totals);
        // What an earlier attempt named without telling the catalog was found, so that a rebuild has nothing to say.
        let rebuilt = machine.run(engine.rebuild(false, &quiet())).done().unwrap().unwrap();
        assert!(rebuilt.warnings().is_empty() && rebuilt.added.is_empty(), "{rebuilt:?}");
        let left = machine.world().names(Path::new("/state/snapshots").join(Uuid::from_u128(2).to_string()).as_path());
        assert!(left.iter().all(|name| name.ends_with(".tar.zst")), "{left:?}");
    }
}

#[test]
fn an_import_that_crashes_anywhere_while_it_brings_a_lost_archive_back_keeps_row_and_pin() {
    let (_, world, _) = worlds();
    let request = ImportRequest { file: COPY.into(), workload: Some(workload(2, "other")) };
    let machine = Machine::start(world);
    let engine_of = engine(&machine);
    let lost = async {
        let snapshot = engine_of.import(&request, &quiet()).await.unwrap().snapshot;
        let pin = Some(Pin { at: jiff::Timestamp::UNIX_EPOCH, note: None });
        let pinned = engine_of.pin(&workload(2, "other"), &snapshot, pin, &quiet()).await.unwrap();
        machine.disks().remove_archive(pinned.workload(), pinned.id()).await.unwrap();
        pinned
    };
    let pinned = machine.run(lost).done().unwrap();
    let worlds = crashed(&machine.snapshot(), |machine| {
        let (engine, request) = (engine(&machine), request.clone());
        async move { engine.import(&request, &quiet()).await.unwrap() }
    });
    for world in worlds {
        let machine = Machine::start(world);
        let engine = engine(&machine);
        let row = || machine.run(engine.snapshots(Some(pinned.workload()))).done().unwrap().unwrap();
        assert!(matches!(&row()[..], [row] if row.id() == pinned.id() && row.pin == pinned.pin), "{:?}", row());
        machine.run(engine.import(&request, &quiet())).done().unwrap().unwrap();
        let [back] = &row()[..] else { panic!("{:?}", row()) };
        assert_eq!((back.id(), &back.pin), (pinned.id(), &pinned.pin));
        machine.run(engine.verify(back, &quiet())).done().unwrap().unwrap();
    }
}

#[test]
fn an_export_that_crashes_anywhere_leaves_no_half_file_under_its_name() {
    let (world, _, snapshot) = worlds();
    let worlds = crashed(&world, |machine| {
        let (engine, snapshot) = (engine(&machine), snapshot.clone());
        async move { engine.export(&snapshot, Path::new(COPY), false, &quiet()).await.unwrap() }
    });
    for world in worlds {
        let machine = Machine::start(world);
        let names = machine.world().names(Path::new("/out"));
        assert!(names.len() <= 1, "{names:?}");
        if names.iter().any(|name| name == "copy") {
            let whole = machine.run(machine.disks().read_foreign(Path::new(COPY))).done().unwrap().unwrap();
            assert_eq!(whole, snapshot.archive);
        }
        machine.run(engine(&machine).export(&snapshot, Path::new(COPY), true, &quiet())).done().unwrap().unwrap();
        assert_eq!(machine.world().names(Path::new("/out")), ["copy"]);
    }
}

#[test]
fn a_rebuild_that_crashes_anywhere_is_finished_by_the_next_one() {
    let (_, mut world, snapshot) = worlds();
    world.lose_catalog();
    let worlds = crashed(&world, |machine| {
        let engine = engine(&machine);
        async move { engine.rebuild(false, &quiet()).await.unwrap() }
    });
    for world in worlds {
        let machine = Machine::start(world);
        let engine = engine(&machine);
        machine.run(engine.rebuild(false, &quiet())).done().unwrap().unwrap();
        let (rows, workloads) = (engine.snapshots(None), engine.workloads());
        let rows = machine.run(rows).done().unwrap().unwrap();
        let workloads = machine.run(workloads).done().unwrap().unwrap();
        assert_eq!((rows, workloads), (vec![snapshot.clone()], vec![workload(1, "app")]));
    }
}
