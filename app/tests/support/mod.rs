//! A scratch world for the real binary: directories, a state directory, and no container engine in reach.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]
#![allow(dead_code, reason = "each test file uses some of it")]

pub mod golden;
pub mod pty;
pub mod remedy;
pub mod schema;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// Everything below a directory that a restore must bring back: kind, mode, owner, modification time, contents.
pub type Tree = BTreeMap<PathBuf, String>;

/// A scratch world. The workload is called `app` and has the volumes `/data` and `/config`.
pub struct World {
    dir: TempDir,
    /// Where its configuration lies: elsewhere, as on a host.
    etc: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The fields of a report that scripts rely on.
pub const REPORT: [&str; 10] = [
    "restore_id",
    "workload",
    "snapshot",
    "outcome",
    "volumes",
    "safety_snapshot",
    "downtime_ms",
    "stage_ms",
    "total_ms",
    "warnings",
];

/// Asserts that a document has all of those fields.
pub fn has(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "{field} is missing in {document}");
    }
}

/// Tries until something was in time: a signal finds a command in the middle of its work, or just after it. An attempt
/// says whether it was in time, and checks what has to hold in either case.
pub fn in_time(mut attempt: impl FnMut() -> bool) {
    assert!((0..20).any(|_| attempt()), "twenty times too late");
}

impl World {
    /// Two volumes with contents; nothing registered.
    pub fn new() -> Self {
        let world = World { dir: tempfile::tempdir().unwrap(), etc: tempfile::tempdir().unwrap() };
        // Whoever else runs a command here reads it too.
        fs::set_permissions(world.etc.path(), fs::Permissions::from_mode(0o755)).unwrap();
        world.configure("");
        for volume in ["data", "config"] {
            let live = world.live(volume);
            fs::create_dir_all(live.join("below/deeper")).unwrap();
            fs::write(live.join("file"), format!("{volume} as it was")).unwrap();
            fs::write(live.join("below/empty"), "").unwrap();
            fs::write(live.join("below/script"), "#!/bin/sh\n").unwrap();
            fs::set_permissions(live.join("below/script"), fs::Permissions::from_mode(0o751)).unwrap();
            fs::hard_link(live.join("file"), live.join("below/linked")).unwrap();
            symlink("../file", live.join("below/pointer")).unwrap();
            fs::set_permissions(&live, fs::Permissions::from_mode(0o750)).unwrap();
        }
        world
    }

    /// The same, with the workload registered.
    pub fn registered() -> Self {
        let world = World::new();
        let (data, config) = (world.declare("/data", "data"), world.declare("/config", "config"));
        world.ok(&["workload", "add", "app", "--volume", &data, "--volume", &config]);
        world
    }

    /// The same, with a snapshot, and live trees that have changed since. Gives the snapshot's id.
    pub fn damaged() -> (Self, String) {
        let world = World::registered();
        let id = world.create();
        world.damage();
        (world, id)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn live(&self, volume: &str) -> PathBuf {
        self.path("live").join(volume)
    }

    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The configuration that every command of this world reads.
    pub fn config_file(&self) -> PathBuf {
        self.etc.path().join("config.toml")
    }

    /// Writes the configuration that every command of this world reads; without it, there is an empty one.
    pub fn configure(&self, text: &str) {
        fs::write(self.config_file(), text).unwrap();
        fs::set_permissions(self.config_file(), fs::Permissions::from_mode(0o644)).unwrap();
    }

    pub fn declare(&self, target: &str, volume: &str) -> String {
        format!("{target}={}", self.live(volume).display())
    }

    pub fn create(&self) -> String {
        self.json(&["create", "app"])["id"].as_str().unwrap().to_string()
    }

    pub fn damage(&self) {
        fs::write(self.live("data").join("file"), "overwritten").unwrap();
        fs::remove_file(self.live("data").join("below/empty")).unwrap();
        fs::write(self.live("data").join("added"), "since").unwrap();
        fs::remove_dir_all(self.live("config").join("below")).unwrap();
        fs::set_permissions(self.live("config"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Fills a volume with so much that reading it takes a while.
    pub fn make_large(&self, volume: &str) {
        let mut state = 1u64;
        let noise = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        let bytes: Vec<u8> = (0..1 << 20).map(noise).collect();
        for n in 0..96 {
            fs::write(self.live(volume).join(format!("large-{n}")), &bytes).unwrap();
        }
    }

    /// All live trees, and the names beside them.
    pub fn trees(&self) -> Tree {
        tree(&self.path("live"))
    }

    /// The workload's id.
    pub fn workload(&self) -> String {
        self.json(&["workload", "show", "app"])["id"].as_str().unwrap().to_string()
    }

    pub fn archive(&self, snapshot: &str) -> PathBuf {
        self.json(&["show", snapshot])["archive"].as_str().unwrap().into()
    }

    pub fn journal(&self, workload: &str) -> PathBuf {
        self.state().join("journal").join(format!("{workload}.json"))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_volsnap"));
        command
            .args(args)
            .env_clear()
            .env("VOLSNAP_STATE_DIR", self.state())
            .env("VOLSNAP_CONFIG", self.config_file())
            .env("DOCKER_HOST", format!("unix://{}", self.path("no-engine.sock").display()))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        let ran = Ran::of(self.command(args).output().unwrap());
        // What is in an archive is no document, whatever is asked for.
        let is_contents = args.contains(&"dump") || args.contains(&"export") && args.contains(&"-");
        if args.contains(&"--json") && !ran.stdout.is_empty() && !is_contents {
            schema::check(args, &ran.json());
        }
        ran
    }

    /// The text of a command that has to succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    /// The document of a command that has to succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        self.json_with(0, args)
    }

    /// The document of a command that has to end with that status.
    pub fn json_with(&self, status: i32, args: &[&str]) -> Value {
        let ran = self.run(&[&["--json"], args].concat());
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
        ran.json()
    }

    /// Asserts that a command fails with that code and status, for scripts and for people, and leaves every tree as it
    /// is. Gives the message.
    pub fn fails(&self, code: &str, status: i32, args: &[&str]) -> String {
        let before = self.trees();
        let document = self.json_with(status, args);
        let message = document["error"]["message"].as_str().unwrap_or_default().to_string();
        assert_eq!(document["error"]["code"], code, "{args:?}: {document}");
        assert!(message.chars().next().is_some_and(|c| !c.is_uppercase()), "{args:?}: {document}");
        assert_eq!(self.trees(), before, "{args:?} changed something");

        let ran = self.run(args);
        assert_eq!((ran.status, ran.stdout.as_str()), (status, ""), "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("error: "), "{args:?}: {ran:?}");
        assert_eq!(self.trees(), before, "{args:?} changed something");
        message
    }

    /// Starts a restore and hands it over as soon as it writes the staged data.
    pub fn restore_until_staging(&self, snapshot: &str) -> Child {
        self.until(&["restore", "app", snapshot, "--yes"], |line| {
            line["phase"] == "stage" && line["bytes"].as_u64() > Some(0)
        })
    }

    /// Starts a command and hands it over as soon as it tells of such progress.
    pub fn until(&self, args: &[&str], is_there: impl Fn(&Value) -> bool) -> Child {
        let args = [args, &["--json", "--progress", "json"]].concat();
        let mut child = self.command(&args).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while stderr.read_line(&mut line).unwrap() > 0 {
            schema::check_progress(&line);
            let there = serde_json::from_str(&line).is_ok_and(|line| is_there(&line));
            line.clear();
            if there {
                break;
            }
        }
        // Read on, or the child would write into a closed pipe.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        child
    }

    /// A command that copies out of a snapshot, killed when it has written some data.
    pub fn kill_while_it_copies(&self, args: &[&str]) {
        let mut child = self.command(&[args, &["--progress", "json"]].concat()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while stderr.read_line(&mut line).unwrap() > 0 {
            if line.contains(r#""phase":"stage""#) && !line.contains(r#""bytes":0,"#) {
                break;
            }
            line.clear();
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it ended before it was killed");
    }

    /// A restore that is killed while it stages.
    pub fn kill_a_restore(&self, snapshot: &str) {
        let mut child = self.restore_until_staging(snapshot);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(self.journal(&self.workload()).exists(), "the restore ended before it was killed");
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Ran {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one document on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A tree as it is.
pub fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let what = if metadata.is_dir() {
                open.push(path.clone());
                String::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                format!("{} links, {}", metadata.nlink(), blake3::hash(&fs::read(&path).unwrap()).to_hex())
            };
            let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
            let mtime = (metadata.mtime(), metadata.mtime_nsec());
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            tree.insert(name, format!("{mode:o} {uid}:{gid} {mtime:?} {what}"));
        }
    }
    tree
}
