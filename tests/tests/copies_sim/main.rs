//! Clones and drills on a simulated machine, with the power cut and the process killed at every instant.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod boot;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    engine::{CloneRequest, DrillRequest, Engine},
    model::{
        Manifest, ManifestVolume, Mode, Origin, Owners, Selector, Snapshot, SnapshotId, Source, Workload, WorkloadId,
    },
    ports::{Quiet, Store, Watch},
};
use volsnap_sim::{Boot, Chooser, DiskSpec, Machine, World, WorldBuilder};

/// On filesystems of their own, so that nothing orders the one after the other.
const PLACES: [(&str, &str); 2] = [("/data", "/srv/data"), ("/config", "/mnt/config")];

fn files(volume: usize) -> Vec<(&'static str, &'static str)> {
    [vec![("a", "the data"), ("b/c", "more data")], vec![("d", "the config")]][volume].clone()
}

fn workload() -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "app".into(),
        source: Source::Directories,
        selector: Selector::default(),
        volumes: Vec::new(),
        created_at: Timestamp::UNIX_EPOCH,
        hooks: Vec::new(),
        known: Vec::new(),
    }
}

/// A machine with a snapshot in its catalog; with `occupied`, empty directories stand in the places of the clones.
fn world(ordered: bool, occupied: bool) -> (World, Snapshot) {
    let volume = |(target, _): &(&str, &str)| ManifestVolume {
        target: (*target).into(),
        absent: false,
        ..ManifestVolume::default()
    };
    let manifest = Manifest {
        format: 1,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        workload: workload().id,
        workload_name: "app".into(),
        source: Source::Directories,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Stop,
        origin: Origin::Manual,
        note: None,
        images: vec![],
        imported: None,
        sequence: None,
        registration: None,
        volumes: PLACES.iter().map(volume).collect(),
    };
    let mut builder = WorldBuilder::new(DiskSpec::at("/"), "/var/lib/volsnap")
        .disk(DiskSpec { ordered, ..DiskSpec::at("/srv") })
        .disk(DiskSpec { ordered, ..DiskSpec::at("/mnt") });
    if occupied {
        for (_, place) in PLACES {
            builder = builder.tree(place, &[]);
        }
    }
    let (builder, summary) = builder.archive(&manifest, &[files(0), files(1)]);
    let snapshot = Snapshot::from(summary);
    let machine = Machine::start(builder.build());
    machine.run(machine.store().add_workload(&workload())).done().unwrap().unwrap();
    machine.run(machine.store().put_snapshot(&snapshot)).done().unwrap().unwrap();
    (machine.snapshot(), snapshot)
}

fn engine(machine: &Machine) -> Engine {
    Engine::new(machine.ports())
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

fn clone(machine: &Machine, snapshot: &Snapshot) -> volsnap_core::Result<()> {
    let request = CloneRequest {
        workload: workload(),
        snapshot: snapshot.clone(),
        places: PLACES.map(|(target, place)| (target.into(), place.into())).into(),
        owners: Owners::default(),
        devices: false,
    };
    machine.run(engine(machine).clone_volumes(&request, &quiet())).done().expect("the process lives").map(drop)
}

fn drill(machine: &Machine, snapshot: &Snapshot) {
    let request = DrillRequest { workload: workload(), snapshot: snapshot.clone(), scratch: None, boot: None };
    let drilled = machine.run(engine(machine).drill(&request, &quiet())).done().expect("the process lives").unwrap();
    assert_eq!(drilled.error(), None);
}

fn sweep(machine: &Machine) {
    let swept = machine.run(engine(machine).sweep_copies()).done().expect("the process lives").unwrap();
    assert!(swept.iter().all(|copy| copy.problem.is_none()), "{swept:?}");
}

/// The worlds in which the next process may find itself if the power is cut, or this process killed, at any instant of
/// what is run; each once.
fn after_any_crash(start: &World, run: impl FnOnce(&Machine)) -> Vec<World> {
    let mut start = start.clone();
    start.record_crash_points();
    let machine = Machine::start(start);
    run(&machine);
    let points = machine.world().take_crash_points();
    let mut ends: Vec<World> = points.into_iter().map(|point| point.world).collect();
    ends.push(machine.snapshot());
    let (mut worlds, mut keys) = (Vec::new(), BTreeSet::new());
    for end in ends {
        let mut killed = end.clone();
        killed.restart_process();
        Chooser::every(|chooser| {
            let mut world = end.clone();
            world.reboot(chooser, &Boot::default());
            if keys.insert(world.key()) {
                worlds.push(world);
            }
        });
        if keys.insert(killed.key()) {
            worlds.push(killed);
        }
    }
    worlds
}

/// How each place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Is {
    Absent,
    Empty,
    Whole,
}

fn seen(world: &World) -> Vec<Is> {
    let place = |(index, (_, place)): (usize, &(&str, &str))| {
        let Some(tree) = world.tree(Path::new(place)) else { return Is::Absent };
        let mut wanted: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (path, text) in files(index) {
            if let Some((dir, _)) = path.split_once('/') {
                wanted.insert(format!("{dir}/"), Vec::new());
            }
            wanted.insert(path.into(), text.into());
        }
        match tree.is_empty() {
            true => Is::Empty,
            false => {
                assert_eq!(tree, wanted, "{place} is neither as it was nor whole");
                Is::Whole
            }
        }
    };
    PLACES.iter().enumerate().map(place).collect()
}

fn litter(world: &World) -> Vec<String> {
    let places = ["/srv", "/mnt", "/var/lib/volsnap/scratch"].map(Path::new);
    let private = places.iter().flat_map(|dir| world.names(dir)).filter(|name| name.starts_with(".volsnap-"));
    let notes = world.names(Path::new("/var/lib/volsnap/copies")).into_iter().filter(|name| !name.starts_with('.'));
    private.chain(notes).collect()
}

#[test]
fn a_clone_that_is_interrupted_at_any_instant_leaves_every_place_as_it_was_or_whole_and_litter_that_is_swept() {
    for (ordered, occupied) in [(true, false), (false, false), (false, true)] {
        let (start, snapshot) = world(ordered, occupied);
        let worlds = after_any_crash(&start, |machine| clone(machine, &snapshot).unwrap());
        let (mut littered, mut kinds) = (0, BTreeSet::new());
        for world in worlds {
            littered += usize::from(!litter(&world).is_empty());
            let before = seen(&world);
            let allowed = |is: &Is| occupied || *is != Is::Empty;
            assert!(before.iter().all(allowed), "{before:?}");
            // The sweep may be interrupted, too.
            for mut world in after_any_crash(&world, sweep) {
                world.restart_process();
                let machine = Machine::start(world);
                sweep(&machine);
                let world = machine.snapshot();
                assert_eq!(litter(&world), Vec::<String>::new());
                // What a killed clone had named, and nobody was told of, a power cut may still take back.
                let fits = |(now, before): (Is, &Is)| now == *before || allowed(&now) && now != Is::Whole;
                assert!(seen(&world).into_iter().zip(&before).all(fits), "{:?} was {before:?}", seen(&world));
            }
            kinds.insert(before);
        }
        assert!(littered > 10, "only {littered} worlds had something to sweep");
        let both = vec![Is::Whole, Is::Whole];
        assert!(kinds.contains(&both) && kinds.len() >= 3, "{kinds:?}");
    }
}

#[test]
fn a_clone_that_was_done_is_there_after_any_power_cut() {
    for occupied in [false, true] {
        let (start, snapshot) = world(false, occupied);
        let machine = Machine::start(start);
        clone(&machine, &snapshot).unwrap();
        for world in after_any_crash(&machine.snapshot(), |_| {}) {
            assert_eq!((seen(&world), litter(&world)), (vec![Is::Whole; 2], Vec::new()));
        }
    }
}

#[test]
fn a_drill_that_is_interrupted_at_any_instant_touches_nothing_and_can_be_had_again() {
    let (start, snapshot) = world(false, false);
    let worlds = after_any_crash(&start, |machine| drill(machine, &snapshot));
    assert!(worlds.len() > 20, "{} worlds", worlds.len());
    for world in worlds {
        let machine = Machine::start(world);
        drill(&machine, &snapshot);
        let world = machine.snapshot();
        assert_eq!((seen(&world), litter(&world)), (vec![Is::Absent; 2], Vec::new()));
        let listed = machine.run(machine.store().snapshots(None)).done().unwrap().unwrap();
        assert!(listed[0].proved_at.is_some());
    }
}
