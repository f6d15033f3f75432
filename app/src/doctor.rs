//! Looks at the host and at the state directory, says what is not as it should be, and puts right what is safe.

mod boot;
mod disks;
mod engine;
mod leftovers;
mod rights;
mod stock;

use std::path::PathBuf;

use serde::Serialize;

use crate::{Code, Volsnap};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something may go wrong, or already keeps space.
    Warning,
    /// Something does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// What was looked at, in one word: `engine`, `rights`, `state`, `disks`, `catalog`, `archives`, `leftovers`,
    /// `boot` or `clock`.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The thing: a path, a workload, a container.
    pub subject: String,
    /// What is to be said of it, in one sentence.
    pub message: String,
    /// What to do about it: mostly the very command.
    pub remedy: Option<String>,
    /// Whether it was put right just now.
    pub fixed: bool,
}

impl Finding {
    fn new(check: &'static str, severity: Severity, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let (subject, message) = (subject.into(), message.into());
        Finding { check, severity, subject, message, remedy: None, fixed: false }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, put right or not: an error says why not.
    fn mended(mut self, done: Result<(), impl std::fmt::Display>) -> Self {
        match done {
            Ok(()) => self.fixed = true,
            Err(error) => self.message = format!("{}; it could not be put right: {error}", self.message),
        }
        self
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.severity > Severity::Note && !self.fixed
    }
}

/// How to look.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// Whether what can safely be put right is put right.
    pub fix: bool,
    /// Where the host's files are found (`etc/systemd/system`, `run/systemd`); `/`, but for tests.
    pub host_root: PathBuf,
}

impl Default for DoctorOptions {
    fn default() -> Self {
        DoctorOptions { fix: false, host_root: "/".into() }
    }
}

/// The code that scripts see: `None` if nobody has to do anything.
#[must_use]
pub fn verdict(findings: &[Finding]) -> Option<Code> {
    findings.iter().any(Finding::is_open).then_some(Code::Warnings)
}

impl Volsnap {
    /// Looks at everything that snapshots and restores depend on here.
    ///
    /// With [`DoctorOptions::fix`] it finishes or rolls back what crashes left, removes unfinished archives, catalogues
    /// archives that no row knows, and takes the state directory out of others' sight. Without, only the disks are
    /// written to, in private directories that are removed again and never lie in a volume.
    pub async fn doctor(&self, options: &DoctorOptions) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(engine::look(self).await);
        findings.extend(rights::look());
        findings.extend(rights::state_dir(&self.engine().ports().filesystem.state_dir(), options.fix));
        findings.extend(stock::catalog(self));
        // First what crashes left: it decides what else is one too many.
        findings.extend(leftovers::look(self, options.fix).await);
        findings.extend(stock::archives(self, options.fix).await);
        findings.extend(disks::look(self).await);
        findings.extend(boot::look(&options.host_root));
        findings.extend(stock::clock(self).await);
        findings
    }
}
