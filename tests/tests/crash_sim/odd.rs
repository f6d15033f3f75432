//! Containers that are no plain ones, in restores and snapshots that are crashed at every change: nothing of them is
//! destroyed, none is run twice, and the app is back.

use volsnap_core::{
    engine::SnapshotRequest,
    error::Code,
    model::{Mode, Mount, Particulars, Peer, Redeploy, RunState, Shares},
    restore::Outcome,
};
use volsnap_sim::{ContainerSpec, Event, Fault, Machine, Mutant, Run, World};
use volsnap_tests::{
    process::{Ended, engine, quiet, recover, restore},
    worlds::{Kind, Scene, SceneSpec},
};

const ODD: &str = "odd";

/// An app that is started again, and beside it a container of the workload that is no plain one.
fn scene(particulars: Particulars, project: &str) -> Scene {
    let spec = SceneSpec { redeploy: Redeploy::Restart, ..SceneSpec::plain("an odd one").with_app() };
    let mut scene = spec.build();
    let source = "/anonymous/volumes/of-odd".into();
    scene.world.put_dir(std::path::Path::new("/anonymous/volumes/of-odd"));
    let unsupported = Some("an anonymous volume".into());
    let mount =
        Mount { target: "/cache".into(), source, volume: Some("anonymous-of-odd".into()), writable: true, unsupported };
    let mounts = vec![mount];
    scene.world.add_container(ContainerSpec {
        mounts,
        project: Some(project.into()),
        particulars,
        ..ContainerSpec::named(ODD)
    });
    scene
}

/// Kills the restore before each operation, recovers, and looks at the world; gives what was wrong.
fn killed_everywhere(scene: &Scene, check: impl Fn(&World) -> Option<String>) -> Vec<String> {
    let mut wrongs = Vec::new();
    for at in 0..10_000 {
        let mut world = scene.world.clone();
        world.strike(at, Fault::Kill);
        let left = restore(scene, world);
        let is_over = !matches!(left.ended, Ended::Gone);
        let mut world = left.world;
        if let Ended::Failed(error) = &left.ended {
            return vec![format!("{error}")];
        }
        if !is_over {
            world.restart_process();
            let left = recover(scene, world);
            if let Ended::Failed(error) = &left.ended {
                wrongs.push(format!("killed before {at}: {error}"));
            }
            world = left.world;
        }
        let back = world.container("app0").is_some_and(|app| app.run == RunState::Running);
        wrongs.extend((!back).then(|| format!("killed before {at}: the app is not back")));
        wrongs.extend(world.violations().iter().map(|wrong| format!("killed before {at}: {wrong}")));
        wrongs.extend(check(&world).map(|wrong| format!("killed before {at}: {wrong}")));
        if is_over {
            assert!(at > 20, "{at} operations are no trial");
            return wrongs;
        }
    }
    panic!("the restore does not end");
}

fn one_off() -> Scene {
    let mut scene = scene(Particulars { is_one_off: true, ..Particulars::default() }, "app");
    scene.options.stop_one_offs = true;
    scene
}

fn removes_itself() -> Scene {
    scene(Particulars { removes_itself: true, ..Particulars::default() }, "app")
}

fn run_of(world: &World, name: &str) -> Option<RunState> {
    world.container(name).map(|container| container.run)
}

#[test]
fn a_one_off_container_is_never_started_again() {
    let mut refused = one_off();
    refused.options.stop_one_offs = false;
    let left = restore(&refused, refused.world.clone());
    let Ended::Failed(error) = &left.ended else { panic!("{:?}", left.ended) };
    assert_eq!((error.code, run_of(&left.world, ODD)), (Code::Refused, Some(RunState::Running)));
    assert_eq!(killed_everywhere(&one_off(), |_| None), Vec::<String>::new());
    let done = restore(&one_off(), one_off().world);
    assert_eq!(run_of(&done.world, ODD), Some(RunState::Stopped));

    let mut blind = one_off();
    blind.world.set_mutant(Some(Mutant::OneOffsNotSeen));
    assert!(!killed_everywhere(&blind, |_| None).is_empty(), "a one-off that looks like any other is started again");
}

#[test]
fn a_container_that_removes_itself_comes_back_with_its_anonymous_volumes() {
    let back = |world: &World| {
        (run_of(world, ODD) != Some(RunState::Running)).then(|| format!("it is {:?}", run_of(world, ODD)))
    };
    assert_eq!(killed_everywhere(&removes_itself(), back), Vec::<String>::new());

    let mut blind = removes_itself();
    blind.world.set_mutant(Some(Mutant::SelfRemovalNotSeen));
    let wrongs = killed_everywhere(&blind, |_| None);
    assert!(wrongs.iter().any(|wrong| wrong.contains("removed itself")), "{wrongs:?}");
}

#[test]
fn a_container_that_uses_a_members_network_is_started_again_with_it() {
    let peers = vec![Peer { name: "app0".into(), shares: Shares::Network, by_name: false }];
    let scene = scene(Particulars { peers, ..Particulars::default() }, "other");
    let back = |world: &World| {
        let cut_off = world.started_before(ODD, "app0");
        (run_of(world, ODD) != Some(RunState::Running) || cut_off).then(|| "it has lost its network".to_string())
    };
    assert_eq!(killed_everywhere(&scene, back), Vec::<String>::new());
}

#[test]
fn a_snapshot_takes_a_crash_looping_member_and_leaves_it_as_it_was() {
    for mode in [Mode::Pause, Mode::Stop, Mode::Live] {
        let scene = scene(Particulars { is_restarting: true, ..Particulars::default() }, "app");
        let policy = scene.world.container(ODD).map(|c| c.restart_policy.clone());
        let machine = Machine::start(scene.world.clone());
        let request = SnapshotRequest { workload: scene.workload.clone(), mode, note: None };
        let engine = engine(&machine, &scene);
        let Run::Done(created) = machine.run(engine.create(&request, &quiet())) else { panic!("{mode:?}") };
        created.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        let world = machine.snapshot();
        assert_eq!(run_of(&world, ODD), Some(RunState::Running), "{mode:?}");
        assert_eq!(world.container(ODD).map(|c| c.restart_policy.clone()), policy, "{mode:?}");
    }
}

#[test]
fn a_snapshot_stops_no_container_that_removes_itself() {
    let scene = removes_itself();
    let machine = Machine::start(scene.world.clone());
    let request = SnapshotRequest { workload: scene.workload.clone(), mode: Mode::Stop, note: None };
    let engine = engine(&machine, &scene);
    let Run::Done(created) = machine.run(engine.create(&request, &quiet())) else { panic!("it died") };
    assert_eq!(created.map(|_| ()).map_err(|error| error.code), Err(Code::Refused));
    assert_eq!(machine.snapshot().violations(), Vec::<String>::new());
}

#[test]
fn a_restore_with_an_odd_member_ends_restored() {
    for scene in [one_off(), removes_itself()] {
        let left = restore(&scene, scene.world.clone());
        let Ended::Reported(report) = &left.ended else { panic!("{:?}", left.ended) };
        assert_eq!(report.outcome, Outcome::Restored, "{report:?}");
    }
}

#[test]
fn an_app_that_did_not_come_back_can_be_undone_also_after_another_operation() {
    let spec = SceneSpec { redeploy: Redeploy::Restart, ..SceneSpec::plain("down").with_app() };
    let scene = spec.and("no", Kind::CannotStart).build();
    let left = restore(&scene, scene.world.clone());
    let Ended::Reported(report) = &left.ended else { panic!("{:?}", left.ended) };
    assert!(report.outcome == Outcome::Restored && report.app_problem.is_some(), "{report:?}");
    let safety = report.safety_snapshot.expect("the original was kept");
    let mut world = left.world;
    world.restart_process();
    let machine = Machine::start(world);
    let engine = engine(&machine, &scene);
    let undo = || machine.run(engine.undo_of(&scene.workload)).done().unwrap().map(|snapshot| snapshot.id());
    assert_eq!(undo(), Ok(safety));
    // A snapshot takes over what is owed to the app, and with it the journal.
    let request = SnapshotRequest { workload: scene.workload.clone(), mode: Mode::Stop, note: None };
    machine.run(engine.create(&request, &quiet())).done().unwrap().map(|_| ()).unwrap();
    assert_eq!(machine.world().journal_names(), [scene.workload.id], "who is down is not forgotten");
    assert_eq!(undo(), Ok(safety), "after a snapshot took it over");
}

#[test]
fn who_needs_one_that_does_not_run_is_not_stopped() {
    let spec = SceneSpec { redeploy: Redeploy::Restart, ..SceneSpec::plain("half up").with_app() };
    let mut scene = spec.and("no", Kind::SharesNetwork).build();
    scene.world.happen(&Event::Stop("app0".into()));
    let left = restore(&scene, scene.world.clone());
    let Ended::Failed(error) = &left.ended else { panic!("{:?}", left.ended) };
    assert_eq!((error.code, run_of(&left.world, "app1")), (Code::Refused, Some(RunState::Running)), "{error}");
    let machine = Machine::start(scene.world.clone());
    let request = SnapshotRequest { workload: scene.workload.clone(), mode: Mode::Stop, note: None };
    let error =
        machine.run(engine(&machine, &scene).create(&request, &quiet())).done().unwrap().map(|_| ()).unwrap_err();
    assert_eq!((error.code, run_of(&machine.snapshot(), "app1")), (Code::Refused, Some(RunState::Running)), "{error}");
}
