//! A snapshot that stops nobody has no journal: what a crash leaves of it is swept all the same, and nothing else is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    engine::{Engine, Ports, SnapshotRequest},
    model::{DeclaredVolume, Mode, Selector, Source, Workload, WorkloadId},
    ports::{Archives, Journals, Quiet, Watch},
};
use volsnap_sim::{Boot, Chooser, DiskSpec, Machine, World, WorldBuilder};

const W: WorkloadId = WorkloadId(Uuid::from_u128(1));

fn world() -> (World, Workload) {
    let workload = Workload {
        id: W,
        name: "shop".into(),
        source: Source::Directories,
        selector: Selector::default(),
        volumes: vec![DeclaredVolume { target: "/data".into(), path: PathBuf::from("/srv/data") }],
        created_at: Timestamp::UNIX_EPOCH,
        hooks: Vec::new(),
        known: Vec::new(),
    };
    let builder = WorldBuilder::new(DiskSpec::at("/"), "/state").tree("/srv/data", &[("a", "1"), ("b", "2")]);
    (builder.workload(workload.clone()).build(), workload)
}

fn engine(machine: &Machine) -> Engine {
    Engine::new(Ports { containers: None, ..machine.ports() })
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

fn live(workload: &Workload) -> SnapshotRequest {
    SnapshotRequest { mode: Mode::Live, ..SnapshotRequest::of(workload.clone()) }
}

/// The world at each crash point of a snapshot.
fn crashed() -> Vec<(String, World)> {
    let (world, workload) = world();
    let machine = Machine::start(world);
    machine.world().record_crash_points();
    machine.run(async { engine(&machine).create(&live(&workload), &quiet()).await }).done().unwrap().unwrap();
    let points = machine.world().take_crash_points();
    points.into_iter().map(|point| (format!("{} of {}", point.op, point.call), point.world)).collect()
}

#[test]
fn wherever_a_crash_comes_a_sweep_leaves_whole_archives_and_no_other() {
    let mut swept = 0;
    for (at, world) in crashed() {
        for power_cut in [false, true] {
            let mut world = world.clone();
            match power_cut {
                true => world.reboot(&mut Chooser::scripted(Vec::new()), &Boot::default()),
                false => world.restart_process(),
            }
            let machine = Machine::start(world);
            let at = format!("crash before {at}, power cut: {power_cut}");
            let ran = machine.run(async {
                let (engine, disks) = (engine(&machine), machine.disks());
                let whole = disks.archives().await.unwrap();
                let left = engine.left_drafts(None).await.unwrap();
                assert_eq!(disks.drafts().await.unwrap().len(), left.len(), "{at}: looking removes nothing");
                assert_eq!(engine.left_drafts(Some(WorkloadId(Uuid::from_u128(9)))).await.unwrap(), [], "{at}");
                assert_eq!(engine.sweep_drafts(None).await.unwrap(), left, "{at}");
                assert_eq!(disks.drafts().await.unwrap(), [], "{at}");
                assert_eq!(disks.archives().await.unwrap(), whole, "{at}");
                left.len()
            });
            swept += ran.done().expect(&at);
        }
    }
    assert!(swept > 1, "there are unfinished archives to be swept: {swept}");
}

#[test]
fn what_a_process_is_writing_is_left_alone() {
    for (at, mut world) in crashed() {
        world.restart_process();
        let machine = Machine::start(world);
        let ran = machine.run(async {
            let (engine, disks) = (engine(&machine), machine.disks());
            let before = disks.drafts().await.unwrap();
            let held = disks.lock(W).await.unwrap();
            assert_eq!(engine.left_drafts(None).await.unwrap(), [], "{at}");
            assert_eq!(engine.sweep_drafts(None).await.unwrap(), [], "{at}");
            assert_eq!(disks.drafts().await.unwrap(), before, "{at}");
            drop(held);
            assert_eq!(engine.sweep_drafts(Some(W)).await.unwrap().len(), before.len(), "{at}");
        });
        ran.done().expect("nothing crashes");
    }
}
