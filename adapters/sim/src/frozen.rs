//! Read-only subvolumes: no part of the volume in which they lie, and never removed with it.

use std::path::{Path, PathBuf};

use volsnap_core::ports::{FsErrorKind, FsOp};

use crate::{
    disk::{Body, ChangeKind, Name, Special},
    micro::MicroKind,
    mutant::Mutant,
    places::{At, FsResult},
    world::World,
};

impl World {
    /// Where read-only subvolumes lie below a directory, as an observer sees it.
    #[must_use]
    pub fn frozen(&self, dir: &Path) -> Vec<PathBuf> {
        self.directory(dir).map_or(Vec::new(), |(disk, ino)| self.frozen_below(disk, ino, Path::new("")))
    }

    /// The same by disk and inode, each path after `above`.
    pub(crate) fn frozen_below(&self, disk: usize, dir: u64, above: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for (name, ino) in self.disk(disk).entries(dir) {
            let path = above.join(&**name);
            match self.disk(disk).inodes.get(&ino).map(|inode| (&inode.body, inode.special)) {
                Some((Body::Dir, Special::Frozen)) => found.push(path),
                Some((Body::Dir, _)) if self.mounted_on(disk, ino).is_none() => {
                    found.extend(self.frozen_below(disk, ino, &path));
                }
                Some(_) | None => {}
            }
        }
        found
    }

    /// What a killed process has moved is durable before anything is removed from where it was: a note tells of it.
    pub(crate) fn settle_frozen(&mut self, live: &Path) -> FsResult<()> {
        for path in self.frozen(live) {
            let holder = live.join(path.parent().unwrap_or(Path::new("")));
            let (disk, dir) = self.directory(&holder).at(FsOp::Remove, &holder)?;
            if self.pending_kinds(disk, dir).next().is_some() {
                self.sync_dir(disk, dir, &holder).at(FsOp::Remove, &holder)?;
            }
        }
        Ok(())
    }

    /// Moves one out of a private directory, to where it was in the volume, and makes that durable.
    pub(crate) fn move_frozen(&mut self, private: &Path, path: &Path, live: Option<&Path>) -> FsResult<()> {
        if self.mutant == Some(Mutant::FrozenRemoved) {
            return Ok(());
        }
        let from = private.join(path);
        let Some(live) = live else { return Err(FsErrorKind::Denied).at(FsOp::Remove, &from) };
        let within: PathBuf = path.components().skip(1).collect();
        let (to, mut holder) = (live.join(&within), live.to_path_buf());
        for part in within.parent().unwrap_or(Path::new("")).components() {
            let (disk, dir) = self.directory(&holder).at(FsOp::Remove, &holder)?;
            holder.push(part);
            if self.disk(disk).lookup(dir, &part.as_os_str().to_string_lossy()).is_none() {
                let label = || holder.display().to_string();
                self.make_dir(disk, dir, &part.as_os_str().to_string_lossy(), &label).at(FsOp::Remove, &holder)?;
            }
        }
        let source = self.walk(&from, false).at(FsOp::Remove, &from)?;
        let goal = self.walk(&to, false).at(FsOp::Remove, &to)?;
        if goal.target().is_some() {
            return Err(FsErrorKind::Exists).at(FsOp::Remove, &to);
        }
        let (disk, dir, ino) = (goal.disk, goal.dir, source.target().map(|(_, ino)| ino));
        let edits = vec![(source.dir, source.name, None), (dir, goal.name, ino)];
        // Not as names are moved in a switch: the app runs, and none of it is anything that it works on.
        let label = || format!("{} -> {}", from.display(), to.display());
        self.micro(MicroKind::Change, label, |w| w.disk_mut(disk).change(ChangeKind::Move, edits))
            .at(FsOp::Remove, &from)?;
        self.sync_dir(disk, dir, &holder).at(FsOp::Remove, &holder)
    }

    /// Nothing that is staged may have the name of one that stays at the top level of a live directory, nor be one.
    pub(crate) fn refuse_frozen(&self, live: (usize, u64), staged: (usize, u64)) -> Result<(), FsErrorKind> {
        let frozen = |(disk, dir): (usize, u64)| {
            self.disk(disk).entries(dir).filter(move |(_, ino)| self.disk(disk).is_frozen(*ino)).map(|(name, _)| name)
        };
        let is_staged = |name: &Name| self.disk(staged.0).lookup(staged.1, name).is_some();
        match frozen(live).chain(frozen(staged)).any(is_staged) {
            true => Err(FsErrorKind::Exists),
            false => Ok(()),
        }
    }
}
