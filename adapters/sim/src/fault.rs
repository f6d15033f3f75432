//! What can go wrong, what can happen by itself, and the lies that a broken port would tell.

use volsnap_core::ports::FsErrorKind;

/// What strikes at a micro-operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies just before it; what was done stays.
    Kill,
    /// The machine dies just before it; what was not synced is at risk.
    PowerCut,
    /// The caller drops its future just before it; the process lives on and destructors run.
    Drop,
    /// It fails without being done; if sticky, so does every later call of the same port method.
    Error {
        /// What the call reports (an engine or a catalog reports its nearest kind).
        kind: FsErrorKind,
        /// Whether later calls fail as well.
        sticky: bool,
    },
    /// It is done, and reported as failed.
    DoneButFailed(FsErrorKind),
    /// A sync fails and drops the file contents that it should have written; a later sync reports success.
    SyncLost,
    /// Something happens by itself just before it.
    Event(Event),
}

/// What happens without our doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The kernel writes everything back: all that was done is durable.
    Writeback,
    /// The kernel writes one disk back, by index.
    WritebackOf(usize),
    /// The container engine restarts: containers stop and come back by their policies.
    EngineRestart,
    /// The container engine cannot be reached from now on.
    EngineDown,
    /// The container engine can be reached again.
    EngineUp,
    /// Somebody starts the container of that name.
    Start(String),
    /// Somebody stops the container of that name.
    Stop(String),
    /// Somebody removes the container of that name by force.
    Remove(String),
    /// Every running app writes a fresh file into each of its writable directories.
    Tick,
    /// The wall clock jumps by that many seconds.
    ClockJump(i64),
}

/// A port that lies, so that a test can show that somebody notices. One for each barrier, and three others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// B0: a restart policy is set in memory only.
    FenceNotDurable,
    /// B1: what was staged is not synced.
    StagedNotSynced,
    /// B2, B4, B6, B8: the journal replacement that first holds this pattern is not synced.
    JournalNotDurable {
        /// Bytes that tell the entry, such as its name in JSON.
        pattern: String,
    },
    /// B3: settling a directory does nothing while exchanges or renames wait in it.
    SwitchesNotSettled,
    /// B5: a sealed archive is not synced.
    ArchiveNotDurable,
    /// B7: settling a directory does nothing while only removals wait in it.
    DeletionsNotSettled,
    /// B9: the removal of a journal is not synced.
    JournalRemovalNotSynced,
    /// A directory is recognised by its name, whatever stands there.
    IdentityByName,
    /// An exchange is three renames.
    ExchangeNotAtomic,
    /// A journal is overwritten where it stands.
    JournalInPlace,
}
