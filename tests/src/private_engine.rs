//! A container engine of our own that a test may kill and restart.

mod cgroups;
mod kinds;
mod traces;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;

use self::cgroups::{cgroup_parent, cgroup_parents, for_each_cgroup, remove_cgroup, thaw};
pub use self::kinds::{ENGINE, Kind, Program};
use self::traces::{processes_of, unmount_below};

/// How long an engine may take to answer after its start.
const READY: Duration = Duration::from_secs(60);
/// The programs of BusyBox that the test image offers under their own names.
const APPLETS: [&str; 12] =
    ["sh", "sleep", "cat", "touch", "date", "mkdir", "sync", "echo", "ls", "rm", "true", "false"];
/// The programs that engines are made of.
const PROGRAMS: [&str; 8] =
    ["dockerd", "containerd", "docker-proxy", "runc", "podman", "conmon", "netavark", "aardvark-dns"];
/// Ends at once when it is asked to: the shell waits for a background child, which a signal interrupts.
pub const FOREVER: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// A container engine for one test: a private one where that is possible, otherwise the one that `DOCKER_HOST` names.
///
/// Dropping it ends every process and removes every mount, container and file that it brought, also after a panic.
pub struct PrivateEngine {
    host: String,
    private: Option<Private>,
    /// Names that carry this prefix are ours, on an engine that is shared.
    prefix: String,
}

/// What is ours alone.
struct Private {
    kind: Kind,
    dir: TempDir,
    daemon: Option<Child>,
    /// Whether it has the network to itself. On that of this machine, rules of another engine may drop what containers
    /// send each other.
    alone: bool,
}

/// A container to be made by [`PrivateEngine::run`].
#[derive(Clone, Debug, Default)]
pub struct Run<'a> {
    /// Its name.
    pub name: &'a str,
    /// The image.
    pub image: &'a str,
    /// Bind mounts and named volumes as `docker run -v` takes them; a path alone makes an anonymous volume.
    pub volumes: Vec<String>,
    /// Its restart policy; empty: `no`.
    pub restart: &'a str,
    /// Its labels, `key=value`.
    pub labels: Vec<String>,
    /// Further options of `docker create`.
    pub options: Vec<String>,
    /// What its shell runs; empty: waits for its end.
    pub script: &'a str,
    /// Whether it is only created.
    pub created_only: bool,
}

impl PrivateEngine {
    /// Starts a private engine, or takes the one of `DOCKER_HOST`.
    ///
    /// With neither, prints why `test` is skipped and gives `None`.
    ///
    /// # Panics
    /// With neither, where the environment says `CI=true`: there a skipped test must not pass for a good one.
    #[must_use]
    pub fn start(test: &str) -> Option<Self> {
        Self::start_in(test, false)
    }

    /// The same with a network of its own where it is private, so that its containers can talk to each other.
    ///
    /// # Panics
    /// As [`PrivateEngine::start`].
    #[must_use]
    pub fn start_with_network(test: &str) -> Option<Self> {
        Self::start_in(test, true)
    }

    fn start_in(test: &str, alone: bool) -> Option<Self> {
        let kind = Kind::from_env();
        let asked = kind.root.clone();
        // Of this process and this test: what carries it is removed when the test ends, while others may still run.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("volsnap-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let why = match Self::start_private(kind, &prefix, alone) {
            Ok(engine) => return Some(engine),
            Err(why) => why,
        };
        if let Some(root) = asked {
            panic!("{test} was to run on the engine of {}: {why}", root.display());
        }
        if let Ok(host) = std::env::var("DOCKER_HOST")
            && host.starts_with("unix://")
        {
            let engine = PrivateEngine { host, private: None, prefix };
            if engine.answers() {
                return Some(engine);
            }
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs a container engine: {why}");
        println!("skipped {test}: no container engine: {why}");
        None
    }

    /// Starts a private engine, or says why it cannot.
    fn start_private(kind: Kind, prefix: &str, alone: bool) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a private engine needs root".into());
        }
        // A socket's path is short, and mounts below it must be recognised by it.
        let dir = tempfile::Builder::new().prefix("volsnap-engine-").tempdir().map_err(|e| e.to_string())?;
        let host = format!("unix://{}/docker.sock", dir.path().display());
        kind.lay_out(dir.path())?;
        let private = Private { kind, dir, daemon: None, alone };
        let mut engine = PrivateEngine { host, private: Some(private), prefix: prefix.to_string() };
        engine.start_after_boot()?;
        Ok(engine)
    }

    /// Starts the daemon as after a boot: a power cut takes what lay in /run with it, and a start expects that.
    fn start_after_boot(&mut self) -> Result<(), String> {
        let private = self.private.as_ref().ok_or("a shared engine is not ours to start")?;
        let dir = private.dir.path();
        for volatile in ["exec", "run"] {
            unmount_below(&dir.join(volatile));
            let _ = fs::remove_dir_all(dir.join(volatile));
        }
        fs::create_dir_all(dir.join("run")).map_err(|e| e.to_string())?;
        self.start_daemon(true)
    }

    /// Starts the daemon, as a boot does or again beside what runs, and waits until it answers.
    fn start_daemon(&mut self, boots: bool) -> Result<(), String> {
        let private = self.private.as_mut().ok_or("a shared engine is not ours to start")?;
        let dir = private.dir.path().to_path_buf();
        // A killed daemon takes its containerd with it. Where nobody buries that, its number still counts as alive.
        for stale in ["pid", "exec/containerd/containerd.pid"] {
            let _ = fs::remove_file(dir.join(stale));
        }
        fs::write(dir.join("daemon.json"), "{}").map_err(|e| e.to_string())?;
        let log = fs::File::options().create(true).append(true).open(dir.join("log")).map_err(|e| e.to_string())?;
        let mut command = match private.kind.program {
            Program::Docker => {
                let mut command = private.kind.enter("dockerd", &dir, private.alone);
                for (option, name) in [
                    ("--config-file", "daemon.json"),
                    ("--data-root", "data"),
                    ("--exec-root", "exec"),
                    ("--pidfile", "pid"),
                ] {
                    command.arg(option).arg(dir.join(name));
                }
                command
                    .args(["-H", &self.host])
                    .args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"])
                    .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
                    .arg(format!("--cgroup-parent={}", cgroup_parent(&dir)));
                command
            }
            Program::Podman => private.kind.podman_service(&dir, &self.host, boots),
        };
        let daemon = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|e| e.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("start the engine: {e}"))?;
        private.daemon = Some(daemon);
        self.wait_until_ready(&dir)
    }

    fn wait_until_ready(&mut self, dir: &Path) -> Result<(), String> {
        let deadline = Instant::now() + READY;
        while !self.answers() {
            let daemon = self.private.as_mut().and_then(|p| p.daemon.as_mut());
            let ended = daemon.and_then(|d| d.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                return Err(format!("the engine did not start: {}", tail.join(" | ")));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn answers(&self) -> bool {
        self.command(&["version"]).output().is_ok_and(|output| output.status.success())
    }

    /// Whether the engine may be killed and restarted.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Which program it is.
    #[must_use]
    pub fn program(&self) -> Program {
        self.private.as_ref().map_or(Program::Docker, |private| private.kind.program)
    }

    /// The engine's address, as `DOCKER_HOST` has it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of the engine's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(self.host.trim_start_matches("unix://"))
    }

    /// A prefix for names, so that tests do not meet on a shared engine; what carries it is removed at the end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Ends the daemon, its containerd, the shims and all containers as a power cut would: without a word.
    ///
    /// # Panics
    /// On an engine that is not private.
    pub fn kill(&mut self) {
        let private = self.private.as_mut().expect("a shared engine is not ours to kill");
        private.end();
    }

    /// Starts the daemon again after [`PrivateEngine::kill`], as a reboot would.
    ///
    /// # Panics
    /// If it does not come up, or the engine is not private.
    pub fn restart_engine(&mut self) {
        self.start_after_boot().unwrap();
    }

    /// Kills the daemon alone: the containers run on without it.
    ///
    /// # Panics
    /// On an engine that is not private.
    pub fn kill_daemon(&mut self) {
        let private = self.private.as_mut().expect("a shared engine is not ours to kill");
        if let Some(mut daemon) = private.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Starts the daemon again after [`PrivateEngine::kill_daemon`]. It ends what ran on without it, and starts again
    /// what its restart policies name.
    ///
    /// # Panics
    /// If it does not come up, or the engine is not private.
    pub fn restart_daemon(&mut self) {
        self.start_daemon(false).unwrap();
    }

    /// The docker command on this engine.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(&self.host).args(args).stdin(Stdio::null());
        command
    }

    /// Runs the docker command and gives what it printed, without the line's end.
    ///
    /// # Panics
    /// If it fails.
    pub fn docker(&self, args: &[&str]) -> String {
        match self.try_docker(args) {
            Ok(out) => out,
            Err(why) => panic!("docker {}: {why}", args.join(" ")),
        }
    }

    /// Runs the docker command; its error output if it fails.
    ///
    /// # Errors
    /// What the command wrote to its error output.
    pub fn try_docker(&self, args: &[&str]) -> Result<String, String> {
        let Output { status, stdout, stderr } = self.command(args).output().map_err(|e| e.to_string())?;
        match status.success() {
            true => Ok(String::from_utf8_lossy(&stdout).trim_end().to_string()),
            false => Err(String::from_utf8_lossy(&stderr).trim_end().to_string()),
        }
    }

    /// Makes an image from the static BusyBox of this machine by the engine's import call; no registry is asked.
    ///
    /// # Panics
    /// If there is no BusyBox (Debian package `busybox-static`), or the engine refuses.
    pub fn import_image(&self, tag: &str) {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(root.path().join("tmp")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
        let busybox = busybox.expect("no /bin/busybox: install the package busybox-static");
        fs::copy(busybox, bin.join("busybox")).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let archive = root.path().with_extension("tar");
        let packed = Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(root.path()).arg(".").status();
        assert!(packed.unwrap().success(), "tar failed");
        let imported = self.try_docker(&["import", "--change", r#"CMD ["/bin/sh"]"#, &archive.to_string_lossy(), tag]);
        fs::remove_file(&archive).unwrap();
        imported.unwrap();
    }

    /// Makes a container on network `none` and starts it; gives its id.
    ///
    /// # Panics
    /// If the engine refuses.
    pub fn run(&self, run: &Run<'_>) -> String {
        let mut args: Vec<String> = vec!["create".into(), "--name".into(), run.name.into()];
        if !run.options.iter().any(|option| option.starts_with("--network")) {
            args.push("--network=none".into());
        }
        args.push("--stop-timeout=1".into());
        if !run.restart.is_empty() {
            args.push(format!("--restart={}", run.restart));
        }
        args.extend(run.labels.iter().map(|label| format!("--label={label}")));
        args.extend(run.volumes.iter().map(|volume| format!("--volume={volume}")));
        args.extend(run.options.iter().cloned());
        let script = if run.script.is_empty() { FOREVER } else { run.script };
        args.extend([run.image.into(), "sh".into(), "-c".into(), script.into()]);
        let id = self.docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
        if !run.created_only {
            self.docker(&["start", &id]);
        }
        id
    }

    /// One value of `docker inspect`, by a Go template.
    ///
    /// # Panics
    /// If there is no such container.
    pub fn inspect(&self, which: &str, template: &str) -> String {
        self.docker(&["inspect", "--type=container", "--format", template, which])
    }

    /// Whether there is such a container.
    pub fn exists(&self, which: &str) -> bool {
        self.try_docker(&["inspect", "--type=container", which]).is_ok()
    }

    /// The names of all containers, sorted.
    pub fn names(&self) -> BTreeSet<String> {
        self.docker(&["ps", "--all", "--format", "{{.Names}}"]).lines().map(String::from).collect()
    }

    /// Runs something in a container and gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn exec(&self, which: &str, script: &str) -> String {
        self.docker(&["exec", which, "sh", "-c", script])
    }

    /// Removes containers, volumes, networks and images that carry our prefix; on a private engine, all of them.
    fn tidy(&self) {
        let prefix = [format!("{}-", self.prefix), format!("{}:", self.prefix)];
        let ours = |name: &&str| self.private.is_some() || prefix.iter().any(|prefix| name.starts_with(prefix));
        let listed = |args: &[&str]| -> Vec<String> {
            let listed = self.try_docker(args).unwrap_or_default();
            listed.lines().filter(ours).map(String::from).collect()
        };
        let remove = |args: &[&str], names: &[String]| {
            if !names.is_empty() {
                let names = names.iter().map(String::as_str);
                let _ = self.try_docker(&args.iter().copied().chain(names).collect::<Vec<_>>());
            }
        };
        let containers = listed(&["ps", "--all", "--format", "{{.Names}}"]);
        // A volume that has no name of ours is known by the containers that use it.
        let mounted = "{{range .Mounts}}{{if eq .Type \"volume\"}}{{println .Name}}{{end}}{{end}}";
        let anonymous: BTreeSet<String> = containers
            .iter()
            .filter_map(|name| self.try_docker(&["inspect", "--type=container", "--format", mounted, name]).ok())
            .flat_map(|names| names.lines().filter(|name| name.len() == 64).map(String::from).collect::<Vec<_>>())
            .collect();
        remove(&["rm", "--force"], &containers);
        remove(&["volume", "rm"], &anonymous.into_iter().collect::<Vec<_>>());
        remove(&["volume", "rm"], &listed(&["volume", "ls", "--format", "{{.Name}}"]));
        remove(&["network", "rm"], &listed(&["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]));
        remove(&["rmi"], &listed(&["images", "--format", "{{.Repository}}:{{.Tag}}"]));
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        // After a kill nobody would take a network's bridge from the host.
        if !self.answers()
            && let Some(private) = self.private.as_mut()
        {
            // What a daemon left running would outlive the files by which it is found.
            private.end();
            let _ = self.start_after_boot();
        }
        self.tidy();
        if let Some(private) = &mut self.private {
            private.end();
            private.unmount();
        }
    }
}

impl Private {
    /// Kills what the engine started and what it is, then waits until all of it is gone.
    fn end(&mut self) {
        let mark = format!("{}/", self.dir.path().display());
        let deadline = Instant::now() + READY;
        loop {
            let pids = processes_of(&mark);
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                // Gone in between: what was wanted.
                let _ = kill_process(pid, Signal::KILL);
            }
            // A frozen process dies when it is thawed; its group, frozen, would keep the container from ever starting.
            let parents = cgroup_parents(self.dir.path());
            parents.iter().for_each(|parent| for_each_cgroup(parent, thaw));
            if let Some(daemon) = self.daemon.as_mut() {
                let _ = daemon.kill();
                if daemon.wait().is_ok() {
                    self.daemon = None;
                }
            }
            if pids.is_empty() || Instant::now() > deadline {
                return parents.iter().for_each(|parent| for_each_cgroup(parent, remove_cgroup));
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Takes away what the engine mounted, the innermost first.
    fn unmount(&self) {
        unmount_below(self.dir.path());
        if self.kind.root.is_some() {
            let _ = unmount(self.dir.path(), UnmountFlags::DETACH);
        }
    }
}
