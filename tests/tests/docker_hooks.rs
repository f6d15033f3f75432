//! Hooks in containers of a real Docker Engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{fs, time::Instant};

use serde_json::Value;
use volsnap_tests::{
    cli::Cli,
    private_engine::{PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/hooks:1";

struct Host {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    app: String,
}

impl Host {
    fn new(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let app = format!("{}-app", engine.prefix());
        let volumes = vec![format!("{}:/data", dir.path().join("data").display())];
        engine.run(&Run { name: &app, image: IMAGE, volumes, restart: "always", ..Run::default() });
        let cli = Cli::new(dir.path().join("state"), engine.host());
        cli.ok(&["workload", "add", "shop", "--container", &app]);
        Some(Host { engine, dir, cli, app })
    }

    fn hook(&self, at: &str, script: &str) {
        let args = ["workload", "hook", "add", "shop", "--at", at, "--timeout", "2s", "--container", &self.app];
        self.cli.ok(&[&args[..], &["--", "sh", "-c", script]].concat());
    }

    fn data(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join("data").join(name)).unwrap_or_default().trim().to_string()
    }
}

#[test]
fn what_a_hook_writes_in_its_container_before_a_snapshot_is_in_it() {
    let Some(host) = Host::new("hooks") else { return };
    host.hook("pre-create", "echo $VOLSNAP_WORKLOAD > /data/dump");
    host.hook("post-create", "echo $VOLSNAP_EVENT $VOLSNAP_OUTCOME > /data/after; rm /data/dump");
    host.hook("post-restore", "echo $VOLSNAP_OUTCOME > /data/restored");
    let snapshot = host.cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    assert_eq!((host.data("dump").as_str(), host.data("after").as_str()), ("", "post-create created"));
    let report = host.cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(report["warnings"], Value::Array(vec![]), "{report}");
    // By the container that was made anew, on the restored data.
    assert_eq!((host.data("dump").as_str(), host.data("restored").as_str()), ("shop", "restored"));
}

#[test]
fn a_hook_that_fails_or_takes_too_long_in_its_container_refuses_and_the_app_runs_on_untouched() {
    let Some(host) = Host::new("failing hooks") else { return };
    let started = host.engine.inspect(&host.app, "{{.State.StartedAt}}");
    host.hook("pre-create", "echo no room >&2; exit 3");
    let error = host.cli.fails(&["create", "shop"], 3, "refused");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains(&host.app) && message.ends_with("ended with status 3: no room"), "{message}");
    host.cli.ok(&["workload", "hook", "remove", "shop", "1"]);
    host.hook("pre-create", "sleep 600");
    let began = Instant::now();
    host.cli.fails(&["create", "shop"], 3, "refused");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    host.cli.ok(&["create", "shop", "--no-hooks"]);
    assert_eq!(host.engine.inspect(&host.app, "{{.State.StartedAt}}"), started);
    host.cli.fails(
        &["workload", "hook", "add", "shop", "--at", "pre-create", "--container", "nobody", "--", "x"],
        8,
        "not-found",
    );
}

#[test]
fn hooks_that_are_due_wait_for_an_engine_that_is_away() {
    let Some(mut host) = Host::new("hooks due") else { return };
    if !host.engine.is_private() {
        return;
    }
    host.hook("pre-create", "sleep 1");
    host.hook("post-create", "echo $VOLSNAP_OUTCOME > /data/after");
    let mut create = host.cli.spawn(&["create", "shop"]);
    let id = host.cli.ok(&["workload", "show", "shop"])["id"].as_str().unwrap().to_string();
    while host.cli.journal(&id).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(create.try_wait().unwrap().is_none(), "it ended too early");
    }
    create.kill().unwrap();
    create.wait().unwrap();
    host.engine.kill();
    let ended = host.cli.run(&["recover", "shop"]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(ended.json["error"]["code"], "engine", "{ended:?}");
    host.engine.restart_engine();
    host.cli.ok(&["recover", "shop"]);
    assert_eq!(host.data("after"), "failed");
    assert_eq!(host.cli.journal(&id), "");
}
