//! Which snapshot a word means.

use std::iter;

use serde_json::json;

use super::*;
use crate::{
    model::Imported,
    ports::{Event, EventKind},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("an instant")
}

fn snapshot(id: u128, second: i64, origin: Origin, was: Option<Origin>) -> Snapshot {
    let archive = archive(vec![]);
    let from = |origin| Imported {
        workload: workload().id,
        workload_name: "shop".into(),
        snapshot: SnapshotId(Uuid::from_u128(id)),
        origin,
    };
    let snapshot = SnapshotId(Uuid::from_u128(id));
    let manifest = Manifest { snapshot, created_at: at(second), origin, imported: was.map(from), ..archive.manifest };
    ArchiveSummary { manifest, ..archive }.into()
}

fn event(second: i64, kind: EventKind, outcome: &str, detail: serde_json::Value) -> Event {
    Event {
        id: Uuid::from_u128(1),
        at: at(second),
        workload: workload().id,
        workload_name: "shop".into(),
        kind,
        outcome: outcome.into(),
        detail,
    }
}

/// An engine over a catalog with these snapshots, newest first, and as many events as are asked for at most.
fn over(snapshots: Vec<Snapshot>, events: Vec<Event>) -> Engine {
    let mut store = MockStore::new();
    store.expect_snapshots().returning(move |_| Ok(snapshots.clone()));
    store.expect_events().returning(move |_, count_max| Ok(events.iter().take(count_max as usize).cloned().collect()));
    engine(without_journal(), store, None)
}

fn without_journal() -> Disks {
    let mut disks = Disks::new();
    disks.journals.expect_read_journal().returning(|_| Ok(None));
    disks
}

fn kept() -> Origin {
    Origin::PreRestore(RestoreId(Uuid::from_u128(7)))
}

#[tokio::test]
async fn the_latest_is_the_newest_that_somebody_asked_for_also_after_an_import() {
    let snapshots = vec![
        snapshot(5, 5, kept(), None),
        snapshot(4, 4, Origin::Manual, Some(kept())),
        snapshot(3, 3, Origin::Manual, Some(Origin::Manual)),
        snapshot(2, 2, Origin::Manual, None),
    ];
    for first in [2, 3] {
        let latest = over(snapshots[first..].to_vec(), vec![]).snapshot(None, "latest").await;
        assert_eq!(latest, Ok(snapshots[first].clone()));
    }
    assert_eq!(over(snapshots.clone(), vec![]).snapshot(None, "latest").await, Ok(snapshots[2].clone()));
    let only = over(snapshots[..2].to_vec(), vec![]).snapshot(None, "latest").await;
    assert_eq!(only.map_err(|e| e.code), Err(Code::NotFound));
}

#[tokio::test]
async fn undo_knows_the_last_restore_however_much_has_happened_since() {
    let safety = snapshot(5, 10, kept(), None);
    let own = json!({ "safety_snapshot": safety.id() });
    let restored = |second, detail| event(second, EventKind::RestoreEnded, "restored", detail);
    let created = || event(30, EventKind::SnapshotCreated, "created", json!({}));
    for since in [0, 999, 1000, 1001, 25_000] {
        let undo = async |trail: Vec<Event>| {
            let events = iter::repeat_n(created(), since).chain(trail).collect();
            over(vec![safety.clone()], events).undo_of(&workload()).await.map_err(|e| e.code)
        };
        assert_eq!(undo(vec![restored(11, own.clone())]).await, Ok(safety.clone()), "{since}");
        // The trail is in the order in which it was recorded, whatever the clock said.
        assert_eq!(undo(vec![restored(3, own.clone()), restored(12, json!({}))]).await, Ok(safety.clone()), "{since}");
        let without = vec![restored(1, json!({})), restored(11, own.clone())];
        assert_eq!(undo(without).await, Err(Code::NotFound), "{since}: that would be an earlier restore's");
        assert_eq!(undo(vec![]).await, Err(Code::NotFound), "{since}: nobody knows which was the last");
    }
}

/// The record of a restore that kept what it replaced, and of one that did not.
fn record_of(captured: Safety) -> Vec<u8> {
    let end = [Entry::Captured { safety: captured }, Entry::Closed];
    restore(redeployed().into_iter().chain(end).collect()).journal().encode().expect("a journal")
}

#[tokio::test]
async fn undo_goes_by_the_record_of_the_last_restore_and_not_by_the_catalog() {
    let plan = restore(vec![]).plan;
    let own = snapshot(plan.safety.0.as_u128(), 1, Origin::PreRestore(plan.restore), None);
    // What an earlier restore kept, which by the clock and by the trail is the newest.
    let earlier = snapshot(5, 10, kept(), None);
    let trail = vec![event(11, EventKind::RestoreEnded, "restored", json!({ "safety_snapshot": earlier.id() }))];
    let over = |record: Vec<u8>, rows: Vec<Snapshot>, archive: Option<Snapshot>| {
        let mut store = MockStore::new();
        store.expect_snapshots().returning(move |_| Ok(rows.clone()));
        let trail = trail.clone();
        store.expect_events().returning(move |_, _| Ok(trail.clone()));
        let mut disks = without_journal();
        disks.journals.expect_retired_journal().returning(move |_| Ok(Some(record.clone())));
        disks.archives.expect_read_archive().returning(move |_, _| {
            let none = || FsError::new(FsErrorKind::NotFound, FsOp::Archive, "/archive", "not found");
            archive.clone().map(|snapshot| snapshot.archive).ok_or_else(none)
        });
        engine(disks, store, None)
    };
    let undo = async |record: Vec<u8>, rows: &[&Snapshot], archive: Option<&Snapshot>| {
        let rows = rows.iter().map(|row| (*row).clone()).collect();
        over(record, rows, archive.cloned()).undo_of(&workload()).await.map_err(|e| e.code)
    };
    assert_eq!(undo(record_of(Safety::Taken), &[&earlier, &own], None).await, Ok(own.clone()));
    assert_eq!(undo(record_of(Safety::Taken), &[&earlier], Some(&own)).await, Ok(own.clone()), "not in the catalog");
    assert_eq!(undo(record_of(Safety::Taken), &[&earlier], None).await, Err(Code::NotFound), "deleted");
    assert_eq!(undo(record_of(Safety::NotWanted), &[&earlier, &own], None).await, Err(Code::NotFound));
    let set_aside = Safety::Kept { reason: "no space".into() };
    assert_eq!(undo(record_of(set_aside), &[&earlier, &own], None).await, Err(Code::NotFound));
    assert_eq!(undo(b"damaged".to_vec(), &[&earlier, &own], None).await, Err(Code::Corrupt));
}

#[tokio::test]
async fn undo_waits_for_the_end_of_a_restore_that_has_decided() {
    let open = restore(redeployed());
    let error = engine(with_journal(&open), MockStore::new(), None).undo_of(&workload()).await.expect_err("open");
    assert_eq!(error.code, Code::Refused);
}

#[tokio::test]
async fn undo_guesses_nothing_where_the_trail_is_too_long() {
    let mut store = MockStore::new();
    store.expect_snapshots().returning(|_| Ok(vec![snapshot(5, 10, kept(), None)]));
    // Nothing but the number of events matters here.
    let created = event(30, EventKind::SnapshotCreated, "created", serde_json::Value::Null);
    store.expect_events().returning(move |_, count_max| Ok(vec![created.clone(); count_max as usize]));
    let error = engine(without_journal(), store, None).undo_of(&workload()).await.expect_err("it cannot know");
    assert_eq!(error.code, Code::NotFound);
    assert!(error.hint.is_some_and(|hint| hint.contains("by its id")));
}
