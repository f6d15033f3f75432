//! The main job on each of the filesystems that people keep their volumes on, the journal on the same one or another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use volsnap_core::{model::Sight, ports::Filesystem};
use volsnap_disk::Disk;
use volsnap_tests::{cli::Cli, loop_disk::LoopDisk, trees};

fn restore_and_undo(disk: &LoopDisk, state: &Path) {
    let cli = Cli::new(state, "unix:///nonexistent/docker.sock");
    let live = disk.join("data/app");
    fs::create_dir_all(&live).unwrap();
    trees::make(&live, "saved");
    let saved = trees::read(&live);
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    trees::clear(&live);
    trees::make(&live, "today");
    let today = trees::read(&live);
    let report = cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(report["volumes"][0]["method"], "exchange", "{report}");
    assert_eq!(trees::read(&live), saved);
    cli.ok(&["undo", "shop"]);
    assert_eq!(trees::read(&live), today);
    assert_eq!(trees::litter(&disk.join("data")), Vec::<String>::new());
}

fn with_the_journal_beside_and_elsewhere(kind: &str) {
    let test = format!("restore and undo on {kind}");
    let Some(disk) = LoopDisk::new(kind, &test) else { return };
    restore_and_undo(&disk, &disk.join("state"));
    let Some(disk) = LoopDisk::new(kind, &test) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    restore_and_undo(&disk, &elsewhere.path().join("state"));
}

#[test]
fn a_restore_and_its_undo_are_exact_on_ext4() {
    with_the_journal_beside_and_elsewhere("ext4");
}

#[test]
fn a_restore_and_its_undo_are_exact_on_xfs() {
    with_the_journal_beside_and_elsewhere("xfs");
}

#[test]
fn a_restore_and_its_undo_are_exact_on_btrfs() {
    with_the_journal_beside_and_elsewhere("btrfs");
}

/// The live directory stays the directory that it is, with its inode; what is in it, and what it is like, changes.
fn restore_and_undo_by_entry(live: &Path, state: &Path) {
    let cli = Cli::new(state, "unix:///nonexistent/docker.sock");
    trees::make(live, "saved");
    let saved = trees::read(live);
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    trees::clear(live);
    trees::make(live, "today");
    fs::write(live.join("only today"), "x").unwrap();
    fs::set_permissions(live, fs::Permissions::from_mode(0o2711)).unwrap();
    let (today, inode) = (trees::read(live), fs::metadata(live).unwrap().ino());
    let report = cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(report["volumes"][0]["method"], "by-entry", "{report}");
    assert_eq!(trees::read(live), saved);
    cli.ok(&["undo", "shop"]);
    assert_eq!(trees::read(live), today);
    assert_eq!(trees::litter(live), Vec::<String>::new());
    assert_eq!(fs::metadata(live).unwrap().ino(), inode);
}

fn on_a_mount_point(kind: &str) {
    let Some(disk) = LoopDisk::new(kind, &format!("restore and undo of a mount point on {kind}")) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    restore_and_undo_by_entry(&disk.path(), &elsewhere.path().join("state"));
}

#[test]
fn a_mount_point_is_restored_by_entry_on_ext4() {
    on_a_mount_point("ext4");
}

#[test]
fn a_mount_point_is_restored_by_entry_on_xfs() {
    on_a_mount_point("xfs");
}

#[test]
fn a_mount_point_is_restored_by_entry_on_btrfs() {
    on_a_mount_point("btrfs");
}

#[test]
fn a_btrfs_subvolume_is_restored_by_entry_and_stays_a_subvolume() {
    let Some(disk) = LoopDisk::new("btrfs", "subvolume") else { return };
    let live = disk.join("subvolume");
    let made = Command::new("btrfs").args(["subvolume", "create"]).arg(&live).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    restore_and_undo_by_entry(&live, &disk.join("state"));
    let shown = Command::new("btrfs").args(["subvolume", "show"]).arg(&live).output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
}

fn flags(path: &Path) -> IFlags {
    ioctl_getflags(fs::File::open(path).unwrap()).unwrap()
}

/// A directory without copy-on-write, as databases are kept on btrfs.
#[test]
fn a_restored_tree_inherits_the_flags_of_the_live_directory() {
    for (kind, set) in [("btrfs", IFlags::NOCOW), ("ext4", IFlags::NOATIME), ("xfs", IFlags::NODUMP)] {
        let Some(disk) = LoopDisk::new(kind, "inode flags") else { continue };
        let live = disk.join("data/app");
        fs::create_dir_all(&live).unwrap();
        ioctl_setflags(fs::File::open(&live).unwrap(), flags(&live) | set).unwrap();
        fs::write(live.join("file"), "saved").unwrap();
        let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
        cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
        let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        cli.ok(&["restore", "shop", &snapshot, "--yes"]);
        assert!(flags(&live).contains(set), "{kind}: the directory");
        assert!(flags(&live.join("file")).contains(set), "{kind}: what is in it");
        cli.ok(&["undo", "shop"]);
        assert!(flags(&live).contains(set), "{kind}: after the undo");
    }
}

/// How a file is stored is part of it, also if nothing else has changed.
#[test]
fn a_change_of_inode_flags_alone_is_a_difference() {
    for (kind, set) in [("btrfs", IFlags::NOCOW), ("ext4", IFlags::NOATIME), ("xfs", IFlags::NODUMP)] {
        let Some(disk) = LoopDisk::new(kind, "a difference of inode flags") else { continue };
        let live = disk.join("app");
        fs::create_dir_all(live.join("dir")).unwrap();
        for name in ["dir/empty", "same"] {
            fs::write(live.join(name), "").unwrap();
        }
        let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
        cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
        let snapshot = || cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        let differs = |states: &[&str]| {
            let difference = cli.ok(&[&["diff"], states].concat());
            let changes = difference["members"].as_array().unwrap().clone();
            changes.iter().map(|c| format!("{} {}", c["path"].as_str().unwrap(), c["what"])).collect::<Vec<_>>()
        };
        let before = snapshot();
        assert_eq!(differs(&[&before]), [""; 0], "{kind}");
        for name in ["dir", "dir/empty"] {
            assert!(trees::mark(&live.join(name), set), "{kind}: {name}");
        }
        let marked = ["dir [\"flags\"]", "dir/empty [\"flags\"]"];
        assert_eq!(
            (differs(&[&before]), differs(&[&before, "--content"])),
            (marked.map(String::from).to_vec(), marked.map(String::from).to_vec()),
            "{kind}"
        );
        let after = snapshot();
        assert_eq!(differs(&[&before, &after]), marked, "{kind}");
        assert_eq!(differs(&[&after]), [""; 0], "{kind}");
        cli.ok(&["restore", "shop", &before, "--yes"]);
        assert_eq!(differs(&[&before]), [""; 0], "{kind}: what was restored is as it was");
    }
}

/// A database's directory is stored without copy-on-write, and what is copied elsewhere says what it is without.
#[test]
fn files_without_copy_on_write_come_back_so_and_elsewhere_that_is_told() {
    let Some(disk) = LoopDisk::new("btrfs", "files without copy-on-write") else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let live = disk.join("app");
    let (db, table, packed) = (live.join("db"), live.join("db/table"), live.join("packed"));
    fs::create_dir_all(&db).unwrap();
    ioctl_setflags(fs::File::open(&db).unwrap(), flags(&db) | IFlags::NOCOW).unwrap();
    fs::write(&table, vec![b'x'; 2 << 20]).unwrap();
    fs::write(live.join("plain"), "x").unwrap();
    fs::write(&packed, "x").unwrap();
    let property = |words: &[&str]| {
        let output =
            Command::new("btrfs").args(["property", words[0]]).arg(&packed).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    property(&["set", "compression", "zstd"]);
    let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    let restored = cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(restored["warnings"], serde_json::json!([]), "{restored}");
    let without_cow = |path: &Path| flags(path).contains(IFlags::NOCOW);
    assert_eq!([&live, &db, &table, &live.join("plain")].map(|path| without_cow(path)), [false, true, true, false]);
    assert_eq!(property(&["get", "compression"]), "compression=zstd\n");

    let copy = elsewhere.path().join("copy");
    let extracted = cli.ok(&["extract", &format!("shop/{snapshot}"), &copy.display().to_string()]).to_string();
    assert!(
        extracted.contains("3 entries are without their inode flags") && extracted.contains("`db (C)`"),
        "{extracted}"
    );
    let scratch = elsewhere.path().display().to_string();
    let drilled = cli.ok(&["drill", "shop", &snapshot, "--scratch", &scratch]);
    assert_eq!(drilled["volumes"][0]["difference"], serde_json::Value::Null, "{drilled}");
}

fn subvolume(words: &[&str], paths: &[&Path]) {
    let made = Command::new("btrfs").arg("subvolume").args(words).args(paths).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// As snapper keeps them: `.snapshots` is a subvolume, and in it are read-only ones of all that the volume holds. In a
/// volume that is a directory like any other they move with what is set aside, in one that is a subvolume with its entries.
#[test]
fn read_only_subvolumes_in_a_volume_are_left_out_and_stay() {
    for is_subvolume in [true, false] {
        let Some(disk) = LoopDisk::new("btrfs", "read-only subvolumes in a volume") else { return };
        let live = disk.join("app");
        let (first, second, top) =
            (live.join(".snapshots/1/snapshot"), live.join(".snapshots/2/snapshot"), live.join("top"));
        match is_subvolume {
            true => subvolume(&["create"], &[&live]),
            false => fs::create_dir(&live).unwrap(),
        }
        subvolume(&["create"], &[&live.join(".snapshots")]);
        subvolume(&["create"], &[&disk.join("kept")]);
        fs::write(disk.join("kept/file"), "kept").unwrap();
        fs::write(live.join("file"), "saved").unwrap();
        for path in [&first, &top] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            subvolume(&["snapshot", "-r"], &[&disk.join("kept"), path]);
        }
        let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
        let added = cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]).to_string();
        assert!(added.contains("2 read-only subvolumes in volume /app"), "{added}");
        let created = cli.ok(&["create", "shop"]);
        for left_out in [".snapshots/1/snapshot", "top"] {
            let left_out = format!("{left_out}: a read-only subvolume, which is left out");
            assert!(created.to_string().contains(&left_out), "{created}");
        }
        let snapshot = created["id"].as_str().unwrap().to_string();
        let listed = cli.ok(&["ls", &format!("shop/{snapshot}")]).to_string();
        assert!(listed.contains("\".snapshots/1\"") && !listed.contains("1/snapshot"), "{listed}");
        let same = cli.ok(&["diff", &format!("shop/{snapshot}")]);
        assert!(!same.to_string().contains("1/snapshot"), "{same}");
        // Another one is taken later, so that the restored tree does not have its directory.
        fs::create_dir(second.parent().unwrap()).unwrap();
        fs::set_permissions(second.parent().unwrap(), fs::Permissions::from_mode(0o710)).unwrap();
        subvolume(&["snapshot", "-r"], &[&disk.join("kept"), &second]);
        fs::write(live.join("file"), "today").unwrap();
        let numbers = [&first, &second, &top].map(|path| fs::metadata(path).unwrap().dev());

        let plan = cli.ok(&["plan", "shop", &snapshot]);
        assert!(plan.to_string().contains("3 read-only subvolumes in volume /app"), "{plan}");
        for (command, contents) in
            [(["restore", "shop", &snapshot, "--yes"].as_slice(), "saved"), (&["undo", "shop"], "today")]
        {
            cli.ok(command);
            assert_eq!(fs::read_to_string(live.join("file")).unwrap(), contents);
            for (path, number) in [&first, &second, &top].into_iter().zip(numbers) {
                assert_eq!(
                    fs::metadata(path).unwrap().dev(),
                    number,
                    "the very same one, by the number that btrfs gives it"
                );
                assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "kept");
                fs::write(path.join("file"), "x").unwrap_err();
            }
            let made = second.parent().unwrap();
            assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o710);
        }
        assert_eq!(trees::litter(if is_subvolume { &live } else { live.parent().unwrap() }), Vec::<String>::new());
    }
}

/// Where something else has its name by then, nothing is lost and the message says what to do.
#[test]
fn a_read_only_subvolume_whose_place_is_taken_waits_until_it_is_free() {
    let Some(disk) = LoopDisk::new("btrfs", "the place of a read-only subvolume is taken") else { return };
    let live = disk.join("app");
    fs::create_dir(&live).unwrap();
    fs::create_dir(live.join("snap")).unwrap();
    fs::write(live.join("snap/file"), "saved").unwrap();
    let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    fs::rename(live.join("snap"), disk.join("kept")).unwrap();
    subvolume(&["create"], &[&live.join("other")]);
    fs::write(live.join("other/file"), "kept").unwrap();
    subvolume(&["snapshot", "-r"], &[&live.join("other"), &live.join("snap")]);
    let failed = cli.run(&["restore", "shop", &snapshot, "--yes"]);
    let text = failed.json.to_string();
    assert_eq!(failed.status, Some(6), "{text}");
    assert_eq!(fs::read_to_string(live.join("snap/file")).unwrap(), "saved", "{text}");
    let remedy = text.split('`').find(|word| word.starts_with("mv -T")).unwrap_or_else(|| panic!("{text}"));
    let moved = Command::new("sh").args(["-c", remedy]).output().unwrap();
    assert!(moved.status.success(), "{remedy}: {moved:?}");
    cli.ok(&["recover", "shop"]);
    assert_eq!(fs::read_to_string(live.join("snap/file")).unwrap(), "kept");
    fs::write(live.join("snap/file"), "x").unwrap_err();
    assert_eq!(fs::read_to_string(live.join("snap.other/file")).unwrap(), "saved");
    assert_eq!(trees::litter(live.parent().unwrap()), Vec::<String>::new());
}

/// By inode number and birth they are one; the kernel tells of subvolumes since 6.10.
fn are_two_directories(disk: &LoopDisk, dirs: &[&Path; 2]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let port = Disk::open(&disk.join("port")).unwrap();
    let [first, second] = dirs.map(|dir| match runtime.block_on(port.look(dir)).unwrap() {
        Sight::Directory { identity, .. } => identity,
        sight @ (Sight::Absent | Sight::Other) => panic!("{}: {sight:?}", dir.display()),
    });
    assert_eq!((first.inode, first.birth_ns), (second.inode, second.birth_ns));
    if first.subvolume.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "this kernel does not tell of subvolumes");
        println!("skipped: this kernel does not tell of subvolumes");
        return;
    }
    assert!(first.is(first) && !first.is(second));
}

/// A snapshot of a subvolume has its inode numbers and its births, and is another directory all the same.
#[test]
fn a_subvolume_and_a_snapshot_of_it_are_two_volumes() {
    let Some(disk) = LoopDisk::new("btrfs", "subvolume and snapshot") else { return };
    let (live, copy) = (disk.join("subvolume"), disk.join("snapshot"));
    subvolume(&["create"], &[&live]);
    trees::make(&live, "saved");
    subvolume(&["snapshot"], &[&live, &copy]);
    are_two_directories(&disk, &[&live, &copy]);
    are_two_directories(&disk, &[&live.join("sub"), &copy.join("sub")]);
    let saved = trees::read(&live);
    let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
    let volumes = [format!("/a={}", live.display()), format!("/b={}", copy.display())];
    cli.ok(&["workload", "add", "shop", "--volume", &volumes[0], "--volume", &volumes[1]]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    for dir in [&live, &copy] {
        fs::write(dir.join("file-1"), "today").unwrap();
    }
    cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!((trees::read(&live), trees::read(&copy)), (saved.clone(), saved));
}

#[test]
fn a_mount_point_that_is_not_mounted_when_recovery_comes_is_waited_for() {
    let Some(disk) = LoopDisk::new("ext4", "recovery without its filesystem") else { return };
    let (elsewhere, live) = (tempfile::tempdir().unwrap(), disk.path());
    let cli = Cli::new(elsewhere.path().join("state"), "unix:///nonexistent/docker.sock");
    trees::make(&live, "saved");
    let saved = trees::read(&live);
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    trees::clear(&live);
    trees::make(&live, "today");
    // In the middle of the switch: some of the original's entries are out. Uses are counted for each thread by itself,
    // and one thread moves all of these eight, mostly after it has replaced the journal a few times.
    let kill = ["-f", "-qq", "-o", "/dev/null", "-e", "inject=renameat2:signal=SIGKILL:when=7"];
    let killed = cli.under("strace", &kill, &["restore", "shop", &snapshot, "--yes"]).output().unwrap();
    assert!(!killed.status.success(), "{killed:?}");
    let status = cli.ok(&["status"]).to_string();
    assert!(status.contains("\"committed\""), "{status}");
    disk.unmount();
    let waiting = cli.run(&["recover"]);
    assert_eq!(waiting.status, Some(6), "{waiting:?}");
    assert!(waiting.json.to_string().contains("is its filesystem mounted?"), "{waiting:?}");
    assert_eq!(fs::read_dir(&live).unwrap().count(), 0, "something was made on the bare mount point");
    disk.mount_again();
    let recovered = cli.ok(&["recover"]);
    assert_eq!(recovered["recovered"][0]["outcome"], "restored", "{recovered}");
    assert_eq!(trees::read(&live), saved);
}

/// What is in no snapshot would go with what is replaced, and who sees the directory elsewhere would go on in that.
#[test]
fn what_a_switch_would_take_away_from_others_is_refused_before_anything_is_touched() {
    let Some(disk) = LoopDisk::new("btrfs", "what a switch would take away") else { return };
    let (live, elsewhere) = (disk.join("app"), disk.join("elsewhere"));
    fs::create_dir_all(live.join("www")).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(live.join("file"), "saved").unwrap();
    let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
    cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    let command = |words: &[&str], paths: &[&Path]| {
        let done = Command::new(words[0]).args(&words[1..]).args(paths).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    let restore =
        || cli.fails(&["restore", "shop", &snapshot, "--yes", "--no-safety-snapshot"], 3, "refused").to_string();

    for of in [&live, &live.join("www")] {
        command(&["mount", "--bind"], &[of, &elsewhere]);
        let refused = restore();
        command(&["umount"], &[&elsewhere]);
        assert!(refused.contains(&format!("is mounted at {} as well", elsewhere.display())), "{refused}");
    }
    let kept = live.join(".volsnap-00000000000070008000000000000001-0");
    for dir in [&kept, &live.join("lost+found")] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("precious"), "the only copy").unwrap();
        let refused = restore();
        assert!(refused.contains(&format!("holds {}, which snapshots leave out", dir.display())), "{refused}");
        assert_eq!(fs::read(dir.join("precious")).unwrap(), b"the only copy");
        fs::remove_dir_all(dir).unwrap();
    }
    // An empty one is only what a filesystem makes for itself.
    fs::create_dir(live.join("lost+found")).unwrap();
    cli.ok(&["restore", "shop", &snapshot, "--yes"]);
    assert_eq!(fs::read(live.join("file")).unwrap(), b"saved");
}
