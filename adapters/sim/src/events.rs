//! What happens by itself: the kernel, the container engine, other people, the clock, the disk's own decay.

use std::{path::Path, sync::Arc};

use volsnap_core::model::Mount;

use crate::{
    archive::{Archive, Entry},
    builder::ContainerSpec,
    disk::{Body, ChangeKind, Content, Name},
    fault::Event,
    world::World,
};

impl World {
    /// Something happens by itself.
    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Writeback => self.all_disks(crate::disk::Disk::write_back),
            Event::WritebackOf(index) => self.disk_mut(*index).write_back(),
            Event::Full(index) => self.set_space(*index, 0),
            Event::EngineRestart => self.restart_engine(),
            Event::OtherEngine => std::mem::swap(&mut self.engine, &mut self.engine_elsewhere),
            Event::EngineDown => self.engine_mut().up = false,
            Event::EngineUp => self.engine_mut().up = true,
            Event::Start(name) => self.start_by_hand(name),
            Event::Stop(name) => self.stop_by_hand(name),
            Event::Remove(name) => self.remove_by_hand(name),
            Event::Run(name, path) => self.run_by_hand(name, path),
            Event::Replace(path) => self.replace_by_hand(path),
            Event::RollBack(path) => self.roll_back_by_hand(path),
            Event::Tick => self.tick(),
            Event::Work => self.work(),
            Event::ClockJump(seconds) => self.clock.wall_jump_s += seconds,
            Event::BitFlip(path, bit) => self.flip(path, *bit),
        }
    }

    /// Whose image is there, and whose policy is `no`.
    fn run_by_hand(&mut self, name: &str, path: &Path) {
        if self.container(name).is_none() {
            let mount =
                Mount { target: "/d".into(), source: path.into(), volume: None, writable: true, unsupported: None };
            self.add_container(ContainerSpec { mounts: vec![mount], ..ContainerSpec::named(name) });
        }
    }

    fn replace_by_hand(&mut self, path: &Path) {
        let Ok(spot) = self.walk(path, false) else { return };
        let moved = Name::from(format!("{}.moved", spot.name));
        if let Some(ino) = spot.node
            && self.disk(spot.disk).lookup(spot.dir, &moved).is_none()
        {
            let edits = vec![(spot.dir, spot.name, None), (spot.dir, moved, Some(ino))];
            self.disk_mut(spot.disk).change(ChangeKind::Move, edits);
        }
        self.put_dir(path);
        self.put_file(&path.join("foreign"), b"of somebody else");
        // Whoever does this is not part of the story's crashes.
        self.all_disks(crate::disk::Disk::write_back);
    }

    /// How many bits [`Event::BitFlip`] tells apart in a file.
    #[must_use]
    pub fn bits(&self, path: &Path) -> u64 {
        match self.file(path) {
            Ok(Content::Bytes(bytes)) => 8 * bytes.len() as u64,
            Ok(Content::Archive(archive)) => 8 * members(archive).map(|(_, _, bytes)| bytes.len() as u64).sum::<u64>(),
            Err(_) => 0,
        }
    }

    fn flip(&mut self, path: &Path, bit: u64) {
        let Some((disk, ino)) = self.walk(path, true).ok().and_then(|spot| spot.target()) else { return };
        let Some(inode) = self.disk_mut(disk).inode_mut(ino) else { return };
        let Body::File(file) = &mut inode.body else { return };
        file.data = match &file.data {
            Content::Bytes(bytes) => Content::Bytes(turned(bytes, bit)),
            Content::Archive(archive) => Content::Archive(Arc::new(rotten(archive, bit))),
        };
        file.stable = Some(file.data.clone());
        file.dirty = false;
    }
}

fn turned(bytes: &[u8], bit: u64) -> Arc<[u8]> {
    let mut bytes = bytes.to_vec();
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1 << (bit % 8);
    }
    bytes.into()
}

/// The members of an archive that hold data: volume, path, bytes.
fn members(archive: &Archive) -> impl Iterator<Item = (usize, &String, &Arc<[u8]>)> {
    archive.volumes.iter().enumerate().flat_map(|(volume, tree)| {
        tree.iter().filter_map(move |(path, entry)| match entry {
            Entry::File(bytes) => Some((volume, path, bytes)),
            Entry::Dir | Entry::Link(_) => None,
        })
    })
}

/// The archive with one bit turned in a member's data; its digests say what they said.
fn rotten(archive: &Archive, bit: u64) -> Archive {
    let mut left = bit;
    let mut turn = None;
    for (volume, path, bytes) in members(archive) {
        let bits = 8 * bytes.len() as u64;
        if left < bits {
            turn = Some((volume, path.clone(), turned(bytes, left)));
            break;
        }
        left -= bits;
    }
    let mut rotten = archive.clone();
    if let Some((volume, path, bytes)) = turn {
        rotten.volumes[volume].insert(path, Entry::File(bytes));
    }
    rotten
}
