//! A container that uses a volume's directory by another path than the workload does, on a real Docker Engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{fs, path::Path, process::Command};

use volsnap_tests::{
    cli::Cli,
    loop_disk::LoopDisk,
    private_engine::{FOREVER, PrivateEngine, Run},
};

const IMAGE: &str = "volsnap-test/app:1";

/// A bind mount, until it is dropped.
struct Bound(std::path::PathBuf);

impl Bound {
    fn of(from: &Path, at: &Path) -> Option<Bound> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").arg("--bind").args([from, at]).status().is_ok_and(|s| s.success());
        mounted.then(|| Bound(at.to_path_buf()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The container is a stranger to the workload that has its directory: named by `create`, refused by `restore` while it runs.
fn assert_it_is_seen(cli: &Cli, engine: &PrivateEngine, name: &str, at: &Path) {
    let volume = format!("/data={}", at.display());
    cli.ok(&["workload", "add", "plain", "--volume", &volume]);
    fs::write(at.join("f"), "1").unwrap();
    let created = cli.run(&["create", "plain"]);
    let warned = format!("container {name} is not part of plain and ran on its volumes");
    assert!(created.json["warnings"].to_string().contains(&warned), "{created:#?}");
    fs::write(at.join("f"), "2").unwrap();
    let refused = cli.fails(&["restore", "plain", "latest", "--yes"], 3, "refused");
    assert!(refused.to_string().contains(&format!("container {name} is not part of plain")), "{refused}");
    assert_eq!(fs::read_to_string(at.join("f")).unwrap(), "2");
    engine.docker(&["stop", "--time=1", name]);
    cli.ok(&["restore", "plain", "latest", "--yes"]);
    assert_eq!(fs::read_to_string(at.join("f")).unwrap(), "1");
}

#[test]
fn a_container_on_a_device_that_is_mounted_elsewhere_as_well_is_seen() {
    let test = "a_container_on_a_device_that_is_mounted_elsewhere_as_well_is_seen";
    let Some(engine) = PrivateEngine::start(test) else { return };
    let Some(disk) = LoopDisk::new("ext4", test) else { return };
    engine.import_image(IMAGE);
    let dir = tempfile::tempdir().unwrap();
    let (name, volume) = (format!("{}-app", engine.prefix()), format!("{}-disk", engine.prefix()));
    let found = Command::new("findmnt").args(["-nro", "SOURCE"]).arg(disk.path()).output().unwrap();
    let device = format!("device={}", String::from_utf8(found.stdout).unwrap().trim());
    engine.docker(&["volume", "create", "--opt=type=ext4", "--opt", &device, &volume]);
    let volumes = vec![format!("{volume}:/data")];
    engine.run(&Run { name: &name, image: IMAGE, volumes, script: FOREVER, ..Run::default() });
    assert_it_is_seen(&Cli::new(dir.path().join("state"), engine.host()), &engine, &name, &disk.path());
    engine.docker(&["rm", "--force", &name]);
    engine.docker(&["volume", "rm", &volume]);
}

#[test]
fn a_container_on_a_directory_that_is_bound_elsewhere_as_well_is_seen() {
    let test = "a_container_on_a_directory_that_is_bound_elsewhere_as_well_is_seen";
    let Some(engine) = PrivateEngine::start(test) else { return };
    engine.import_image(IMAGE);
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    let Some(alias) = Bound::of(&own, &dir.path().join("alias")) else {
        println!("skipped {test}: nothing can be mounted");
        return;
    };
    let name = format!("{}-app", engine.prefix());
    let volumes = vec![format!("{}:/data", own.display())];
    engine.run(&Run { name: &name, image: IMAGE, volumes, script: FOREVER, ..Run::default() });
    assert_it_is_seen(&Cli::new(dir.path().join("state"), engine.host()), &engine, &name, &alias.0);
    engine.docker(&["rm", "--force", &name]);
}
