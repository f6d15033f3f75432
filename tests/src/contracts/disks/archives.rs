//! Archives: drafted, sealed, staged, verified and removed.

#![allow(missing_docs, reason = "the names are the promises")]

use super::*;

pub async fn a_staged_tree_is_the_archived_one_and_has_its_digest(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let trees = [tree(&[("a", "1"), ("d/e/f", "two"), ("big", &"0123456789".repeat(1_000_000))]), tree(&[("b", "")])];
    let roots = [data.join("one"), data.join("two")];
    for (root, tree) in roots.iter().zip(&trees) {
        h.put(root, tree);
    }
    let summary = archive(&fs, SNAPSHOT, &roots).await;
    let mut staged_roots = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        let private = private_dir(&roots[index], RESTORE, index);
        let staged = fs.stage(&job(&summary, index, &private), quiet()).await.unwrap();
        let root = staged_in(&private);
        assert_eq!(h.get(&root).as_ref(), Some(tree));
        assert_eq!(staged.identity, identity(&fs, &root).await);
        assert_eq!(staged.size.bytes, summary.totals[index].bytes);
        assert_eq!(staged.size.entries, summary.totals[index].entries);
        assert_eq!(h.get(&private).unwrap().len(), tree.len(), "nothing else is left beside the staged tree");
        staged_roots.push(root);
    }
    let again = archive(&fs, SnapshotId(Uuid::from_u128(21)), &staged_roots).await;
    let digests = |summary: &ArchiveSummary| summary.totals.iter().map(|t| t.digest.clone()).collect::<Vec<_>>();
    assert_eq!(digests(&again), digests(&summary));
    assert_ne!(summary.totals[0].digest, summary.totals[1].digest);
}

pub async fn a_tree_that_stands_staged_is_returned_as_it_is(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let private = private_dir(&live, RESTORE, 0);
    let first = fs.stage(&job(&summary, 0, &private), quiet()).await.unwrap();
    let second = fs.stage(&job(&summary, 0, &private), quiet()).await.unwrap();
    assert_eq!(first.identity, second.identity);
    assert_eq!(h.get(&staged_in(&private)), Some(tree(&[("a", "1")])));
}

pub async fn an_absent_volume_is_staged_as_an_empty_directory(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    let manifest = manifest(SNAPSHOT, &[true]);
    let sources = [ArchiveSource { target: "/v0".into(), root: None }];
    let summary = fs.draft_archive(&manifest, &sources, quiet()).await.unwrap().seal(0).await.unwrap();
    assert_eq!((summary.totals.len(), summary.totals[0].entries), (1, 0));
    let private = private_dir(&live, RESTORE, 0);
    let job = StageJob { index: None, ..job(&summary, 0, &private) };
    fs.stage(&job, quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(Tree::new()));
    assert_eq!(look(&fs, &live).await, Sight::Absent);
}

pub async fn another_archive_under_the_name_is_corrupt(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let private = private_dir(&live, RESTORE, 0);
    let job = StageJob { archive_digest: "0".repeat(64), ..job(&summary, 0, &private) };
    assert_eq!(fs.stage(&job, quiet()).await.unwrap_err().kind, FsErrorKind::Corrupt);
    assert_eq!(look(&fs, &staged_in(&private)).await, Sight::Absent);
}

pub async fn an_archive_that_breaks_a_limit_is_hostile(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "12345"), ("b", "67890")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let private = private_dir(&live, RESTORE, 0);
    for limits in [Limits { bytes_max: 9, ..GENEROUS }, Limits { entries_max: 2, ..GENEROUS }] {
        let job = StageJob { limits, ..job(&summary, 0, &private) };
        assert_eq!(fs.stage(&job, quiet()).await.unwrap_err().kind, FsErrorKind::Hostile, "{limits:?}");
        assert_eq!(look(&fs, &staged_in(&private)).await, Sight::Absent);
    }
    let exact = Limits { bytes_max: 10, entries_max: 3, ..GENEROUS };
    fs.stage(&StageJob { limits: exact, ..job(&summary, 0, &private) }, quiet()).await.unwrap();
}

pub async fn a_cancelled_stage_leaves_no_staged_tree(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let private = private_dir(&live, RESTORE, 0);
    let error = fs.stage(&job(&summary, 0, &private), Arc::new(Cancelling)).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::Cancelled);
    assert_eq!(look(&fs, &staged_in(&private)).await, Sight::Absent);
    fs.stage(&job(&summary, 0, &private), quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(tree(&[("a", "1")])));
}

pub async fn private_names_and_lost_found_are_not_archived(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    let private = private_dir(&live, RESTORE, 0);
    let ours = private_name(RESTORE, 12);
    let data = [
        ("a".into(), "1"),
        // Like a name of volsnap, and none.
        (".volsnap-note".into(), "mine"),
        (".volsnap-hooks/pre.sh".into(), "mine"),
        (format!("{ours}0x"), "mine"),
        (format!(".volsnap-{}-1", "0".repeat(31)), "mine"),
        (format!("d/{ours}"), "below the root"),
        ("d/lost+found/z".into(), "below the root"),
    ];
    let all = data.iter().cloned().chain([(format!("{ours}/y"), "3"), ("lost+found/z".into(), "4")]);
    let all: Vec<(String, &str)> = all.collect();
    let tree = |files: &[(String, &str)]| tree(&files.iter().map(|(path, text)| (&**path, *text)).collect::<Vec<_>>());
    h.put(&live, &tree(&all));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    assert_eq!(fs.measure(&live).await.unwrap().entries, summary.totals[0].entries);
    fs.stage(&job(&summary, 0, &private), quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(tree(&data)));
}

pub async fn a_sealed_archive_says_what_it_holds_and_verifies(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "12"), ("d/b", "345")]));
    let draft = draft(&fs, SNAPSHOT, std::slice::from_ref(&live)).await.unwrap();
    assert_eq!(fs.read_archive(WORKLOAD, SNAPSHOT).await.unwrap_err().kind, FsErrorKind::NotFound);
    let summary = draft.seal(17).await.unwrap();
    assert_eq!(summary.manifest, manifest(SNAPSHOT, &[false]));
    assert_eq!((summary.quiesced_ms, summary.totals.len()), (17, 1));
    assert_eq!((summary.totals[0].bytes, summary.totals[0].entries), (5, 4));
    let reader = h.second_process();
    assert_eq!(reader.read_archive(WORKLOAD, SNAPSHOT).await.unwrap(), summary);
    let verified = reader.verify_archive(WORKLOAD, SNAPSHOT, quiet()).await.unwrap();
    assert_eq!(verified.summary, summary);
    assert!(verified.bytes_read > 0 && verified.bytes_read <= summary.archive_bytes);
    assert_eq!(reader.verify_stored(WORKLOAD, SNAPSHOT, quiet()).await.unwrap().summary, summary);
    assert_eq!(h.drafts(WORKLOAD), 0);
}

pub async fn a_draft_that_is_dropped_leaves_nothing(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let draft = draft(&fs, SNAPSHOT, std::slice::from_ref(&live)).await.unwrap();
    assert_eq!(h.drafts(WORKLOAD), 1);
    drop(draft);
    assert_eq!(h.drafts(WORKLOAD), 0);
    assert_eq!(fs.read_archive(WORKLOAD, SNAPSHOT).await.unwrap_err().kind, FsErrorKind::NotFound);
}

pub async fn a_draft_that_a_kill_left_is_swept(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    fs.sweep_drafts(WORKLOAD).await.unwrap();
    h.put(&live, &tree(&[("a", "1")]));
    let sealed = archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let draft = draft(&fs, SnapshotId(Uuid::from_u128(21)), std::slice::from_ref(&live)).await.unwrap();
    // A killed process runs no destructors.
    std::mem::forget(draft);
    assert_eq!(h.drafts(WORKLOAD), 1);
    let second = h.second_process();
    let listed = second.drafts().await.unwrap();
    assert_eq!(listed.iter().map(|draft| draft.workload).collect::<Vec<_>>(), [WORKLOAD], "only the unfinished one");
    assert!(listed[0].bytes > 0 && listed[0].path.starts_with(second.state_dir()), "{listed:?}");
    second.sweep_drafts(WORKLOAD).await.unwrap();
    assert_eq!(h.drafts(WORKLOAD), 0);
    assert_eq!(second.drafts().await.unwrap(), []);
    assert_eq!(fs.read_archive(WORKLOAD, SNAPSHOT).await.unwrap(), sealed);
}

pub async fn an_archive_is_removed_and_absent_is_success(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    fs.remove_archive(WORKLOAD, SNAPSHOT).await.unwrap();
    h.put(&live, &Tree::new());
    let other = SnapshotId(Uuid::from_u128(21));
    archive(&fs, SNAPSHOT, std::slice::from_ref(&live)).await;
    let kept = archive(&fs, other, std::slice::from_ref(&live)).await;
    fs.remove_archive(WORKLOAD, SNAPSHOT).await.unwrap();
    fs.remove_archive(WORKLOAD, SNAPSHOT).await.unwrap();
    assert_eq!(fs.read_archive(WORKLOAD, SNAPSHOT).await.unwrap_err().kind, FsErrorKind::NotFound);
    assert_eq!(fs.read_archive(WORKLOAD, other).await.unwrap(), kept);
}
