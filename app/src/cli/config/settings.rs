//! What is in force for this call: arguments over the environment over the file over what is usual.

use std::path::PathBuf;

use clap::{ArgMatches, parser::ValueSource};
use serde_json::Value;
use volsnap::Result;

use super::{
    Configuration,
    keys::{General, Keys, Section},
    value::{At, DockerHost, Source, Written},
};
use crate::cli::{args::Global, parse::default_state_dir};

/// Which of the arguments for all commands come from the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origins {
    pub config: Source,
    pub state_dir: Source,
    pub jobs: Source,
}

impl Origins {
    /// As clap found them.
    pub fn of(matches: &ArgMatches) -> Self {
        let origin = |id: &str, flag, variable| match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Source::Flag(flag),
            Some(ValueSource::EnvVariable) => Source::Environment(variable),
            // clap may learn of other sources; none of them is one of ours.
            Some(_) | None => Source::Default,
        };
        Origins {
            config: origin("config", "--config", "VOLSNAP_CONFIG"),
            state_dir: origin("state_dir", "--state-dir", "VOLSNAP_STATE_DIR"),
            jobs: origin("jobs", "--jobs", "VOLSNAP_JOBS"),
        }
    }
}

/// What is in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file, and what it says of workloads.
    pub configuration: Configuration,
    /// What concerns every command, whoever said it.
    pub general: General,
    /// Who named the file.
    pub config: Source,
}

/// A setting as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub key: String,
    pub value: Value,
    pub source: Source,
}

impl Settings {
    /// Puts the arguments and the environment over a file.
    pub fn new(configuration: Configuration, global: &Global) -> Settings {
        let mut general = configuration.general.clone();
        let origins = &global.origins;
        put(&mut general.state_dir, global.state_dir.clone().map(Some), origins.state_dir);
        put(&mut general.jobs, global.jobs.map(Some), origins.jobs);
        put(&mut general.progress, global.progress, Source::Flag("--progress"));
        // As the docker client has it, an empty one is none.
        let docker_host = std::env::var_os("DOCKER_HOST").filter(|host| !host.is_empty());
        let docker_host = docker_host.map(|host| Some(DockerHost(host.to_string_lossy().into_owned())));
        put(&mut general.docker_host, docker_host, Source::Environment("DOCKER_HOST"));
        Settings { configuration, general, config: origins.config }
    }

    /// Where the state is.
    pub fn state_dir(&self) -> Result<PathBuf> {
        self.general.state_dir.value.clone().map_or_else(default_state_dir, Ok)
    }

    /// What is in force for the workload of that name.
    pub fn section_of(&self, workload: &str) -> &Section {
        self.configuration.section_of(workload)
    }

    /// Every setting, as it is for all workloads or for that one.
    pub fn shown(&self, workload: Option<&str>) -> Vec<Shown> {
        let mut general = self.general.clone();
        general.state_dir.value = self.state_dir().ok();
        let mut shelf = Shelf::default();
        general.visit(&mut shelf);
        workload.map_or(&self.configuration.section, |name| self.section_of(name)).clone().visit(&mut shelf);
        if workload.is_none() {
            let of_workloads = self.configuration.entries.iter().filter(|entry| entry.key.starts_with("workload."));
            shelf.shown.extend(of_workloads.map(|entry| Shown {
                key: entry.key.clone(),
                value: entry.value.clone(),
                source: Source::File { line: entry.line },
            }));
        }
        shelf.shown
    }
}

fn put<T>(slot: &mut At<T>, value: Option<T>, source: Source) {
    if let Some(value) = value {
        *slot = At { value, source };
    }
}

/// Collects what there is.
#[derive(Default)]
struct Shelf {
    table: Option<&'static str>,
    shown: Vec<Shown>,
}

impl Keys for Shelf {
    fn key<T: Written>(&mut self, name: &'static str, slot: &mut At<T>) {
        let key = self.table.map_or_else(|| name.to_string(), |table| format!("{table}.{name}"));
        self.shown.push(Shown { key, value: slot.value.show(), source: slot.source });
    }

    fn table(&mut self, name: &'static str, visit: impl FnOnce(&mut Self)) {
        let outer = self.table.replace(name);
        visit(self);
        self.table = outer;
    }
}
