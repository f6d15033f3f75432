//! Bringing the app back: in the order of its conditions, with its policies in any case, and remembered until it is back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    Code,
    engine::{Engine, Recovered, RecoveredItem, RestoreRequest, SnapshotRequest},
    model::{
        Condition, Hook, HookEvent, Manifest, ManifestVolume, Mode, Origin, Particulars, RestartPolicy, RunState,
        Selector, Snapshot, SnapshotId, Source, Workload, WorkloadId,
    },
    ports::{Journals, Quiet, Watch},
    restore::{Options, Outcome},
};
use volsnap_sim::{ContainerSpec, DiskSpec, Event, HealthBehaviour, Machine, Mutant, World, WorldBuilder};

const UP: HealthBehaviour = HealthBehaviour::None;

fn always() -> RestartPolicy {
    RestartPolicy { name: "always".into(), retries_max: 0 }
}

fn service(name: &str, health: HealthBehaviour) -> ContainerSpec {
    ContainerSpec {
        project: Some("shop".into()),
        service: Some(name.into()),
        health,
        ..ContainerSpec::named(name).bind("/data", "/srv/data")
    }
}

/// Waits for another one, and ends at its start without it.
fn waiting(name: &str, on: &str, condition: Condition) -> ContainerSpec {
    let particulars = Particulars { conditions: BTreeMap::from([(on.into(), condition)]), ..Particulars::default() };
    ContainerSpec { depends_on: vec![on.into()], particulars, ..service(name, UP) }
}

/// Those containers on one volume, and a snapshot of it.
fn world(containers: Vec<ContainerSpec>) -> (World, Workload, Snapshot) {
    let workload = Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "shop".into(),
        source: Source::Image,
        selector: Selector { compose_project: Some("shop".into()), ..Selector::default() },
        volumes: vec![],
        created_at: Timestamp::UNIX_EPOCH,
        hooks: vec![],
        known: Vec::new(),
    };
    let manifest = Manifest {
        format: 1,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        workload: workload.id,
        workload_name: workload.name.clone(),
        source: Source::Image,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Stop,
        origin: Origin::Manual,
        note: None,
        images: vec![],
        imported: None,
        registration: None,
        sequence: None,
        volumes: vec![ManifestVolume { target: "/data".into(), absent: false, ..ManifestVolume::default() }],
    };
    let mut builder =
        WorldBuilder::new(DiskSpec::at("/"), "/state").disk(DiskSpec::at("/srv")).tree("/srv/data", &[("a", "old")]);
    for container in containers {
        builder = builder.container(container);
    }
    let (builder, archive) = builder.workload(workload.clone()).archive(&manifest, &[vec![("a", "new")]]);
    (builder.build(), workload, Snapshot::from(archive))
}

fn engine(machine: &Machine) -> Engine {
    Engine::new(machine.ports())
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

fn state_of(machine: &Machine, name: &str) -> (RunState, String) {
    let world = machine.world();
    let container = world.container(name).unwrap();
    (container.run, container.restart_policy.name.clone())
}

fn restore(machine: &Machine, workload: &Workload, snapshot: &Snapshot) -> volsnap_core::restore::Report {
    let request = RestoreRequest::of(workload.clone(), snapshot.clone());
    machine.run(async { engine(machine).restore(&request, &quiet()).await }).done().unwrap().unwrap()
}

fn create(machine: &Machine, workload: &Workload, mode: Mode) -> Result<Snapshot, volsnap_core::Error> {
    let request = SnapshotRequest { mode, ..SnapshotRequest::of(workload.clone()) };
    let created = machine.run(async { engine(machine).create(&request, &quiet()).await }).done().unwrap();
    created.map(|created| created.snapshot)
}

fn recover(machine: &Machine) -> Vec<Recovered> {
    machine.run(async { engine(machine).recover(None, &quiet()).await }).done().unwrap().unwrap()
}

/// What `status` says that recovery would do; empty if nothing is open.
fn would(machine: &Machine) -> String {
    let open = machine.run(async { engine(machine).outlook(None).await }).done().unwrap().unwrap();
    open.into_iter().map(|outlook| outlook.would).collect()
}

#[test]
fn who_waits_for_a_healthy_database_is_started_when_it_is_healthy() {
    for mutant in [None, Some(Mutant::ConditionsNotSeen)] {
        let (world, workload, snapshot) =
            world(vec![service("db", HealthBehaviour::After(0)), waiting("web", "db", Condition::Healthy)]);
        let machine = Machine::start(world);
        machine.world().set_health_by_hand("db", HealthBehaviour::After(4000));
        machine.world().set_mutant(mutant.clone());
        let kept = |what: &str| {
            let run = state_of(&machine, "web").0;
            match mutant {
                None => assert_eq!(run, RunState::Running, "{what}"),
                Some(_) => assert_eq!(run, RunState::Stopped, "nobody notices that conditions are ignored: {what}"),
            }
            machine.world().happen(&Event::Start("web".into()));
        };
        create(&machine, &workload, Mode::Stop).unwrap();
        kept("create --mode stop");
        let report = restore(&machine, &workload, &snapshot);
        assert_eq!(report.outcome, Outcome::Restored);
        kept("restore");
    }
}

/// As the labels of services have it that were made anew one at a time while their file changed.
#[test]
fn containers_that_wait_for_each_other_are_started_all_the_same() {
    let (world, workload, snapshot) =
        world(["a", "b"].map(|name| ContainerSpec { policy: always(), ..service(name, UP) }).into());
    let machine = Machine::start(world);
    for (one, other) in [("a", "b"), ("b", "a")] {
        let waits = BTreeMap::from([(other.to_string(), Condition::Healthy)]);
        machine.world().set_conditions_by_hand(one, waits);
    }
    let both_run = || ["a", "b"].map(|name| state_of(&machine, name).0) == [RunState::Running; 2];
    create(&machine, &workload, Mode::Stop).unwrap();
    assert!(both_run(), "create --mode stop");
    let report = restore(&machine, &workload, &snapshot);
    assert_eq!((report.outcome, report.app_problem), (Outcome::Restored, None));
    assert!(both_run(), "restore");
}

#[test]
fn a_job_that_had_ended_counts_as_done_and_one_that_ran_is_waited_for() {
    let (world, workload, snapshot) =
        world(vec![service("job", HealthBehaviour::Completes), waiting("web", "job", Condition::Completed)]);
    let machine = Machine::start(world);
    assert_eq!(state_of(&machine, "job").0, RunState::Stopped, "it has ended");
    let report = restore(&machine, &workload, &snapshot);
    assert_eq!(
        (report.outcome, report.app_problem, report.left_stopped),
        (Outcome::Restored, None, vec!["job".into()])
    );
    assert_eq!(state_of(&machine, "web").0, RunState::Running);

    let (world, workload, snapshot) = self::world(vec![service("job", UP), waiting("web", "job", Condition::Started)]);
    let machine = Machine::start(world);
    machine.world().set_conditions_by_hand("web", BTreeMap::from([("job".into(), Condition::Completed)]));
    machine.world().set_health_by_hand("job", HealthBehaviour::Completes);
    let report = restore(&machine, &workload, &snapshot);
    assert_eq!((report.outcome, report.app_problem, report.warnings), (Outcome::Restored, None, vec![]));
    assert_eq!((state_of(&machine, "job").0, state_of(&machine, "web").0), (RunState::Stopped, RunState::Running));
}

#[test]
fn who_waits_in_vain_is_named_with_its_condition_and_has_its_policy() {
    for becomes in [HealthBehaviour::After(3_600_000), HealthBehaviour::Exits, HealthBehaviour::SickWith("a".into())] {
        let web = ContainerSpec { policy: always(), ..waiting("web", "db", Condition::Healthy) };
        let (world, workload, snapshot) = world(vec![service("db", HealthBehaviour::After(0)), web]);
        let machine = Machine::start(world);
        machine.world().set_health_by_hand("db", becomes.clone());
        // One that is sick when it is found is no reason to keep down who ran beside it.
        let is_known = matches!(becomes, HealthBehaviour::SickWith(_));
        let report = restore(&machine, &workload, &snapshot);
        assert_eq!(state_of(&machine, "web").1, "always", "{becomes:?}");
        match is_known {
            true => assert_eq!(state_of(&machine, "web").0, RunState::Running),
            false => {
                let problem = report.app_problem.clone().expect("somebody says so");
                assert!(problem.contains("container web was not started: it waits for db to be healthy"), "{problem}");
                assert_eq!((report.outcome, report.code()), (Outcome::Restored, Some(Code::Warnings)));
                assert!(would(&machine).contains("web"), "{}", would(&machine));
            }
        }
    }
}

/// The device that the app needs is unplugged.
fn unplugged(containers: Vec<ContainerSpec>) -> (Machine, Workload, Snapshot) {
    let (world, workload, snapshot) = world(containers);
    let machine = Machine::start(world);
    machine.world().set_health_by_hand("app", HealthBehaviour::FailsToStart);
    (machine, workload, snapshot)
}

fn app() -> ContainerSpec {
    ContainerSpec { policy: always(), ..service("app", UP) }
}

#[test]
fn a_policy_comes_back_also_if_the_container_cannot_be_started() {
    for mutant in [None, Some(Mutant::PolicyLostOnFailedStart)] {
        let (machine, workload, snapshot) = unplugged(vec![app()]);
        machine.world().set_mutant(mutant.clone());
        restore(&machine, &workload, &snapshot);
        let lost = state_of(&machine, "app") == (RunState::Stopped, "no".into());
        assert_eq!(lost, mutant.is_some(), "{:?}", state_of(&machine, "app"));
    }
}

#[test]
fn an_app_that_did_not_come_back_is_tried_again_until_it_does() {
    let (machine, workload, snapshot) = unplugged(vec![app()]);
    let report = restore(&machine, &workload, &snapshot);
    assert_eq!((report.outcome, report.code()), (Outcome::Restored, Some(Code::Warnings)));
    assert!(report.safety_snapshot.is_some(), "everything else is done");
    for _ in 0..2 {
        assert!(would(&machine).contains("start the app again"), "{}", would(&machine));
        let recovered = recover(&machine);
        let Ok(RecoveredItem::Restore(report)) = &recovered[0].result else { panic!("{recovered:?}") };
        assert!(report.app_problem.is_some());
        assert_eq!(state_of(&machine, "app"), (RunState::Stopped, "always".into()));
    }
    machine.world().set_health_by_hand("app", UP);
    let recovered = recover(&machine);
    let Ok(RecoveredItem::Restore(report)) = &recovered[0].result else { panic!("{recovered:?}") };
    assert_eq!((report.outcome, &report.app_problem), (Outcome::Restored, &None));
    assert_eq!(state_of(&machine, "app"), (RunState::Running, "always".into()));
    assert_eq!(would(&machine), "");
}

#[test]
fn rolled_back_with_the_app_down_needs_attention() {
    let (machine, workload, snapshot) = unplugged(vec![app()]);
    let options = Options { health_timeout: Some(std::time::Duration::from_secs(30)), ..Options::default() };
    let request = RestoreRequest { options, ..RestoreRequest::of(workload, snapshot) };
    let report = machine.run(async { engine(&machine).restore(&request, &quiet()).await }).done().unwrap().unwrap();
    assert_eq!((report.outcome, report.code()), (Outcome::Reverted, Some(Code::NeedsAttention)));
    assert!(would(&machine).contains("start the app again"));
}

#[test]
fn a_snapshot_after_which_the_app_did_not_come_back_is_kept_and_so_is_what_ran() {
    let (machine, workload, _) = unplugged(vec![app(), service("other", UP)]);
    let error = create(&machine, &workload, Mode::Stop).unwrap_err();
    assert_eq!(error.code, Code::NeedsAttention, "{error}");
    assert!(error.message.contains("the app did not come back"), "{error}");
    assert_eq!(state_of(&machine, "app"), (RunState::Stopped, "always".into()));
    assert_eq!(state_of(&machine, "other").0, RunState::Running);
    assert!(would(&machine).contains("start the app again"), "{}", would(&machine));
    // Further snapshots are possible, and forget nothing.
    for mode in [Mode::Pause, Mode::Stop] {
        create(&machine, &workload, mode).unwrap();
        assert!(would(&machine).contains("start the app again"), "{mode:?}: {}", would(&machine));
    }
    let recovered = recover(&machine);
    let Ok(RecoveredItem::Snapshot { app_problem: Some(_), .. }) = &recovered[0].result else {
        panic!("{recovered:?}")
    };
    machine.world().set_health_by_hand("app", UP);
    let recovered = recover(&machine);
    assert!(matches!(recovered[0].result, Ok(RecoveredItem::Snapshot { app_problem: None, .. })), "{recovered:?}");
    assert_eq!(state_of(&machine, "app").0, RunState::Running);
    assert_eq!(would(&machine), "");
}

#[test]
fn another_restore_brings_back_what_ran_before_the_first() {
    for by_snapshot in [false, true] {
        let (machine, workload, snapshot) = unplugged(vec![app(), service("idle", UP)]);
        machine.world().happen(&Event::Stop("idle".into()));
        match by_snapshot {
            true => drop(create(&machine, &workload, Mode::Stop).unwrap_err()),
            false => drop(restore(&machine, &workload, &snapshot)),
        }
        // In between everything else can be done, and the plan knows.
        let request = RestoreRequest::of(workload.clone(), snapshot.clone());
        let plan = machine.run(async { engine(&machine).plan(&request).await }).done().unwrap().unwrap();
        assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
        let actions: Vec<&str> = plan.containers.iter().map(|c| c.action.as_str()).collect();
        assert_eq!(actions, ["start", "leave stopped"]);
        machine.world().set_health_by_hand("app", UP);
        let report = restore(&machine, &workload, &snapshot);
        assert_eq!((report.outcome, report.app_problem), (Outcome::Restored, None));
        assert_eq!(state_of(&machine, "app"), (RunState::Running, "always".into()));
        assert_eq!(state_of(&machine, "idle").0, RunState::Stopped);
        assert_eq!(would(&machine), "");
    }
}

#[test]
fn hooks_that_are_due_run_when_another_operation_takes_over() {
    let (machine, mut workload, snapshot) = unplugged(vec![app(), service("other", UP)]);
    let hook = |at, words: [&str; 2]| Hook {
        at,
        container: None,
        command: words.map(String::from).to_vec(),
        timeout: std::time::Duration::from_secs(1),
    };
    workload.hooks =
        vec![hook(HookEvent::PreRestore, ["on", "maintenance"]), hook(HookEvent::PostRestore, ["off", "maintenance"])];
    let store = machine.store();
    machine
        .run(async { volsnap_core::ports::Store::set_hooks(&store, workload.id, &workload.hooks).await })
        .done()
        .unwrap()
        .unwrap();
    restore(&machine, &workload, &snapshot);
    assert!(machine.world().is_on("maintenance"), "the app is not back");
    create(&machine, &workload, Mode::Stop).unwrap();
    assert!(!machine.world().is_on("maintenance"), "nobody would run them any more");
    let journals = machine.run(async { machine.disks().journals().await }).done().unwrap().unwrap();
    assert_eq!(journals, [workload.id], "what ran is remembered");
}
