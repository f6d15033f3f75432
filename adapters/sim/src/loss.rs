//! What a power cut takes from one filesystem: any legal subset of what was not synced.

use std::collections::HashSet;

use crate::{
    chooser::Chooser,
    disk::{Change, ChangeKind, Content, Disk, File, Inode},
    shared::{Shared, fingerprint},
};

/// So many losses are some.
const SOME: u64 = 24;
/// Disks with no more dirty files than that are enumerated with every combination of what remains of each.
const EACH_BY_ITSELF_MAX: usize = 2;

/// What a power cut leaves of the contents of a file that were not synced.
#[derive(Clone, Copy)]
enum Remains {
    Before,
    Written,
    Short,
    Empty,
}

impl Remains {
    const ALL: [Remains; 4] = [Remains::Before, Remains::Empty, Remains::Short, Remains::Written];

    /// What can remain of a file: one that was never written before has no other contents to go back to.
    fn of(file: &File) -> &'static [Remains] {
        match &file.stable {
            Some(_) => &[Remains::Before, Remains::Empty, Remains::Short, Remains::Written],
            None => &[Remains::Empty, Remains::Short, Remains::Written],
        }
    }

    fn leave(self, file: &mut File) {
        let data = match self {
            Remains::Before => file.stable.clone().unwrap_or_else(Content::empty),
            Remains::Written => file.data.clone(),
            Remains::Short => file.data.cut_short(),
            Remains::Empty => Content::empty(),
        };
        *file = File { data: data.clone(), stable: Some(data), dirty: false };
    }
}

/// A way in which a disk can lose what was not synced.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    /// The choices that lead to it.
    pub script: Vec<usize>,
    pub left: Shared<Disk>,
}

impl Disk {
    /// Everything that a power cut can leave; what several ways have in common comes once.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let mut losses = Vec::new();
        let mut seen = HashSet::new();
        Chooser::every(|chooser| {
            let loss = self.loss(chooser);
            if seen.insert(loss.left.fingerprint()) {
                losses.push(loss);
            }
        });
        losses
    }

    /// Some of it, on a disk where the whole may be too much: nothing survives, then what chance has it, then everything
    /// survives.
    pub(crate) fn some_losses(&self) -> Vec<Loss> {
        let everything = vec![usize::MAX; 4 * (self.pending.len() + self.inodes.len())];
        let mut losses = vec![self.loss(&mut Chooser::scripted(Vec::new()))];
        let chance = (0..SOME).map(|nth| Chooser::seeded(fingerprint(&(self, nth))));
        let mut seen = HashSet::new();
        for mut chooser in chance.chain([Chooser::scripted(everything)]) {
            let loss = self.loss(&mut chooser);
            if seen.insert(loss.left.fingerprint()) {
                losses.push(loss);
            }
        }
        losses
    }

    fn loss(&self, chooser: &mut Chooser) -> Loss {
        let mut disk = self.clone();
        disk.lose(chooser);
        Loss { script: chooser.script(), left: Shared::new(disk) }
    }

    /// Leaves what the platter has after a power cut: the synced state, some of the changes after it, and of the
    /// surviving files some of the contents. Choice 0 everywhere is "nothing that was not synced".
    pub(crate) fn lose(&mut self, chooser: &mut Chooser) {
        let pending = std::mem::take(&mut self.pending);
        self.deceives = false;
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

    /// Unsynced contents, file by file: what was there before, all that was written, its first half, nothing at all. A
    /// disk with many such files is enumerated by what they have in common and by each that is empty alone; at random
    /// each is chosen by itself all the same.
    fn lose_contents(&mut self, chooser: &mut Chooser) {
        let dirty = self.dirty_files();
        let alike = Remains::ALL.len();
        let each = alike + dirty.len();
        let how = match dirty.len() {
            ..=EACH_BY_ITSELF_MAX => each,
            _ => chooser.choose_beyond(each, each + 1),
        };
        for (nth, ino) in dirty.iter().enumerate() {
            self.change_file(*ino, |file| {
                let possible = Remains::of(file);
                let remains = match how.checked_sub(alike) {
                    None => Remains::ALL[how],
                    Some(_) if how == each => possible[chooser.choose(possible.len())],
                    Some(one) if one == nth => Remains::Empty,
                    Some(_) => Remains::Written,
                };
                remains.leave(file);
            });
        }
        // Lost by an earlier failed sync: the platter's version.
        let lost: Vec<u64> = self.inodes.iter().filter(|(_, inode)| !inode.is_settled()).map(|(ino, _)| *ino).collect();
        for ino in lost {
            self.change_file(ino, |file| Remains::Before.leave(file));
        }
    }

    /// Everything that was done is durable, by itself.
    pub(crate) fn write_back(&mut self) {
        self.sync_all();
    }

    pub(crate) fn inode_mut(&mut self, ino: u64) -> Option<&mut Inode> {
        self.inodes.get_mut().get_mut(&ino).map(Shared::get_mut)
    }
}

fn prefix(pending: &[Shared<Change>], chooser: &mut Chooser) -> Vec<bool> {
    let kept = chooser.choose(pending.len() + 1);
    (0..pending.len()).map(|i| i < kept).collect()
}

/// Directories are written back independently; a change of two directories is atomic, so that it is in both prefixes
/// or in neither. Nothing is asked about a directory that does not survive itself.
fn prefixes_by_directory(pending: &[Shared<Change>], chooser: &mut Chooser) -> Vec<bool> {
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
