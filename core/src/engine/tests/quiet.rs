//! Who may disturb a snapshot, and what becomes of one that nobody woke the app after.

use super::*;
use crate::{
    engine::recover::Neighbour,
    model::Pinned,
    restore::{Body, Journal, journal::Quiesced},
};

fn request() -> SnapshotRequest {
    SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None }
}

/// The journal of a snapshot of another workload that has the same container frozen.
fn frozen_by_another() -> Quiesced {
    let workload = Workload { id: WorkloadId(Uuid::from_u128(99)), name: "other".into(), ..workload() };
    let containers = vec![Pinned { container: container(), member: true }];
    let snapshot = SnapshotId(Uuid::from_u128(98));
    Quiesced {
        workload,
        host: "host".into(),
        runtime: None,
        snapshot,
        mode: Mode::Pause,
        containers,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn bytes_of(quiesced: Quiesced) -> Vec<u8> {
    Journal { body: Body::Snapshot(Box::new(quiesced)) }.encode().expect("a journal")
}

#[tokio::test]
async fn an_app_that_did_not_run_and_was_started_while_it_was_read_spoils_its_snapshot() {
    for (after, fine) in [(RunState::Stopped, true), (RunState::Running, false)] {
        let mut filesystem = MockFilesystem::new();
        filesystem.expect_lock().returning(|_| Ok(Box::new(Held)));
        filesystem.expect_read_journal().returning(|_| Ok(None));
        filesystem.expect_journals().returning(|| Ok(vec![]));
        filesystem.expect_sweep_drafts().returning(|_| Ok(()));
        filesystem.expect_host().return_const("host");
        filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
        filesystem.expect_locate().returning(|path| Ok(location(path)));
        filesystem.expect_write_journal().never();
        filesystem.expect_draft_archive().returning(|_, _, _| {
            let mut draft = MockDraftArchive::new();
            draft.expect_seal().returning(|_| Ok(archive(vec![])));
            Ok(Box::new(draft))
        });
        let mut containers = MockContainers::new();
        containers.expect_lease().returning(|_| Ok(Box::new(Held)));
        let asleep = Container { run: RunState::Stopped, ..container() };
        containers.expect_find().times(1).return_once(move |_| Ok(vec![asleep]));
        containers.expect_find().returning(move |_| Ok(vec![Container { run: after, ..container() }]));
        containers.expect_mounting().returning(|_| Ok(vec![container()]));
        let mut store = MockStore::new();
        store.expect_put_snapshot().times(usize::from(fine)).returning(|_| Ok(()));
        store.expect_record().returning(|_| Ok(()));
        let created = engine(filesystem, store, Some(containers)).create(&request(), &quiet()).await;
        assert_eq!(created.err().map(|e| e.code), (!fine).then_some(Code::Aborted), "{after:?}");
    }
}

#[tokio::test]
async fn two_workloads_that_share_a_container_are_not_at_work_on_it_at_once() {
    let mut filesystem = MockFilesystem::new();
    let other = frozen_by_another().workload.id;
    filesystem.expect_journals().returning(move || Ok(vec![other]));
    filesystem.expect_read_journal().returning(|_| Ok(Some(bytes_of(frozen_by_another()))));
    let engine = engine(filesystem, MockStore::new(), None);
    let neighbour = engine.neighbour(workload().id, &[], &["shop".into()]).await.expect("journals");
    let refusal = neighbour.as_ref().map(Neighbour::refusal).expect("a neighbour");
    assert_eq!(refusal.message, "a snapshot of other, which has the same containers, has not ended");
    let own = engine.neighbour(workload().id, &[], &["web".into()]).await.expect("journals");
    assert_eq!(own, None);
}

#[tokio::test]
async fn a_snapshot_that_meets_another_at_its_container_gives_way_before_the_app_is_touched() {
    let met = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut filesystem = MockFilesystem::new();
    let other = frozen_by_another().workload.id;
    filesystem.expect_lock().returning(|_| Ok(Box::new(Held)));
    let has_begun = met.clone();
    // Its journal appears when this one was written.
    let journals = move || if has_begun.load(std::sync::atomic::Ordering::Relaxed) { vec![other] } else { vec![] };
    filesystem.expect_journals().returning(move || Ok(journals()));
    filesystem.expect_read_journal().returning(move |id| Ok((id == other).then(|| bytes_of(frozen_by_another()))));
    filesystem.expect_sweep_drafts().returning(|_| Ok(()));
    filesystem.expect_host().return_const("host");
    filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    filesystem.expect_locate().returning(|path| Ok(location(path)));
    filesystem.expect_precopy().returning(|_, _, _| Ok(None));
    filesystem.expect_write_journal().times(1).returning(move |_, _| {
        met.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    });
    filesystem.expect_remove_journal().times(1).returning(|_| Ok(()));
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_find().returning(|_| Ok(vec![container()]));
    containers.expect_mounting().returning(|_| Ok(vec![container()]));
    let mut store = MockStore::new();
    store.expect_record().returning(|_| Ok(()));
    let error = engine(filesystem, store, Some(containers)).create(&request(), &quiet()).await.expect_err("the other");
    assert_eq!(error.code, Code::Refused, "{error}");
}

#[tokio::test]
async fn an_archive_that_cannot_be_read_after_a_crash_is_not_taken_for_an_unfinished_one() {
    // A damaged one would stay so, and bar every other command.
    for (kind, ended) in [(FsErrorKind::NotFound, true), (FsErrorKind::Corrupt, true), (FsErrorKind::Io, false)] {
        let mut filesystem = MockFilesystem::new();
        filesystem.expect_journals().returning(|| Ok(vec![workload().id]));
        filesystem.expect_lock().returning(|_| Ok(Box::new(Held)));
        let quiesced = Quiesced { workload: workload(), containers: vec![], ..frozen_by_another() };
        filesystem.expect_read_journal().returning(move |_| Ok(Some(bytes_of(quiesced.clone()))));
        filesystem.expect_host().return_const("host");
        filesystem.expect_sweep_drafts().returning(|_| Ok(()));
        filesystem
            .expect_read_archive()
            .returning(move |_, _| Err(FsError::new(kind, FsOp::Archive, "/state/snapshots/w/s.tar.zst", "a test")));
        filesystem.expect_remove_journal().times(usize::from(ended)).returning(|_| Ok(()));
        let mut store = MockStore::new();
        store.expect_record().returning(|_| Ok(()));
        let recovered = engine(filesystem, store, None).recover(None, &quiet()).await.expect("journals");
        assert_eq!(recovered[0].result.is_ok(), ended, "{kind:?}");
    }
}
