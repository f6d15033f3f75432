//! `completions`, `man`, `schema` and `--version`: what goes with the binary.

use serde::Serialize;

use super::Schema;

/// The document of `completions`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CompletionsView {
    /// The shell.
    pub shell: String,
    /// The script that it reads.
    pub script: String,
}

/// The document of `man`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ManView {
    /// The directory that the pages were written to.
    pub directory: String,
    /// Their names.
    pub pages: Vec<String>,
}

/// The document of `--version`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VersionView {
    /// The version.
    pub version: &'static str,
    /// The commit that it was built from, shortened; `null` where that was not known.
    pub commit: Option<&'static str>,
    /// The day of that commit, as `2026-01-31`.
    pub committed_on: Option<&'static str>,
}

/// The document of `schema` without a name; with one, it is that schema.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SchemasView {
    /// The schemas.
    pub schemas: Vec<SchemaView>,
}

/// A schema.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SchemaView {
    /// Its name.
    pub name: &'static str,
    /// The commands whose document it describes; empty for errors and for lines of progress.
    pub commands: &'static [&'static str],
}

impl SchemasView {
    /// The view of those schemas.
    #[must_use]
    pub fn of(schemas: &[Schema]) -> Self {
        let view = |schema: &Schema| SchemaView { name: schema.name, commands: schema.commands };
        SchemasView { schemas: schemas.iter().map(view).collect() }
    }
}
