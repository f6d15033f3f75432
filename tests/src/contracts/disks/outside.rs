//! Archives that are copied out of the state directory and taken into it.

#![allow(missing_docs, reason = "the names are the promises")]

use volsnap_core::{
    model::ArchiveFile,
    ports::{ImportJob, LookInto},
};

use super::*;

const OTHER: WorkloadId = WorkloadId(Uuid::from_u128(11));

fn look_into(summary: &ArchiveSummary) -> LookInto {
    let (workload, snapshot) = (summary.manifest.workload, summary.manifest.snapshot);
    LookInto { workload, snapshot, archive_digest: summary.digest.clone() }
}

/// An archive of a tree, and an empty directory for copies of it.
async fn archived(h: &impl Harness) -> (Arc<dyn Disks>, ArchiveSummary, PathBuf) {
    let (fs, live, out) = (h.disks(), h.data().join("live"), h.data().join("out"));
    h.put(&live, &tree(&[("a", "1"), ("d/b", "22"), ("big", &"0123456789".repeat(1_000_000))]));
    h.put(&out, &Tree::new());
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    (fs, summary, out)
}

async fn listed(fs: &Arc<dyn Disks>) -> Vec<(WorkloadId, SnapshotId)> {
    fs.archives().await.unwrap().into_iter().map(|file| (file.workload, file.snapshot)).collect()
}

fn job(file: &Path, summary: &ArchiveSummary, manifest: Manifest) -> ImportJob {
    ImportJob { file: file.to_path_buf(), archive_digest: summary.digest.clone(), manifest, replace: false }
}

pub async fn an_exported_archive_is_the_archive_and_replaces_nothing(h: &impl Harness) {
    let (fs, summary, out) = archived(h).await;
    let file = out.join("copy");
    assert_eq!(fs.export_archive(&look_into(&summary), &file, false, quiet()).await, Ok(summary.archive_bytes));
    assert_eq!(fs.read_foreign(&file).await.unwrap(), summary);
    let again = fs.export_archive(&look_into(&summary), &file, false, quiet()).await;
    assert_eq!(again.unwrap_err().kind, FsErrorKind::Exists);
    h.put_file(&out.join("old"), b"old");
    fs.export_archive(&look_into(&summary), &out.join("old"), true, quiet()).await.unwrap();
    assert_eq!(fs.read_foreign(&out.join("old")).await.unwrap(), summary);
    h.put(&out.join("dir"), &Tree::new());
    let over = fs.export_archive(&look_into(&summary), &out.join("dir"), true, quiet()).await;
    assert_eq!(over.unwrap_err().kind, FsErrorKind::Exists);
    let nowhere = fs.export_archive(&look_into(&summary), &out.join("none/x"), true, quiet()).await;
    assert_eq!(nowhere.unwrap_err().kind, FsErrorKind::NotFound);
    assert_eq!(h.get(&out).unwrap().keys().collect::<Vec<_>>(), ["copy", "old"], "nothing passing is left");
}

pub async fn an_export_of_another_archive_or_one_that_is_cancelled_leaves_nothing(h: &impl Harness) {
    let (fs, summary, out) = archived(h).await;
    let other = LookInto { archive_digest: "0".repeat(64), ..look_into(&summary) };
    let error = fs.export_archive(&other, &out.join("copy"), false, quiet()).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Corrupt);
    let cancelled = fs.export_archive(&look_into(&summary), &out.join("copy"), false, Arc::new(Cancelling)).await;
    assert_eq!(cancelled.unwrap_err().kind, FsErrorKind::Cancelled);
    assert_eq!(h.get(&out), Some(Tree::new()));
}

pub async fn an_imported_archive_is_the_one_that_was_exported(h: &impl Harness) {
    let (fs, summary, out) = archived(h).await;
    let file = out.join("copy");
    fs.export_archive(&look_into(&summary), &file, false, quiet()).await.unwrap();
    let as_it_is = job(&file, &summary, summary.manifest.clone());
    assert_eq!(fs.import_archive(&as_it_is, quiet()).await.unwrap_err().kind, FsErrorKind::Exists);
    assert_eq!(fs.verify_foreign(&file, quiet()).await.unwrap().summary, summary);
    let other = Manifest { note: Some("another".into()), ..summary.manifest.clone() };
    let over = ImportJob { replace: true, ..job(&file, &summary, other.clone()) };
    assert_eq!(fs.import_archive(&over, quiet()).await.unwrap().manifest, other);
    assert_eq!(h.second_process().read_archive(WORKLOAD, SNAPSHOT).await.unwrap().manifest, other);
    fs.remove_archive(WORKLOAD, SNAPSHOT).await.unwrap();
    assert_eq!(fs.import_archive(&as_it_is, quiet()).await.unwrap(), summary);
    assert_eq!(h.second_process().verify_archive(WORKLOAD, SNAPSHOT, quiet()).await.unwrap().summary, summary);
    assert_eq!(h.drafts(WORKLOAD), 0);
}

pub async fn an_import_under_another_identity_has_the_same_volumes(h: &impl Harness) {
    let (fs, summary, out) = archived(h).await;
    let file = out.join("copy");
    fs.export_archive(&look_into(&summary), &file, false, quiet()).await.unwrap();
    let snapshot = SnapshotId(Uuid::from_u128(22));
    let manifest = Manifest { workload: OTHER, snapshot, note: Some("x".repeat(5000)), ..summary.manifest.clone() };
    let imported = fs.import_archive(&job(&file, &summary, manifest.clone()), quiet()).await.unwrap();
    assert_eq!((&imported.manifest, &imported.totals), (&manifest, &summary.totals));
    assert_ne!(imported.digest, summary.digest);
    let reader = h.second_process();
    assert_eq!(reader.verify_archive(OTHER, snapshot, quiet()).await.unwrap().summary, imported);
    let live = h.data().join("live");
    let private = private_dir(&live, RESTORE, 0);
    let stage = StageJob { workload: OTHER, ..super::job(&imported, 0, &private) };
    fs.stage(&stage, quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), h.get(&live));
    assert_eq!(listed(&fs).await, [(WORKLOAD, SNAPSHOT), (OTHER, snapshot)]);
}

pub async fn a_file_that_is_no_archive_or_another_one_is_refused_and_leaves_nothing(h: &impl Harness) {
    let (fs, summary, out) = archived(h).await;
    let file = out.join("copy");
    h.put_file(&file, b"nonsense");
    assert_eq!(fs.read_foreign(&file).await.unwrap_err().kind, FsErrorKind::Corrupt);
    assert_eq!(fs.verify_foreign(&file, quiet()).await.unwrap_err().kind, FsErrorKind::Corrupt);
    assert_eq!(fs.read_foreign(&out.join("none")).await.unwrap_err().kind, FsErrorKind::NotFound);
    let manifest = Manifest { workload: OTHER, ..summary.manifest.clone() };
    let error = fs.import_archive(&job(&file, &summary, manifest.clone()), quiet()).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Corrupt);
    fs.export_archive(&look_into(&summary), &file, true, quiet()).await.unwrap();
    let other = ArchiveSummary { digest: "0".repeat(64), ..summary.clone() };
    let error = fs.import_archive(&job(&file, &other, manifest.clone()), quiet()).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Corrupt);
    let cancelled = fs.import_archive(&job(&file, &summary, manifest), Arc::new(Cancelling)).await;
    assert_eq!(cancelled.unwrap_err().kind, FsErrorKind::Cancelled);
    assert_eq!((h.drafts(OTHER), listed(&fs).await), (0, vec![(WORKLOAD, SNAPSHOT)]));
}

pub async fn archives_are_listed_and_drafts_are_none(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    assert_eq!(fs.archives().await.unwrap(), []);
    h.put(&live, &tree(&[("a", "1")]));
    let other = SnapshotId(Uuid::from_u128(5));
    let mut sizes = Vec::new();
    for snapshot in [other, SNAPSHOT] {
        let archive = archive(&fs, snapshot, std::slice::from_ref(&live)).await;
        sizes.push(ArchiveFile { workload: WORKLOAD, snapshot, bytes: Some(archive.archive_bytes) });
    }
    let _draft = draft(&fs, SnapshotId(Uuid::from_u128(6)), std::slice::from_ref(&live)).await.unwrap();
    assert_eq!(fs.archives().await.unwrap(), sizes);
    // What somebody did to them is seen without reading them.
    h.overwrite_file(&fs.archive_path(WORKLOAD, other), b"");
    h.remove_file(&fs.archive_path(WORKLOAD, SNAPSHOT));
    h.put(&fs.archive_path(WORKLOAD, SNAPSHOT), &Tree::new());
    (sizes[0].bytes, sizes[1].bytes) = (Some(0), None);
    assert_eq!(fs.archives().await.unwrap(), sizes);
}
