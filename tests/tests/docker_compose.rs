//! An app of several services on a real Docker Engine, as docker-compose makes it and must find it again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use volsnap_tests::{
    cli::Cli,
    private_engine::{PrivateEngine, Run},
    trees,
};

const IMAGE: &str = "volsnap-test/compose:1";
/// A database with a named volume, a site with a bind mount that another service reads, and a cache without any volume.
const PROJECT: &str = r#"
version: "2.4"
services:
  db:
    image: volsnap-test/compose:1
    network_mode: none
    restart: always
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do date >> /data/log; sleep 0.05; done"]
    volumes: ["dbdata:/data"]
  web:
    image: volsnap-test/compose:1
    network_mode: none
    restart: unless-stopped
    depends_on: [db, cache]
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do date > /www/hit; sleep 0.05; done"]
    volumes: ["./content:/www"]
  uploads:
    image: volsnap-test/compose:1
    network_mode: none
    depends_on: [web]
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do cat /up/hit; sleep 0.05; done"]
    volumes: ["./content:/up:ro"]
  cache:
    image: volsnap-test/compose:1
    network_mode: none
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $$!; done"]
volumes: {dbdata: {}}
"#;

struct Project {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    name: String,
    cli: Cli,
}

impl Project {
    /// The project, up and registered as `shop`.
    fn up(test: &str) -> Option<Self> {
        if Command::new("docker-compose").arg("version").stdout(Stdio::null()).status().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs docker-compose");
            println!("skipped {test}: docker-compose is not installed");
            return None;
        }
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("docker-compose.yml"), PROJECT).unwrap();
        fs::create_dir(dir.path().join("content")).unwrap();
        // What compose makes carries the project's name, and with it the prefix by which a shared engine is tidied.
        let name = format!("{}-project", engine.prefix());
        let cli = Cli::new(dir.path().join("state"), engine.host());
        let project = Project { engine, dir, name, cli };
        project.compose(&["up", "-d"]);
        project.cli.ok(&["workload", "add", "shop", "--compose-project", &project.name]);
        Some(project)
    }

    #[track_caller]
    fn compose(&self, args: &[&str]) -> String {
        let output = Command::new("docker-compose")
            .args(["--project-name", &self.name])
            .args(args)
            .current_dir(self.dir.path())
            .env("DOCKER_HOST", self.engine.host())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "docker-compose {args:?}: {text}");
        text
    }

    fn container(&self, service: &str) -> String {
        format!("{}_{service}_1", self.name)
    }

    /// Ids by name: compose may neither make a container anew nor add one.
    fn ids(&self) -> BTreeMap<String, String> {
        let listed = self.engine.docker(&["ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}}"]);
        let pairs = listed.lines().filter_map(|line| line.split_once(' '));
        pairs.filter(|(name, _)| name.starts_with(&self.name)).map(|(n, id)| (n.into(), id.into())).collect()
    }

    fn content(&self) -> PathBuf {
        self.dir.path().join("content")
    }

    /// All services run with their policies, compose has nothing to do, and nothing is left over.
    #[track_caller]
    fn assert_whole(&self) {
        for (service, policy) in [("db", "always"), ("web", "unless-stopped"), ("uploads", "no"), ("cache", "no")] {
            let name = self.container(service);
            assert_eq!(self.engine.inspect(&name, "{{.State.Running}}"), "true", "{service}");
            let seen = self.engine.inspect(&name, "{{.HostConfig.RestartPolicy.Name}}");
            // Some versions of compose ask for no policy by no word at all; the container is the same one.
            let seen = if seen.is_empty() { "no" } else { &seen };
            assert_eq!(seen, policy, "{service}");
        }
        let before = self.ids();
        assert_eq!(before.len(), 4, "{before:?}");
        let said = self.compose(&["up", "-d"]);
        assert_eq!(self.ids(), before, "compose made something anew: {said}");
        assert_eq!(trees::litter(self.dir.path()), Vec::<String>::new());
        assert_eq!(self.cli.ok(&["status"])["open"].as_array().map(Vec::len), Some(0));
    }

    fn create(&self) -> String {
        self.cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string()
    }
}

#[test]
fn compose_finds_its_containers_after_a_restore_and_has_nothing_to_do() {
    let Some(project) = Project::up("compose restore") else { return };
    let snapshot = project.create();
    fs::write(project.content().join("damage"), "oops").unwrap();
    let report = project.cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(report["outcome"], "restored", "{report}");
    assert!(!project.content().join("damage").exists());
    project.assert_whole();
    let undone = project.cli.ok(&["undo", "shop"]);
    assert_eq!(undone["outcome"], "restored", "{undone}");
    assert!(project.content().join("damage").exists());
    project.assert_whole();
}

#[test]
fn a_service_that_mounts_nothing_of_what_is_restored_comes_back_with_the_others() {
    let Some(project) = Project::up("compose subset") else { return };
    let snapshot = project.create();
    fs::write(project.content().join("damage"), "oops").unwrap();
    let report = project.cli.ok(&["restore", "shop", &snapshot, "--yes", "--volume", "/data"]);
    assert_eq!(report["outcome"], "restored", "{report}");
    let targets: Vec<&Value> = report["volumes"].as_array().unwrap().iter().map(|v| &v["target"]).collect();
    assert_eq!(targets, ["/data"], "{report}");
    assert!(project.content().join("damage").exists(), "only the named volume is restored");
    project.assert_whole();
}

#[test]
fn a_directory_that_another_service_writes_is_not_said_to_be_left_out() {
    let Some(project) = Project::up("compose left out") else { return };
    let shown = project.cli.ok(&["workload", "show", "shop"]);
    assert_eq!(shown["left_out"], Value::Array(vec![]), "{shown}");
    assert_eq!(project.cli.ok(&["create", "shop"])["warnings"], Value::Null);
}

#[test]
fn a_container_that_is_missing_is_named_and_not_found() {
    let Some(engine) = PrivateEngine::start("missing container") else { return };
    engine.import_image(IMAGE);
    let dir = tempfile::tempdir().unwrap();
    let name = format!("{}-gone", engine.prefix());
    let cli = Cli::new(dir.path().join("state"), engine.host());
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    cli.fails(&["workload", "add", "shop", "--container", &name], 8, "not-found");
    let volumes = vec![format!("{}:/data", data.display())];
    engine.run(&Run { name: &name, image: IMAGE, volumes, ..Run::default() });
    cli.ok(&["workload", "add", "shop", "--container", &name]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    engine.docker(&["rm", "--force", &name]);
    for args in [&["create", "shop"][..], &["plan", "shop", &snapshot], &["restore", "shop", &snapshot, "--yes"]] {
        let error = cli.fails(args, 8, "not-found");
        assert!(error["error"]["message"].as_str().unwrap().contains(&name), "{error}");
    }
    cli.ok(&["show", &snapshot]);
}

#[test]
fn an_app_that_dies_again_and_again_is_named_when_its_time_is_over() {
    let Some(engine) = PrivateEngine::start("dying app") else { return };
    engine.import_image(IMAGE);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("poison"), "").unwrap();
    let name = format!("{}-dies", engine.prefix());
    engine.run(&Run {
        name: &name,
        image: IMAGE,
        volumes: vec![format!("{}:/data", data.display())],
        restart: "unless-stopped",
        script: "trap 'exit 0' TERM; while cat /data/poison; do exit 3; done; while :; do sleep 0.1; done",
        created_only: true,
        ..Run::default()
    });
    let cli = Cli::new(dir.path().join("state"), engine.host());
    cli.ok(&["workload", "add", "shop", "--container", &name]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    fs::remove_file(data.join("poison")).unwrap();
    engine.docker(&["start", &name]);
    let ended = cli.run(&["restore", "shop", &snapshot, "--yes", "--health-timeout", "5s"]);
    assert_eq!(ended.status, Some(4), "{ended:#?}");
    assert_eq!(ended.json["outcome"], "reverted");
    let cause = ended.json["cause"]["message"].as_str().unwrap();
    assert!(cause.contains(&name) && cause.contains("exit code 3"), "{cause}");
    assert!(!data.join("poison").exists());
    assert_eq!(engine.inspect(&name, "{{.State.Running}}"), "true");
}
