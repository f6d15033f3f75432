//! Remedies about containers, on a real Docker Engine: followed as they are printed, until what failed works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use volsnap_tests::{
    cli::{Cli, binary},
    private_engine::{FOREVER, PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/app:1";

struct Stage {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    app: String,
    snapshot: String,
}

impl Stage {
    /// An app with a volume, and a snapshot of it.
    fn new(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/file"), "saved").unwrap();
        let app = format!("{}-app", engine.prefix());
        let cli = Cli::new(dir.path().join("state"), engine.host());
        let mut stage = Stage { engine, dir, cli, app: app.clone(), snapshot: String::new() };
        stage.start(&app, "data", "/data");
        stage.cli.ok(&["workload", "add", "shop", "--container", &app]);
        stage.snapshot = stage.cli.ok(&["create", "shop", "--mode", "live"])["id"].as_str().unwrap().to_string();
        Some(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self, name: &str, volume: &str, at: &str) {
        self.engine.run(&Run {
            name,
            image: IMAGE,
            volumes: vec![format!("{}:{at}", self.path(volume).display())],
            script: FOREVER,
            ..Run::default()
        });
    }

    /// The commands in the hint of a command that fails with that status.
    fn remedy(&self, status: i32, args: &[&str]) -> Vec<String> {
        let ended = self.cli.run(args);
        assert_eq!(ended.status, Some(status), "{args:?}: {ended:#?}");
        let hint = ended.json["error"]["hint"].as_str().unwrap_or_else(|| panic!("{args:?}: {ended:#?}")).to_string();
        let commands: Vec<String> = hint.split('`').skip(1).step_by(2).map(String::from).collect();
        assert!(!commands.is_empty(), "{args:?}: {hint}");
        commands
    }

    /// Runs a line in a shell, on this engine and this state directory.
    fn shell(&self, line: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let directory = binary().parent().unwrap().display();
        Command::new("sh")
            .args(["-c", line])
            .env("PATH", format!("{directory}:{path}"))
            .env("DOCKER_HOST", self.engine.host())
            .env("VOLSNAP_STATE_DIR", self.path("state"))
            .output()
            .unwrap()
    }

    fn follow(&self, commands: &[String]) -> String {
        let mut said = String::new();
        for command in commands {
            let done = self.shell(command);
            assert!(done.status.success(), "{command}: {done:?}");
            said.push_str(&String::from_utf8_lossy(&done.stdout));
        }
        said
    }
}

#[test]
fn a_container_of_somebody_else_on_a_volume_is_stopped_as_is_said() {
    let Some(stage) = Stage::new("a container of somebody else on a volume") else { return };
    let other = format!("{}-other", stage.engine.prefix());
    stage.start(&other, "data", "/elsewhere");
    fs::write(stage.path("data/file"), "today").unwrap();
    let restore = ["restore", "shop", &stage.snapshot, "--yes"];
    let remedy = stage.remedy(3, &restore);
    // One way is to stop it, the other to let it belong to the workload.
    assert_eq!(remedy[0], format!("docker stop {other}"));
    stage.follow(&remedy[..1]);
    stage.cli.ok(&restore);
    assert_eq!(fs::read_to_string(stage.path("data/file")).unwrap(), "saved");
}

#[test]
fn a_container_on_the_place_of_a_copy_is_stopped_as_is_said() {
    let Some(stage) = Stage::new("a container on the place of a copy") else { return };
    fs::create_dir(stage.path("copy")).unwrap();
    let other = format!("{}-other", stage.engine.prefix());
    stage.start(&other, "copy", "/data");
    let copy = stage.path("copy").display().to_string();
    let extract = ["extract", &stage.snapshot, &copy, "--volume", "/data"];
    let remedy = stage.remedy(3, &extract);
    assert_eq!(remedy, [format!("docker stop {other}")]);
    stage.follow(&remedy);
    stage.cli.ok(&extract);
}

#[test]
fn a_container_that_was_renamed_is_found_by_the_list_that_is_named() {
    let Some(stage) = Stage::new("a container that was renamed") else { return };
    let renamed = format!("{}-renamed", stage.engine.prefix());
    stage.engine.docker(&["rename", &stage.app, &renamed]);
    let remedy = stage.remedy(8, &["create", "shop"]);
    assert!(stage.follow(&remedy[..1]).contains(&renamed), "{remedy:?}");
    stage.engine.docker(&["rename", &renamed, &stage.app]);
    stage.cli.ok(&["create", "shop"]);
    let hook = ["workload", "hook", "add", "shop", "--at", "pre-create", "--container", "nobody", "--", "true"];
    assert!(stage.follow(&stage.remedy(8, &hook)).contains(&stage.app));
}
