//! From a path to a directory entry: mounts and symbolic links of the simulated host.

use std::{
    borrow::Cow,
    path::{Component, Path, PathBuf},
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
        Entry { disk: self.disk, dir: self.dir, node: self.node, over: self.over }.target()
    }
}

/// A spot without its name.
#[derive(Clone, Copy)]
struct Entry {
    disk: usize,
    dir: u64,
    node: Option<u64>,
    over: Option<usize>,
}

impl Entry {
    fn target(self) -> Option<(usize, u64)> {
        self.over.map(|disk| (disk, ROOT)).or(self.node.map(|node| (self.disk, node)))
    }
}

enum Found {
    Entry(Entry),
    /// The path goes on elsewhere.
    Link(PathBuf),
}

/// A path with more links than that is a circle.
const LINKS_MAX: u8 = 17;

impl World {
    pub(crate) fn disk(&self, index: usize) -> &Disk {
        &self.disks[index]
    }

    pub(crate) fn disk_mut(&mut self, index: usize) -> &mut Disk {
        self.disks[index].get_mut()
    }

    /// Follows links in the middle of the path, and at its end if asked to.
    pub(crate) fn walk(&self, path: &Path, follow: bool) -> Result<Spot, FsErrorKind> {
        let mut real = Cow::Borrowed(path);
        let at = self.follow(&mut real, follow)?;
        let name = real.file_name().map_or(Name::from(""), |name| Name::from(&*name.to_string_lossy()));
        let real = real.components().filter(|component| *component != Component::CurDir).collect();
        Ok(Spot { disk: at.disk, dir: at.dir, name, node: at.node, over: at.over, real })
    }

    /// Where the path leads; it is replaced by another one when a link says so.
    fn follow(&self, path: &mut Cow<'_, Path>, follow: bool) -> Result<Entry, FsErrorKind> {
        for _ in 0..LINKS_MAX {
            match self.enter(path, follow)? {
                Found::Entry(entry) => return Ok(entry),
                Found::Link(to) => *path = Cow::Owned(to),
            }
        }
        Err(FsErrorKind::Io)
    }

    fn enter(&self, path: &Path, follow: bool) -> Result<Found, FsErrorKind> {
        let mut at = Entry { disk: 0, dir: ROOT, node: Some(ROOT), over: None };
        let mut components = path.components();
        while let Some(component) = components.next() {
            let name = match component {
                Component::Normal(name) => name.to_string_lossy(),
                Component::RootDir | Component::CurDir => continue,
                Component::ParentDir | Component::Prefix(_) => return Err(FsErrorKind::Unsupported),
            };
            let (disk, dir) = at.target().ok_or(FsErrorKind::NotFound)?;
            if !self.disk(disk).is_dir(dir) {
                return Err(FsErrorKind::Io);
            }
            let node = self.disk(disk).lookup(dir, &name);
            let rest = components.as_path();
            if let Some(Body::Link(to)) = node.and_then(|ino| self.disk(disk).inodes.get(&ino)).map(|i| &i.body)
                && (follow || !rest.as_os_str().is_empty())
            {
                // What stands before the link was followed already.
                let before = path.ancestors().nth(rest.components().count() + 1).unwrap_or(Path::new("/"));
                let to = before.join(to);
                return Ok(Found::Link(if rest.as_os_str().is_empty() { to } else { to.join(rest) }));
            }
            at = Entry { disk, dir, node, over: node.and_then(|ino| self.mounted_on(disk, ino)) };
        }
        Ok(Found::Entry(at))
    }

    pub(crate) fn mounted_on(&self, disk: usize, ino: u64) -> Option<usize> {
        self.disks.iter().position(|d| d.mounted && d.covers == Some((disk, ino)))
    }

    /// Disk and inode of an existing directory.
    pub(crate) fn directory(&self, path: &Path) -> Result<(usize, u64), FsErrorKind> {
        let (disk, ino) = self.follow(&mut Cow::Borrowed(path), true)?.target().ok_or(FsErrorKind::NotFound)?;
        if self.disk(disk).is_dir(ino) { Ok((disk, ino)) } else { Err(FsErrorKind::Io) }
    }

    pub(crate) fn file(&self, path: &Path) -> Result<&Content, FsErrorKind> {
        let (disk, ino) = self.follow(&mut Cow::Borrowed(path), true)?.target().ok_or(FsErrorKind::NotFound)?;
        match self.disk(disk).inodes.get(&ino).map(|inode| &inode.body) {
            Some(Body::File(file)) => Ok(&file.data),
            Some(Body::Dir | Body::Link(_)) => Err(FsErrorKind::Io),
            None => Err(FsErrorKind::NotFound),
        }
    }
}
