//! What an import makes of what a file says of itself.

use super::*;
use crate::{
    engine::{ImportOutcome, ImportRequest},
    model::{DeclaredVolume, Imported, Registration},
    ports::ImportJob,
};

fn app() -> Workload {
    let volumes = vec![DeclaredVolume { target: "/data".into(), path: "/srv/data".into() }];
    Workload { source: Source::Directories, selector: Selector::default(), volumes, ..workload() }
}

/// What a file says that was exported from this catalog.
fn honest() -> Manifest {
    Manifest {
        registration: Some(Registration::of(&app(), "host".into(), Timestamp::UNIX_EPOCH)),
        ..archive(vec![]).manifest
    }
}

/// Imports a file with that manifest into a catalog with these snapshots.
async fn import(manifest: Manifest, rows: Vec<Snapshot>) -> (crate::Result<ImportOutcome>, Option<ImportJob>) {
    let file = ArchiveSummary { manifest, ..archive(vec![]) };
    let mut disks = Disks::new();
    let read = file.clone();
    disks.archives.expect_read_foreign().returning(move |_| Ok(read.clone()));
    disks.journals.expect_lock().returning(|_| Ok(Box::new(Held)));
    disks.filesystem.expect_claim().returning(|_| Ok(claim()));
    disks.journals.expect_read_journal().returning(|_| Ok(None));
    disks.archives.expect_sweep_drafts().returning(|_| Ok(()));
    disks.filesystem.expect_host().return_const("host");
    disks.filesystem.expect_state_dir().return_const(PathBuf::from("/var/lib/volsnap"));
    disks.filesystem.expect_space().returning(|path| {
        let Location { filesystem, space, .. } = location(path);
        Ok((filesystem, space))
    });
    disks
        .archives
        .expect_read_archive()
        .returning(|_, _| Err(FsError::new(FsErrorKind::NotFound, FsOp::Archive, "/a", "there is none")));
    let done = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&done);
    disks.archives.expect_import_archive().returning(move |job, _| {
        *seen.lock().expect("alone") = Some(job.clone());
        Ok(ArchiveSummary { manifest: job.manifest.clone(), ..file.clone() })
    });
    let mut store = MockStore::new();
    store.expect_workloads().returning(|| Ok(vec![app()]));
    store.expect_snapshots().returning(move |_| Ok(rows.clone()));
    store.expect_put_snapshot().returning(|_| Ok(()));
    store.expect_record().returning(|_| Ok(()));
    let request = ImportRequest { file: "/out/copy".into(), workload: None };
    let outcome = engine(disks, store, None).import(&request, &quiet()).await;
    let job = done.lock().expect("alone").take();
    (outcome, job)
}

#[tokio::test]
async fn a_file_that_says_nothing_else_than_this_catalog_is_taken_as_it_is() {
    for manifest in [honest(), archive(vec![]).manifest] {
        let (outcome, job) = import(manifest.clone(), vec![]).await;
        assert_eq!((job.map(|job| job.manifest), outcome.map(|o| o.already)), (Some(manifest), Ok(false)));
    }
}

#[tokio::test]
async fn a_registration_that_is_not_this_catalogs_is_replaced() {
    let own = Registration::of(&app(), "host".into(), Timestamp::UNIX_EPOCH);
    let evil = DeclaredVolume { target: "/data".into(), path: "/etc".into() };
    let forged = [
        Registration { host: "another host".into(), ..own.clone() },
        Registration { as_of: Timestamp::MAX, ..own.clone() },
        Registration { name: "another".into(), ..own.clone() },
        Registration::of(&Workload { volumes: vec![evil], ..app() }, "host".into(), Timestamp::UNIX_EPOCH),
    ];
    for registration in forged {
        let manifest = Manifest { registration: Some(registration), ..honest() };
        let (outcome, job) = import(manifest.clone(), vec![]).await;
        let made = job.expect("it is taken").manifest;
        assert_eq!((made.registration, made.snapshot), (Some(own.clone()), manifest.snapshot));
        assert!(made.imported.is_some() && outcome.is_ok());
    }
}

#[tokio::test]
async fn what_a_restore_is_said_to_have_kept_is_a_snapshot_that_somebody_asked_for() {
    let origin = Origin::PreRestore(RestoreId(Uuid::from_u128(7)));
    let (_, job) = import(Manifest { origin, ..honest() }, vec![]).await;
    let made = job.expect("it is taken").manifest;
    let (workload, snapshot) = (honest().workload, honest().snapshot);
    let was = Imported { workload, workload_name: "shop".into(), snapshot, origin };
    assert_eq!((made.origin, made.imported), (Origin::Manual, Some(was)));
}

#[tokio::test]
async fn what_comes_back_once_more_says_where_it_first_came_from() {
    let (workload, snapshot) = (WorkloadId(Uuid::from_u128(98)), SnapshotId(Uuid::from_u128(97)));
    let origin = Origin::PreRestore(RestoreId(Uuid::from_u128(7)));
    let was = Imported { workload, workload_name: "old".into(), snapshot, origin };
    let registration = Some(Registration { as_of: Timestamp::MAX, ..honest().registration.expect("it has one") });
    let (_, job) = import(Manifest { imported: Some(was.clone()), registration, ..honest() }, vec![]).await;
    assert_eq!(job.expect("it is taken").manifest.imported, Some(was));
}

#[tokio::test]
async fn an_id_that_stands_for_other_contents_is_refused_and_a_lost_archive_comes_back() {
    let row = |totals: VolumeTotals| {
        Snapshot::from(ArchiveSummary { manifest: honest(), totals: vec![totals], ..archive(vec![]) })
    };
    let other = VolumeTotals { digest: "another".into(), ..VolumeTotals::default() };
    let (outcome, job) = import(honest(), vec![row(other)]).await;
    assert_eq!((outcome.map(|_| ()).map_err(|e| e.code), job), (Err(Code::Refused), None));
    let (outcome, job) = import(honest(), vec![row(VolumeTotals::default())]).await;
    assert!(outcome.is_ok_and(|outcome| !outcome.already) && job.is_some());
}

#[tokio::test]
async fn a_snapshot_of_a_workload_that_is_not_here_needs_a_choice() {
    let (outcome, job) = import(Manifest { workload: WorkloadId(Uuid::from_u128(99)), ..honest() }, vec![]).await;
    assert_eq!((outcome.map(|_| ()).map_err(|e| e.code), job), (Err(Code::Refused), None));
}

#[tokio::test]
async fn a_text_that_would_write_over_a_terminal_is_hostile() {
    let (outcome, job) = import(Manifest { note: Some("\x1b[2J".into()), ..honest() }, vec![]).await;
    assert_eq!((outcome.map(|_| ()).map_err(|e| e.code), job), (Err(Code::Hostile), None));
    let (outcome, _) = import(Manifest { note: Some("two\nlines".into()), ..honest() }, vec![]).await;
    assert!(outcome.is_ok());
}
