//! Journals and locks.

#![allow(missing_docs, reason = "the names are the promises")]

use super::*;

pub async fn a_journal_is_replaced_as_a_whole(h: &impl Harness) {
    let fs = h.filesystem();
    assert_eq!(fs.read_journal(WORKLOAD).await.unwrap(), None);
    // Longer and shorter than before, and around the sizes at which space is reserved anew.
    for len in [2, 70_000, 3, 200_000, 199_999, 65_536, 49_152, 1_000_000, 16] {
        let text = format!("\"{}\"", "j".repeat(len));
        fs.write_journal(WORKLOAD, text.as_bytes()).await.unwrap();
        let read = h.second_process().read_journal(WORKLOAD).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), text);
    }
}

pub async fn a_journal_is_listed_until_it_is_removed(h: &impl Harness) {
    let fs = h.filesystem();
    let other = WorkloadId(Uuid::from_u128(11));
    assert_eq!(fs.journals().await.unwrap(), []);
    fs.remove_journal(WORKLOAD).await.unwrap();
    fs.write_journal(other, b"{}").await.unwrap();
    fs.write_journal(WORKLOAD, b"not even json").await.unwrap();
    fs.write_journal(WORKLOAD, b"nor this").await.unwrap();
    let mut listed = h.second_process().journals().await.unwrap();
    listed.sort();
    assert_eq!(listed, [WORKLOAD, other]);
    fs.remove_journal(WORKLOAD).await.unwrap();
    fs.remove_journal(WORKLOAD).await.unwrap();
    assert_eq!(fs.read_journal(WORKLOAD).await.unwrap(), None);
    assert_eq!(fs.journals().await.unwrap(), [other]);
}

pub async fn a_lock_is_exclusive_until_it_is_dropped(h: &impl Harness) {
    let (fs, second) = (h.filesystem(), h.second_process());
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
