//! One filesystem: inodes, the names as processes see them, the names as the platter has them, and what lies between.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};

use volsnap_core::model::{Identity, Space};

use crate::archive::Archive;

/// The inode of every root directory.
pub const ROOT: u64 = 2;
/// Allocation unit of every disk.
pub const BLOCK: u64 = 4096;
/// Births are told apart at this grain, as ext4 does.
pub const TICK_NS: i64 = 4_000_000;

/// A file name.
pub type Name = Arc<str>;
/// Directories by inode, each with its names.
pub type Names = BTreeMap<u64, BTreeMap<Name, u64>>;

/// A filesystem.
#[derive(Clone, Debug, Hash)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The directory that it covers when mounted: disk and inode; `None` for the root disk.
    pub covers: Option<(usize, u64)>,
    /// Whether it is mounted.
    pub mounted: bool,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether it can exchange two names.
    pub exchange: bool,
    /// Whether inodes have birth times.
    pub births: bool,
    /// Whether a power cut leaves a prefix of all changes (ext4, xfs), or a prefix for each directory (btrfs).
    pub ordered: bool,
    /// Whether the number of a dead inode is given out again.
    pub reuses_inodes: bool,
    /// Bytes that fit.
    pub bytes_max: u64,
    /// Inodes that fit.
    pub inodes_max: u64,
    pub(crate) inode_next: u64,
    pub(crate) inodes: BTreeMap<u64, Inode>,
    pub(crate) names: Names,
    pub(crate) durable: Names,
    pub(crate) pending: Vec<Change>,
}

/// What a number stands for.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inode {
    pub birth_ns: i64,
    pub body: Body,
    /// For [`locate`](volsnap_core::ports::Filesystem::locate): what makes a directory special.
    pub special: Special,
}

/// Directories that no rename may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// An ordinary one.
    No,
    /// A btrfs subvolume.
    Subvolume,
    /// One with the immutable flag.
    Immutable,
}

#[derive(Clone, Debug, Hash)]
pub(crate) enum Body {
    Dir,
    File(File),
    Link(PathBuf),
}

/// A file: what a reader sees, and what the platter has.
#[derive(Clone, Debug, Hash)]
pub(crate) struct File {
    pub data: Content,
    pub stable: Option<Content>,
    /// Whether a sync would still write it. A failed sync ends that, without having written it.
    pub dirty: bool,
}

/// File contents.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Bytes(Arc<[u8]>),
    Archive(Arc<Archive>),
}

/// Names that change together, or not at all.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Change {
    pub kind: ChangeKind,
    pub edits: Vec<(u64, Name, Option<u64>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChangeKind {
    Create,
    Move,
    Remove,
}

impl Content {
    pub fn empty() -> Self {
        Content::Bytes(Arc::from([]))
    }

    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Archive(archive) => archive.summary.archive_bytes,
        }
    }

    /// Whether it is the very same value, not only an equal one.
    pub fn is_same(&self, other: &Content) -> bool {
        match (self, other) {
            (Content::Bytes(a), Content::Bytes(b)) => Arc::ptr_eq(a, b),
            (Content::Archive(a), Content::Archive(b)) => Arc::ptr_eq(a, b),
            (Content::Bytes(_), Content::Archive(_)) | (Content::Archive(_), Content::Bytes(_)) => false,
        }
    }

    /// The first half, as a file whose last pages did not make it.
    pub fn cut_short(&self) -> Self {
        match self {
            Content::Bytes(bytes) => Content::Bytes(Arc::from(&bytes[..bytes.len() / 2])),
            Content::Archive(_) => Content::Bytes(Arc::from(&b"half an archive"[..])),
        }
    }
}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Content::Bytes(bytes) => bytes.hash(state),
            Content::Archive(archive) => archive.summary.digest.hash(state),
        }
    }
}

impl Change {
    pub fn touches(&self, dir: u64) -> bool {
        self.edits.iter().any(|(d, _, _)| *d == dir)
    }

    pub fn apply(&self, names: &mut Names) {
        for (dir, name, to) in &self.edits {
            match to {
                Some(ino) => {
                    names.entry(*dir).or_default().insert(name.clone(), *ino);
                }
                None => {
                    if let Some(entries) = names.get_mut(dir) {
                        entries.remove(name);
                        if entries.is_empty() {
                            names.remove(dir);
                        }
                    }
                }
            }
        }
    }
}

impl Disk {
    pub(crate) fn lookup(&self, dir: u64, name: &str) -> Option<u64> {
        self.names.get(&dir)?.get(name).copied()
    }

    pub(crate) fn entries(&self, dir: u64) -> impl Iterator<Item = (&Name, u64)> {
        self.names.get(&dir).into_iter().flatten().map(|(name, ino)| (name, *ino))
    }

    pub(crate) fn is_empty(&self, dir: u64) -> bool {
        !self.names.contains_key(&dir)
    }

    pub(crate) fn is_dir(&self, ino: u64) -> bool {
        matches!(self.inodes.get(&ino), Some(Inode { body: Body::Dir, .. }))
    }

    pub(crate) fn identity(&self, ino: u64) -> Identity {
        let birth = self.inodes.get(&ino).map(|inode| inode.birth_ns);
        Identity { inode: ino, birth_ns: birth.filter(|_| self.births) }
    }

    pub(crate) fn add_inode(&mut self, body: Body, now_ns: i64) -> u64 {
        let ino = if self.reuses_inodes {
            (ROOT + 1..).find(|ino| !self.inodes.contains_key(ino)).unwrap_or(u64::MAX)
        } else {
            self.inode_next
        };
        self.inode_next = self.inode_next.max(ino + 1);
        self.inodes.insert(ino, Inode { birth_ns: now_ns - now_ns.rem_euclid(TICK_NS), body, special: Special::No });
        ino
    }

    /// Does it in memory; a sync or luck makes it durable.
    pub(crate) fn change(&mut self, kind: ChangeKind, edits: Vec<(u64, Name, Option<u64>)>) {
        let change = Change { kind, edits };
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    pub(crate) fn create(&mut self, dir: u64, name: &str, body: Body, now_ns: i64) -> u64 {
        let ino = self.add_inode(body, now_ns);
        self.change(ChangeKind::Create, vec![(dir, Name::from(name), Some(ino))]);
        ino
    }

    pub(crate) fn write(&mut self, ino: u64, data: Content) {
        if let Some(Inode { body: Body::File(file), .. }) = self.inodes.get_mut(&ino) {
            file.data = data;
            file.dirty = true;
        }
    }

    /// Makes the changes of one directory durable. An ordered disk commits everything before them with them; the
    /// other kind only what they depend on: earlier changes of a directory that shares a change with it.
    pub(crate) fn sync_dir(&mut self, dir: u64) {
        let mut taken = vec![false; self.pending.len()];
        if self.ordered {
            let last = self.pending.iter().rposition(|change| change.touches(dir));
            taken.iter_mut().take(last.map_or(0, |last| last + 1)).for_each(|taken| *taken = true);
        } else {
            let mut wanted = vec![(dir, self.pending.len())];
            while let Some((dir, before)) = wanted.pop() {
                for (i, (change, taken)) in self.pending.iter().zip(&mut taken).take(before).enumerate() {
                    if !*taken && change.touches(dir) {
                        *taken = true;
                        wanted.extend(change.edits.iter().filter(|edit| edit.0 != dir).map(|edit| (edit.0, i)));
                    }
                }
            }
        }
        let mut taken = taken.into_iter();
        let mut rest = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            if taken.next() == Some(true) {
                change.apply(&mut self.durable);
            } else {
                rest.push(change);
            }
        }
        self.pending = rest;
        self.forget_dead();
    }

    pub(crate) fn sync_file(&mut self, ino: u64) {
        if let Some(Inode { body: Body::File(file), .. }) = self.inodes.get_mut(&ino)
            && file.dirty
        {
            file.stable = Some(file.data.clone());
            file.dirty = false;
        }
    }

    pub(crate) fn sync_all(&mut self) {
        let inos: Vec<u64> = self.inodes.keys().copied().collect();
        inos.into_iter().for_each(|ino| self.sync_file(ino));
        self.pending.clear();
        self.durable = self.names.clone();
        self.forget_dead();
    }

    /// A failed write-back: the pages are clean now, and were never written.
    pub(crate) fn lose_dirty(&mut self) {
        for inode in self.inodes.values_mut() {
            if let Body::File(file) = &mut inode.body {
                file.dirty = false;
            }
        }
    }

    pub(crate) fn forget_dead(&mut self) {
        let mut alive = BTreeSet::from([ROOT]);
        for names in [&self.names, &self.durable] {
            let mut found = vec![ROOT];
            while let Some(dir) = found.pop() {
                alive.insert(dir);
                found.extend(names.get(&dir).into_iter().flatten().map(|(_, ino)| *ino));
            }
        }
        let edits = self.pending.iter().flat_map(|change| &change.edits);
        alive.extend(edits.flat_map(|(dir, _, ino)| [Some(*dir), *ino]).flatten());
        // What was synced below a directory whose own name is still pending lives through that name.
        let durable = &self.durable;
        let mut found: Vec<u64> = alive.iter().copied().collect();
        while let Some(dir) = found.pop() {
            alive.insert(dir);
            found.extend(durable.get(&dir).into_iter().flatten().map(|(_, ino)| *ino).filter(|i| !alive.contains(i)));
        }
        self.inodes.retain(|ino, _| alive.contains(ino));
        self.durable.retain(|dir, _| alive.contains(dir));
        self.names.retain(|dir, _| alive.contains(dir));
    }

    pub(crate) fn space(&self) -> Space {
        let mut bytes = 0;
        let mut inodes = 0;
        let mut found = vec![ROOT];
        while let Some(ino) = found.pop() {
            inodes += 1;
            if let Some(Inode { body: Body::File(file), .. }) = self.inodes.get(&ino) {
                bytes += file.data.len().div_ceil(BLOCK) * BLOCK;
            }
            found.extend(self.entries(ino).map(|(_, ino)| ino));
        }
        Space {
            bytes_free: self.bytes_max.saturating_sub(bytes),
            inodes_free: Some(self.inodes_max.saturating_sub(inodes)),
            block: BLOCK,
        }
    }

    /// Whether nothing would be lost in a power cut.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let clean = |inode: &Inode| match &inode.body {
            Body::File(File { data, stable: Some(stable), dirty: false }) => data.is_same(stable),
            Body::File(_) => false,
            Body::Dir | Body::Link(_) => true,
        };
        self.pending.is_empty() && self.inodes.values().all(clean)
    }
}
