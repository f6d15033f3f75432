//! `extract`, `clone` and `drill`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use jiff::SignedDuration;
use volsnap::model::{DeclaredVolume, IdRange};

use crate::cli::parse::{duration, id_range, volume};

#[derive(Debug, Args)]
pub struct Extract {
    /// Id, unique prefix of it, or `latest`; `shop/latest` is the newest of shop
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
    /// Extract in this directory; it needs room for the largest volume, with --boot for all of them [default: within the
    /// state directory]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Then start copies of the app's containers on the copied data, in a network of their own, wait until they are healthy,
    /// and take it all down
    ///
    /// The containers that run now (all, if none does) are made again with the images that the snapshot names. They find
    /// each other by their names and reach nothing else: no network, no published port, no socket or device of the host.
    /// What is writable and not in the snapshot is empty for them, and what is read-only stays so. Refused: privileged
    /// containers, those in the host's network, IPC or process namespace, images that are gone, volumes that the snapshot
    /// has not. What the copies go without is told.
    #[arg(long)]
    pub boot: bool,
    /// How long the app may take to become healthy on the copy [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "boot")]
    pub boot_timeout: Option<SignedDuration>,
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
