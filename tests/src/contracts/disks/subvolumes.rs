//! What is promised on a filesystem that has subvolumes, and tells which a directory lies in.

#![allow(missing_docs, reason = "the names are the promises")]

use super::*;

/// Disks with subvolumes: [`Harness::data`] lies on a btrfs, or on what is like one.
pub trait Subvolumes: Harness {
    /// Makes an empty subvolume.
    fn put_subvolume(&self, dir: &Path);

    /// Takes a snapshot of a subvolume, under a name that is not taken.
    fn put_snapshot(&self, of: &Path, to: &Path);

    /// Makes a directory, with the files in it, a read-only subvolume.
    fn freeze(&self, dir: &Path);
}

/// Makes a test of each promise for the harness that the expression makes; a test is skipped where that is `None`.
#[macro_export]
macro_rules! subvolume_contract {
    ($harness:expr) => {
        $crate::subvolume_contract! { $harness;
            a_snapshot_has_the_numbers_of_its_subvolume_and_is_another_directory
            a_snapshot_in_the_place_of_its_subvolume_is_not_taken_for_it
            a_subvolume_is_located_as_one_and_nothing_is_moved_out_of_it
            a_discard_gives_read_only_subvolumes_back_and_removes_the_rest
            what_has_the_name_of_a_read_only_subvolume_stays_and_so_does_that
            read_only_subvolumes_that_belong_nowhere_are_never_removed
            read_only_subvolumes_at_the_top_level_stay_where_they_are
            nothing_is_staged_that_has_the_name_of_a_read_only_subvolume_that_stays
            read_only_subvolumes_are_in_no_archive
        }
    };
    ($harness:expr; $($promise:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $promise() {
                let Some(harness) = $harness else { return };
                $crate::contracts::disks::$promise(&harness).await;
            }
        )+
    };
}

pub async fn a_snapshot_has_the_numbers_of_its_subvolume_and_is_another_directory(h: &impl Subvolumes) {
    let (fs, data) = (h.disks(), h.data());
    let [live, copy, other] = ["live", "copy", "other"].map(|name| data.join(name));
    h.put_subvolume(&live);
    h.put(&live, &tree(&[("a", "1"), ("sub/b", "2")]));
    h.put_subvolume(&other);
    h.put_snapshot(&live, &copy);
    assert_eq!(h.get(&copy), h.get(&live));
    for (one, two) in [(live.clone(), copy.clone()), (live.join("sub"), copy.join("sub"))] {
        let (one, two) = (identity(&fs, &one).await, identity(&fs, &two).await);
        assert_eq!((one.inode, one.birth_ns), (two.inode, two.birth_ns));
        assert!(one.is(one) && !one.is(two), "{one:?} is {two:?}");
    }
    let (live, other) = (identity(&fs, &live).await, identity(&fs, &other).await);
    assert_eq!((live.inode, other.inode), (256, 256), "every subvolume's root has that number");
    assert!(!live.is(other));
    let above = identity(&fs, &data).await;
    assert!(above.subvolume.is_some() && above.subvolume != live.subvolume, "{above:?}, {live:?}");
}

/// Who rolls back by hand moves the subvolume away and a snapshot of it to its name.
pub async fn a_snapshot_in_the_place_of_its_subvolume_is_not_taken_for_it(h: &impl Subvolumes) {
    let (fs, data) = (h.disks(), h.data());
    let [live, aside, back] = ["live", "aside", "back"].map(|name| data.join(name));
    h.put_subvolume(&live);
    h.put(&live, &tree(&[("sub/b", "2")]));
    let (original, below) = (identity(&fs, &live).await, identity(&fs, &live.join("sub")).await);
    fs.rename(&live, &aside).await.unwrap();
    h.put_snapshot(&aside, &live);
    assert!(!original.is(identity(&fs, &live).await) && !below.is(identity(&fs, &live.join("sub")).await));
    assert_eq!((identity(&fs, &aside).await, identity(&fs, &aside.join("sub")).await), (original, below));
    fs.rename(&live, &back).await.unwrap();
    fs.rename(&aside, &live).await.unwrap();
    assert_eq!(identity(&fs, &live).await, original);
    assert_eq!(fs.locate(&live).await.unwrap().occupant, Occupant::Subvolume(original));
}

pub async fn a_subvolume_is_located_as_one_and_nothing_is_moved_out_of_it(h: &impl Subvolumes) {
    let (fs, data) = (h.disks(), h.data());
    let [live, plain] = ["live", "plain"].map(|name| data.join(name));
    h.put_subvolume(&live);
    h.put(&live, &tree(&[("sub/b", "2")]));
    h.put(&plain, &tree(&[("dir/c", "3")]));
    let located = fs.locate(&live).await.unwrap();
    assert_eq!(located.occupant, Occupant::Subvolume(identity(&fs, &live).await));
    assert_eq!(located.parent, identity(&fs, &data).await);
    let (sub, dir) = (live.join("sub"), plain.join("dir"));
    assert_eq!(fs.rename(&sub, &data.join("out")).await.unwrap_err().kind, FsErrorKind::Unsupported);
    assert_eq!(fs.exchange(&sub, &dir).await.unwrap_err().kind, FsErrorKind::Unsupported);
    assert_eq!(fs.move_entries(&plain, &live).await.unwrap_err().kind, FsErrorKind::Unsupported);
    assert_eq!((h.get(&live), h.get(&plain)), (Some(tree(&[("sub/b", "2")])), Some(tree(&[("dir/c", "3")]))));
    fs.rename(&sub, &live.join("within")).await.unwrap();
}
