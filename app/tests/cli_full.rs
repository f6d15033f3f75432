//! A state directory on a disk without any space, through the real binary: what is kept there can be looked at and cleared.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
};

use support::World;
use volsnap_sqlite::SqliteStore;

/// A small filesystem of its own for the state directory. Dropping it unmounts it, also after a panic; the loop device
/// goes with it.
struct Disk {
    mount: PathBuf,
}

impl Disk {
    /// Without root, prints why `test` is skipped and gives `None`.
    fn of(world: &World, make: &[&str], test: &str) -> Option<Disk> {
        let (image, mount) = (world.path("image"), world.state());
        File::create(&image).unwrap().set_len(30 << 20).unwrap();
        fs::create_dir(&mount).unwrap();
        let ran = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        let made = ran(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).args(make).arg(&image))
            && ran(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount));
        assert!(made || std::env::var("CI").as_deref() != Ok("true"), "{test} needs ext4 on a loop device");
        if !made {
            eprintln!("skipped: {test}: no ext4 on a loop device");
        }
        made.then_some(Disk { mount })
    }

    /// Takes every block that is left.
    fn fill_blocks(&self) {
        let mut file = File::options().create(true).append(true).open(self.mount.join("fill")).unwrap();
        io::copy(&mut io::repeat(0), &mut file).unwrap_err();
    }

    /// Takes every inode that is left.
    fn fill_inodes(&self) {
        let taken = fs::read_dir(&self.mount).unwrap().count();
        assert!((taken..1000).any(|n| File::create(self.mount.join(format!("fill-{n}"))).is_err()));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).output();
    }
}

/// Two snapshots of 8 MB, and a catalog that was closed. (A command that ends may leave its log, and then the next one
/// needs less space.)
fn two_snapshots(world: &World) {
    let noise = File::open("/dev/urandom").unwrap();
    let mut file = File::create(world.live("data").join("large")).unwrap();
    io::copy(&mut noise.take(8 << 20), &mut file).unwrap();
    world.ok(&["workload", "add", "app", "--volume", &world.declare("/data", "data")]);
    world.create();
    world.create();
    close(world);
}

fn close(world: &World) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { SqliteStore::open(&world.state().join("catalog.db")).await.unwrap().close().await });
    assert!(!world.state().join("catalog.db-shm").exists());
}

fn parts(state: &Path) -> usize {
    fs::read_dir(state.join("catalog.db.reserve")).map_or(0, Iterator::count)
}

fn listed(world: &World) -> usize {
    world.json(&["list"])["snapshots"].as_array().unwrap().len()
}

/// Looks and deletes, while somebody takes at once whatever gets free.
fn can_be_cleared(world: &World, fill: impl Fn()) {
    two_snapshots(world);
    let kept = parts(&world.state());
    for args in [
        &["list"][..],
        &["show", "latest"],
        &["verify", "latest"],
        &["events"],
        &["prune", "--dry-run", "--keep-last", "1"],
    ] {
        fill();
        world.ok(args);
    }
    fill();
    let left = parts(&world.state());
    assert!(0 < left && left < kept, "{left} of {kept}: it was never full");
    world.ok(&["prune", "--keep-last", "1"]);
    fill();
    assert_eq!(listed(world), 1);
    fill();
    world.ok(&["delete", "latest"]);
    assert_eq!((listed(world), fs::read_dir(world.state().join("snapshots")).unwrap().count()), (0, 0));
}

#[test]
fn a_disk_without_a_free_block_can_be_cleared() {
    let world = World::new();
    let Some(disk) = Disk::of(&world, &[], "a_disk_without_a_free_block_can_be_cleared") else { return };
    can_be_cleared(&world, || disk.fill_blocks());
    fs::remove_file(disk.mount.join("fill")).unwrap();
    world.ok(&["list"]);
    assert_eq!(parts(&disk.mount), 16, "whoever comes when there is room makes what is missing");
}

#[test]
fn a_disk_without_a_free_inode_can_be_cleared() {
    let world = World::new();
    let Some(disk) = Disk::of(&world, &["-N", "128"], "a_disk_without_a_free_inode_can_be_cleared") else { return };
    can_be_cleared(&world, || disk.fill_inodes());
}

#[test]
fn without_a_reserve_it_is_told_what_may_be_removed_by_hand() {
    let world = World::new();
    let Some(disk) = Disk::of(&world, &[], "without_a_reserve_it_is_told_what_may_be_removed_by_hand") else { return };
    two_snapshots(&world);
    let archive = world.archive("latest");
    close(&world);
    fs::remove_dir_all(disk.mount.join("catalog.db.reserve")).unwrap();
    disk.fill_blocks();
    let document = world.json_with(1, &["list"]);
    let hint = document["error"]["hint"].as_str().unwrap();
    assert!(
        hint.contains("full") && hint.contains("*.tar.zst") && hint.contains("rebuild --prune-missing"),
        "{document}"
    );
    // And that is true.
    fs::remove_file(archive).unwrap();
    world.ok(&["rebuild", "--prune-missing"]);
    assert_eq!(listed(&world), 1);
}
