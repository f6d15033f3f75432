//! Hooks: commands that a person wants to be run before and after a snapshot or a restore.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// Before a snapshot, when nothing speaks against it; the app runs.
    PreCreate,
    /// After a snapshot, however it ended; the app runs again.
    PostCreate,
    /// Before a restore, when nothing speaks against it; nothing is staged yet, and the app runs.
    PreRestore,
    /// After a restore, however it ended; the app is back.
    PostRestore,
}

impl HookEvent {
    /// The word of the contract, as in `--at`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HookEvent::PreCreate => "pre-create",
            HookEvent::PostCreate => "post-create",
            HookEvent::PreRestore => "pre-restore",
            HookEvent::PostRestore => "post-restore",
        }
    }
}

impl fmt::Display for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A hook of a workload.
///
/// Hooks come from the catalog, from the host ([`HostHooks`]), and from journals that were written out of these: never
/// from an archive, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When it runs.
    pub at: HookEvent,
    /// The container in which it runs; `None`: on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The program and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Hooks that a host runs for its workloads, each behind the workload's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostHooks {
    /// For every workload that is not in `named`.
    pub all: Vec<Hook>,
    /// For the workloads of these names, in place of those in `all`.
    pub named: BTreeMap<String, Vec<Hook>>,
}

impl HostHooks {
    /// Those for the workload of that name.
    #[must_use]
    pub fn of(&self, workload: &str) -> &[Hook] {
        self.named.get(workload).unwrap_or(&self.all)
    }
}

/// How long a hook may take where nobody says otherwise.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(300);

impl Hook {
    /// The command as a shell would have to be given it.
    #[must_use]
    pub fn words(&self) -> String {
        quoted(self.command.iter().map(String::as_str))
    }

    /// Whether there is something that could be run.
    #[must_use]
    pub fn can_run(&self) -> bool {
        self.command.first().is_some_and(|program| !program.is_empty())
            && self.command.iter().all(|word| !word.contains('\0'))
    }

    /// Where it runs, in words.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.container {
            Some(container) => format!("in container {container}"),
            None => "on the host".into(),
        }
    }
}

/// A command as a shell would have to be given it: words that mean something to a shell are in single quotes.
#[must_use]
pub fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quote = |word: &str| match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_differently() {
        for (words, text) in [
            (&["redis-cli", "save"][..], "redis-cli save"),
            (&["sh", "-c", "echo $A"], "sh -c 'echo $A'"),
            (&["echo", "it's"], r"echo 'it'\''s'"),
            (&["a", ""], "a ''"),
            (&["~", "*"], "'~' '*'"),
        ] {
            assert_eq!(quoted(words.iter().copied()), text);
        }
    }
}
