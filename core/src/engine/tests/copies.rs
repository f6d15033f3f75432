//! In which order copies are noted, made, put in place and tidied up, and what becomes of those that go wrong.

use super::*;
use crate::{
    engine::{CloneRequest, DrillRequest},
    model::{Inode, Mark, Owners},
    ports::{CopyMade, CopyNote, PrivateNote, ReadBack},
};

/// What was called, in order.
pub(super) type Calls = Arc<Mutex<Vec<String>>>;

const PARENT: Identity = Identity { inode: 12, birth_ns: Some(1), subvolume: None };

fn directories() -> Workload {
    Workload { source: Source::Directories, selector: Selector::default(), ..workload() }
}

pub(super) fn snapshot() -> Snapshot {
    let mut archive = archive(vec![]);
    archive.manifest.workload = directories().id;
    let volume = |target: &str| ManifestVolume { target: target.into(), absent: false, ..ManifestVolume::default() };
    archive.manifest.volumes = vec![volume("/a"), volume("/b")];
    let totals = |digest: &str| VolumeTotals { bytes: 5, entries: 2, digest: digest.into(), ..VolumeTotals::default() };
    archive.totals = vec![totals("aa"), totals("bb")];
    archive.into()
}

/// Disks on which every copy works, and a note of what was called.
pub(super) fn disks() -> (Disks, Calls) {
    let calls = Calls::default();
    let note = |calls: &Calls, what: String| calls.lock().expect("calls").push(what);
    let mut disks = Disks::new();
    disks.filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    disks.journals.expect_journals().returning(|| Ok(vec![]));
    disks.journals.expect_abandoned_copies().returning(|| Ok(vec![]));
    disks.filesystem.expect_locate().returning(|path| {
        let place = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let inode = Some(Inode { device: (8, 1), number: 13 });
        Ok(match place {
            "volsnap" => location(path),
            "public" => Location { inode, ..location(path) },
            "link-to-etc" => Location { inode, ..location("/etc") },
            _ => Location { occupant: Occupant::Absent, ..location(path) },
        })
    });
    disks.filesystem.expect_look().returning(|_| Ok(Sight::Absent));
    disks.filesystem.expect_ready().returning(|_, known| Ok(known));
    let log = calls.clone();
    disks.journals.expect_begin_copy().returning(move |noted| {
        let names = noted.private.iter().map(|private| name(&private.path)).collect::<Vec<_>>().join(" ");
        note(&log, format!("begin {names}"));
        Ok(Box::new(Held))
    });
    let log = calls.clone();
    disks.filesystem.expect_copy_out().returning(move |job, _| {
        note(&log, format!("copy {}", name(&job.private)));
        Ok(CopyMade { trees: vec![TreeSize { bytes: 5, entries: 2, ..TreeSize::default() }], ..CopyMade::default() })
    });
    let log = calls.clone();
    disks.filesystem.expect_settle().returning(move |dirs| {
        note(&log, format!("settle {}", dirs[0].display()));
        Ok(())
    });
    let log = calls.clone();
    disks.filesystem.expect_discard().returning(move |_, private, _| {
        note(&log, format!("discard {}", name(private)));
        Ok(())
    });
    let log = calls.clone();
    disks.journals.expect_end_copy().returning(move |_| {
        note(&log, "end".into());
        Ok(())
    });
    (disks, calls)
}

/// The number at the end of a private directory's name.
pub(super) fn name(private: &Path) -> String {
    private.to_string_lossy().rsplit('-').next().unwrap_or_default().to_string()
}

pub(super) fn catalog(outcome: &'static str) -> MockStore {
    let mut store = MockStore::new();
    store.expect_workloads().returning(|| Ok(vec![]));
    store.expect_record().times(1).withf(move |event| event.outcome == outcome).returning(|_| Ok(()));
    store
}

async fn clone_two(disks: Disks, store: MockStore) -> crate::error::Result<crate::engine::Copied> {
    let request = CloneRequest {
        workload: directories(),
        snapshot: snapshot(),
        places: vec![("/a".into(), "/srv/a".into()), ("/b".into(), "/srv/b".into())],
        owners: Owners::default(),
        devices: false,
    };
    engine(disks, store, None).clone_volumes(&request, &quiet()).await
}

#[tokio::test]
async fn a_clone_is_noted_before_anything_is_made_and_all_is_durable_before_the_first_place_is_taken() {
    let (mut disks, calls) = disks();
    let log = calls.clone();
    disks.filesystem.expect_rename().returning(move |_, to| {
        log.lock().expect("calls").push(format!("place {}", to.display()));
        Ok(())
    });
    let copied = clone_two(disks, catalog("cloned")).await.expect("a clone");
    assert_eq!(copied.volumes.len(), 2);
    let wanted = [
        "begin 0 1",
        "copy 0",
        "copy 1",
        "place /srv/a",
        "settle /srv",
        "place /srv/b",
        "settle /srv",
        "discard 0",
        "discard 1",
        "settle /srv",
        "end",
    ];
    assert_eq!(*calls.lock().expect("calls"), wanted);
}

#[tokio::test]
async fn a_place_that_is_taken_meanwhile_takes_the_others_back() {
    let (mut disks, calls) = disks();
    let log = calls.clone();
    disks.filesystem.expect_rename().returning(move |from, to| {
        let place = to.display().to_string();
        log.lock().expect("calls").push(format!("{} -> {place}", from.display()));
        match place == "/srv/b" {
            true => Err(FsError::new(FsErrorKind::Exists, FsOp::Rename, to, "taken")),
            false => Ok(()),
        }
    });
    let error = clone_two(disks, catalog("clone failed")).await.expect_err("taken");
    assert_eq!(error.code, Code::Refused);
    let calls = calls.lock().expect("calls");
    let back =
        calls.iter().position(|call| call.starts_with("/srv/a -> /srv/.volsnap-") && call.ends_with("-0/staged"));
    let discarded = calls.iter().position(|call| call == "discard 0");
    assert!(back.is_some() && back < discarded && calls.last().is_some_and(|last| last == "end"), "{calls:?}");
}

fn drill() -> DrillRequest {
    DrillRequest { workload: directories(), snapshot: snapshot(), scratch: Some("/scratch".into()), boot: None }
}

#[tokio::test]
async fn a_snapshot_of_which_a_volume_comes_back_otherwise_is_not_proved() {
    for (digests, outcome) in [(["aa", "bb"], "proved"), (["aa", "cc"], "drill failed")] {
        let (mut disks, calls) = disks();
        let log = calls.clone();
        disks.filesystem.expect_read_back().returning(move |_, index, root, _| {
            log.lock().expect("calls").push(format!("read {}", name(root.parent().unwrap_or(root))));
            let difference = (digests[index] == "cc").then(|| "the first difference is in `x`".to_string());
            Ok(ReadBack { bytes: 5, entries: 2, digest: digests[index].into(), difference })
        });
        let mut store = catalog(outcome);
        let proved = usize::from(outcome == "proved");
        store
            .expect_mark_snapshot()
            .times(proved)
            .withf(|_, m| matches!(m, Mark::Proved(_)))
            .returning(|_, _| Ok(true));
        let drilled = engine(disks, store, None).drill(&drill(), &quiet()).await.expect("a drill");
        assert_eq!(drilled.error().map(|error| error.code), (proved == 0).then_some(Code::Corrupt));
        if let Some(error) = drilled.error() {
            assert!(error.message.contains("volume /b") && error.message.contains("in `x`"), "{error}");
        }
        let wanted = [
            "begin 0 1",
            "copy 0",
            "read 0",
            "discard 0",
            "copy 1",
            "read 1",
            "discard 1",
            "discard 0",
            "discard 1",
            "settle /scratch",
            "end",
        ];
        assert_eq!(*calls.lock().expect("calls"), wanted, "one volume at a time");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_deleted_while_it_is_proved_does_not_come_back_to_the_catalog() {
    let (mut disks, _) = disks();
    let digests = ["aa", "bb"];
    disks.filesystem.expect_read_back().returning(move |_, index, _, _| {
        Ok(ReadBack { bytes: 5, entries: 2, digest: digests[index].into(), difference: None })
    });
    let mut store = catalog("drill failed");
    store.expect_mark_snapshot().returning(|_, _| Ok(false));
    store.expect_put_snapshot().never();
    let error = engine(disks, store, None).drill(&drill(), &quiet()).await.expect_err("it is gone");
    assert_eq!(error.code, Code::NotFound);
}

#[tokio::test]
async fn what_cannot_be_removed_stays_noted_and_what_can_is_gone_before_its_note() {
    let note = |n: u128, parent: Identity| CopyNote {
        id: RestoreId(Uuid::from_u128(n)),
        what: "clone".into(),
        workload: "shop".into(),
        began_at: Timestamp::UNIX_EPOCH,
        private: vec![PrivateNote { path: format!("/srv/.volsnap-{n:032x}-0").into(), parent }],
        containers: false,
        runtime: None,
    };
    let elsewhere = Identity { inode: 13, birth_ns: None, subvolume: None };
    let mut order = Sequence::new();
    let mut disks = Disks::new();
    disks.journals.expect_copy_note_path().returning(|id| format!("/var/lib/volsnap/copies/{id}.json").into());
    disks.journals.expect_abandoned_copies().returning(move || Ok(vec![note(1, elsewhere), note(2, PARENT)]));
    disks.filesystem.expect_look().returning(|_| Ok(Sight::Directory { identity: PARENT, empty: false }));
    let second = RestoreId(Uuid::from_u128(2));
    disks
        .filesystem
        .expect_discard()
        .times(1)
        .in_sequence(&mut order)
        .withf(move |id, _, _| *id == second)
        .returning(|_, _, _| Ok(()));
    disks.filesystem.expect_settle().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    disks.journals.expect_end_copy().times(1).in_sequence(&mut order).returning(|_| Ok(()));
    let swept = engine(disks, MockStore::new(), None).sweep_copies().await.expect("swept");
    assert!(swept[0].problem.as_ref().is_some_and(|problem| problem.contains("not mounted")), "{swept:?}");
    assert_eq!((swept.len(), &swept[1].problem), (2, &None));
}
