//! Looking at places, and the names that a restore changes: exchange, rename, removal, settling.

use std::path::{Path, PathBuf};

use volsnap_core::{
    model::{
        FilesystemId, FilesystemInfo, Identity, Inode, Location, Occupant, RestoreId, Sight, Space, TreeSize,
        place::{PRIVATE_PREFIX, restore_of},
    },
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::{
    disk::{BLOCK, Body, ChangeKind, Content, File, Name, ROOT, Special},
    micro::{Interrupt, MicroKind},
    mutant::Mutant,
    paths::Spot,
    world::World,
};

/// Why a call of a port does not give a result.
pub(crate) enum Halt<E> {
    /// It never returns.
    Silence,
    /// It fails.
    Error(E),
}

impl<E> From<E> for Halt<E> {
    fn from(error: E) -> Self {
        Halt::Error(error)
    }
}

pub(crate) type FsResult<T> = Result<T, Halt<FsError>>;

/// Says what was being done when something failed.
pub(crate) trait At<T> {
    fn at(self, op: FsOp, path: &Path) -> FsResult<T>;
}

impl<T> At<T> for Result<T, Interrupt> {
    fn at(self, op: FsOp, path: &Path) -> FsResult<T> {
        self.map_err(|interrupt| match interrupt {
            Interrupt::Silence => Halt::Silence,
            Interrupt::Failed(failure) => FsError::new(failure.kind, op, path, &*failure.words).into(),
        })
    }
}

impl<T> At<T> for Result<T, FsErrorKind> {
    fn at(self, op: FsOp, path: &Path) -> FsResult<T> {
        self.map_err(|kind| FsError::new(kind, op, path, format!("{kind:?}")).into())
    }
}

fn by_path(path: &Path) -> Identity {
    let name = path.as_os_str().as_encoded_bytes();
    let inode = name.iter().fold(7, |h: u64, b| h.wrapping_mul(31) + u64::from(*b));
    Identity { inode, birth_ns: Some(0), subvolume: None }
}

fn inode(disk: usize, number: u64) -> Inode {
    Inode { device: (0, disk as u32), number }
}

impl World {
    pub(crate) fn seen(&self, disk: usize, ino: u64, path: &Path) -> Identity {
        let identity = self.disk(disk).identity(ino);
        match self.mutant {
            Some(Mutant::IdentityByName) => by_path(path),
            Some(Mutant::IdentityByDevice) => {
                Identity { inode: self.boot << 32 | identity.inode, birth_ns: Some(0), subvolume: None }
            }
            Some(Mutant::SubvolumesNotTold) => Identity { subvolume: None, ..identity },
            _ if self.disk(disk).numbers_by_path => Identity { birth_ns: None, ..by_path(path) },
            _ => identity,
        }
    }

    pub(crate) fn locate(&mut self, path: &Path) -> FsResult<Location> {
        self.call("locate", || path.display().to_string()).at(FsOp::Look, path)?;
        let spot = self.walk(path, true).at(FsOp::Look, path)?;
        let occupant = match spot.target() {
            None => Occupant::Absent,
            Some((disk, ino)) => match self.disk(disk).inodes.get(&ino).map(|inode| (&inode.body, inode.special)) {
                _ if spot.over.is_some() => Occupant::MountPoint(self.seen(disk, ino, &spot.real)),
                Some((Body::Dir, Special::Subvolume | Special::Immutable))
                    if self.mutant == Some(Mutant::SpecialsNotSeen) =>
                {
                    Occupant::Directory(self.seen(disk, ino, &spot.real))
                }
                Some((Body::Dir, Special::No | Special::Lower | Special::Frozen)) => {
                    Occupant::Directory(self.seen(disk, ino, &spot.real))
                }
                Some((Body::Dir, Special::Subvolume)) => Occupant::Subvolume(self.seen(disk, ino, &spot.real)),
                Some((Body::Dir, Special::Immutable)) => Occupant::Immutable(self.seen(disk, ino, &spot.real)),
                Some((Body::File(_) | Body::Link(_), _)) | None => Occupant::NotADirectory,
            },
        };
        let mut ancestors = Vec::new();
        let mut above = spot.real.parent();
        while let Some(dir) = above.filter(|_| self.mutant != Some(Mutant::AncestorsNotSeen)) {
            let (disk, ino) = self.directory(dir).at(FsOp::Look, dir)?;
            ancestors.push(inode(disk, ino));
            above = dir.parent();
        }
        // A directory that cannot be renamed stays, and its own filesystem is the one that is written to.
        let holder = match (occupant.fixed(), spot.target()) {
            (Some(_), Some((disk, _))) => disk,
            (Some(_) | None, _) => spot.disk,
        };
        Ok(Location {
            occupant,
            inode: spot.target().map(|(disk, ino)| inode(disk, ino)),
            parent: self.seen(spot.disk, spot.dir, spot.real.parent().unwrap_or(Path::new("/"))),
            writable: !self.disk(holder).read_only,
            filesystem: self.filesystem_info(holder),
            space: self.space_left(holder),
            ancestors,
            real: spot.real,
        })
    }

    pub(crate) fn space(&mut self, dir: &Path) -> FsResult<(FilesystemInfo, Space)> {
        self.call("space", || dir.display().to_string()).at(FsOp::Look, dir)?;
        let (disk, _) = self.directory(dir).at(FsOp::Look, dir)?;
        Ok((self.filesystem_info(disk), self.space_left(disk)))
    }

    pub(crate) fn measure(&mut self, root: &Path) -> FsResult<TreeSize> {
        self.call("measure", || root.display().to_string()).at(FsOp::Look, root)?;
        let (disk, ino) = self.directory(root).at(FsOp::Look, root)?;
        let frozen = self.frozen_below(disk, ino, Path::new("")).len() as u64;
        Ok(TreeSize { frozen, ..crate::archive::size_of(&self.read_tree(disk, ino)) })
    }

    pub(crate) fn settle(&mut self, dirs: &[PathBuf]) -> FsResult<()> {
        self.call("settle", || format!("{dirs:?}")).at(FsOp::Settle, dirs.first().map_or(Path::new(""), |d| d))?;
        for dir in dirs {
            if self.leaves_unsettled(dir) {
                continue;
            }
            match self.directory(dir) {
                Err(FsErrorKind::NotFound) => {}
                found => {
                    let (disk, ino) = found.at(FsOp::Settle, dir)?;
                    self.sync_dir(disk, ino, dir).at(FsOp::Settle, dir)?;
                }
            }
        }
        Ok(())
    }

    fn leaves_unsettled(&self, dir: &Path) -> bool {
        let private = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PRIVATE_PREFIX));
        match self.mutant {
            Some(Mutant::NothingSettled) => true,
            Some(Mutant::ParentsNotSettled) => !private,
            _ => false,
        }
    }

    pub(crate) fn look(&mut self, path: &Path) -> FsResult<Sight> {
        match self.call("look", || path.display().to_string()) {
            Err(Interrupt::Failed(_)) if self.mutant == Some(Mutant::UnreadableIsAbsent) => return Ok(Sight::Absent),
            called => called.at(FsOp::Look, path)?,
        }
        let target = match self.walk(path, false) {
            Err(FsErrorKind::NotFound) => return Ok(Sight::Absent),
            spot => spot.at(FsOp::Look, path)?.target(),
        };
        Ok(match target {
            None => Sight::Absent,
            Some((disk, ino)) if self.disk(disk).is_dir(ino) => {
                Sight::Directory { identity: self.seen(disk, ino, path), empty: self.disk(disk).is_empty(ino) }
            }
            Some(_) => Sight::Other,
        })
    }

    pub(crate) fn ready(&mut self, dir: &Path, known: Identity) -> FsResult<Identity> {
        let Ok((disk, ino)) = self.directory(dir) else { return Ok(known) };
        let is_lower = self.disk(disk).inodes.get(&ino).is_some_and(|inode| inode.special == Special::Lower);
        if !is_lower || self.mutant == Some(Mutant::NotReadied) || !self.seen(disk, ino, dir).is(known) {
            return Ok(known);
        }
        // Only what changes something is an operation: everywhere else a look decides.
        self.call("ready", || dir.display().to_string()).at(FsOp::Look, dir)?;
        self.disk_mut(disk).copy_up(ino);
        Ok(self.seen(disk, ino, dir))
    }

    pub(crate) fn private_dirs(&mut self, dir: &Path) -> FsResult<Vec<PathBuf>> {
        self.call("private_dirs", || dir.display().to_string()).at(FsOp::Look, dir)?;
        let (disk, ino) = match self.directory(dir) {
            Err(FsErrorKind::NotFound) => return Ok(Vec::new()),
            found => found.at(FsOp::Look, dir)?,
        };
        let is_dir = |ino: u64| self.disk(disk).is_dir(ino);
        let private = self.disk(disk).entries(ino);
        Ok(private
            .filter(|(name, ino)| restore_of(name).is_some() && is_dir(*ino))
            .map(|(name, _)| dir.join(&**name))
            .collect())
    }

    pub(crate) fn exchange(&mut self, a: &Path, b: &Path) -> FsResult<()> {
        let label = || format!("{} <-> {}", a.display(), b.display());
        self.call("exchange", label).at(FsOp::Exchange, a)?;
        let (left, x) = self.movable(a, FsOp::Exchange)?;
        let (right, y) = self.movable(b, FsOp::Exchange)?;
        let disk = left.disk;
        if disk != right.disk || !self.disk(disk).exchange {
            return Err(FsErrorKind::Unsupported).at(FsOp::Exchange, a);
        }
        let edge = [(x, right.dir), (y, left.dir)].into_iter().find(|(ino, dir)| self.disk(disk).parts(*ino, *dir));
        if left.dir != right.dir && edge.is_some() {
            return Err(FsErrorKind::Unsupported).at(FsOp::Exchange, a);
        }
        self.writable(disk).at(FsOp::Exchange, a)?;
        if self.mutant == Some(Mutant::ExchangeNotAtomic) {
            let passing = Name::from(format!("{}.passing", right.name));
            let hop = |from: (u64, Name), to: (u64, Name), ino| vec![(from.0, from.1, None), (to.0, to.1, Some(ino))];
            let (l, r, p) = ((left.dir, left.name), (right.dir, right.name.clone()), (right.dir, passing));
            for edits in [hop(l.clone(), p.clone(), x), hop(r.clone(), l, y), hop(p, r, x)] {
                self.move_names(disk, &[x, y], label, edits).at(FsOp::Exchange, a)?;
            }
            return Ok(());
        }
        let edits = vec![(left.dir, left.name, Some(y)), (right.dir, right.name, Some(x))];
        self.move_names(disk, &[x, y], label, edits).at(FsOp::Exchange, a)
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> FsResult<()> {
        let label = || format!("{} -> {}", from.display(), to.display());
        self.call("rename", label).at(FsOp::Rename, from)?;
        let (source, ino) = self.movable(from, FsOp::Rename)?;
        let goal = self.walk(to, false).at(FsOp::Rename, to)?;
        if goal.target().is_some() {
            return Err(FsErrorKind::Exists).at(FsOp::Rename, to);
        }
        if source.disk != goal.disk || goal.real.starts_with(&source.real) || self.disk(goal.disk).parts(ino, goal.dir)
        {
            return Err(FsErrorKind::Unsupported).at(FsOp::Rename, from);
        }
        self.writable(source.disk).at(FsOp::Rename, from)?;
        let edits = vec![(source.dir, source.name, None), (goal.dir, goal.name, Some(ino))];
        self.move_names(source.disk, &[ino], label, edits).at(FsOp::Rename, from)
    }

    pub(crate) fn remove_empty(&mut self, dir: &Path) -> FsResult<()> {
        self.call("remove_empty", || dir.display().to_string()).at(FsOp::Remove, dir)?;
        let (spot, ino) = self.movable(dir, FsOp::Remove)?;
        self.writable(spot.disk).at(FsOp::Remove, dir)?;
        if !self.disk(spot.disk).is_dir(ino) {
            return Err(FsErrorKind::Io).at(FsOp::Remove, dir);
        }
        if self.mutant == Some(Mutant::FullDirectoryRemoved) {
            return self.remove_tree(spot.disk, spot.dir, &spot.name, dir);
        }
        if !self.disk(spot.disk).is_empty(ino) {
            return Err(FsErrorKind::Exists).at(FsOp::Remove, dir);
        }
        self.unlink(spot.disk, spot.dir, &spot.name, &|| dir.display().to_string()).at(FsOp::Remove, dir)
    }

    pub(crate) fn discard(&mut self, restore: RestoreId, private: &Path, live: Option<&Path>) -> FsResult<()> {
        self.call("discard", || private.display().to_string()).at(FsOp::Remove, private)?;
        let name = private.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let index = name.strip_prefix(&format!("{PRIVATE_PREFIX}{}-", restore.0.simple()));
        if !index.is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit())) {
            return Err(FsError::new(FsErrorKind::Denied, FsOp::Remove, private, "not a name of this restore").into());
        }
        let spot = match self.walk(private, false) {
            Err(FsErrorKind::NotFound) => return Ok(()),
            spot => spot.at(FsOp::Remove, private)?,
        };
        if spot.node.is_none() {
            return Ok(());
        }
        self.writable(spot.disk).at(FsOp::Remove, private)?;
        let root = self.disk(spot.disk).lookup(spot.dir, &spot.name).unwrap_or(ROOT);
        if let Some(live) = live {
            self.settle_frozen(live)?;
        }
        let mut stays = None;
        for found in self.frozen_below(spot.disk, root, Path::new("")) {
            match self.move_frozen(private, &found, live) {
                Err(Halt::Error(error)) if error.kind == FsErrorKind::Exists => _ = stays.get_or_insert(error),
                moved => moved?,
            }
        }
        let removed = self.remove_tree(spot.disk, spot.dir, &spot.name, private);
        stays.map_or(removed, |error| Err(error.into()))
    }

    /// Removes a name and all below it, the deepest first; stops at other filesystems.
    pub(crate) fn remove_tree(&mut self, disk: usize, dir: u64, name: &str, path: &Path) -> FsResult<()> {
        let Some(ino) = self.disk(disk).lookup(dir, name) else { return Ok(()) };
        if self.mounted_on(disk, ino).is_some() {
            return Err(FsErrorKind::Unsupported).at(FsOp::Remove, path);
        }
        if self.disk(disk).is_frozen(ino) && self.mutant != Some(Mutant::FrozenRemoved) {
            return Err(FsErrorKind::Denied).at(FsOp::Remove, path);
        }
        let below: Vec<Name> = self.disk(disk).entries(ino).map(|(name, _)| name.clone()).collect();
        for child in below {
            self.remove_tree(disk, ino, &child, &path.join(&*child))?;
        }
        self.unlink(disk, dir, name, &|| path.display().to_string()).at(FsOp::Remove, path)
    }

    // Micro-operations on disks.

    pub(crate) fn make_dir(
        &mut self,
        disk: usize,
        dir: u64,
        name: &str,
        label: &dyn Fn() -> String,
    ) -> Result<u64, Interrupt> {
        self.room(disk, BLOCK, 1)?;
        let now = self.clock.wall_ns();
        let what = || format!("mkdir {name} in {}", label());
        self.micro(MicroKind::Change, what, |w| w.disk_mut(disk).create(dir, name, Body::Dir, now))
    }

    pub(crate) fn make_file(
        &mut self,
        disk: usize,
        dir: u64,
        name: &str,
        data: Content,
        label: &dyn Fn() -> String,
    ) -> Result<u64, Interrupt> {
        self.room(disk, data.len(), 1)?;
        self.make_file_unchecked(disk, dir, name, data, label)
    }

    pub(crate) fn make_file_unchecked(
        &mut self,
        disk: usize,
        dir: u64,
        name: &str,
        data: Content,
        label: &dyn Fn() -> String,
    ) -> Result<u64, Interrupt> {
        let now = self.clock.wall_ns();
        let body = Body::File(File { data: self.as_taken(data), stable: None, dirty: true });
        let what = || format!("write {name} in {}", label());
        self.micro(MicroKind::Change, what, |w| w.disk_mut(disk).create(dir, name, body, now))
    }

    pub(crate) fn unlink(
        &mut self,
        disk: usize,
        dir: u64,
        name: &str,
        label: &dyn Fn() -> String,
    ) -> Result<(), Interrupt> {
        let ino = self.disk(disk).lookup(dir, name).unwrap_or(ROOT);
        self.micro(
            MicroKind::Change,
            || format!("remove {}", label()),
            |w| {
                w.watch_quiet(disk, &[ino], "removal");
                w.disk_mut(disk).change(ChangeKind::Remove, vec![(dir, Name::from(name), None)]);
            },
        )
    }

    /// An atomic change of names that moves the inodes.
    pub(crate) fn move_names(
        &mut self,
        disk: usize,
        moved: &[u64],
        label: impl FnOnce() -> String,
        edits: Vec<(u64, Name, Option<u64>)>,
    ) -> Result<(), Interrupt> {
        let mut held: Vec<u64> = moved.to_vec();
        held.extend(edits.iter().map(|edit| edit.0));
        self.micro(MicroKind::Change, label, |w| {
            w.watch_quiet(disk, &held, "rename");
            w.disk_mut(disk).change(ChangeKind::Move, edits);
        })
    }

    pub(crate) fn sync_dir(&mut self, disk: usize, dir: u64, path: &Path) -> Result<(), Interrupt> {
        let lies = match self.mutant {
            Some(Mutant::SwitchesNotSettled) => self.pending_kinds(disk, dir).any(|kind| kind == ChangeKind::Move),
            Some(Mutant::DeletionsNotSettled) => {
                self.pending_kinds(disk, dir).next().is_some()
                    && self.pending_kinds(disk, dir).all(|kind| kind == ChangeKind::Remove)
            }
            _ => false,
        };
        let what = || format!("sync directory {}", path.display());
        self.sync(what, |w| {
            if !lies && w.disk(disk).waits_for(dir) {
                w.disk_mut(disk).sync_dir(dir);
            }
        })
    }

    fn sync(&mut self, what: impl Fn() -> String, act: impl Fn(&mut World)) -> Result<(), Interrupt> {
        match self.micro(MicroKind::Sync, &what, &act) {
            Err(Interrupt::Failed(_)) if self.mutant == Some(Mutant::FailedSyncRetried) => {
                self.micro(MicroKind::Sync, what, act)
            }
            synced => synced,
        }
    }

    pub(crate) fn pending_kinds(&self, disk: usize, dir: u64) -> impl Iterator<Item = ChangeKind> {
        self.disk(disk).pending.iter().filter(move |change| change.touches(dir)).map(|change| change.kind)
    }

    pub(crate) fn sync_file(&mut self, disk: usize, ino: u64, what: &str) -> Result<(), Interrupt> {
        let what = || format!("sync file {what}");
        self.sync(what, |w| {
            if w.disk(disk).is_dirty(ino) {
                w.disk_mut(disk).sync_file(ino);
            }
        })
    }

    pub(crate) fn sync_filesystem(&mut self, disk: usize) -> Result<(), Interrupt> {
        let what = || format!("sync filesystem {disk}");
        self.sync(what, |w| {
            if !w.disk(disk).is_settled() {
                w.disk_mut(disk).sync_all();
            }
        })
    }

    // Helpers.

    /// The spot of an existing name that may be moved or removed: no mount point.
    pub(crate) fn movable(&self, path: &Path, op: FsOp) -> FsResult<(Spot, u64)> {
        let spot = self.walk(path, false).at(op, path)?;
        match (spot.over, spot.node) {
            (Some(_), _) => Err(FsErrorKind::Unsupported).at(op, path),
            (None, None) => Err(FsErrorKind::NotFound).at(op, path),
            (None, Some(node)) => Ok((spot, node)),
        }
    }

    pub(crate) fn writable(&self, disk: usize) -> Result<(), FsErrorKind> {
        if self.disk(disk).read_only { Err(FsErrorKind::Denied) } else { Ok(()) }
    }

    /// Whether so much more fits, beside what is kept for journals.
    pub(crate) fn room(&self, disk: usize, bytes: u64, inodes: u64) -> Result<(), Interrupt> {
        let left = self.space_left(disk);
        let needed = bytes.div_ceil(BLOCK) * BLOCK;
        match needed > left.bytes_free || left.inodes_free.is_some_and(|free| inodes > free) {
            true => Err(Interrupt::Failed(FsErrorKind::NoSpace.into())),
            false => Ok(()),
        }
    }

    pub(crate) fn space_left(&self, disk: usize) -> Space {
        let mut space = self.disk(disk).space();
        if self.mutant == Some(Mutant::SpaceNotCounted) && matches!(self.current, "locate" | "space") {
            space = Space { bytes_free: 1 << 60, inodes_free: None, ..space };
        }
        if self.directory(&self.state_dir).is_ok_and(|(state, _)| state == disk) {
            space.bytes_free = space.bytes_free.saturating_sub(self.reserves.values().sum());
        }
        space
    }

    fn filesystem_info(&self, index: usize) -> FilesystemInfo {
        let disk = self.disk(index);
        FilesystemInfo {
            id: FilesystemId(format!("{}:{index}", self.boot)),
            mount: disk.mount.to_path_buf(),
            kind: if disk.ordered { "ext4" } else { "btrfs" }.to_string(),
            disk: Some(format!("simulated disk {index}")),
            exchange: disk.exchange,
            births: disk.births,
            read_only: disk.read_only,
            path_preserving: None,
        }
    }
}
