//! What a hook switched on before an operation is off after it, whatever happened in between: at every crash point.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod shop;

use std::{sync::Arc, time::Duration};

use shop::shop;
use volsnap_core::{
    Code,
    engine::{Engine, RestoreRequest, SnapshotRequest},
    model::{Hook, HookEvent, HostHooks, Snapshot, Workload},
    ports::{Journals, Quiet, Watch},
    restore::Outcome,
};
use volsnap_sim::{Boot, Chooser, HealthBehaviour, Machine, World};

fn hook(at: HookEvent, container: Option<&str>, words: [&str; 2]) -> Hook {
    let command = words.map(String::from).to_vec();
    Hook { at, container: container.map(Into::into), command, timeout: Duration::from_secs(1) }
}

/// Maintenance is switched on before everything and off after it, in the app's container or on the host.
fn hooks(container: Option<&str>) -> Vec<Hook> {
    use HookEvent::{PostCreate, PostRestore, PreCreate, PreRestore};
    let on = [PreCreate, PreRestore].map(|at| hook(at, container, ["on", "maintenance"]));
    let off = [PostCreate, PostRestore].map(|at| hook(at, container, ["off", "maintenance"]));
    on.into_iter().chain(off).collect()
}

fn world(hooks: Vec<Hook>) -> (World, Workload, Snapshot) {
    shop(hooks, HealthBehaviour::None)
}

fn engine(machine: &Machine) -> Engine {
    Engine::new(machine.ports())
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

/// Runs an operation, and recovers from each of its crash points, by a new process and after a power cut. Gives at how
/// many of them the switch was on.
fn crash_everywhere(world: World, operation: &impl AsyncFn(&Engine)) -> usize {
    let machine = Machine::start(world);
    machine.world().record_crash_points();
    machine.run(operation(&engine(&machine))).done().expect("nothing crashes");
    assert!(!machine.world().is_on("maintenance"), "without a crash");
    let points = machine.world().take_crash_points();
    let mut on = 0;
    for point in points {
        on += usize::from(point.world.is_on("maintenance"));
        for power_cut in [false, true] {
            let mut world = point.world.clone();
            match power_cut {
                true => world.reboot(&mut Chooser::scripted(Vec::new()), &Boot::default()),
                false => world.restart_process(),
            }
            let machine = Machine::start(world);
            let at = format!("crash before {} of {}, power cut: {power_cut}", point.op, point.call);
            let recovered = machine.run(async { engine(&machine).recover(None, &quiet()).await }).done();
            for one in recovered.expect(&at).expect(&at) {
                one.result.expect(&at);
            }
            assert!(!machine.world().is_on("maintenance"), "{at}");
            let journals = machine.run(async { machine.disks().journals().await }).done().unwrap().unwrap();
            assert!(journals.is_empty(), "{at}");
        }
    }
    on
}

async fn create(engine: &Engine, workload: &Workload) {
    engine.create(&SnapshotRequest::of(workload.clone()), &quiet()).await.unwrap();
}

#[test]
fn a_crash_in_a_snapshot_leaves_nothing_switched_on_that_recovery_does_not_switch_off() {
    for container in [None, Some("app")] {
        let (world, workload, _) = world(hooks(container));
        let on = crash_everywhere(world, &async |engine: &Engine| create(engine, &workload).await);
        assert!(on > 5, "the snapshot is between the hooks: {on}");
    }
}

#[test]
fn a_crash_in_a_restore_leaves_nothing_switched_on_that_recovery_does_not_switch_off() {
    for container in [None, Some("app")] {
        let (world, workload, snapshot) = world(hooks(container));
        let request = RestoreRequest::of(workload, snapshot);
        let on = crash_everywhere(world, &async |engine: &Engine| {
            let report = engine.restore(&request, &quiet()).await.unwrap();
            assert_eq!((report.outcome, report.warnings), (Outcome::Restored, vec![]));
        });
        assert!(on > 20, "the restore is between the hooks: {on}");
    }
}

#[test]
fn hooks_of_the_host_are_ended_by_a_recovery_that_does_not_know_them_any_more() {
    for container in [None, Some("app")] {
        let (world, workload, snapshot) = world(vec![]);
        let request = RestoreRequest::of(workload.clone(), snapshot);
        // Whoever recovers has none: the configuration may be another one by then.
        let host = HostHooks { all: hooks(container), ..HostHooks::default() };
        let on = crash_everywhere(world, &async |engine: &Engine| {
            let engine = engine.clone().with_host_hooks(host.clone());
            create(&engine, &workload).await;
            let report = engine.restore(&request, &quiet()).await.unwrap();
            assert_eq!((report.outcome, report.warnings), (Outcome::Restored, vec![]));
        });
        assert!(on > 25, "both are between the hooks: {on}");
    }
}

#[test]
fn a_failing_hook_before_a_restore_ends_it_on_the_original_and_what_it_switched_on_is_off() {
    let mut hooks = hooks(None);
    hooks.push(hook(HookEvent::PreRestore, Some("app"), ["fail", "no"]));
    hooks.push(hook(HookEvent::PreCreate, Some("app"), ["fail", "no"]));
    let (world, workload, snapshot) = world(hooks);
    let request = RestoreRequest::of(workload.clone(), snapshot);
    crash_everywhere(world.clone(), &async |engine: &Engine| {
        let report = engine.restore(&request, &quiet()).await.unwrap();
        assert_eq!((report.outcome, report.code()), (Outcome::Aborted, Some(Code::Refused)));
        let cause = report.cause.unwrap();
        assert!(cause.message.contains("hook 5") && cause.message.ends_with("status 1: no"), "{}", cause.message);
        assert!(cause.hint.unwrap().contains("--no-hooks"));
    });
    crash_everywhere(world, &async |engine: &Engine| {
        let error = engine.create(&SnapshotRequest::of(workload.clone()), &quiet()).await.unwrap_err();
        assert_eq!(error.code, Code::Refused, "{error}");
    });
}

#[test]
fn an_engine_without_hooks_runs_none_and_leaves_none_to_recovery() {
    let (world, workload, snapshot) = world(vec![hook(HookEvent::PreCreate, None, ["on", "maintenance"])]);
    let request = RestoreRequest::of(workload.clone(), snapshot);
    let on = crash_everywhere(world, &async |engine: &Engine| {
        let engine = engine.clone().without_hooks();
        create(&engine, &workload).await;
        engine.restore(&request, &quiet()).await.unwrap();
    });
    assert_eq!(on, 0);
}
