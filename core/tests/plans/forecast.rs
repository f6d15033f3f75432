//! A forecast says what restores like the planned one measured, and never more.

use std::time::Duration;

use volsnap_core::{
    model::{Container, ContainerId, Particulars, RestartPolicy, RunState},
    restore::{Forecast, Outcome, Report, forecast::forecast, plan::Method, report::ReportedVolume},
};

use super::plan;

fn member(run: RunState) -> Container {
    Container {
        id: ContainerId("1".into()),
        name: "web".into(),
        project: None,
        service: None,
        image: "shop:7".into(),
        image_id: "sha256:1".into(),
        run,
        restart_policy: RestartPolicy::never(),
        mounts: vec![],
        depends_on: vec![],
        stop_timeout: Some(Duration::from_secs(10)),
        particulars: Particulars::default(),
        spec: serde_json::Value::Null,
    }
}

fn report(downtime_ms: u64, engine_ms: u64) -> Report {
    let plan = plan();
    Report {
        restore_id: plan.restore,
        workload: "shop".into(),
        workload_id: plan.workload.id,
        snapshot: plan.snapshot,
        outcome: Outcome::Restored,
        cause: None,
        volumes: vec![ReportedVolume { target: "/data".into(), method: Method::Exchange, bytes: 1, entries: 1 }],
        safety_snapshot: None,
        downtime_ms,
        downtime_us: downtime_ms * 1000,
        engine_ms,
        engine_us: engine_ms * 1000,
        stage_ms: 0,
        total_ms: 0,
        kept: vec![],
        left_stopped: vec![],
        made_anew: vec![],
        image: volsnap_core::model::ImageChoice::Current,
        images: vec![],
        app_problem: None,
        warnings: vec![],
        recovered: false,
        kept_of: None,
        reopened: None,
    }
}

#[test]
fn the_newest_restores_like_it_are_measured() {
    let mut reports: Vec<Report> = [400, 300, 500, 200, 350, 60_000].map(|ms| report(ms, ms - 10)).into();
    reports.insert(0, Report { outcome: Outcome::Reverted, ..report(9_000, 8_000) });
    reports.insert(0, Report { recovered: true, ..report(9_000, 8_000) });
    reports.insert(0, report(1, 0));
    let mut by_entry = report(9_000, 8_000);
    by_entry.volumes[0].method = Method::ByEntry;
    reports.insert(0, by_entry);
    reports.insert(0, Report { volumes: vec![], ..report(9_000, 8_000) });

    let Forecast { measured, stops } = forecast(&plan(), &[member(RunState::Running)], &reports);
    let measured = measured.unwrap();
    let ms = Duration::from_millis;
    assert_eq!((measured.restores, measured.least, measured.most), (5, ms(200), ms(500)));
    assert_eq!((measured.median, measured.engine), (ms(350), ms(340)));
    assert_eq!(stops, [("web".to_string(), Some(Duration::from_secs(10)))]);
}

#[test]
fn restores_with_an_app_tell_nothing_about_one_without() {
    let stopped = [member(RunState::Stopped)];
    assert_eq!(forecast(&plan(), &stopped, &[report(400, 390)]), Forecast::default());
    assert_eq!(forecast(&plan(), &stopped, &[report(1, 0)]).measured.unwrap().most, Duration::from_millis(1));
}
