//! What can be typed about originals that restores keep.

use clap::{Args as ClapArgs, Subcommand};

use super::RestoreOptions;

#[derive(Debug, Subcommand)]
pub enum KeptCommand {
    /// List the originals that are kept, and why
    List {
        /// Only those of this workload (name or id)
        workload: Option<String>,
    },
    /// Archive kept originals after all, as the safety snapshot that their restore would have taken
    ///
    /// The app is not touched. What was set aside is removed when the snapshot is durable, and not before.
    Archive {
        /// Id from the list, or the beginning of the restore's id
        id: String,
    },
    /// Put kept originals back into service, all volumes of their restore
    ///
    /// As every restore does: the app is stopped, each volume is switched by renames, the app is started. No data are
    /// copied. What is live until then is kept as a snapshot; with --no-safety-snapshot it is set aside and listed in its
    /// turn.
    Restore(KeptRestore),
    /// Delete kept originals for good
    Discard {
        /// Id from the list, or the beginning of the restore's id
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub struct KeptRestore {
    /// Id from the list, or the beginning of the restore's id
    pub id: String,
    #[command(flatten)]
    pub options: RestoreOptions,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}
