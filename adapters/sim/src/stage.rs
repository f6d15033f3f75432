//! Extracting one volume of an archive into a private directory, step by step.

use std::{path::Path, sync::Arc};

use volsnap_core::{
    model::{FlagsLeft, TreeSize},
    ports::{FsError, FsErrorKind, FsOp, StageJob, Staged, Standing},
};

use crate::{
    archive::{Entry, Tree, size_of},
    disk::{Body, Content, File, Name, TICK_NS},
    micro::MicroKind,
    mutant::Mutant,
    places::{At, FsResult},
    world::World,
};

/// A volume on its way into its private directory.
pub(crate) struct Staging {
    pub disk: usize,
    parent: u64,
    private: u64,
    partial: u64,
    /// What earlier attempts left: names in the private directory and roots, the newest first.
    earlier: Vec<(Name, u64)>,
    pub tree: Tree,
}

/// What the beginning of a stage found.
pub(crate) enum Begun {
    /// It was staged before.
    Already(Staged),
    /// The tree still has to be written.
    Now(Staging),
}

impl World {
    /// Reads the archive and makes the private directory with an empty `partial` in it.
    pub(crate) fn begin_stage(&mut self, job: &StageJob) -> FsResult<Begun> {
        let private = &job.private;
        self.call("stage", || private.display().to_string()).at(FsOp::Stage, private)?;
        let parent_path = private.parent().unwrap_or(Path::new("/"));
        let (disk, parent) = self.directory(parent_path).at(FsOp::Stage, parent_path)?;
        self.writable(disk).at(FsOp::Stage, private)?;
        let name = private.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(private) = self.disk(disk).lookup(parent, &name)
            && let Some(staged) = self.disk(disk).lookup(private, "staged")
        {
            // An earlier process may have died between naming it and making the name durable.
            self.sync_dir(disk, private, &job.private).at(FsOp::Stage, &job.private)?;
            self.sync_dir(disk, parent, parent_path).at(FsOp::Stage, &job.private)?;
            self.clock.pass_ns(2 * TICK_NS);
            let size = size_of(&self.read_tree(disk, staged));
            return Ok(Begun::Already(Staged {
                identity: self.seen(disk, staged, &job.private.join("staged")),
                size,
                flags_left: FlagsLeft::default(),
            }));
        }
        let tree = match job.standing {
            Some(_) => Tree::new(),
            None => self.archived_tree(job)?,
        };
        let is_known = !self.disk(disk).numbers_by_path || self.mutant == Some(Mutant::RenamesNotTried);
        if job.entries_of.is_none() && !is_known {
            let words = "directories of this filesystem get other inode numbers when they are renamed";
            return Err(FsError::new(FsErrorKind::Unsupported, FsOp::Stage, private, words).into());
        }
        if let Some(Standing::Tree(standing)) = &job.standing {
            return self.take_over(job, standing, disk, parent).map(Begun::Already);
        }
        self.begin_with(job, disk, parent, tree).map(Begun::Now)
    }

    /// Moves a tree here that stands already, by one rename when all else is durable.
    fn take_over(&mut self, job: &StageJob, standing: &Path, disk: usize, parent: u64) -> FsResult<Staged> {
        let path = &job.private;
        let parent_path = path.parent().unwrap_or(Path::new("/"));
        let (spot, ino) = self.movable(standing, FsOp::Stage)?;
        if spot.disk != disk {
            return Err(FsErrorKind::Unsupported).at(FsOp::Stage, standing);
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let private = match self.disk(disk).lookup(parent, &name) {
            Some(private) => private,
            None => self.make_dir(disk, parent, &name, &|| parent_path.display().to_string()).at(FsOp::Stage, path)?,
        };
        self.lay_beside(job, (disk, ino), private, self.attributes_of(disk, ino))?;
        self.sync_dir(disk, private, path).at(FsOp::Stage, path)?;
        self.sync_dir(disk, parent, parent_path).at(FsOp::Stage, path)?;
        let label = || format!("{} -> {}/staged", standing.display(), path.display());
        let edits = vec![(spot.dir, spot.name, None), (private, Name::from("staged"), Some(ino))];
        self.move_names(disk, &[ino], label, edits).at(FsOp::Stage, path)?;
        self.sync_dir(disk, spot.dir, standing.parent().unwrap_or(standing)).at(FsOp::Stage, path)?;
        self.sync_dir(disk, private, path).at(FsOp::Stage, path)?;
        self.sync_dir(disk, parent, parent_path).at(FsOp::Stage, path)?;
        let identity = self.seen(disk, ino, &path.join("staged"));
        Ok(Staged { identity, size: TreeSize::default(), flags_left: FlagsLeft::default() })
    }

    /// Makes the private directory in its parent, with an empty `partial` in it for that tree.
    pub(crate) fn begin_with(&mut self, job: &StageJob, disk: usize, parent: u64, tree: Tree) -> FsResult<Staging> {
        let private = &job.private;
        let name = private.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let place = || private.parent().unwrap_or(Path::new("/")).display().to_string();
        let private = match self.disk(disk).lookup(parent, &name) {
            Some(private) => private,
            None => self.make_dir(disk, parent, &name, &place).at(FsOp::Stage, private)?,
        };
        let earlier = match job.resume {
            true => self.set_aside(job, disk, private)?,
            false => self.remove_tree(disk, private, "partial", &job.private.join("partial")).map(|()| Vec::new())?,
        };
        let inside = || job.private.display().to_string();
        let partial = self.make_dir(disk, private, "partial", &inside).at(FsOp::Stage, &job.private)?;
        Ok(Staging { disk, parent, private, partial, earlier, tree })
    }

    /// Sets aside what an earlier attempt was filling, and syncs the filesystem, so that what is adopted can be read from
    /// the platter.
    fn set_aside(&mut self, job: &StageJob, disk: usize, private: u64) -> FsResult<Vec<(Name, u64)>> {
        let number = |name: &Name| name.strip_prefix("earlier-")?.parse::<u32>().ok();
        let aside = self.disk(disk).entries(private).filter_map(|(name, ino)| Some((number(name)?, ino)));
        let mut aside: Vec<(u32, u64)> = aside.collect();
        aside.sort_unstable();
        if let Some(partial) = self.disk(disk).lookup(private, "partial") {
            let number = aside.last().map_or(1, |(last, _)| last + 1);
            let name = Name::from(format!("earlier-{number}"));
            let label = || format!("{}/partial -> {name}", job.private.display());
            let edits = vec![(private, Name::from("partial"), None), (private, name.clone(), Some(partial))];
            self.move_names(disk, &[partial], label, edits).at(FsOp::Stage, &job.private)?;
            aside.push((number, partial));
        }
        if !aside.is_empty() {
            self.sync_filesystem(disk).at(FsOp::Stage, &job.private)?;
        }
        Ok(aside.into_iter().rev().map(|(number, ino)| (Name::from(format!("earlier-{number}")), ino)).collect())
    }

    /// Moves a file that an earlier attempt left into its new directory, and gives it its contents if it has others.
    /// `false` if there is none.
    fn adopt(&mut self, job: &StageJob, staging: &Staging, path: &str, dir: u64, bytes: &Arc<[u8]>) -> FsResult<bool> {
        let disk = staging.disk;
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let found = staging.earlier.iter().find_map(|(_, root)| {
            let mut dirs = above.split('/').filter(|dir| !dir.is_empty());
            let holder = dirs.try_fold(*root, |dir, name| self.disk(disk).lookup(dir, name))?;
            let ino = self.disk(disk).lookup(holder, name)?;
            matches!(self.disk(disk).inodes.get(&ino)?.body, Body::File(_)).then_some((holder, ino))
        });
        let Some((holder, ino)) = found else { return Ok(false) };
        let label = || format!("adopt {path} in {}", job.private.display());
        let edits = vec![(holder, Name::from(name), None), (dir, Name::from(name), Some(ino))];
        self.move_names(disk, &[ino], label, edits).at(FsOp::Stage, &job.private)?;
        if self.mutant == Some(Mutant::EarlierNotCompared) {
            return Ok(true);
        }
        self.disk_mut(disk).drop_cache(ino);
        let holds = match self.disk(disk).inodes.get(&ino).map(|inode| &inode.body) {
            Some(Body::File(File { data: Content::Bytes(there), .. })) => there == bytes,
            Some(Body::File(_) | Body::Dir | Body::Link(_)) | None => false,
        };
        if !holds {
            self.room(disk, bytes.len() as u64, 0).at(FsOp::Stage, &job.private)?;
            let data = self.as_taken(Content::Bytes(bytes.clone()));
            let label = || format!("write {path} in {}", job.private.display());
            self.micro(MicroKind::Change, label, |w| w.disk_mut(disk).write(ino, data))
                .at(FsOp::Stage, &job.private)?;
        }
        Ok(true)
    }

    /// Writes one entry below `partial`.
    pub(crate) fn stage_entry(&mut self, job: &StageJob, staging: &Staging, path: &str, entry: &Entry) -> FsResult<()> {
        let disk = staging.disk;
        let mut dir = staging.partial;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_some() {
                dir = self.disk(disk).lookup(dir, name).ok_or(FsErrorKind::NotFound).at(FsOp::Stage, &job.private)?;
                continue;
            }
            if let Entry::File(bytes) = entry
                && self.adopt(job, staging, path, dir, bytes)?
            {
                continue;
            }
            let label = || format!("{} ({path})", job.private.display());
            let made = match entry {
                Entry::Dir => self.make_dir(disk, dir, name, &label).map(|_| ()),
                Entry::File(bytes) => {
                    self.make_file(disk, dir, name, Content::Bytes(bytes.clone()), &label).map(|_| ())
                }
                Entry::Link(to) => {
                    let (now, to) = (self.clock.wall_ns(), to.clone());
                    self.micro(MicroKind::Change, label, |w| {
                        w.disk_mut(disk).create(dir, name, Body::Link(to), now);
                    })
                }
            };
            made.at(FsOp::Stage, &job.private)?;
        }
        Ok(())
    }

    /// Syncs the tree, gives it its name, makes the name durable, and waits until it is older than a birth tick.
    ///
    /// A crash before the rename leaves `partial`, which the next attempt removes or sets aside; after it, a whole tree.
    pub(crate) fn finish_stage(&mut self, job: &StageJob, staging: &Staging) -> FsResult<Staged> {
        let Staging { disk, parent, private, partial, .. } = *staging;
        let path = &job.private;
        let lies = self.mutant == Some(Mutant::StagedNotSynced);
        self.lay_out(job, disk, private, partial)?;
        for (name, _) in &staging.earlier {
            self.remove_tree(disk, private, name, &path.join(&**name))?;
        }
        if !lies {
            self.sync_filesystem(disk).at(FsOp::Stage, path)?;
        }
        let edits = vec![(private, Name::from("partial"), None), (private, Name::from("staged"), Some(partial))];
        let label = || format!("{}/partial -> staged", path.display());
        self.move_names(disk, &[partial], label, edits).at(FsOp::Stage, path)?;
        if !lies && self.mutant != Some(Mutant::StagedNamesNotSynced) {
            self.sync_dir(disk, private, path).at(FsOp::Stage, path)?;
            self.sync_dir(disk, parent, path.parent().unwrap_or(path)).at(FsOp::Stage, path)?;
        }
        self.clock.pass_ns(2 * TICK_NS);
        Ok(Staged {
            identity: self.seen(disk, partial, &path.join("staged")),
            size: size_of(&staging.tree),
            flags_left: FlagsLeft::default(),
        })
    }

    pub(crate) fn archived_tree(&mut self, job: &StageJob) -> FsResult<Tree> {
        let path = self.archive_path(job.workload, job.snapshot);
        let archive = self.open_archive(&path)?;
        if archive.summary.digest != job.archive_digest {
            let message = format!("its digest is {}, not {}", archive.summary.digest, job.archive_digest);
            return Err(FsError::new(FsErrorKind::Corrupt, FsOp::Stage, path, message).into());
        }
        let Some(index) = job.index else { return Ok(Tree::new()) };
        let Some(tree) = archive.volumes.get(index) else {
            return Err(FsError::new(FsErrorKind::Corrupt, FsOp::Stage, path, format!("no volume {index}")).into());
        };
        let promised = archive.summary.totals.get(index).map(|totals| &*totals.digest);
        let absent = archive.summary.manifest.volumes.get(index).is_none_or(|volume| volume.absent);
        let digest = crate::archive::totals_of(tree).digest;
        if !absent && promised != Some(&digest) && self.mutant != Some(Mutant::DigestsNotChecked) {
            let message = format!("volume {index} has digest {digest}, and the archive says {promised:?}");
            return Err(FsError::new(FsErrorKind::Corrupt, FsOp::Stage, path, message).into());
        }
        let size = size_of(tree);
        if size.bytes > job.limits.bytes_max || size.entries > job.limits.entries_max {
            let message = format!("volume {index} has {} bytes in {} entries", size.bytes, size.entries);
            return Err(FsError::new(FsErrorKind::Hostile, FsOp::Stage, path, message).into());
        }
        Ok(tree.clone())
    }
}
