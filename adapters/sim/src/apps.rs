//! What apps do while they run: they write into the directories that they hold, wherever these are by now.

use crate::{
    disk::{Body, ChangeKind, Content, File, Name},
    engine::Bound,
    world::World,
};
use volsnap_core::model::RunState;

impl World {
    /// Every running app writes a fresh marked file into each directory that it holds, wherever that is by now.
    pub fn tick(&mut self) {
        for (name, held) in self.writers() {
            for bound in held {
                if let Some((disk, dir)) = self.written(&name, &bound) {
                    self.write_mark(&name, disk, dir, &bound);
                }
            }
        }
    }

    /// Every running app works in each directory that it holds: it writes over `data` where it stands, with as many bytes,
    /// puts a new file into the place of `dir/only-old`, as long as that one, removes `going`, and writes a fresh marked
    /// file. What is not there it leaves alone.
    pub fn work(&mut self) {
        for (name, held) in self.writers() {
            for bound in held {
                let Some((disk, dir)) = self.written(&name, &bound) else { continue };
                self.note(format_args!("--- {name} works in {}", bound.2.display()));
                if let Some(data) = self.disk(disk).lookup(dir, "data")
                    && let Some(bytes) = self.counted(disk, data)
                {
                    self.disk_mut(disk).write(data, bytes);
                }
                if let Some(below) = self.disk(disk).lookup(dir, "dir")
                    && let Some(old) = self.disk(disk).lookup(below, "only-old")
                    && let Some(data) = self.counted(disk, old)
                {
                    let now = self.clock.wall_ns();
                    let file = Body::File(File { data, stable: None, dirty: true });
                    self.disk_mut(disk).create(below, "only-old", file, now);
                }
                if self.disk(disk).lookup(dir, "going").is_some() {
                    self.disk_mut(disk).change(ChangeKind::Remove, vec![(dir, Name::from("going"), None)]);
                }
                self.write_mark(&name, disk, dir, &bound);
            }
        }
    }

    fn writers(&self) -> Vec<(String, Vec<Bound>)> {
        (self.engine.containers.values())
            .filter(|c| c.seen.run == RunState::Running)
            .map(|c| (c.seen.name.clone(), c.bound.clone()))
            .collect()
    }

    /// Where an app's writes go, if they go anywhere.
    fn written(&mut self, name: &str, (disk, ino, path): &Bound) -> Option<(usize, u64)> {
        if self.directory(path) != Ok((*disk, *ino)) {
            self.violation(format!("{name} writes into a directory that is not at {}", path.display()));
        }
        (self.disk(*disk).is_dir(*ino) && !self.disk(*disk).read_only).then_some((*disk, *ino))
    }

    fn write_mark(&mut self, name: &str, disk: usize, dir: u64, (_, _, path): &Bound) {
        let (now, mark) = (self.clock.wall_ns(), self.clock.next_mark());
        let data = Content::Bytes(name.as_bytes().into());
        let file = Body::File(File { data, stable: None, dirty: true });
        self.note(format_args!("--- {name} writes {mark} into {}", path.display()));
        self.disk_mut(disk).create(dir, &mark, file, now);
    }

    /// What a file holds, with its last digit one higher.
    fn counted(&self, disk: usize, ino: u64) -> Option<Content> {
        match &self.disk(disk).inodes.get(&ino)?.body {
            Body::File(File { data: Content::Bytes(bytes), .. }) => {
                let mut bytes = bytes.to_vec();
                let last = bytes.last_mut()?;
                *last = if last.is_ascii_digit() && *last != b'9' { *last + 1 } else { b'0' };
                Some(Content::Bytes(bytes.into()))
            }
            Body::File(_) | Body::Dir | Body::Link(_) => None,
        }
    }
}
