//! Archives out of the state directory and into it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::json;

use super::{Engine, inside::look_into};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{
        ArchiveFile, ArchiveSummary, Imported, Manifest, Mark, Origin, Recognised, Snapshot, SnapshotId, Workload,
        member::printable,
    },
    ports::{EventKind, FsError, ImportJob, Output, Watch},
};

/// Bytes that an import leaves free besides the archive: for the catalog and the journals.
const RESERVE_BYTES: u64 = 16 << 20;

/// A file to be taken among the archives.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The file, by its absolute path.
    pub file: PathBuf,
    /// The workload that it is to be a snapshot of; `None` for the one that it was taken of.
    pub workload: Option<Workload>,
}

/// What a file's snapshot has here already.
struct Here {
    /// Its id here: another one if it is of another workload.
    id: SnapshotId,
    row: Option<Snapshot>,
    archive: Stands,
}

/// How an archive was found.
enum Stands {
    /// Its end is whole, and what the catalog lists; the rest was not read.
    Readable(Box<ArchiveSummary>),
    Damaged,
    Lost,
}

/// What an import came to.
#[derive(Clone, Debug)]
pub struct ImportOutcome {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Whether it was here already, and is good: then nothing was done.
    pub already: bool,
    /// Whether it was here with an archive that was damaged: then the file has taken that one's place.
    pub repaired: bool,
    /// What needs a look.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Copies a snapshot's archive to a file, whole and durable, and gives its length. Every byte is checked on its way:
    /// of a damaged archive nothing is left there.
    pub async fn export(&self, snapshot: &Snapshot, to: &Path, replace: bool, watch: &Watch) -> Result<u64> {
        let exported = self.ports.archives.export_archive(&look_into(snapshot), to, replace, watch.clone()).await;
        exported.map_err(|error| match error.kind == FsErrorKind::Exists {
            true => Error::new(Code::Refused, error.to_string())
                .hint("choose another name, or give --force to replace a file"),
            false => error.into(),
        })
    }

    /// Writes a snapshot's archive, each part when it has been checked, and gives its length. Whoever takes it has to
    /// look whether this succeeded: what was written before an error is good, and no whole archive.
    pub async fn write_out(&self, snapshot: &Snapshot, out: Box<dyn Output>, watch: &Watch) -> Result<u64> {
        Ok(self.ports.archives.write_archive(&look_into(snapshot), out, watch.clone()).await?)
    }

    /// Takes a file among the archives of a workload.
    ///
    /// Nothing in the file is believed: every byte is checked before it counts as an archive, and what could make later
    /// work do something else than people expect is made anew. See `Engine::identity`.
    pub async fn import(&self, request: &ImportRequest, watch: &Watch) -> Result<ImportOutcome> {
        let file = self.ports.archives.read_foreign(&request.file).await.map_err(of_file)?;
        refuse_unprintable(&file)?;
        self.limits.check(&file)?;
        let workload = self.owner_of_file(request, &file.manifest).await?;
        let engine = &self.hold(&workload, watch).await?;
        engine.recover_or_refuse(workload.id, watch).await?;
        engine.ports.archives.sweep_drafts(workload.id).await?;
        let here = engine.what_is_here(&workload, &file).await?;
        if let Some(Here { id, row, archive: Stands::Readable(archive) }) = &here {
            // Of a file that is no good nobody is to be told that it is here.
            engine.ports.archives.verify_foreign(&request.file, watch.clone()).await.map_err(of_file)?;
            match engine.ports.archives.verify_stored(workload.id, *id, watch.clone()).await {
                Ok(_) => return engine.already(row.as_ref(), archive).await,
                Err(error) if error.kind == FsErrorKind::Corrupt => {}
                Err(error) => return Err(error.into()),
            }
        }
        let repaired = here.as_ref().is_some_and(|here| !matches!(here.archive, Stands::Lost));
        let mut manifest = engine.identity(&workload, &file.manifest);
        manifest.sequence = engine.place(&workload, &file.manifest).await?;
        if let Some(here) = &here {
            manifest.snapshot = here.id;
            if let Some(row) = &here.row {
                manifest.sequence = row.archive.manifest.sequence;
            }
        }
        let free = engine.ports.filesystem.space(&engine.ports.filesystem.state_dir()).await?.1.bytes_free;
        let needed = file.archive_bytes.saturating_add(RESERVE_BYTES);
        if free < needed {
            return Err(Error::new(
                Code::Refused,
                format!("the state directory's filesystem has {free} bytes free where {needed} are needed"),
            )
            .hint("free some space there, for instance with `volsnap prune`"));
        }
        let job =
            ImportJob { file: request.file.clone(), archive_digest: file.digest.clone(), manifest, replace: repaired };
        let archive = engine.ports.archives.import_archive(&job, watch.clone()).await.map_err(of_file)?;
        // The pin is somebody's word on the snapshot, whatever became of its archive.
        let pin = here.and_then(|here| here.row).and_then(|row| row.pin);
        let snapshot = Snapshot { verified_at: Some(engine.ports.clock.now()), pin, ..archive.into() };
        engine.ports.store.put_snapshot(&snapshot).await?;
        let warnings = engine.doubts(&workload, &snapshot).await;
        // A kind of its own could not be read by earlier versions.
        let detail = json!({
            "snapshot": snapshot.id(), "file": request.file.display().to_string(), "imported": snapshot.archive.manifest.imported,
            "repaired": repaired, "warnings": warnings,
        });
        engine.tell(&engine.event(&workload, EventKind::SnapshotCreated, "imported", detail)).await;
        Ok(ImportOutcome { snapshot, already: false, repaired, warnings })
    }

    /// The workload that a file becomes a snapshot of.
    async fn owner_of_file(&self, request: &ImportRequest, manifest: &Manifest) -> Result<Workload> {
        if let Some(workload) = &request.workload {
            return Ok(workload.clone());
        }
        let registered = self.workloads().await?.into_iter().find(|w| w.id == manifest.workload);
        registered.ok_or_else(|| {
            let (name, id) = (&manifest.workload_name, manifest.workload);
            Error::new(
                Code::Refused,
                format!("{} is a snapshot of {name} ({id}), which is not registered here", request.file.display()),
            )
            .hint("give --workload to make it a snapshot of another workload")
        })
    }

    /// The snapshot of the workload that has the file's contents already, if there is one; an error if its id stands for
    /// others.
    async fn what_is_here(&self, workload: &Workload, file: &ArchiveSummary) -> Result<Option<Here>> {
        let id = file.manifest.snapshot;
        let is_own = file.manifest.workload == workload.id;
        let rows = self.snapshots(None).await?;
        let of_workload = |s: &&Snapshot| s.workload() == workload.id && same(&s.archive, file);
        let row = match is_own {
            true => rows.iter().find(|s| s.id() == id),
            // Imported before, under another id.
            false => rows.iter().find(of_workload),
        };
        let stands = match row {
            Some(row) if row.workload() != workload.id || !same(&row.archive, file) => return Err(taken(id)),
            Some(row) => row.id(),
            None if is_own => id,
            None => match self.uncatalogued(workload, file, &rows).await? {
                Some(stands) => stands,
                None => return Ok(None),
            },
        };
        let archive = match self.ports.archives.read_archive(workload.id, stands).await {
            Ok(archive) if !same(&archive, file) => return Err(taken(stands)),
            // The catalog lists another one of the same contents: it was not put there by volsnap, or not to the end.
            Ok(archive) if row.is_some_and(|row| row.archive.digest != archive.digest) => Stands::Damaged,
            Ok(archive) => Stands::Readable(archive.into()),
            Err(error) if error.kind == FsErrorKind::NotFound && row.is_some() => Stands::Lost,
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind == FsErrorKind::Corrupt && row.is_some() => Stands::Damaged,
            // Without a row nobody can say that it was the same.
            Err(error) if error.kind == FsErrorKind::Corrupt => {
                let path = self.ports.archives.archive_path(workload.id, stands);
                let hint = format!("what stands there is damaged and in no catalog: move {} away", path.display());
                return Err(Error::from(error).hint(format!("{hint}, then import again")));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Here { id: stands, row: row.cloned(), archive }))
    }

    /// What is here was just found good, to its last byte.
    async fn already(&self, row: Option<&Snapshot>, archive: &ArchiveSummary) -> Result<ImportOutcome> {
        let now = self.ports.clock.now();
        let mut snapshot = row.cloned().unwrap_or_else(|| archive.clone().into());
        snapshot.mark(&Mark::Verified(now));
        match row {
            Some(row) => self.ports.store.mark_snapshot(row.id(), &Mark::Verified(now)).await.map(drop)?,
            None => self.ports.store.put_snapshot(&snapshot).await?,
        }
        Ok(ImportOutcome { snapshot, already: true, repaired: false, warnings: Vec::new() })
    }

    /// An archive of the workload with the file's contents that the catalog does not know: an earlier import of it was cut
    /// off at its very end.
    async fn uncatalogued(
        &self,
        workload: &Workload,
        file: &ArchiveSummary,
        rows: &[Snapshot],
    ) -> Result<Option<SnapshotId>> {
        for ArchiveFile { workload: owner, snapshot: id, .. } in self.ports.archives.archives().await? {
            if owner == workload.id && rows.iter().all(|row| row.id() != id) {
                // One that cannot be read is for a rebuild to tell of.
                let archive = self.ports.archives.read_archive(owner, id).await;
                if archive.is_ok_and(|archive| same(&archive, file)) {
                    return Ok(Some(id));
                }
            }
        }
        Ok(None)
    }

    /// What the archive is to say of itself. The file's own manifest is kept only where it can mislead nobody.
    ///
    /// * A registration, from which a lost catalog would be made again, is replaced by this catalog's own, so that none of
    ///   another machine is ever followed, nor one that somebody forged.
    /// * What was taken by a restore becomes a snapshot that somebody asked for: `undo` goes by the former.
    /// * A snapshot of another workload gets the workload's name and an id of its own.
    ///
    /// Whichever of these is done, `imported` says what it was before.
    fn identity(&self, workload: &Workload, manifest: &Manifest) -> Manifest {
        let own = self.registration(workload, self.ports.clock.now());
        let is_own = manifest.workload == workload.id;
        let honest = match &manifest.registration {
            None => true,
            Some(registration) => registration.is_same_as(&own),
        };
        if is_own && honest && manifest.origin == Origin::Manual {
            return manifest.clone();
        }
        // What came back says where it first came from: by that it is known again.
        let was = manifest.imported.clone().filter(|_| is_own);
        Manifest {
            snapshot: if is_own { manifest.snapshot } else { SnapshotId(self.ports.clock.fresh_id()) },
            workload: workload.id,
            workload_name: workload.name.clone(),
            source: workload.source.clone(),
            origin: Origin::Manual,
            registration: Some(own),
            imported: Some(was.unwrap_or_else(|| Imported {
                workload: manifest.workload,
                workload_name: manifest.workload_name.clone(),
                snapshot: manifest.snapshot,
                origin: manifest.imported.as_ref().map_or(manifest.origin, |earlier| earlier.origin),
            })),
            ..manifest.clone()
        }
    }

    /// Where in the order an imported snapshot belongs.
    ///
    /// One of this catalog's own has the place that it was given; one of before there were any stays before all that have
    /// one. What was taken elsewhere happened nowhere in this order, and its label is all that is known: it goes before the
    /// first one here that has a later label, and so becomes the latest only if no label speaks against it.
    async fn place(&self, workload: &Workload, manifest: &Manifest) -> Result<Option<u64>> {
        let given = self.ports.store.sequence().await?;
        if manifest.workload == workload.id && manifest.sequence.is_none_or(|sequence| sequence <= given) {
            return Ok(manifest.sequence);
        }
        let rows = self.snapshots(Some(workload.id)).await?;
        Ok(Some(place_among(&rows, manifest.created_at)))
    }

    /// What whoever restores the snapshot later would rather know now.
    async fn doubts(&self, workload: &Workload, snapshot: &Snapshot) -> Vec<String> {
        let mut doubts = Vec::new();
        if snapshot.created_at() > self.ports.clock.now() {
            doubts.push(format!(
                "it was taken at {}, which is yet to come by this machine's clock; `latest` means it until the next snapshot is taken",
                snapshot.created_at()
            ));
        }
        let volumes = match self.resolve(workload).await {
            Ok(resolved) => resolved.volumes,
            Err(error) => {
                doubts.push(format!("its volumes could not be compared with those of {}: {error}", workload.name));
                return doubts;
            }
        };
        let recognised = Recognised::of(&snapshot.archive.manifest, &volumes);
        for (index, volume, _) in snapshot.volumes() {
            if recognised.get(index).is_err() {
                let (name, target) = (&workload.name, &volume.target);
                doubts.push(format!("{name} has no volume {target} at present: a restore would refuse it"));
            }
        }
        doubts
    }
}

/// The place of what has that label among snapshots of one workload. It may share one: labels order those that do.
fn place_among(rows: &[Snapshot], label: Timestamp) -> u64 {
    let later = rows.iter().filter(|row| row.created_at() > label).map(|row| row.order().0).min();
    let all = rows.iter().map(|row| row.order().0).max();
    later.map(|later| later.saturating_sub(1)).or(all).unwrap_or(0)
}

/// Names and notes are shown to people as they are, and a file could use that to write over their terminal.
fn refuse_unprintable(file: &ArchiveSummary) -> Result<()> {
    let manifest = &file.manifest;
    let images = manifest.images.iter().flat_map(|image| [&image.container, &image.image, &image.image_id]);
    let targets = manifest.volumes.iter().map(|volume| &volume.target);
    let named = file
        .totals
        .iter()
        .flat_map(|totals| totals.unsteady.iter().chain(&totals.immutable_names).chain(&totals.device_names));
    let mut texts = images.chain(targets).chain(named).chain([&manifest.workload_name]).chain(&manifest.note);
    let odd = |text: &&String| text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    match texts.find(odd) {
        None => Ok(()),
        Some(text) => Err(Error::new(
            Code::Hostile,
            format!("the file's manifest has control characters in `{}`", printable(text.as_bytes())),
        )
        .hint("do not trust this archive; find out where it came from")),
    }
}

/// Whether two archives are of the same snapshot with the same contents, whatever their manifests say besides. The
/// digests of the volumes cover all of their members.
fn same(a: &ArchiveSummary, b: &ArchiveSummary) -> bool {
    let was = |archive: &ArchiveSummary| {
        let manifest = &archive.manifest;
        manifest.imported.as_ref().map_or(manifest.snapshot, |imported| imported.snapshot)
    };
    let digests = |archive: &ArchiveSummary| archive.totals.iter().map(|t| t.digest.clone()).collect::<Vec<_>>();
    was(a) == was(b)
        && a.manifest.created_at == b.manifest.created_at
        && a.manifest.volumes == b.manifest.volumes
        && digests(a) == digests(b)
}

fn taken(id: SnapshotId) -> Error {
    Error::new(Code::Refused, format!("snapshot {id} is here already, with other contents"))
        .hint(format!("`volsnap show {id}` shows it; give --workload to make the file a snapshot of another workload"))
}

/// The hint is for a file, and not for a snapshot that is here.
fn of_file(error: FsError) -> Error {
    let (is_corrupt, is_other) = (error.kind == FsErrorKind::Corrupt, error.kind == FsErrorKind::Unsupported);
    let error = Error::from(error);
    if is_corrupt {
        error.hint("if volsnap exported it, copy it again from where it came from; other files cannot be imported")
    } else if is_other {
        error.hint("give a file that volsnap exported, of this version of volsnap or an earlier one")
    } else {
        error
    }
}
