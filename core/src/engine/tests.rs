//! How the engine treats its ports, in order and in number: what a contract suite cannot see.

mod boot;
mod catalog;
mod copies;
mod outlook;
mod plans;
mod precopy;
mod quiet;
mod reach;
mod sleep;
mod transfer;
mod writers;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use mockall::Sequence;
use uuid::Uuid;

use super::{Engine, Ports, RecoveredItem, RestoreRequest, SnapshotRequest, recover::quiet, survey::EngineView};
use crate::{
    Code,
    error::{EngineError, EngineErrorKind, FsError, FsErrorKind, FsOp},
    model::{
        ARCHIVE_FORMAT, ArchiveSummary, Container, ContainerId, FilesystemId, FilesystemInfo, Identity, Location,
        Manifest, ManifestVolume, Mode, Mount, Mounted, Occupant, Origin, Particulars, RestartPolicy, RestoreId,
        RunState, Selector, Sight, Snapshot, SnapshotId, Source, Space, TreeSize, VolumeTotals, Workload, WorkloadId,
    },
    ports::{
        Claim, DraftArchive, EngineInfo, Lease, NoCommands, Verified, Watch,
        archives::{MockArchives, MockDraftArchive},
        clock::MockClock,
        containers::MockContainers,
        filesystem::MockFilesystem,
        journals::MockJournals,
        store::MockStore,
    },
    restore::{Entry, Options, Outcome, Plan, PlannedVolume, Record, Safety, State, plan::Method, report::Notes},
};

/// An engine with that id.
fn engine_of(id: &str) -> EngineInfo {
    EngineInfo {
        version: "an engine".into(),
        id: Some(id.into()),
        root: None,
        live_restore: None,
        fixed_policies: false,
    }
}

/// Disks by all their ports, whose calls need nothing held for them.
struct Disks {
    filesystem: MockFilesystem,
    archives: MockArchives,
    journals: MockJournals,
}

impl Disks {
    fn new() -> Self {
        let (mut filesystem, mut archives) = (MockFilesystem::new(), MockArchives::new());
        let mut journals = MockJournals::new();
        filesystem.expect_under().returning(|_| None);
        archives.expect_under().returning(|_| None);
        archives.expect_reserve().returning(|_| Ok(None));
        journals.expect_under().returning(|_| None);
        Disks { filesystem, archives, journals }
    }
}

struct Held;

impl Lease for Held {}

fn claim() -> Claim {
    Claim { lease: Box::new(Held), unguarded: vec![] }
}

/// Directories like any other, for what a snapshot says of them.
fn ordinary(disks: &mut Disks) {
    disks.filesystem.expect_mounted().returning(|_| Ok(Mounted::default()));
    disks.filesystem.expect_private_dirs().returning(|_| Ok(vec![]));
    disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
}

fn workload() -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "shop".into(),
        source: Source::Image,
        selector: Selector { compose_project: Some("shop".into()), ..Selector::default() },
        volumes: vec![],
        created_at: Timestamp::UNIX_EPOCH,
        hooks: vec![],
        known: Vec::new(),
    }
}

fn container() -> Container {
    Container {
        id: ContainerId("c1".into()),
        name: "shop".into(),
        project: None,
        service: None,
        image: "shop:1".into(),
        image_id: "sha256:1".into(),
        run: RunState::Running,
        restart_policy: RestartPolicy::never(),
        mounts: vec![Mount {
            target: "/data".into(),
            source: "/srv/data".into(),
            volume: None,
            writable: true,
            unsupported: None,
        }],
        depends_on: vec![],
        stop_timeout: None,
        particulars: Particulars::default(),
        spec: serde_json::Value::Null,
    }
}

fn location(path: impl AsRef<Path>) -> Location {
    let path = path.as_ref();
    let identity = Identity { inode: 12, birth_ns: Some(1), subvolume: None };
    Location {
        real: path.to_path_buf(),
        occupant: Occupant::Directory(identity),
        inode: None,
        parent: identity,
        writable: true,
        filesystem: FilesystemInfo {
            id: FilesystemId("a".into()),
            mount: "/".into(),
            kind: "ext4".into(),
            disk: None,
            exchange: true,
            births: true,
            read_only: false,
            path_preserving: None,
        },
        space: Space { bytes_free: 1 << 30, inodes_free: None, block: 4096 },
        ancestors: vec![],
    }
}

fn clock() -> MockClock {
    let mut clock = MockClock::new();
    clock.expect_now().return_const(Timestamp::UNIX_EPOCH);
    clock.expect_monotonic().return_const(Duration::ZERO);
    clock.expect_sleep().returning(|_| ());
    clock.expect_fresh_id().returning(|| Uuid::from_u128(9));
    clock
}

/// Disks on which reading the volumes fails.
fn unreadable(order: &mut Sequence) -> Disks {
    let mut disks = Disks::new();
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    ordinary(&mut disks);
    disks.journals.expect_read_journal().returning(|_| Ok(None));
    disks.journals.expect_journals().returning(|| Ok(vec![]));
    disks.archives.expect_sweep_drafts().times(1).returning(|_| Ok(()));
    disks.filesystem.expect_host().return_const("host");
    disks.filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
    disks.archives.expect_precopy().times(1).in_sequence(order).returning(|_, _, _| Ok(None));
    disks.journals.expect_write_journal().times(1).in_sequence(order).returning(|_, _| Ok(()));
    disks
}

fn broken() -> FsError {
    FsError::new(FsErrorKind::Io, FsOp::Archive, "/srv/data/file", "input/output error")
}

#[test]
fn operations_can_run_on_another_thread() {
    fn sendable<T: Send>(_: impl FnOnce(&'static Engine, &'static RestoreRequest, &'static Watch) -> T) {}
    sendable(Engine::restore);
    sendable(|engine, _, watch| engine.recover(None, watch));
}

/// The app, which runs when it is first looked at, and in that state afterwards.
fn found_then(containers: &mut MockContainers, run: RunState) {
    containers.expect_find().times(1).returning(|_| Ok(vec![container()]));
    containers.expect_find().returning(move |_| Ok(vec![Container { run, ..container() }]));
}

const PARENT: Identity = Identity { inode: 2, birth_ns: Some(1), subvolume: None };
const ORIGINAL: Identity = Identity { inode: 12, birth_ns: Some(1), subvolume: None };
const RESTORED: Identity = Identity { inode: 13, birth_ns: Some(1), subvolume: None };

/// A restore of the one plain directory `/srv/data`, as far as those entries.
fn restore(entries: Vec<Entry>) -> State {
    let plan = Plan {
        restore: RestoreId(Uuid::from_u128(7)),
        workload: Workload { selector: Selector::default(), source: Source::Directories, ..workload() },
        host: "host".into(),
        runtime: None,
        created_at: Timestamp::UNIX_EPOCH,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        snapshot_created_at: Timestamp::UNIX_EPOCH,
        sequence: 0,
        archive_digest: "d".into(),
        safety: SnapshotId(Uuid::from_u128(3)),
        kept: None,
        record: None,
        options: Options::default(),
        volumes: vec![PlannedVolume {
            target: "/data".into(),
            archived_as: None,
            live: "/srv/data".into(),
            parent: PARENT,
            original: Some(ORIGINAL),
            index: Some(0),
            method: Method::Exchange,
            reason: "a test".into(),
            bytes: 1,
            bytes_allocated: 4096,
            entries: 1,
            kept: None,
        }],
        containers: vec![],
        images: vec![],
        down: vec![],
        dependants: vec![],
        filesystems: vec![],
        refusals: vec![],
        warnings: vec![],
        notes: vec![],
    };
    let mut state = State::opened(plan, Timestamp::UNIX_EPOCH);
    for entry in entries {
        state.append(Record { at: Timestamp::UNIX_EPOCH, entry }).expect("a legal history");
    }
    state
}

/// On the restored data, the originals not yet captured.
fn redeployed() -> Vec<Entry> {
    vec![
        Entry::Pinned { containers: vec![] },
        Entry::Committed { restored: vec![RESTORED] },
        Entry::Switched,
        Entry::Redeployed { problem: None },
    ]
}

fn archive(unsteady: Vec<String>) -> ArchiveSummary {
    let manifest = Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: SnapshotId(Uuid::from_u128(3)),
        workload: workload().id,
        workload_name: "shop".into(),
        source: Source::Directories,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Stop,
        origin: Origin::Manual,
        note: None,
        images: vec![],
        volumes: vec![ManifestVolume { target: "/data".into(), absent: false, ..ManifestVolume::default() }],
        registration: None,
        imported: None,
        sequence: None,
    };
    let totals = vec![VolumeTotals { unsteady, ..VolumeTotals::default() }];
    ArchiveSummary { manifest, totals, quiesced_ms: 0, archive_bytes: 1, digest: "d".into() }
}

/// Disks with the journal of that restore.
fn with_journal(state: &State) -> Disks {
    let bytes = state.journal().encode().expect("a journal");
    let mut disks = Disks::new();
    disks.journals.expect_journals().returning(|| Ok(vec![workload().id]));
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    disks.journals.expect_read_journal().returning(move |_| Ok(Some(bytes.clone())));
    disks.filesystem.expect_host().return_const("host");
    disks
}

fn engine(mut disks: Disks, mut store: MockStore, containers: Option<MockContainers>) -> Engine {
    disks.journals.expect_retired_journal().returning(|_| Ok(None));
    store.expect_advance().returning(|above| Ok(above + 1));
    store.expect_sequence().returning(|| Ok(0));
    // Names of volumes, where a test says nothing of them: there are none yet.
    store.expect_workloads().returning(|| Ok(vec![]));
    store.expect_snapshots().returning(|_| Ok(vec![]));
    store.expect_set_known().returning(|_, _| Ok(()));
    Engine::new(Ports {
        store: Arc::new(store),
        containers: containers.map(|c| Arc::new(c) as _),
        filesystem: Arc::new(disks.filesystem),
        archives: Arc::new(disks.archives),
        journals: Arc::new(disks.journals),
        commands: Arc::new(NoCommands),
        clock: Arc::new(clock()),
    })
}

#[tokio::test]
async fn a_journal_of_another_machine_is_left_alone() {
    let plan = Plan { host: "another host".into(), ..restore(vec![]).plan };
    let elsewhere = State::opened(plan, Timestamp::UNIX_EPOCH);
    // Nothing but the journal is read, and nothing is removed.
    let disks = with_journal(&elsewhere);
    let mut store = MockStore::new();
    store.expect_record().returning(|_| Ok(()));
    let recovered = engine(disks, store, None).recover(None, &quiet()).await.expect("a list");
    let Ok(RecoveredItem::Restore(report)) = &recovered[0].result else { panic!("{recovered:?}") };
    let cause = report.cause.as_ref().expect("a cause");
    assert!(report.outcome == Outcome::NeedsAttention && cause.message.contains("another machine"), "{report:?}");
}

#[tokio::test]
async fn a_safety_archive_is_believed_only_after_its_name_is_durable() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let mut disks = with_journal(&restore(redeployed()));
    disks.filesystem.expect_settle().returning(|_| Ok(()));
    let seen = calls.clone();
    disks.archives.expect_settle_archives().returning(move |of| {
        assert_eq!(of, workload().id);
        seen.lock().expect("calls").push("settle");
        Ok(())
    });
    disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
    disks.filesystem.expect_writers().returning(|_| Ok(vec![]));
    let seen = calls.clone();
    disks.archives.expect_read_archive().times(1).returning(move |_, _| {
        seen.lock().expect("calls").push("read");
        Err(broken())
    });
    let recovered = engine(disks, MockStore::new(), None).recover(None, &quiet()).await.expect("journals");
    recovered[0].result.as_ref().expect_err("the archive cannot be read");
    let calls = calls.lock().expect("calls").clone();
    assert_eq!(calls, ["settle", "read"]);
}

#[tokio::test]
async fn a_safety_snapshot_that_was_written_to_while_it_was_read_is_told() {
    let mut entries = redeployed();
    entries.extend([Entry::Captured { safety: Safety::Taken }, Entry::Closed]);
    let mut state = restore(entries);
    let mut disks = with_journal(&state);
    disks.archives.expect_read_archive().returning(|_, _| Ok(archive(vec!["log: changed".into()])));
    disks.journals.expect_retire_journal().times(1).returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_put_snapshot().times(1).returning(|_| Ok(()));
    store.expect_record().returning(|_| Ok(()));
    let report = engine(disks, store, None).drive(&mut state, &quiet(), Notes::default()).await.expect("an end");
    assert!(report.warnings.iter().any(|w| w.ends_with("/data: log: changed")), "{:?}", report.warnings);
    assert_eq!(report.code(), Some(Code::Warnings));
}

#[tokio::test]
async fn who_uses_plain_directories_is_asked_until_the_commit_if_there_is_an_engine() {
    let state = restore(vec![]);
    for (answer, users) in [
        (Ok(vec![container()]), 1),
        (Ok(vec![Container { run: RunState::Stopped, ..container() }]), 0),
        (Err(EngineError::new(EngineErrorKind::Unreachable, "no engine here")), 0),
    ] {
        let mut disks = with_journal(&state);
        disks.filesystem.expect_settle().returning(|_| Ok(()));
        disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
        disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
        let mut containers = MockContainers::new();
        containers.expect_is_expected().return_const(true);
        containers.expect_mounting().returning(move |_| answer.clone());
        let engine = engine(disks, MockStore::new(), Some(containers));
        let mut engine_view = EngineView { spent: Duration::ZERO, settled: true };
        let facts = engine.survey(&state, &mut engine_view).await.expect("facts");
        assert_eq!(facts.intruders().len(), users);
    }
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_while_it_is_verified_does_not_come_back_to_the_catalog() {
    let mut disks = Disks::new();
    disks
        .archives
        .expect_verify_archive()
        .returning(|_, _, _| Ok(Verified { summary: archive(vec![]), bytes_read: 1 }));
    let mut store = MockStore::new();
    store.expect_mark_snapshot().returning(|_, _| Ok(false));
    store.expect_put_snapshot().never();
    let snapshot = Snapshot::from(archive(vec![]));
    let error = engine(disks, store, None).verify(&snapshot, &quiet()).await.expect_err("it is gone");
    assert_eq!(error.code, Code::NotFound);
}

#[tokio::test]
async fn a_snapshot_names_who_could_write_into_it_from_outside() {
    let mut disks = Disks::new();
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    ordinary(&mut disks);
    disks.journals.expect_read_journal().returning(|_| Ok(None));
    disks.journals.expect_journals().returning(|| Ok(vec![]));
    disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
    disks.filesystem.expect_host().return_const("host");
    disks.filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
    disks.archives.expect_precopy().returning(|_, _, _| Ok(None));
    disks.journals.expect_write_journal().returning(|_, _| Ok(()));
    disks.journals.expect_remove_journal().returning(|_| Ok(()));
    disks.archives.expect_draft_archive().returning(|_, _, _| {
        let mut draft = MockDraftArchive::new();
        draft.expect_seal().returning(|_| Ok(archive(vec![])));
        Ok(Box::new(draft))
    });
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    found_then(&mut containers, RunState::Paused);
    let named = |name: &str, run| Container { id: ContainerId(name.into()), name: name.into(), run, ..container() };
    let mounting = vec![container(), named("indexer", RunState::Running), named("asleep", RunState::Stopped)];
    containers.expect_mounting().returning(move |_| Ok(mounting.clone()));
    containers.expect_pause().returning(|_| Ok(()));
    containers.expect_unpause().returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_put_snapshot().returning(|_| Ok(()));
    store.expect_record().returning(|_| Ok(()));
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    let created = engine(disks, store, Some(containers)).create(&request, &quiet()).await.expect("a snapshot");
    assert_eq!(created.warnings.len(), 1, "{:?}", created.warnings);
    assert!(created.warnings[0].contains("container indexer is not part of shop"), "{:?}", created.warnings);
}

#[tokio::test]
async fn directories_in_the_middle_of_another_workloads_restore_are_neither_copied_nor_restored() {
    let mut disks = with_journal(&restore(redeployed()));
    disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
    let engine = engine(disks, MockStore::new(), None);
    let other = WorkloadId(Uuid::from_u128(99));
    for (path, taken) in [("/srv/data", true), ("/srv/data/below", true), ("/srv", true), ("/srv/data2", false)] {
        let neighbour = engine.neighbour(other, &[path.into()], &[]).await.expect("journals");
        assert_eq!(neighbour.is_some(), taken, "{path}");
    }
    let own = engine.neighbour(workload().id, &["/srv/data".into()], &["shop-1".into()]).await.expect("journals");
    assert_eq!(own, None, "its own is recovered first");
}

#[tokio::test]
async fn a_snapshot_of_a_workload_whose_containers_are_all_gone_is_refused_by_what_is_missing() {
    let mut disks = Disks::new();
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    disks.journals.expect_read_journal().returning(|_| Ok(None));
    disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_find().returning(|_| Ok(vec![]));
    let mut store = MockStore::new();
    store.expect_record().returning(|_| Ok(()));
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    let error = engine(disks, store, Some(containers)).create(&request, &quiet()).await.expect_err("no volumes");
    let missing = "workload shop has no containers: there are none of the compose project shop";
    assert_eq!((error.code, error.message.as_str()), (Code::Refused, missing));
}
