//! What an outlook says that recovery would do.

use super::*;
use crate::{
    model::{Hook, HookEvent, Pinned},
    restore::{Body, Journal, journal::Quiesced},
};

#[tokio::test]
async fn an_outlook_does_not_promise_an_archive_that_is_taken_already() {
    let mut entries = redeployed();
    entries.push(Entry::Captured { safety: Safety::Taken });
    let mut disks = with_journal(&restore(entries));
    disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
    let outlooks = engine(disks, MockStore::new(), None).outlook(None).await.expect("journals");
    assert_eq!(outlooks[0].would, "clean up");
}

#[tokio::test]
async fn an_app_that_was_frozen_is_thawed_and_one_that_was_stopped_is_started() {
    let hook =
        Hook { at: HookEvent::PostCreate, container: None, command: vec!["true".into()], timeout: Duration::MAX };
    for (mode, hooks, would) in [
        (Mode::Pause, vec![], "thaw the app and remove the unfinished archive"),
        (Mode::Stop, vec![], "start the app again and remove the unfinished archive"),
        (Mode::Live, vec![], "remove the unfinished archive"),
        (Mode::Stop, vec![hook], "start the app again, remove the unfinished archive, run its post-create hooks"),
    ] {
        let quiesced = Quiesced {
            workload: Workload { hooks, ..workload() },
            host: "host".into(),
            runtime: None,
            down: vec![],
            problem: None,
            snapshot: SnapshotId(Uuid::from_u128(2)),
            mode,
            containers: vec![Pinned { container: container(), member: true }],
            at: Timestamp::UNIX_EPOCH,
        };
        let bytes = Journal { body: Body::Snapshot(Box::new(quiesced)) }.encode().expect("a journal");
        let mut disks = Disks::new();
        disks.journals.expect_journals().returning(|| Ok(vec![workload().id]));
        disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
        disks.filesystem.expect_claim().returning(|_| Ok(claim()));
        disks.filesystem.expect_host().return_const("host");
        disks.journals.expect_read_journal().returning(move |_| Ok(Some(bytes.clone())));
        let outlooks = engine(disks, MockStore::new(), None).outlook(None).await.expect("journals");
        assert_eq!(outlooks[0].would, would);
    }
}
