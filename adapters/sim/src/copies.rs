//! Copies elsewhere than at the live directories, and the notes of those that are under way.

use std::path::{Path, PathBuf};

use volsnap_core::{
    model::{RestoreId, TreeSize},
    ports::{CopyJob, CopyMade, CopyNote, CopyTree, FsError, FsErrorKind, FsOp, LookInto, ReadBack, StageJob},
};

use crate::{
    archive::{Entry, Tree, size_of, totals_of},
    disk::{Body, ChangeKind, Content, Name},
    micro::MicroKind,
    places::{At, FsResult},
    stage::Staging,
    world::World,
};

/// A copy on its way into its private directory, as a staging of one tree.
pub(crate) struct Copying {
    pub job: StageJob,
    pub staging: Staging,
    pub made: CopyMade,
}

impl World {
    /// Reads the archive, puts the trees together, and makes the private directory with an empty `partial` in it.
    pub(crate) fn begin_copy_out(&mut self, job: &CopyJob) -> FsResult<Copying> {
        let private = &job.private;
        self.call("copy_out", || private.display().to_string()).at(FsOp::Stage, private)?;
        let (mut whole, mut made) = (Tree::new(), CopyMade::default());
        for (at, tree) in job.trees.iter().enumerate() {
            let meets = |other: &CopyTree| tree.at.starts_with(&other.at) || other.at.starts_with(&tree.at);
            if job.trees[..at].iter().any(meets) {
                return Err(FsErrorKind::Unsupported).at(FsOp::Stage, private);
            }
            let parts = self.parts(job, tree)?;
            made.trees.push(match tree.index {
                Some(_) => size_of(&parts),
                None => TreeSize { entries: 1, ..TreeSize::default() },
            });
            for depth in 1..=tree.at.len() {
                whole.insert(tree.at[..depth].join("/"), Entry::Dir);
            }
            let below = |path: &str| tree.at.iter().map(String::as_str).chain([path]).collect::<Vec<_>>().join("/");
            whole.extend(parts.into_iter().map(|(path, entry)| (below(&path), entry)));
        }
        let parent_path = private.parent().unwrap_or(Path::new("/"));
        let (disk, parent) = self.directory(parent_path).at(FsOp::Stage, parent_path)?;
        self.writable(disk).at(FsOp::Stage, private)?;
        let Some(first) = job.trees.first() else { return Err(FsErrorKind::Unsupported).at(FsOp::Stage, private) };
        let job = stage_job(job, first);
        let staging = self.begin_with(&job, disk, parent, whole)?;
        Ok(Copying { job, staging, made })
    }

    /// What of a volume is wanted, with the directories above it.
    fn parts(&mut self, job: &CopyJob, tree: &CopyTree) -> FsResult<Tree> {
        let mut all = self.archived_tree(&stage_job(job, tree))?;
        let wanted: Vec<&str> = tree.paths.iter().filter_map(|path| std::str::from_utf8(path).ok()).collect();
        if let Some(path) = wanted.iter().find(|path| !path.is_empty() && !all.contains_key(**path)) {
            let archive = self.archive_path(job.archive.workload, job.archive.snapshot);
            return Err(FsError::new(FsErrorKind::NotFound, FsOp::Stage, archive, format!("it has no `{path}`")).into());
        }
        let is_below = |path: &str, dir: &str| {
            dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        all.retain(|path, _| wanted.is_empty() || wanted.iter().any(|w| is_below(path, w) || is_below(w, path)));
        Ok(all)
    }

    /// What the platter has, compared with the archive.
    pub(crate) fn read_back(&mut self, archive: &LookInto, index: usize, root: &Path) -> FsResult<ReadBack> {
        self.call("read_back", || root.display().to_string()).at(FsOp::Archive, root)?;
        let path = self.archive_path(archive.workload, archive.snapshot);
        let stored = self.open_archive(&path)?;
        let corrupt = |what: &str| FsError::new(FsErrorKind::Corrupt, FsOp::Archive, &path, what);
        if stored.summary.digest != archive.archive_digest {
            return Err(corrupt("this is another archive").into());
        }
        let Some(wanted) = stored.volumes.get(index) else { return Err(corrupt("it has no such volume").into()) };
        let (disk, dir) = self.directory(root).at(FsOp::Archive, root)?;
        self.drop_caches(disk, dir);
        let found = self.read_tree(disk, dir);
        let differs = |path: &&String| wanted.get(*path) != found.get(*path);
        let difference = wanted.keys().chain(found.keys()).filter(differs).min();
        let difference = difference.map(|path| format!("the first difference is in `{path}`"));
        let totals = totals_of(&found);
        Ok(ReadBack { bytes: totals.bytes, entries: totals.entries, digest: totals.digest, difference })
    }

    fn drop_caches(&mut self, disk: usize, dir: u64) {
        let below: Vec<u64> = self.disk(disk).entries(dir).map(|(_, ino)| ino).collect();
        for ino in below {
            match self.disk(disk).inodes.get(&ino).map(|inode| &inode.body) {
                Some(Body::Dir) => self.drop_caches(disk, ino),
                Some(Body::File(_)) => self.disk_mut(disk).drop_cache(ino),
                Some(Body::Link(_)) | None => {}
            }
        }
    }

    /// Writes a note, syncs it, names it and syncs the name; the caller makes its lease.
    pub(crate) fn begin_copy(&mut self, note: &CopyNote) -> FsResult<()> {
        let path = self.copy_note_path(note.id);
        self.call("begin_copy", || path.display().to_string()).at(FsOp::Journal, &path)?;
        let (disk, dir) = self.own_dir_made("copies")?;
        let bytes = serde_json::to_vec(note).map_err(|_| FsErrorKind::Io).at(FsOp::Journal, &path)?;
        let (label, draft) = (|| path.display().to_string(), format!(".{}", note_name(note.id)));
        let ino = self.make_file(disk, dir, &draft, Content::Bytes(bytes.into()), &label).at(FsOp::Journal, &path)?;
        self.sync_file(disk, ino, &draft).at(FsOp::Journal, &path)?;
        let edits = vec![(dir, Name::from(&*draft), None), (dir, Name::from(note_name(note.id)), Some(ino))];
        self.micro(MicroKind::Change, label, |w| w.disk_mut(disk).change(ChangeKind::Move, edits))
            .at(FsOp::Journal, &path)?;
        self.sync_dir(disk, dir, &path).at(FsOp::Journal, &path)?;
        self.copy_leases.insert(note.id);
        Ok(())
    }

    pub(crate) fn abandoned_copies(&mut self) -> FsResult<Vec<CopyNote>> {
        let path = self.copies_dir();
        self.call("abandoned_copies", || path.display().to_string()).at(FsOp::Journal, &path)?;
        let (disk, dir) = match self.directory(&path) {
            Err(FsErrorKind::NotFound) => return Ok(Vec::new()),
            found => found.at(FsOp::Journal, &path)?,
        };
        let names: Vec<Name> = self.disk(disk).entries(dir).map(|(name, _)| name.clone()).collect();
        let mut notes = Vec::new();
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            let bytes = self.read(&path.join(&**name)).unwrap_or_default();
            let note: CopyNote = serde_json::from_slice(&bytes)
                .map_err(|_| FsErrorKind::Corrupt)
                .at(FsOp::Journal, &path.join(&**name))?;
            if !self.copy_leases.contains(&note.id) {
                notes.push(note);
            }
        }
        Ok(notes)
    }

    pub(crate) fn end_copy(&mut self, id: RestoreId) -> FsResult<()> {
        let path = self.copies_dir().join(note_name(id));
        self.call("end_copy", || path.display().to_string()).at(FsOp::Journal, &path)?;
        let (disk, dir) = match self.directory(&self.copies_dir()) {
            Err(FsErrorKind::NotFound) => return Ok(()),
            found => found.at(FsOp::Journal, &path)?,
        };
        if self.disk(disk).lookup(dir, &note_name(id)).is_some() {
            self.unlink(disk, dir, &note_name(id), &|| path.display().to_string()).at(FsOp::Journal, &path)?;
        }
        self.sync_dir(disk, dir, &path).at(FsOp::Journal, &path)
    }

    pub(crate) fn scratch_dir(&mut self) -> FsResult<PathBuf> {
        let path = self.state_dir.join("scratch");
        self.call("scratch_dir", || path.display().to_string()).at(FsOp::Stage, &path)?;
        self.own_dir_made("scratch")?;
        Ok(path)
    }

    pub(crate) fn copy_note_path(&self, id: RestoreId) -> PathBuf {
        self.copies_dir().join(note_name(id))
    }

    fn copies_dir(&self) -> PathBuf {
        self.state_dir.join("copies")
    }

    /// A directory in the state directory, durable.
    fn own_dir_made(&mut self, name: &str) -> FsResult<(usize, u64)> {
        let state = self.state_dir.to_path_buf();
        let (disk, parent) = self.directory(&state).at(FsOp::Look, &state)?;
        self.writable(disk).at(FsOp::Look, &state)?;
        let dir = match self.disk(disk).lookup(parent, name) {
            Some(dir) => dir,
            None => self.make_dir(disk, parent, name, &|| state.display().to_string()).at(FsOp::Look, &state)?,
        };
        // Also when it stands: the process that made it may have died before its sync.
        self.sync_dir(disk, parent, &state).at(FsOp::Look, &state)?;
        Ok((disk, dir))
    }
}

fn note_name(id: RestoreId) -> String {
    format!("{id}.json")
}

/// The staging that a tree of a copy would be by itself.
fn stage_job(job: &CopyJob, tree: &CopyTree) -> StageJob {
    StageJob {
        workload: job.archive.workload,
        snapshot: job.archive.snapshot,
        archive_digest: job.archive.archive_digest.clone(),
        index: tree.index,
        target: tree.target.clone(),
        private: job.private.clone(),
        like: None,
        entries_of: None,
        standing: None,
        limits: tree.limits,
        resume: false,
    }
}
