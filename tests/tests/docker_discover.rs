//! Registering by a name alone on a real Docker Engine: what is found, what is left out, and what is only suggested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::fs;

use serde_json::{Value, json};
use volsnap_tests::{
    cli::Cli,
    private_engine::{PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/postgres:16";

struct Host {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    project: String,
}

impl Host {
    /// A project of a database and a web server that reads its uploads, and a container outside of any.
    fn new(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        for name in ["uploads", "alone"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("uploads/cat"), "meow").unwrap();
        fs::write(dir.path().join("app.conf"), "on").unwrap();
        let cli = Cli::new(dir.path().join("state"), engine.host());
        let project = format!("{}-shop", engine.prefix());
        let host = Host { engine, dir, cli, project };
        let at = |name: &str, target: &str| format!("{}:{target}", host.dir.path().join(name).display());
        host.run("db", "", vec![format!("{}-data:/var/lib/postgresql", host.project)]);
        host.run(
            "web",
            "db:service_started:false",
            vec![
                at("uploads", "/srv/uploads"),
                at("app.conf", "/etc/app.conf"),
                format!("{}:ro", at("alone", "/usr/share/alone")),
            ],
        );
        host.engine.run(&Run {
            name: &host.alone(),
            image: IMAGE,
            volumes: vec![at("alone", "/data")],
            ..Run::default()
        });
        Some(host)
    }

    fn run(&self, service: &str, depends_on: &str, volumes: Vec<String>) {
        let label = |key: &str, value: &str| format!("com.docker.compose.{key}={value}");
        self.engine.run(&Run {
            name: &self.container(service),
            image: IMAGE,
            volumes,
            restart: "unless-stopped",
            labels: vec![label("project", &self.project), label("service", service), label("depends_on", depends_on)],
            options: vec!["--tmpfs=/scratch".into()],
            ..Run::default()
        });
    }

    fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    fn alone(&self) -> String {
        format!("{}-alone", self.engine.prefix())
    }

    /// What a shell is told to offer for a line whose last word is being typed.
    fn offered(&self, line: &[&str]) -> Vec<String> {
        let mut command = self.cli.command(&[&["--", "volsnap"], line].concat());
        // The options that it is given here stand before the line, not in it.
        command.env("VOLSNAP_STATE_DIR", self.dir.path().join("state"));
        let output = command.env("VOLSNAP_COMPLETE", "fish").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{line:?}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split('\t').next().unwrap().to_string()).collect()
    }

    fn discovered(&self) -> Vec<Value> {
        let found = self.cli.ok(&["workload", "discover"])["found"].clone();
        let ours = |one: &&Value| one["name"].as_str().unwrap().starts_with(self.engine.prefix());
        found.as_array().unwrap().iter().filter(ours).map(|one| json!([one["kind"], one["name"]])).collect()
    }
}

#[test]
fn a_project_is_registered_by_its_name_alone_after_a_dry_run_that_shows_all_of_it() {
    let Some(host) = Host::new("discover") else { return };
    let both = [json!(["compose-project", host.project]), json!(["container", host.alone()])];
    assert_eq!(host.discovered(), both);

    let prefix = host.engine.prefix();
    assert_eq!(host.offered(&["workload", "add", prefix]), [host.alone(), host.project.clone()]);
    let projects = host.offered(&["workload", "add", "x", "--compose-project", prefix]);
    assert_eq!(projects, [host.project.as_str()]);
    let containers = host.offered(&["workload", "hook", "add", "x", "--container", &host.project]);
    assert_eq!(containers, [host.container("db"), host.container("web")]);

    let shown = host.cli.ok(&["workload", "add", &host.project, "--dry-run"]);
    assert_eq!(shown["taken_for"], json!({ "kind": "compose-project", "name": host.project }));
    let volumes = shown["volumes"].as_array().unwrap();
    let targets: Vec<&Value> = volumes.iter().map(|v| &v["target"]).collect();
    assert_eq!(targets, ["/srv/uploads", "/var/lib/postgresql"]);
    assert_eq!((&volumes[0]["bytes"], &volumes[0]["entries"]), (&json!(4), &json!(2)));
    let containers: Vec<&Value> = shown["containers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(containers, [&json!(host.container("db")), &json!(host.container("web"))], "in starting order");
    assert_eq!(shown["containers"][0]["restart_policy"], "unless-stopped");
    let left_out = shown["left_out"].to_string();
    for reason in ["/etc/app.conf: a single file", "/usr/share/alone: mounted read-only", "/scratch: held in memory"] {
        assert!(left_out.contains(reason), "{reason} is missing in {left_out}");
    }
    let suggestion = &shown["suggestions"][0];
    assert_eq!(
        (&suggestion["container"], &suggestion["database"]),
        (&json!(host.container("db")), &json!("PostgreSQL"))
    );
    assert!(suggestion["register"].as_str().unwrap().contains("CHECKPOINT"), "{suggestion}");
    assert_eq!(host.cli.ok(&["workload", "list"])["workloads"], json!([]), "a dry run registers nothing");

    let added = host.cli.ok(&["workload", "add", &host.project]);
    assert_eq!(added["selector"]["compose_project"], host.project.as_str());
    assert_eq!(host.discovered(), both[1..]);
    assert_eq!(host.offered(&["workload", "add", prefix]), [host.alone()]);
    host.cli.ok(&["workload", "add", &host.alone()]);
    assert_eq!(host.discovered(), Vec::<Value>::new());
    host.cli.fails(&["workload", "add", "nobody"], 8, "not-found");
}

#[test]
fn nothing_is_suggested_that_cannot_be_registered() {
    let Some(host) = Host::new("one-offs") else { return };
    let project = format!("{}-task", host.engine.prefix());
    let labels = [("project", project.as_str()), ("service", "db"), ("oneoff", "True")];
    host.engine.run(&Run {
        name: &format!("{project}-db-run-1"),
        image: IMAGE,
        volumes: vec![format!("{}:/data", host.dir.path().join("uploads").display())],
        labels: labels.iter().map(|(key, value)| format!("com.docker.compose.{key}={value}")).collect(),
        ..Run::default()
    });
    let found = host.cli.ok(&["workload", "discover"])["found"].to_string();
    assert!(found.contains(&host.project) && !found.contains(&project), "{found}");
}

#[test]
fn a_name_that_means_two_things_is_not_guessed_at() {
    let Some(host) = Host::new("ambiguous") else { return };
    let data = host.dir.path().join("alone");
    host.engine.run(&Run {
        name: &host.project,
        image: IMAGE,
        volumes: vec![format!("{}:/data", data.display())],
        ..Run::default()
    });
    let error = host.cli.fails(&["workload", "add", &host.project], 2, "usage");
    assert!(error["error"]["hint"].as_str().unwrap().contains("--compose-project"), "{error}");
    let added = host.cli.ok(&["workload", "add", "x", "--container", &host.project]);
    assert_eq!(added["volumes"].as_array().unwrap().len(), 1, "{added}");
}
