//! Why nothing can be decided safely, and what a person should do about it.

use std::{fmt, path::PathBuf};

use crate::model::place;

/// Why nothing can be decided safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// The parent of a live directory is not the one that the plan saw.
    ParentChanged {
        /// The parent.
        path: PathBuf,
        /// What puts it right, in this order; empty if that is not known.
        commands: Vec<String>,
    },
    /// Something of somebody else stands at a live name, or at one in a private directory.
    ForeignLive {
        /// The name.
        path: PathBuf,
        /// What puts it right, in this order; empty if that is not known.
        commands: Vec<String>,
    },
    /// An original cannot be found at any of its names.
    OriginalMissing {
        /// Its live name.
        path: PathBuf,
        /// The private directory beside it.
        private: PathBuf,
        /// What puts it right, in this order; empty if that is not known.
        commands: Vec<String>,
    },
    /// A restored directory cannot be found at any of its names.
    RestoredMissing {
        /// Its live name.
        path: PathBuf,
        /// The private directory beside it.
        private: PathBuf,
        /// What puts it right, in this order; empty if that is not known.
        commands: Vec<String>,
    },
    /// An original lies where something is about to be deleted.
    OriginalAside {
        /// The private directory.
        private: PathBuf,
        /// What puts it right, in this order; empty if that is not known.
        commands: Vec<String>,
    },
    /// The journal is of another machine.
    OtherHost {
        /// The machine that it names.
        journal: String,
    },
    /// The containers are on another engine than the one that answers. What was begun on one is not done on another.
    OtherEngine {
        /// The id of the engine that the journal names.
        journal: String,
    },
    /// Members that a snapshot froze or stopped are not there any more.
    MembersGone {
        /// Their names.
        names: Vec<String>,
    },
    /// A sync failed at or after the commit: what is on disk is in doubt until it has been read again after a remount.
    InDoubt {
        /// The failure.
        message: String,
    },
    /// A step failed that has no safe alternative.
    StepFailed {
        /// The step.
        step: &'static str,
        /// The failure.
        message: String,
    },
    /// The loop did not end within its bound.
    NoProgress {
        /// What it did last, as it did before.
        last: &'static str,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Anomaly::ParentChanged { path, .. } => {
                write!(
                    f,
                    "{} is not the directory that the restore began in: is its filesystem mounted?",
                    path.display()
                )
            }
            Anomaly::ForeignLive { path, .. } => {
                write!(f, "{} holds data that belong neither to the original nor to the snapshot", path.display())
            }
            Anomaly::OriginalMissing { path, private, .. } => {
                write!(f, "the original of {} is neither there nor in {}", path.display(), private.display())
            }
            Anomaly::RestoredMissing { path, private, .. } => {
                write!(f, "the restored data for {} are neither there nor in {}", path.display(), private.display())
            }
            Anomaly::OriginalAside { private, .. } => {
                write!(f, "the original is in {}, which is about to be deleted", private.display())
            }
            Anomaly::OtherHost { journal } => write!(f, "the journal was written on another machine ({journal})"),
            Anomaly::OtherEngine { journal } => {
                write!(f, "its containers are on another container engine ({journal}) than the one that answers")
            }
            Anomaly::MembersGone { names } => {
                write!(f, "not there any more, so not running again: {}", names.join(", "))
            }
            Anomaly::InDoubt { message } => write!(f, "a sync failed after the commit: {message}"),
            Anomaly::StepFailed { step, message } => write!(f, "{step} failed: {message}"),
            Anomaly::NoProgress { last } => {
                write!(f, "the restore goes round in circles: something undoes what it does (last: {last})")
            }
        }
    }
}

impl Anomaly {
    /// The same with the commands that put directories back.
    #[must_use]
    pub fn with_commands(mut self, told: Vec<String>) -> Self {
        match &mut self {
            Anomaly::ParentChanged { commands, .. }
            | Anomaly::ForeignLive { commands, .. }
            | Anomaly::OriginalMissing { commands, .. }
            | Anomaly::RestoredMissing { commands, .. }
            | Anomaly::OriginalAside { commands, .. } => *commands = told,
            Anomaly::OtherHost { .. }
            | Anomaly::OtherEngine { .. }
            | Anomaly::MembersGone { .. }
            | Anomaly::InDoubt { .. }
            | Anomaly::StepFailed { .. }
            | Anomaly::NoProgress { .. } => {}
        }
        self
    }

    /// What a person should do about it, for the restore or snapshot of that workload.
    #[must_use]
    pub fn remedy(&self, workload: &str) -> String {
        let recover = format!("`volsnap recover {workload}`");
        match self {
            Anomaly::ParentChanged { commands, .. }
            | Anomaly::ForeignLive { commands, .. }
            | Anomaly::OriginalMissing { commands, .. }
            | Anomaly::RestoredMissing { commands, .. }
            | Anomaly::OriginalAside { commands, .. }
                if !commands.is_empty() =>
            {
                let commands: Vec<String> = commands.iter().map(|command| format!("`{command}`")).collect();
                format!("run {}, then {recover}", commands.join(", then "))
            }
            Anomaly::ParentChanged { .. } => {
                format!(
                    "mount its filesystem, or move the directory back that was there, then run {recover}; if it is the right \
                     one and became another by itself, as an overlay's directories do, `volsnap recover {workload} --take \
                     original` (or `--take restored`) goes on with it"
                )
            }
            Anomaly::ForeignLive { .. } => {
                format!("move it elsewhere, then run {recover}; the original and the restored data are kept")
            }
            Anomaly::OriginalAside { .. } => format!("move it back to its live name, then run {recover}"),
            Anomaly::OriginalMissing { private, .. } => format!(
                "look for the directory, move it to {}, then run {recover}; if it is there and not recognised, since its \
                 filesystem gives directories other inode numbers when they are renamed, `volsnap recover {workload} --take \
                 original` (or `--take restored`) goes by the names instead",
                place::aside_in(private).display()
            ),
            Anomaly::RestoredMissing { private, .. } => format!(
                "`volsnap recover {workload} --take original` goes back to the original data; if you find the restored data, \
                 move them to {} and run {recover} instead",
                place::staged_in(private).display()
            ),
            Anomaly::OtherHost { .. } => {
                format!("run {recover} on that machine, or move the journal away if it is a copy")
            }
            Anomaly::OtherEngine { .. } => format!(
                "set DOCKER_HOST to the engine that has its containers and see that its data are mounted, then run {recover}; \
                 if that engine is gone for good, `volsnap recover {workload} --without-missing` goes on with this one"
            ),
            Anomaly::MembersGone { .. } => format!(
                "see that DOCKER_HOST names the engine that has them and that its data are mounted, then run {recover}; if \
                 they were removed on purpose, `volsnap recover {workload} --without-missing` goes on without them"
            ),
            Anomaly::InDoubt { .. } => format!(
                "check the disk and the kernel's log, remount or reboot, then run {recover}; the app stays stopped until then"
            ),
            Anomaly::NoProgress { .. } => format!(
                "see what else starts, stops or changes these containers and directories, end it, then run {recover}; until \
                 then everything stays as it is"
            ),
            Anomaly::StepFailed { .. } => {
                format!("remove the cause, then run {recover}; until then everything stays as it is")
            }
        }
    }
}
