//! One filesystem: inodes, the names as processes see them, the names as the platter has them, and what lies between.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::model::{Identity, Space};

use crate::{archive::Archive, shared::Shared};

/// The inode of every root directory.
pub const ROOT: u64 = 2;
/// The number of a disk's own subvolume, in which its root lies (`BTRFS_FS_TREE_OBJECTID`).
pub const TOP_LEVEL: u64 = 5;
/// The inode number that the root of every other subvolume has (`BTRFS_FIRST_FREE_OBJECTID`).
pub const SUBVOLUME_ROOT: u64 = 256;
/// Allocation unit of every disk.
pub const BLOCK: u64 = 4096;
/// Births are told apart at this grain, as ext4 does.
pub const TICK_NS: i64 = 4_000_000;

/// The name under which a directory has its own attributes: a number that stands for owner, mode, times and the rest.
/// They become durable with the directory's names, as they do on a disk.
pub const ATTRIBUTES: &str = ".";
/// Numbers from here on stand for attributes, and below it for inodes.
pub const ATTRIBUTES_MIN: u64 = 1 << 60;

/// A file name.
pub type Name = Arc<str>;
/// Directories by inode, each with its names.
pub(crate) type Names = BTreeMap<u64, Shared<BTreeMap<Name, u64>>>;
/// What stands behind the names, by number.
pub(crate) type Inodes = BTreeMap<u64, Shared<Inode>>;

/// A filesystem.
#[derive(Clone, Debug, Hash)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: Arc<Path>,
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
    /// Whether the numbers of directories follow from their paths, as unions in FUSE have it.
    pub numbers_by_path: bool,
    /// Whether it tells which subvolume a directory lies in, or is (btrfs, since Linux 6.10).
    pub subvolumes: bool,
    /// Bytes that fit.
    pub bytes_max: u64,
    /// Inodes that fit.
    pub inodes_max: u64,
    pub(crate) inode_next: u64,
    pub(crate) subvolume_next: u64,
    pub(crate) inodes: Shared<Inodes>,
    pub(crate) names: Shared<Names>,
    pub(crate) durable: Shared<Names>,
    pub(crate) pending: Vec<Shared<Change>>,
    /// Whether names are shown that no sync will write any more, since one failed.
    pub(crate) deceives: bool,
}

/// What a number stands for.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Inode {
    pub birth_ns: i64,
    pub body: Body,
    /// For [`locate`](volsnap_core::ports::Filesystem::locate): what makes a directory special.
    pub special: Special,
    /// The subvolume that it lies in, or is.
    pub subvolume: u64,
    /// The inode number that processes see, where it is not its own: there is another one like it in another subvolume.
    pub shown: Option<u64>,
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
    /// One of an overlay's lower layer: it is another one as soon as something is made in it.
    Lower,
    /// A read-only subvolume: no part of the volume that it lies in.
    Frozen,
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
    Dress,
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

    pub fn apply(&self, names: &mut Shared<Names>) {
        let names = names.get_mut();
        for (dir, name, to) in &self.edits {
            match to {
                Some(ino) => {
                    names.entry(*dir).or_default().get_mut().insert(name.clone(), *ino);
                }
                None => {
                    if let Some(entries) = names.get_mut(dir) {
                        entries.get_mut().remove(name);
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
        let own = self.names.get(&dir).into_iter().flat_map(|entries| entries.iter());
        own.filter(|(name, _)| &***name != ATTRIBUTES).map(|(name, ino)| (name, *ino))
    }

    pub(crate) fn is_empty(&self, dir: u64) -> bool {
        self.entries(dir).next().is_none()
    }

    pub(crate) fn is_dir(&self, ino: u64) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| matches!(inode.body, Body::Dir))
    }

    pub(crate) fn is_frozen(&self, ino: u64) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| inode.special == Special::Frozen)
    }

    /// Whether a directory is there for nothing but the read-only subvolumes in it.
    pub(crate) fn holds_only_frozen(&self, dir: u64) -> bool {
        !self.is_empty(dir) && self.entries(dir).all(|(_, ino)| self.is_frozen(ino))
    }

    pub(crate) fn identity(&self, ino: u64) -> Identity {
        let inode = self.inodes.get(&ino);
        Identity {
            inode: inode.and_then(|inode| inode.shown).unwrap_or(ino),
            birth_ns: inode.filter(|_| self.births).map(|inode| inode.birth_ns),
            subvolume: inode.filter(|_| self.subvolumes).map(|inode| inode.subvolume),
        }
    }

    pub(crate) fn add_inode(&mut self, inode: Inode) -> u64 {
        let ino = if self.reuses_inodes {
            (ROOT + 1..).find(|ino| !self.inodes.contains_key(ino)).unwrap_or(u64::MAX)
        } else {
            self.inode_next
        };
        self.inode_next = self.inode_next.max(ino + 1);
        self.inodes.get_mut().insert(ino, Shared::new(inode));
        ino
    }

    /// Does it in memory; a sync or luck makes it durable.
    pub(crate) fn change(&mut self, kind: ChangeKind, edits: Vec<(u64, Name, Option<u64>)>) {
        for (dir, _, to) in &edits {
            if to.is_some() {
                self.copy_up(*dir);
            }
        }
        let change = Change { kind, edits };
        change.apply(&mut self.names);
        self.pending.push(Shared::new(change));
    }

    /// Makes a directory of a lower layer one of the upper layer, which was born later.
    pub(crate) fn copy_up(&mut self, dir: u64) {
        if let Some(inode) = self.inode_mut(dir).filter(|inode| inode.special == Special::Lower) {
            inode.special = Special::No;
            inode.birth_ns += TICK_NS;
        }
    }

    pub(crate) fn create(&mut self, dir: u64, name: &str, body: Body, now_ns: i64) -> u64 {
        let birth_ns = now_ns - now_ns.rem_euclid(TICK_NS);
        let ino =
            self.add_inode(Inode { birth_ns, body, special: Special::No, subvolume: self.subvolume(dir), shown: None });
        self.change(ChangeKind::Create, vec![(dir, Name::from(name), Some(ino))]);
        ino
    }

    pub(crate) fn write(&mut self, ino: u64, data: Content) {
        self.change_file(ino, |file| {
            file.data = data;
            file.dirty = true;
        });
    }

    /// Forgets what is in memory and need not be written: the next reader sees what the platter has.
    pub(crate) fn drop_cache(&mut self, ino: u64) {
        self.change_file(ino, |file| {
            if !file.dirty {
                file.data = file.stable.clone().unwrap_or_else(Content::empty);
            }
        });
    }

    /// Makes the changes of one directory durable. An ordered disk commits everything before them with them; the
    /// other kind only what they depend on: earlier changes of a directory that shares a change with it.
    pub(crate) fn sync_dir(&mut self, dir: u64) {
        let taken = self.committed_with(dir);
        let mut rest = Vec::new();
        let mut unlinks = false;
        for (change, taken) in std::mem::take(&mut self.pending).into_iter().zip(taken) {
            if taken {
                change.apply(&mut self.durable);
                unlinks |= change.kind != ChangeKind::Create;
            } else {
                rest.push(change);
            }
        }
        self.pending = rest;
        if unlinks {
            self.forget_dead();
        }
    }

    fn committed_with(&self, dir: u64) -> Vec<bool> {
        let mut taken = vec![false; self.pending.len()];
        if self.ordered {
            let last = self.pending.iter().rposition(|change| change.touches(dir));
            taken.iter_mut().take(last.map_or(0, |last| last + 1)).for_each(|taken| *taken = true);
            return taken;
        }
        let mut wanted = vec![(dir, self.pending.len())];
        while let Some((dir, before)) = wanted.pop() {
            for (i, (change, taken)) in self.pending.iter().zip(&mut taken).take(before).enumerate() {
                if !*taken && change.touches(dir) {
                    *taken = true;
                    wanted.extend(change.edits.iter().filter(|edit| edit.0 != dir).map(|edit| (edit.0, i)));
                }
            }
        }
        taken
    }

    /// Whether a sync of the directory would change anything.
    pub(crate) fn waits_for(&self, dir: u64) -> bool {
        self.pending.iter().any(|change| change.touches(dir))
    }

    pub(crate) fn sync_file(&mut self, ino: u64) {
        if self.is_dirty(ino) {
            self.change_file(ino, |file| {
                file.stable = Some(file.data.clone());
                file.dirty = false;
            });
        }
    }

    pub(crate) fn is_dirty(&self, ino: u64) -> bool {
        self.inodes.get(&ino).is_some_and(|inode| matches!(&inode.body, Body::File(file) if file.dirty))
    }

    /// Files whose contents a sync would write, by number.
    pub(crate) fn dirty_files(&self) -> Vec<u64> {
        self.inodes.keys().copied().filter(|ino| self.is_dirty(*ino)).collect()
    }

    pub(crate) fn sync_all(&mut self) {
        for ino in self.dirty_files() {
            self.sync_file(ino);
        }
        let pending = std::mem::take(&mut self.pending);
        if self.deceives {
            pending.iter().for_each(|change| change.apply(&mut self.durable));
        } else {
            self.durable = self.names.clone();
        }
        self.forget_dead();
    }

    /// A failed write-back: nothing waits to be written any more, and was never written.
    pub(crate) fn lose_dirty(&mut self) {
        self.deceives |= !self.pending.is_empty();
        self.pending.clear();
        for ino in self.dirty_files() {
            self.change_file(ino, |file| file.dirty = false);
        }
    }

    pub(crate) fn change_file(&mut self, ino: u64, act: impl FnOnce(&mut File)) {
        if let Some(inode) = self.inodes.get_mut().get_mut(&ino)
            && let Body::File(file) = &mut inode.get_mut().body
        {
            act(file);
        }
    }

    /// Drops the inodes to which no name leads any more: neither what processes see, nor what the platter has, nor what
    /// may still get there.
    pub(crate) fn forget_dead(&mut self) {
        let mut alive = Alive::default();
        for names in [&self.names, &self.durable] {
            let mut found = vec![ROOT];
            while let Some(ino) = found.pop() {
                alive.mark(ino);
                found.extend(names.get(&ino).into_iter().flat_map(|entries| entries.values()));
            }
        }
        // What was synced below a directory whose own name is still pending lives through that name.
        let below = self.durable.iter().filter(|(dir, _)| alive.has(**dir)).flat_map(|(_, entries)| entries.values());
        let mut found: Vec<u64> = below.copied().collect();
        let edits = self.pending.iter().flat_map(|change| &change.edits);
        found.extend(edits.flat_map(|(dir, _, ino)| [Some(*dir), *ino]).flatten());
        while let Some(ino) = found.pop() {
            if alive.mark(ino) {
                found.extend(self.durable.get(&ino).into_iter().flat_map(|entries| entries.values()));
            }
        }
        if self.inodes.keys().any(|ino| !alive.has(*ino)) {
            self.inodes.get_mut().retain(|ino, _| alive.has(*ino));
        }
        for names in [&mut self.names, &mut self.durable] {
            if names.keys().any(|dir| !alive.has(*dir)) {
                names.get_mut().retain(|dir, _| alive.has(*dir));
            }
        }
    }

    /// How many bytes a file holds; `None` if it is not a regular one.
    pub(crate) fn len_of(&self, ino: u64) -> Option<u64> {
        match &self.inodes.get(&ino)?.body {
            Body::File(file) => Some(file.data.len()),
            Body::Dir | Body::Link(_) => None,
        }
    }

    pub(crate) fn space(&self) -> Space {
        let mut bytes = 0;
        let mut inodes = 0;
        let mut found = vec![ROOT];
        while let Some(ino) = found.pop() {
            inodes += 1;
            if let Some(Body::File(file)) = self.inodes.get(&ino).map(|inode| &inode.body) {
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

    /// Whether names are shown that are not on the platter and that no sync will write any more: one failed, and only a
    /// remount shows what is there.
    #[must_use]
    pub fn deceives(&self) -> bool {
        self.deceives
    }

    /// Whether nothing would be lost in a power cut.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.deceives && self.inodes.values().all(|inode| inode.is_settled())
    }
}

impl Inode {
    /// Whether the platter has what processes see.
    pub fn is_settled(&self) -> bool {
        match &self.body {
            Body::File(File { data, stable: Some(stable), dirty: false }) => data.is_same(stable),
            Body::File(_) => false,
            Body::Dir | Body::Link(_) => true,
        }
    }
}

/// Inode numbers, which are small.
#[derive(Default)]
struct Alive(Vec<bool>);

impl Alive {
    /// Whether it was not marked before.
    fn mark(&mut self, ino: u64) -> bool {
        // Attributes are not inodes.
        if ino >= ATTRIBUTES_MIN {
            return false;
        }
        let index = usize::try_from(ino).unwrap_or(usize::MAX);
        if self.0.len() <= index {
            self.0.resize(index + 1, false);
        }
        !std::mem::replace(&mut self.0[index], true)
    }

    fn has(&self, ino: u64) -> bool {
        usize::try_from(ino).is_ok_and(|index| self.0.get(index) == Some(&true))
    }
}
