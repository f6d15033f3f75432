//! What a power cut takes from one filesystem: any legal subset of what was not synced.

use crate::{
    chooser::Chooser,
    disk::{Body, Change, ChangeKind, Content, Disk, File, Inode},
};

impl Disk {
    /// Leaves what the platter has after a power cut: the synced state, some of the changes after it, and of the
    /// surviving files some of the contents. Choice 0 everywhere is "nothing that was not synced".
    pub(crate) fn lose(&mut self, chooser: &mut Chooser) {
        let pending = std::mem::take(&mut self.pending);
        let survivors = if self.ordered { prefix(&pending, chooser) } else { prefixes_by_directory(&pending, chooser) };
        for (change, survives) in pending.iter().zip(survivors) {
            if survives {
                change.apply(&mut self.durable);
            }
        }
        self.names = self.durable.clone();
        self.forget_dead();
        self.durable = self.names.clone();
        self.lose_contents(chooser);
    }

    /// Unsynced contents: all gone, all written back, all half written, or only one file's gone.
    fn lose_contents(&mut self, chooser: &mut Chooser) {
        let dirty = self.inodes.values().filter(|inode| matches!(&inode.body, Body::File(f) if f.dirty)).count();
        let how = match dirty {
            0 => 0,
            1 => chooser.choose(3),
            many => chooser.choose(3 + many),
        };
        let mut nth = 0;
        for inode in self.inodes.values_mut() {
            let Body::File(file) = &mut inode.body else { continue };
            if !file.dirty {
                // Synced, or lost by an earlier failed sync: the platter's version either way.
                file.data = file.stable.clone().unwrap_or_else(Content::empty);
            } else {
                let kept = match how {
                    0 => file.stable.clone().unwrap_or_else(Content::empty),
                    1 => file.data.clone(),
                    2 => file.data.cut_short(),
                    one if one - 3 == nth => Content::empty(),
                    _ => file.data.clone(),
                };
                nth += 1;
                file.data = kept;
            }
            *file = File { data: file.data.clone(), stable: Some(file.data.clone()), dirty: false };
        }
    }

    /// Everything that was done is durable, by itself.
    pub(crate) fn write_back(&mut self) {
        self.sync_all();
    }

    pub(crate) fn inode_mut(&mut self, ino: u64) -> Option<&mut Inode> {
        self.inodes.get_mut(&ino)
    }
}

fn prefix(pending: &[Change], chooser: &mut Chooser) -> Vec<bool> {
    let kept = chooser.choose(pending.len() + 1);
    (0..pending.len()).map(|i| i < kept).collect()
}

/// Directories are written back independently; a change of two directories is atomic, so that it is in both prefixes
/// or in neither. Nothing is asked about a directory that does not survive itself.
fn prefixes_by_directory(pending: &[Change], chooser: &mut Chooser) -> Vec<bool> {
    let mut dirs: Vec<u64> = Vec::new();
    for (dir, _, _) in pending.iter().flat_map(|change| &change.edits) {
        if !dirs.contains(dir) {
            dirs.push(*dir);
        }
    }
    let mut survives = vec![true; pending.len()];
    for dir in &dirs {
        let mut naming = pending.iter().zip(&survives).filter(|(c, _)| c.edits.iter().any(|e| e.2 == Some(*dir)));
        let is_new = pending.iter().any(|c| c.kind == ChangeKind::Create && c.edits.iter().any(|e| e.2 == Some(*dir)));
        let lost = is_new && !naming.any(|(_, survives)| *survives);
        let changes = || pending.iter().enumerate().filter(|(_, change)| change.touches(*dir)).map(|(i, _)| i);
        let possible = changes().take_while(|i| survives[*i]).count();
        let kept = if lost { 0 } else { chooser.choose(possible + 1) };
        let rest: Vec<usize> = changes().skip(kept).collect();
        rest.into_iter().for_each(|i| survives[i] = false);
    }
    // A later choice may have taken one half of a change whose other half was kept: then it and what follows it go.
    loop {
        let before = survives.clone();
        for dir in &dirs {
            let mut gone = false;
            for (i, _) in pending.iter().enumerate().filter(|(_, change)| change.touches(*dir)) {
                gone |= !survives[i];
                survives[i] &= !gone;
            }
        }
        if before == survives {
            return survives;
        }
    }
}
