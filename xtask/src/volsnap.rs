//! The release binary, run as a script runs it: `--json` in, one document out.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::run::{Outcome, cargo, root, run};

/// The binary with a state directory of its own.
pub struct Volsnap {
    binary: PathBuf,
    state: PathBuf,
    /// The address of the engine; without one, none is found.
    host: Option<String>,
}

/// Builds the release binary.
pub fn build() -> Outcome<PathBuf> {
    run(cargo(&["build", "--release", "--quiet", "--package", "volsnap"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    Ok(target.join("release/volsnap"))
}

impl Volsnap {
    /// The binary over the state directory `state`.
    pub fn new(binary: &Path, state: &Path, host: Option<String>) -> Self {
        Volsnap { binary: binary.to_path_buf(), state: state.to_path_buf(), host }
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The command line with `--json`, to be run in whatever way.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.under(Command::new(&self.binary), arguments)
    }

    /// The same under another program that takes a command line.
    pub fn command_under(&self, mut program: Command, arguments: &[&str]) -> Command {
        program.arg(&self.binary);
        self.under(program, arguments)
    }

    fn under(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.arg("--state-dir").arg(&self.state).arg("--json").args(arguments).stdin(Stdio::null());
        let host = self.host.clone().unwrap_or_else(|| "unix:///nonexistent/docker.sock".to_string());
        command.env("DOCKER_HOST", host);
        command
    }

    /// Runs a command to its end. An error is the command's own message and hint.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Value> {
        let output = self.command(arguments).output().map_err(|e| format!("cannot run volsnap: {e}"))?;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(answer);
        }
        let line = arguments.join(" ");
        let said = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_string();
        let mut message =
            format!("`volsnap {line}` ended with {}: {} {}", output.status, said("message"), said("hint"));
        if answer["error"].is_null() {
            message = format!("{message}{answer} {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(message.trim().to_string())
    }
}

/// A number of a document; what is not there is an error, never 0.
pub fn number(document: &Value, key: &str) -> Outcome<u64> {
    document[key].as_u64().ok_or_else(|| format!("no `{key}` in {document}"))
}

/// A text of a document.
pub fn text(document: &Value, key: &str) -> Outcome<String> {
    document[key].as_str().map(str::to_string).ok_or_else(|| format!("no `{key}` in {document}"))
}
