//! Real directories with a workload of two volumes and a snapshot, put back to their beginning before each run.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{IFlags, XattrFlags};

use crate::{
    cli::Cli,
    loop_disk::LoopDisk,
    trees::{self, Tree},
};

/// The trees of all volumes, in order; `None` where there is no directory.
pub type Trees = Vec<Option<Tree>>;

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// For people.
    pub name: &'static str,
    /// Filesystems of the two volumes, for `mkfs`; without, they lie in the scratch directory as the journal does.
    pub disks: Option<[&'static str; 2]>,
    /// Whether the second volume is gone when the restore begins.
    pub missing: bool,
    /// How the report must say that the volumes are switched.
    pub methods: [&'static str; 2],
}

/// The worlds of the tier.
pub const SHAPES: [Shape; 4] = [
    Shape { name: "beside the journal", disks: None, missing: false, methods: ["exchange"; 2] },
    Shape {
        name: "two disks, the journal on a third",
        disks: Some(["ext4", "xfs"]),
        missing: false,
        methods: ["exchange"; 2],
    },
    // ext2 has no exchange that is known to be atomic.
    Shape { name: "two renames", disks: Some(["ext2", "ext2"]), missing: false, methods: ["two-renames"; 2] },
    Shape { name: "one of two missing", disks: None, missing: true, methods: ["exchange", "new"] },
];

/// A world.
pub struct Scene {
    /// What it is made of.
    pub shape: Shape,
    /// Commands over its state directory.
    pub cli: Cli,
    /// The workload's id.
    pub workload: String,
    /// The snapshot's id.
    pub snapshot: String,
    /// The volumes in the snapshot.
    pub saved: Trees,
    volumes: [PathBuf; 2],
    // Dropped in this order: disks are unmounted before the scratch directory goes.
    disks: Vec<LoopDisk>,
    scratch: tempfile::TempDir,
}

/// What is there after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The volumes.
    pub live: Trees,
    /// Trees that stand in private directories beside them.
    pub beside: Vec<Tree>,
    /// Names of ours beside the volumes.
    pub litter: Vec<String>,
    /// Whether there is a journal.
    pub journal: bool,
    /// Whole archives, by their ids.
    pub archives: Vec<String>,
    /// What else lies among the archives.
    pub drafts: Vec<String>,
}

/// A directory in memory where that keeps extended attributes, since what is synced there costs nothing and a killed
/// process takes nothing with it; else the usual one.
pub fn base() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let keeps_attributes = || {
        let probe = tempfile::tempdir_in(memory).ok()?;
        rustix::fs::setxattr(probe.path(), "user.volsnap", b"", XattrFlags::CREATE).ok()
    };
    if keeps_attributes().is_some() { memory.into() } else { std::env::temp_dir() }
}

impl Scene {
    /// Builds a world; `None` (with the reason printed) where the machine cannot have it.
    ///
    /// # Panics
    /// Where it would skip and the environment says `CI=true`.
    pub fn build(shape: Shape) -> Option<Scene> {
        let base = base();
        let scratch = tempfile::tempdir_in(&base).expect("a scratch directory");
        let mut disks = Vec::new();
        for kind in shape.disks.iter().flatten() {
            disks.push(LoopDisk::new_in(&base, kind, &format!("the kill tier's world `{}`", shape.name))?);
        }
        let beneath = |index: usize| disks.get(index).map_or(scratch.path().join("data"), LoopDisk::path);
        let volumes = [beneath(0).join("apps/a"), beneath(1).join("apps/b")];
        let state = scratch.path().join("state");
        let cli = Cli::new(&state, format!("unix://{}/none.sock", scratch.path().display()));
        volumes.iter().for_each(|volume| make(volume, "saved"));
        let [a, b] = [0, 1].map(|i| format!("/{}={}", ["a", "b"][i], volumes[i].display()));
        let workload = cli.ok(&["workload", "add", "shop", "--volume", &a, "--volume", &b]);
        let snapshot = cli.ok(&["create", "shop"]);
        let id = |value: &serde_json::Value| value["id"].as_str().expect("an id").to_string();
        let (workload, snapshot) = (id(&workload), id(&snapshot));
        copy(&state, &scratch.path().join("template"));
        let saved = volumes.iter().map(|volume| trees::read(volume)).collect();
        Some(Scene { shape, cli, workload, snapshot, saved, volumes, disks, scratch })
    }

    /// Puts everything back to its beginning, and returns what the volumes hold then.
    pub fn reset(&self) -> Trees {
        let state = self.scratch.path().join("state");
        fs::remove_dir_all(&state).expect("removed");
        copy(&self.scratch.path().join("template"), &state);
        for volume in &self.volumes {
            // With whatever a failure of the run before has left beside it.
            let apps = volume.parent().expect("a parent");
            trees::clear(apps);
        }
        make(&self.volumes[0], "today");
        if !self.shape.missing {
            make(&self.volumes[1], "today");
        }
        self.live()
    }

    /// The directories below which changes are those of the restore.
    pub fn roots(&self) -> Vec<PathBuf> {
        let disks = self.disks.iter().map(LoopDisk::path);
        disks.chain([self.scratch.path().to_path_buf()]).collect()
    }

    /// A place for a run's output, where nobody looks for changes of the restore.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The restore, to be run.
    pub fn restore(&self) -> Command {
        self.cli.command(&["restore", "shop", &self.snapshot, "--yes"])
    }

    /// The recovery, to be run.
    pub fn recover(&self) -> Command {
        self.cli.command(&["recover"])
    }

    fn live(&self) -> Trees {
        self.volumes.iter().map(|volume| trees::read(volume)).collect()
    }

    /// Looks at everything.
    pub fn see(&self) -> Seen {
        let mut apps: Vec<&Path> = self.volumes.iter().filter_map(|volume| volume.parent()).collect();
        apps.dedup();
        let litter: Vec<PathBuf> =
            apps.iter().flat_map(|apps| trees::litter(apps).into_iter().map(|name| apps.join(name))).collect();
        let beside = litter.iter().flat_map(|private| ["staged", "aside"].map(|name| private.join(name)));
        let archives = self.scratch.path().join("state/snapshots").join(&self.workload);
        let mut seen = Seen {
            live: self.live(),
            beside: beside.filter_map(|path| trees::read(&path)).collect(),
            litter: litter.iter().map(|path| path.display().to_string()).collect(),
            journal: !self.cli.journal(&self.workload).is_empty(),
            archives: Vec::new(),
            drafts: Vec::new(),
        };
        for name in fs::read_dir(archives).expect("a directory").map(|entry| entry.expect("an entry").file_name()) {
            let name = name.to_string_lossy();
            match name.strip_suffix(".tar.zst").filter(|id| id.len() == 36) {
                Some(id) => seen.archives.push(id.to_string()),
                None => seen.drafts.push(name.into_owned()),
            }
        }
        seen
    }
}

/// Makes a small volume with something of each kind in it.
fn make(root: &Path, mark: &str) {
    fs::create_dir_all(root.join("sub")).expect("directories");
    for (name, size) in [("empty", 0), ("small", 10), ("large", 70_000)] {
        fs::write(root.join(name), format!("{mark} {name} {}", "x".repeat(size))).expect("a file");
    }
    fs::write(root.join("sub").join(mark), mark).expect("a file");
    fs::hard_link(root.join("small"), root.join("sub/same")).expect("a hard link");
    symlink("../nowhere", root.join("link")).expect("a link");
    rustix::fs::setxattr(root.join("small"), "user.mark", mark.as_bytes(), XattrFlags::CREATE).expect("an attribute");
    // What is in a directory with it, and not to have it, has to lose it.
    for name in ["small", "sub"] {
        trees::mark(&root.join(name), IFlags::NODUMP);
    }
    if rustix::process::geteuid().is_root() {
        chown(root.join("small"), Some(1000), Some(1001)).expect("an owner");
    }
    for (name, mode) in [("large", 0o640), ("sub", 0o1777), ("", 0o750)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
}

/// Copies a directory of directories and files, with their modes.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    fs::set_permissions(to, fs::metadata(from).expect("a directory").permissions()).expect("a mode");
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(source, target).expect("a file");
        }
    }
}
