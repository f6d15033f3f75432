//! Why nothing can be decided safely, and what a person should do about it.

use std::{fmt, path::PathBuf};

/// Why nothing can be decided safely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// The parent of a live directory is not the one that the plan saw.
    ParentChanged {
        /// The parent.
        path: PathBuf,
    },
    /// Something of somebody else stands at a live name.
    ForeignLive {
        /// The name.
        path: PathBuf,
    },
    /// An original cannot be found at any of its names.
    OriginalMissing {
        /// Its live name.
        path: PathBuf,
        /// The private directory beside it.
        private: PathBuf,
    },
    /// A restored directory cannot be found at any of its names.
    RestoredMissing {
        /// Its live name.
        path: PathBuf,
        /// The private directory beside it.
        private: PathBuf,
    },
    /// An original lies where something is about to be deleted.
    OriginalAside {
        /// The private directory.
        private: PathBuf,
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
            Anomaly::ParentChanged { path } => {
                write!(
                    f,
                    "{} is not the directory that the restore began in: is its filesystem mounted?",
                    path.display()
                )
            }
            Anomaly::ForeignLive { path } => {
                write!(f, "{} holds data that belong neither to the original nor to the snapshot", path.display())
            }
            Anomaly::OriginalMissing { path, private } => {
                write!(f, "the original of {} is neither there nor in {}", path.display(), private.display())
            }
            Anomaly::RestoredMissing { path, private } => {
                write!(f, "the restored data for {} are neither there nor in {}", path.display(), private.display())
            }
            Anomaly::OriginalAside { private } => {
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
    /// What a person should do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Anomaly::ParentChanged { .. } => "mount the filesystem, then run `volsnap recover`",
            Anomaly::ForeignLive { .. } => {
                "move what stands there elsewhere, then run `volsnap recover`; the original and the restored data are kept"
            }
            Anomaly::OriginalAside { .. } => "move it back to its live name, then run `volsnap recover`",
            Anomaly::OriginalMissing { .. } | Anomaly::RestoredMissing { .. } => {
                "look for the directory and move it back to one of its names, then run `volsnap recover`; if it is there and not \
                 recognised, since its filesystem gives directories other inode numbers when they are renamed, \
                 `volsnap recover WORKLOAD --take original` (or `--take restored`) goes by the names instead"
            }
            Anomaly::OtherHost { .. } => {
                "run `volsnap recover` on that machine, or move the journal away if it is a copy"
            }
            Anomaly::OtherEngine { .. } => {
                "set DOCKER_HOST to the engine that has its containers and see that its data are mounted, then run `volsnap recover`; if that engine is gone for good, `volsnap recover --without-missing` goes on with this one"
            }
            Anomaly::MembersGone { .. } => {
                "see that DOCKER_HOST names the engine that has them and that its data are mounted, then run `volsnap recover`; if they were removed on purpose, `volsnap recover --without-missing` goes on without them"
            }
            Anomaly::InDoubt { .. } => {
                "check the disk and the kernel's log, remount or reboot, then run `volsnap recover`; the app stays stopped until then"
            }
            Anomaly::NoProgress { .. } => {
                "see what else starts, stops or changes these containers and directories, end it, then run `volsnap recover`; until then everything stays as it is"
            }
            Anomaly::StepFailed { .. } => {
                "remove the cause, then run `volsnap recover`; until then everything stays as it is"
            }
        }
    }
}
