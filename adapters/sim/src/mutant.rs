//! Ports that lie, one for each barrier and each rule that a port keeps: what a test of crashes must notice.

/// A port that lies, so that a test can show that somebody notices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    // Barriers.
    /// B0: a restart policy is set in memory only.
    FenceNotDurable,
    /// B1: what was staged is not synced, neither contents nor names.
    StagedNotSynced,
    /// B1: the names of what was staged are not synced.
    StagedNamesNotSynced,
    /// B2, B4, B6, B8: the journal replacement that first holds this pattern is not synced.
    JournalNotDurable {
        /// Bytes that tell the entry, such as its name in JSON.
        pattern: String,
    },
    /// B2, B4, B6, B8: the file of no journal replacement is synced.
    JournalDataNotSynced,
    /// B2, B4, B6, B8: the directory of no journal replacement is synced.
    JournalNameNotSynced,
    /// B3: settling a directory does nothing while exchanges or renames wait in it.
    SwitchesNotSettled,
    /// B3 and B7: settling leaves out every directory but our own private ones.
    ParentsNotSettled,
    /// B3 and B7: settling does nothing.
    NothingSettled,
    /// B5: a sealed archive is not synced, neither contents nor name.
    ArchiveNotDurable,
    /// B5: the name of a sealed archive is not synced.
    ArchiveNameNotSynced,
    /// B7: settling a directory does nothing while only removals wait in it.
    DeletionsNotSettled,
    /// B9: the removal of a journal is not synced.
    JournalRemovalNotSynced,

    // Disks.
    /// A journal is read without being made durable first.
    JournalReadUnsynced,
    /// A sync that failed is asked for again.
    FailedSyncRetried,
    /// A directory is recognised by its name, whatever stands there.
    IdentityByName,
    /// A directory is recognised by its inode and its filesystem's number, which changes when that is mounted anew.
    IdentityByDevice,
    /// No directory shows which subvolume it lies in.
    SubvolumesNotTold,
    /// Whether directories keep their identity over a rename is not tried out before.
    RenamesNotTried,
    /// Directories that become other ones when something is made in them are not made ready before.
    NotReadied,
    /// A look that fails says that nothing is there.
    UnreadableIsAbsent,
    /// An exchange is three renames.
    ExchangeNotAtomic,
    /// Any two directories have the same attributes.
    AttributesAlike,
    /// A directory is removed with all that is in it where only an empty one may be.
    FullDirectoryRemoved,
    /// A stop that is under way already is not waited for.
    StopsNotAwaited,
    /// Read-only subvolumes are removed with what was set aside.
    FrozenRemoved,
    /// Volumes are staged without their digests being checked.
    DigestsNotChecked,
    /// Files that an earlier attempt staged are used again, whatever they hold.
    EarlierNotCompared,
    /// There always seems to be space.
    SpaceNotCounted,
    /// Subvolumes and immutable directories look like any other.
    SpecialsNotSeen,
    /// The directories above a volume are not looked at.
    AncestorsNotSeen,

    // Archives in two passes.
    /// What changed after the first pass is not captured.
    FirstPassSealed,
    /// A file that is as long as it was is taken for unchanged.
    ChangesBySizeOnly,
    /// Unfinished archives are not swept.
    DraftsNotSwept,

    // Journal.
    /// A journal is overwritten where it stands.
    JournalInPlace,
    /// A journal's checksum is made to fit what is read.
    ChecksumIgnored,
    /// A journal that cannot be read is passed over.
    UnreadableJournalSkipped,
    /// The space for a journal's replacements is not kept free.
    JournalSpaceNotReserved,
    /// A journal that is retired is removed: the record of the last restore is that of an earlier one.
    RecordNotKept,
    /// Journals are looked up in the catalog.
    JournalsByCatalog,
    /// The workload's lock is given to everyone who asks, and the directories too, which would stop the second one as well.
    LockNotExclusive,
    /// Live directories are given to everyone who asks.
    ClaimNotExclusive,

    // Container engine and catalog.
    /// All engines have the same id.
    EnginesAlike,
    /// Containers that remove themselves look like any other.
    SelfRemovalNotSeen,
    /// One-off containers look like any other.
    OneOffsNotSeen,
    /// What the engine has recorded is looked at without being made durable first.
    EngineNotSettled,
    /// What is frozen stays so.
    NotThawed,
    /// Only the workload's own containers are seen on its volumes.
    OtherUsersNotSeen,
    /// A container that is brought back keeps the policy that the fence gave it.
    PoliciesNotBack,
    /// A container that cannot be started keeps the policy that the fence gave it.
    PolicyLostOnFailedStart,
    /// No container shows what it waits for.
    ConditionsNotSeen,
    /// One that was started before a container whose network it uses was started again is left as it is.
    LostPeersNotSeen,
    /// A replacement is made from what its image's name means today.
    ImageByName,
    /// The old container is removed as soon as the new one was started.
    OriginalRemovedEarly,
    /// The audit trail is not written.
    EventsNotRecorded,
    /// Snapshots are listed by what the clock said when they were taken.
    LatestByClock,
}
