//! Looking at names, renaming and removing them, and locating live paths.

#![allow(missing_docs, reason = "the names are the promises")]

use super::*;

pub async fn a_name_is_absent_or_a_directory_or_something_else(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    assert_eq!(look(&fs, &data.join("no")).await, Sight::Absent);
    assert_eq!(look(&fs, &data.join("no/deeper")).await, Sight::Absent);
    h.put(&data.join("empty"), &Tree::new());
    assert!(matches!(look(&fs, &data.join("empty")).await, Sight::Directory { empty: true, .. }));
    h.put(&data.join("full"), &tree(&[("a", "1")]));
    assert!(matches!(look(&fs, &data.join("full")).await, Sight::Directory { empty: false, .. }));
    assert_eq!(look(&fs, &data.join("full/a")).await, Sight::Other);
}

pub async fn an_identity_stays_over_rename_and_exchange(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let [a, b, c] = ["a", "b", "c"].map(|name| data.join(name));
    h.put(&a, &tree(&[("x", "of a")]));
    h.put(&b, &tree(&[("x", "of b")]));
    let (of_a, of_b) = (identity(&fs, &a).await, identity(&fs, &b).await);
    assert_ne!(of_a, of_b);
    fs.exchange(&a, &b).await.unwrap();
    assert_eq!((identity(&fs, &a).await, identity(&fs, &b).await), (of_b, of_a));
    assert_eq!(h.get(&a), Some(tree(&[("x", "of b")])));
    fs.rename(&a, &c).await.unwrap();
    assert_eq!((identity(&fs, &c).await, look(&fs, &a).await), (of_b, Sight::Absent));
    assert_eq!(h.get(&c), Some(tree(&[("x", "of b")])));
}

pub async fn a_directory_that_is_made_anew_is_another_one(h: &impl Harness) {
    let (fs, dir) = (h.disks(), h.data().join("dir"));
    h.put(&dir, &Tree::new());
    let first = identity(&fs, &dir).await;
    // Inode numbers are used again at once; birth times tell the two apart when they are a few ticks from each other.
    tokio::time::sleep(Duration::from_millis(30)).await;
    h.remove_dir(&dir);
    h.put(&dir, &Tree::new());
    assert_ne!(identity(&fs, &dir).await, first);
}

pub async fn a_rename_replaces_nothing(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let [from, empty, full, file] = ["from", "empty", "full", "file"].map(|name| data.join(name));
    h.put(&from, &tree(&[("x", "1")]));
    h.put(&empty, &Tree::new());
    h.put(&full, &tree(&[("y", "2")]));
    h.put_file(&file, b"3");
    for to in [&empty, &full, &file] {
        let before = look(&fs, to).await;
        assert_eq!(fs.rename(&from, to).await.unwrap_err().kind, FsErrorKind::Exists);
        assert_eq!(look(&fs, to).await, before);
    }
    assert_eq!(h.get(&from), Some(tree(&[("x", "1")])));
    let absent = data.join("absent");
    assert_eq!(fs.rename(&absent, &data.join("to")).await.unwrap_err().kind, FsErrorKind::NotFound);
    assert_eq!(fs.rename(&from, &absent.join("to")).await.unwrap_err().kind, FsErrorKind::NotFound);
}

pub async fn an_exchange_needs_both_names(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let (here, absent) = (data.join("here"), data.join("absent"));
    h.put(&here, &tree(&[("x", "1")]));
    assert_eq!(fs.exchange(&here, &absent).await.unwrap_err().kind, FsErrorKind::NotFound);
    assert_eq!(fs.exchange(&absent, &here).await.unwrap_err().kind, FsErrorKind::NotFound);
    assert_eq!(h.get(&here), Some(tree(&[("x", "1")])));
    assert_eq!(h.get(&absent), None);
}

pub async fn only_an_empty_directory_is_removed_without_recursion(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    h.put(&data.join("full"), &tree(&[("x", "1")]));
    assert_eq!(fs.remove_empty(&data.join("full")).await.unwrap_err().kind, FsErrorKind::Exists);
    assert_eq!(h.get(&data.join("full")), Some(tree(&[("x", "1")])));
    h.put(&data.join("empty"), &Tree::new());
    fs.remove_empty(&data.join("empty")).await.unwrap();
    assert_eq!(look(&fs, &data.join("empty")).await, Sight::Absent);
    h.put_file(&data.join("file"), b"");
    fs.remove_empty(&data.join("file")).await.unwrap_err();
    assert_eq!(look(&fs, &data.join("file")).await, Sight::Other);
}

pub async fn a_private_directory_is_discarded_whole_and_twice(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    h.put(&live, &tree(&[("x", "kept")]));
    let private = private_dir(&live, RESTORE, 3);
    h.put(&private, &tree(&[("staged/a", "1"), ("staged/deep/er/b", "2"), ("aside/c", "3")]));
    fs.discard(RESTORE, &private, None).await.unwrap();
    assert_eq!(look(&fs, &private).await, Sight::Absent);
    fs.discard(RESTORE, &private, None).await.unwrap();
    assert_eq!(h.get(&live), Some(tree(&[("x", "kept")])));
}

pub async fn no_other_name_is_discarded(h: &impl Harness) {
    let (fs, live) = (h.disks(), h.data().join("live"));
    let private = private_dir(&live, RESTORE, 0);
    let content = tree(&[("x", "kept")]);
    let foreign = private_dir(&live, RestoreId(Uuid::from_u128(99)), 0);
    let longer = PathBuf::from(format!("{}x", private.display()));
    for dir in [&live, &foreign, &longer, &staged_in(&private)] {
        h.put(dir, &content);
        fs.discard(RESTORE, dir, None).await.unwrap_err();
        assert_eq!(h.get(dir), Some(content.clone()), "{}", dir.display());
    }
}

pub async fn private_directories_of_any_restore_are_listed(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    let live = data.join("live");
    let other = RestoreId(Uuid::from_u128(99));
    let private = [private_dir(&live, RESTORE, 0), private_dir(&live, RESTORE, 12), private_dir(&live, other, 1)];
    let strange = [live, PathBuf::from(format!("{}x", private[0].display())), data.join(".volsnap-notes-0")];
    for dir in private.iter().chain(&strange) {
        h.put(dir, &Tree::new());
    }
    h.put_file(&private_dir(&strange[0], other, 2), b"no directory");
    assert_eq!(fs.private_dirs(&data).await.unwrap(), private);
    assert_eq!(fs.private_dirs(&strange[0]).await.unwrap(), [""; 0].map(PathBuf::from));
    assert_eq!(fs.private_dirs(&data.join("absent")).await.unwrap(), [""; 0].map(PathBuf::from));
}

pub async fn a_directory_that_was_moved_is_found_by_what_it_is(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    h.put(&data.join("a/b/live"), &tree(&[("file", "x")]));
    h.put(&data.join("c/live"), &tree(&[("file", "x")]));
    let sought = identity(&fs, &data.join("a/b/live")).await;
    for (from, to) in [("a/b/live", "a/b/moved"), ("a/b/moved", "c/deep"), ("c/deep", "c/live/deeper")] {
        fs.rename(&data.join(from), &data.join(to)).await.unwrap();
        assert_eq!(fs.find_directory(&data, sought).await.unwrap(), Some(data.join(to)));
    }
    assert_eq!(fs.find_directory(&data.join("a"), sought).await.unwrap(), None, "it is not below that");
    assert_eq!(fs.find_directory(&data.join("absent"), sought).await.unwrap(), None);
    h.remove_file(&data.join("c/live/deeper/file"));
    h.remove_dir(&data.join("c/live/deeper"));
    assert_eq!(fs.find_directory(&data, sought).await.unwrap(), None, "it is gone");
}

pub async fn settling_skips_what_is_absent(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    h.put(&data.join("a"), &Tree::new());
    fs.settle(&[]).await.unwrap();
    fs.settle(&[data.clone(), data.join("no"), data.join("no/deeper"), data.join("a")]).await.unwrap();
}

pub async fn a_live_path_is_located_with_what_stands_there(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    h.put(&data.join("live"), &tree(&[("x", "1")]));
    h.put_file(&data.join("file"), b"");
    let located = fs.locate(&data.join("live")).await.unwrap();
    assert_eq!(located.real, data.join("live"));
    assert_eq!(located.occupant, Occupant::Directory(identity(&fs, &data.join("live")).await));
    assert_eq!(located.parent, identity(&fs, &data).await);
    let above = fs.locate(&data).await.unwrap();
    assert_eq!(Some(located.ancestors[0]), above.inode);
    assert_eq!(located.ancestors[1..], above.ancestors);
    assert_eq!(located.ancestors.len(), data.components().count());
    assert!(located.inode.is_some_and(|inode| !located.ancestors.contains(&inode)));
    assert!(located.writable && located.filesystem.exchange && located.filesystem.births);
    assert!(located.space.bytes_free > 0 && located.space.block > 0);
    assert_eq!(fs.space(&data).await.unwrap().0, located.filesystem);
    let absent = fs.locate(&data.join("new")).await.unwrap();
    assert_eq!((absent.occupant, absent.inode, absent.real), (Occupant::Absent, None, data.join("new")));
    assert_eq!((absent.parent, absent.ancestors), (located.parent, located.ancestors));
    assert_eq!(fs.locate(&data.join("file")).await.unwrap().occupant, Occupant::NotADirectory);
}

pub async fn only_the_last_component_of_a_live_path_may_be_absent(h: &impl Harness) {
    let error = h.disks().locate(&h.data().join("no/live")).await.unwrap_err();
    assert_eq!(error.kind, FsErrorKind::NotFound);
}

pub async fn a_tree_is_measured_with_its_root(h: &impl Harness) {
    let (fs, data) = (h.disks(), h.data());
    h.put(&data.join("v"), &tree(&[("a", "123"), ("d/b", "45678")]));
    let size = fs.measure(&data.join("v")).await.unwrap();
    assert_eq!((size.bytes, size.entries), (8, 4));
    assert!(size.bytes_allocated >= 8);
    assert_eq!(fs.measure(&data.join("no")).await.unwrap_err().kind, FsErrorKind::NotFound);
}
