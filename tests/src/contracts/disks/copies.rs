//! Copies elsewhere than at the live directories.

#![allow(missing_docs, reason = "the names are the promises")]

use volsnap_core::{
    model::Owners,
    ports::{CopyJob, CopyNote, CopyTree, LookInto, PrivateNote},
};

use super::*;

fn look_into(summary: &ArchiveSummary) -> LookInto {
    LookInto { workload: WORKLOAD, snapshot: summary.manifest.snapshot, archive_digest: summary.digest.clone() }
}

fn copy_tree(index: usize, at: &[&str], paths: &[&str]) -> CopyTree {
    CopyTree {
        index: Some(index),
        target: format!("/v{index}"),
        at: at.iter().map(ToString::to_string).collect(),
        paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
        limits: GENEROUS,
    }
}

fn copy_job(summary: &ArchiveSummary, private: &Path, trees: Vec<CopyTree>) -> CopyJob {
    CopyJob { archive: look_into(summary), private: private.to_path_buf(), trees, owners: Owners::default() }
}

/// Two volumes, archived.
async fn archived(h: &impl Harness) -> (ArchiveSummary, [Tree; 2]) {
    let (fs, data) = (h.disks(), h.data());
    let trees = [tree(&[("a", "1"), ("d/e/f", "two"), ("d/g", "three")]), tree(&[("b", "")])];
    let roots = [data.join("one"), data.join("two")];
    for (root, tree) in roots.iter().zip(&trees) {
        h.put(root, tree);
    }
    (archive(&fs, SNAPSHOT, &roots).await, trees)
}

pub async fn a_copy_holds_volumes_by_their_names_whole_and_beside_nothing_else(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let (summary, trees) = archived(h).await;
    let private = private_dir(&data.join("copy"), RESTORE, 0);
    let job = copy_job(&summary, &private, vec![copy_tree(0, &["x", "one"], &[]), copy_tree(1, &["two"], &[])]);
    let made = fs.copy_out(&job, quiet()).await.unwrap();
    let staged = staged_in(&private);
    assert_eq!(h.get(&staged.join("x/one")).as_ref(), Some(&trees[0]));
    assert_eq!(h.get(&staged.join("two")).as_ref(), Some(&trees[1]));
    assert_eq!(h.get(&private).unwrap().len(), trees[0].len() + trees[1].len());
    let sizes = |index: usize| (summary.totals[index].bytes, summary.totals[index].entries);
    assert_eq!(made.trees.iter().map(|size| (size.bytes, size.entries)).collect::<Vec<_>>(), [sizes(0), sizes(1)]);
    fs.rename(&staged, &data.join("copy")).await.unwrap();
    fs.discard(RESTORE, &private, None).await.unwrap();
    assert_eq!(look(&fs, &private).await, Sight::Absent);
    assert_eq!(h.get(&data.join("copy/two")).as_ref(), Some(&trees[1]));
}

pub async fn a_part_is_copied_with_the_directories_above_it_and_no_more(h: &impl Harness) {
    let fs = h.disks();
    let (summary, _) = archived(h).await;
    let private = private_dir(&h.data().join("copy"), RESTORE, 0);
    for (paths, wanted) in [
        (&["d/e"][..], tree(&[("d/e/f", "two")])),
        (&["d/g", "a"], tree(&[("a", "1"), ("d/g", "three")])),
        (&["d", "d/g"], tree(&[("d/e/f", "two"), ("d/g", "three")])),
    ] {
        fs.copy_out(&copy_job(&summary, &private, vec![copy_tree(0, &[], paths)]), quiet()).await.unwrap();
        assert_eq!(h.get(&staged_in(&private)), Some(wanted), "{paths:?}");
        fs.discard(RESTORE, &private, None).await.unwrap();
    }
}

pub async fn a_copy_that_cannot_be_made_has_no_staged_tree(h: &impl Harness) {
    let fs = h.disks();
    let (summary, _) = archived(h).await;
    let private = private_dir(&h.data().join("copy"), RESTORE, 0);
    let other = CopyJob {
        archive: LookInto { archive_digest: "0".repeat(64), ..look_into(&summary) },
        ..copy_job(&summary, &private, vec![copy_tree(0, &[], &[])])
    };
    let limits = Limits { entries_max: 2, ..GENEROUS };
    let nested = vec![copy_tree(0, &["a"], &[]), copy_tree(1, &["a", "b"], &[])];
    for (job, kind) in [
        (other, FsErrorKind::Corrupt),
        (copy_job(&summary, &private, vec![copy_tree(0, &[], &["d/none"])]), FsErrorKind::NotFound),
        (copy_job(&summary, &private, vec![CopyTree { limits, ..copy_tree(0, &[], &[]) }]), FsErrorKind::Hostile),
        (copy_job(&summary, &private, nested), FsErrorKind::Unsupported),
    ] {
        assert_eq!(fs.copy_out(&job, quiet()).await.unwrap_err().kind, kind);
        assert_eq!(look(&fs, &private).await, Sight::Absent, "{kind:?}");
    }
    let job = copy_job(&summary, &private, vec![copy_tree(0, &[], &[])]);
    assert_eq!(fs.copy_out(&job, Arc::new(Cancelling)).await.unwrap_err().kind, FsErrorKind::Cancelled);
    assert_eq!(look(&fs, &staged_in(&private)).await, Sight::Absent);
}

pub async fn a_tree_that_is_read_back_is_the_volume_or_is_told_from_it(h: &impl Harness) {
    let fs = h.disks();
    let (summary, _) = archived(h).await;
    let private = private_dir(&h.data().join("copy"), RESTORE, 0);
    fs.copy_out(&copy_job(&summary, &private, vec![copy_tree(0, &[], &[])]), quiet()).await.unwrap();
    let staged = staged_in(&private);
    let back = fs.read_back(&look_into(&summary), 0, &staged, quiet()).await.unwrap();
    let totals = &summary.totals[0];
    assert_eq!((back.bytes, back.entries, &back.digest), (totals.bytes, totals.entries, &totals.digest));
    assert_eq!(back.difference, None);
    h.put_file(&staged.join("d/more"), b"more");
    let back = fs.read_back(&look_into(&summary), 0, &staged, quiet()).await.unwrap();
    assert_ne!(back.digest, totals.digest);
    assert!(back.difference.is_some());
    let other = LookInto { archive_digest: "0".repeat(64), ..look_into(&summary) };
    assert_eq!(fs.read_back(&other, 0, &staged, quiet()).await.unwrap_err().kind, FsErrorKind::Corrupt);
}

pub async fn a_copy_is_noted_until_it_ends_and_abandoned_when_nobody_is_at_it(h: &impl Harness) {
    let (fs, other) = (h.disks(), h.second_process());
    let note = CopyNote {
        id: RESTORE,
        what: "clone".into(),
        workload: "app".into(),
        began_at: Timestamp::from_second(1_700_000_000).unwrap(),
        private: vec![PrivateNote {
            path: private_dir(&h.data().join("copy"), RESTORE, 0),
            parent: identity(&fs, &h.data()).await,
        }],
        containers: true,
        runtime: None,
    };
    assert_eq!(other.abandoned_copies().await.unwrap(), []);
    let lease = fs.begin_copy(&note).await.unwrap();
    assert_eq!(other.abandoned_copies().await.unwrap(), []);
    drop(lease);
    assert_eq!(other.abandoned_copies().await.unwrap(), [note]);
    for _ in 0..2 {
        other.end_copy(RESTORE).await.unwrap();
        assert_eq!(fs.abandoned_copies().await.unwrap(), []);
    }
    let scratch = fs.scratch_dir().await.unwrap();
    assert!(scratch.starts_with(fs.state_dir()));
    assert_eq!(other.scratch_dir().await.unwrap(), scratch);
    assert!(matches!(look(&fs, &scratch).await, Sight::Directory { empty: true, .. }));
}
