//! What the words before the cursor say: where the state is, and which workload and snapshot are meant.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgMatches, parser::ValueSource};

use super::bash;
use crate::cli::{
    args::{Args, Global},
    config::{Configuration, Settings},
};

/// What is known of the command line that is being typed.
#[derive(Debug)]
pub struct Context {
    pub state_dir: PathBuf,
    pub docker_host: String,
    /// Name or id, if it was typed.
    pub workload: Option<String>,
    /// Id, prefix or `latest`, if it was typed.
    pub snapshot: Option<String>,
}

/// The index that the shell's script gives among the words of the command line.
pub fn index() -> Option<usize> {
    std::env::var("_CLAP_COMPLETE_INDEX").ok()?.parse().ok()
}

/// Where the word at the cursor stands among all arguments of this process.
pub fn cursor(args: &[OsString]) -> usize {
    let start = start(args);
    index().map_or(args.len().saturating_sub(1), |index| start + index)
}

/// Where the words of the command line begin.
fn start(args: &[OsString]) -> usize {
    args.iter().position(|word| word == "--").map_or(args.len(), |at| at + 1)
}

impl Context {
    /// From the arguments of this process. `None` if the configuration does not say where the state is.
    pub fn of_this_process() -> Option<Context> {
        let args: Vec<OsString> = std::env::args_os().collect();
        let cursor = cursor(&args);
        let words = args.get(start(&args)..cursor.min(args.len()))?;
        let (words, ..) = bash::joined(words, words.len().saturating_sub(1));
        // What is not complete yet is wrong in some way, and what was understood before that is good.
        let matches = Args::here().ignore_errors(true).try_get_matches_from(words).ok()?;
        let path = |id: &str| deepest(&matches).try_get_one::<PathBuf>(id).ok().flatten().cloned();
        let global = Global { config: path("config"), state_dir: path("state_dir"), ..Global::default() };
        let configuration = Configuration::load(global.config.as_deref()).ok()?;
        let settings = Settings::new(configuration, &global);
        Some(Context {
            state_dir: settings.state_dir().ok()?,
            docker_host: settings.general.docker_host.value.as_ref().map(|host| host.0.clone()).unwrap_or_default(),
            workload: typed(&matches, "workload"),
            snapshot: typed(&matches, "snapshot"),
        })
    }
}

/// The matches of the innermost command; options for all commands are in these as well.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| deepest(below))
}

/// A value that was typed, and is no default.
fn typed(matches: &ArgMatches, id: &str) -> Option<String> {
    let matches = deepest(matches);
    let value = matches.try_get_one::<String>(id).ok().flatten()?;
    (matches.value_source(id) == Some(ValueSource::CommandLine)).then(|| value.clone())
}
