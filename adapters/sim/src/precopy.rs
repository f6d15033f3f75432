//! An archive in two passes: what the volumes hold while their app runs, with a note of what each entry was, and while it
//! is quiet only what changed since.

use std::collections::BTreeMap;

use volsnap_core::{
    model::{Manifest, place::is_left_out},
    ports::{ArchiveSource, FsErrorKind, FsOp},
};

use crate::{
    archive::{Entry, Tree, draft_name, size_of},
    disk::{Body, Content, Name},
    micro::MicroKind,
    mutant::Mutant,
    places::{At, FsResult},
    world::World,
};

const OP: FsOp = FsOp::Archive;

/// What the first pass saw of a volume: its tree, which may be of no one moment, and what each entry of it was.
#[derive(Default)]
pub(crate) struct Copied {
    tree: Tree,
    notes: BTreeMap<String, Note>,
}

/// What an entry was: the facts by which a real disk tells that nobody has touched it. Every write gives a file another
/// value, as it gives it another time of change, so the very same value means that there was none.
struct Note {
    ino: u64,
    birth_ns: i64,
    data: Option<Content>,
}

/// A volume that is being read while it changes: names are read when their directory is reached, and what they stand for
/// when it is their turn.
pub(crate) struct Walk {
    disk: usize,
    /// What is still to be read: a name in a directory, and its path below the volume's root. The next one is the last.
    open: Vec<(u64, Name, String)>,
    pub copied: Copied,
}

impl World {
    pub(crate) fn begin_pass(&mut self, source: &ArchiveSource) -> FsResult<Option<Walk>> {
        let Some(root) = &source.root else { return Ok(None) };
        self.call("precopy", || root.display().to_string()).at(OP, root)?;
        let (disk, dir) = self.directory(root).at(OP, root)?;
        let mut walk = Walk { disk, open: Vec::new(), copied: Copied::default() };
        let archived = |name: &Name| !is_left_out(name.as_bytes());
        let names = self.disk(disk).entries(dir).filter(|(name, _)| archived(name));
        walk.open.extend(names.map(|(name, _)| (dir, name.clone(), name.to_string())));
        walk.open.reverse();
        Ok(Some(walk))
    }

    /// Reads the next entry; `false` when there is none left. What is gone by now is left out.
    pub(crate) fn copy_next(&mut self, source: &ArchiveSource, walk: &mut Walk) -> FsResult<bool> {
        let Some((dir, name, path)) = walk.open.pop() else { return Ok(false) };
        let whole = || source.root.clone().unwrap_or_default().join(&path);
        self.call("precopy", || whole().display().to_string()).at(OP, &whole())?;
        let disk = self.disk(walk.disk);
        let Some(ino) = disk.lookup(dir, &name) else { return Ok(true) };
        let Some((entry, note)) = self.noted(walk.disk, ino) else { return Ok(true) };
        if entry == Entry::Dir {
            let below: Vec<_> =
                disk.entries(ino).map(|(name, _)| (ino, name.clone(), format!("{path}/{name}"))).collect();
            walk.open.extend(below.into_iter().rev());
        }
        walk.copied.tree.insert(path.clone(), entry);
        walk.copied.notes.insert(path, note);
        Ok(true)
    }

    fn noted(&self, disk: usize, ino: u64) -> Option<(Entry, Note)> {
        let inode = self.disk(disk).inodes.get(&ino)?;
        let (entry, data) = match &inode.body {
            Body::Dir => (Entry::Dir, None),
            Body::Link(to) => (Entry::Link(to.clone()), None),
            Body::File(file) => (Entry::of_file(&file.data), Some(file.data.clone())),
        };
        Some((entry, Note { ino, birth_ns: inode.birth_ns, data }))
    }

    /// Puts what the first pass has read into the unfinished file.
    pub(crate) fn end_pass(&mut self, manifest: &Manifest, copied: &[Copied]) -> FsResult<()> {
        let bytes = copied.iter().map(|copied| size_of(&copied.tree).bytes).sum();
        self.grow_draft("precopy", manifest, bytes)
    }

    /// What a volume is now. Only what is not as it was noted is read again.
    pub(crate) fn capture(&mut self, source: &ArchiveSource, copied: &Copied) -> FsResult<(Tree, u64)> {
        let Some(root) = &source.root else { return Ok((Tree::new(), 0)) };
        self.call("capture", || root.display().to_string()).at(OP, root)?;
        if self.mutant == Some(Mutant::FirstPassSealed) {
            return Ok((copied.tree.clone(), 0));
        }
        let (disk, dir) = self.directory(root).at(OP, root)?;
        let mut inos = BTreeMap::new();
        let now = self.read_tree_by(disk, dir, &mut |path, ino| {
            inos.insert(path.to_string(), ino);
        });
        let mut bytes_read = 0;
        let mut captured = Tree::new();
        for (path, entry) in now {
            let note = inos.get(&path).and_then(|ino| self.noted(disk, *ino)).map(|(_, note)| note);
            let kept = match (copied.tree.get(&path), copied.notes.get(&path), note) {
                (Some(seen), Some(noted), Some(now)) if self.is_still(seen, noted, &entry, &now) => Some(seen.clone()),
                _ => None,
            };
            if kept.is_none() {
                bytes_read += entry.bytes();
            }
            captured.insert(path, kept.unwrap_or(entry));
        }
        Ok((captured, bytes_read))
    }

    fn is_still(&self, seen: &Entry, noted: &Note, entry: &Entry, now: &Note) -> bool {
        if self.mutant == Some(Mutant::ChangesBySizeOnly) {
            return std::mem::discriminant(seen) == std::mem::discriminant(entry) && seen.bytes() == entry.bytes();
        }
        let same_data = match (&noted.data, &now.data) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => seen == entry,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_data && (noted.ino, noted.birth_ns) == (now.ino, now.birth_ns)
    }

    /// Puts what was captured beside it.
    pub(crate) fn end_capture(&mut self, manifest: &Manifest, bytes_read: u64) -> FsResult<()> {
        self.grow_draft("capture", manifest, bytes_read)
    }

    fn grow_draft(&mut self, call: &'static str, manifest: &Manifest, bytes: u64) -> FsResult<()> {
        let path = self.archive_path(manifest.workload, manifest.snapshot);
        self.call(call, || path.display().to_string()).at(OP, &path)?;
        let (disk, dir) = self.directory(path.parent().unwrap_or(&path)).at(OP, &path)?;
        let ino = self.disk(disk).lookup(dir, &draft_name(manifest)).ok_or(FsErrorKind::NotFound).at(OP, &path)?;
        self.room(disk, bytes, 0).at(OP, &path)?;
        let data = self.as_taken(Content::Bytes(call.as_bytes().into()));
        let label = || format!("write the {call} of {}", path.display());
        self.micro(MicroKind::Change, label, |w| w.disk_mut(disk).write(ino, data)).at(OP, &path)?;
        Ok(())
    }
}
