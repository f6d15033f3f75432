//! A Docker Engine for a demonstration or a measurement, spoken to over its socket: no docker command is needed.
//!
//! As root with `dockerd` at hand it is a private one, whose containers are nobody else's. Otherwise it is the one that
//! `DOCKER_HOST` names; everything that is made there carries one prefix and is removed by it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    run::{Outcome, run_quietly},
    scratch::control_group,
};

/// How long an engine may take to answer after its start.
const READY: Duration = Duration::from_secs(60);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(120);
/// Remembers the socket of an engine that is not ours, for the sweeper.
const BORROWED: &str = "borrowed-engine";
/// The programs of BusyBox that the image offers.
const APPLETS: [&str; 4] = ["sh", "sleep", "cat", "mv"];

/// An engine.
pub struct Engine {
    socket: PathBuf,
    /// What names of ours begin with.
    pub prefix: String,
    /// Whether it is ours alone.
    pub private: bool,
    /// Its version.
    pub version: String,
}

/// A container to be made.
pub struct Run<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its shell runs.
    pub script: &'a str,
    /// Bind mounts and named volumes, as `source:target`.
    pub mounts: &'a [String],
}

impl Engine {
    /// The engine that can be had, or why there is none.
    pub fn at_hand(dir: &Path) -> Outcome<Self> {
        start_private(dir).or_else(|why| borrow(dir, &why))
    }

    /// The address, as `DOCKER_HOST` takes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The name of our image.
    pub fn image(&self) -> String {
        format!("{}:1", self.prefix)
    }

    /// Makes an image from a static busybox: no registry is asked.
    pub fn import_image(&self, dir: &Path) -> Outcome {
        let busybox = static_busybox()?;
        let bin = dir.join("image/bin");
        let io = |e: std::io::Error| format!("cannot lay out an image: {e}");
        fs::create_dir_all(&bin).map_err(io)?;
        fs::copy(busybox, bin.join("busybox")).map_err(io)?;
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).map_err(io)?;
        }
        let tar = dir.join("image.tar");
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(dir.join("image")).arg("-cf").arg(&tar).arg(".");
        run_quietly(pack)?;
        let body = fs::read(&tar).map_err(io)?;
        let path = format!("/images/create?fromSrc=-&repo={}&tag=1", self.prefix);
        self.ask("POST", &path, "application/x-tar", &body)?;
        // The answer is a stream that may end in an error with status 200: only the image is proof.
        self.ask("GET", &format!("/images/{}/json", self.image()), "", &[]).map(drop)
    }

    /// Makes and starts a container.
    pub fn run(&self, run: &Run<'_>) -> Outcome {
        let user = format!("{}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let body = json!({
            "Image": self.image(),
            "User": user,
            "Cmd": ["/bin/sh", "-c", run.script],
            "HostConfig": {
                "Binds": run.mounts,
                "NetworkMode": "none",
                "RestartPolicy": { "Name": "unless-stopped" },
            },
        });
        let path = format!("/containers/create?name={}", run.name);
        self.ask("POST", &path, "application/json", body.to_string().as_bytes())?;
        self.ask("POST", &format!("/containers/{}/start", run.name), "", &[]).map(drop)
    }

    /// Where a named volume lies on this host.
    pub fn volume_path(&self, volume: &str) -> Outcome<PathBuf> {
        let volume = self.ask("GET", &format!("/volumes/{volume}"), "", &[])?;
        volume["Mountpoint"].as_str().map(PathBuf::from).ok_or_else(|| format!("no place in {volume}"))
    }

    /// The names of the containers that run or do not, ours only.
    pub fn containers(&self) -> Outcome<Vec<String>> {
        let all = self.ask("GET", "/containers/json?all=1", "", &[])?;
        let names = all.as_array().into_iter().flatten().filter_map(|c| c["Names"][0].as_str());
        let names = names.map(|name| name.trim_start_matches('/').to_string());
        Ok(names.filter(|name| self.private || name.contains(&self.prefix)).collect())
    }

    /// Whether a container runs.
    pub fn is_running(&self, name: &str) -> bool {
        let container = self.ask("GET", &format!("/containers/{name}/json"), "", &[]);
        container.is_ok_and(|c| c["State"]["Running"] == true)
    }

    /// One call. HTTP/1.0, so that the answer is not in chunks and ends with the connection.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Outcome<Value> {
        let answer = exchange(&self.socket, method, path, kind, body);
        let answer = answer.map_err(|e| format!("the engine does not answer {method} {path}: {e}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        // A stream of progress is several documents; what matters of it is asked for afterwards.
        let value = serde_json::from_str(body).unwrap_or(Value::Null);
        if status.starts_with('2') || status == "304" {
            return Ok(value);
        }
        Err(format!("the engine says {status} to {method} {path}: {}", body.trim()))
    }
}

fn exchange(socket: &Path, method: &str, path: &str, kind: &str, body: &[u8]) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(CALL))?;
    stream.set_write_timeout(Some(CALL))?;
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: docker\r\n{kind}Content-Length: {length}\r\n\r\n")?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn static_busybox() -> Outcome<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox", "/usr/local/bin/busybox"].map(PathBuf::from);
    let found = places.into_iter().find(|place| place.exists());
    found.ok_or_else(|| "there is no busybox to make an image of (Debian: busybox-static)".to_string())
}

fn start_private(dir: &Path) -> Outcome<Engine> {
    if !rustix::process::geteuid().is_root() {
        return Err("a private engine needs root".to_string());
    }
    static_busybox()?;
    let mut daemon = spawn_daemon(dir)?;
    let prefix = "volsnap-demo".to_string();
    let mut engine = Engine { socket: dir.join("docker.sock"), prefix, private: true, version: String::new() };
    let deadline = Instant::now() + READY;
    loop {
        if let Ok(version) = engine.ask("GET", "/version", "", &[]) {
            engine.version = version["Version"].as_str().unwrap_or("?").to_string();
            return Ok(engine);
        }
        if daemon.try_wait().ok().flatten().is_some() || Instant::now() > deadline {
            let log = fs::read_to_string(dir.join("dockerd.log")).unwrap_or_default();
            return Err(format!("dockerd did not come up: {}", log.lines().last().unwrap_or("it said nothing")));
        }
        sleep(Duration::from_millis(20));
    }
}

fn spawn_daemon(dir: &Path) -> Outcome<Child> {
    let io = |e: std::io::Error| format!("cannot start dockerd: {e}");
    let at = |name: &str| dir.join(name).display().to_string();
    fs::write(dir.join("daemon.json"), "{}").map_err(io)?;
    let log = fs::File::create(dir.join("dockerd.log")).map_err(io)?;
    let mut daemon = Command::new("dockerd");
    daemon.args(["--config-file", &at("daemon.json"), "--data-root", &at("data"), "--exec-root", &at("exec")]);
    daemon.args(["--pidfile", &at("pid"), "-H", &format!("unix://{}", at("docker.sock"))]);
    daemon.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
    daemon.args(["--exec-opt", "native.cgroupdriver=cgroupfs"]);
    daemon.arg(format!("--cgroup-parent=/{}", control_group(dir)));
    daemon.stdin(Stdio::null()).stdout(log.try_clone().map_err(io)?).stderr(log);
    // Ctrl-C is for us; the sweeper ends the daemon.
    daemon.process_group(0).spawn().map_err(io)
}

/// The engine that `DOCKER_HOST` names, if it is on this host: its volumes must be directories that we can see.
fn borrow(dir: &Path, why: &str) -> Outcome<Engine> {
    let host = std::env::var("DOCKER_HOST").map_err(|_| why.to_string())?;
    let socket = host.strip_prefix("unix://").ok_or_else(|| format!("{why}; {host} is not on this host"))?;
    static_busybox()?;
    let prefix = format!("volsnap-demo-{}", std::process::id());
    let mut engine = Engine { socket: socket.into(), prefix, private: false, version: String::new() };
    let version = engine.ask("GET", "/version", "", &[]).map_err(|e| format!("{why}; {e}"))?;
    engine.version = version["Version"].as_str().unwrap_or("?").to_string();
    let note = json!({ "socket": engine.socket, "prefix": engine.prefix }).to_string();
    fs::write(dir.join(BORROWED), note).map_err(|e| format!("cannot note the engine: {e}"))?;
    Ok(engine)
}

/// Removes what was made on an engine that is not ours.
pub fn give_back(dir: &Path) {
    let Ok(note) = fs::read_to_string(dir.join(BORROWED)) else { return };
    let note: Value = serde_json::from_str(&note).unwrap_or_default();
    let (Some(socket), Some(prefix)) = (note["socket"].as_str(), note["prefix"].as_str()) else { return };
    let engine = Engine { socket: socket.into(), prefix: prefix.into(), private: false, version: String::new() };
    let mut problems = Vec::new();
    for name in engine.containers().unwrap_or_default() {
        problems.extend(engine.ask("DELETE", &format!("/containers/{name}?force=1&v=1"), "", &[]).err());
    }
    let volumes = engine.ask("GET", "/volumes", "", &[]).unwrap_or_default();
    let names = volumes["Volumes"].as_array().into_iter().flatten().filter_map(|v| v["Name"].as_str());
    for name in names.filter(|name| name.starts_with(prefix)) {
        problems.extend(engine.ask("DELETE", &format!("/volumes/{name}"), "", &[]).err());
    }
    problems.extend(engine.ask("DELETE", &format!("/images/{}?force=1", engine.image()), "", &[]).err());
    for problem in problems.iter().filter(|problem| !problem.contains(" 404 ")) {
        eprintln!("xtask: {problem}");
    }
}
