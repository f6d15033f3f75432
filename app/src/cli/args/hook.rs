//! What can be typed about hooks.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use jiff::SignedDuration;
use volsnap::model::HookEvent;

use crate::cli::parse::duration;

#[derive(Debug, Subcommand)]
pub enum HookCommand {
    /// Add a command to be run before or after snapshots or restores
    ///
    /// A command of the host runs without a shell, with your rights, as its own process group, in `/`, with nothing to
    /// read. One in a container runs as that container's user. Both find VOLSNAP_EVENT, VOLSNAP_WORKLOAD,
    /// VOLSNAP_SNAPSHOT, for a restore VOLSNAP_RESTORE, and afterwards VOLSNAP_OUTCOME in their environment.
    Add(HookAdd),
    /// List the hooks of a workload, with their numbers
    List {
        /// Name or id
        workload: String,
    },
    /// Remove a hook
    Remove {
        /// Name or id
        workload: String,
        /// Its number in the list
        number: usize,
    },
}

#[derive(Debug, ClapArgs)]
pub struct HookAdd {
    /// Name or id
    pub workload: String,
    /// When it runs
    #[arg(long, value_enum, value_name = "WHEN")]
    pub at: HookAt,
    /// The container in which it runs; else it runs on the host
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// How long it may take, such as `30s` [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<SignedDuration>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HookAt {
    /// Before a snapshot; if it fails, no snapshot is taken
    PreCreate,
    /// After a snapshot, however it ended
    PostCreate,
    /// Before a restore; if it fails, nothing is restored
    PreRestore,
    /// After a restore, however it ended
    PostRestore,
}

impl From<HookAt> for HookEvent {
    fn from(at: HookAt) -> Self {
        match at {
            HookAt::PreCreate => HookEvent::PreCreate,
            HookAt::PostCreate => HookEvent::PostCreate,
            HookAt::PreRestore => HookEvent::PreRestore,
            HookAt::PostRestore => HookEvent::PostRestore,
        }
    }
}
