//! Who is on a directory that is reached by another path as well.

use super::*;
use crate::{engine::reach::Reach, model::Inode};

/// `/srv/a` and `/mnt/b` are one directory; `/srv/file` cannot be looked at.
fn with_aliases() -> Disks {
    let mut disks = Disks::new();
    disks.filesystem.expect_locate().returning(|path| {
        let inode = |number| Inode { device: (8, 1), number };
        let (own, ancestors) = match path.to_str().expect("UTF-8") {
            "/srv/a" => (12, vec![inode(11), inode(2)]),
            "/mnt/b" => (12, vec![inode(10), inode(2)]),
            "/mnt/b/below" => (13, vec![inode(12), inode(10), inode(2)]),
            "/srv" => (11, vec![inode(2)]),
            "/mnt" => (10, vec![inode(2)]),
            "/mnt/c" => (14, vec![inode(10), inode(2)]),
            _ => return Err(FsError::new(FsErrorKind::Denied, FsOp::Look, path, "a test")),
        };
        Ok(Location { inode: Some(inode(own)), ancestors, ..location(path) })
    });
    disks
}

#[tokio::test]
async fn how_far_a_container_reaches_is_told_by_directories_and_not_by_paths() {
    let engine = engine(with_aliases(), MockStore::new(), None);
    let places = engine.all_placed(&["/srv/a".into()]).await;
    for (source, writable, reach) in [
        ("/mnt/b", true, Reach::Writes),
        ("/mnt/b", false, Reach::Reads),
        ("/mnt/b/below", false, Reach::Reads),
        ("/srv", false, Reach::Looks),
        ("/srv/a/unseen", false, Reach::Reads),
        // The engine names it, and no mount says why.
        ("/mnt/c", false, Reach::Writes),
    ] {
        let mount = Mount { source: source.into(), writable, ..container().mounts[0].clone() };
        let container = Container { mounts: vec![mount], ..container() };
        assert_eq!(engine.reach(&container, &places).await, reach, "{source}");
    }
}

#[tokio::test]
async fn another_workloads_restore_is_a_neighbour_also_by_another_path() {
    let mut disks = with_journal(&restore(redeployed()));
    disks.filesystem.expect_locate().returning(|path| {
        let number = if path.ends_with("elsewhere") { 13 } else { 12 };
        Ok(Location { inode: Some(Inode { device: (8, 1), number }), ..location(path) })
    });
    let engine = engine(disks, MockStore::new(), None);
    let other = WorkloadId(Uuid::from_u128(99));
    for (path, taken) in [("/mnt/alias", true), ("/mnt/elsewhere", false)] {
        let neighbour = engine.neighbour(other, &[path.into()], &[]).await.expect("journals");
        assert_eq!(neighbour.is_some(), taken, "{path}");
    }
}
