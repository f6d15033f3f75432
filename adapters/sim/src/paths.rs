//! From a path to a directory entry: mounts and symbolic links of the simulated host.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use volsnap_core::ports::FsErrorKind;

use crate::{
    disk::{Body, Content, Disk, Name, ROOT},
    world::World,
};

/// Where a path leads: an entry of a directory, which may be vacant.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    /// The disk of the directory that holds the name.
    pub disk: usize,
    pub dir: u64,
    pub name: Name,
    /// What the name stands for on that disk.
    pub node: Option<u64>,
    /// The disk that is mounted over it.
    pub over: Option<usize>,
    pub real: PathBuf,
}

impl Spot {
    /// Disk and inode of what is seen at the path.
    pub fn target(&self) -> Option<(usize, u64)> {
        self.over.map(|disk| (disk, ROOT)).or(self.node.map(|node| (self.disk, node)))
    }
}

impl World {
    pub(crate) fn disk(&self, index: usize) -> &Disk {
        &self.disks[index]
    }

    pub(crate) fn disk_mut(&mut self, index: usize) -> &mut Disk {
        Arc::make_mut(&mut self.disks[index])
    }

    /// Follows links in the middle of the path, and at its end if asked to.
    pub(crate) fn walk(&self, path: &Path, follow: bool) -> Result<Spot, FsErrorKind> {
        self.walk_within(path, follow, 16)
    }

    fn walk_within(&self, path: &Path, follow: bool, links_max: u8) -> Result<Spot, FsErrorKind> {
        let mut spot =
            Spot { disk: 0, dir: ROOT, name: Name::from(""), node: Some(ROOT), over: None, real: PathBuf::from("/") };
        let mut components = path.components();
        while let Some(component) = components.next() {
            let name = match component {
                Component::Normal(name) => name.to_string_lossy(),
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return Err(FsErrorKind::Unsupported),
            };
            let (disk, dir) = spot.target().ok_or(FsErrorKind::NotFound)?;
            if !self.disk(disk).is_dir(dir) {
                return Err(FsErrorKind::Io);
            }
            let node = self.disk(disk).lookup(dir, &name);
            if let Some(Body::Link(to)) = node.and_then(|ino| self.disk(disk).inodes.get(&ino)).map(|i| &i.body)
                && (follow || !components.as_path().as_os_str().is_empty())
            {
                let left = links_max.checked_sub(1).ok_or(FsErrorKind::Io)?;
                let rest = components.as_path();
                let to = spot.real.join(to);
                let whole = if rest.as_os_str().is_empty() { to } else { to.join(rest) };
                return self.walk_within(&whole, follow, left);
            }
            spot.real.push(&*name);
            let over = node.and_then(|ino| self.mounted_on(disk, ino));
            spot = Spot { disk, dir, name: Name::from(&*name), node, over, real: spot.real };
        }
        Ok(spot)
    }

    pub(crate) fn mounted_on(&self, disk: usize, ino: u64) -> Option<usize> {
        self.disks.iter().position(|d| d.mounted && d.covers == Some((disk, ino)))
    }

    /// Disk and inode of an existing directory.
    pub(crate) fn directory(&self, path: &Path) -> Result<(usize, u64), FsErrorKind> {
        let (disk, ino) = self.walk(path, true)?.target().ok_or(FsErrorKind::NotFound)?;
        if self.disk(disk).is_dir(ino) { Ok((disk, ino)) } else { Err(FsErrorKind::Io) }
    }

    pub(crate) fn file(&self, path: &Path) -> Result<&Content, FsErrorKind> {
        let (disk, ino) = self.walk(path, true)?.target().ok_or(FsErrorKind::NotFound)?;
        match self.disk(disk).inodes.get(&ino).map(|inode| &inode.body) {
            Some(Body::File(file)) => Ok(&file.data),
            Some(Body::Dir | Body::Link(_)) => Err(FsErrorKind::Io),
            None => Err(FsErrorKind::NotFound),
        }
    }
}
