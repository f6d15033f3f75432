//! Signals while a real container is being stopped, switched or brought back: the app is up in the end, on the original or
//! on the restored data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use volsnap_tests::{
    cli::{Cli, Ended},
    private_engine::{PrivateEngine, Run},
    trees,
};

const IMAGE: &str = "volsnap-test/app:1";
/// Does not heed its stop signal, so that stopping it takes as long as its time-out says.
const STUBBORN: &str = "trap '' TERM; while :; do sleep 1; done";

struct Stage {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    app: String,
    workload: String,
    snapshot: String,
}

impl Stage {
    /// An app that takes two seconds to stop, a snapshot of it, and a file that came since.
    fn new(test: &str) -> Option<Self> {
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
            restart: "always",
            options: vec!["--stop-timeout=2".into()],
            script: STUBBORN,
            ..Run::default()
        });
        let cli = Cli::new(dir.path().join("state"), engine.host());
        cli.ok(&["workload", "add", "shop", "--container", &app]);
        let workload = cli.ok(&["workload", "show", "shop"])["id"].as_str().unwrap().to_string();
        let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        let stage = Stage { engine, dir, cli, app, workload, snapshot };
        fs::write(stage.since(), "").unwrap();
        Some(stage)
    }

    fn since(&self) -> PathBuf {
        self.dir.path().join("data/since")
    }

    /// Runs a command, and sends the signals as soon as its journal has that entry.
    fn signalled(&self, args: &[&str], entry: &str, signals: &[Signal]) -> Ended {
        let child = self.cli.spawn(args);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.cli.journal(&self.workload).contains(entry) {
            assert!(Instant::now() < deadline, "{entry} did not come");
            sleep(Duration::from_micros(200));
        }
        for signal in signals {
            kill_process(Pid::from_child(&child), *signal).unwrap();
            sleep(Duration::from_millis(20));
        }
        Ended::of(&child.wait_with_output().unwrap(), args)
    }

    #[track_caller]
    fn assert_app_is_up(&self) {
        assert_eq!(self.engine.inspect(&self.app, "{{.State.Running}} {{.State.Paused}}").trim(), "true false");
        assert_eq!(self.engine.inspect(&self.app, "{{.HostConfig.RestartPolicy.Name}}").trim(), "always");
        assert_eq!(self.cli.journal(&self.workload), "");
        assert_eq!(trees::litter(self.dir.path()), Vec::<String>::new());
    }
}

#[test]
fn a_restore_that_is_interrupted_while_the_app_stops_starts_it_again_on_its_original_data() {
    let Some(stage) = Stage::new("interrupted stop") else { return };
    for signals in [&[Signal::INT][..], &[Signal::TERM, Signal::INT, Signal::INT]] {
        let started = || stage.engine.inspect(&stage.app, "{{.State.StartedAt}}");
        let before = started();
        let ended = stage.signalled(&["restore", "shop", &stage.snapshot, "--yes"], "\"pinned\"", signals);
        assert_eq!((ended.status, &ended.json["outcome"]), (Some(4), &"aborted".into()), "{ended:#?}");
        // The signal may come before the stop begins.
        assert_eq!(ended.json["downtime_us"] != 0, started() != before, "{ended:#?}");
        assert!(ended.stderr.contains("going back to the original data"), "{ended:#?}");
        assert_eq!(signals.len() > 1, ended.stderr.contains("still going back"), "{ended:#?}");
        assert!(stage.since().exists());
        stage.assert_app_is_up();
    }
}

#[test]
fn a_restore_that_is_interrupted_after_its_commit_is_finished_with_the_app_up() {
    let Some(stage) = Stage::new("interrupted switch") else { return };
    for (entry, signals) in [("\"committed\"", &[Signal::INT][..]), ("\"switched\"", &[Signal::TERM, Signal::INT])] {
        fs::write(stage.since(), "").unwrap();
        let ended = stage.signalled(&["restore", "shop", &stage.snapshot, "--yes"], entry, signals);
        assert_eq!((ended.status, &ended.json["outcome"]), (Some(0), &"restored".into()), "{ended:#?}");
        assert!(!stage.since().exists());
        stage.assert_app_is_up();
    }
}

#[test]
fn a_snapshot_that_is_interrupted_leaves_the_app_as_it_was() {
    let Some(stage) = Stage::new("interrupted snapshot") else { return };
    for i in 0..64 {
        fs::write(stage.dir.path().join(format!("data/{i}")), vec![i; 1 << 20]).unwrap();
    }
    for mode in ["pause", "stop"] {
        let ended = stage.signalled(&["create", "shop", "--mode", mode], "\"snapshot\"", &[Signal::INT, Signal::INT]);
        // In the moment in which the volumes are read to their end it is too late, and the snapshot is there.
        match ended.status {
            Some(4) => assert_eq!(ended.json["error"]["code"], "aborted", "{ended:#?}"),
            status => assert_eq!((status, mode), (Some(0), "pause"), "{ended:#?}"),
        }
        stage.assert_app_is_up();
    }
}
