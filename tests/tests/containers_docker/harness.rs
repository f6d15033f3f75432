//! A Docker Engine in the hands of the contract.

use std::{
    fs,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;
use volsnap_core::{
    model::{Container, ContainerId, Pinned, RestartPolicy, RestoreId, RunState, Selector, Shares},
    ports::Containers,
};
use volsnap_docker::DockerEngine;
use volsnap_tests::{
    contracts::containers::{Harness, Place, Seen, Wanted},
    private_engine::{PrivateEngine, Program, Run},
};

/// A Docker Engine with a directory for its mounts.
pub struct DockerHarness {
    pub engine: PrivateEngine,
    pub port: DockerEngine,
    pub image: String,
    pub dir: TempDir,
}

impl DockerHarness {
    pub async fn new(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        let image = format!("{}:busybox", engine.prefix());
        engine.import_image(&image);
        let port = DockerEngine::at_socket(engine.socket());
        Some(DockerHarness { engine, port, image, dir: tempfile::tempdir().unwrap() })
    }

    pub async fn find(&self, name: &str) -> Container {
        let selector = Selector { containers: vec![name.into()], ..Selector::default() };
        self.port.find(&selector).await.unwrap().remove(0)
    }

    /// Prepares, fences and stops running members, as a restore does.
    pub async fn quiesce(&self, restore: RestoreId, names: &[&str]) -> Vec<Pinned> {
        let selector =
            Selector { containers: names.iter().map(|name| (*name).into()).collect(), ..Selector::default() };
        let found = self.port.find(&selector).await.unwrap();
        for container in &found {
            self.port.prepare(restore, container).await.unwrap();
            self.port.set_restart_policy(&container.id, &RestartPolicy::never()).await.unwrap();
        }
        let ids: Vec<ContainerId> = found.iter().rev().map(|container| container.id.clone()).collect();
        self.port.stop(&ids).await.unwrap();
        found.into_iter().map(|container| Pinned { container, member: true }).collect()
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.engine.inspect(name, "{{json .}}")).unwrap()
    }
}

#[async_trait]
impl Harness for DockerHarness {
    fn containers(&self) -> &dyn Containers {
        &self.port
    }

    fn name(&self, stem: &str) -> String {
        format!("{}-{stem}", self.engine.prefix())
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn link(&self, name: &str, to: &Path) -> PathBuf {
        let path = self.dir.path().join(name);
        std::os::unix::fs::symlink(to, &path).unwrap();
        path
    }

    async fn add(&self, wanted: &Wanted) {
        let access = if wanted.writable { "" } else { ":ro" };
        let volume = |(place, target): &(Place, String)| match place {
            Place::Host(source) => format!("{}:{target}{access}", source.display()),
            Place::Volume(name) => format!("{name}:{target}{access}"),
            Place::Anonymous => target.clone(),
            Place::Showing(name, device) => {
                let device = format!("device={}", device.display());
                self.engine.docker(&["volume", "create", "--opt=type=none", "--opt=o=bind", "--opt", &device, name]);
                format!("{name}:{target}{access}")
            }
        };
        let policy = &wanted.policy;
        let environment = wanted.env.iter().map(|(key, value)| format!("--env={key}={value}"));
        let id = |name: &str| self.engine.inspect(name, "{{.Id}}");
        let used = |(shares, name): &(Shares, String)| match shares {
            Shares::Network => format!("--network=container:{}", id(name)),
            Shares::Ipc => format!("--ipc=container:{}", id(name)),
            Shares::Pid => format!("--pid=container:{}", id(name)),
            Shares::Volumes => format!("--volumes-from={}", id(name)),
            Shares::Link => format!("--link={name}:linked"),
        };
        self.engine.run(&Run {
            name: &wanted.name,
            image: &self.image,
            volumes: wanted.places.iter().map(volume).collect(),
            restart: &policy.name,
            labels: wanted.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            options: environment.chain(wanted.uses.iter().map(used)).collect(),
            created_only: wanted.run == RunState::Stopped,
            ..Run::default()
        });
        if wanted.run == RunState::Paused {
            self.engine.docker(&["pause", &wanted.name]);
        }
    }

    async fn see(&self, name: &str) -> Option<Seen> {
        let seen: Value = self
            .engine
            .try_docker(&["inspect", "--type=container", "--format", "{{json .}}", name])
            .ok()
            .map(|text| serde_json::from_str(&text).unwrap())?;
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let policy = &seen["HostConfig"]["RestartPolicy"];
        let env = seen["Config"]["Env"].as_array().into_iter().flatten().map(text);
        // What the engine gives to each by itself; Podman also the name that comes from its id.
        let env = env.filter(|pair| !pair.starts_with("PATH=") && !pair.starts_with("HOSTNAME="));
        Some(Seen {
            id: ContainerId(text(&seen["Id"])),
            run: match seen["State"]["Status"].as_str().unwrap() {
                "running" => RunState::Running,
                "paused" => RunState::Paused,
                "created" | "exited" => RunState::Stopped,
                other => panic!("container {name} is {other}"),
            },
            policy: RestartPolicy {
                name: text(&policy["Name"]),
                retries_max: policy["MaximumRetryCount"].as_u64().unwrap().try_into().unwrap(),
            },
            image_id: text(&seen["Image"]),
            labels: serde_json::from_value(seen["Config"]["Labels"].clone()).unwrap(),
            env: env.map(|pair| pair.split_once('=').map(|(k, v)| (k.into(), v.into())).unwrap()).collect(),
        })
    }

    async fn remove(&self, name: &str) {
        self.engine.docker(&["rm", "--force", name]);
    }

    async fn lose(&self, name: &str) -> bool {
        let removed = self.engine.try_docker(&["rm", "--force", name]);
        match self.engine.program() {
            Program::Docker => assert_eq!(removed.map(|_| ()), Ok(())),
            Program::Podman => assert!(removed.is_err_and(|why| why.contains("has dependent containers"))),
        }
        self.engine.program() == Program::Docker
    }

    async fn rename(&self, name: &str, to: &str) {
        self.engine.docker(&["rename", name, to]);
    }

    async fn start(&self, name: &str) {
        self.engine.docker(&["start", name]);
    }

    async fn write(&self, name: &str, path: &str, contents: &str) {
        self.engine.exec(name, &format!("echo '{contents}' > {path}"));
    }

    async fn read(&self, name: &str, path: &str) -> String {
        self.engine.exec(name, &format!("cat {path}"))
    }

    async fn scribble(&self, name: &str, path: &str) {
        self.engine.exec(name, &format!("touch {path}"));
    }

    async fn scribbled(&self, name: &str, path: &str) -> bool {
        self.engine.exec(name, &format!("[ -e {path} ] && echo yes || echo no")) == "yes"
    }

    async fn another_image(&self, name: &str) -> String {
        let tag = format!("{}:{name}-other", self.engine.prefix());
        let dockerless = ["create", "--name", &format!("{name}-made"), &self.image, "true"];
        self.engine.docker(&dockerless);
        self.engine.docker(&["commit", "--change", "LABEL other=1", &format!("{name}-made"), &tag]);
        self.engine.docker(&["rm", &format!("{name}-made")]);
        self.engine.docker(&["image", "inspect", "--format", "{{.Id}}", &tag])
    }

    fn spoil(&self, container: &mut Container) {
        container.spec["config"]["Entrypoint"] = json!(["/no/such/program"]);
    }

    fn saying(&self, word: &str, status: i64) -> Vec<String> {
        vec!["sh".into(), "-c".into(), format!("echo {word}; exit {status}")]
    }

    async fn reboot(&mut self) -> bool {
        if self.engine.is_private() {
            self.engine.kill();
            self.engine.restart_engine();
        }
        self.engine.is_private()
    }
}
