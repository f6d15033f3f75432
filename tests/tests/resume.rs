//! Staging that goes on after a kill, with the real binary on the machine's own filesystem.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use volsnap_tests::{
    cli::Cli,
    trees::{self, Tree},
};

/// Large enough to be killed in the middle of it: so many files of so many bytes.
const FILES: usize = 400;
const FILE_BYTES: usize = 64 * 1024;

struct Scene {
    cli: Cli,
    workload: String,
    snapshot: String,
    live: PathBuf,
    saved: Option<Tree>,
    today: Option<Tree>,
    scratch: tempfile::TempDir,
}

impl Scene {
    /// A snapshot of a few hundred files, and a live tree that has changed since.
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let cli = Cli::new(scratch.path().join("state"), "unix:///nonexistent/docker.sock");
        let live = scratch.path().join("data/app");
        trees::make(&live, "saved");
        let mut noise = vec![0_u8; FILE_BYTES];
        for file in 0..FILES {
            // Nothing that compresses to nothing, and no two alike.
            let mut state = file as u64 + 1;
            noise.fill_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            });
            let dir = live.join(format!("dir-{}", file % 7));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(format!("file-{file}")), &noise).unwrap();
        }
        let saved = trees::read(&live);
        let added = cli.ok(&["workload", "add", "shop", "--volume", &format!("/app={}", live.display())]);
        let workload = added["id"].as_str().unwrap().to_string();
        let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
        trees::clear(&live);
        trees::make(&live, "today");
        let today = trees::read(&live);
        Scene { cli, workload, snapshot, live, saved, today, scratch }
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    fn partial(&self) -> Option<PathBuf> {
        let private = trees::litter(&self.data()).into_iter().next()?;
        Some(self.data().join(private).join("partial"))
    }

    /// Kills a command once it has staged so many files anew. Gives the inodes of those that stand.
    fn kill_while_staging(&self, args: &[&str], files_min: usize) -> BTreeSet<u64> {
        let mut child = self.cli.spawn(args);
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.partial().map_or(0, |partial| inodes(&partial).len()) < files_min {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
            assert!(Instant::now() < deadline, "it does not stage");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(self.cli.journal(&self.workload).contains("opened"), "it ended before it was killed");
        assert!(!self.cli.journal(&self.workload).contains("pinned"), "it was killed too late");
        let standing = inodes(&self.partial().expect("it was killed while it staged"));
        assert!(standing.len() < FILES, "everything was staged");
        standing
    }

    fn restore<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        [&["restore", "shop", &self.snapshot, "--yes"], options].concat()
    }

    fn status(&self) -> Value {
        self.cli.ok(&["status"])["open"][0].clone()
    }

    /// Restored to the last attribute, nothing left, and the files that were staged before are the very same.
    fn assert_resumed(&self, report: &Value, staged: &BTreeSet<u64>) {
        assert_eq!(report["outcome"], "restored", "{report}");
        assert_eq!(trees::read(&self.live), self.saved);
        let (live, adopted) = (inodes(&self.live), |live: &BTreeSet<u64>| live.intersection(staged).count());
        // The file that was being written and those with several names may be others.
        assert!(adopted(&live) + 8 >= staged.len(), "{} of {} were used again", adopted(&live), staged.len());
        self.assert_over();
    }

    fn assert_rolled_back(&self) {
        assert_eq!(trees::read(&self.live), self.today);
        self.assert_over();
    }

    fn assert_over(&self) {
        assert_eq!(trees::litter(&self.data()), Vec::<String>::new());
        assert_eq!(self.cli.ok(&["status"])["open"], Value::Array(Vec::new()));
    }
}

/// Inodes of the large files below a directory that comes and goes.
fn inodes(root: &Path) -> BTreeSet<u64> {
    let dirs = (0..7).filter_map(|dir| fs::read_dir(root.join(format!("dir-{dir}"))).ok());
    dirs.flatten().flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.ino()).collect()
}

#[test]
fn a_killed_restore_goes_on_where_that_was_asked_for() {
    let scene = Scene::new();
    let staged = scene.kill_while_staging(&scene.restore(&["--resume"]), 60);
    assert!(scene.status()["would"].as_str().unwrap().starts_with("go on with the restore"), "{}", scene.status());
    assert_eq!(trees::read(&scene.live), scene.today, "nothing of the app was touched");
    let recovered = scene.cli.ok(&["recover"]);
    scene.assert_resumed(&recovered["recovered"][0], &staged);
    scene.cli.ok(&["undo", "shop"]);
    scene.assert_rolled_back();
}

#[test]
fn a_recovery_that_is_killed_too_is_gone_on_with_all_the_same() {
    let scene = Scene::new();
    let first = scene.kill_while_staging(&scene.restore(&["--resume"]), 60);
    let second = scene.kill_while_staging(&["recover"], 20);
    assert!(second.intersection(&first).count() > 0, "the recovery used nothing again");
    let recovered = scene.cli.ok(&["recover"]);
    scene.assert_resumed(&recovered["recovered"][0], &first.union(&second).copied().collect());
}

#[test]
fn the_same_command_again_goes_on_and_restores_once() {
    let scene = Scene::new();
    let staged = scene.kill_while_staging(&scene.restore(&["--resume"]), 60);
    let report = scene.cli.ok(&scene.restore(&["--resume"]));
    scene.assert_resumed(&report, &staged);
    let snapshots = scene.cli.ok(&["list", "shop"])["snapshots"].as_array().unwrap().len();
    assert_eq!(snapshots, 2, "the snapshot and what was replaced");
}

#[test]
fn another_restore_gives_up_what_could_be_resumed() {
    let scene = Scene::new();
    scene.kill_while_staging(&scene.restore(&["--resume"]), 60);
    let first = scene.status()["restore_id"].clone();
    let ended = scene.cli.run(&scene.restore(&["--resume", "--no-safety-snapshot"]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_ne!(ended.json["restore_id"], first, "{ended:?}");
    let given_up = &ended.json["recovered"][0];
    assert_eq!((&given_up["outcome"], &given_up["restore_id"]), (&Value::from("aborted"), &first), "{ended:?}");
    assert_eq!(trees::read(&scene.live), scene.saved);
    scene.assert_over();
}

#[test]
fn a_torn_file_is_not_taken_for_a_restored_one() {
    let scene = Scene::new();
    scene.kill_while_staging(&scene.restore(&["--resume"]), 60);
    let partial = scene.partial().unwrap();
    let dir = fs::read_dir(partial.join("dir-0")).unwrap();
    for (nth, file) in dir.enumerate() {
        let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
        match nth % 3 {
            0 => file.set_len(1000).unwrap(),
            1 => std::os::unix::fs::FileExt::write_all_at(&file, &[0; 512], 4096).unwrap(),
            _ => {}
        }
    }
    assert_eq!(scene.cli.ok(&["recover"])["recovered"][0]["outcome"], "restored");
    assert_eq!(trees::read(&scene.live), scene.saved);
    scene.assert_over();
}

#[test]
fn without_being_asked_for_a_killed_restore_is_rolled_back() {
    let scene = Scene::new();
    scene.kill_while_staging(&scene.restore(&[]), 60);
    assert!(scene.status()["would"].as_str().unwrap().starts_with("roll back"), "{}", scene.status());
    assert_eq!(scene.cli.ok(&["recover"])["recovered"][0]["outcome"], "aborted");
    scene.assert_rolled_back();
}
