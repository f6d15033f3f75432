//! What counts as staying up for an app without a health check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod shop;

use std::{sync::Arc, time::Duration};

use shop::shop;
use volsnap_core::{
    engine::{Engine, RecoveredItem, RestoreRequest, SnapshotRequest},
    ports::{Clock, Quiet},
    restore::{Options, Outcome, Report},
};
use volsnap_sim::{Fault, HealthBehaviour, Machine};

/// Restores an app, and gives how long the app's own clock ran meanwhile.
fn restored(health: HealthBehaviour, timeout: Option<Duration>) -> (Report, Duration) {
    let (world, workload, snapshot) = shop(vec![], health);
    let machine = Machine::start(world);
    let ran = machine.run(async {
        let (engine, clock) = (Engine::new(machine.ports()), machine.clock());
        let options = Options { health_timeout: timeout, ..Options::default() };
        let request = RestoreRequest { options, ..RestoreRequest::of(workload, snapshot) };
        let began = clock.monotonic();
        let report = engine.restore(&request, &(Arc::new(Quiet) as _)).await.unwrap();
        (report, clock.monotonic() - began)
    });
    ran.done().expect("nothing crashes")
}

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn an_app_that_dies_every_five_seconds_does_not_stay_up() {
    let (report, took) = restored(HealthBehaviour::DiesEvery(5000), MINUTE);
    assert_eq!(report.outcome, Outcome::Reverted, "{report:?}");
    let cause = report.cause.unwrap().message;
    assert!(cause.contains("container app (it ended and was started again)"), "{cause}");
    assert!(took >= Duration::from_secs(60), "{took:?}");
}

#[test]
fn an_app_that_stays_up_is_waited_for_ten_seconds_and_no_longer() {
    let (report, took) = restored(HealthBehaviour::None, MINUTE);
    assert_eq!(report.outcome, Outcome::Restored, "{report:?}");
    assert!((10..12).contains(&took.as_secs()), "{took:?}");
    // What was given for it, where that is less.
    let (report, took) = restored(HealthBehaviour::None, Some(Duration::from_secs(3)));
    assert_eq!(report.outcome, Outcome::Restored, "{report:?}");
    assert!((3..5).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn downtime_ends_when_the_app_is_up_and_not_when_it_is_believed() {
    let (without_gate, _) = restored(HealthBehaviour::None, None);
    let (believed, _) = restored(HealthBehaviour::None, MINUTE);
    assert!(believed.downtime_ms < without_gate.downtime_ms + 1000, "{} ms", believed.downtime_ms);
    assert!(believed.engine_ms <= believed.downtime_ms, "{believed:?}");
    // It was of no use before it was healthy.
    let (checked, _) = restored(HealthBehaviour::After(4000), MINUTE);
    assert!((4000..6000).contains(&checked.downtime_ms), "{} ms", checked.downtime_ms);
}

#[test]
fn a_check_decides_by_itself_and_without_a_gate_nothing_is_waited_for() {
    let (report, took) = restored(HealthBehaviour::After(1000), MINUTE);
    assert_eq!((report.outcome, took.as_secs() < 4), (Outcome::Restored, true), "{took:?}");
    let (report, took) = restored(HealthBehaviour::DiesEvery(5000), None);
    assert_eq!((report.outcome, took.as_secs() < 4), (Outcome::Restored, true), "{took:?}");
}

/// Takes a snapshot under a freeze, and gives its warnings and how long it took by the clock.
fn frozen(health: HealthBehaviour) -> (Vec<String>, Duration) {
    let (world, workload, _) = shop(vec![], health);
    let machine = Machine::start(world);
    let ran = machine.run(async {
        let (engine, clock) = (Engine::new(machine.ports()), machine.clock());
        let began = clock.monotonic();
        let created = engine.create(&SnapshotRequest::of(workload), &(Arc::new(Quiet) as _)).await.unwrap();
        (created.warnings, clock.monotonic() - began)
    });
    ran.done().expect("nothing crashes")
}

/// It could not answer its check while it was frozen, and whoever restarts what is unhealthy would act on that.
#[test]
fn an_app_that_is_unhealthy_after_its_freeze_is_waited_for_until_its_next_check() {
    let (warnings, took) = frozen(HealthBehaviour::UnwellAfterThaw(4000));
    assert_eq!(warnings, Vec::<String>::new(), "it is well again");
    assert!((4..6).contains(&took.as_secs()), "{took:?}");
    for fine in [HealthBehaviour::None, HealthBehaviour::After(0), HealthBehaviour::SickWith("a".into())] {
        let (warnings, took) = frozen(fine.clone());
        assert_eq!(
            (warnings, took.as_secs() < 2),
            (vec![], true),
            "{fine:?}: what was not well before is not waited for"
        );
    }
}

#[test]
fn an_app_that_stays_unhealthy_after_its_freeze_is_named() {
    let (warnings, took) = frozen(HealthBehaviour::UnwellAfterThaw(600_000));
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.starts_with("container app was healthy before it was frozen for the snapshot"), "{warning}");
    assert!((35..40).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_recovery_that_thaws_an_app_names_it_if_it_stays_unhealthy() {
    let (world, workload, _) = shop(vec![], HealthBehaviour::UnwellAfterThaw(600_000));
    let create = async |machine: &Machine| {
        let engine = Engine::new(machine.ports());
        engine.create(&SnapshotRequest::of(workload.clone()), &(Arc::new(Quiet) as _)).await.map(|_| ())
    };
    let machine = Machine::start(world.clone());
    machine.world().record_crash_points();
    machine.run(create(&machine)).done().expect("nothing crashes").unwrap();
    let points = machine.world().take_crash_points();
    let thaw = points.iter().find(|point| point.call == "unpause").expect("the app is thawed");
    let machine = Machine::start(world);
    machine.world().strike(thaw.op, Fault::Kill);
    assert!(machine.run(create(&machine)).done().is_none(), "it is killed before the thaw");
    let mut left = machine.snapshot();
    left.restart_process();
    let machine = Machine::start(left);
    let recovered = machine.run(async { Engine::new(machine.ports()).recover(None, &(Arc::new(Quiet) as _)).await });
    let recovered = recovered.done().expect("nothing crashes").unwrap().remove(0).result.unwrap();
    let RecoveredItem::Snapshot { warnings, app_problem: None, .. } = recovered else { panic!("{recovered:?}") };
    assert!(warnings.len() == 1 && warnings[0].starts_with("container app was healthy before"), "{warnings:?}");
}
