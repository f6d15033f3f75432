//! The list.

use volsnap_sim::Mutant as Lie;

use super::{
    How::{self, Both, Decision, Judgement, Port, SurveyJudgement},
    Mutant,
    Trial::{
        self, Crashes, Disturbances, Errors, Flips, Kept, OtherIdentities, Refusals, SlowBoots, Snapshots, Together,
    },
    decisions as d,
};

// The worlds in which mutants show, by their place among the small ones.
const PLAIN: usize = 0;
const TWO_RENAMES: usize = 2;
const APP: usize = 7;
const SICK: usize = 11;
const TWO_VOLUMES: usize = 13;
const MOUNT_POINT: usize = 15;
const SICK_MOUNT_POINT: usize = 17;
const SICK_TWO_RENAMES: usize = 19;
const RESUMED: usize = 20;
const SICK_ANEW: usize = 25;
const WAITS: usize = 26;
const SHARES_ANEW: usize = 30;
const REMOVES_ITSELF: usize = 32;
const ONE_OFF: usize = 33;
const CANNOT_START: usize = 34;
const SUBVOLUME: usize = 37;
const FROZEN: usize = 38;

// The snapshots in which mutants show, by their place among those.
const PAUSED: usize = 0;
const STOPPED: usize = 1;

/// All mutants of the simulator.
#[must_use]
pub fn all() -> Vec<Mutant> {
    [barriers(), flow(), containers(), disks(), by_entry(), journal(), judgements(), kept(), snapshots(), covered()]
        .concat()
}

/// What only the other tiers break, by name: a simulator has no modes, and sees all of its own containers.
const ELSEWHERE: [(&str, &str); 12] = [
    ("staged contents are not written", "stage: everything comes back"),
    ("staged modes are not set", "stage: everything comes back"),
    ("staged owners are not set", "stage: everything comes back"),
    ("staged times are not set", "stage: everything comes back"),
    ("staged attributes are not set", "stage: everything comes back"),
    ("staged inode flags are not set", "stage: everything comes back"),
    ("staged hard links are not made", "stage: everything comes back"),
    ("Committed is not written", "write-ahead"),
    ("nobody recovers", "recovery: a killed restore needs it"),
    ("the app is forgotten", "redeploy: the app is brought back"),
    ("what was stopped is started", "redeploy: as it was found"),
    ("containers of the restore are not seen", "closed is clean"),
];

/// The barrier or the rule that a mutant takes away, in whichever tier; `None` if nobody knows it.
#[must_use]
pub fn broken_by(name: &str) -> Option<&'static str> {
    let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == name).map(|(_, breaks)| *breaks);
    elsewhere.or_else(|| all().into_iter().find(|mutant| mutant.name == name).map(|mutant| mutant.breaks))
}

fn mutant(name: &'static str, breaks: &'static str, how: How, trial: Trial) -> Mutant {
    Mutant { name, breaks, how, trial, equivalent: None }
}

fn entry(pattern: &str) -> How {
    Port(Lie::JournalNotDurable { pattern: format!("\"{pattern}\"") })
}

fn snapshots() -> Vec<Mutant> {
    let frozen = "freeze: the archive has its state";
    vec![
        mutant(
            "what changed after the first pass is not captured",
            frozen,
            Port(Lie::FirstPassSealed),
            Snapshots(PAUSED),
        ),
        mutant("changes are told by size only", frozen, Port(Lie::ChangesBySizeOnly), Snapshots(PAUSED)),
        mutant("the app is left frozen", "freeze: the app is woken", Port(Lie::NotThawed), Snapshots(PAUSED)),
        mutant(
            "the freeze is not written down durably",
            "freeze: written down before the app is touched",
            Port(Lie::JournalNotDurable { pattern: "\"snapshot\":{".into() }),
            Snapshots(STOPPED),
        ),
        mutant(
            "a snapshot is listed before it is durable",
            "freeze: durable, then named, then listed",
            Port(Lie::ArchiveNotDurable),
            Snapshots(PAUSED),
        ),
        mutant(
            "drafts are not swept",
            "freeze: nothing unfinished stays",
            Port(Lie::DraftsNotSwept),
            Snapshots(PAUSED),
        ),
    ]
}

fn barriers() -> Vec<Mutant> {
    let plain = Crashes(PLAIN, 1);
    vec![
        mutant("the fence is not durable", "B0", Port(Lie::FenceNotDurable), Crashes(APP, 1)),
        mutant("Pinned is not durable", "B0", entry("pinned"), Crashes(APP, 1)),
        mutant("staged data are not synced", "B1", Port(Lie::StagedNotSynced), plain),
        mutant("Committed is not durable", "B2", entry("committed"), plain),
        mutant("the switches are not settled", "B3", Port(Lie::SwitchesNotSettled), plain),
        mutant("Switched is not durable", "B4", entry("switched"), plain),
        mutant("the safety archive is not synced", "B5", Port(Lie::ArchiveNotDurable), plain),
        mutant("Captured is not durable", "B6", entry("captured"), plain),
        mutant("the deletions are not settled", "B7", Port(Lie::DeletionsNotSettled), plain),
        mutant("Closed is not durable", "B8", entry("closed"), plain),
        mutant("the journal's removal is not synced", "B9", Port(Lie::JournalRemovalNotSynced), plain),
        mutant("Opened is not durable", "open: all that is made has an owner", entry("opened"), plain),
        mutant("Redeployed is not durable", "redeploy: written down before the capture", entry("redeployed"), plain),
        mutant("Aborted is not durable", "one direction: Aborted turns it round", entry("aborted"), Crashes(SICK, 1)),
        mutant("Reverted is not durable", "B4 on the way back", entry("reverted"), Crashes(SICK, 1)),
        mutant("parents are not synced", "B3, B7: parents too", Port(Lie::ParentsNotSettled), plain),
        mutant("nothing is synced before it is looked at", "sync, then look", Port(Lie::NothingSettled), plain),
    ]
}

fn flow() -> Vec<Mutant> {
    let (plain, app) = (Crashes(PLAIN, 1), Crashes(APP, 1));
    let refused = "preflight: refused before anything is touched";
    vec![
        mutant(
            "another engine is believed",
            "engines: what was begun on one is not done on another",
            Port(Lie::EnginesAlike),
            Disturbances(APP),
        ),
        mutant("space is not counted", refused, Port(Lie::SpaceNotCounted), Refusals),
        mutant("other users are not seen", refused, Port(Lie::OtherUsersNotSeen), Refusals),
        mutant("immutables are not seen", refused, Port(Lie::SpecialsNotSeen), Refusals),
        mutant(
            "the lock is not exclusive",
            "open: one process at a time",
            Port(Lie::LockNotExclusive),
            Together(PLAIN),
        ),
        mutant(
            "directories are not held",
            "open: by the directory, not only by its name",
            Port(Lie::ClaimNotExclusive),
            Together(PLAIN),
        ),
        mutant(
            "digests are not checked",
            "stage: checked against the manifest",
            Port(Lie::DigestsNotChecked),
            Flips(PLAIN),
        ),
        mutant(
            "staged before is believed",
            "stage: used again as far as the disk has it",
            Port(Lie::EarlierNotCompared),
            Crashes(RESUMED, 1),
        ),
        mutant("the app stops before staging", "stage: while the app runs", Decision(d::stop_before_staging), app),
        mutant("fence before Pinned", "fence: Pinned first", Decision(d::fence_before_pinned), app),
        mutant("no fence before the stop", "fence: policies off", Decision(d::no_fence), app),
        mutant("nobody is stopped", "fence: stopped, and seen to be", Decision(d::not_stopped), app),
        mutant(
            "stops under way are not awaited",
            "back: what was asked to stop has ended before it is started",
            Port(Lie::StopsNotAwaited),
            app,
        ),
        mutant("commit after the switch", "write-ahead", Decision(d::commit_after_switch), plain),
        mutant(
            "not looked again after the commit",
            "quiet switch",
            Decision(d::not_looked_at_again),
            Disturbances(APP),
        ),
        mutant(
            "each volume for itself after a crash",
            "one direction",
            Decision(d::each_for_itself),
            Crashes(TWO_VOLUMES, 1),
        ),
        mutant("forward after Aborted", "one direction", Decision(d::abort_ignored), Crashes(SICK, 1)),
        mutant("redeploy before Switched", "redeploy after B4", Decision(d::redeploy_before_switched), app),
        mutant("policies are not put back", "redeploy: policies back", Port(Lie::PoliciesNotBack), app),
        mutant("the image by its name", "redeploy: the recorded image", Port(Lie::ImageByName), app),
        mutant(
            "the old container goes before the new one is healthy",
            "redeploy: the way back is the original container",
            Port(Lie::OriginalRemovedEarly),
            Crashes(SICK_ANEW, 1),
        ),
        mutant("unlink before Captured", "B6: only now the first unlink", Decision(d::unlink_before_captured), plain),
        mutant("Captured without an archive", "capture", Decision(d::capture_believed), plain),
        mutant(
            "kept originals are removed",
            "capture: or they stay set aside",
            Decision(d::kept_discarded),
            Errors(PLAIN),
        ),
        mutant("the last restore is not recorded", "close: undo is of the last", Port(Lie::RecordNotKept), plain),
        mutant("the audit trail is not written", "close: an event for each end", Port(Lie::EventsNotRecorded), plain),
        mutant(
            "other people's containers overlooked",
            "fence: others are left alone",
            Decision(d::others_overlooked),
            Disturbances(APP),
        ),
    ]
}

fn containers() -> Vec<Mutant> {
    vec![
        mutant(
            "conditions are not seen",
            "redeploy: each when what it waits for is there",
            Port(Lie::ConditionsNotSeen),
            Crashes(WAITS, 1),
        ),
        mutant(
            "a policy is lost with a start that fails",
            "redeploy: policies back, whether it starts or not",
            Port(Lie::PolicyLostOnFailedStart),
            Crashes(CANNOT_START, 1),
        ),
        mutant(
            "what shares a network is not followed",
            "redeploy: what was cut off is started again",
            Port(Lie::LostPeersNotSeen),
            Errors(SHARES_ANEW),
        ),
        mutant(
            "a container that removes itself looks like others",
            "redeploy: nothing is lost with what removes itself",
            Port(Lie::SelfRemovalNotSeen),
            Crashes(REMOVES_ITSELF, 1),
        ),
        mutant(
            "a container that runs one command looks like others",
            "redeploy: no command runs twice",
            Port(Lie::OneOffsNotSeen),
            Crashes(ONE_OFF, 1),
        ),
    ]
}

fn disks() -> Vec<Mutant> {
    let plain = Crashes(PLAIN, 1);
    vec![
        mutant(
            "renames are not tried out",
            "stage: a directory that is not known again is found out before",
            Port(Lie::RenamesNotTried),
            OtherIdentities(TWO_RENAMES),
        ),
        mutant(
            "subvolume numbers are not told",
            "identity: a snapshot of a subvolume is another directory",
            Port(Lie::SubvolumesNotTold),
            Disturbances(SUBVOLUME),
        ),
        mutant("identity by name", "identity", Port(Lie::IdentityByName), plain),
        mutant("identity by device number", "identity: never by device number", Port(Lie::IdentityByDevice), plain),
        mutant(
            "identity by existence",
            "identity: never by mere existence",
            Decision(d::identity_by_existence),
            Disturbances(TWO_RENAMES),
        ),
        mutant("exchange in three renames", "switch: live is never missing", Port(Lie::ExchangeNotAtomic), plain),
        mutant(
            "ParentChanged is ignored",
            "an unmounted filesystem is not an empty one",
            Decision(d::parent_ignored),
            SlowBoots(PLAIN),
        ),
        mutant(
            "needs attention is ignored",
            "foreign: nothing deleted, journal kept",
            Decision(d::attention_ignored),
            SlowBoots(PLAIN),
        ),
        mutant("unreadable is absent", "unreadable is not absent", Port(Lie::UnreadableIsAbsent), Errors(PLAIN)),
        mutant(
            "foreign directories are cleared",
            "only our own litter",
            Both(Lie::FullDirectoryRemoved, d::foreign_cleared),
            Disturbances(TWO_RENAMES),
        ),
        mutant(
            "read-only subvolumes are removed",
            "close: what is no part of a volume stays",
            Port(Lie::FrozenRemoved),
            Crashes(FROZEN, 1),
        ),
        mutant(
            "replaced directories are overlooked",
            "stage: as planned at the commit",
            Decision(d::replacement_overlooked),
            Disturbances(PLAIN),
        ),
    ]
}

fn by_entry() -> Vec<Mutant> {
    let plain = Crashes(MOUNT_POINT, 1);
    vec![
        mutant("shifts of entries are not settled", "by entry: B3", Port(Lie::SwitchesNotSettled), plain),
        mutant(
            "restored entries come in before the seal",
            "by entry: sealed, then filled",
            Decision(d::filled_unsealed),
            plain,
        ),
        mutant(
            "original entries come home under the seal",
            "by entry: unsealed, then brought home",
            Decision(d::brought_home_sealed),
            Crashes(SICK_MOUNT_POINT, 1),
        ),
        mutant(
            "the root's attributes are not looked at",
            "by entry: the root is dressed",
            Port(Lie::AttributesAlike),
            plain,
        ),
    ]
}

fn journal() -> Vec<Mutant> {
    let plain = Crashes(PLAIN, 1);
    vec![
        mutant("journal data are not synced", "commit: a durable replacement", Port(Lie::JournalDataNotSynced), plain),
        mutant(
            "the journal's directory is not synced",
            "commit: a durable replacement",
            Port(Lie::JournalNameNotSynced),
            plain,
        ),
        mutant("journal overwritten in place", "commit: an atomic replacement", Port(Lie::JournalInPlace), plain),
        mutant(
            "the engine is looked at unsynced",
            "observed is durable",
            Port(Lie::EngineNotSettled),
            Crashes(SICK_TWO_RENAMES, 2),
        ),
        mutant("a journal is read unsynced", "observed is durable", Port(Lie::JournalReadUnsynced), Crashes(PLAIN, 2)),
        mutant("the checksum is ignored", "journal: checksum", Port(Lie::ChecksumIgnored), Flips(PLAIN)),
        mutant(
            "an unreadable journal is skipped",
            "journal: never skipped",
            Port(Lie::UnreadableJournalSkipped),
            Flips(PLAIN),
        ),
        mutant(
            "no space is kept for the journal",
            "journal: space reserved",
            Port(Lie::JournalSpaceNotReserved),
            Disturbances(PLAIN),
        ),
        mutant(
            "journals are looked up in the catalog",
            "journal: needs no catalog",
            Port(Lie::JournalsByCatalog),
            Disturbances(PLAIN),
        ),
    ]
}

fn judgements() -> Vec<Mutant> {
    vec![
        mutant("a port retries a failed sync", "a sync is never retried", Port(Lie::FailedSyncRetried), Errors(PLAIN)),
        mutant(
            "a survey's failed sync is retried",
            "a sync is never retried",
            SurveyJudgement(d::survey_sync_retried),
            Errors(PLAIN),
        ),
        mutant("a step's failed sync is retried", "a sync is never retried", Judgement(d::sync_retried), Errors(PLAIN)),
        mutant("doubt is ignored", "in doubt after B2: stop", SurveyJudgement(d::doubt_ignored), Errors(PLAIN)),
        mutant(
            "a failed rename counts as done",
            "abort as a whole",
            Judgement(d::switch_failure_ignored),
            Errors(PLAIN),
        ),
        mutant(
            "a failed capture is forgotten",
            "capture: or they stay set aside",
            Judgement(d::capture_failure_forgotten),
            Errors(PLAIN),
        ),
        mutant(
            "a sick app is accepted",
            "redeploy: unhealthy goes back",
            Judgement(d::unhealthy_accepted),
            Crashes(SICK, 1),
        ),
    ]
}

/// What is done about kept originals, in their first world and, for the mount point, in their last.
fn kept() -> Vec<Mutant> {
    vec![
        mutant(
            "kept originals go before their snapshot",
            "kept: archived durably, then removed",
            Decision(d::kept_archive_believed),
            Kept(0),
        ),
        mutant(
            "the snapshot of kept originals is not synced",
            "kept: archived durably, then removed",
            Port(Lie::ArchiveNotDurable),
            Kept(0),
        ),
        mutant(
            "kept originals go with a restore that goes back",
            "kept: back where they were",
            Decision(d::kept_not_given_back),
            Kept(1),
        ),
    ]
}

/// Those that another rule covers.
fn covered() -> Vec<Mutant> {
    let because = |name, breaks, how, trial, why| Mutant { equivalent: Some(why), ..mutant(name, breaks, how, trial) };
    vec![
        because(
            "directories above are not seen",
            "preflight: refused before anything is touched",
            Port(Lie::AncestorsNotSeen),
            Refusals,
            "resolved paths are compared too; the inodes above count where one directory has two paths by a bind mount, \
             which the simulator has none of: `core/tests/preflight/` has that case",
        ),
        because(
            "names of staged data are not synced",
            "B1",
            Port(Lie::StagedNamesNotSynced),
            Crashes(PLAIN, 1),
            "the survey after the stage syncs the private directory and its parent before it reports them staged, and only \
             what is reported is committed; without that sync too it is `nothing is synced before it is looked at`",
        ),
        because(
            "the safety archive's name is not synced",
            "B5",
            Port(Lie::ArchiveNameNotSynced),
            Crashes(PLAIN, 1),
            "the survey syncs the archive's directory before it believes in the archive, and nothing is removed before; \
             without both it is `nothing is synced before it is looked at`",
        ),
        because(
            "foreign directories are taken for empty",
            "only our own litter",
            Decision(d::foreign_cleared),
            Disturbances(TWO_RENAMES),
            "the port removes an empty directory without recursion and refuses a full one, so the switch fails and goes back; \
             with a port that does not refuse it is `foreign directories are cleared`",
        ),
        because(
            "containers of the restore are left over",
            "closed is clean",
            Decision(d::leftovers_kept),
            Crashes(APP, 1),
            "the end of a restore discards them once more before the journal goes, for what a power cut may bring back",
        ),
    ]
}
