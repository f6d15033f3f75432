//! Who may disturb a snapshot, and what becomes of one that nobody woke the app after.

use super::*;
use crate::{
    engine::recover::Neighbour,
    model::{Peer, Pinned, Redeploy, Shares},
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
        down: vec![],
        problem: None,
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
        disks.journals.expect_write_journal().never();
        disks.archives.expect_draft_archive().returning(|_, _, _| {
            let mut draft = MockDraftArchive::new();
            draft.expect_seal().returning(|_| Ok(archive(vec![])));
            Ok(Box::new(draft))
        });
        let mut containers = MockContainers::new();
        containers.expect_lease().returning(|_| Ok(Box::new(Held)));
        containers.expect_info().returning(|| Ok(engine_of("one")));
        let asleep = Container { run: RunState::Stopped, ..container() };
        containers.expect_find().times(1).return_once(move |_| Ok(vec![asleep]));
        containers.expect_find().returning(move |_| Ok(vec![Container { run: after, ..container() }]));
        containers.expect_mounting().returning(|_| Ok(vec![container()]));
        let mut store = MockStore::new();
        store.expect_put_snapshot().times(usize::from(fine)).returning(|_| Ok(()));
        store.expect_record().returning(|_| Ok(()));
        let created = engine(disks, store, Some(containers)).create(&request(), &quiet()).await;
        assert_eq!(created.err().map(|e| e.code), (!fine).then_some(Code::Aborted), "{after:?}");
    }
}

#[tokio::test]
async fn two_workloads_that_share_a_container_are_not_at_work_on_it_at_once() {
    let mut disks = Disks::new();
    let other = frozen_by_another().workload.id;
    disks.journals.expect_journals().returning(move || Ok(vec![other]));
    disks.journals.expect_read_journal().returning(|_| Ok(Some(bytes_of(frozen_by_another()))));
    let engine = engine(disks, MockStore::new(), None);
    let neighbour = engine.neighbour(workload().id, &[], &["shop".into()]).await.expect("journals");
    let refusal = neighbour.as_ref().map(Neighbour::refusal).expect("a neighbour");
    assert_eq!(refusal.message, "a snapshot of other, which has the same containers, has not ended");
    let own = engine.neighbour(workload().id, &[], &["web".into()]).await.expect("journals");
    assert_eq!(own, None);
}

#[tokio::test]
async fn a_snapshot_that_meets_another_at_its_container_gives_way_before_the_app_is_touched() {
    let met = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut disks = Disks::new();
    let other = frozen_by_another().workload.id;
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    ordinary(&mut disks);
    let has_begun = met.clone();
    // Its journal appears when this one was written.
    let journals = move || if has_begun.load(std::sync::atomic::Ordering::Relaxed) { vec![other] } else { vec![] };
    disks.journals.expect_journals().returning(move || Ok(journals()));
    disks.journals.expect_read_journal().returning(move |id| Ok((id == other).then(|| bytes_of(frozen_by_another()))));
    disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
    disks.filesystem.expect_host().return_const("host");
    disks.filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
    disks.archives.expect_precopy().returning(|_, _, _| Ok(None));
    disks.journals.expect_write_journal().times(1).returning(move |_, _| {
        met.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    });
    disks.journals.expect_remove_journal().times(1).returning(|_| Ok(()));
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_find().returning(|_| Ok(vec![container()]));
    containers.expect_mounting().returning(|_| Ok(vec![container()]));
    let mut store = MockStore::new();
    store.expect_record().returning(|_| Ok(()));
    let error = engine(disks, store, Some(containers)).create(&request(), &quiet()).await.expect_err("the other");
    assert_eq!(error.code, Code::Refused, "{error}");
}

#[tokio::test]
async fn an_archive_that_cannot_be_read_after_a_crash_is_not_taken_for_an_unfinished_one() {
    // A damaged one would stay so, and bar every other command.
    for (kind, ended) in [(FsErrorKind::NotFound, true), (FsErrorKind::Corrupt, true), (FsErrorKind::Io, false)] {
        let mut disks = Disks::new();
        disks.journals.expect_journals().returning(|| Ok(vec![workload().id]));
        disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
        disks.filesystem.expect_claim().returning(|_| Ok(claim()));
        ordinary(&mut disks);
        let quiesced = Quiesced { workload: workload(), containers: vec![], ..frozen_by_another() };
        disks.journals.expect_read_journal().returning(move |_| Ok(Some(bytes_of(quiesced.clone()))));
        disks.filesystem.expect_host().return_const("host");
        disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
        disks
            .archives
            .expect_read_archive()
            .returning(move |_, _| Err(FsError::new(kind, FsOp::Archive, "/state/snapshots/w/s.tar.zst", "a test")));
        disks.journals.expect_remove_journal().times(usize::from(ended)).returning(|_| Ok(()));
        let mut store = MockStore::new();
        store.expect_record().returning(|_| Ok(()));
        let recovered = engine(disks, store, None).recover(None, &quiet()).await.expect("journals");
        assert_eq!(recovered[0].result.is_ok(), ended, "{kind:?}");
    }
}

/// A journal of a snapshot that froze the one container, on engine `one`.
fn frozen(particulars: Particulars) -> Quiesced {
    let container = Container { particulars, ..container() };
    let containers = vec![Pinned { container, member: true }];
    Quiesced { workload: workload(), runtime: Some("one".into()), containers, ..frozen_by_another() }
}

fn disk_with(quiesced: Quiesced) -> Disks {
    let mut disks = Disks::new();
    disks.journals.expect_journals().returning(|| Ok(vec![workload().id]));
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    disks.filesystem.expect_locate().returning(|path| Ok(location(path)));
    disks.journals.expect_read_journal().returning(move |_| Ok(Some(bytes_of(quiesced.clone()))));
    disks.filesystem.expect_host().return_const("host");
    disks
}

fn engine_answers(id: &'static str) -> MockContainers {
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(move || Ok(engine_of(id)));
    containers
}

#[tokio::test]
async fn what_was_begun_on_one_engine_is_not_done_on_another() {
    // Neither engine nor disk is asked for anything else: a mock answers nothing that it was not told to.
    let disks = disk_with(frozen(Particulars::default()));
    let snapshot = engine(disks, MockStore::new(), Some(engine_answers("two"))).recover(None, &quiet()).await;
    let snapshot = snapshot.expect("journals");
    let error = snapshot[0].result.as_ref().expect_err("another engine");
    assert_eq!(error.code, Code::NeedsAttention, "{error}");

    let plan = Plan { runtime: Some("one".into()), workload: workload(), ..restore(vec![]).plan };
    let mut state = State::opened(plan, Timestamp::UNIX_EPOCH);
    for entry in redeployed() {
        state.append(Record { at: Timestamp::UNIX_EPOCH, entry }).expect("a legal history");
    }
    let disks = with_journal(&state);
    let restored = engine(disks, MockStore::new(), Some(engine_answers("two"))).recover(None, &quiet()).await;
    let restored = restored.expect("journals");
    let Ok(RecoveredItem::Restore(report)) = &restored[0].result else { panic!("{restored:?}") };
    let cause = report.cause.as_ref().expect("a cause");
    assert!(
        report.outcome == Outcome::NeedsAttention && cause.message.contains("another container engine"),
        "{cause:?}"
    );
}

#[tokio::test]
async fn a_frozen_member_that_is_not_there_any_more_does_not_run_again() {
    let one_off = Particulars { is_one_off: true, ..Particulars::default() };
    for (particulars, without_missing, ended, warned) in [
        (Particulars::default(), false, false, false),
        (Particulars::default(), true, true, true),
        // Not missed, and not said to run.
        (one_off, false, true, true),
    ] {
        let mut disks = disk_with(frozen(particulars));
        disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
        let none = || FsError::new(FsErrorKind::NotFound, FsOp::Archive, "/state/s.tar.zst", "a test");
        disks.archives.expect_read_archive().returning(move |_, _| Err(none()));
        disks.journals.expect_remove_journal().times(usize::from(ended)).returning(|_| Ok(()));
        let mut containers = engine_answers("one");
        containers.expect_unpause().times(1).returning(|_| Ok(()));
        containers.expect_find().returning(|_| Ok(vec![]));
        containers.expect_mounting().returning(|_| Ok(vec![]));
        containers.expect_all().returning(|| Ok(vec![]));
        let mut store = MockStore::new();
        store.expect_record().returning(|_| Ok(()));
        let engine = engine(disks, store, Some(containers));
        let engine = if without_missing { engine.without_missing() } else { engine };
        let recovered = engine.recover(None, &quiet()).await.expect("journals");
        match &recovered[0].result {
            Ok(RecoveredItem::Snapshot { warnings, gone, .. }) => {
                assert_eq!((ended, !warnings.is_empty(), !gone.is_empty()), (true, warned, warned));
            }
            Ok(RecoveredItem::Restore(_)) => panic!("it was a snapshot"),
            Err(error) => assert_eq!((error.code, ended), (Code::NeedsAttention, false), "{error}"),
        }
    }
}

/// Disks on which a snapshot of the app goes well, and `journals` that are written.
fn readable(journals: usize) -> Disks {
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
    disks.journals.expect_write_journal().times(journals).returning(|_, _| Ok(()));
    disks.archives.expect_draft_archive().returning(|_, _, _| {
        let mut draft = MockDraftArchive::new();
        draft.expect_seal().returning(|_| Ok(archive(vec![])));
        Ok(Box::new(draft))
    });
    disks.journals.expect_remove_journal().returning(|_| Ok(()));
    disks
}

fn catalog() -> MockStore {
    let mut store = MockStore::new();
    store.expect_put_snapshot().returning(|_| Ok(()));
    store.expect_record().returning(|_| Ok(()));
    store
}

#[tokio::test]
async fn a_member_that_crash_loops_is_fenced_and_stopped_for_the_read_and_started_again() {
    let looping = || {
        let particulars = Particulars { is_restarting: true, ..Particulars::default() };
        Container { particulars, ..container() }
    };
    // It is between two runs when it is looked at; or it runs then, and ends before it is frozen.
    for ends_late in [false, true] {
        let mut containers = engine_answers("one");
        containers.expect_mounting().returning(|_| Ok(vec![]));
        let (first, stopped) = (if ends_late { container() } else { looping() }, Arc::new(Mutex::new(false)));
        let seen_first = Mutex::new(Some(first.clone()));
        let is_stopped = stopped.clone();
        containers.expect_find().returning(move |_| {
            let run = if *is_stopped.lock().expect("a flag") { RunState::Stopped } else { RunState::Running };
            let seen = seen_first.lock().expect("a container").take();
            Ok(vec![seen.unwrap_or_else(|| Container { run, ..looping() })])
        });
        let conflict = || EngineError::new(EngineErrorKind::Conflict, "shop is restarting");
        containers.expect_pause().times(usize::from(ends_late)).returning(move |_| Err(conflict()));
        let off = |_: &ContainerId, policy: &RestartPolicy| policy.is_never();
        containers.expect_set_restart_policy().withf(off).times(1).returning(|_, _| Ok(()));
        containers.expect_stop().times(1).returning(move |_| {
            *stopped.lock().expect("a flag") = true;
            Ok(())
        });
        let restarts =
            |_: &RestoreId, pinned: &[Pinned], how: &Redeploy| pinned.len() == 1 && *how == Redeploy::Restart;
        containers.expect_redeploy().withf(restarts).times(1).returning(|_, _, _| Ok(()));
        let mut disks = readable(if ends_late { 2 } else { 1 });
        if ends_late {
            disks.filesystem.expect_settle().returning(|_| Ok(()));
        }
        let engine = engine(disks, catalog(), Some(containers));
        engine.create(&request(), &quiet()).await.unwrap_or_else(|error| panic!("{ends_late}: {error}"));
    }
}

#[tokio::test]
async fn a_snapshot_destroys_nothing_and_runs_nothing_twice() {
    let rm = Particulars { removes_itself: true, ..Particulars::default() };
    let one_off = Particulars { is_one_off: true, ..Particulars::default() };
    let task = Particulars { orchestrator: Some("web".into()), ..Particulars::default() };
    for (particulars, mode, refused) in [
        (rm.clone(), Mode::Stop, true),
        (rm, Mode::Pause, false),
        (one_off.clone(), Mode::Stop, true),
        (one_off, Mode::Pause, false),
        (task.clone(), Mode::Stop, true),
        (task, Mode::Pause, true),
    ] {
        let mut containers = engine_answers("one");
        let member = Container { particulars: particulars.clone(), ..container() };
        let seen = Mutex::new(vec![member.clone(), member.clone()]);
        containers.expect_find().returning(move |_| {
            let next = seen.lock().expect("looks").pop();
            Ok(vec![next.unwrap_or_else(|| Container { run: RunState::Paused, ..member.clone() })])
        });
        containers.expect_mounting().returning(|_| Ok(vec![]));
        containers.expect_pause().times(usize::from(!refused)).returning(|_| Ok(()));
        containers.expect_unpause().times(usize::from(!refused)).returning(|_| Ok(()));
        // A one-off container's own mounts are no volumes of the workload: the app has the same.
        let request = SnapshotRequest { workload: named_workload(), mode, note: None };
        let engine = engine(readable(usize::from(!refused)), catalog(), Some(containers));
        let created = engine.create(&request, &quiet()).await;
        assert_eq!(created.as_ref().is_err_and(|e| e.code == Code::Refused), refused, "{particulars:?}: {created:?}");
    }
}

#[tokio::test]
async fn who_is_cut_off_by_the_stop_for_a_snapshot_is_named_as_by_a_plan() {
    let peer = Peer { name: "shop".into(), shares: Shares::Network, by_name: false };
    let outside = move |name: &str, removes_itself| {
        let particulars = Particulars { peers: vec![peer.clone()], removes_itself, ..Particulars::default() };
        Container { id: ContainerId(name.into()), name: name.into(), mounts: vec![], particulars, ..container() }
    };
    let all = vec![container(), outside("passing", true), outside("lasting", false)];
    let mut containers = engine_answers("one");
    containers.expect_all().returning(move || Ok(all.clone()));
    containers.expect_mounting().returning(|_| Ok(vec![]));
    let stopped = Arc::new(Mutex::new(false));
    let is_stopped = stopped.clone();
    containers.expect_find().returning(move |selector| {
        let run = if *is_stopped.lock().expect("a flag") { RunState::Stopped } else { RunState::Running };
        let lasting = selector.containers.contains(&"lasting".to_string());
        Ok(vec![Container { run, ..if lasting { outside("lasting", false) } else { container() } }])
    });
    containers.expect_set_restart_policy().returning(|_, _| Ok(()));
    containers.expect_stop().returning(move |_| {
        *stopped.lock().expect("a flag") = true;
        Ok(())
    });
    let both = |_: &RestoreId, pinned: &[Pinned], _: &Redeploy| pinned.len() == 2;
    containers.expect_redeploy().withf(both).times(1).returning(|_, _, _| Ok(()));
    let request = SnapshotRequest { mode: Mode::Stop, ..request() };
    let created =
        engine(readable(1), catalog(), Some(containers)).create(&request, &quiet()).await.expect("a snapshot");
    let told = "container passing uses the network of shop, which it loses; it removes itself when it ends, so it is left \
                alone: make it anew afterwards";
    assert!(created.warnings.iter().any(|warning| warning == told), "{:?}", created.warnings);
    assert!(!created.warnings.iter().any(|warning| warning.contains("lasting")), "{:?}", created.warnings);
}

fn named_workload() -> Workload {
    Workload { selector: Selector { containers: vec!["shop".into()], ..Selector::default() }, ..workload() }
}

#[tokio::test]
async fn a_thaw_that_is_answered_too_late_is_repeated_until_it_is_seen() {
    let mut containers = engine_answers("one");
    let mut answers = vec![Ok(()), Err(EngineError::new(EngineErrorKind::TimedOut, "no answer in time"))];
    containers.expect_unpause().times(2).returning(move |_| answers.pop().expect("two"));
    containers.expect_find().returning(|_| Ok(vec![container()]));
    let mut disks = disk_with(frozen(Particulars::default()));
    disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
    let none = || FsError::new(FsErrorKind::NotFound, FsOp::Archive, "/state/s.tar.zst", "a test");
    disks.archives.expect_read_archive().returning(move |_, _| Err(none()));
    disks.journals.expect_remove_journal().times(1).returning(|_| Ok(()));
    let recovered = engine(disks, catalog(), Some(containers)).recover(None, &quiet()).await.expect("journals");
    recovered[0].result.as_ref().expect("thawed");
}
