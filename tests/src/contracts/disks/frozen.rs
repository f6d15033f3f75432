//! Read-only subvolumes, which are no part of the volume in which they lie.

#![allow(missing_docs, reason = "the names are the promises")]

use volsnap_core::model::place::{aside_in, private_name};

use super::*;

/// Two in what is set aside: one whose directory stands in the restored tree, and one whose directories do not.
fn set_aside(h: &impl Subvolumes) -> (PathBuf, PathBuf, [PathBuf; 2]) {
    let live = h.data().join("live");
    h.put(&live, &tree(&[("dir/restored", "1")]));
    let private = private_dir(&live, RESTORE, 0);
    let aside = aside_in(&private);
    h.put(
        &aside,
        &tree(&[("dir/snap/x", "kept"), ("further/down/snap/x", "kept too"), ("dir/original", "2"), ("y", "3")]),
    );
    let frozen = ["dir/snap", "further/down/snap"];
    for path in frozen {
        h.freeze(&aside.join(path));
    }
    (live, private, frozen.map(PathBuf::from))
}

pub async fn a_discard_gives_read_only_subvolumes_back_and_removes_the_rest(h: &impl Subvolumes) {
    let fs = h.disks();
    let (live, private, frozen) = set_aside(h);
    let mut before = Vec::new();
    for path in &frozen {
        before.push(identity(&fs, &aside_in(&private).join(path)).await);
    }
    for _ in 0..2 {
        fs.discard(RESTORE, &private, Some(live.clone())).await.unwrap();
        assert_eq!(look(&fs, &private).await, Sight::Absent);
        for (path, before) in frozen.iter().zip(&before) {
            assert!(identity(&fs, &live.join(path)).await.is(*before), "{}", path.display());
        }
        assert_eq!(fs.measure(&live).await.unwrap().frozen, 2, "they are read-only again");
    }
    assert!(h.get(&live.join("dir")).unwrap().contains_key("restored"));
}

pub async fn what_has_the_name_of_a_read_only_subvolume_stays_and_so_does_that(h: &impl Subvolumes) {
    let fs = h.disks();
    let (live, private, _) = set_aside(h);
    let taken = live.join("dir/snap");
    h.put(&taken, &Tree::new());
    let error = fs.discard(RESTORE, &private, Some(live.clone())).await.unwrap_err();
    assert_eq!((error.kind, &error.path), (FsErrorKind::Exists, &taken));
    assert_eq!(fs.measure(&private).await.unwrap().frozen, 1, "the other one has gone home");
    h.remove_dir(&taken);
    fs.discard(RESTORE, &private, Some(live.clone())).await.unwrap();
    assert_eq!(look(&fs, &private).await, Sight::Absent);
    assert_eq!(fs.measure(&live).await.unwrap().frozen, 2);
}

pub async fn read_only_subvolumes_that_belong_nowhere_are_never_removed(h: &impl Subvolumes) {
    let fs = h.disks();
    let (_, private, _) = set_aside(h);
    assert_eq!(fs.discard(RESTORE, &private, None).await.unwrap_err().kind, FsErrorKind::Denied);
    assert_eq!(fs.measure(&private).await.unwrap().frozen, 2);
}

pub async fn read_only_subvolumes_at_the_top_level_stay_where_they_are(h: &impl Subvolumes) {
    let (fs, data) = (h.disks(), h.data());
    let [live, leaving] = ["live", "leaving"].map(|name| data.join(name));
    h.put(&live, &tree(&[("snap/x", "kept"), ("file", "1"), ("dir/file", "2")]));
    h.put(&leaving, &Tree::new());
    h.freeze(&live.join("snap"));
    assert_eq!(fs.measure(&live).await.unwrap().entries, 4, "it counts for nothing else");
    fs.move_entries(&live, &leaving).await.unwrap();
    assert!(!fs.has_entries(&live).await.unwrap());
    assert!(matches!(look(&fs, &live.join("snap")).await, Sight::Directory { .. }));
    assert_eq!(h.get(&leaving), Some(tree(&[("file", "1"), ("dir/file", "2")])));
}

pub async fn nothing_is_staged_that_has_the_name_of_a_read_only_subvolume_that_stays(h: &impl Subvolumes) {
    let (fs, data) = (h.disks(), h.data());
    let [source, live] = ["source", "live"].map(|name| data.join(name));
    h.put(&source, &tree(&[("snap/saved", "1")]));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&source)).await;
    h.put(&live, &tree(&[("snap/x", "kept")]));
    h.freeze(&live.join("snap"));
    let private = live.join(private_name(RESTORE, 0));
    let job = StageJob { entries_of: Some(live.clone()), ..job(&summary, 0, &private) };
    assert_eq!(fs.stage(&job, quiet()).await.unwrap_err().kind, FsErrorKind::Exists);
    assert_eq!(look(&fs, &staged_in(&private)).await, Sight::Absent);
}

pub async fn read_only_subvolumes_are_in_no_archive(h: &impl Subvolumes) {
    let (fs, data) = (h.disks(), h.data());
    let [source, live] = ["source", "live"].map(|name| data.join(name));
    h.put(&source, &tree(&[("dir/file", "1"), ("dir/snap/x", "not kept")]));
    h.freeze(&source.join("dir/snap"));
    let summary = archive(&fs, SNAPSHOT, std::slice::from_ref(&source)).await;
    let private = private_dir(&live, RESTORE, 0);
    fs.stage(&job(&summary, 0, &private), quiet()).await.unwrap();
    assert_eq!(h.get(&staged_in(&private)), Some(tree(&[("dir/file", "1")])));
}
