//! The real binary, as a script would use it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The command line's own tests hold documents to the schemas in the same way.
#[path = "../../app/tests/support/schema.rs"]
pub mod schema;

/// The binary: the one that `VOLSNAP_TEST_BINARY` names, which whoever runs all tests has built; without it, one that is
/// built from the sources as they are.
///
/// # Panics
/// If it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(built) = std::env::var_os("VOLSNAP_TEST_BINARY") {
            return built.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "volsnap", "--bin", "volsnap", "--message-format=json"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "the binary does not build");
        let messages = String::from_utf8_lossy(&built.stdout);
        let executable = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let executable = executable
            .filter(|m| m["target"]["name"] == "volsnap")
            .find_map(|m| m["executable"].as_str().map(PathBuf::from));
        executable.expect("cargo names the binary")
    })
}

/// A state directory with the engine that goes with it.
#[derive(Clone, Debug)]
pub struct Cli {
    state: PathBuf,
    docker_host: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Its one JSON document; null if a signal ended it before it wrote one.
    pub json: Value,
    /// What it told people.
    pub stderr: String,
}

impl Cli {
    /// Commands over that state directory. Without an engine, `docker_host` names a socket that does not exist.
    pub fn new(state: impl Into<PathBuf>, docker_host: impl Into<String>) -> Self {
        Cli { state: state.into(), docker_host: docker_host.into() }
    }

    /// A command, with JSON on its standard output. It has no terminal.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        self.configure(&mut command);
        command.args(args);
        command
    }

    /// The same command as the child of another program (strace).
    pub fn under(&self, program: &str, options: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(options).arg(binary());
        self.configure(&mut command);
        command.args(args);
        command
    }

    fn configure(&self, command: &mut Command) {
        command
            .env("DOCKER_HOST", &self.docker_host)
            .env_remove("VOLSNAP_STATE_DIR")
            .env_remove("VOLSNAP_CONFIG")
            .arg("--state-dir")
            .arg(&self.state)
            .args(["--json", "--progress", "none"])
            .stdin(Stdio::null());
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().expect("the binary runs"), args)
    }

    /// Runs a command that must succeed, and returns its document.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Value {
        let ended = self.run(args);
        assert_eq!(ended.status, Some(0), "volsnap {args:?}: {ended:#?}");
        ended.json
    }

    /// Runs a command that must fail with that status and code.
    #[track_caller]
    pub fn fails(&self, args: &[&str], status: i32, code: &str) -> Value {
        let ended = self.run(args);
        assert_eq!(ended.status, Some(status), "volsnap {args:?}: {ended:#?}");
        assert_eq!(ended.json["error"]["code"], code, "volsnap {args:?}: {ended:#?}");
        ended.json
    }

    /// Starts a command and leaves it running.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    /// The journal of a workload as text; empty if there is none.
    pub fn journal(&self, workload_id: &str) -> String {
        std::fs::read_to_string(self.state.join("journal").join(format!("{workload_id}.json"))).unwrap_or_default()
    }

    /// Starts a command and kills it as soon as its journal has the entry. Returns whether that came before its end.
    pub fn kill_at(&self, args: &[&str], workload_id: &str, entry: &str) -> bool {
        let mut child = self.spawn(args);
        let needle = format!("\"{entry}\"");
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if self.journal(workload_id).contains(&needle) {
                let _ = child.kill();
                break;
            }
            if child.try_wait().ok().flatten().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let ended = child.wait_with_output().expect("the binary ends");
        ended.status.code().is_none()
    }
}

impl Ended {
    /// Reads what a process left.
    ///
    /// # Panics
    /// If it ended by itself and its standard output is not exactly one JSON document, or if the document does not follow
    /// the command's schema.
    pub fn of(output: &Output, args: &[&str]) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = match serde_json::from_str(&stdout) {
            Ok(json) => json,
            Err(_) if output.status.code().is_none() => Value::Null,
            Err(error) => panic!("volsnap {args:?} wrote no document ({error}): {stdout:?} {stderr}"),
        };
        if !json.is_null() {
            schema::check(args, &json);
        }
        Ended { status: output.status.code(), json, stderr }
    }
}
