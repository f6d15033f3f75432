//! The health gate on a real Docker Engine: who is not healthy on the restored data, and what it said last.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::fs;

use serde_json::Value;
use volsnap_tests::{
    cli::Cli,
    private_engine::{FOREVER, PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/app:1";

/// An app that is sick on data with a file `poison`, and a snapshot with that file; the live data are without it.
struct Stage {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    app: String,
    snapshot: String,
}

impl Stage {
    fn new(test: &str, options: &[&str], restart: &str, script: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let app = format!("{}-app", engine.prefix());
        engine.run(&Run {
            name: &app,
            image: IMAGE,
            volumes: vec![format!("{}:/data", data.display())],
            restart,
            options: options.iter().map(ToString::to_string).collect(),
            script,
            ..Run::default()
        });
        let cli = Cli::new(dir.path().join("state"), engine.host());
        cli.ok(&["workload", "add", "shop", "--container", &app]);
        fs::write(data.join("poison"), "").unwrap();
        let snapshot = cli.ok(&["create", "shop", "--mode", "live"])["id"].as_str().unwrap().to_string();
        fs::remove_file(data.join("poison")).unwrap();
        Some(Stage { engine, dir, cli, app, snapshot })
    }

    fn restore(&self, options: &[&str]) -> (Option<i32>, Value) {
        let ended = self.cli.run(&[&["restore", "shop", &self.snapshot, "--yes"], options].concat());
        (ended.status, ended.json)
    }

    fn is_poisoned(&self) -> bool {
        self.dir.path().join("data/poison").exists()
    }

    fn is_running(&self) -> bool {
        self.engine.inspect(&self.app, "{{.State.Running}}").trim() == "true"
    }
}

#[test]
fn a_failing_health_check_takes_all_back_and_its_last_output_is_told() {
    let check = "--health-cmd=if [ -e /data/poison ]; then echo no such table; exit 1; fi";
    let options = [check, "--health-interval=1s", "--health-retries=1", "--health-start-period=0s"];
    let Some(stage) = Stage::new("failing health check", &options, "no", FOREVER) else { return };

    let (status, report) = stage.restore(&["--health-timeout", "30s"]);
    assert_eq!((status, &report["outcome"]), (Some(4), &"reverted".into()), "{report}");
    let cause = report["cause"]["message"].as_str().unwrap();
    assert!(cause.contains(&stage.app) && cause.contains("unhealthy") && cause.contains("no such table"), "{cause}");
    assert!(!stage.is_poisoned());
    assert!(stage.is_running());

    let (status, report) = stage.restore(&["--health-timeout", "30s", "--on-unhealthy", "keep"]);
    assert_eq!((status, &report["outcome"]), (Some(5), &"restored".into()), "{report}");
    let warning = report["warnings"].to_string();
    assert!(warning.contains(&stage.app) && warning.contains("no such table"), "{warning}");
    assert!(stage.is_poisoned());
    assert!(report["safety_snapshot"].is_string(), "what was replaced can be had back: {report}");
    let undone = stage.cli.ok(&["undo", "shop", "--health-timeout", "30s"]);
    assert_eq!(undone["outcome"], "restored", "{undone}");
    assert!(!stage.is_poisoned());
}

#[test]
fn a_container_that_dies_again_and_again_takes_all_back_and_its_last_words_are_told() {
    let script = format!("if [ -e /data/poison ]; then echo cannot open the table; exit 3; fi; {FOREVER}");
    let Some(stage) = Stage::new("crash loop", &[], "always", &script) else { return };
    let (status, report) = stage.restore(&["--health-timeout", "5s"]);
    assert_eq!((status, &report["outcome"]), (Some(4), &"reverted".into()), "{report}");
    let cause = report["cause"]["message"].as_str().unwrap();
    assert!(cause.contains(&stage.app) && cause.contains("was not healthy after 5s"), "{cause}");
    assert!(cause.contains("exit code 3") && cause.contains("cannot open the table"), "{cause}");
    assert!(!stage.is_poisoned());
    assert!(stage.is_running());
    assert_eq!(stage.engine.inspect(&stage.app, "{{.HostConfig.RestartPolicy.Name}}").trim(), "always");
}

/// Longer than it takes to look twice: what tells is that it was started again.
#[test]
fn a_container_that_runs_for_some_seconds_each_time_does_not_stay_up() {
    let script = format!("if [ -e /data/poison ]; then sleep 4; exit 3; fi; {FOREVER}");
    let Some(stage) = Stage::new("slow crash loop", &[], "always", &script) else { return };
    let (status, report) = stage.restore(&["--health-timeout", "12s"]);
    assert_eq!((status, &report["outcome"]), (Some(4), &"reverted".into()), "{report}");
    let cause = report["cause"]["message"].as_str().unwrap();
    assert!(cause.contains(&stage.app) && cause.contains("was not healthy after 12s"), "{cause}");
    assert!(!stage.is_poisoned() && stage.is_running());
}

/// Nobody asked for its health, and still it is seen that it is gone; what did not run is not started, and that is said.
#[test]
fn a_container_that_ends_at_once_is_told_of_and_so_is_one_that_was_left_stopped() {
    let script = format!("if [ -e /data/poison ]; then exit 3; fi; {FOREVER}");
    let Some(stage) = Stage::new("ends at once", &[], "no", &script) else { return };
    let (status, report) = stage.restore(&[]);
    assert_eq!((status, &report["outcome"]), (Some(5), &"restored".into()), "{report}");
    let warning = report["warnings"].to_string();
    assert!(warning.contains(&format!("container {} has ended since it was started", stage.app)), "{warning}");
    let undone = stage.cli.ok(&["undo", "shop"]);
    assert_eq!(undone["left_stopped"], serde_json::json!([stage.app]), "{undone}");
    assert!(!stage.is_running());
}

#[test]
fn without_a_check_it_is_enough_to_stay_up() {
    let Some(stage) = Stage::new("stays up", &[], "no", FOREVER) else { return };
    let (status, report) = stage.restore(&["--health-timeout", "3s"]);
    assert_eq!((status, &report["outcome"]), (Some(0), &"restored".into()), "{report}");
    assert!(stage.is_poisoned() && stage.is_running());
}

#[test]
fn a_plan_names_what_is_stopped_and_for_how_long_it_is_waited_for() {
    let options = ["--stop-timeout=3"];
    let Some(stage) = Stage::new("stop timeout", &options, "no", FOREVER) else { return };
    let plan = stage.cli.ok(&["plan", "shop", &stage.snapshot, "--health-timeout", "2m"]);
    assert_eq!(
        (&plan["containers"][0]["name"], &plan["containers"][0]["stop_timeout_ms"]),
        (&stage.app.clone().into(), &3000.into())
    );
    assert_eq!(
        (&plan["downtime"]["restores_measured"], &plan["downtime"]["health_timeout_ms"]),
        (&0.into(), &120_000.into())
    );
    let file = stage.dir.path().join("p.json");
    fs::write(&file, plan.to_string()).unwrap();
    // The plan was made for an app that runs.
    stage.engine.docker(&["stop", &stage.app]);
    let apply = ["restore", "--plan", file.to_str().unwrap(), "--yes"];
    let refused = stage.cli.fails(&apply, 3, "refused");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("would need `leave stopped` and not `stop and start`"), "{message}");
    stage.engine.docker(&["start", &stage.app]);
    assert_eq!(stage.cli.ok(&["restore", "--plan", file.to_str().unwrap(), "--yes"])["outcome"], "restored");
}
