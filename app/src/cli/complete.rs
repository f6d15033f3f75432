//! Completion at the prompt: the shell asks this binary what may stand at the cursor.
//!
//! The scripts of `volsnap completions` call `volsnap -- WORDS…` with [`VARIABLE`] set to the shell's name. The answer
//! is to be there before somebody notices, so nothing is recovered, made or migrated for it; and whatever goes wrong is
//! silence, because an error message in the middle of a command line helps nobody.

mod bash;
mod candidates;
mod context;

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::{
    ArgValueCandidates, CompleteEnv, CompletionCandidate, Shell,
    env::{Elvish, Fish, Powershell, Shells, Zsh},
};
use volsnap::{Code, Error, Result};

use self::bash::Bash;
use super::args::Args;

/// Set by the scripts, and by nobody else: the shell that asks.
const VARIABLE: &str = "VOLSNAP_COMPLETE";

const SHELLS: Shells<'static> = Shells(&[&Bash, &Elvish, &Fish, &Powershell, &Zsh]);

/// Whether it was a shell that called, and has its answer.
pub fn answered(words: &[OsString]) -> bool {
    let directory = std::env::current_dir().ok();
    let command = CompleteEnv::with_factory(|| dressed(words)).var(VARIABLE).bin("volsnap").shells(SHELLS);
    // An error is one of the completion itself, or a shell that has gone away.
    command.try_complete(words.iter().cloned(), directory.as_deref()).unwrap_or(true)
}

/// The script that has a shell ask. It calls the `volsnap` that is in the path.
pub fn script(shell: Shell) -> Result<String> {
    let unknown = || Error::new(Code::Internal, format!("no completions for {shell}")).hint("use bash, zsh or fish");
    let completer = SHELLS.completer(&shell.to_string()).ok_or_else(unknown)?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "volsnap", "volsnap", "volsnap", &mut script)
        .map_err(|error| Error::new(Code::Internal, format!("completions for {shell}: {error}")))?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// The command line with what is known about its values. Where nothing was typed yet and there are values, options are
/// not offered beside them: a `-` asks for these.
fn dressed(words: &[OsString]) -> Command {
    let typed = words.get(context::cursor(words)).map_or(OsStr::new(""), OsString::as_os_str);
    let mut command = Args::command();
    command.build();
    dress(command, typed.is_empty())
}

fn dress(command: Command, hide_options: bool) -> Command {
    // The path of `dump` is one below its target, not one of this host.
    let within = command.get_arguments().any(|arg| arg.get_id() == "target");
    let command = command.mut_args(|arg| match arg.get_id().as_str() {
        "path" if within => arg.value_hint(ValueHint::Other),
        _ if hide_options && !arg.is_positional() => suggest(arg).hide(true),
        _ => suggest(arg),
    });
    command.mut_subcommands(|below| dress(below, hide_options))
}

/// Where the values of an argument come from, by its id. Words of a fixed list and paths are known without this.
fn suggest(arg: Arg) -> Arg {
    let list: fn() -> Vec<CompletionCandidate> = match arg.get_id().as_str() {
        "workload" => candidates::workloads,
        "snapshot" | "snapshots" => candidates::snapshots,
        "to" => candidates::compared,
        "target" | "path" | "paths" => candidates::targets,
        "volumes" => match arg.get_value_names() {
            Some([name]) if name == "TARGET" => candidates::targets,
            Some([name]) if name == "TARGET=PATH" => candidates::assignments,
            Some(_) | None => return arg,
        },
        "number" => candidates::hooks,
        "id" => candidates::kept,
        "name" => candidates::unregistered,
        "compose_project" => candidates::projects,
        "container" | "containers" => candidates::containers,
        _ => return arg,
    };
    arg.add(ArgValueCandidates::new(list))
}
