//! `extract`, `clone` and `drill`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use volsnap::model::{DeclaredVolume, IdRange};

use crate::cli::parse::{id_range, volume};

#[derive(Debug, Args)]
pub struct Extract {
    /// Id, unique prefix of it, or `latest`
    pub snapshot: String,
    /// The directory: empty, or absent; then it is made
    pub dir: PathBuf,
    /// What to extract, with all that is below it: TARGET or TARGET/path as `ls` shows it; with exactly one --volume a path
    /// below that [default: everything]
    pub paths: Vec<OsString>,
    /// Only this volume; may be given more than once. Of exactly one the root becomes DIR, of several each lies below DIR by
    /// its target
    #[arg(long = "volume", value_name = "TARGET")]
    pub volumes: Vec<String>,
    #[command(flatten)]
    pub owners: OwnerOptions,
    /// Everything belongs to you, as for users other than root; set-user-id and what only root may set are left out
    #[arg(long, conflicts_with_all = ["map_uid", "map_gid"])]
    pub no_owner: bool,
}

#[derive(Debug, Args)]
pub struct Clone {
    /// Name or id of the workload whose snapshot it is
    pub workload: String,
    /// Id, unique prefix of it, or `latest`
    pub snapshot: String,
    /// A volume and its new place, which is empty or absent; may be given more than once
    #[arg(long = "volume", value_name = "TARGET=PATH", value_parser = volume, required = true)]
    pub volumes: Vec<DeclaredVolume>,
    #[command(flatten)]
    pub owners: OwnerOptions,
}

#[derive(Debug, Args)]
pub struct Drill {
    /// Name or id of the workload whose snapshot it is
    pub workload: String,
    /// Id, unique prefix of it, or `latest`
    #[arg(default_value = "latest")]
    pub snapshot: String,
    /// Extract in this directory; it needs room for the largest volume [default: within the state directory]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct OwnerOptions {
    /// COUNT users from FROM on (one if not given) become those from TO on: as owners, in ACLs, in capabilities. May be
    /// given more than once; others stay
    #[arg(long, value_name = "FROM:TO[:COUNT]", value_parser = id_range)]
    pub map_uid: Vec<IdRange>,
    /// The same for groups
    #[arg(long, value_name = "FROM:TO[:COUNT]", value_parser = id_range)]
    pub map_gid: Vec<IdRange>,
    /// Make device nodes that are in the archive
    #[arg(long)]
    pub allow_devices: bool,
}
