//! What a crash leaves of the move of a read-only subvolume out of what was set aside.

use std::{fs, path::Path, process::Command};

use uuid::Uuid;
use volsnap_core::model::{RestoreId, place::private_dir};

use super::mounted::Mounted;
use crate::names::discard;

fn btrfs(words: &[&str], path: &Path, after: &[&str]) {
    let done = Command::new("btrfs").args(words).arg(path).args(after).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn is_read_only(subvolume: &Path) -> bool {
    libbtrfs::subvol::fd::is_readonly(fs::File::open(subvolume).unwrap()).unwrap()
}

/// A crash at any instant of a move leaves one of these: the note alone, or the subvolume writable before its move, or
/// writable after it, or read-only there again.
#[test]
fn a_move_that_was_cut_off_anywhere_ends_with_a_read_only_subvolume_in_its_place() {
    let Some(disk) = Mounted::new("btrfs") else { return };
    for (index, (moved, read_only)) in
        [(false, true), (false, false), (true, false), (true, true)].into_iter().enumerate()
    {
        let restore = RestoreId(Uuid::from_u128(7));
        let live = disk.path().join(format!("live{index}"));
        let private = private_dir(&live, restore, 0);
        let (before, after) = (private.join("aside/dir/snap"), live.join("dir/snap"));
        for path in [&before, &after] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        let place = if moved { &after } else { &before };
        btrfs(&["subvolume", "create"], place, &[]);
        fs::write(place.join("file"), "kept").unwrap();
        if read_only {
            btrfs(&["property", "set"], place, &["ro", "true"]);
        }
        fs::write(private.join("moving"), "aside/dir/snap").unwrap();
        fs::write(private.join("aside/file"), "goes").unwrap();
        let state = format!("moved: {moved}, read-only: {read_only}");
        discard(restore, &private, Some(&live)).unwrap();
        assert!(!private.exists(), "{state}");
        assert_eq!(fs::read_to_string(after.join("file")).unwrap(), "kept", "{state}");
        assert!(is_read_only(&after), "{state}");
    }
}

/// A note is there as a whole or not at all, and one in the making is nothing.
#[test]
fn a_note_in_the_making_is_removed_with_the_rest() {
    let Some(disk) = Mounted::new("btrfs") else { return };
    let restore = RestoreId(Uuid::from_u128(7));
    let live = disk.path().join("live");
    let private = private_dir(&live, restore, 0);
    fs::create_dir_all(private.join("aside")).unwrap();
    btrfs(&["subvolume", "create"], &live, &[]);
    fs::write(private.join("moving.new"), "aside").unwrap();
    discard(restore, &private, Some(&live)).unwrap();
    assert!(!private.exists() && !is_read_only(&live));
}
