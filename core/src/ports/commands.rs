//! Commands of the host, for hooks.

use std::time::Duration;

use async_trait::async_trait;

use super::Watch;

/// How much of what a command says is kept, in bytes: the last of it.
pub const TOLD_MAX: usize = 4096;

/// A command to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments. No shell reads them.
    pub words: Vec<String>,
    /// What its environment has besides.
    pub env: Vec<(String, String)>,
    /// How long it may take.
    pub timeout: Duration,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with that status.
    Status(i64),
    /// By a signal that was not ours.
    Signal(i32),
    /// It took too long, and was killed where that is possible.
    TimedOut,
    /// The observer asked for the end, and it was killed where that is possible.
    Cancelled,
    /// It could not be started.
    NotStarted(String),
}

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How.
    pub exit: Exit,
    /// The last of what it said on its standard error, or else on its standard output; at the most [`TOLD_MAX`] bytes,
    /// what is not UTF-8 replaced.
    pub told: String,
}

/// Runs programs of the host.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Commands: Send + Sync {
    /// Runs a command with the caller's rights and environment, nothing to read, and `/` as its directory, and comes
    /// back when it has ended. Its time-out, the observer and a caller who drops the future end it with all of its
    /// process group; if this process is killed, it goes on by itself. What it leaves running in the background when
    /// it ends is left alone, and not waited for. Nothing is durable but what the command makes so.
    async fn run(&self, command: &Command, watch: &Watch) -> Ran;
}

/// A host on which no commands are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCommands;

#[async_trait]
impl Commands for NoCommands {
    async fn run(&self, command: &Command, _: &Watch) -> Ran {
        let program = command.words.first().map_or("", String::as_str);
        Ran { exit: Exit::NotStarted(format!("{program}: this host runs no commands")), told: String::new() }
    }
}
