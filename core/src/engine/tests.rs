//! How the engine treats its ports, in order and in number: what a contract suite cannot see.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use mockall::Sequence;
use uuid::Uuid;

use super::{Engine, Ports, RestoreRequest, SnapshotRequest, recover::quiet};
use crate::{
    Code,
    error::{FsError, FsErrorKind, FsOp},
    model::{
        Container, ContainerId, FilesystemId, FilesystemInfo, Identity, Location, Mode, Mount, Occupant, RestartPolicy,
        RunState, Selector, Source, Space, Workload, WorkloadId,
    },
    ports::{
        Lease, Watch,
        clock::MockClock,
        containers::MockContainers,
        filesystem::{DraftArchive, MockDraftArchive, MockFilesystem},
        store::MockStore,
    },
};

struct Held;

impl Lease for Held {}

fn workload() -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "shop".into(),
        source: Source::Image,
        selector: Selector { compose_project: Some("shop".into()), ..Selector::default() },
        volumes: vec![],
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn container() -> Container {
    Container {
        id: ContainerId("c1".into()),
        name: "shop".into(),
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
        spec: serde_json::Value::Null,
    }
}

fn location(path: &Path) -> Location {
    let identity = Identity { inode: 12, birth_ns: Some(1) };
    Location {
        real: path.to_path_buf(),
        occupant: Occupant::Directory(identity),
        parent: identity,
        parent_writable: true,
        filesystem: FilesystemInfo {
            id: FilesystemId("a".into()),
            mount: "/".into(),
            kind: "ext4".into(),
            disk: None,
            exchange: true,
            births: true,
            read_only: false,
        },
        space: Space { bytes_free: 1 << 30, inodes_free: None, block: 4096 },
        ancestors: vec![],
    }
}

fn clock() -> MockClock {
    let mut clock = MockClock::new();
    clock.expect_now().return_const(Timestamp::UNIX_EPOCH);
    clock.expect_monotonic().return_const(Duration::ZERO);
    clock.expect_fresh_id().returning(|| Uuid::from_u128(9));
    clock
}

/// Disks on which reading the volumes fails.
fn unreadable(order: &mut Sequence) -> MockFilesystem {
    let mut filesystem = MockFilesystem::new();
    filesystem.expect_lock().returning(|_| Ok(Box::new(Held)));
    filesystem.expect_read_journal().returning(|_| Ok(None));
    filesystem.expect_sweep_drafts().times(1).returning(|_| Ok(()));
    filesystem.expect_host().return_const("host");
    filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    filesystem.expect_locate().returning(|path| Ok(location(path)));
    filesystem.expect_write_journal().times(1).in_sequence(order).returning(|_, _| Ok(()));
    filesystem
}

fn broken() -> FsError {
    FsError::new(FsErrorKind::Io, FsOp::Archive, "/srv/data/file", "input/output error")
}

#[tokio::test]
async fn an_app_is_woken_also_when_its_volumes_cannot_be_read() {
    let mut order = Sequence::new();
    let mut filesystem = unreadable(&mut order);
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_find().returning(|_| Ok(vec![container()]));
    containers.expect_pause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    filesystem.expect_draft_archive().times(1).in_sequence(&mut order).returning(|_, _, _| Err(broken()));
    containers.expect_unpause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    filesystem.expect_remove_journal().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_record().withf(|e| e.outcome == "failed").times(1).returning(|_| Ok(()));

    let engine = Engine::new(Ports {
        store: Arc::new(store),
        containers: Some(Arc::new(containers)),
        filesystem: Arc::new(filesystem),
        clock: Arc::new(clock()),
    });
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    let error = engine.create(&request, &quiet()).await.expect_err("nothing could be read");
    assert_eq!(error.code, Code::Io);
}

#[tokio::test]
async fn an_app_sleeps_only_while_its_volumes_are_read_not_while_the_archive_is_synced() {
    let mut order = Sequence::new();
    let mut filesystem = unreadable(&mut order);
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_find().returning(|_| Ok(vec![container()]));
    containers.expect_pause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let mut draft = MockDraftArchive::new();
    let mut sealing = Sequence::new();
    containers.expect_unpause().times(1).in_sequence(&mut sealing).returning(|_| Ok(()));
    draft.expect_seal().times(1).in_sequence(&mut sealing).returning(|_| Err(broken()));
    let mut drafts = vec![Box::new(draft) as Box<dyn DraftArchive>];
    filesystem
        .expect_draft_archive()
        .times(1)
        .in_sequence(&mut order)
        .returning(move |_, _, _| drafts.pop().ok_or_else(broken));
    filesystem.expect_remove_journal().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_put_snapshot().never();
    store.expect_record().returning(|_| Ok(()));

    let engine = Engine::new(Ports {
        store: Arc::new(store),
        containers: Some(Arc::new(containers)),
        filesystem: Arc::new(filesystem),
        clock: Arc::new(clock()),
    });
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    engine.create(&request, &quiet()).await.expect_err("the archive could not be sealed");
}

#[test]
fn operations_can_run_on_another_thread() {
    fn sendable<T: Send>(_: impl FnOnce(&'static Engine, &'static RestoreRequest, &'static Watch) -> T) {}
    sendable(Engine::restore);
    sendable(|engine, _, watch| engine.recover(None, watch));
}
