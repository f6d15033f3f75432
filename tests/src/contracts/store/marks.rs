//! What is known of snapshots beside their archives: marks, and their order.

use super::*;

fn pin(note: &str) -> Pin {
    Pin { at: instant("2026-11-22T00:00:00.000000001Z"), note: Some(note.into()) }
}

pub(super) async fn a_mark_changes_one_thing_about_one_snapshot(store: &dyn Store) {
    let (plain, other) = (snapshot(1, 1, "2026-11-20T10:00:00Z"), snapshot(2, 1, "2026-11-20T11:00:00Z"));
    store.put_snapshot(&plain).await.unwrap();
    store.put_snapshot(&other).await.unwrap();
    let verified = instant("2026-11-21T00:00:00Z");
    let (first, second) = (pin("audit"), pin("release"));
    for (mark, verified_at, pin) in [
        (Mark::Pinned(first.clone()), None, Some(first.clone())),
        (Mark::Verified(verified), Some(verified), Some(first)),
        (Mark::Pinned(second.clone()), Some(verified), Some(second)),
        (Mark::Unpinned, Some(verified), None),
    ] {
        for _ in 0..2 {
            assert!(store.mark_snapshot(snapshot_id(1), &mark).await.unwrap());
            let marked = Snapshot { verified_at, pin: pin.clone(), ..plain.clone() };
            assert_eq!(store.snapshots(None).await.unwrap(), [other.clone(), marked], "{mark:?}");
        }
    }
}

pub(super) async fn damage_is_remembered_until_the_archive_is_found_good(store: &dyn Store) {
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    let day = |day: u8| instant(&format!("2026-11-{day}T00:00:00Z"));
    for (mark, corrupt_since, is_verified) in [
        (Mark::Verified(day(21)), None, true),
        (Mark::Corrupt(day(22)), Some(day(22)), false),
        (Mark::Corrupt(day(23)), Some(day(22)), false),
        (Mark::Pinned(pin("audit")), Some(day(22)), false),
        (Mark::Verified(day(24)), None, true),
        (Mark::Corrupt(day(25)), Some(day(25)), false),
        (Mark::Proved(day(26)), None, true),
    ] {
        assert!(store.mark_snapshot(snapshot_id(1), &mark).await.unwrap());
        let kept = &store.snapshots(None).await.unwrap()[0];
        assert_eq!((kept.corrupt_since, kept.is_verified()), (corrupt_since, is_verified), "{mark:?}");
    }
}

pub(super) async fn a_workload_that_is_registered_anew_keeps_its_name_hooks_and_snapshots(store: &dyn Store) {
    let volume = |target: &str, path: &str| DeclaredVolume { target: target.into(), path: path.into() };
    let before = Workload { volumes: vec![volume("/a", "/srv/a"), volume("/b", "/srv/b")], ..workload(1, "blog") };
    store.add_workload(&before).await.unwrap();
    store.add_workload(&workload(2, "shop")).await.unwrap();
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    for volumes in [vec![volume("/b", "/srv/c"), volume("/a", "/srv/a")], vec![]] {
        let selector = Selector { containers: vec!["blog-2".into()], ..Selector::default() };
        let after = Workload { volumes, selector, source: Source::Directories, ..before.clone() };
        // Its name is not what this changes.
        store.set_registration(&Workload { name: "other".into(), hooks: vec![], ..after.clone() }).await.unwrap();
        assert_eq!(store.workloads().await.unwrap(), [after, workload(2, "shop")]);
    }
    assert_eq!(store.snapshots(None).await.unwrap().len(), 1);
    store.set_registration(&workload(9, "none")).await.unwrap();
    assert_eq!(store.workloads().await.unwrap().len(), 2, "nothing happens to what is not there");
}

pub(super) async fn a_mark_brings_no_removed_snapshot_back(store: &dyn Store) {
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    store.remove_snapshot(snapshot_id(1)).await.unwrap();
    let at = instant("2026-11-21T00:00:00Z");
    for mark in [Mark::Verified(at), Mark::Corrupt(at), Mark::Pinned(pin("audit")), Mark::Unpinned] {
        assert!(!store.mark_snapshot(snapshot_id(1), &mark).await.unwrap(), "{mark:?}");
    }
    assert_eq!(store.snapshots(None).await.unwrap(), []);
}

pub(super) async fn marks_at_once_lose_nothing(store: &dyn Store) {
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    let (verified, pin) = (instant("2026-11-21T00:00:00Z"), pin("audit"));
    let (verify, keep) = (Mark::Verified(verified), Mark::Pinned(pin.clone()));
    let marked = tokio::join!(store.mark_snapshot(snapshot_id(1), &verify), store.mark_snapshot(snapshot_id(1), &keep));
    assert!(marked.0.unwrap() && marked.1.unwrap());
    let kept = &store.snapshots(None).await.unwrap()[0];
    assert_eq!((kept.verified_at, kept.pin.as_ref()), (Some(verified), Some(&pin)));
}

pub(super) async fn the_order_is_that_of_the_sequence_and_of_no_clock(store: &dyn Store) {
    let taken = [
        (4, Some(3), "2043-02-05T00:09:49Z"),
        (2, Some(4), "2026-11-20T10:00:00Z"),
        (3, Some(5), "1970-01-01T00:10:00Z"),
        // Of an earlier version: before all that have a place, in the order of their times.
        (1, None, "2026-11-20T09:00:00Z"),
        (5, None, "2026-11-20T08:00:00Z"),
        // An import shares a place: times settle it.
        (6, Some(4), "2026-11-20T09:00:00Z"),
    ];
    for (number, sequence, at) in taken {
        let mut snapshot = snapshot(number, 1, at);
        snapshot.archive.manifest.sequence = sequence;
        store.put_snapshot(&snapshot).await.unwrap();
    }
    assert_eq!(snapshot_numbers(store, None).await, [3, 2, 6, 4, 1, 5]);
    assert_eq!(snapshot_numbers(store, Some(1)).await, [3, 2, 6, 4, 1, 5]);
    // A mark does not move it.
    store.mark_snapshot(snapshot_id(4), &Mark::Pinned(pin("audit"))).await.unwrap();
    assert_eq!(snapshot_numbers(store, None).await, [3, 2, 6, 4, 1, 5]);
}

pub(super) async fn a_sequence_is_given_out_once(store: &dyn Store) {
    assert_eq!(store.sequence().await.unwrap(), 0);
    assert_eq!(store.advance(0).await.unwrap(), 1);
    assert_eq!(store.advance(0).await.unwrap(), 2);
    assert_eq!(store.advance(10).await.unwrap(), 11);
    let mut recorded = snapshot(1, 1, "2026-11-20T10:00:00Z");
    recorded.archive.manifest.sequence = Some(20);
    store.put_snapshot(&recorded).await.unwrap();
    // Neither a deletion nor what is older lowers it.
    store.remove_snapshot(snapshot_id(1)).await.unwrap();
    store.put_snapshot(&snapshot(2, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    assert_eq!(store.sequence().await.unwrap(), 20);
    assert_eq!(store.advance(3).await.unwrap(), 21);
    let given = tokio::join!(store.advance(0), store.advance(0), store.advance(0));
    let mut given = [given.0.unwrap(), given.1.unwrap(), given.2.unwrap()];
    given.sort_unstable();
    assert_eq!(given, [22, 23, 24]);
}
