//! `drill --boot` on a real Docker Engine: the app comes up on a copy of its data, apart from everything, or it is told why
//! not; and it is untouched itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use volsnap_tests::{
    cli::{Cli, Ended},
    private_engine::{FOREVER, PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/app:1";
/// Serves its data, if it likes them.
const DB: &str = "if [ -e /data/poison ]; then echo cannot open the table; exit 3; fi; \
                  exec busybox httpd -f -p 5432 -h /data";
/// The site reads from its database, by the name that it has in their network.
const CHECK: &str = "[ ! -e /data/slow ] && busybox wget -q -O /dev/null http://db:5432/name";

/// A database and a site that needs it, as compose makes them, registered as `shop`.
struct Stage {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    db: String,
    web: String,
}

impl Stage {
    fn new(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start_with_network(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        let [network, project, db, web] =
            ["net", "project", "db-1", "web-1"].map(|stem| format!("{}-{stem}", engine.prefix()));
        engine.docker(&["network", "create", &network]);
        let cli = Cli::new(dir.path().join("state"), engine.host());
        let stage = Stage { engine, dir, cli, db, web };
        fs::create_dir(stage.data()).unwrap();
        fs::write(stage.data().join("name"), "then").unwrap();
        let labels = |service: &str, needs: &str| {
            [("project", project.as_str()), ("service", service), ("depends_on", needs)]
                .map(|(key, value)| format!("com.docker.compose.{key}={value}"))
                .to_vec()
        };
        let options = |service: &str, check: &str| {
            let network = [format!("--network={network}"), format!("--network-alias={service}")];
            let check =
                [format!("--health-cmd={check}"), "--health-interval=1s".into(), "--health-retries=1000".into()];
            network.into_iter().chain(check).collect::<Vec<String>>()
        };
        let data = stage.data().display().to_string();
        stage.engine.run(&Run {
            name: &stage.db,
            image: IMAGE,
            volumes: vec![format!("{data}:/data")],
            restart: "always",
            labels: labels("db", ""),
            options: options("db", "busybox wget -q -O /dev/null http://127.0.0.1:5432/name"),
            script: DB,
            ..Run::default()
        });
        stage.engine.run(&Run {
            name: &stage.web,
            image: IMAGE,
            volumes: vec![format!("{data}:/data:ro"), format!("{}:/docker.sock", stage.engine.socket().display())],
            restart: "unless-stopped",
            labels: labels("web", "db:service_healthy:false"),
            options: options("web", CHECK),
            script: FOREVER,
            ..Run::default()
        });
        stage.cli.ok(&["workload", "add", "shop", "--compose-project", &project]);
        Some(stage)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A snapshot that also has this file, which the live data have not.
    fn create_with(&self, file: &str) -> String {
        fs::write(self.data().join(file), "").unwrap();
        let id = self.cli.ok(&["create", "shop", "--mode", "live"])["id"].as_str().unwrap().to_string();
        fs::remove_file(self.data().join(file)).unwrap();
        id
    }

    /// Id and state of what runs under names of its own, and the data that it runs on.
    fn app(&self) -> BTreeMap<String, String> {
        let names = [&self.db, &self.web];
        let state = |name: &String| self.engine.inspect(name, "{{.Id}} {{.State.StartedAt}} {{.State.Running}}");
        names.into_iter().map(|name| (name.clone(), state(name))).collect()
    }

    /// Nothing but the app is there, and it is as it was.
    #[track_caller]
    fn assert_untouched(&self, before: &BTreeMap<String, String>) {
        assert_eq!(self.app(), *before);
        assert_eq!(self.engine.names(), before.keys().cloned().collect());
        let networks = self.engine.docker(&["network", "ls", "--format", "{{.Name}}"]);
        assert!(!networks.contains("drill"), "{networks}");
        assert_eq!(self.engine.docker(&["volume", "ls", "--quiet"]), "");
        for dir in ["scratch", "copies"] {
            assert_eq!(fs::read_dir(self.dir.path().join("state").join(dir)).unwrap().count(), 0, "{dir}");
        }
    }

    /// The name of the site's copy, as soon as it runs.
    #[track_caller]
    fn copy_of_web(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        let mark = format!("{}.volsnap-drill-", self.web);
        while Instant::now() < deadline {
            let running = self.engine.docker(&["ps", "--format", "{{.Names}}"]);
            if let Some(name) = running.lines().find(|name| name.starts_with(&mark)) {
                return name.to_string();
            }
            sleep(Duration::from_millis(100));
        }
        panic!("no copy of the site was started: {:?}", self.engine.names());
    }
}

#[test]
fn an_app_comes_up_on_the_copy_and_finds_its_database_there() {
    let Some(stage) = Stage::new("drill boots") else { return };
    let snapshot = stage.create_with("more");
    let before = stage.app();
    let drilled = stage.cli.ok(&["drill", "shop", "--boot", "--boot-timeout", "2m"]);
    assert_eq!((&drilled["booted"], &drilled["snapshot"]), (&true.into(), &snapshot.clone().into()), "{drilled}");
    assert_eq!(drilled["containers"], serde_json::json!([stage.db, stage.web]), "{drilled}");
    let warnings = drilled["warnings"].to_string();
    assert!(warnings.contains("/docker.sock") && warnings.contains("a socket of the host"), "{warnings}");
    stage.assert_untouched(&before);
    let shown = stage.cli.ok(&["show", &snapshot]);
    assert!(shown["proved_at"].is_string() && shown["booted_at"].is_string(), "{shown}");
    let event = stage.cli.ok(&["events", "shop"])["events"][0].clone();
    assert_eq!((&event["outcome"], &event["detail"]["booted"]), (&"proved".into(), &true.into()), "{event}");
}

#[test]
fn a_copy_reaches_its_own_kind_and_nothing_else_and_a_killed_drill_is_swept() {
    let Some(stage) = Stage::new("drill is isolated") else { return };
    let snapshot = stage.create_with("slow");
    fs::write(stage.data().join("name"), "now").unwrap();
    let before = stage.app();
    let mut drill = stage.cli.spawn(&["drill", "shop", &snapshot, "--boot"]);
    let copy = stage.copy_of_web();
    let get = |from: &str, host: &str| {
        let url = format!("http://{host}:5432/name");
        stage.engine.try_docker(&["exec", from, "busybox", "timeout", "5", "busybox", "wget", "-q", "-O", "-", &url])
    };
    assert_eq!(get(&copy, "db").as_deref(), Ok("then"), "it finds the copy of its database");
    assert_eq!(get(&copy, &stage.db).as_deref(), Ok("then"), "by the container's name too");
    let live = stage.engine.inspect(&stage.db, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    assert_eq!(get(&stage.web, &live).as_deref(), Ok("now"), "otherwise the next line proves nothing");
    assert!(get(&copy, &live).is_err(), "a copy reaches the app itself");
    let network = stage.engine.inspect(&copy, "{{.HostConfig.NetworkMode}}");
    assert_eq!(stage.engine.docker(&["network", "inspect", "--format", "{{.Internal}}", &network]), "true");
    let write = ["exec", &copy, "touch", "/data/by-the-copy"];
    assert!(stage.engine.try_docker(&write).is_err(), "what is read-only stays so");
    assert_eq!(
        stage.engine.inspect(&copy, "{{len .HostConfig.PortBindings}} {{.HostConfig.RestartPolicy.Name}}"),
        "0 no"
    );

    drill.kill().unwrap();
    drill.wait().unwrap();
    let left = &stage.cli.ok(&["status"])["copies"][0];
    assert_eq!((&left["what"], &left["containers"]), (&"drill".into(), &true.into()), "{left}");
    let findings = stage.cli.run(&["doctor"]).json["findings"].to_string();
    assert!(findings.contains(&copy) && findings.contains("volsnap recover"), "{findings}");
    stage.cli.ok(&["recover"]);
    stage.assert_untouched(&before);

    let drill = stage.cli.spawn(&["drill", "shop", &snapshot, "--boot"]);
    stage.copy_of_web();
    let pid = Pid::from_raw(drill.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ended = Ended::of(&drill.wait_with_output().unwrap(), &["drill"]);
    assert_eq!((ended.status, &ended.json["booted"]), (Some(4), &Value::Null), "{ended:#?}");
    stage.assert_untouched(&before);
}

#[test]
fn an_app_that_does_not_come_up_on_its_data_is_told_with_its_last_words() {
    let Some(stage) = Stage::new("drill does not boot") else { return };
    let snapshot = stage.create_with("poison");
    let before = stage.app();
    let failed = stage.cli.fails(&["drill", "shop", &snapshot, "--boot", "--boot-timeout", "5s"], 5, "warnings");
    assert_eq!(failed["booted"], false, "{failed}");
    let message = failed["error"]["message"].as_str().unwrap();
    for word in [stage.db.as_str(), "exit code 3", "cannot open the table", "was not healthy after 5s"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    stage.assert_untouched(&before);
    let shown = stage.cli.ok(&["show", &snapshot]);
    assert!(shown["proved_at"].is_string() && shown["booted_at"].is_null(), "{shown}");
    let event = stage.cli.ok(&["events", "shop"])["events"][0].clone();
    assert_eq!((&event["outcome"], &event["detail"]["booted"]), (&"boot failed".into(), &false.into()), "{event}");

    stage.engine.docker(&["rm", "--force", &stage.web]);
    stage.engine.run(&Run { name: &stage.web, image: IMAGE, options: vec!["--network=host".into()], ..Run::default() });
    stage.cli.ok(&[
        "workload",
        "add",
        "site",
        "--container",
        &stage.web,
        "--volume",
        &format!("/x={}", stage.data().display()),
    ]);
    stage.cli.ok(&["create", "site", "--mode", "live"]);
    let refused = stage.cli.fails(&["drill", "site", "--boot"], 3, "refused");
    assert!(refused["error"]["message"].as_str().unwrap().contains("host's network"), "{refused}");
}

#[test]
fn an_engine_without_a_free_network_says_nothing_about_the_data() {
    let Some(stage) = Stage::new("drill without network") else { return };
    let snapshot = stage.create_with("more");
    let before = stage.app();
    let name = |number: usize| format!("{}-filler-{number}", stage.engine.prefix());
    let full = (0..1000).any(|number| stage.engine.try_docker(&["network", "create", &name(number)]).is_err());
    assert!(full, "a thousand networks and still room");
    let failed = stage.cli.fails(&["drill", "shop", &snapshot, "--boot"], 1, "engine");
    let error = failed["error"].to_string();
    assert!(error.contains("create network") && error.contains("docker network prune"), "{error}");
    assert_eq!((&failed["booted"], &failed["volumes"][0]["same"]), (&Value::Null, &true.into()), "{failed}");
    stage.assert_untouched(&before);
}
