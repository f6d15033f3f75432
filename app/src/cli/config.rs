//! The configuration file: which one it is, whether it can be trusted, what it says, and what is in force then.
//!
//! Precedence is flag, environment, file, default. The file says what an operator wants of every command on this host;
//! the library knows nothing of it.

mod trust;

mod read;
mod value;

mod hooks;

mod keys;

mod settings;

use std::path::{Path, PathBuf};

use volsnap::{Code, Error, Result, model::HostHooks};

pub use self::{
    keys::{General, Retention, Section},
    read::{Entry, Problem},
    settings::{Origins, Settings, Shown},
    value::{Source, Timeout},
};

/// The file that is used if it is there and nobody names another.
pub const DEFAULT_FILE: &str = "/etc/volsnap/config.toml";

/// What a configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The file; `None` if there is none.
    pub file: Option<PathBuf>,
    /// What concerns every command.
    pub general: General,
    /// What concerns workloads, unless there is something else for one of them.
    pub section: Section,
    /// The workloads with something of their own, each with all that is in force for it.
    pub workloads: Vec<(String, Section)>,
    /// Each key of the file, in the order of its lines.
    pub entries: Vec<Entry>,
    /// Everything that is wrong with it, in the order of its lines.
    pub problems: Vec<Problem>,
}

impl Configuration {
    /// Reads the file that was named, which must be there, or else the usual one, if it is there.
    ///
    /// An error means that the file cannot be read or is not to be trusted; what is wrong in it is in
    /// [`Configuration::problems`].
    pub fn load(named: Option<&Path>) -> Result<Configuration> {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        match trust::read(path)? {
            Some(text) => Ok(read::configuration(path, &text)),
            None if named.is_none() => Ok(Configuration::default()),
            None => Err(Error::new(Code::NotFound, format!("there is no configuration file {}", path.display()))
                .hint("make it, or name another with --config or VOLSNAP_CONFIG")),
        }
    }

    /// Says no if something is wrong in it, with the first problem.
    pub fn check(&self) -> Result<()> {
        self.refuse(|_| true)
    }

    /// Says no only if what is wrong could hide where the state directory is, or how to work on it. For recovery, which
    /// must not be kept from bringing an app back by a word that it has no use for; the other problems are told.
    pub fn check_for_recovery(&self) -> Result<()> {
        self.refuse(|problem| problem.bars_recovery)?;
        for problem in &self.problems {
            tracing::warn!("{}", self.located(problem));
        }
        Ok(())
    }

    fn refuse(&self, counts: impl Fn(&Problem) -> bool) -> Result<()> {
        let Some(first) = self.problems.iter().find(|problem| counts(problem)) else { return Ok(()) };
        let more = match self.problems.len() {
            1 => String::new(),
            count => format!(" (and {} more: see `volsnap config check`)", count - 1),
        };
        let hint = first.hint.clone().unwrap_or_else(|| "`volsnap config check FILE` checks it again".into());
        Err(Error::new(Code::Usage, format!("{}{more}", self.located(first))).hint(hint))
    }

    /// A problem with its file and line.
    pub fn located(&self, problem: &Problem) -> String {
        let file = self.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        format!("{}:{}: {}", file.display(), problem.line, problem.message)
    }

    /// The hooks that it has run.
    pub fn hooks(&self) -> HostHooks {
        let of = |section: &Section| section.hooks.value.0.clone();
        let named = self.workloads.iter().map(|(name, section)| (name.clone(), of(section)));
        HostHooks { all: of(&self.section), named: named.collect() }
    }

    /// What is in force for the workload of that name.
    pub fn section_of(&self, workload: &str) -> &Section {
        self.workloads.iter().find(|(name, _)| name == workload).map_or(&self.section, |(_, section)| section)
    }
}
