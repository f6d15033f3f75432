//! Builds a world as it is before the story begins: disks, trees, containers, archives; all of it durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::model::{ArchiveSummary, Container, Manifest, Mount, Particulars, RestartPolicy, RunState, Workload};

use crate::{
    archive::{Draft, Entry, Tree},
    disk::{Body, ChangeKind, Content, Disk, File, Inode, ROOT, Special, TICK_NS, TOP_LEVEL},
    engine::{EngineState, HealthBehaviour, SimContainer},
    fault::Trouble,
    ports::ClockState,
    record::record_of,
    shared::Shared,
    world::World,
};

/// A filesystem to make.
#[derive(Clone, Debug)]
pub struct DiskSpec {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Whether it can exchange two names.
    pub exchange: bool,
    /// Whether it orders all changes (ext4, xfs) or only those of one directory (btrfs).
    pub ordered: bool,
    /// Whether inodes have birth times.
    pub births: bool,
    /// Whether the numbers of dead inodes are given out again.
    pub reuses_inodes: bool,
    /// Whether it tells which subvolume a directory lies in, or is (btrfs).
    pub subvolumes: bool,
    /// Bytes that fit.
    pub bytes_max: u64,
    /// Inodes that fit.
    pub inodes_max: u64,
}

impl DiskSpec {
    /// A roomy disk that can do everything.
    pub fn at(mount: impl Into<PathBuf>) -> Self {
        DiskSpec {
            mount: mount.into(),
            exchange: true,
            ordered: true,
            births: true,
            reuses_inodes: false,
            subvolumes: false,
            bytes_max: 1 << 40,
            inodes_max: 1 << 20,
        }
    }
}

/// A container to make.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its restart policy.
    pub policy: RestartPolicy,
    /// Whether it runs.
    pub run: RunState,
    /// What it mounts.
    pub mounts: Vec<Mount>,
    /// Its compose project.
    pub project: Option<String>,
    /// Its service in the project.
    pub service: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Names, or services of its project, that must run before it.
    pub depends_on: Vec<String>,
    /// What was changed in its own writable layer.
    pub layer: BTreeSet<String>,
    /// What its health check says.
    pub health: HealthBehaviour,
    /// In what it differs from one that simply runs until it is stopped. Conditions may name services of its project; a
    /// peer is a container that is there, and unless it is `by_name` the engine keeps its id.
    pub particulars: Particulars,
}

impl ContainerSpec {
    /// A running container without mounts, health check or restarts.
    pub fn named(name: impl Into<String>) -> Self {
        ContainerSpec {
            name: name.into(),
            policy: RestartPolicy::never(),
            run: RunState::Running,
            mounts: Vec::new(),
            project: None,
            service: None,
            labels: BTreeMap::new(),
            env: BTreeMap::new(),
            depends_on: Vec::new(),
            layer: BTreeSet::new(),
            health: HealthBehaviour::None,
            particulars: Particulars::default(),
        }
    }

    /// With a host directory that it may write to.
    #[must_use]
    pub fn bind(mut self, target: impl Into<String>, source: impl Into<PathBuf>) -> Self {
        let (target, source) = (target.into(), source.into());
        self.mounts.push(Mount { target, source, volume: None, writable: true, unsupported: None });
        self
    }
}

/// Builds a world.
#[derive(Clone, Debug)]
pub struct WorldBuilder {
    world: World,
}

impl WorldBuilder {
    /// A machine whose root disk is `root` (its mount is `/`), with the state directory there or on a later disk.
    #[must_use]
    pub fn new(mut root: DiskSpec, state_dir: impl Into<PathBuf>) -> Self {
        root.mount = PathBuf::from("/");
        let world = World {
            disks: vec![Shared::new(new_disk(root, None))],
            state_dir: state_dir.into().into(),
            engine: Shared::new(EngineState::empty("simulated-1")),
            engine_elsewhere: Shared::new(EngineState::empty("simulated-2")),
            catalog: Shared::default(),
            switches: Arc::default(),
            clock: ClockState::new(),
            boot: 1,
            locks: BTreeSet::new(),
            deploy_locks: BTreeSet::new(),
            claims: BTreeMap::new(),
            copy_leases: BTreeSet::new(),
            reserves: BTreeMap::new(),
            mutant: None,
            dead: false,
            ops: 0,
            current: "",
            trouble: Trouble::default(),
            history: None,
            stories: false,
            story: Vec::new(),
            points: None,
            violations: Vec::new(),
        };
        WorldBuilder { world }
    }

    /// Mounts another disk; directories on the way to its mount point are made.
    #[must_use]
    pub fn disk(mut self, spec: DiskSpec) -> Self {
        let covers = self.make_dirs(&spec.mount);
        self.world.disks.push(Shared::new(new_disk(spec, covers)));
        self
    }

    /// A directory with those files below it; a name that ends with a slash is an empty directory.
    #[must_use]
    pub fn tree(mut self, at: impl AsRef<Path>, files: &[(&str, &str)]) -> Self {
        self.make_dirs(at.as_ref());
        for (path, text) in files {
            let whole = at.as_ref().join(path);
            if path.ends_with('/') {
                self.make_dirs(&whole);
                continue;
            }
            let parent = self.make_dirs(whole.parent().unwrap_or(Path::new("/")));
            if parent.is_some() {
                self.world.put_file(&whole, text.as_bytes());
            }
        }
        // Trees are made one after another, so that directories of different disks have births of their own.
        self.world.clock.pass_ns(TICK_NS);
        self
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(mut self, at: impl AsRef<Path>, to: impl Into<PathBuf>) -> Self {
        self.make_dirs(at.as_ref().parent().unwrap_or(Path::new("/")));
        self.world.put_link(at.as_ref(), to);
        self
    }

    /// Marks a directory as one that no rename may move.
    #[must_use]
    pub fn special(mut self, at: impl AsRef<Path>, special: Special) -> Self {
        self.make_dirs(at.as_ref());
        self.world.mark(at.as_ref(), special);
        self
    }

    /// An empty subvolume, on a disk that has some.
    #[must_use]
    pub fn subvolume(mut self, at: impl AsRef<Path>) -> Self {
        self.world.put_subvolume(at.as_ref());
        self
    }

    /// A container, running if its specification says so. Its image exists.
    #[must_use]
    pub fn container(mut self, spec: ContainerSpec) -> Self {
        self.world.add_container(spec);
        self
    }

    /// A registered workload.
    #[must_use]
    pub fn workload(mut self, workload: Workload) -> Self {
        self.world.register(workload);
        self
    }

    /// A sealed archive with the files of each volume, in the manifest's order.
    #[must_use]
    pub fn archive(mut self, manifest: &Manifest, volumes: &[Vec<(&str, &str)>]) -> (Self, ArchiveSummary) {
        let draft = Draft { manifest: manifest.clone(), volumes: volumes.iter().map(|files| tree_of(files)).collect() };
        let archive = crate::archive::whole(&draft, 0);
        let summary = archive.summary.clone();
        let path = self.world.archive_path(manifest.workload, manifest.snapshot);
        let parent = self.make_dirs(path.parent().unwrap_or(Path::new("/")));
        if let (Some((disk, dir)), Some(name)) = (parent, path.file_name()) {
            let now = self.world.clock.wall_ns();
            let body = Body::File(File { data: Content::Archive(Arc::new(archive)), stable: None, dirty: true });
            self.world.disk_mut(disk).create(dir, &name.to_string_lossy(), body, now);
        }
        (self, summary)
    }

    /// The world, with the state directory laid out and everything durable.
    #[must_use]
    pub fn build(mut self) -> World {
        for dir in ["journal", "snapshots", "locks"] {
            let path = self.world.state_dir.join(dir);
            self.make_dirs(&path);
        }
        self.world.all_disks(Disk::sync_all);
        self.world.engine_mut().sync();
        // Whatever is made from now on is younger by more than a birth tick.
        self.world.clock.pass_ns(1_000_000_000);
        self.world
    }

    fn make_dirs(&mut self, path: &Path) -> Option<(usize, u64)> {
        self.world.made_directory(path)
    }
}

impl World {
    /// Another program makes a directory with those above it.
    pub fn put_dir(&mut self, path: &Path) {
        self.made_directory(path);
    }

    /// The filesystem of that mount point is one whose directories have numbers that follow from their paths.
    pub fn number_by_path(&mut self, mount: &Path) {
        for disk in self.disks.iter_mut().filter(|disk| *disk.mount == *mount) {
            disk.get_mut().numbers_by_path = true;
        }
    }

    /// Somebody makes an existing directory one that no rename may move.
    pub fn mark(&mut self, path: &Path, special: Special) {
        if let Ok((disk, ino)) = self.directory(path)
            && let Some(inode) = self.disk_mut(disk).inode_mut(ino)
        {
            inode.special = special;
        }
    }

    /// Somebody registers a workload, in the place of the one that had its id.
    pub fn register(&mut self, workload: Workload) {
        self.catalog_mut().workloads.insert(workload.id, workload.into());
    }

    /// Another program writes a file into an existing directory.
    pub fn put_file(&mut self, path: &Path, bytes: &[u8]) {
        let parent = self.directory(path.parent().unwrap_or(Path::new("/")));
        if let (Ok((disk, dir)), Some(name)) = (parent, path.file_name()) {
            let body = Body::File(File { data: Content::Bytes(bytes.into()), stable: None, dirty: true });
            let now = self.clock.wall_ns();
            self.disk_mut(disk).create(dir, &name.to_string_lossy(), body, now);
        }
    }

    /// Another program writes over a file, which stays the same one.
    pub fn overwrite_file(&mut self, path: &Path, bytes: &[u8]) {
        if let Some((disk, ino)) = self.walk(path, true).ok().and_then(|spot| spot.target()) {
            self.disk_mut(disk).write(ino, Content::Bytes(bytes.into()));
        }
    }

    /// Another program removes a file.
    pub fn remove_file(&mut self, path: &Path) {
        if let Ok(spot) = self.walk(path, false)
            && spot.node.is_some()
        {
            self.disk_mut(spot.disk).change(ChangeKind::Remove, vec![(spot.dir, spot.name, None)]);
        }
    }

    /// Another program makes a symbolic link in an existing directory.
    pub fn put_link(&mut self, path: &Path, to: impl Into<PathBuf>) {
        let parent = self.directory(path.parent().unwrap_or(Path::new("/")));
        if let (Ok((disk, dir)), Some(name)) = (parent, path.file_name()) {
            let now = self.clock.wall_ns();
            self.disk_mut(disk).create(dir, &name.to_string_lossy(), Body::Link(to.into()), now);
        }
    }

    /// Somebody makes a container, running if its specification says so. Its image exists, and the engine's records
    /// of it are durable.
    pub fn add_container(&mut self, spec: ContainerSpec) {
        let image_id = format!("sha256:image-of-{}", spec.name);
        let mut particulars = spec.particulars;
        for peer in particulars.peers.iter_mut().filter(|peer| !peer.by_name) {
            if let Some(other) = self.engine.named(&peer.name) {
                peer.name = other.seen.id.0.clone();
            }
        }
        let engine = self.engine_mut();
        engine.images.insert(image_id.clone());
        let id = engine.fresh_id();
        let seen = Container {
            id: id.clone(),
            name: spec.name.clone(),
            project: None, // shown from what the engine knows
            service: spec.service,
            image: format!("{}:latest", spec.name),
            image_id,
            run: RunState::Stopped,
            restart_policy: spec.policy.clone(),
            mounts: spec.mounts,
            depends_on: spec.depends_on,
            stop_timeout: None,
            particulars,
            spec: serde_json::Value::Null,
        };
        let mut container = SimContainer {
            seen,
            project: spec.project,
            labels: spec.labels,
            env: spec.env,
            layer: spec.layer,
            health: spec.health,
            stopped_by_hand: spec.run == RunState::Stopped,
            stopping: false,
            policy_on_disk: spec.policy,
            bound: Vec::new(),
            started_ns: 0,
            thawed_ns: None,
            starts: 0,
        };
        container.seen.spec = record_of(&container);
        engine.insert(container);
        if spec.run.is_active() {
            self.begin_running(&id);
        }
        if let Some(container) = self.engine_mut().get_mut(&id) {
            // It has been up for an hour, so that whatever waits for its health finds it.
            container.started_ns -= 3_600_000_000_000;
            if spec.run == RunState::Paused {
                container.seen.run = RunState::Paused;
            }
        }
        self.engine_mut().sync();
    }
}

fn new_disk(spec: DiskSpec, covers: Option<(usize, u64)>) -> Disk {
    let root = Inode { birth_ns: 0, body: Body::Dir, special: Special::No, subvolume: TOP_LEVEL, shown: None };
    Disk {
        mount: spec.mount.into(),
        covers,
        mounted: true,
        read_only: false,
        exchange: spec.exchange,
        births: spec.births,
        ordered: spec.ordered,
        reuses_inodes: spec.reuses_inodes,
        numbers_by_path: false,
        subvolumes: spec.subvolumes,
        bytes_max: spec.bytes_max,
        inodes_max: spec.inodes_max,
        inode_next: ROOT + 1,
        subvolume_next: TOP_LEVEL + 1,
        inodes: Shared::new(BTreeMap::from([(ROOT, Shared::new(root))])),
        names: Shared::default(),
        durable: Shared::default(),
        pending: Vec::new(),
        deceives: false,
    }
}

/// The tree of such a list of files, with the directories that they imply.
fn tree_of(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, text) in files {
        let mut above = path.trim_end_matches('/');
        while let Some((parent, _)) = above.rsplit_once('/') {
            tree.insert(parent.to_string(), Entry::Dir);
            above = parent;
        }
        let entry = if path.ends_with('/') { Entry::Dir } else { Entry::File(text.as_bytes().into()) };
        tree.insert(path.trim_end_matches('/').to_string(), entry);
    }
    tree
}
