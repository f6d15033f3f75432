//! The machine as a value: what it consists of, and what an oracle may see of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::model::{Identity, RestoreId, WorkloadId};

use crate::{
    disk::{Body, Content, Disk},
    engine::EngineState,
    fault::Trouble,
    micro::Moment,
    mutant::Mutant,
    ports::{Catalog, ClockState},
    shared::{Shared, fingerprint},
};

/// A machine: its disks, container engine, catalog and clock, with the process that runs on it.
#[derive(Clone, Debug)]
pub struct World {
    pub(crate) disks: Vec<Shared<Disk>>,
    pub(crate) state_dir: Arc<Path>,
    pub(crate) engine: Shared<EngineState>,
    /// The one that does not answer.
    pub(crate) engine_elsewhere: Shared<EngineState>,
    pub(crate) catalog: Shared<Catalog>,
    /// What programs switched on.
    pub(crate) switches: Arc<BTreeSet<String>>,
    pub(crate) clock: ClockState,
    /// Grows at each reboot; device numbers change with it.
    pub(crate) boot: u64,
    pub(crate) locks: BTreeSet<WorkloadId>,
    pub(crate) deploy_locks: BTreeSet<WorkloadId>,
    /// Live directories that processes hold, by claim.
    pub(crate) claims: BTreeMap<u64, Vec<PathBuf>>,
    /// Copies whose process lives.
    pub(crate) copy_leases: BTreeSet<RestoreId>,
    /// Bytes kept for the next replacement of each journal.
    pub(crate) reserves: BTreeMap<WorkloadId, u64>,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) dead: bool,
    pub(crate) ops: u64,
    pub(crate) current: &'static str,
    pub(crate) trouble: Trouble,
    pub(crate) history: Option<Vec<Moment>>,
    pub(crate) stories: bool,
    pub(crate) story: Vec<String>,
    pub(crate) points: Option<Vec<CrashPoint>>,
    pub(crate) violations: Vec<String>,
}

/// The world as it was before a micro-operation.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    /// The number of the operation that was not done.
    pub op: u64,
    /// The port method that it was part of.
    pub call: &'static str,
    /// The world.
    pub world: World,
}

impl World {
    // What is to go wrong, and what is to be remembered.

    /// Makes the ports lie from now on.
    pub fn set_mutant(&mut self, mutant: Option<Mutant>) {
        self.mutant = mutant;
    }

    /// Leaves only so many free bytes on the disk of that index, beside what is kept for journals.
    pub fn set_space(&mut self, disk: usize, bytes_free: u64) {
        let free = self.space_left(disk).bytes_free;
        let disk = self.disk_mut(disk);
        disk.bytes_max = (disk.bytes_max + bytes_free).saturating_sub(free);
    }

    /// Remembers the kind of each micro-operation from now on; with `stories` also what it does, in words.
    pub fn remember(&mut self, stories: bool) {
        self.history = Some(Vec::new());
        self.stories = stories;
    }

    /// Keeps the world before each micro-operation that changes something from now on.
    pub fn record_crash_points(&mut self) {
        self.points = Some(Vec::new());
    }

    /// The crash points since they were asked for.
    pub fn take_crash_points(&mut self) -> Vec<CrashPoint> {
        self.points.take().unwrap_or_default()
    }

    /// The micro-operations of this process, if they are remembered.
    #[must_use]
    pub fn history(&self) -> &[Moment] {
        self.history.as_deref().unwrap_or_default()
    }

    /// What happened, in words, over all processes and reboots.
    #[must_use]
    pub fn story(&self) -> &[String] {
        &self.story
    }

    /// Adds a line to the story, if stories are told.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        if self.stories {
            self.story.push(line.to_string());
        }
    }

    /// How many micro-operations this process has done.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.ops
    }

    /// Whether the process died.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// What the world itself saw that must never be: a rename under a running app, a write into a directory that is
    /// not in service.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    // What an oracle sees.

    /// The tree at a path as processes see it: files with their contents, directories with a slash at the end of
    /// their name, links with an arrow. `None` if there is no directory.
    #[must_use]
    pub fn tree(&self, path: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
        let (disk, ino) = self.directory(path).ok()?;
        let mut tree = BTreeMap::new();
        self.collect(disk, ino, "", &mut tree);
        Some(tree)
    }

    fn collect(&self, disk: usize, dir: u64, below: &str, tree: &mut BTreeMap<String, Vec<u8>>) {
        for (name, ino) in self.disk(disk).entries(dir).filter(|(_, ino)| !self.disk(disk).is_frozen(*ino)) {
            let path = format!("{below}{name}");
            match self.disk(disk).inodes.get(&ino).map(|inode| &inode.body) {
                // It is no more part of a volume than what is in it.
                Some(Body::Dir) if self.disk(disk).holds_only_frozen(ino) => {}
                Some(Body::Dir) => {
                    let path = format!("{path}/");
                    let (disk, ino) = self.mounted_on(disk, ino).map_or((disk, ino), |d| (d, crate::disk::ROOT));
                    self.collect(disk, ino, &path, tree);
                    tree.insert(path, Vec::new());
                }
                Some(Body::File(file)) => {
                    let bytes = match &file.data {
                        Content::Bytes(bytes) => bytes.to_vec(),
                        Content::Archive(archive) => archive.summary.digest.clone().into_bytes(),
                    };
                    tree.insert(path, bytes);
                }
                Some(Body::Link(to)) => {
                    tree.insert(format!("{path} -> {}", to.display()), Vec::new());
                }
                None => {}
            }
        }
    }

    /// The identity of the directory at a path.
    #[must_use]
    pub fn identity(&self, path: &Path) -> Option<Identity> {
        let (disk, ino) = self.directory(path).ok()?;
        Some(self.disk(disk).identity(ino))
    }

    /// The names in a directory; none if there is no directory.
    #[must_use]
    pub fn names(&self, path: &Path) -> Vec<String> {
        let Ok((disk, ino)) = self.directory(path) else { return Vec::new() };
        self.disk(disk).entries(ino).map(|(name, _)| name.to_string()).collect()
    }

    /// The bytes of a file.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        match self.file(path).ok()? {
            Content::Bytes(bytes) => Some(bytes.to_vec()),
            Content::Archive(_) => None,
        }
    }

    /// Where the state directory is.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The disks, by index.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.disks.iter().map(|disk| &**disk)
    }

    /// A number that is equal for two worlds in which the next process meets the same: names, contents, identities,
    /// what is durable, containers, catalog; not the clock, the plan or the story.
    #[must_use]
    pub fn key(&self) -> u64 {
        fingerprint(&(&self.disks, &self.engine, &self.catalog, &self.reserves, &self.switches))
    }

    pub(crate) fn all_disks(&mut self, mut act: impl FnMut(&mut Disk)) {
        self.disks.iter_mut().for_each(|disk| act(disk.get_mut()));
    }

    pub(crate) fn engine_mut(&mut self) -> &mut EngineState {
        self.engine.get_mut()
    }

    pub(crate) fn catalog_mut(&mut self) -> &mut Catalog {
        self.catalog.get_mut()
    }
}
