//! `export`, `import` and `rebuild`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct Export {
    /// Id, unique prefix of it, or `latest`; `shop/latest` is the newest of shop
    pub snapshot: String,
    /// The file, or `-` for standard output
    pub file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    /// An archive, as `export` writes it or as it lies in a state directory
    pub file: PathBuf,
    /// Make it a snapshot of this workload (name or id) [default: the one that it was taken of]
    #[arg(long, value_name = "WORKLOAD")]
    pub workload: Option<String>,
}

#[derive(Debug, Args)]
pub struct Rebuild {
    /// Take snapshots whose archive is gone out of the catalog
    #[arg(long)]
    pub prune_missing: bool,
}
