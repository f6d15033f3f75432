//! An app that is started on a copy, with an error at every call, and the power cut and the process killed at every instant.

use std::{path::Path, time::Duration};

use volsnap_core::{
    engine::Drilled,
    model::{Container, ImageRef, RunState, container::drill_of},
    ports::{EngineErrorKind, FsErrorKind, Store},
};
use volsnap_sim::{ContainerSpec, Failure, Fault, HealthBehaviour, Reach};

use super::*;

const LIVE: &str = "/srv/data";

/// A database and a site that needs it, both healthy on what is live, and a snapshot with other data, of a time when one of
/// their directories was not there yet.
fn world(archived: &[(&str, &str)], health: &HealthBehaviour) -> (World, Snapshot, Workload) {
    let workload = Workload {
        source: Source::Image,
        selector: Selector { compose_project: Some("app".into()), ..Selector::default() },
        ..workload()
    };
    let spec = |name: &str| ContainerSpec {
        policy: volsnap_core::model::RestartPolicy { name: "always".into(), retries_max: 0 },
        project: Some("app".into()),
        service: Some(name.into()),
        health: health.clone(),
        ..ContainerSpec::named(name).bind("/data", LIVE)
    };
    let image = |container: &str| ImageRef {
        container: container.into(),
        service: None,
        image: format!("{container}:latest"),
        image_id: format!("sha256:image-of-{container}"),
    };
    let manifest = Manifest {
        format: 1,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        workload: workload.id,
        workload_name: "app".into(),
        source: Source::Image,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Pause,
        origin: Origin::Manual,
        note: None,
        images: vec![image("db"), image("web")],
        imported: None,
        sequence: None,
        registration: None,
        volumes: [("/data", false), ("/new", true)]
            .map(|(target, absent)| ManifestVolume { target: target.into(), absent, ..ManifestVolume::default() })
            .into(),
    };
    let builder = WorldBuilder::new(DiskSpec::at("/"), "/var/lib/volsnap")
        .disk(DiskSpec::at("/srv"))
        .tree(LIVE, &[("a", "live")])
        .tree("/srv/new", &[("b", "of today")])
        .container(spec("db"))
        .container(ContainerSpec { depends_on: vec!["db".into()], ..spec("web").bind("/new", "/srv/new") });
    let (builder, summary) = builder.archive(&manifest, &[archived.to_vec(), vec![]]);
    let snapshot = Snapshot::from(summary);
    let machine = Machine::start(builder.build());
    machine.run(machine.store().add_workload(&workload)).done().unwrap().unwrap();
    machine.run(machine.store().put_snapshot(&snapshot)).done().unwrap().unwrap();
    (machine.snapshot(), snapshot, workload)
}

fn good() -> (World, Snapshot, Workload) {
    world(&[("a", "then")], &HealthBehaviour::After(3000))
}

fn drill(machine: &Machine, snapshot: &Snapshot, workload: &Workload) -> volsnap_core::Result<Drilled> {
    let boot = Some(Duration::from_secs(60));
    let request = DrillRequest { workload: workload.clone(), snapshot: snapshot.clone(), scratch: None, boot };
    machine.run(engine(machine).drill(&request, &quiet())).done().expect("the process lives")
}

fn listed(machine: &Machine) -> Snapshot {
    machine.run(machine.store().snapshots(None)).done().unwrap().unwrap().remove(0)
}

/// What is left of drills on the disks and in the engine.
fn left(world: &World) -> Vec<String> {
    let containers = world.containers().filter(|c| drill_of(&c.name).is_some()).map(|c| c.name.clone());
    let networks = world.drill_networks().iter().map(ToString::to_string);
    litter(world).into_iter().chain(containers).chain(networks).collect()
}

/// The app itself runs on its own data and was never touched.
fn assert_untouched(world: &World, start: &World) {
    for name in ["db", "web"] {
        let (now, then): (&Container, &Container) = (world.container(name).unwrap(), start.container(name).unwrap());
        assert_eq!((&now.id, now.run, &now.restart_policy), (&then.id, RunState::Running, &then.restart_policy));
    }
    assert_eq!(world.tree(Path::new(LIVE)), start.tree(Path::new(LIVE)));
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[test]
fn an_app_that_comes_up_on_the_copy_is_told_of_and_gone() {
    let (start, snapshot, workload) = good();
    let machine = Machine::start(start.clone());
    let drilled = drill(&machine, &snapshot, &workload).unwrap();
    assert_eq!((drilled.error(), drilled.came_up()), (None, Some(true)));
    let booted = drilled.booted.unwrap();
    assert_eq!(booted.containers, ["db", "web"]);
    assert!(booted.boot_ms >= 6000, "each is waited for in turn: {} ms", booted.boot_ms);
    let listed = listed(&machine);
    assert!(listed.proved_at.is_some() && listed.booted_at.is_some());
    let world = machine.snapshot();
    assert_eq!(left(&world), Vec::<String>::new());
    assert_untouched(&world, &start);
}

#[test]
fn an_app_that_does_not_come_up_on_the_data_of_then_is_named_and_the_data_are_proved() {
    for health in [HealthBehaviour::SickWith("poison".into()), HealthBehaviour::None] {
        let is_sick = health != HealthBehaviour::None;
        let (start, snapshot, workload) = world(&[("a", "then"), ("poison", "")], &health);
        let machine = Machine::start(start.clone());
        let drilled = drill(&machine, &snapshot, &workload).unwrap();
        assert_eq!(drilled.came_up(), Some(!is_sick));
        if let Some(error) = drilled.error() {
            assert!(error.message.contains("container db is unhealthy"), "{error}");
        }
        let listed = listed(&machine);
        assert_eq!((listed.proved_at.is_some(), listed.booted_at.is_some()), (true, !is_sick));
        let world = machine.snapshot();
        assert_eq!(left(&world), Vec::<String>::new());
        assert_untouched(&world, &start);
    }
}

#[test]
fn an_image_that_is_gone_is_refused_before_anything_is_made() {
    let (mut start, mut snapshot, workload) = good();
    snapshot.archive.manifest.images[1].image_id = "sha256:of-then".into();
    start.record_crash_points();
    let machine = Machine::start(start.clone());
    let error = drill(&machine, &snapshot, &workload).unwrap_err();
    assert_eq!(error.code, volsnap_core::Code::Refused);
    assert!(error.message.contains("sha256:of-then") && error.hint.is_some(), "{error}");
    let world = machine.snapshot();
    assert_eq!(left(&world), Vec::<String>::new());
    assert_untouched(&world, &start);
}

#[test]
fn whatever_fails_the_app_is_untouched_and_the_next_sweep_finds_what_is_left() {
    let (start, snapshot, workload) = good();
    let machine = Machine::start(start.clone());
    let before = machine.world().ops();
    drill(&machine, &snapshot, &workload).unwrap();
    let after = machine.world().ops();
    let failures = [Failure::from(FsErrorKind::Io), EngineErrorKind::Unreachable.into()];
    let (mut swept, mut failed) = (0, 0);
    for op in before..after {
        for failure in &failures {
            let machine = Machine::start(start.clone());
            machine.world().strike(op, Fault::Error { failure: failure.clone(), reach: Reach::Once });
            let drilled = drill(&machine, &snapshot, &workload);
            failed += usize::from(drilled.is_err() || drilled.is_ok_and(|drilled| drilled.error().is_some()));
            assert_untouched(&machine.snapshot(), &start);
            swept += usize::from(!left(&machine.snapshot()).is_empty());
            sweep(&machine);
            assert_eq!(left(&machine.snapshot()), Vec::<String>::new(), "after {failure:?} at {op}");
            drill(&machine, &snapshot, &workload).unwrap();
            assert_eq!(left(&machine.snapshot()), Vec::<String>::new());
        }
    }
    assert!(swept > 5 && failed > 20, "{swept} were left to the sweep, {failed} failed");
}

#[test]
fn a_boot_that_is_interrupted_at_any_instant_is_swept_and_can_be_had_again() {
    let (start, snapshot, workload) = good();
    let worlds = after_any_crash(&start, |machine| drop(drill(machine, &snapshot, &workload)));
    let mut ran = 0;
    for world in worlds {
        ran += usize::from(world.containers().any(|c| drill_of(&c.name).is_some()));
        assert_untouched(&world, &start);
        // The sweep may be interrupted, too.
        for mut world in after_any_crash(&world, sweep) {
            world.restart_process();
            let machine = Machine::start(world);
            sweep(&machine);
            assert_eq!(left(&machine.snapshot()), Vec::<String>::new());
            assert_untouched(&machine.snapshot(), &start);
        }
        let machine = Machine::start(world);
        assert_eq!(drill(&machine, &snapshot, &workload).unwrap().came_up(), Some(true));
        assert_eq!(left(&machine.snapshot()), Vec::<String>::new());
    }
    assert!(ran > 5, "only in {ran} worlds was a container of the drill left");
}
