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
fn an_app_that_no_killed_restore_had_stopped_was_not_down() {
    let (world, workload, snapshot) = shop(vec![], HealthBehaviour::None);
    let machine = Machine::start(world);
    machine.world().record_crash_points();
    let request = RestoreRequest::of(workload, snapshot);
    let done = machine.run(async { Engine::new(machine.ports()).restore(&request, &quiet()).await });
    assert_eq!(done.done().unwrap().unwrap().outcome, Outcome::Restored);
    let (mut up, mut down) = (0, 0);
    for point in machine.world().take_crash_points() {
        let was_up = is_up(&point.world);
        let Some(report) = recovered(point.world).filter(|report| report.outcome == Outcome::Aborted) else { continue };
        let count = if was_up { &mut up } else { &mut down };
        *count += 1;
        assert_eq!(report.downtime_us == 0, was_up, "crash before {} of {}: {report:?}", point.op, point.call);
    }
    assert!(up > 5 && down > 1, "{up} crashes before the stop, {down} after it");
}
