//! Journals and locks.

#![allow(missing_docs, reason = "the names are the promises")]

use super::*;

pub async fn a_journal_is_replaced_as_a_whole(h: &impl Harness) {
    let fs = h.disks();
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
    let fs = h.disks();
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

pub async fn a_retired_journal_is_the_record_of_the_last_restore(h: &impl Harness) {
    let fs = h.disks();
    assert_eq!(fs.retired_journal(WORKLOAD).await.unwrap(), None);
    fs.retire_journal(WORKLOAD).await.unwrap();
    assert_eq!(fs.retired_journal(WORKLOAD).await.unwrap(), None, "there was none to be retired");
    for text in ["\"a long first one\"", "\"second\""] {
        fs.write_journal(WORKLOAD, text.as_bytes()).await.unwrap();
        fs.retire_journal(WORKLOAD).await.unwrap();
        let second = h.second_process();
        assert_eq!(second.journals().await.unwrap(), []);
        assert_eq!(second.read_journal(WORKLOAD).await.unwrap(), None);
        assert_eq!(second.retired_journal(WORKLOAD).await.unwrap().as_deref(), Some(text.as_bytes()));
    }
    // A copy that is kept beside an open journal.
    fs.write_journal(WORKLOAD, b"\"open\"").await.unwrap();
    for text in ["\"a copy that is longer than the next\"", "\"a copy\""] {
        fs.record_restore(WORKLOAD, text.as_bytes()).await.unwrap();
        let second = h.second_process();
        assert_eq!(second.retired_journal(WORKLOAD).await.unwrap().as_deref(), Some(text.as_bytes()));
        assert_eq!(second.read_journal(WORKLOAD).await.unwrap().as_deref(), Some(&b"\"open\""[..]));
        assert_eq!(second.journals().await.unwrap(), [WORKLOAD]);
    }
    fs.write_journal(WORKLOAD, b"\"second\"").await.unwrap();
    fs.retire_journal(WORKLOAD).await.unwrap();
    // Neither a journal that is opened and removed nor a second retirement touches it, and it is one workload's.
    fs.write_journal(WORKLOAD, b"{}").await.unwrap();
    fs.remove_journal(WORKLOAD).await.unwrap();
    fs.retire_journal(WORKLOAD).await.unwrap();
    assert_eq!(fs.retired_journal(WORKLOAD).await.unwrap().as_deref(), Some(&b"\"second\""[..]));
    assert_eq!(fs.retired_journal(WorkloadId(Uuid::from_u128(11))).await.unwrap(), None);
    fs.forget_retired(WORKLOAD).await.unwrap();
    fs.forget_retired(WORKLOAD).await.unwrap();
    assert_eq!(fs.retired_journal(WORKLOAD).await.unwrap(), None);
}

pub async fn a_record_that_is_set_aside_is_kept_until_it_is_forgotten(h: &impl Harness) {
    let fs = h.disks();
    let other = RestoreId(Uuid::from_u128(31));
    assert_eq!(fs.records().await.unwrap(), []);
    fs.set_record_aside(WORKLOAD, RESTORE).await.unwrap();
    assert_eq!(fs.record_aside(WORKLOAD, RESTORE).await.unwrap(), None, "there was none to be set aside");
    for (restore, text) in [(RESTORE, "\"first\""), (other, "\"second\"")] {
        fs.write_journal(WORKLOAD, text.as_bytes()).await.unwrap();
        fs.retire_journal(WORKLOAD).await.unwrap();
        fs.set_record_aside(WORKLOAD, restore).await.unwrap();
        fs.set_record_aside(WORKLOAD, restore).await.unwrap();
        let second = h.second_process();
        assert_eq!(second.retired_journal(WORKLOAD).await.unwrap(), None);
        assert_eq!(second.record_aside(WORKLOAD, restore).await.unwrap().as_deref(), Some(text.as_bytes()));
    }
    fs.record_restore(WORKLOAD, b"\"third\"").await.unwrap();
    let all = [(WORKLOAD, None), (WORKLOAD, Some(RESTORE)), (WORKLOAD, Some(other))];
    assert_eq!(h.second_process().records().await.unwrap(), all);
    assert_eq!(fs.record_aside(WorkloadId(Uuid::from_u128(11)), RESTORE).await.unwrap(), None);
    fs.forget_record_aside(WORKLOAD, RESTORE).await.unwrap();
    fs.forget_record_aside(WORKLOAD, RESTORE).await.unwrap();
    assert_eq!(fs.records().await.unwrap(), [(WORKLOAD, None), (WORKLOAD, Some(other))]);
    assert_eq!(fs.record_aside(WORKLOAD, RESTORE).await.unwrap(), None);
    assert_eq!(fs.retired_journal(WORKLOAD).await.unwrap().as_deref(), Some(&b"\"third\""[..]));
}
