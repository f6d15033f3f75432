//! A directory that stays while its entries change, and the attributes that it has besides them.

use std::path::Path;

use volsnap_core::{
    model::place::{is_left_out, leaving_in, original_root_in, restored_root_in},
    ports::{FsErrorKind, FsOp, StageJob},
};

use crate::{
    disk::{ATTRIBUTES, ATTRIBUTES_MIN, ChangeKind, Name},
    micro::{Interrupt, MicroKind},
    mutant::Mutant,
    places::{At, FsResult},
    world::World,
};

/// What a directory has that nobody gave anything.
const PLAIN: u64 = ATTRIBUTES_MIN;
/// The attributes of a restored root that is switched by entry, as its archive has them.
pub const RESTORED_ATTRIBUTES: u64 = PLAIN + 1;
/// A modification time of just now, which no other directory has.
const TOUCHED: u64 = PLAIN + 2;

impl World {
    pub(crate) fn has_entries(&mut self, dir: &Path) -> FsResult<bool> {
        self.call("has_entries", || dir.display().to_string()).at(FsOp::Look, dir)?;
        match self.directory(dir) {
            Err(FsErrorKind::NotFound) => Ok(false),
            found => {
                let (disk, ino) = found.at(FsOp::Look, dir)?;
                Ok(!self.movable_names(disk, ino).is_empty())
            }
        }
    }

    pub(crate) fn move_entries(&mut self, from: &Path, to: &Path) -> FsResult<()> {
        self.call("move_entries", || format!("{} -> {}", from.display(), to.display())).at(FsOp::Rename, from)?;
        let (disk, source) = self.directory(from).at(FsOp::Rename, from)?;
        let (other, target) = self.directory(to).at(FsOp::Rename, to)?;
        if disk != other {
            return Err(FsErrorKind::Unsupported).at(FsOp::Rename, from);
        }
        self.writable(disk).at(FsOp::Rename, from)?;
        for name in self.movable_names(disk, source) {
            let path = from.join(&*name);
            if self.disk(disk).lookup(target, &name).is_some() {
                return Err(FsErrorKind::Exists).at(FsOp::Rename, &path);
            }
            let Some(ino) = self.disk(disk).lookup(source, &name) else { continue };
            if self.mounted_on(disk, ino).is_some() || self.disk(disk).parts(ino, target) {
                return Err(FsErrorKind::Unsupported).at(FsOp::Rename, &path);
            }
            let edits = vec![
                (source, name.clone(), None),
                (target, name.clone(), Some(ino)),
                (source, Name::from(ATTRIBUTES), Some(TOUCHED)),
                (target, Name::from(ATTRIBUTES), Some(TOUCHED)),
            ];
            let label = || format!("{} -> {}", path.display(), to.display());
            self.move_names(disk, &[source, target, ino], label, edits).at(FsOp::Rename, &path)?;
        }
        Ok(())
    }

    pub(crate) fn copy_attributes(&mut self, from: &Path, to: &Path) -> FsResult<()> {
        self.call("copy_attributes", || format!("{} -> {}", from.display(), to.display())).at(FsOp::Rename, from)?;
        let (of, source) = self.directory(from).at(FsOp::Rename, from)?;
        let (disk, target) = self.directory(to).at(FsOp::Rename, to)?;
        self.writable(disk).at(FsOp::Rename, to)?;
        let attributes = self.attributes_of(of, source);
        self.dress(disk, target, attributes, to).at(FsOp::Rename, to)
    }

    pub(crate) fn same_attributes(&mut self, a: &Path, b: &Path) -> FsResult<bool> {
        self.call("same_attributes", || format!("{} = {}", a.display(), b.display())).at(FsOp::Look, a)?;
        let lies = self.mutant == Some(Mutant::AttributesAlike);
        Ok(matches!((self.attributes(a), self.attributes(b)), (Some(a), Some(b)) if lies || a == b))
    }

    /// What an observer sees: a number that stands for a directory's attributes; `None` if there is no such directory.
    #[must_use]
    pub fn attributes(&self, dir: &Path) -> Option<u64> {
        let (disk, ino) = self.directory(dir).ok()?;
        Some(self.attributes_of(disk, ino))
    }

    /// Lays out what a switch by entry needs beside a staged tree, whose root gets its attributes. With the other methods
    /// a root goes with its name, and nothing can part them.
    pub(crate) fn lay_out(&mut self, job: &StageJob, disk: usize, private: u64, partial: u64) -> FsResult<()> {
        if job.entries_of.is_some() {
            self.dress(disk, partial, RESTORED_ATTRIBUTES, &job.private).at(FsOp::Stage, &job.private)?;
        }
        self.lay_beside(job, (disk, partial), private, RESTORED_ATTRIBUTES)
    }

    /// The same for a staged root that has these attributes.
    pub(crate) fn lay_beside(
        &mut self,
        job: &StageJob,
        (disk, staged): (usize, u64),
        private: u64,
        like: u64,
    ) -> FsResult<()> {
        let Some(live) = &job.entries_of else { return Ok(()) };
        let (of, root) = self.directory(live).at(FsOp::Stage, live)?;
        self.refuse_frozen((of, root), (disk, staged)).at(FsOp::Stage, live)?;
        let like_live = self.attributes_of(of, root);
        let place = || job.private.display().to_string();
        for (dir, attributes) in [
            (leaving_in(&job.private), like_live),
            (original_root_in(&job.private), like_live),
            (restored_root_in(&job.private), like),
        ] {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.remove_tree(disk, private, &name, &dir)?;
            let ino = self.make_dir(disk, private, &name, &place).at(FsOp::Stage, &dir)?;
            self.dress(disk, ino, attributes, &dir).at(FsOp::Stage, &dir)?;
        }
        Ok(())
    }

    fn dress(&mut self, disk: usize, dir: u64, attributes: u64, path: &Path) -> Result<(), Interrupt> {
        let label = || format!("give {} attributes {}", path.display(), attributes - PLAIN);
        self.micro(MicroKind::Change, label, |w| {
            w.disk_mut(disk).change(ChangeKind::Dress, vec![(dir, Name::from(ATTRIBUTES), Some(attributes))]);
        })
    }

    pub(crate) fn attributes_of(&self, disk: usize, dir: u64) -> u64 {
        self.disk(disk).lookup(dir, ATTRIBUTES).unwrap_or(PLAIN)
    }

    fn movable_names(&self, disk: usize, dir: u64) -> Vec<Name> {
        let entries = self.disk(disk).entries(dir).filter(|(_, ino)| !self.disk(disk).is_frozen(*ino));
        entries.map(|(name, _)| name.clone()).filter(|name| !is_left_out(name.as_bytes())).collect()
    }
}
