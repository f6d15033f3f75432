//! Moving the entries of a directory that stays, and giving it the attributes of another.

#![allow(missing_docs, reason = "the names are the promises")]

use volsnap_core::model::place::{leaving_in, original_root_in, restored_root_in};

use super::*;

pub async fn entries_are_moved_but_for_ours_and_none_over_another(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let [from, to, absent] = ["from", "to", "absent"].map(|name| data.join(name));
    let ours = format!("{}/x", private_name(RESTORE, 0));
    h.put(&from, &tree(&[("a", "1"), ("dir/deep/b", "2"), (".volsnap-c", "3"), (&ours, "4"), ("lost+found/d", "5")]));
    h.put(&to, &Tree::new());
    let moved = identity(&fs, &from.join("dir")).await;
    assert!(fs.has_entries(&from).await.unwrap() && !fs.has_entries(&to).await.unwrap());
    assert!(!fs.has_entries(&absent).await.unwrap());
    fs.move_entries(&from, &to).await.unwrap();
    assert_eq!(h.get(&to), Some(tree(&[("a", "1"), ("dir/deep/b", "2"), (".volsnap-c", "3")])));
    assert_eq!(h.get(&from), Some(tree(&[(&ours, "4"), ("lost+found/d", "5")])));
    assert_eq!(identity(&fs, &to.join("dir")).await, moved);
    assert!(!fs.has_entries(&from).await.unwrap() && fs.has_entries(&to).await.unwrap());
    fs.move_entries(&from, &to).await.unwrap();
    h.put(&from, &tree(&[("a", "another")]));
    assert_eq!(fs.move_entries(&from, &to).await.unwrap_err().kind, FsErrorKind::Exists);
    assert_eq!(h.get(&to), Some(tree(&[("a", "1"), ("dir/deep/b", "2"), (".volsnap-c", "3")])));
    assert_eq!(fs.move_entries(&from, &absent).await.unwrap_err().kind, FsErrorKind::NotFound);
}

pub async fn attributes_are_compared_and_copied(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let [a, b, c, absent] = ["a", "b", "c", "absent"].map(|name| data.join(name));
    h.put(&a, &tree(&[("x", "1")]));
    h.put(&b, &Tree::new());
    h.put(&c, &Tree::new());
    fs.copy_attributes(&a, &b).await.unwrap();
    assert!(fs.same_attributes(&a, &b).await.unwrap() && fs.same_attributes(&a, &a).await.unwrap());
    // Entries that come or go change the modification time.
    fs.move_entries(&a, &c).await.unwrap();
    assert!(!fs.same_attributes(&a, &b).await.unwrap());
    fs.copy_attributes(&b, &a).await.unwrap();
    assert!(fs.same_attributes(&a, &b).await.unwrap());
    assert!(!fs.same_attributes(&a, &absent).await.unwrap() && !fs.same_attributes(&absent, &a).await.unwrap());
    assert_eq!(h.get(&c), Some(tree(&[("x", "1")])));
}

pub async fn a_switch_by_entry_finds_its_places_laid_out(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let [source, live, likeness] = ["source", "live", "likeness"].map(|name| data.join(name));
    h.put(&source, &tree(&[("saved", "1")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&source)).await;
    h.put(&live, &tree(&[("today", "2")]));
    h.put(&likeness, &Tree::new());
    fs.copy_attributes(&live, &likeness).await.unwrap();
    let private = live.join(private_name(RESTORE, 0));
    let job = StageJob { entries_of: Some(live.clone()), ..job(&summary, 0, &private) };
    fs.stage(&job, quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(tree(&[("saved", "1")])));
    assert!(matches!(look(&fs, &leaving_in(&private)).await, Sight::Directory { empty: true, .. }));
    assert!(fs.same_attributes(&live, &original_root_in(&private)).await.unwrap());
    assert!(fs.same_attributes(&staged_in(&private), &restored_root_in(&private)).await.unwrap());
    assert!(fs.same_attributes(&live, &likeness).await.unwrap(), "staging shows in the live directory");
    fs.discard(RESTORE, &private, None).await.unwrap();
    assert!(fs.same_attributes(&live, &likeness).await.unwrap(), "the discard shows in the live directory");
    assert_eq!(h.get(&live), Some(tree(&[("today", "2")])));
}
