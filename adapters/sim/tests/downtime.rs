//! What a recovery tells of as downtime.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod shop;

use std::sync::Arc;

use shop::shop;
use volsnap_core::{
    engine::{Engine, RecoveredItem, RestoreRequest},
    model::RunState,
    ports::{Containers, Quiet, Watch},
    restore::{Outcome, Report},
};
use volsnap_sim::{HealthBehaviour, Machine, World};

fn quiet() -> Watch {
    Arc::new(Quiet)
}

/// Whether the app runs in that world.
fn is_up(world: &World) -> bool {
    let machine = Machine::start(world.clone());
    let all = machine.run(async { machine.containers().all().await }).done().unwrap().unwrap();
    all.iter().any(|container| container.name == "app" && container.run == RunState::Running)
}

/// What a new process tells of the restore that a killed one left.
fn recovered(mut world: World) -> Option<Report> {
    world.restart_process();
    let machine = Machine::start(world);
    let recovered = machine.run(async { Engine::new(machine.ports()).recover(None, &quiet()).await });
    match recovered.done().unwrap().unwrap().pop()?.result.unwrap() {
        RecoveredItem::Restore(report) => Some(*report),
        RecoveredItem::Snapshot { .. } => None,
    }
}

#[test]
fn an_app_was_down_if_and_only_if_a_killed_restore_had_stopped_it() {
    let (world, workload, snapshot) = shop(vec![], HealthBehaviour::None);
    let machine = Machine::start(world);
    machine.world().record_crash_points();
    let request = RestoreRequest::of(workload, snapshot);
    let done = machine.run(async { Engine::new(machine.ports()).restore(&request, &quiet()).await });
    assert_eq!(done.done().unwrap().unwrap().outcome, Outcome::Restored);
    let (mut never_stopped, mut stopped, mut started_again) = (0, 0, 0);
    for point in machine.world().take_crash_points() {
        let was_up = is_up(&point.world);
        // From the fence on nobody knows whether the engine was asked to stop the app.
        let is_fenced = point.world.container("app").is_some_and(|app| app.restart_policy.is_never());
        let Some(report) = recovered(point.world) else { continue };
        // What was decided to be restored had the app stopped, also if it runs again.
        let case = match (report.outcome, was_up) {
            (Outcome::Aborted, true) => &mut never_stopped,
            (_, true) => &mut started_again,
            (_, false) => &mut stopped,
        };
        *case += 1;
        let was_down = report.outcome != Outcome::Aborted || !was_up;
        let is_right = report.downtime_us > 0 || !was_down;
        assert!(
            is_right && (report.downtime_us == 0 || was_down || is_fenced),
            "crash before {} of {}: {report:?}",
            point.op,
            point.call
        );
    }
    assert!(never_stopped > 5 && stopped > 1 && started_again > 1, "{never_stopped}, {stopped}, {started_again}");
}
