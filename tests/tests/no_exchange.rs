//! Restores where two names cannot change places in one step: on FUSE, and on overlays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use volsnap_tests::{
    cli::{Cli, Ended},
    loop_disk::LoopDisk,
    trees,
};

/// Something that a test mounted, and that is unmounted with it.
struct Mounted(PathBuf);

impl Mounted {
    /// With a command whose last argument is the mount point; `None`, with the reason, where that cannot be done.
    fn by(program: &str, arguments: &[&str], at: &Path, test: &str) -> Option<Self> {
        let why = match Command::new(program).args(arguments).arg(at).output() {
            Ok(output) if output.status.success() => return Some(Mounted(at.to_path_buf())),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {program}: {why}");
        println!("skipped {test}: {program}: {why}");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

/// A volume that holds something else than its snapshot.
struct Shop {
    cli: Cli,
    live: PathBuf,
    snapshot: String,
    saved: Option<trees::Tree>,
    today: Option<trees::Tree>,
}

impl Shop {
    fn open(live: &Path, state: &Path) -> Self {
        let cli = Cli::new(state, "unix:///nonexistent/docker.sock");
        let saved = trees::read(live);
        cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
        let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        trees::clear(live);
        trees::make(live, "today");
        Shop { cli, live: live.to_path_buf(), snapshot, saved, today: trees::read(live) }
    }

    fn restore(&self) -> Ended {
        self.cli.run(&["restore", "shop", &self.snapshot, "--yes"])
    }

    fn is_restored_and_undone(&self) {
        self.is_restored_by("two-renames");
    }

    fn is_restored_by(&self, method: &str) {
        let report = self.restore();
        assert_eq!((report.status, &report.json["volumes"][0]["method"]), (Some(0), &method.into()), "{report:?}");
        assert_eq!(trees::read(&self.live), self.saved);
        self.cli.ok(&["undo", "shop"]);
        assert_eq!(trees::read(&self.live), self.today);
        self.has_no_litter();
    }

    fn has_no_litter(&self) {
        assert_eq!(trees::litter(self.live.parent().unwrap()), Vec::<String>::new());
    }
}

#[test]
fn a_volume_on_fuse_is_restored_by_two_renames() {
    let test = "a volume on FUSE";
    let dir = tempfile::tempdir().unwrap();
    let [image, mount] = ["image", "mnt"].map(|name| dir.path().join(name));
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    fs::create_dir(&mount).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let Some(_mounted) = Mounted::by("fuse2fs", &["-o", "rw", image.to_str().unwrap()], &mount, test) else { return };
    let live = mount.join("data/app");
    trees::make(&live, "saved");
    Shop::open(&live, &dir.path().join("state")).is_restored_and_undone();
}

/// An overlay on a disk: what is in `low` comes from its lower layer.
fn overlay(disk: &LoopDisk, redirect: &str, test: &str) -> Option<Mounted> {
    for name in ["low", "up", "work", "merged"] {
        fs::create_dir_all(disk.join(name)).unwrap();
    }
    let layer = |option: &str, name: &str| format!("{option}={}", disk.join(name).display());
    let layers = [
        layer("lowerdir", "low"),
        layer("upperdir", "up"),
        layer("workdir", "work"),
        format!("redirect_dir={redirect}"),
    ];
    let arguments = ["-t", "overlay", "overlay", "-o", &layers.join(",")];
    Mounted::by("mount", &arguments, &disk.join("merged"), test)
}

#[test]
fn a_volume_in_the_upper_layer_of_an_overlay_is_restored_by_two_renames() {
    let test = "a volume in an upper layer";
    let Some(disk) = LoopDisk::new("ext4", test) else { return };
    let Some(_mounted) = overlay(&disk, "off", test) else { return };
    let live = disk.join("merged/data/app");
    trees::make(&live, "saved");
    Shop::open(&live, &disk.join("state")).is_restored_and_undone();
}

/// A directory of a lower layer cannot be renamed at all. No plan can tell; staging finds out before anything is touched.
#[test]
fn a_volume_in_the_lower_layer_of_an_overlay_stays_as_it_was() {
    let test = "a volume in a lower layer";
    let Some(disk) = LoopDisk::new("ext4", test) else { return };
    trees::make(&disk.join("low/data/app"), "saved");
    let Some(_mounted) = overlay(&disk, "off", test) else { return };
    let shop = Shop::open(&disk.join("merged/data/app"), &disk.join("state"));
    let plan = shop.cli.ok(&["plan", "shop", &shop.snapshot]);
    let reason = plan["volumes"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("lower layer"), "{reason}");
    let report = shop.restore();
    assert_eq!((report.status, &report.json["error"]["code"]), (Some(3), &"refused".into()), "{report:?}");
    assert!(report.json.to_string().contains("lower layer, which cannot be renamed"), "{report:?}");
    assert_eq!(trees::read(&shop.live), shop.today);
    shop.has_no_litter();
    // The remedy, as it is written.
    let message = report.json["error"]["message"].as_str().unwrap();
    let remedy = message.split('`').nth(1).unwrap();
    let done = Command::new("sh").args(["-c", remedy]).output().unwrap();
    assert!(done.status.success(), "{remedy}: {done:?}");
    assert_eq!(trees::read(&shop.live), shop.today);
    shop.is_restored_and_undone();
}

/// What is made beside the volume copies the directory above it into the upper layer, where it was born another day.
#[test]
fn a_volume_below_a_directory_of_the_lower_layer_is_restored() {
    let test = "a volume below a lower layer";
    for redirect in ["off", "on"] {
        let Some(disk) = LoopDisk::new("ext4", test) else { return };
        trees::make(&disk.join("low/data/app"), "saved");
        let Some(_mounted) = overlay(&disk, redirect, test) else { return };
        let live = disk.join("merged/data/app");
        let cli = Cli::new(disk.join("state"), "unix:///nonexistent/docker.sock");
        cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
        let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        let saved = trees::read(&live);
        // Nothing is written before: all of it is of the lower layer.
        let report = cli.run(&["restore", "shop", &snapshot, "--yes"]);
        let status = if redirect == "on" { 0 } else { 3 };
        assert_eq!(report.status, Some(status), "redirect_dir={redirect}: {report:?}");
        assert_eq!(cli.ok(&["status"])["open"], serde_json::json!([]));
        assert_eq!(trees::read(&live), saved);
        assert_eq!(trees::litter(live.parent().unwrap()), Vec::<String>::new());
    }
}

/// bindfs takes an access time that is to stay for a wish that both times be now.
#[test]
fn what_bindfs_shows_is_restored_with_its_times_within_it_and_at_its_root() {
    let test = "a volume of bindfs";
    let dir = tempfile::tempdir().unwrap();
    for (live, method) in [("mnt/app", "two-renames"), ("mnt", "by-entry")] {
        let root = dir.path().join(method);
        let [data, mount] = ["data", "mnt"].map(|name| root.join(name));
        fs::create_dir_all(&data).unwrap();
        fs::create_dir_all(&mount).unwrap();
        // What the kernel remembers of a count of names is old for a second.
        let arguments = ["-o", "attr_timeout=0,entry_timeout=0", data.to_str().unwrap()];
        let Some(_mounted) = Mounted::by("bindfs", &arguments, &mount, test) else { return };
        let live = root.join(live);
        trees::make(&live, "saved");
        Shop::open(&live, &root.join("state")).is_restored_by(method);
    }
}

/// Under such a policy a rename fails halfway where the two directories are on different disks: it is found out before.
#[test]
fn a_mergerfs_that_preserves_paths_is_refused_until_its_policy_is_changed() {
    let test = "a volume of mergerfs";
    let dir = tempfile::tempdir().unwrap();
    let [one, other, pool] = ["one", "other", "pool"].map(|name| dir.path().join(name));
    for (dir, name) in [(&one, "b"), (&other, "c")] {
        fs::create_dir_all(dir.join("app").join(name)).unwrap();
        fs::write(dir.join("app").join(name).join("file"), name).unwrap();
    }
    fs::create_dir(&pool).unwrap();
    let branches = format!("{}:{}", one.display(), other.display());
    let arguments = ["-o", "category.create=epmfs,cache.attr=0,cache.entry=0", &branches];
    let Some(_mounted) = Mounted::by("mergerfs", &arguments, &pool, test) else { return };
    let cli = Cli::new(dir.path().join("state"), "unix:///nonexistent/docker.sock");
    let added = cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", pool.join("app").display())]);
    assert!(added.to_string().contains("epmfs"), "{added}");
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    let plan = cli.run(&["plan", "shop", &snapshot]);
    let refusal = &plan.json["refusals"][0];
    assert_eq!((plan.status, refusal["message"].as_str().unwrap().contains("epmfs")), (Some(3), true), "{plan:?}");
    // The remedy, as it is written.
    let remedy = refusal["hint"].as_str().unwrap().split('`').nth(1).unwrap().to_string();
    let done = Command::new("sh").args(["-c", &remedy]).output().unwrap();
    assert!(done.status.success(), "{remedy}: {done:?}");
    fs::write(pool.join("app/b/file"), "bad").unwrap();
    let report = cli.run(&["restore", "shop", &snapshot, "--yes"]);
    // What its caches make of times may be worth a warning.
    assert!(matches!(report.status, Some(0 | 5)), "{report:?}");
    assert_eq!(fs::read(pool.join("app/b/file")).unwrap(), b"b");
}
