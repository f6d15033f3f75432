//! The main job on a real Docker Engine: snapshot while the app writes, restore, undo, crash, recover.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use volsnap_tests::{
    cli::Cli,
    private_engine::{PrivateEngine, Run},
    trees,
};

const IMAGE: &str = "volsnap-test/app:1";
/// Writes a counter all the time, each value durable, and ends at once when asked to.
const APP: &str = "trap 'exit 0' TERM; n=$(cat /data/counter 2>/dev/null || echo 0); \
                   while :; do n=$((n+1)); echo $n > /data/counter.new && mv /data/counter.new /data/counter; \
                   echo $n > /named/counter; sleep 0.02; done";

struct Stage {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    app: String,
    workload: String,
}

impl Stage {
    /// An app that writes into a bind mount and a named volume, registered as `shop`.
    fn new(test: &str, restart: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let app = format!("{}-app", engine.prefix());
        let named = format!("{}-named", engine.prefix());
        engine.run(&Run {
            name: &app,
            image: IMAGE,
            volumes: vec![format!("{}:/data", data.display()), format!("{named}:/named"), "/anonymous".into()],
            restart,
            labels: vec!["tier=front".into()],
            script: APP,
            ..Run::default()
        });
        let cli = Cli::new(dir.path().join("state"), engine.host());
        cli.ok(&["workload", "add", "shop", "--container", &app]);
        let workload = cli.ok(&["workload", "show", "shop"])["id"].as_str().unwrap().to_string();
        let stage = Stage { engine, dir, cli, app, workload };
        stage.wait_for("the app writes", || stage.counter() > 3);
        Some(stage)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn counter(&self) -> u64 {
        number(&self.data().join("counter"))
    }

    fn is_running(&self) -> bool {
        self.engine.exists(&self.app) && self.engine.inspect(&self.app, "{{.State.Running}}").trim() == "true"
    }

    #[track_caller]
    fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..500 {
            if condition() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("{what}: not within ten seconds");
    }

    /// The app runs, writes into the live directory, and has the policy that it had.
    #[track_caller]
    fn assert_app_is_back(&self, policy: &str) {
        assert!(self.is_running(), "the app is down: {:?}", self.engine.names());
        assert_eq!(self.engine.inspect(&self.app, "{{.HostConfig.RestartPolicy.Name}}").trim(), policy);
        let before = self.counter();
        self.wait_for("the app writes into the live directory", || self.counter() > before);
        let ours: Vec<String> = self
            .engine
            .names()
            .into_iter()
            .filter(|n| n.contains("volsnap-new") || n.contains("volsnap-old"))
            .collect();
        assert_eq!(ours, Vec::<String>::new(), "containers are left over");
        assert_eq!(trees::litter(self.dir.path()), Vec::<String>::new());
        assert_eq!(self.cli.journal(&self.workload), "");
    }

    fn create(&self) -> String {
        self.cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string()
    }

    fn restore_args<'a>(&self, snapshot: &'a str) -> [&'a str; 4] {
        ["restore", "shop", snapshot, "--yes"]
    }

    /// Kills restores until one is killed with this as the last entry of its journal.
    fn kill_after(&self, snapshot: &str, entry: &str) {
        for _ in 0..10 {
            if self.cli.kill_at(&self.restore_args(snapshot), &self.workload, entry) {
                let status = self.cli.ok(&["status", "shop"]);
                if status.to_string().contains(&format!("\"{entry}\"")) {
                    return;
                }
            }
            self.cli.run(&["recover", "shop"]);
        }
        panic!("no restore could be killed at {entry}");
    }
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn a_snapshot_of_a_writing_app_is_restored_and_undone() {
    let Some(stage) = Stage::new("restore and undo", "no") else { return };
    let image_id = stage.engine.inspect(&stage.app, "{{.Image}}");
    let anonymous = stage
        .engine
        .inspect(&stage.app, "{{range .Mounts}}{{if eq .Destination \"/anonymous\"}}{{.Name}}{{end}}{{end}}");
    let snapshot = stage.create();
    let shown = stage.cli.ok(&["show", &snapshot]);
    assert_eq!(shown["mode"], "pause");
    assert!(shown["quiesced_ms"].as_u64().unwrap() > 0, "{shown}");
    let targets: Vec<&str> =
        shown["volumes"].as_array().unwrap().iter().map(|v| v["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["/anonymous", "/data", "/named"]);
    stage.cli.ok(&["verify", &snapshot]);

    let at_snapshot = stage.counter();
    stage.wait_for("the app goes on", || stage.counter() > at_snapshot + 100);
    fs::write(stage.data().join("damage"), "oops").unwrap();

    let plan = stage.cli.ok(&["plan", "shop", &snapshot]);
    assert_eq!(plan["volumes"][0]["method"], "exchange", "{plan}");
    assert_eq!(plan["refusals"], Value::Array(vec![]));
    assert!(stage.is_running(), "planning touches nothing");

    // The tag moves to another image: the app must come back on what it ran.
    stage.engine.docker(&["tag", IMAGE, "volsnap-test/app:old"]);
    let report = stage.cli.ok(&stage.restore_args(&snapshot));
    assert_eq!(report["outcome"], "restored", "{report}");
    assert!(report["safety_snapshot"].is_string(), "{report}");
    assert!(!stage.data().join("damage").exists());
    assert!(stage.counter() < at_snapshot + 100, "the counter went back");
    assert_eq!(stage.engine.inspect(&stage.app, "{{.Image}}"), image_id);
    assert_eq!(stage.engine.inspect(&stage.app, "{{index .Config.Labels \"tier\"}}").trim(), "front");
    let kept = stage
        .engine
        .inspect(&stage.app, "{{range .Mounts}}{{if eq .Destination \"/anonymous\"}}{{.Name}}{{end}}{{end}}");
    assert_eq!(kept, anonymous, "the anonymous volume is kept");
    stage.assert_app_is_back("no");

    let undone = stage.cli.ok(&["undo", "shop"]);
    assert_eq!(undone["outcome"], "restored", "{undone}");
    assert_eq!(fs::read_to_string(stage.data().join("damage")).unwrap(), "oops");
    assert!(stage.counter() > at_snapshot + 100);
    stage.assert_app_is_back("no");
    let events = stage.cli.ok(&["events", "shop"]).to_string();
    assert!(events.contains("restored"), "{events}");
}

#[test]
fn a_snapshot_of_a_stopped_app_leaves_it_running_with_its_policy() {
    let Some(stage) = Stage::new("stop mode", "always") else { return };
    let started = stage.engine.inspect(&stage.app, "{{.State.StartedAt}}");
    let taken = stage.cli.ok(&["create", "shop", "--mode", "stop"]);
    assert_eq!(taken["mode"], "stop", "{taken}");
    assert_ne!(stage.engine.inspect(&stage.app, "{{.State.StartedAt}}"), started, "it was stopped for it");
    stage.assert_app_is_back("always");
}

#[test]
fn a_snapshot_is_proved_by_starting_the_app_on_a_copy() {
    let Some(stage) = Stage::new("drill", "always") else { return };
    let snapshot = stage.create();
    let before = stage.engine.inspect(&stage.app, "{{.Id}} {{.State.StartedAt}}");
    let drilled = stage.cli.ok(&["drill", "shop", "--boot"]);
    assert_eq!((&drilled["booted"], &drilled["snapshot"]), (&true.into(), &snapshot.into()), "{drilled}");
    assert_eq!(stage.engine.inspect(&stage.app, "{{.Id}} {{.State.StartedAt}}"), before, "the app is not touched");
    stage.assert_app_is_back("always");
}

#[test]
fn what_was_stopped_stays_stopped() {
    let Some(stage) = Stage::new("stays stopped", "always") else { return };
    let snapshot = stage.create();
    stage.engine.docker(&["stop", &stage.app]);
    fs::write(stage.data().join("damage"), "oops").unwrap();
    let report = stage.cli.ok(&stage.restore_args(&snapshot));
    assert_eq!(report["outcome"], "restored", "{report}");
    assert!(!stage.is_running());
    assert_eq!(stage.engine.inspect(&stage.app, "{{.HostConfig.RestartPolicy.Name}}").trim(), "always");
    assert!(!stage.data().join("damage").exists());
}

#[test]
fn a_crash_between_switch_and_redeploy_is_recovered_with_the_app() {
    let Some(stage) = Stage::new("crash before redeploy", "unless-stopped") else { return };
    let snapshot = stage.create();
    fs::write(stage.data().join("damage"), "oops").unwrap();
    stage.kill_after(&snapshot, "switched");
    assert!(!stage.is_running(), "the app does not run before it is recovered");
    let recovered = stage.cli.ok(&["recover", "shop"]);
    assert_eq!(recovered["recovered"][0]["outcome"], "restored", "{recovered}");
    assert!(!stage.data().join("damage").exists());
    stage.assert_app_is_back("unless-stopped");
    assert_eq!(stage.cli.ok(&["recover", "shop"])["recovered"], Value::Array(vec![]));
}

#[test]
fn a_crash_before_the_commit_brings_the_original_and_the_app_back() {
    let Some(stage) = Stage::new("crash before commit", "always") else { return };
    let snapshot = stage.create();
    fs::write(stage.data().join("damage"), "oops").unwrap();
    stage.kill_after(&snapshot, "pinned");
    let recovered = stage.cli.ok(&["recover", "shop"]);
    assert_eq!(recovered["recovered"][0]["outcome"], "aborted", "{recovered}");
    assert!(stage.data().join("damage").exists());
    stage.assert_app_is_back("always");
}

#[test]
fn an_engine_that_restarts_in_the_middle_does_not_revive_the_app_on_half_the_data() {
    let Some(mut stage) = Stage::new("engine restart", "always") else { return };
    if !stage.engine.is_private() {
        println!("skipped: the engine is shared and cannot be killed");
        return;
    }
    let snapshot = stage.create();
    for entry in ["committed", "switched"] {
        fs::write(stage.data().join("damage"), "oops").unwrap();
        // A power cut: volsnap, the engine and all containers end at once.
        stage.kill_after(&snapshot, entry);
        stage.engine.kill();
        stage.engine.restart_engine();
        sleep(Duration::from_millis(500));
        assert!(!stage.is_running(), "the engine revived the app at {entry}");
        let recovered = stage.cli.ok(&["recover", "shop"]);
        assert_eq!(recovered["recovered"][0]["outcome"], "restored", "{recovered}");
        assert!(!stage.data().join("damage").exists());
        stage.assert_app_is_back("always");
    }
}

#[test]
fn a_container_that_was_renamed_or_removed_after_a_crash_comes_back_and_that_is_told() {
    let Some(stage) = Stage::new("renamed", "always") else { return };
    let snapshot = stage.create();
    let other = format!("{}-other", stage.engine.prefix());
    let id = stage.engine.inspect(&stage.app, "{{.Id}}");
    stage.kill_after(&snapshot, "pinned");
    stage.engine.docker(&["rename", &stage.app, &other]);
    let recovered = stage.cli.run(&["recover", "shop"]).json.to_string();
    assert!(recovered.contains(&format!("container {} had been renamed to {other}", stage.app)), "{recovered}");
    stage.assert_app_is_back("always");
    assert_eq!(stage.engine.inspect(&stage.app, "{{.Id}}"), id, "none was made beside it");

    stage.kill_after(&snapshot, "committed");
    stage.engine.docker(&["rm", "--force", &stage.app]);
    let recovered = stage.cli.run(&["recover", "shop"]).json.to_string();
    assert!(recovered.contains(&format!("container {} was gone and was made anew", stage.app)), "{recovered}");
    stage.assert_app_is_back("always");
}

#[test]
fn an_unreachable_engine_stops_a_restore_before_anything_is_touched() {
    let Some(mut stage) = Stage::new("engine down", "no") else { return };
    if !stage.engine.is_private() {
        println!("skipped: the engine is shared and cannot be killed");
        return;
    }
    let snapshot = stage.create();
    stage.engine.kill();
    let before = trees::read(&stage.data());
    stage.cli.fails(&stage.restore_args(&snapshot), 1, "engine");
    stage.cli.fails(&["create", "shop"], 1, "engine");
    assert_eq!(trees::read(&stage.data()), before);
    stage.engine.restart_engine();
}

#[test]
fn a_second_process_is_refused() {
    let Some(stage) = Stage::new("busy", "no") else { return };
    let snapshot = stage.create();
    let first = stage.cli.spawn(&stage.restore_args(&snapshot));
    stage.wait_for("the restore has begun", || !stage.cli.journal(&stage.workload).is_empty());
    let error = stage.cli.fails(&["create", "shop"], 7, "busy");
    let owner = format!("held by process {}", first.id());
    assert!(error["error"]["message"].as_str().unwrap().contains(&owner), "{error}");
    let ended = first.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    stage.assert_app_is_back("no");
}

#[test]
fn a_container_outside_the_workload_is_refused_while_it_runs_and_held_while_it_does_not() {
    let Some(stage) = Stage::new("consumer", "no") else { return };
    let snapshot = stage.create();
    let other = format!("{}-other", stage.engine.prefix());
    // It mounts the parent, and so the volume with it.
    let volumes = vec![format!("{}:/all", stage.dir.path().display())];
    stage.engine.run(&Run { name: &other, image: IMAGE, volumes, restart: "always", ..Run::default() });
    let error = stage.cli.fails(&stage.restore_args(&snapshot), 3, "refused");
    assert!(error["error"]["message"].as_str().unwrap().contains(&other), "{error}");
    assert!(stage.is_running());
    stage.engine.docker(&["stop", &other]);
    let report = stage.cli.ok(&stage.restore_args(&snapshot));
    assert_eq!(report["outcome"], "restored", "{report}");
    assert_eq!(stage.engine.inspect(&other, "{{.State.Running}}").trim(), "false", "it was stopped and stays so");
    assert_eq!(stage.engine.inspect(&other, "{{.HostConfig.RestartPolicy.Name}}").trim(), "always");
    stage.assert_app_is_back("no");
}

#[test]
fn an_app_that_does_not_become_healthy_goes_back_as_a_whole() {
    let Some(stage) = Stage::new("health gate", "no") else { return };
    // The data decide whether the app lives: a file in the snapshot makes it exit.
    stage.engine.docker(&["rm", "-f", &stage.app]);
    let data = format!("{}:/data", stage.data().display());
    let script = format!("if [ -e /data/poison ]; then exit 3; fi; mkdir -p /named; {APP}");
    stage.engine.run(&Run { name: &stage.app, image: IMAGE, volumes: vec![data], script: &script, ..Run::default() });
    fs::write(stage.data().join("poison"), "").unwrap();
    let snapshot = stage.create();
    fs::remove_file(stage.data().join("poison")).unwrap();
    let ended = stage.cli.run(&["restore", "shop", &snapshot, "--yes", "--health-timeout", "3s"]);
    assert_eq!(ended.status, Some(4), "{ended:#?}");
    assert_eq!(ended.json["outcome"], "reverted", "{ended:#?}");
    assert!(!stage.data().join("poison").exists());
    stage.assert_app_is_back("no");
}

/// The engine goes on with a stop when whoever asked for it is gone. A recovery that comes meanwhile sees a container that
/// runs, and nobody would start it when it has ended.
#[test]
fn a_kill_in_the_middle_of_a_stop_leaves_no_app_that_ends_after_the_recovery() {
    let Some(stage) = Stage::new("a stop under way", "always") else { return };
    let slow = APP.replace("'exit 0'", "'sleep 2; exit 0'");
    stage.engine.docker(&["rm", "-f", &stage.app]);
    stage.engine.run(&Run {
        name: &stage.app,
        image: IMAGE,
        volumes: vec![format!("{}:/data", stage.data().display()), "/named".into()],
        restart: "always",
        labels: vec!["tier=front".into()],
        script: &slow,
        ..Run::default()
    });
    let before = stage.counter();
    stage.wait_for("the app writes", || stage.counter() > before);
    let snapshot = stage.create();
    for args in [&stage.restore_args(&snapshot)[..], &["create", "shop", "--mode", "stop"]] {
        let mut process = stage.cli.spawn(args);
        let policy = || stage.engine.inspect(&stage.app, "{{.HostConfig.RestartPolicy.Name}}");
        stage.wait_for("the fence", || policy().trim() == "no");
        sleep(Duration::from_millis(500));
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(stage.is_running(), "{args:?} was killed too late to show anything");
        stage.cli.ok(&["recover", "shop"]);
        sleep(Duration::from_secs(4));
        stage.assert_app_is_back("always");
    }
}
