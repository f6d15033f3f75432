//! The short freeze on a real Docker Engine: an app that writes all the time is copied while it runs, and the archive is
//! of one point in time all the same; whoever dies while the app is frozen leaves it to be woken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use volsnap_tests::{
    cli::{Cli, binary},
    private_engine::{PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/app:1";
/// Writes one counter into two volumes in turn, over what stands there and as long as it was. `a` is the first file of a
/// large volume, `z` is the last one of the other.
const APP: &str = "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); printf %08d $n 1<>/data/a; \
                   printf %08d $n 1<>/other/z; sleep 0.005; done";
const LARGE_FILES: usize = 24;
const LARGE_BYTES: usize = 8 << 20;

struct Stage {
    engine: PrivateEngine,
    dir: tempfile::TempDir,
    cli: Cli,
    app: String,
    workload: String,
}

impl Stage {
    fn new(test: &str) -> Option<Self> {
        let engine = PrivateEngine::start(test)?;
        engine.import_image(IMAGE);
        let dir = tempfile::tempdir().unwrap();
        let app = format!("{}-app", engine.prefix());
        let cli = Cli::new(dir.path().join("state"), engine.host());
        let mut stage = Stage { engine, dir, cli, app, workload: String::new() };
        for name in ["data", "other"] {
            fs::create_dir(stage.path(name)).unwrap();
        }
        stage.fill(0);
        let volume = |name: &str| format!("{}:/{name}", stage.path(name).display());
        let volumes = vec![volume("data"), volume("other")];
        stage.engine.run(&Run { name: &stage.app, image: IMAGE, volumes, script: APP, ..Run::default() });
        stage.cli.ok(&["workload", "add", "shop", "--container", &stage.app]);
        stage.workload = stage.cli.ok(&["workload", "show", "shop"])["id"].as_str().unwrap().to_string();
        stage.wait_for("the app writes", || stage.counter("other/z") > 3);
        Some(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Fills the large volume with what does not compress.
    fn fill(&self, seed: usize) {
        for nth in 0..LARGE_FILES {
            let path = self.path("data").join(format!("large-{nth:02}"));
            fs::write(path, noise((LARGE_FILES * seed + nth) as u64)).unwrap();
        }
    }

    /// The counter in a live file.
    fn counter(&self, name: &str) -> u64 {
        number(&fs::read(self.path(name)).unwrap_or_default())
    }

    /// The counter in a file of a snapshot.
    fn archived(&self, snapshot: &str, target: &str, path: &str) -> u64 {
        let dumped = Command::new(binary())
            .args(["dump", snapshot, target, path, "--progress", "none", "--state-dir"])
            .arg(self.path("state"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(dumped.status.success(), "{dumped:?}");
        number(&dumped.stdout)
    }

    fn is_paused(&self) -> bool {
        self.engine.inspect(&self.app, "{{.State.Paused}}").trim() == "true"
    }

    #[track_caller]
    fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..500 {
            if condition() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("{what}: not within ten seconds");
    }

    #[track_caller]
    fn assert_app_is_awake(&self) {
        assert!(!self.is_paused(), "the app is frozen");
        let before = self.counter("other/z");
        self.wait_for("the app writes", || self.counter("other/z") > before);
        assert_eq!(self.cli.journal(&self.workload), "");
        let archives = self.path("state/snapshots").join(&self.workload);
        let names = fs::read_dir(archives).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let drafts: Vec<String> = names.filter(|name| !name.ends_with(".tar.zst")).collect();
        assert_eq!(drafts, Vec::<String>::new(), "unfinished archives are left");
    }

    /// Kills snapshots until one leaves the app frozen.
    fn kill_while_frozen(&self) {
        for attempt in 0..20 {
            // What has just been written is captured under the freeze, which takes a while.
            self.fill(attempt);
            let mut child = self.cli.spawn(&["create", "shop", "--mode", "pause"]);
            let deadline = Instant::now() + Duration::from_secs(60);
            while self.cli.journal(&self.workload).is_empty()
                && child.try_wait().unwrap().is_none()
                && Instant::now() < deadline
            {
                sleep(Duration::from_micros(200));
            }
            sleep(Duration::from_millis(20 + 15 * attempt as u64));
            let _ = child.kill();
            child.wait_with_output().unwrap();
            if self.is_paused() {
                return;
            }
            self.cli.run(&["recover", "shop"]);
        }
        panic!("no snapshot could be killed while the app was frozen");
    }
}

/// What looks random and derives from a seed (splitmix64).
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)).to_le_bytes()
    };
    (0..LARGE_BYTES / 8).flat_map(|_| next()).collect()
}

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[test]
fn a_snapshot_of_an_app_that_writes_all_the_while_is_of_one_point_in_time() {
    let Some(stage) = Stage::new("one point in time") else { return };
    // So old that the first pass can be believed.
    sleep(Duration::from_secs(4));
    for _ in 0..3 {
        let before = stage.counter("data/a");
        let snapshot = stage.cli.ok(&["create", "shop", "--mode", "pause"])["id"].as_str().unwrap().to_string();
        let after = stage.counter("data/a");
        let (a, z) = (stage.archived(&snapshot, "/data", "a"), stage.archived(&snapshot, "/other", "z"));
        println!("between {before} and {after}: {a} and {z}");
        assert!(a == z || a == z + 1, "the archive is of two points in time: {a} in one volume, {z} in the other");
        assert!(before + 1 < a && a <= after, "it is not the state of the freeze: {a}, between {before} and {after}");
        stage.cli.ok(&["verify", &snapshot]);
        stage.assert_app_is_awake();
    }
}

#[test]
fn a_kill_while_the_app_is_frozen_is_made_good_by_recover_and_by_the_next_snapshot() {
    let Some(stage) = Stage::new("killed while frozen") else { return };
    stage.kill_while_frozen();
    let status = stage.cli.ok(&["status", "shop"]).to_string();
    assert!(status.contains("thaw the app and remove the unfinished archive"), "{status}");
    let recovered = stage.cli.ok(&["recover", "shop"]);
    assert_eq!(recovered["recovered"].as_array().unwrap().len(), 1, "{recovered}");
    stage.assert_app_is_awake();

    stage.kill_while_frozen();
    let created = stage.cli.ok(&["create", "shop"]);
    stage.assert_app_is_awake();
    let listed = stage.cli.ok(&["list", "shop"]);
    let whole: Vec<&str> = listed["snapshots"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert!(whole.contains(&created["id"].as_str().unwrap()), "{listed}");
    for snapshot in whole {
        stage.cli.ok(&["verify", snapshot]);
    }
}
