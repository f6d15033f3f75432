//! What can be typed.

mod archives;
mod config;
mod copies;
mod diff;
mod hook;
mod kept;
mod retention;

use std::{
    ffi::{OsStr, OsString},
    num::NonZeroUsize,
    path::PathBuf,
};

use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum, builder::Resettable};
use volsnap::model::DeclaredVolume;

use super::{
    config::{Origins, Timeout},
    parse::{jobs, label, volume},
};
pub use archives::{Export, Import, Rebuild};
pub use config::{AnyCommand, ApartCommand, Completions, ConfigCommand, Man, Schema};
pub use copies::{Clone, Drill, Extract, OwnerOptions};
pub use diff::Diff;
pub use hook::{HookAdd, HookAt, HookCommand};
pub use kept::{KeptCommand, KeptRestore};
pub use retention::{Delete, Pin, Prune};

#[cfg(test)]
mod named;
mod restore;

pub use restore::Restore;

/// Crash-safe snapshot and restore of container volumes.
///
/// After a crash at any instant every volume of a workload is wholly as it was or wholly restored, and the app is
/// brought back.
#[derive(Debug, Parser)]
#[command(name = "volsnap", version = VERSION, propagate_version = true, after_help = STATUS)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: AnyCommand,
}

/// With the commit that it was built from, where that is known.
const VERSION: &str = env!("VOLSNAP_VERSION");

const STATUS: &str = "\
Exit status: 0 done · 1 failed · 2 usage · 3 refused, nothing touched · 4 rolled back · 5 done with warnings ·
6 needs attention · 7 busy · 8 not found · 9 corrupt · 10 hostile archive ·
130 or 143 interrupted while nothing was under way that changes something";

#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// What is usual on this host, in TOML [default: /etc/volsnap/config.toml if it is there]
    #[arg(long, global = true, env = "VOLSNAP_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where archives, journals and the catalog lie [default: /var/lib/volsnap as root, else in $XDG_STATE_HOME]
    #[arg(long, global = true, env = "VOLSNAP_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print one JSON document, for results and for errors
    #[arg(long, global = true)]
    pub json: bool,
    /// How progress is shown on standard error [default: auto]
    #[arg(long, global = true, value_enum, value_name = "HOW")]
    pub progress: Option<ProgressMode>,
    /// Threads that compress or decompress, and as many that make files [default: the processors, at most 4]
    #[arg(long, global = true, env = "VOLSNAP_JOBS", value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Say more on standard error; twice for even more (VOLSNAP_LOG takes a filter)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but the result and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Which of these come from the environment.
    #[arg(skip)]
    pub origins: Origins,
}

impl Args {
    /// The command line as it holds in this environment, where an empty variable says nothing.
    pub fn here() -> clap::Command {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        Args::command().mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
            true => arg.env(Resettable::Reset),
            false => arg,
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, else nothing
    #[default]
    Auto,
    /// A bar
    Bar,
    /// One JSON object a line; what is said in between, as on Ctrl-C, has a `notice`
    Json,
    /// Nothing
    None,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register, show and remove workloads
    #[command(subcommand)]
    Workload(WorkloadCommand),
    /// Take a snapshot of a workload
    Create(Create),
    /// List snapshots
    List {
        /// Only those of this workload (name or id)
        workload: Option<String>,
    },
    /// Show a snapshot
    Show {
        /// Id, unique prefix of it, or `latest` for the newest of all workloads; `shop/latest` is the newest of shop
        snapshot: String,
    },
    /// List what is in a snapshot, in the manner of `ls -l`
    ///
    /// In names, `%`, bytes that are not UTF-8, and control characters are shown as `%XX`. With --json control characters
    /// are escaped as JSON does, and the path is the one below its volume's target. Every command takes names as they are
    /// and, where nothing has such a name, as they are shown.
    Ls {
        /// Id, unique prefix of it, or `latest`; `shop/latest` is the newest of shop
        snapshot: String,
        /// Only what is at and below it: a volume's TARGET, or TARGET/path
        path: Option<OsString>,
    },
    /// Write one file of a snapshot to standard output
    ///
    /// Holes come out as zeros. Symbolic links are not followed. An error after the first byte says how many bytes were
    /// written; these are good. With --json it goes to standard error.
    Dump {
        /// Id, unique prefix of it, or `latest`; `shop/latest` is the newest of shop
        snapshot: String,
        /// The volume
        target: String,
        /// Path of the file below the volume
        path: PathBuf,
    },
    /// Extract a snapshot, or parts of it, into a directory of your own
    ///
    /// DIR appears whole and durable, or not at all. Everything comes out as a restore would bring it back; users other than
    /// root get it as their own.
    Extract(Extract),
    /// Clone volumes of a snapshot to other places, for another workload
    ///
    /// Each place gets its volume whole and durable, and all of them or none. After a crash each one is as it was, absent if
    /// an empty directory was there, or whole.
    Clone(Clone),
    /// Show what was added, removed and changed since a snapshot
    ///
    /// Each member that differs is a line: `A` for what was added, `D` for what was removed, `M` for what is another, and
    /// what about it is. Files count as changed if their size or their time of modification is another. Sockets,
    /// `lost+found`, volsnap's own names and filesystems that are mounted inside are left out, as in archives. The status
    /// is 0 whether anything differs or not, unless --exit-code is given.
    Diff(Diff),
    /// Prove that a snapshot can be restored: extract it aside, read it back from the disk, compare
    ///
    /// The app and its live directories are not touched. `show` and `list` say when a snapshot was last proved. With --boot it
    /// also proves that the app starts on what came back; if it does not, the status is 5, and the data count as proved.
    Drill(Drill),
    /// Read and check every byte of snapshots
    Verify(Verify),
    /// Show what a restore would do; touches nothing
    Plan(Plan),
    /// Restore a workload from a snapshot
    Restore(Restore),
    /// Go back to what the last restore replaced
    Undo {
        /// Name or id
        workload: String,
        /// Do not ask; without a terminal it never does
        #[arg(long, short = 'y')]
        yes: bool,
        #[command(flatten)]
        options: RestoreOptions,
    },
    /// Finish or roll back what a crash left; a workload that was rolled back counts as done
    Recover {
        /// Only this workload (name or id)
        workload: Option<String>,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Leave out the hooks that are due
        #[arg(long)]
        no_hooks: bool,
        /// Which data are to be live, where a restore does not know its directories again
        ///
        /// For filesystems that give directories other inode numbers when they are renamed. The names in the private
        /// directory then say which directory is which; look at them first (`volsnap status` shows where they are).
        #[arg(long, requires = "workload", conflicts_with = "dry_run")]
        take: Option<TakeArg>,
        /// Go on although the container engine that the operation began on, or a container that a snapshot froze or
        /// stopped, is gone for good
        #[arg(long)]
        without_missing: bool,
    },
    /// Show what is open, what recovery would do, and which originals are kept
    Status {
        /// Only this workload (name or id)
        workload: Option<String>,
    },
    /// Originals that stay set aside after a restore: list, archive, put back, discard
    #[command(subcommand)]
    Kept(KeptCommand),
    /// Pin a snapshot: no prune takes it away, and no deletion without --force
    Pin(Pin),
    /// Take a snapshot's pin away
    Unpin {
        /// Id or unique prefix of it
        snapshot: String,
    },
    /// Delete a snapshot
    Delete(Delete),
    /// Delete the snapshots that no rule keeps
    ///
    /// Without a rule here, those of the configuration hold: the workload's own, else those for all. Pinned snapshots, the
    /// last verified one and that of an open restore are kept in any case. Hours, days, weeks (from Monday), months and
    /// years are those of the time zone of the configuration, by default the host's, and only those count that have a
    /// snapshot. What has no archive takes no place.
    Prune(Prune),
    /// Copy a snapshot's archive to a file, every byte checked
    ///
    /// The file is whole and durable when it has its name. Where the filesystem can, it shares its blocks with the archive.
    Export(Export),
    /// Take an archive from elsewhere among a workload's snapshots
    ///
    /// It is copied, read back and checked to its last byte before it counts. With --workload it becomes a snapshot of
    /// that workload, with an id of its own; its volumes stay as they are.
    Import(Import),
    /// Make the catalog again from the archives alone
    ///
    /// Adds what is missing: snapshots, and workloads as their archives remember them. A damaged catalog.db is moved aside
    /// first. Archives that cannot be read are named and left where they are (status 5).
    Rebuild(Rebuild),
    /// Look at what snapshots and restores depend on here: engine, rights, disks, catalog, archives, leftovers, boot
    Doctor {
        /// Put right what safely can be: end what crashes left, remove unfinished archives, catalogue archives that no
        /// row knows, close the state directory to others
        #[arg(long)]
        fix: bool,
    },
    /// Show the audit trail, newest first
    Events {
        /// Only this workload (name or id, also a removed one)
        workload: Option<String>,
        /// At the most so many
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
}

#[derive(Debug, Subcommand)]
pub enum WorkloadCommand {
    /// Register a workload
    Add(WorkloadAdd),
    /// List the workloads
    List,
    /// Show compose projects and containers with volumes that no workload has yet
    Discover,
    /// Commands that are run before and after snapshots and restores
    #[command(subcommand)]
    Hook(HookCommand),
    /// Show a workload with its volumes and containers as they are now
    Show {
        /// Name or id
        workload: String,
    },
    /// Forget a workload; its containers and directories stay
    Remove {
        /// Name or id
        workload: String,
        /// Delete its snapshots too
        #[arg(long)]
        delete_snapshots: bool,
        /// The pinned ones also
        #[arg(long, requires = "delete_snapshots")]
        force: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub struct WorkloadAdd {
    /// Its name; with nothing else, that of the compose project or container which it is
    pub name: String,
    /// Containers of this compose project
    #[arg(long, value_name = "PROJECT")]
    pub compose_project: Option<String>,
    /// The container of this name
    #[arg(long = "container", value_name = "NAME")]
    pub containers: Vec<String>,
    /// Containers with this label (all labels must match)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// A directory of this host and its name within the workload
    #[arg(long = "volume", value_name = "TARGET=HOSTPATH", value_parser = volume)]
    pub volumes: Vec<DeclaredVolume>,
    /// Register a workload of that name anew, by what is given now; its snapshots and hooks stay
    #[arg(long, conflicts_with = "dry_run")]
    pub update: bool,
    /// Only show what would be registered: volumes with their sizes, what is left out and why, containers, hooks to
    /// think about
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Create {
    /// Name or id
    pub workload: String,
    /// What the app does meanwhile [default: pause]
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<ModeArg>,
    /// Something to remember it by
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Run none of the workload's hooks
    #[arg(long)]
    pub no_hooks: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ModeArg {
    /// It is frozen: one point in time
    #[default]
    Pause,
    /// It is stopped
    Stop,
    /// It runs on: files are read one after another
    Live,
}

#[derive(Debug, ClapArgs)]
pub struct Verify {
    /// Ids, unique prefixes of them, or `latest`; `shop/latest` is the newest of shop
    #[arg(value_name = "SNAPSHOT", required_unless_present = "all")]
    pub snapshots: Vec<String>,
    /// All snapshots
    #[arg(long, conflicts_with = "snapshots")]
    pub all: bool,
    /// Unpack nothing: see whether each archive is, byte for byte, the file that was written
    ///
    /// Takes a third of the processors' time or less. Without it the contents are compared with their own digests too, and every
    /// member is held to the rules by which it would be extracted.
    #[arg(long)]
    pub quick: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub struct What {
    /// Name or id
    pub workload: String,
    /// Id, unique prefix of it, or `latest`
    pub snapshot: String,
    /// Only this volume; may be given more than once
    #[arg(long = "volume", value_name = "TARGET")]
    pub volumes: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub struct Plan {
    #[command(flatten)]
    pub what: What,
    #[command(flatten)]
    pub options: RestoreOptions,
}

#[derive(Debug, ClapArgs)]
pub struct RestoreOptions {
    /// Wait so long for the app to become healthy, such as `2m`; `none`: do not wait [default: none]
    #[arg(long, value_name = "DURATION")]
    pub health_timeout: Option<Timeout>,
    /// What to do when it does not [default: revert]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub on_unhealthy: Option<Unhealthy>,
    /// Do not keep what is replaced
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub no_safety_snapshot: Option<bool>,
    /// Make device nodes that are in the archive
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub allow_devices: Option<bool>,
    /// How containers come back [default: restart]
    #[arg(long, value_enum, value_name = "HOW")]
    pub redeploy: Option<RedeployArg>,
    /// With which image containers come back [default: current]
    #[arg(long, value_enum, value_name = "WHICH")]
    pub image: Option<ImageArg>,
    /// After a crash while the data are staged, let `recover` (or the same command again) go on instead of rolling back
    ///
    /// What was staged is read back from the disk and compared with the archive; only what differs is written again.
    /// Recovery then takes as long as the rest of the staging and stops the app for the switch, also at boot.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub resume: Option<bool>,
    /// Stop one-off containers (`docker compose run`) that run, never to start them again; refused otherwise
    #[arg(long)]
    pub stop_one_offs: bool,
    /// Run none of the workload's hooks
    #[arg(long)]
    pub no_hooks: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TakeArg {
    /// Those that were there before the restore
    Original,
    /// Those that were restored
    Restored,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Unhealthy {
    /// All volumes go back to the original
    #[default]
    Revert,
    /// The restored data stay
    Keep,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImageArg {
    /// The one that they have now
    Current,
    /// The one that the snapshot was taken with: containers that have another one are made anew
    Snapshot,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum RedeployArg {
    /// The same containers are started again; one that is gone, or removes itself, is made anew
    #[default]
    Restart,
    /// Made anew at the image that ran; what they wrote elsewhere than into volumes is lost
    Recreate,
}
