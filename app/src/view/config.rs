//! `config show` and `config check`: what is in force, and what is wrong with a file.

use serde::Serialize;
use serde_json::Value;

/// The document of `config show`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigView {
    /// The file that was read; `null` if there is none.
    pub file: Option<String>,
    /// The workload for which it is as shown; `null`: for every one that has nothing of its own.
    pub workload: Option<String>,
    /// What is in force.
    pub settings: Vec<SettingView>,
}

/// A setting.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SettingView {
    /// With its tables: `retention.keep_last`.
    pub key: String,
    /// As the file would have it; `null` if nothing is set.
    pub value: Value,
    /// `flag`, `environment`, `file` or `default`.
    #[cfg_attr(test, schemars(extend("enum" = ["flag", "environment", "file", "default"])))]
    pub source: &'static str,
    /// The argument or the variable.
    pub name: Option<&'static str>,
    /// The line of the file, from 1.
    pub line: Option<usize>,
}

/// The document of `config check`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigCheckView {
    /// The file; `null` if there is none.
    pub file: Option<String>,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// What is wrong, line by line.
    pub problems: Vec<ConfigProblemView>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigProblemView {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
    /// What would be right.
    pub hint: Option<String>,
}
