//! `diff`.

use std::ffi::OsString;

use clap::Args;

#[derive(Debug, Args)]
pub struct Diff {
    /// Id, unique prefix of it, or `latest`; `shop/latest` is the newest of shop
    pub snapshot: String,
    /// What it is compared with: another snapshot (`latest` is of the same workload), or `live` for the volumes as they
    /// are now
    #[arg(default_value = "live", value_name = "SNAPSHOT|live")]
    pub to: String,
    /// Only this volume; may be given more than once
    #[arg(long = "volume", value_name = "TARGET")]
    pub volumes: Vec<String>,
    /// Only what is at and below it: a volume's TARGET, or TARGET/path
    #[arg(long, value_name = "PATH")]
    pub path: Option<OsString>,
    /// Read and compare the contents of all files, also of those whose size and time are the same
    #[arg(long)]
    pub content: bool,
    /// Show also what has only another time of modification and no contents that could hide behind it
    ///
    /// Without it a directory is not shown because an entry came or went, nor is anything else but a file; nor a file
    /// whose contents were read and are the same.
    #[arg(long)]
    pub times: bool,
    /// Only the numbers of each volume
    #[arg(long)]
    pub summary: bool,
    /// End with status 5 if anything differs (1 means failed, as everywhere)
    #[arg(long)]
    pub exit_code: bool,
}
