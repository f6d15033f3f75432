//! Subvolumes of a btrfs: one is made, a snapshot is taken of one, and a snapshot is put in one's place.

use std::path::Path;

use crate::{
    disk::{ATTRIBUTES_MIN, Body, ChangeKind, Disk, Inode, Name, SUBVOLUME_ROOT, Special, TOP_LEVEL},
    world::World,
};

impl Disk {
    /// The subvolume that an inode lies in, or is.
    pub(crate) fn subvolume(&self, ino: u64) -> u64 {
        self.inodes.get(&ino).map_or(TOP_LEVEL, |inode| inode.subvolume)
    }

    /// Whether an inode would leave its subvolume if it were moved into that directory: only a subvolume itself can be moved
    /// into another one.
    pub(crate) fn parts(&self, ino: u64, dir: u64) -> bool {
        let is_subvolume = self.inodes.get(&ino).is_some_and(|inode| inode.special == Special::Subvolume);
        !is_subvolume && self.subvolume(ino) != self.subvolume(dir)
    }

    fn fresh_subvolume(&mut self) -> u64 {
        self.subvolume_next += 1;
        self.subvolume_next - 1
    }

    /// Copies what a number stands for, with all that is below it, into another subvolume: with the numbers that processes
    /// see, births and attributes. No name leads to the copy yet. A subvolume below is an empty directory in it.
    fn copy(&mut self, ino: u64, subvolume: u64) -> Option<u64> {
        let inode: Inode = (**self.inodes.get(&ino)?).clone();
        let copy = self.add_inode(Inode { subvolume, shown: Some(inode.shown.unwrap_or(ino)), ..inode });
        let entries = self.names.get(&ino).into_iter().flat_map(|entries| entries.iter());
        let entries: Vec<(Name, u64)> = entries.map(|(name, to)| (name.clone(), *to)).collect();
        let mut edits = Vec::new();
        for (name, to) in entries {
            let is_subvolume = self.inodes.get(&to).is_some_and(|below| below.special == Special::Subvolume);
            let empty = Inode { birth_ns: 0, body: Body::Dir, special: Special::No, subvolume, shown: None };
            let below = match is_subvolume {
                _ if to >= ATTRIBUTES_MIN => Some(to),
                true => Some(self.add_inode(empty)),
                false => self.copy(to, subvolume),
            };
            edits.push((copy, name, below));
        }
        self.change(ChangeKind::Create, edits);
        Some(copy)
    }
}

impl World {
    /// Somebody makes an empty subvolume, and directories above it.
    pub fn put_subvolume(&mut self, path: &Path) {
        let now = self.clock.wall_ns();
        let parent = self.made_directory(path.parent().unwrap_or(Path::new("/")));
        if let (Some((disk, dir)), Some(name)) = (parent, path.file_name()) {
            let disk = self.disk_mut(disk);
            let subvolume = disk.fresh_subvolume();
            let ino = disk.create(dir, &name.to_string_lossy(), Body::Dir, now);
            if let Some(inode) = disk.inode_mut(ino) {
                inode.special = Special::Subvolume;
                inode.subvolume = subvolume;
                inode.shown = Some(SUBVOLUME_ROOT);
            }
        }
    }

    /// Somebody takes a snapshot of a subvolume, under a name of the same disk that is not taken: a subvolume with the same
    /// inode numbers, births, attributes and contents. It is durable, and so is what it was taken of.
    pub fn put_snapshot(&mut self, of: &Path, to: &Path) {
        let parent = self.directory(to.parent().unwrap_or(Path::new("/")));
        if let (Ok((disk, ino)), Ok((on, dir)), Some(name)) = (self.directory(of), parent, to.file_name())
            && disk == on
        {
            let disk = self.disk_mut(disk);
            let subvolume = disk.fresh_subvolume();
            if let Some(copy) = disk.copy(ino, subvolume) {
                let name = Name::from(&*name.to_string_lossy());
                disk.change(ChangeKind::Create, vec![(dir, name, Some(copy))]);
            }
            disk.write_back();
        }
    }

    pub(crate) fn roll_back_by_hand(&mut self, path: &Path) {
        let Ok(spot) = self.walk(path, false) else { return };
        let moved = Name::from(format!("{}.moved", spot.name));
        let Some(ino) = spot.node.filter(|_| self.disk(spot.disk).lookup(spot.dir, &moved).is_none()) else { return };
        let aside = path.with_file_name(&*moved);
        let edits = vec![(spot.dir, spot.name, None), (spot.dir, moved, Some(ino))];
        self.disk_mut(spot.disk).change(ChangeKind::Move, edits);
        self.put_snapshot(&aside, path);
        // Whoever does this is not part of the story's crashes.
        self.all_disks(Disk::write_back);
    }
}
