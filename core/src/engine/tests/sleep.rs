//! How long an app sleeps for a snapshot, and that it is woken.

use super::*;

#[tokio::test]
async fn an_app_is_woken_also_when_its_volumes_cannot_be_read() {
    let mut order = Sequence::new();
    let mut disks = unreadable(&mut order);
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_find().returning(|_| Ok(vec![container()]));
    containers.expect_mounting().returning(|_| Ok(vec![container()]));
    containers.expect_pause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    disks.archives.expect_draft_archive().times(1).in_sequence(&mut order).returning(|_, _, _| Err(broken()));
    containers.expect_unpause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    disks.journals.expect_remove_journal().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_record().withf(|e| e.outcome == "failed").times(1).returning(|_| Ok(()));

    let engine = engine(disks, store, Some(containers));
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    let error = engine.create(&request, &quiet()).await.expect_err("nothing could be read");
    assert_eq!(error.code, Code::Io);
}

#[tokio::test]
async fn an_app_sleeps_only_while_its_volumes_are_read_not_while_the_archive_is_synced() {
    let mut order = Sequence::new();
    let mut disks = unreadable(&mut order);
    let mut containers = MockContainers::new();
    containers.expect_lease().returning(|_| Ok(Box::new(Held)));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    found_then(&mut containers, RunState::Paused);
    containers.expect_mounting().returning(|_| Ok(vec![container()]));
    containers.expect_pause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let mut draft = MockDraftArchive::new();
    let mut sealing = Sequence::new();
    containers.expect_unpause().times(1).in_sequence(&mut sealing).returning(|_| Ok(()));
    draft.expect_seal().times(1).in_sequence(&mut sealing).returning(|_| Err(broken()));
    let mut drafts = vec![Box::new(draft) as Box<dyn DraftArchive>];
    disks
        .archives
        .expect_draft_archive()
        .times(1)
        .in_sequence(&mut order)
        .returning(move |_, _, _| drafts.pop().ok_or_else(broken));
    disks.journals.expect_remove_journal().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let mut store = MockStore::new();
    store.expect_put_snapshot().never();
    store.expect_record().returning(|_| Ok(()));

    let engine = engine(disks, store, Some(containers));
    let request = SnapshotRequest { workload: workload(), mode: Mode::Pause, note: None };
    engine.create(&request, &quiet()).await.expect_err("the archive could not be sealed");
}

#[tokio::test]
async fn a_snapshot_under_which_the_app_was_woken_fails_and_a_stopped_app_is_fenced_while_it_is_read() {
    for (mode, after, other, fine) in [
        (Mode::Pause, RunState::Paused, RunState::Stopped, true),
        (Mode::Pause, RunState::Paused, RunState::Running, false),
        (Mode::Pause, RunState::Running, RunState::Stopped, false),
        (Mode::Pause, RunState::Stopped, RunState::Stopped, false),
        (Mode::Stop, RunState::Stopped, RunState::Stopped, true),
        (Mode::Stop, RunState::Stopped, RunState::Running, false),
        (Mode::Stop, RunState::Running, RunState::Stopped, false),
    ] {
        let mut order = Sequence::new();
        let mut disks = unreadable(&mut order);
        let mut containers = MockContainers::new();
        containers.expect_lease().returning(|_| Ok(Box::new(Held)));
        containers.expect_info().returning(|| Ok(engine_of("one")));
        let members = |app: RunState, other: RunState| {
            let (id, name) = (ContainerId("cron".into()), "cron".into());
            vec![Container { run: app, ..container() }, Container { id, name, run: other, ..container() }]
        };
        containers.expect_find().times(1).returning(move |_| Ok(members(RunState::Running, RunState::Stopped)));
        containers.expect_find().returning(move |_| Ok(members(after, other)));
        containers.expect_mounting().returning(|_| Ok(vec![container()]));
        containers.expect_all().returning(|| Ok(vec![]));
        if mode == Mode::Stop {
            let off = |_: &ContainerId, policy: &RestartPolicy| policy.is_never();
            containers.expect_set_restart_policy().withf(off).times(1).in_sequence(&mut order).returning(|_, _| Ok(()));
            containers.expect_stop().times(1).in_sequence(&mut order).returning(|_| Ok(()));
            // What runs when a snapshot has failed may be in the middle of its stop.
            containers.expect_stop().times(..=1).returning(|_| Ok(()));
            containers.expect_redeploy().times(1).returning(|_, _, _| Ok(()));
        } else {
            containers.expect_pause().times(1).in_sequence(&mut order).returning(|_| Ok(()));
            containers.expect_unpause().times(1).returning(|_| Ok(()));
        }
        disks.archives.expect_draft_archive().times(1).in_sequence(&mut order).returning(|_, _, _| {
            let mut draft = MockDraftArchive::new();
            draft.expect_seal().returning(|_| Ok(archive(vec![])));
            Ok(Box::new(draft))
        });
        disks.journals.expect_remove_journal().times(1).in_sequence(&mut order).returning(|_| Ok(()));
        let mut store = MockStore::new();
        store.expect_put_snapshot().times(usize::from(fine)).returning(|_| Ok(()));
        store.expect_record().returning(|_| Ok(()));
        let request = SnapshotRequest { workload: workload(), mode, note: None };
        let created = engine(disks, store, Some(containers)).create(&request, &quiet()).await;
        assert_eq!(created.err().map(|e| e.code), (!fine).then_some(Code::Aborted), "{mode:?} {after:?} {other:?}");
    }
}
