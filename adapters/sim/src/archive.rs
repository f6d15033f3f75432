//! Archives as values: a summary and one tree per volume, in a file that a crash can leave unsynced or cut short.

use std::{
    collections::BTreeMap,
    hash::Hash,
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::{
    model::{
        ArchiveSummary, Manifest, SnapshotId, TreeSize, VolumeTotals, WorkloadId, place::is_left_out,
        snapshot::ARCHIVE_FORMAT,
    },
    ports::{ArchiveSource, FsError, FsErrorKind, FsOp},
};

use crate::{
    disk::{BLOCK, Body, Content, Name},
    mutant::Mutant,
    places::{At, FsResult},
    shared::fingerprint,
    world::World,
};

const OP: FsOp = FsOp::Archive;

/// A whole archive.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    pub summary: ArchiveSummary,
    pub volumes: Vec<Tree>,
}

/// Entries by path below the volume's root, parents before their children.
pub(crate) type Tree = BTreeMap<String, Entry>;

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Entry {
    Dir,
    File(Arc<[u8]>),
    Link(PathBuf),
}

impl Entry {
    pub fn of_file(data: &Content) -> Self {
        match data {
            Content::Bytes(bytes) => Entry::File(bytes.clone()),
            Content::Archive(archive) => Entry::File(archive.summary.digest.as_bytes().into()),
        }
    }

    /// Bytes of contents.
    pub fn bytes(&self) -> u64 {
        match self {
            Entry::File(bytes) => bytes.len() as u64,
            Entry::Dir | Entry::Link(_) => 0,
        }
    }
}

/// An archive that is being written.
pub(crate) struct Draft {
    pub manifest: Manifest,
    pub volumes: Vec<Tree>,
}

pub(crate) fn size_of(tree: &Tree) -> TreeSize {
    let mut size = TreeSize { entries: tree.len() as u64 + 1, ..TreeSize::default() };
    for entry in tree.values() {
        if let Entry::File(bytes) = entry {
            size.bytes += bytes.len() as u64;
            size.bytes_allocated += (bytes.len() as u64).div_ceil(BLOCK) * BLOCK;
        }
    }
    size
}

/// 64 hexadecimal digits, as a BLAKE3 digest has, from a hash that is fast on small values.
fn digest(of: &impl Hash) -> String {
    let part = |salt: u8| fingerprint(&(salt, of));
    format!("{:016x}{:016x}{:016x}{:016x}", part(0), part(1), part(2), part(3))
}

impl World {
    /// Where an archive lies.
    #[must_use]
    pub fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.archive_dir(workload).join(format!("{snapshot}.tar.zst"))
    }

    fn archive_dir(&self, workload: WorkloadId) -> PathBuf {
        self.state_dir.join("snapshots").join(workload.to_string())
    }

    /// The files of each volume of an archive as [`World::tree`] shows them; `None` if there is no whole archive.
    #[must_use]
    pub fn archived(&self, workload: WorkloadId, snapshot: SnapshotId) -> Option<Vec<BTreeMap<String, Vec<u8>>>> {
        let archive = self.open_archive(&self.archive_path(workload, snapshot)).ok()?;
        let shown = |(path, entry): (&String, &Entry)| match entry {
            Entry::Dir => (format!("{path}/"), Vec::new()),
            Entry::File(bytes) => (path.clone(), bytes.to_vec()),
            Entry::Link(to) => (format!("{path} -> {}", to.display()), Vec::new()),
        };
        Some(archive.volumes.iter().map(|tree| tree.iter().map(shown).collect()).collect())
    }

    pub(crate) fn open_archive(&self, path: &Path) -> FsResult<Arc<Archive>> {
        match self.file(path).at(OP, path)? {
            Content::Archive(archive) => Ok(archive.clone()),
            Content::Bytes(_) => Err(FsError::new(FsErrorKind::Corrupt, OP, path, "its end is missing").into()),
        }
    }

    /// The tree of a directory, without what an archive leaves out.
    pub(crate) fn read_tree(&self, disk: usize, root: u64) -> Tree {
        self.read_tree_by(disk, root, &mut |_, _| ())
    }

    /// The same; shows the path and the inode of each entry.
    pub(crate) fn read_tree_by(&self, disk: usize, root: u64, show: &mut dyn FnMut(&str, u64)) -> Tree {
        let mut tree = Tree::new();
        for (name, ino) in self.disk(disk).entries(root) {
            if !is_left_out(name.as_bytes()) && !self.disk(disk).is_frozen(ino) {
                self.read_below(disk, ino, name.to_string(), &mut tree, show);
            }
        }
        tree
    }

    fn read_below(&self, disk: usize, ino: u64, path: String, tree: &mut Tree, show: &mut dyn FnMut(&str, u64)) {
        let entry = match self.disk(disk).inodes.get(&ino).map(|inode| &inode.body) {
            Some(Body::File(file)) => Entry::of_file(&file.data),
            Some(Body::Link(to)) => Entry::Link(to.clone()),
            Some(Body::Dir) => {
                for (name, ino) in self.disk(disk).entries(ino).filter(|(_, ino)| !self.disk(disk).is_frozen(*ino)) {
                    self.read_below(disk, ino, format!("{path}/{name}"), tree, show);
                }
                Entry::Dir
            }
            None => return,
        };
        show(&path, ino);
        tree.insert(path, entry);
    }

    /// Makes the unfinished file. A crash from here on leaves it, for the next sweep.
    pub(crate) fn begin_draft(&mut self, call: &'static str, manifest: &Manifest, replace: bool) -> FsResult<()> {
        let path = self.archive_path(manifest.workload, manifest.snapshot);
        self.call(call, || path.display().to_string()).at(OP, &path)?;
        let (disk, dir) = self.archive_dir_made(manifest.workload)?;
        if !replace && self.disk(disk).lookup(dir, &final_name(manifest)).is_some() {
            return Err(FsErrorKind::Exists).at(OP, &path);
        }
        if self.disk(disk).lookup(dir, &draft_name(manifest)).is_some() {
            self.unlink(disk, dir, &draft_name(manifest), &|| draft_name(manifest)).at(OP, &path)?;
        }
        let label = || path.display().to_string();
        self.make_file(disk, dir, &draft_name(manifest), Content::empty(), &label).at(OP, &path)?;
        Ok(())
    }

    pub(crate) fn read_source(&mut self, source: &ArchiveSource) -> FsResult<Tree> {
        let Some(root) = &source.root else { return Ok(Tree::new()) };
        self.call("draft_archive", || root.display().to_string()).at(OP, root)?;
        let (disk, ino) = self.directory(root).at(OP, root)?;
        Ok(self.read_tree(disk, ino))
    }

    /// Writes the contents, syncs the file, names it and syncs the name.
    pub(crate) fn seal(&mut self, draft: &Draft, quiesced_ms: u64) -> FsResult<ArchiveSummary> {
        let manifest = &draft.manifest;
        let path = self.archive_path(manifest.workload, manifest.snapshot);
        self.call("seal", || path.display().to_string()).at(OP, &path)?;
        let (disk, dir) = self.directory(&self.archive_dir(manifest.workload)).at(OP, &path)?;
        let archive = whole(draft, quiesced_ms);
        let summary = archive.summary.clone();
        let ino = self.disk(disk).lookup(dir, &draft_name(manifest)).ok_or(FsErrorKind::NotFound).at(OP, &path)?;
        self.room(disk, summary.archive_bytes, 0).at(OP, &path)?;
        let what = || format!("write {}", path.display());
        let data = self.as_taken(Content::Archive(Arc::new(archive)));
        self.micro(crate::MicroKind::Change, what, |w| w.disk_mut(disk).write(ino, data)).at(OP, &path)?;
        let lies = self.mutant == Some(Mutant::ArchiveNotDurable);
        if !lies {
            self.sync_file(disk, ino, &draft_name(manifest)).at(OP, &path)?;
        }
        let edits =
            vec![(dir, Name::from(draft_name(manifest)), None), (dir, Name::from(final_name(manifest)), Some(ino))];
        self.move_names(disk, &[ino], || format!("name {}", path.display()), edits).at(OP, &path)?;
        if !lies && self.mutant != Some(Mutant::ArchiveNameNotSynced) {
            self.sync_dir(disk, dir, &path).at(OP, &path)?;
        }
        Ok(summary)
    }

    pub(crate) fn drop_draft(&mut self, manifest: &Manifest) {
        let dir = self.archive_dir(manifest.workload);
        if self.dead {
            return;
        }
        if let Ok((disk, dir)) = self.directory(&dir)
            && self.disk(disk).lookup(dir, &draft_name(manifest)).is_some()
        {
            // A failure leaves the file for the next sweep, as a crash does.
            let _left_for_the_sweep = self.unlink(disk, dir, &draft_name(manifest), &|| draft_name(manifest));
        }
    }

    pub(crate) fn read_archive(&mut self, call: &'static str, w: WorkloadId, s: SnapshotId) -> FsResult<Arc<Archive>> {
        let path = self.archive_path(w, s);
        self.call(call, || path.display().to_string()).at(OP, &path)?;
        self.open_archive(&path)
    }

    pub(crate) fn remove_archive(&mut self, workload: WorkloadId, snapshot: SnapshotId) -> FsResult<()> {
        let path = self.archive_path(workload, snapshot);
        self.call("remove_archive", || path.display().to_string()).at(OP, &path)?;
        let spot = match self.walk(&path, false) {
            Err(FsErrorKind::NotFound) => return Ok(()),
            spot => spot.at(OP, &path)?,
        };
        self.writable(spot.disk).at(OP, &path)?;
        if spot.node.is_some() {
            self.unlink(spot.disk, spot.dir, &spot.name, &|| path.display().to_string()).at(OP, &path)?;
        }
        self.sync_dir(spot.disk, spot.dir, &path).at(OP, &path)
    }

    pub(crate) fn sweep_drafts(&mut self, workload: WorkloadId) -> FsResult<()> {
        let path = self.archive_dir(workload);
        self.call("sweep_drafts", || path.display().to_string()).at(OP, &path)?;
        if self.mutant == Some(Mutant::DraftsNotSwept) {
            return Ok(());
        }
        let (disk, dir) = match self.directory(&path) {
            Err(FsErrorKind::NotFound) => return Ok(()),
            found => found.at(OP, &path)?,
        };
        let names: Vec<Name> = self.disk(disk).entries(dir).map(|(name, _)| name.clone()).collect();
        for name in names.iter().filter(|name| name.ends_with(".draft")) {
            self.unlink(disk, dir, name, &|| name.to_string()).at(OP, &path)?;
        }
        Ok(())
    }

    /// Syncs the names of a workload's archives.
    pub(crate) fn settle_archives(&mut self, workload: WorkloadId) -> FsResult<()> {
        let dir = self.archive_dir(workload);
        self.settle(&[dir])
    }

    fn archive_dir_made(&mut self, workload: WorkloadId) -> FsResult<(usize, u64)> {
        let all = self.state_dir.join("snapshots");
        let (disk, parent) = self.directory(&all).at(OP, &all)?;
        self.writable(disk).at(OP, &all)?;
        let name = workload.to_string();
        let dir = match self.disk(disk).lookup(parent, &name) {
            Some(dir) => dir,
            None => self.make_dir(disk, parent, &name, &|| all.display().to_string()).at(OP, &all)?,
        };
        // Also when it stands: the process that made it may have died before its sync.
        self.sync_dir(disk, parent, &all).at(OP, &all)?;
        Ok((disk, dir))
    }
}

fn final_name(manifest: &Manifest) -> String {
    format!("{}.tar.zst", manifest.snapshot)
}

pub(crate) fn draft_name(manifest: &Manifest) -> String {
    format!("{}.tar.zst.draft", manifest.snapshot)
}

pub(crate) fn totals_of(tree: &Tree) -> VolumeTotals {
    let size = size_of(tree);
    VolumeTotals {
        bytes: size.bytes,
        bytes_allocated: size.bytes_allocated,
        entries: size.entries,
        digest: digest(tree),
        ..VolumeTotals::default()
    }
}

pub(crate) fn whole(draft: &Draft, quiesced_ms: u64) -> Archive {
    debug_assert_eq!(draft.manifest.format, ARCHIVE_FORMAT, "only the present format is written");
    let absent = VolumeTotals::default;
    let totals: Vec<VolumeTotals> = (draft.manifest.volumes.iter().zip(&draft.volumes))
        .map(|(volume, tree)| if volume.absent { absent() } else { totals_of(tree) })
        .collect();
    let digests: Vec<&str> = totals.iter().map(|totals| &*totals.digest).collect();
    let digest = digest(&(draft.manifest.snapshot, digests, quiesced_ms));
    let archive_bytes = 512 + totals.iter().map(|totals| totals.bytes + 512 * totals.entries).sum::<u64>();
    let manifest = draft.manifest.clone();
    Archive {
        summary: ArchiveSummary { manifest, totals, quiesced_ms, archive_bytes, digest },
        volumes: draft.volumes.clone(),
    }
}
