//! What every [`Store`] promises, as small checks that each get a fresh one.

mod marks;

use self::marks::{
    a_mark_brings_no_removed_snapshot_back, a_mark_changes_one_thing_about_one_snapshot, a_sequence_is_given_out_once,
    a_workload_that_is_registered_anew_keeps_its_name_hooks_and_snapshots,
    damage_is_remembered_until_the_archive_is_found_good, marks_at_once_lose_nothing,
    the_order_is_that_of_the_sequence_and_of_no_clock,
};

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;
use volsnap_core::{
    model::{
        ArchiveSummary, DeclaredVolume, Hook, HookEvent, ImageRef, KnownVolume, Manifest, ManifestVolume, Mark, Mode,
        MountedAt, Origin, Pin, RestoreId, Selector, Snapshot, SnapshotId, Source, VolumeTotals, Workload, WorkloadId,
        snapshot::ARCHIVE_FORMAT,
    },
    ports::{Event, EventKind, Store, StoreErrorKind},
};

/// Runs every check against a store that `make` made for it, with nothing in it yet.
///
/// The name of each check is printed before it runs, so a failing test shows which one it was.
pub async fn suite(make: impl AsyncFn() -> Box<dyn Store>) {
    macro_rules! run {
        ($($check:ident),* $(,)?) => {$(
            eprintln!("store contract: {}", stringify!($check).replace('_', " "));
            $check(make().await.as_ref()).await;
        )*};
    }
    run![
        a_fresh_store_has_nothing,
        a_workload_comes_back_as_it_was_registered,
        hooks_are_what_they_were_set_to_last,
        names_of_volumes_are_what_they_were_set_to_last,
        workloads_are_listed_by_name,
        a_name_or_an_id_is_taken_once,
        a_refused_workload_leaves_no_trace,
        a_removed_workload_takes_its_snapshots_and_leaves_its_events,
        a_name_is_free_again_after_a_removal,
        removing_what_is_not_there_is_no_failure,
        a_snapshot_comes_back_as_it_was_recorded,
        a_snapshot_needs_no_registered_workload,
        a_snapshot_with_the_same_id_is_replaced,
        snapshots_are_listed_newest_first,
        a_mark_changes_one_thing_about_one_snapshot,
        a_mark_brings_no_removed_snapshot_back,
        a_workload_that_is_registered_anew_keeps_its_name_hooks_and_snapshots,
        damage_is_remembered_until_the_archive_is_found_good,
        marks_at_once_lose_nothing,
        a_removed_snapshot_is_gone_alone,
        an_event_comes_back_as_it_was_recorded,
        an_event_that_is_recorded_twice_stands_once,
        events_are_listed_newest_first_and_bounded,
        the_order_is_that_of_the_sequence_and_of_no_clock,
        a_sequence_is_given_out_once,
        a_setting_is_what_it_was_set_to_last,
        odd_texts_are_kept_to_the_letter,
        instants_are_kept_and_sorted_to_the_nanosecond,
        calls_at_once_lose_nothing,
    ];
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn workload_id(number: u128) -> WorkloadId {
    WorkloadId(Uuid::from_u128(number))
}

fn snapshot_id(number: u128) -> SnapshotId {
    SnapshotId(Uuid::from_u128(number))
}

fn workload(number: u128, name: &str) -> Workload {
    Workload {
        id: workload_id(number),
        name: name.into(),
        source: Source::Image,
        selector: Selector { containers: vec![name.into()], ..Selector::default() },
        volumes: vec![DeclaredVolume { target: "/data".into(), path: "/srv/data".into() }],
        created_at: instant("2026-11-20T10:00:00Z"),
        hooks: vec![],
        known: Vec::new(),
    }
}

fn snapshot(number: u128, workload: u128, created_at: &str) -> Snapshot {
    let manifest = Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: snapshot_id(number),
        workload: workload_id(workload),
        workload_name: "blog".into(),
        source: Source::Image,
        created_at: instant(created_at),
        mode: Mode::Pause,
        origin: Origin::Manual,
        note: None,
        images: Vec::new(),
        volumes: vec![ManifestVolume { target: "/data".into(), absent: false, ..ManifestVolume::default() }],
        registration: None,
        imported: None,
        sequence: None,
    };
    let totals = vec![VolumeTotals { bytes: 5, entries: 2, digest: "aa".into(), ..VolumeTotals::default() }];
    let archive = ArchiveSummary { manifest, totals, quiesced_ms: 12, archive_bytes: 345, digest: "bb".into() };
    Snapshot::from(archive)
}

fn event(number: u128, workload: u128, at: &str) -> Event {
    Event {
        id: Uuid::from_u128(number),
        at: instant(at),
        workload: workload_id(workload),
        workload_name: "blog".into(),
        kind: EventKind::RestoreEnded,
        outcome: "restored".into(),
        detail: json!({ "downtime_ms": 7 }),
    }
}

async fn snapshot_numbers(store: &dyn Store, workload: Option<u128>) -> Vec<u128> {
    let snapshots = store.snapshots(workload.map(workload_id)).await.unwrap();
    snapshots.iter().map(|snapshot| snapshot.id().0.as_u128()).collect()
}

async fn event_numbers(store: &dyn Store, workload: Option<u128>, count_max: u32) -> Vec<u128> {
    let events = store.events(workload.map(workload_id), count_max).await.unwrap();
    events.iter().map(|event| event.id.as_u128()).collect()
}

async fn a_fresh_store_has_nothing(store: &dyn Store) {
    assert_eq!(store.workloads().await.unwrap(), []);
    assert_eq!(store.snapshots(None).await.unwrap(), []);
    assert_eq!(store.snapshots(Some(workload_id(1))).await.unwrap(), []);
    assert_eq!(store.events(None, 10).await.unwrap(), []);
    assert_eq!(store.setting("key").await.unwrap(), None);
}

fn hook(at: HookEvent, container: Option<&str>) -> Hook {
    let command = vec!["sh".into(), "-c".into(), "it's 100% \"quoted\"".into(), String::new()];
    Hook { at, container: container.map(Into::into), command, timeout: Duration::from_millis(1500) }
}

async fn hooks_are_what_they_were_set_to_last(store: &dyn Store) {
    store.add_workload(&workload(1, "blog")).await.unwrap();
    store.add_workload(&workload(2, "shop")).await.unwrap();
    let two = vec![hook(HookEvent::PreCreate, None), hook(HookEvent::PreCreate, Some("db"))];
    for hooks in [two.clone(), vec![two[1].clone()], vec![], two] {
        store.set_hooks(workload_id(1), &hooks).await.unwrap();
        let rows = store.workloads().await.unwrap();
        assert_eq!((&rows[0].hooks, &rows[1]), (&hooks, &workload(2, "shop")));
        assert_eq!(rows[0].volumes, workload(1, "blog").volumes);
    }
    store.set_hooks(workload_id(9), &[hook(HookEvent::PreCreate, None)]).await.unwrap();
    assert_eq!(store.workloads().await.unwrap().len(), 2, "nothing happens to what is not there");
}

fn known(name: &str) -> KnownVolume {
    let at = |service: Option<&str>| MountedAt {
        container: "shop_db_1".into(),
        service: service.map(Into::into),
        target: "/z".into(),
    };
    KnownVolume {
        name: name.into(),
        path: Some("/srv/%FF".into()),
        volume: Some("shop_data".into()),
        mounted_at: vec![at(Some("db")), at(None)],
    }
}

async fn names_of_volumes_are_what_they_were_set_to_last(store: &dyn Store) {
    store.add_workload(&workload(1, "blog")).await.unwrap();
    store.add_workload(&workload(2, "shop")).await.unwrap();
    for known in [vec![known("/z"), known("db:/z")], vec![known("/z")], vec![]] {
        store.set_known(workload_id(1), &known).await.unwrap();
        let rows = store.workloads().await.unwrap();
        assert_eq!(rows, [Workload { known, ..workload(1, "blog") }, workload(2, "shop")]);
    }
    store.set_known(workload_id(9), &[known("/z")]).await.unwrap();
    assert_eq!(store.workloads().await.unwrap().len(), 2, "nothing happens to what is not there");
}

async fn a_workload_comes_back_as_it_was_registered(store: &dyn Store) {
    let volume = |target: &str, path: &str| DeclaredVolume { target: target.into(), path: path.into() };
    let rich = Workload {
        source: Source::Other("git".into()),
        selector: Selector {
            compose_project: Some("blog".into()),
            containers: vec!["b".into(), "a".into()],
            labels: vec![("tier".into(), "db".into()), ("empty".into(), String::new())],
        },
        // In the order of the declaration, which is no order of target or path.
        volumes: vec![volume("/z", "/srv/1"), volume("/a", "/srv/3"), volume("/m", "/srv/2")],
        hooks: vec![hook(HookEvent::PostRestore, None), hook(HookEvent::PreCreate, Some("db"))],
        known: vec![known("/z"), known("db:/z")],
        ..workload(1, "rich")
    };
    let bare = Workload {
        source: Source::Directories,
        selector: Selector::default(),
        volumes: Vec::new(),
        ..workload(2, "bare")
    };
    store.add_workload(&rich).await.unwrap();
    store.add_workload(&bare).await.unwrap();
    assert_eq!(store.workloads().await.unwrap(), [bare, rich]);
}

async fn workloads_are_listed_by_name(store: &dyn Store) {
    for (number, name) in [(1, "b"), (2, "a"), (3, "ä"), (4, "B"), (5, "aa")] {
        store.add_workload(&workload(number, name)).await.unwrap();
    }
    let workloads = store.workloads().await.unwrap();
    let names: Vec<&str> = workloads.iter().map(|workload| workload.name.as_str()).collect();
    assert_eq!(names, ["B", "a", "aa", "b", "ä"]);
}

async fn a_name_or_an_id_is_taken_once(store: &dyn Store) {
    store.add_workload(&workload(1, "blog")).await.unwrap();
    for (what, clash) in
        [("both", workload(1, "blog")), ("the id", workload(1, "wiki")), ("the name", workload(2, "blog"))]
    {
        let error = store.add_workload(&clash).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Exists, "{what}: {error}");
    }
    // Names that differ in case are different names.
    store.add_workload(&workload(3, "Blog")).await.unwrap();
}

async fn a_refused_workload_leaves_no_trace(store: &dyn Store) {
    let first = workload(1, "blog");
    store.add_workload(&first).await.unwrap();
    let more = vec![DeclaredVolume { target: "/more".into(), path: "/srv/more".into() }];
    store.add_workload(&Workload { volumes: more.clone(), ..workload(1, "wiki") }).await.unwrap_err();
    store.add_workload(&Workload { volumes: more, ..workload(2, "blog") }).await.unwrap_err();
    assert_eq!(store.workloads().await.unwrap(), [first]);
}

async fn a_removed_workload_takes_its_snapshots_and_leaves_its_events(store: &dyn Store) {
    for number in [1, 2] {
        store.add_workload(&workload(number, &format!("blog {number}"))).await.unwrap();
        store.put_snapshot(&snapshot(10 + number, number, "2026-11-20T10:00:00Z")).await.unwrap();
        store.record(&event(20 + number, number, "2026-11-20T10:00:00Z")).await.unwrap();
    }
    store.remove_workload(workload_id(1)).await.unwrap();
    assert_eq!(store.workloads().await.unwrap(), [workload(2, "blog 2")]);
    assert_eq!(snapshot_numbers(store, None).await, [12]);
    assert_eq!(event_numbers(store, Some(1), 10).await, [21]);
    assert_eq!(event_numbers(store, None, 10).await.len(), 2);
}

async fn a_name_is_free_again_after_a_removal(store: &dyn Store) {
    store.add_workload(&workload(1, "blog")).await.unwrap();
    store.remove_workload(workload_id(1)).await.unwrap();
    let next = Workload { volumes: Vec::new(), ..workload(2, "blog") };
    store.add_workload(&next).await.unwrap();
    assert_eq!(store.workloads().await.unwrap(), [next]);
    // And so is the id, without the volumes of old.
    let again = Workload { volumes: Vec::new(), ..workload(1, "blog, again") };
    store.add_workload(&again).await.unwrap();
    assert!(store.workloads().await.unwrap().contains(&again));
}

async fn removing_what_is_not_there_is_no_failure(store: &dyn Store) {
    store.add_workload(&workload(1, "blog")).await.unwrap();
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    for _ in 0..2 {
        store.remove_workload(workload_id(9)).await.unwrap();
        store.remove_snapshot(snapshot_id(9)).await.unwrap();
    }
    assert_eq!(store.workloads().await.unwrap().len(), 1);
    assert_eq!(snapshot_numbers(store, None).await, [1]);
}

async fn a_snapshot_comes_back_as_it_was_recorded(store: &dyn Store) {
    let mut rich = snapshot(1, 1, "2026-11-20T10:00:00.123456789Z");
    rich.verified_at = Some(instant("2026-11-21T00:00:00.000000001Z"));
    rich.proved_at = Some(instant("2026-11-21T00:00:00.000000002Z"));
    let manifest = &mut rich.archive.manifest;
    manifest.origin = Origin::PreRestore(RestoreId(Uuid::from_u128(77)));
    manifest.mode = Mode::Stop;
    manifest.source = Source::Other("git".into());
    manifest.note = Some("before the upgrade".into());
    let image = |container: &str| ImageRef {
        container: container.into(),
        service: Some(container.into()),
        image: "postgres:17".into(),
        image_id: "sha256:01".into(),
    };
    manifest.images = vec![image("db"), image("app")];
    manifest.volumes.push(ManifestVolume { target: "/absent".into(), absent: true, ..ManifestVolume::default() });
    rich.archive.totals[0].unsteady = vec!["log/b".into(), "log/a".into()];
    rich.archive.totals.push(VolumeTotals { bytes: u64::MAX, sockets_skipped: 3, ..VolumeTotals::default() });
    rich.archive.archive_bytes = u64::MAX;
    store.put_snapshot(&rich).await.unwrap();
    assert_eq!(store.snapshots(None).await.unwrap(), [rich.clone()]);
    assert_eq!(store.snapshots(Some(workload_id(1))).await.unwrap(), [rich]);
}

async fn a_snapshot_needs_no_registered_workload(store: &dyn Store) {
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    store.add_workload(&workload(2, "blog")).await.unwrap();
    store.remove_workload(workload_id(2)).await.unwrap();
    store.put_snapshot(&snapshot(2, 2, "2026-11-20T11:00:00Z")).await.unwrap();
    assert_eq!(snapshot_numbers(store, None).await, [2, 1]);
    // A workload that is not registered can still be removed, with what it has.
    store.remove_workload(workload_id(1)).await.unwrap();
    assert_eq!(snapshot_numbers(store, None).await, [2]);
}

async fn a_snapshot_with_the_same_id_is_replaced(store: &dyn Store) {
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    store.put_snapshot(&snapshot(2, 1, "2026-11-20T11:00:00Z")).await.unwrap();
    // Everything about it may be another, also what it is found and sorted by.
    let mut replacement = snapshot(1, 5, "2026-11-20T12:00:00Z");
    replacement.verified_at = Some(instant("2026-11-22T00:00:00Z"));
    for _ in 0..2 {
        store.put_snapshot(&replacement).await.unwrap();
        assert_eq!(snapshot_numbers(store, None).await, [1, 2]);
        assert_eq!(snapshot_numbers(store, Some(1)).await, [2]);
        assert_eq!(store.snapshots(Some(workload_id(5))).await.unwrap(), [replacement.clone()]);
    }
}

async fn snapshots_are_listed_newest_first(store: &dyn Store) {
    let times = [
        (4, 1, "2026-11-20T10:00:00Z"),
        (2, 1, "2026-11-20T10:00:00.5Z"),
        (9, 2, "2026-11-20T09:59:59Z"),
        (5, 1, "2026-11-20T10:00:00Z"), // with 4: the greater id is the newer
        (1, 2, "2026-11-21T00:00:00Z"),
    ];
    for (number, workload, at) in times {
        store.put_snapshot(&snapshot(number, workload, at)).await.unwrap();
    }
    assert_eq!(snapshot_numbers(store, None).await, [1, 2, 5, 4, 9]);
    assert_eq!(snapshot_numbers(store, Some(1)).await, [2, 5, 4]);
    assert_eq!(snapshot_numbers(store, Some(2)).await, [1, 9]);
    assert_eq!(snapshot_numbers(store, Some(3)).await, []);
}

async fn a_removed_snapshot_is_gone_alone(store: &dyn Store) {
    store.add_workload(&workload(1, "blog")).await.unwrap();
    store.put_snapshot(&snapshot(1, 1, "2026-11-20T10:00:00Z")).await.unwrap();
    store.put_snapshot(&snapshot(2, 1, "2026-11-20T11:00:00Z")).await.unwrap();
    store.remove_snapshot(snapshot_id(2)).await.unwrap();
    assert_eq!(snapshot_numbers(store, None).await, [1]);
    assert_eq!(store.workloads().await.unwrap().len(), 1);
}

async fn an_event_comes_back_as_it_was_recorded(store: &dyn Store) {
    let kinds = [
        EventKind::WorkloadAdded,
        EventKind::WorkloadChanged,
        EventKind::WorkloadRemoved,
        EventKind::SnapshotCreated,
        EventKind::SnapshotFailed,
        EventKind::SnapshotDeleted,
        EventKind::SnapshotVerified,
        EventKind::SnapshotPinned,
        EventKind::SnapshotUnpinned,
        EventKind::RestoreEnded,
        EventKind::Recovered,
    ];
    let details = [json!(null), json!("text"), json!([1, -2, 0.5]), json!({ "b": { "a": [true] }, "max": u64::MAX })];
    for (number, kind) in (0..).zip(kinds) {
        let detail = details[number % details.len()].clone();
        let recorded = Event { kind, detail, ..event(number as u128, number as u128, "2026-11-20T10:00:00Z") };
        store.record(&recorded).await.unwrap();
        assert_eq!(store.events(Some(recorded.workload), 10).await.unwrap(), [recorded]);
    }
    assert_eq!(event_numbers(store, None, 100).await.len(), kinds.len());
}

async fn an_event_that_is_recorded_twice_stands_once(store: &dyn Store) {
    let first = event(1, 1, "2026-11-20T10:00:00Z");
    store.record(&first).await.unwrap();
    store.record(&first).await.unwrap();
    // The first one stands, whatever the second says.
    store.record(&Event { outcome: "aborted".into(), ..event(1, 2, "2026-11-21T10:00:00Z") }).await.unwrap();
    assert_eq!(store.events(None, 10).await.unwrap(), [first]);
}

async fn events_are_listed_newest_first_and_bounded(store: &dyn Store) {
    let times = [
        (3, 1, "2043-02-05T10:00:00Z"), // the clock was wrong
        (4, 1, "2026-11-20T11:00:00Z"),
        (2, 1, "1970-01-01T00:00:00Z"),
        (1, 2, "2026-11-20T10:00:00Z"),
    ];
    for (number, workload, at) in times {
        store.record(&event(number, workload, at)).await.unwrap();
    }
    // Recorded again, as after a crash, it keeps its place.
    store.record(&event(3, 1, "2026-11-20T12:00:00Z")).await.unwrap();
    assert_eq!(event_numbers(store, None, u32::MAX).await, [1, 2, 4, 3]);
    assert_eq!(event_numbers(store, None, 2).await, [1, 2]);
    assert_eq!(event_numbers(store, Some(1), 2).await, [2, 4]);
    assert_eq!(event_numbers(store, Some(2), 2).await, [1]);
    assert_eq!(event_numbers(store, Some(9), 2).await, []);
    assert_eq!(event_numbers(store, None, 0).await, []);
}

async fn a_setting_is_what_it_was_set_to_last(store: &dyn Store) {
    for value in ["one", "two", "two", ""] {
        store.set_setting("key", value).await.unwrap();
        assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(value));
    }
    store.set_setting("Key", "other").await.unwrap();
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(""));
    assert_eq!(store.setting("").await.unwrap(), None);
}

async fn odd_texts_are_kept_to_the_letter(store: &dyn Store) {
    let odd = "q'u\"o\\te; DROP TABLE workloads; -- \u{0}\n\t🦀 e\u{301} %_";
    store.set_setting(odd, odd).await.unwrap();
    assert_eq!(store.setting(odd).await.unwrap().as_deref(), Some(odd));

    let mut named = workload(1, odd);
    named.volumes = vec![DeclaredVolume { target: odd.into(), path: odd.into() }, not_utf8()];
    store.add_workload(&named).await.unwrap();
    assert_eq!(store.workloads().await.unwrap(), [named]);

    let mut noted = snapshot(1, 1, "2026-11-20T10:00:00Z");
    noted.archive.manifest.note = Some(odd.into());
    store.put_snapshot(&noted).await.unwrap();
    assert_eq!(store.snapshots(None).await.unwrap(), [noted]);

    let told = Event { outcome: odd.into(), detail: json!({ odd: odd }), ..event(1, 1, "2026-11-20T10:00:00Z") };
    store.record(&told).await.unwrap();
    assert_eq!(store.events(None, 1).await.unwrap(), [told]);
}

/// A path is bytes, and need not be a text.
fn not_utf8() -> DeclaredVolume {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    DeclaredVolume { target: "/odd".into(), path: PathBuf::from(OsStr::from_bytes(b"/srv/\xff\xfe")) }
}

async fn instants_are_kept_and_sorted_to_the_nanosecond(store: &dyn Store) {
    let texts = [
        "-009999-01-02T01:59:59Z",
        "1969-12-31T23:59:58.999999999Z",
        "1969-12-31T23:59:59.5Z",
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:00.000000001Z",
        "2026-11-20T10:00:00.999999999Z",
        "9999-12-30T22:00:00.999999999Z",
    ];
    for (number, at) in (1..).zip(texts) {
        // The ids run against the instants, so that sorting by id alone would be seen.
        store.put_snapshot(&snapshot(100 - number, 1, at)).await.unwrap();
        store.record(&event(100 - number, 1, at)).await.unwrap();
        store
            .add_workload(&Workload { created_at: instant(at), ..workload(number, &number.to_string()) })
            .await
            .unwrap();
    }
    let oldest_first: Vec<Timestamp> = texts.into_iter().map(instant).collect();
    let newest_first: Vec<Timestamp> = oldest_first.iter().rev().copied().collect();
    let snapshots = store.snapshots(None).await.unwrap();
    assert_eq!(snapshots.iter().map(Snapshot::created_at).collect::<Vec<_>>(), newest_first);
    let events = store.events(None, 100).await.unwrap();
    assert_eq!(events.iter().map(|event| event.at).collect::<Vec<_>>(), newest_first);
    let workloads = store.workloads().await.unwrap();
    assert_eq!(workloads.iter().map(|workload| workload.created_at).collect::<Vec<_>>(), oldest_first);
}

async fn calls_at_once_lose_nothing(store: &dyn Store) {
    let write = async |base: u128| {
        let mut won = 0;
        for number in base..base + 20 {
            store.add_workload(&workload(number, &format!("w{number}"))).await.unwrap();
            store.put_snapshot(&snapshot(number, number, "2026-11-20T10:00:00Z")).await.unwrap();
            store.record(&event(number, number, "2026-11-20T10:00:00Z")).await.unwrap();
            store.set_setting(&format!("k{number}"), "v").await.unwrap();
            match store.add_workload(&workload(number + 1000, "wanted by all")).await {
                Ok(()) => won += 1,
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Exists, "{error}"),
            }
        }
        won
    };
    let won = tokio::join!(write(100), write(200), write(300), write(400));
    assert_eq!(won.0 + won.1 + won.2 + won.3, 1, "a name was given to several: {won:?}");
    assert_eq!(store.workloads().await.unwrap().len(), 81);
    assert_eq!(store.snapshots(None).await.unwrap().len(), 80);
    assert_eq!(store.events(None, 1000).await.unwrap().len(), 80);
    for number in [100, 219, 319, 419] {
        assert_eq!(store.setting(&format!("k{number}")).await.unwrap().as_deref(), Some("v"));
    }
}
