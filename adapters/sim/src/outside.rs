//! Archives that are copied out of the state directory and taken into it.

use std::{path::Path, sync::Arc};

use uuid::Uuid;
use volsnap_core::{
    model::{ArchiveFile, SnapshotId, WorkloadId},
    ports::{Draft, FsErrorKind, FsOp, LookInto},
};

use crate::{
    MicroKind,
    archive::Archive,
    disk::{BLOCK, Content, Name},
    places::{At, FsResult},
    world::World,
};

const OP: FsOp = FsOp::Archive;

impl World {
    /// The archives that have a name.
    pub(crate) fn archives(&mut self) -> FsResult<Vec<ArchiveFile>> {
        let all = self.state_dir.join("snapshots");
        self.call("archives", || all.display().to_string()).at(FsOp::Look, &all)?;
        let (disk, dir) = self.directory(&all).at(FsOp::Look, &all)?;
        let mut archives = Vec::new();
        for (workload, dir) in self.disk(disk).entries(dir) {
            let Ok(workload) = Uuid::parse_str(workload).map(WorkloadId) else { continue };
            for (name, ino) in self.disk(disk).entries(dir) {
                let Some(id) = name.strip_suffix(".tar.zst").and_then(|id| Uuid::parse_str(id).ok()) else { continue };
                let bytes = self.disk(disk).len_of(ino);
                archives.push(ArchiveFile { workload, snapshot: SnapshotId(id), bytes });
            }
        }
        archives.sort();
        Ok(archives)
    }

    /// The unfinished archives; whatever is in one, it takes a block.
    pub(crate) fn drafts(&mut self) -> FsResult<Vec<Draft>> {
        let all = self.state_dir.join("snapshots");
        self.call("drafts", || all.display().to_string()).at(FsOp::Look, &all)?;
        let (disk, dir) = self.directory(&all).at(FsOp::Look, &all)?;
        let mut drafts = Vec::new();
        for (name, dir) in self.disk(disk).entries(dir) {
            let Ok(workload) = Uuid::parse_str(name).map(WorkloadId) else { continue };
            let names = self.disk(disk).entries(dir).filter(|(name, _)| name.ends_with(".draft"));
            let of = all.join(&**name);
            drafts.extend(names.map(|(name, _)| Draft { workload, path: of.join(&**name), bytes: BLOCK }));
        }
        drafts.sort();
        Ok(drafts)
    }

    /// Writes the copy under a passing name, syncs it, names it and syncs the name.
    pub(crate) fn export_archive(&mut self, of: &LookInto, to: &Path, replace: bool) -> FsResult<u64> {
        let archive = self.read_archive("export_archive", of.workload, of.snapshot)?;
        if archive.summary.digest != of.archive_digest {
            return Err(FsErrorKind::Corrupt).at(OP, to);
        }
        let spot = self.walk(to, false).at(OP, to)?;
        let (disk, dir) = (spot.disk, spot.dir);
        self.writable(disk).at(OP, to)?;
        if let Some(there) = self.disk(disk).lookup(dir, &spot.name)
            && (!replace || self.disk(disk).is_dir(there))
        {
            return Err(FsErrorKind::Exists).at(OP, to);
        }
        let passing = format!(".volsnap-export-{}.partial", spot.name);
        let label = || to.display().to_string();
        if self.disk(disk).lookup(dir, &passing).is_some() {
            self.unlink(disk, dir, &passing, &label).at(OP, to)?;
        }
        self.make_file(disk, dir, &passing, Content::empty(), &label).at(OP, to)?;
        let bytes = archive.summary.archive_bytes;
        let copied = self.fill_and_name(&archive, (disk, dir), [&passing, &spot.name], to);
        if copied.is_err() && !self.dead {
            // A failure leaves the file for the next export, as a kill does.
            let _left = self.unlink(disk, dir, &passing, &label);
        }
        copied.map(|()| bytes)
    }

    fn fill_and_name(
        &mut self,
        archive: &Arc<Archive>,
        (disk, dir): (usize, u64),
        [passing, name]: [&str; 2],
        to: &Path,
    ) -> FsResult<()> {
        let ino = self.disk(disk).lookup(dir, passing).ok_or(FsErrorKind::NotFound).at(OP, to)?;
        self.room(disk, archive.summary.archive_bytes, 0).at(OP, to)?;
        let data = self.as_taken(Content::Archive(archive.clone()));
        let what = || format!("write {}", to.display());
        self.micro(MicroKind::Change, what, |w| w.disk_mut(disk).write(ino, data)).at(OP, to)?;
        self.sync_file(disk, ino, passing).at(OP, to)?;
        let edits = vec![(dir, Name::from(passing), None), (dir, Name::from(name), Some(ino))];
        self.move_names(disk, &[ino], || format!("name {}", to.display()), edits).at(OP, to)?;
        self.sync_dir(disk, dir, to).at(OP, to)
    }

    /// A file from elsewhere as an archive.
    pub(crate) fn read_foreign(&mut self, file: &Path) -> FsResult<Arc<Archive>> {
        self.call("read_foreign", || file.display().to_string()).at(OP, file)?;
        self.open_archive(file)
    }
}
