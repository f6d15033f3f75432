//! An app on a private engine: a member for each restart policy, all of which write all the time.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use volsnap_core::model::RunState;

use super::{
    hands::STRANGER,
    ledger::{Ledger, TODAY},
    proxy::{self, Proxy},
};
use crate::{
    cli::Cli,
    private_engine::{PrivateEngine, Run},
    trees::{self, Tree},
};

/// What the members are made from: the tag stands for another content as soon as they are made.
const IMAGE: &str = "volsnap-crash/app:1";
/// The content that it stands for then.
const MOVED: &str = "volsnap-crash/app:2";
/// The label by which the workload finds them.
const LABEL: &str = "crash=member";
/// How long something may take that the engine does by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes all the time, and says of each write which container made it, since which start, into which directory, and
/// when (seconds since the boot). The witness is no volume, so that it keeps what a restore replaces.
const WRITER: &str = r#"trap 'exit 0' TERM; read start < /proc/sys/kernel/random/uuid; n=0
into=$(busybox stat -c %i /data)
while :; do
  n=$((n+1)); read up rest < /proc/uptime; line="$HOSTNAME $start $n $into $up"
  echo "$line" >> /witness
  echo "$line" >> /data/log
  echo "$line" > /data/now.new; busybox mv /data/now.new /data/now
  sleep 0.05
done"#;

/// A container of the app.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name, also of its volume.
    pub name: &'static str,
    /// Its restart policy.
    pub policy: &'static str,
    /// How it is found by a restore.
    pub run: RunState,
}

/// The app: every restart policy, one that was stopped by hand, and a frozen one.
pub const MEMBERS: [Member; 6] = [
    Member { name: "plain", policy: "no", run: RunState::Running },
    Member { name: "failing", policy: "on-failure", run: RunState::Running },
    Member { name: "lasting", policy: "unless-stopped", run: RunState::Running },
    Member { name: "eternal", policy: "always", run: RunState::Running },
    Member { name: "resting", policy: "always", run: RunState::Stopped },
    Member { name: "frozen", policy: "no", run: RunState::Paused },
];

/// A container as the engine shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub id: String,
    /// Whether it runs.
    pub run: RunState,
    /// Its restart policy.
    pub policy: String,
    /// What it runs, by content.
    pub image_id: String,
}

/// One write of a member, as the witness has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The whole line, as it stands in the volume's log too.
    pub line: String,
    /// Which start of a container wrote it.
    pub start: String,
    /// The directory that it was written into.
    pub inode: u64,
    /// Seconds since the boot.
    pub up: f64,
}

/// The app with its engine, volumes and one snapshot.
pub struct World {
    /// The engine.
    pub engine: PrivateEngine,
    /// Between volsnap and the engine.
    pub proxy: Proxy,
    /// volsnap, through the proxy.
    pub cli: Cli,
    /// The snapshot.
    pub snapshot: String,
    /// The volumes in the snapshot, without what the app writes.
    pub saved: BTreeMap<&'static str, Tree>,
    /// The app's log of each volume in the snapshot.
    pub saved_log: BTreeMap<&'static str, String>,
    /// What the members run, by content.
    pub image_id: String,
    /// The workload's id.
    pub workload: String,
    dir: TempDir,
}

impl World {
    /// Starts an engine with the app on it and takes the snapshot; `None` where there is no private engine.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test).filter(PrivateEngine::is_private)?;
        engine.import_image(IMAGE);
        let image_id = image_id(&engine, IMAGE);
        engine.import_image(MOVED);
        let dir = tempfile::Builder::new().prefix("volsnap-crash-").tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        for directory in ["volumes", "witness"] {
            fs::create_dir(at(directory)).expect("a directory");
        }
        let socket = proxy::socket_in(dir.path());
        let cli = Cli::new(at("state"), format!("unix://{}", socket.display()));
        let mut world = World {
            proxy: Proxy::start(socket, engine.socket(), Ledger::new(at("none"), at("volumes"))),
            cli,
            snapshot: String::new(),
            saved: BTreeMap::new(),
            saved_log: BTreeMap::new(),
            image_id,
            workload: String::new(),
            engine,
            dir,
        };
        for member in &MEMBERS {
            fs::write(world.witness(member.name), "").expect("a witness");
            trees::make(&world.volume(member.name).join("files"), "saved");
            world.make(member);
        }
        for Member { name, .. } in &MEMBERS {
            world.writes(name, 1);
        }
        world.take_snapshot();
        let journal = world.state().join("journal").join(format!("{}.json", world.workload));
        world.proxy.watch(Ledger::new(journal, world.volumes()));
        Some(world)
    }

    /// Registers the app and takes the snapshot while nobody writes, so that what it holds can be read off the volumes.
    fn take_snapshot(&mut self) {
        for member in &MEMBERS {
            self.engine.docker(&["stop", member.name]);
        }
        self.cli.ok(&["workload", "add", "shop", "--label", LABEL]);
        self.workload = self.cli.ok(&["workload", "show", "shop"])["id"].as_str().expect("an id").to_string();
        self.snapshot = self.cli.ok(&["create", "shop"])["id"].as_str().expect("an id").to_string();
        for Member { name, .. } in &MEMBERS {
            self.saved.insert(name, self.files(name));
            self.saved_log.insert(name, self.log(name));
        }
    }

    /// Makes a member anew, as a person would by hand.
    fn make(&self, member: &Member) {
        let name = member.name;
        let _ = self.engine.try_docker(&["rm", "--force", name]);
        self.engine.docker(&["tag", &self.image_id, IMAGE]);
        self.engine.run(&Run {
            name,
            image: IMAGE,
            volumes: vec![
                format!("{}:/{name}", self.volume(name).display()),
                format!("{}:/witness", self.witness(name).display()),
            ],
            restart: member.policy,
            labels: vec![LABEL.into()],
            options: vec![],
            script: &WRITER.replace("/data", &format!("/{name}")),
            created_only: false,
        });
        self.engine.docker(&["tag", MOVED, IMAGE]);
    }

    /// What the members' tag stands for now, by content.
    #[must_use]
    pub fn moved_image(&self) -> String {
        image_id(&self.engine, MOVED)
    }

    /// Starts a container of something else on a member's volume; it writes too, beside the member's files.
    pub fn make_stranger(&self, name: &str, on: &str) {
        fs::write(self.witness(name), "").expect("a witness");
        self.engine.run(&Run {
            name,
            image: &self.image_id,
            volumes: vec![
                format!("{}:/data", self.volume(on).display()),
                format!("{}:/witness", self.witness(name).display()),
            ],
            script: &WRITER.replace("/data/log", "/data/strange").replace("/data/now", "/data/then"),
            ..Run::default()
        });
    }

    /// Begins a case: every member stands as it should, and the volumes have today's contents.
    pub fn fresh(&self, mark: &str) {
        self.proxy.disarm();
        self.proxy.forget();
        let _ = fs::remove_file(self.witness(STRANGER));
        let standing = self.standing();
        for name in standing.keys().filter(|name| MEMBERS.iter().all(|m| m.name != name.as_str())) {
            let _ = self.engine.try_docker(&["rm", "--force", name]);
        }
        for member in &MEMBERS {
            let good = standing.get(member.name).is_some_and(|s| s.policy == member.policy);
            if !good {
                self.make(member);
            }
        }
        self.settle_members();
        for member in &MEMBERS {
            let files = self.volume(member.name).join("files");
            trees::clear(&files);
            trees::make(&files, mark);
            fs::write(self.volume(member.name).join(TODAY), mark).expect("a file");
        }
    }

    /// Brings each member to the state in which a restore is to find it.
    fn settle_members(&self) {
        let standing = self.standing();
        for member in &MEMBERS {
            let now = standing.get(member.name).map(|s| s.run).unwrap_or(RunState::Stopped);
            let docker = |what: &str| drop(self.engine.docker(&[what, member.name]));
            if now == member.run {
                continue;
            }
            match now {
                RunState::Paused => docker("unpause"),
                RunState::Stopped => docker("start"),
                RunState::Running => {}
            }
            match member.run {
                RunState::Paused => {
                    self.writes(member.name, 1);
                    docker("pause");
                }
                RunState::Stopped => docker("stop"),
                RunState::Running => {}
            }
        }
        for member in MEMBERS.iter().filter(|m| m.run == RunState::Running) {
            self.writes(member.name, 1);
        }
    }

    /// Waits until a member has written so much more.
    fn writes(&self, name: &str, more: u64) {
        let length = || fs::metadata(self.witness(name)).map_or(0, |metadata| metadata.len());
        let before = length();
        let wrote = self.wait_for(|| length() >= before + more);
        assert!(wrote, "{name} does not write: {:?}", self.standing());
    }

    /// Waits for something that comes by itself; whether it came.
    pub fn wait_for(&self, condition: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    }

    /// All containers of the engine by name.
    #[must_use]
    pub fn standing(&self) -> BTreeMap<String, Standing> {
        let ids = self.engine.docker(&["ps", "--all", "--quiet", "--no-trunc"]);
        let mut args = vec!["inspect", "--type=container", "--format", "{{json .}}"];
        args.extend(ids.lines());
        // One that vanishes in between is no container any more; the others are shown all the same.
        let output = self.engine.command(&args).output().expect("docker runs").stdout;
        let lines = String::from_utf8_lossy(&output).into_owned();
        lines.lines().filter_map(|line| standing(&serde_json::from_str(line).ok()?)).collect()
    }

    /// What a member has written since that place in its witness.
    #[must_use]
    pub fn written(&self, name: &str, since: usize) -> Vec<Write> {
        let text = fs::read_to_string(self.witness(name)).unwrap_or_default();
        text[since..].lines().filter_map(write).collect()
    }

    /// The end of a member's witness just now.
    #[must_use]
    pub fn witnessed(&self, name: &str) -> usize {
        fs::read_to_string(self.witness(name)).expect("a witness").len()
    }

    /// What a member's volume holds besides what the app writes.
    #[must_use]
    pub fn files(&self, name: &str) -> Tree {
        trees::read(&self.volume(name).join("files")).unwrap_or_default()
    }

    /// The app's log in a member's volume.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.volume(name).join("log")).unwrap_or_default()
    }

    /// A member's live directory.
    #[must_use]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    /// Where the live directories are, and the private ones beside them.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.dir.path().join("volumes")
    }

    fn witness(&self, name: &str) -> PathBuf {
        self.dir.path().join("witness").join(name)
    }

    /// volsnap's state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }
}

fn image_id(engine: &PrivateEngine, tag: &str) -> String {
    engine.docker(&["image", "inspect", "--format", "{{.Id}}", tag])
}

fn standing(seen: &Value) -> Option<(String, Standing)> {
    let state = &seen["State"];
    let run = match (state["Running"].as_bool()?, state["Paused"].as_bool()?) {
        (_, true) => RunState::Paused,
        (true, false) => RunState::Running,
        (false, false) => RunState::Stopped,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let policy = text(&seen["HostConfig"]["RestartPolicy"]["Name"]);
    let standing = Standing { id: text(&seen["Id"]), run, policy, image_id: text(&seen["Image"]) };
    Some((text(&seen["Name"]).trim_start_matches('/').to_string(), standing))
}

/// A line of a witness; `None` for one that was cut off.
fn write(line: &str) -> Option<Write> {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, start, _, inode, up] = words[..] else { return None };
    let (inode, up) = (inode.parse().ok()?, up.parse().ok()?);
    Some(Write { line: line.to_string(), start: start.to_string(), inode, up })
}
