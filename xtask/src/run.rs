//! Runs cargo and finds the repository.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a command of the repository ends in: nothing, or a sentence for a person.
pub type Outcome<T = ()> = Result<T, String>;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// The cargo that runs us, in the root of the repository.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs a command to its end, its output where ours goes; an error names it.
pub fn run(mut command: Command) -> Outcome {
    let name = words(&command);
    eprintln!("$ {name}");
    let status = command.status().map_err(|e| format!("cannot run `{name}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{name}` failed: {status}")) }
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end and says nothing unless it fails.
pub fn run_quietly(mut command: Command) -> Outcome {
    let name = words(&command);
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("cannot run `{name}`: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("`{name}` failed: {}", said.trim())) }
}
