//! The units that run a recovery at boot, and those of timers: systemd takes them as they are meant, and the one before the engine needs none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use volsnap_tests::{
    cli::{self, Cli},
    trees,
};

const EARLY: &str = "volsnap-recover.service";
const LATE: &str = "volsnap-recover-containers.service";

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../app/systemd").join(name)).unwrap()
}

/// The names of all units.
fn units() -> Vec<String> {
    let dir = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../app/systemd")).unwrap();
    dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The values of a key, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.collect()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let is_here = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|o| o.status.success());
    assert!(is_here || std::env::var("CI").as_deref() != Ok("true"), "the units' test needs systemd-analyze");
    if !is_here {
        println!("skipped: systemd-analyze is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // One of each template, as it is enabled.
    let paths: Vec<PathBuf> = units().iter().map(|name| dir.path().join(name.replace('@', "@shop"))).collect();
    assert!(paths.len() >= 8, "{paths:?}");
    for (name, path) in units().iter().zip(&paths) {
        // The binary of a machine where it is installed.
        let text = unit(name);
        fs::write(path, text.replace("/usr/local/bin/volsnap", cli::binary().to_str().unwrap())).unwrap();
    }
    let verified =
        Command::new("systemd-analyze").args(["verify", "--recursive-errors=no"]).args(&paths).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&verified.stdout), String::from_utf8_lossy(&verified.stderr));
    assert!(verified.status.success() && !said.contains("volsnap"), "{said}");
}

#[test]
fn the_engine_waits_for_the_first_unit_and_the_second_waits_for_the_engine() {
    let (early, late) = (unit(EARLY), unit(LATE));
    assert!(values(&early, "Before").iter().any(|units| units.contains("docker.service")));
    assert!(values(&late, "After").iter().any(|units| units.contains("docker.service") && units.contains(EARLY)));
    for unit in [&early, &late] {
        assert_eq!(values(unit, "Type"), ["oneshot"]);
        assert_eq!(values(unit, "RequiresMountsFor"), ["/var/lib/volsnap"]);
        // Mounts of its own would make every rename one between two mounts.
        for key in ["ProtectSystem", "ProtectHome", "ReadWritePaths", "ReadOnlyPaths", "PrivateTmp", "PrivateMounts"] {
            assert_eq!(values(unit, key), Vec::<&str>::new(), "{key}");
        }
        // Hooks that a crash left due run in here, with all that they may do when they are run by hand.
        let taken = |line: &&str| line.starts_with("Restrict") || line.starts_with("SystemCall");
        assert_eq!(unit.lines().filter(taken).collect::<Vec<_>>(), Vec::<&str>::new());
        for key in ["NoNewPrivileges", "MemoryDenyWriteExecute", "LockPersonality", "CapabilityBoundingSet", "User"] {
            assert_eq!(values(unit, key), Vec::<&str>::new(), "{key}");
        }
    }
}

#[test]
fn the_first_unit_ends_a_restore_of_plain_directories_although_it_reaches_no_engine() {
    let early = unit(EARLY);
    let host =
        values(&early, "Environment").iter().find_map(|one| one.strip_prefix("DOCKER_HOST=")).unwrap().to_string();
    let words = values(&early, "ExecStart")[0].split(' ').skip(1).collect::<Vec<_>>();
    assert_eq!(words, ["--progress", "none", "recover"]);
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("data/live");
    let cli = Cli::new(dir.path().join("state"), host);
    trees::make(&live, "saved");
    let saved = trees::read(&live);
    let workload = cli.ok(&["workload", "add", "shop", "--volume", &format!("/live={}", live.display())]);
    let snapshot = cli.ok(&["create", "shop"])["id"].as_str().unwrap().to_string();
    let mut restored = 0;
    for entry in ["opened", "committed", "switched", "captured"] {
        trees::clear(&live);
        trees::make(&live, "today");
        let today = trees::read(&live);
        cli.kill_at(&["restore", "shop", &snapshot, "--yes"], workload["id"].as_str().unwrap(), entry);
        let began = Instant::now();
        cli.ok(&["recover"]);
        assert!(began.elapsed() < Duration::from_secs(5), "it waits for the engine");
        let now = trees::read(&live);
        assert!(now == today || now == saved, "{now:#?}");
        restored += usize::from(now == saved);
        assert_eq!(trees::litter(&dir.path().join("data")), Vec::<String>::new());
    }
    assert!(restored > 0, "none was killed after its commit");
}
