//! Archives in two passes: copied while an app writes, captured while it is quiet.
//!
//! A filesystem on which a change might go unnoticed has no first pass; there these promises are empty, and the test says so.

#![allow(missing_docs, reason = "the names are the promises")]

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const PLAIN: SnapshotId = SnapshotId(Uuid::from_u128(21));

/// The first pass over such volumes; `None`, with a word about it, where there is none.
async fn copied(fs: &Arc<dyn Disks>, roots: &[PathBuf], watch: Watch) -> Option<Result<Box<dyn Precopy>, FsError>> {
    let manifest = manifest(SNAPSHOT, &vec![false; roots.len()]);
    let copied = fs.precopy(&manifest, &sources(roots), watch).await.transpose();
    if copied.is_none() {
        println!("skipped: a change may go unnoticed on this filesystem, so there is no first pass");
    }
    copied
}

/// Stages every volume of an archive and gives what stands there.
async fn staged(h: &impl Harness, summary: &ArchiveSummary, roots: &[PathBuf]) -> Vec<Tree> {
    let fs = h.disks();
    let mut trees = Vec::new();
    for (index, root) in roots.iter().enumerate() {
        let private = private_dir(root, RESTORE, index);
        fs.stage(&job(summary, index, &private), quiet()).await.unwrap();
        trees.push(h.get(&staged_in(&private)).unwrap());
        fs.discard(RESTORE, &private, None).await.unwrap();
    }
    trees
}

pub async fn an_archive_in_two_passes_has_the_state_of_its_capture(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let roots = [data.join("one"), data.join("two")];
    h.put(&roots[0], &tree(&[("a", "1"), ("counter", "0001"), ("d/going", "x"), ("d/e/stays", "y"), ("z", "last")]));
    h.put(&roots[1], &tree(&[("counter", "0001"), ("replaced", "old"), ("large", &"0123456789".repeat(1_000_000))]));
    h.age();
    let Some(copied) = copied(&fs, &roots, quiet()).await else { return };
    let copied = copied.unwrap();
    // The app goes on: one file as long as it was, one longer, one that is another one, one gone, new ones.
    for root in &roots {
        h.overwrite_file(&root.join("counter"), b"0002");
    }
    h.overwrite_file(&roots[0].join("a"), b"longer than before");
    h.remove_file(&roots[0].join("d/going"));
    h.remove_file(&roots[1].join("replaced"));
    h.put(&roots[1], &tree(&[("replaced", "new"), ("fresh/one", "1")]));
    h.put_file(&roots[0].join("m"), b"between others");
    // Now it is quiet.
    let frozen: Vec<Tree> = roots.iter().map(|root| h.get(root).unwrap()).collect();
    let captured = copied.capture(quiet()).await.unwrap();
    assert_eq!(fs.read_archive(WORKLOAD, SNAPSHOT).await.unwrap_err().kind, FsErrorKind::NotFound);
    let plain = archive(&fs, PLAIN, &roots).await;
    // It runs again before the archive is put together.
    for root in &roots {
        h.overwrite_file(&root.join("counter"), b"0003");
        h.put_file(&root.join("later"), b"later");
    }
    h.remove_file(&roots[0].join("z"));
    h.overwrite_file(&roots[1].join("large"), b"short");
    let summary = captured.seal(17).await.unwrap();
    assert_eq!((summary.quiesced_ms, &summary.totals), (17, &plain.totals), "as a plain archive of that moment");
    assert_eq!(fs.verify_archive(WORKLOAD, SNAPSHOT, quiet()).await.unwrap().summary, summary);
    assert_eq!(staged(h, &summary, &roots).await, frozen);
    assert_eq!(h.drafts(WORKLOAD), 0);
}

pub async fn an_archive_in_two_passes_of_what_did_not_change_is_the_plain_one(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    let ours = format!("{}/y", private_name(RESTORE, 0));
    let large = "0123456789".repeat(1_000_000);
    h.put(&live, &tree(&[("a", "1"), ("d/b", &large), (&*ours, "3"), (".volsnap-note", "mine")]));
    h.age();
    let roots = [live];
    let Some(copied) = copied(&fs, &roots, quiet()).await else { return };
    let summary = copied.unwrap().capture(quiet()).await.unwrap().seal(0).await.unwrap();
    let plain = archive(&fs, PLAIN, &roots).await;
    assert_eq!(summary.totals, plain.totals);
    assert_eq!(staged(h, &summary, &roots).await, staged(h, &plain, &roots).await);
}

/// Whatever the first pass meets while names come and go under it, the archive is that of the capture.
pub async fn a_first_pass_reads_what_an_app_writes_all_the_time(h: &(impl Harness + Sync)) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    let files: Vec<(String, String)> = (0..300).map(|n| (format!("d{}/f{n}", n % 7), format!("{n:08}"))).collect();
    h.put(&live, &files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes())).collect());
    let roots = [live.clone()];
    let over = AtomicBool::new(false);
    let write = || {
        for n in 0_usize.. {
            let (path, _) = &files[n * 7 % files.len()];
            match n % 3 {
                0 => h.overwrite_file(&live.join(path), format!("{n:08}").as_bytes()),
                1 => h.put_file(&live.join(format!("d{}/new{n}", n % 7)), b"new"),
                _ => h.remove_file(&live.join(format!("d{}/new{}", (n - 1) % 7, n - 1))),
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let copied = std::thread::scope(|scope| {
        scope.spawn(write);
        let copied =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(copied(&fs, &roots, quiet())));
        over.store(true, Ordering::Relaxed);
        copied
    });
    let Some(copied) = copied else { return };
    let captured = copied.unwrap().capture(quiet()).await.unwrap();
    let frozen = h.get(&live).unwrap();
    let plain = archive(&fs, PLAIN, &roots).await;
    let summary = captured.seal(0).await.unwrap();
    assert_eq!(summary.totals, plain.totals);
    assert_eq!(staged(h, &summary, &roots).await, [frozen]);
}

pub async fn an_absent_volume_is_absent_in_two_passes_too(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let manifest = manifest(SNAPSHOT, &[true, false]);
    let sources = [
        ArchiveSource { target: "/v0".into(), root: None },
        ArchiveSource { target: "/v1".into(), root: Some(live.clone()) },
    ];
    let Some(copied) = fs.precopy(&manifest, &sources, quiet()).await.unwrap() else {
        return println!("skipped: a change may go unnoticed on this filesystem, so there is no first pass");
    };
    let summary = copied.capture(quiet()).await.unwrap().seal(0).await.unwrap();
    assert_eq!((summary.totals.len(), summary.totals[0].entries, summary.totals[1].entries), (2, 0, 2));
}

pub async fn a_first_pass_that_is_dropped_leaves_nothing(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let roots = [live];
    let Some(first) = copied(&fs, &roots, quiet()).await else { return };
    assert_eq!(h.drafts(WORKLOAD), 1);
    drop(first);
    assert_eq!(h.drafts(WORKLOAD), 0);
    let second = copied(&fs, &roots, quiet()).await.unwrap().unwrap();
    let captured = second.capture(quiet()).await.unwrap();
    assert_eq!(h.drafts(WORKLOAD), 1);
    drop(captured);
    assert_eq!(h.drafts(WORKLOAD), 0);
    assert_eq!(fs.read_archive(WORKLOAD, SNAPSHOT).await.unwrap_err().kind, FsErrorKind::NotFound);
}

pub async fn a_first_pass_that_a_kill_left_is_swept(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let roots = [live];
    let plain = archive(&fs, PLAIN, &roots).await;
    let Some(first) = copied(&fs, &roots, quiet()).await else { return };
    // A killed process runs no destructors.
    std::mem::forget(first);
    assert_eq!(h.drafts(WORKLOAD), 1, "what a kill leaves is one unfinished archive, whatever else was in use");
    h.second_process().sweep_drafts(WORKLOAD).await.unwrap();
    assert_eq!(h.drafts(WORKLOAD), 0);
    assert_eq!(fs.read_archive(WORKLOAD, PLAIN).await.unwrap(), plain);
}

pub async fn a_first_pass_and_a_capture_that_are_cancelled_leave_nothing(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("a", "1")]));
    let roots = [live];
    let Some(first) = copied(&fs, &roots, Arc::new(Cancelling)).await else { return };
    assert_eq!(first.map(|_| ()).unwrap_err().kind, FsErrorKind::Cancelled);
    assert_eq!(h.drafts(WORKLOAD), 0);
    let second = copied(&fs, &roots, quiet()).await.unwrap().unwrap();
    let cancelled = second.capture(Arc::new(Cancelling)).await;
    assert_eq!(cancelled.map(|_| ()).unwrap_err().kind, FsErrorKind::Cancelled);
    assert_eq!(h.drafts(WORKLOAD), 0);
}
