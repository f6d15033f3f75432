//! What can be typed about the configuration and the documentation of commands.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use clap_complete::Shell;

use super::Command;

/// Every command.
#[derive(Debug, Subcommand)]
pub enum AnyCommand {
    #[command(flatten)]
    Working(Command),
    #[command(flatten)]
    Apart(ApartCommand),
}

/// The commands that open no state directory.
#[derive(Debug, Subcommand)]
pub enum ApartCommand {
    /// Show and check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write the completions of a shell to standard output
    Completions(Completions),
    /// Write a manual page for each command into a directory
    Man(Man),
    /// Print the JSON schemas of what commands print with --json
    Schema(Schema),
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show what is in force, and where each value comes from
    Show {
        /// As it is for this workload
        workload: Option<String>,
    },
    /// Say everything that is wrong with a configuration file
    Check {
        /// Another file than the one that is in use
        file: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
pub struct Completions {
    /// For which shell
    pub shell: Shell,
}

#[derive(Debug, ClapArgs)]
pub struct Man {
    /// Made if it is not there; pages of the same names are replaced
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub struct Schema {
    /// A schema, or a command whose document it describes, such as `workload add`; without it they are listed
    #[arg(value_name = "NAME")]
    pub name: Vec<String>,
}
