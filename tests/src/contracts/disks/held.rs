//! What is held: the lock of a workload, live directories, and what is held for calls.

#![allow(missing_docs, reason = "the names are the promises")]

use std::{sync::Mutex, thread};

use volsnap_core::ports::Lease;

use super::*;

pub async fn a_lock_is_exclusive_until_it_is_dropped(h: &impl Harness) {
    let (fs, second) = (h.disks(), h.second_process());
    let lease = fs.lock(WORKLOAD).await.unwrap();
    for other in [&fs, &second] {
        let Err(error) = other.lock(WORKLOAD).await else { panic!("the lock was given twice") };
        assert_eq!(error.kind, FsErrorKind::Busy);
        assert!(!error.message.is_empty());
    }
    let _unrelated = second.lock(WorkloadId(Uuid::from_u128(11))).await.unwrap();
    drop(lease);
    let lease = second.lock(WORKLOAD).await.unwrap();
    assert!(fs.lock(WORKLOAD).await.is_err());
    drop(lease);
    fs.lock(WORKLOAD).await.unwrap();
}

async fn busy(fs: &Arc<dyn Disks>, dir: &Path) {
    match fs.claim(&[dir.to_path_buf()]).await {
        Ok(_) => panic!("{} was given twice", dir.display()),
        Err(error) => assert_eq!(error.kind, FsErrorKind::Busy, "{error}"),
    }
}

async fn claim(fs: &Arc<dyn Disks>, dirs: &[&Path]) -> Claim {
    let dirs: Vec<PathBuf> = dirs.iter().map(|dir| dir.to_path_buf()).collect();
    let claim = fs.claim(&dirs).await.unwrap();
    assert_eq!(claim.unguarded, Vec::<PathBuf>::new());
    claim
}

pub async fn a_claimed_directory_is_held_with_what_is_above_and_below_it(h: &impl Harness) {
    let (fs, second) = (h.disks(), h.second_process());
    let (outer, inner, beside) = (h.data().join("outer"), h.data().join("outer/inner"), h.data().join("outer-2"));
    h.put(&inner, &tree(&[("file", "x")]));
    h.put(&beside, &tree(&[("file", "x")]));
    // Two volumes of one claim may lie in each other.
    let both = claim(&fs, &[&outer, &inner]).await;
    for other in [&fs, &second] {
        busy(other, &outer).await;
        busy(other, &inner).await;
    }
    let _beside = claim(&second, &[&beside]).await;
    drop(both);
    let below = claim(&second, &[&inner]).await;
    busy(&fs, &outer).await;
    busy(&fs, &inner).await;
    drop(below);
    let above = claim(&second, &[&outer]).await;
    busy(&fs, &inner).await;
    drop(above);
    claim(&fs, &[&outer, &inner]).await;
    // Nothing stays of a claim that was refused in the middle.
    assert!(fs.claim(&[outer.clone(), beside]).await.is_err());
    claim(&second, &[&outer]).await;
}

pub async fn a_claim_holds_the_name_whatever_gets_it(h: &impl Harness) {
    let (fs, second) = (h.disks(), h.second_process());
    let (live, aside) = (h.data().join("live"), h.data().join("aside"));
    let absent = claim(&fs, &[&live]).await;
    busy(&second, &live).await;
    h.put(&live, &tree(&[("file", "x")]));
    busy(&second, &live).await;
    drop(absent);
    let held = claim(&fs, &[&live]).await;
    fs.rename(&live, &aside).await.unwrap();
    busy(&second, &live).await;
    h.put(&live.join("inner"), &tree(&[("file", "y")]));
    busy(&second, &live).await;
    busy(&second, &live.join("inner")).await;
    drop(held);
    claim(&second, &[&live, &aside]).await;
}

/// Another workload than [`WORKLOAD`].
fn another(n: u8) -> WorkloadId {
    WorkloadId(Uuid::from_u128(100 + u128::from(n)))
}

/// The ports for calls that go on under a workload's lock.
struct Under {
    filesystem: Arc<dyn Filesystem>,
    archives: Arc<dyn Archives>,
    journals: Arc<dyn Journals>,
}

/// These, and the lock.
async fn under_its_lock(fs: &Arc<dyn Disks>, workload: WorkloadId) -> (Under, Arc<dyn Lease>) {
    let lease: Arc<dyn Lease> = fs.lock(workload).await.unwrap().into();
    let under = Under {
        filesystem: Filesystem::under(&**fs, lease.clone()).unwrap_or_else(|| fs.clone()),
        archives: Archives::under(&**fs, lease.clone()).unwrap_or_else(|| fs.clone()),
        journals: Journals::under(&**fs, lease.clone()).unwrap_or_else(|| fs.clone()),
    };
    (under, lease)
}

/// Does something once, in the middle of a call that looks whether it shall go on.
struct Amid<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Observer for Amid<F> {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        if let Some(act) = self.0.lock().unwrap().take() {
            act();
        }
        false
    }
}

/// Whether a lock is free just now, asked from a thread of its own.
fn is_free(fs: &Arc<dyn Disks>, workload: WorkloadId) -> bool {
    let fs = fs.clone();
    let ask = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(fs.lock(workload)).is_ok()
    };
    thread::spawn(ask).join().unwrap()
}

pub async fn a_lock_ends_with_its_lease_whatever_else_is_at_work(h: &impl Harness) {
    let (fs, live, other) = (h.disks(), h.data().join("live"), another(0));
    h.put(&live, &tree(&[("a", "1")]));
    let (mine, _lease) = under_its_lock(&fs, WORKLOAD).await;
    let (theirs, lease) = under_its_lock(&fs, other).await;
    theirs.journals.write_journal(other, b"\"at work\"").await.unwrap();
    let (seen, outside) = (Arc::new(Mutex::new(None)), fs.clone());
    let saw = seen.clone();
    let amid = move || {
        let before = is_free(&outside, other);
        drop((theirs, lease));
        *saw.lock().unwrap() = Some((before, is_free(&outside, other), is_free(&outside, WORKLOAD)));
    };
    let watch: Watch = Arc::new(Amid(Mutex::new(Some(amid))));
    let draft = mine.archives.draft_archive(&manifest(SNAPSHOT, &[false]), &sources(&[live]), watch).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), Some((false, true, false)), "free before, free after, and the reader's own");
    draft.seal(0).await.unwrap();
}

pub async fn many_workloads_are_at_work_at_once(h: &impl Harness) {
    let (fs, second) = (h.disks(), h.second_process());
    let mut at_work = Vec::new();
    for n in 0..16_u8 {
        let (fs, second, live) = (fs.clone(), second.clone(), h.data().join(format!("live{n}")));
        h.put(&live, &tree(&[("a", &n.to_string()), ("d/b", &"0123456789".repeat(10_000))]));
        let manifest = Manifest { workload: another(n), ..manifest(SnapshotId(Uuid::from_u128(n.into())), &[false]) };
        at_work.push(tokio::spawn(async move {
            let (mine, lease) = under_its_lock(&fs, manifest.workload).await;
            mine.journals.write_journal(manifest.workload, b"\"at work\"").await.unwrap();
            let draft =
                mine.archives.draft_archive(&manifest, &sources(std::slice::from_ref(&live)), quiet()).await.unwrap();
            assert!(second.lock(manifest.workload).await.is_err(), "it was given twice");
            let summary = draft.seal(0).await.unwrap();
            let private = private_dir(&live, RESTORE, n.into());
            let job = StageJob { workload: manifest.workload, ..job(&summary, 0, &private) };
            mine.filesystem.stage(&job, quiet()).await.unwrap();
            mine.journals.remove_journal(manifest.workload).await.unwrap();
            drop((mine, lease));
            second.lock(manifest.workload).await.map(drop).unwrap();
            (live, private)
        }));
    }
    for work in at_work {
        let (live, private) = work.await.unwrap();
        assert!(h.get(&staged_in(&private)) == h.get(&live), "{}", live.display());
    }
    assert_eq!(second.journals().await.unwrap(), []);
    assert_eq!(second.archives().await.unwrap().len(), 16);
}
