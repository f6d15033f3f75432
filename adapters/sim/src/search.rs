//! What the system knows of directories without asking a disk: where others are mounted, and where one is by now.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use volsnap_core::model::{Identity, Mounted};

use crate::world::World;

impl World {
    /// Mount points below a directory. Nothing here is mounted twice.
    pub(crate) fn mounted(&self, dir: &Path) -> Mounted {
        let mounts = self.disks.iter().filter(|disk| disk.mounted).map(|disk| disk.mount.to_path_buf());
        let mut within: Vec<PathBuf> = mounts.filter(|mount| mount != dir && mount.starts_with(dir)).collect();
        within.sort();
        Mounted { within, elsewhere: Vec::new() }
    }

    /// The directory with that identity at or below another one on its disk, the nearest first.
    pub(crate) fn find_directory(&self, within: &Path, sought: Identity) -> Option<PathBuf> {
        let (disk, root) = self.directory(within).ok().filter(|_| sought.birth_ns.is_some())?;
        let mut open = VecDeque::from([(root, within.to_path_buf())]);
        while let Some((ino, path)) = open.pop_front() {
            if self.seen(disk, ino, &path).is(sought) {
                return Some(path);
            }
            let below = self.disk(disk).entries(ino).filter(|(_, ino)| self.disk(disk).is_dir(*ino));
            open.extend(below.map(|(name, ino)| (ino, path.join(&**name))));
        }
        None
    }
}
