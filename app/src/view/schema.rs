//! The JSON schemas of the documents (draft 2020-12), as they lie in `app/schemas`.
//!
//! They are made from the types of [`view`](super) by a test, which also sees that they are up to date:
//! `VOLSNAP_GOLDEN=write cargo test -p volsnap --lib schemas` writes them anew.

/// A schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The name of what it describes.
    pub name: &'static str,
    /// The commands whose document that is, each by its words; empty for errors, which every command may end with, and
    /// for lines of progress.
    pub commands: &'static [&'static str],
    /// The schema, in JSON.
    pub text: &'static str,
}

macro_rules! schema {
    ($name:literal, [$($command:literal),*]) => {
        Schema {
            name: $name,
            commands: &[$($command),*],
            text: include_str!(concat!("../../schemas/", $name, ".json")),
        }
    };
}

/// Every document that the command line prints, by name.
pub const SCHEMAS: [Schema; 35] = [
    schema!("completions", ["completions"]),
    schema!("config-check", ["config check"]),
    schema!("config-show", ["config show"]),
    schema!("copy", ["extract", "clone"]),
    schema!("delete", ["delete"]),
    schema!("diff", ["diff"]),
    schema!("doctor", ["doctor"]),
    schema!("drill", ["drill"]),
    schema!("error", []),
    schema!("events", ["events"]),
    schema!("export", ["export"]),
    schema!("import", ["import"]),
    schema!("kept-archive", ["kept archive"]),
    schema!("kept-discard", ["kept discard"]),
    schema!("kept-list", ["kept list"]),
    schema!("list", ["list"]),
    schema!("ls", ["ls"]),
    schema!("man", ["man"]),
    schema!("plan", ["plan"]),
    schema!("progress", []),
    schema!("prune", ["prune"]),
    schema!("rebuild", ["rebuild"]),
    schema!("recover", ["recover"]),
    schema!("report", ["restore", "undo", "kept restore"]),
    schema!("schema", ["schema"]),
    schema!("snapshot", ["create", "show", "pin", "unpin"]),
    schema!("status", ["status", "recover --dry-run"]),
    schema!("verify", ["verify"]),
    schema!("version", ["--version"]),
    schema!("workload", ["workload add", "workload show"]),
    schema!("workload-add-dry-run", ["workload add --dry-run"]),
    schema!("workload-discover", ["workload discover"]),
    schema!("workload-hook", ["workload hook add", "workload hook list", "workload hook remove"]),
    schema!("workload-list", ["workload list"]),
    schema!("workload-remove", ["workload remove"]),
];

impl Schema {
    /// The schema of that name, or of the document of the command of that name (`restore`, `workload add`).
    #[must_use]
    pub fn named(name: &str) -> Option<Schema> {
        let by_name = SCHEMAS.into_iter().find(|schema| schema.name == name);
        by_name.or_else(|| SCHEMAS.into_iter().find(|schema| schema.commands.contains(&name)))
    }
}

#[cfg(test)]
mod tests;
