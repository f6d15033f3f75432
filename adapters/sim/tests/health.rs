//! What counts as staying up for an app without a health check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod shop;

use std::{sync::Arc, time::Duration};

use shop::shop;
use volsnap_core::{
    engine::{Engine, RestoreRequest},
    ports::{Clock, Quiet},
    restore::{Options, Outcome, Report},
};
use volsnap_sim::{HealthBehaviour, Machine};

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
