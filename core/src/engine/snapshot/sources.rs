//! What a snapshot reads: the directories as they are found, and whether they are still the same at its end.

use super::*;

/// The root of a volume that exists, and which directory it was when the snapshot began.
pub(super) struct Root {
    pub(super) target: String,
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
}

/// The volumes, as the manifest and as the reader want them, with their roots and places; a place is also where nothing is.
pub(super) struct Sources {
    pub(super) volumes: Vec<ManifestVolume>,
    pub(super) sources: Vec<ArchiveSource>,
    pub(super) roots: Vec<Root>,
    pub(super) places: Vec<PathBuf>,
}

impl Engine {
    pub(super) async fn sources(&self, workload: &Workload, resolved: &Resolved) -> Result<Sources> {
        if resolved.volumes.is_empty() {
            return Err(Error::new(Code::Refused, format!("workload {} has no volumes at present", workload.name))
                .hint(format!(
                    "none of its containers has a writable mount of a directory; `volsnap workload show {}` says what is left out",
                    workload.name
                )));
        }
        let knowing = workload.knowing(resolved);
        let mut volumes = Vec::new();
        let mut sources = Vec::new();
        let mut roots = Vec::new();
        let mut places = Vec::new();
        let state_dir = self.ports.filesystem.locate(&self.ports.filesystem.state_dir()).await?;
        let mut located = Vec::new();
        for volume in &resolved.volumes {
            let target = volume.target.clone();
            let location = self.ports.filesystem.locate(&volume.path).await;
            let location = location.map_err(|e| Error::from(e).context(format_args!("volume {target}")))?;
            located.push((target, location));
        }
        let parts = parts(located.iter().map(|(target, location)| (target.as_str(), location)));
        for (target, location) in located {
            // Every snapshot would hold all earlier ones, and no plan would ever restore it.
            if location.overlaps(&state_dir) {
                let (path, state) = (location.real.display(), state_dir.real.display());
                return Err(Error::new(
                    Code::Refused,
                    format!("volume {target} at {path} overlaps with volsnap's state directory at {state}"),
                )
                .hint("move one of them elsewhere"));
            }
            places.push(location.real.clone());
            if parts.contains_key(&target) {
                continue;
            }
            let root = match location.occupant {
                Occupant::Absent => None,
                Occupant::NotADirectory => {
                    let path = location.real.display();
                    return Err(Error::new(Code::Refused, format!("volume {target} at {path} is not a directory"))
                        .hint("only directories can be volumes"));
                }
                Occupant::Directory(identity)
                | Occupant::MountPoint(identity)
                | Occupant::Subvolume(identity)
                | Occupant::Immutable(identity) => {
                    roots.push(Root { target: target.clone(), path: location.real.clone(), identity });
                    Some(location.real)
                }
            };
            volumes.push(knowing.in_manifest(&target, root.is_none()));
            sources.push(ArchiveSource { target, root });
        }
        if sources.iter().all(|s| s.root.is_none()) {
            let declared: Vec<String> = resolved.volumes.iter().map(|v| v.path.display().to_string()).collect();
            return Err(Error::new(
                Code::Refused,
                format!("workload {} has no volume that exists: {}", workload.name, declared.join(", ")),
            )
            .hint("check that its filesystems are mounted and its containers exist"));
        }
        Ok(Sources { volumes, sources, roots, places })
    }

    /// Whether each root is still the directory that it was. One that was replaced while it was read is no snapshot:
    /// what was read lies somewhere else by now, and may have been changed or removed there meanwhile.
    pub(super) async fn same_roots(&self, roots: &[Root]) -> Result<()> {
        for Root { target, path, identity } in roots {
            let now = match self.ports.filesystem.locate(path).await {
                Ok(location) => location.occupant.identity(),
                Err(error) if error.kind == FsErrorKind::NotFound => None,
                Err(error) => return Err(Error::from(error).context(format_args!("volume {target}"))),
            };
            if !now.is_some_and(|now| now.is(*identity)) {
                let what = if now.is_some() { "was replaced" } else { "went away" };
                return Err(Error::new(
                    Code::Aborted,
                    format!("volume {target} at {} {what} while it was read", path.display()),
                )
                .hint("see who moves or mounts something there, then take the snapshot again"));
            }
        }
        Ok(())
    }

    /// The members as they are now, after a copy that may have taken long. They are other ones only if somebody
    /// deployed meanwhile, and then the copy may be of other volumes.
    pub(super) async fn unmoved(
        &self,
        workload: &Workload,
        manifest: &Manifest,
        sources: &[ArchiveSource],
    ) -> Result<Vec<Container>> {
        let members = self.members(workload).await?;
        let now = self.sources(workload, &self.name_volumes(workload, &members).await?).await?;
        match now.sources == sources && images(members.iter().filter(|c| lasts(c))) == manifest.images {
            true => Ok(members),
            false => Err(Error::new(
                Code::Aborted,
                format!("the containers or volumes of {} changed while they were copied", workload.name),
            )
            .hint("take the snapshot again")),
        }
    }

    /// Who runs on the volumes and is not made quiet, since it is not part of the workload: the copy may be of no one
    /// point in time.
    pub(super) async fn outsiders(
        &self,
        request: &SnapshotRequest,
        members: &[Container],
        sources: &[ArchiveSource],
    ) -> Result<Vec<String>> {
        if request.mode == Mode::Live {
            return Ok(Vec::new());
        }
        let roots = roots(sources);
        let app = &request.workload.name;
        let mut warnings = Vec::new();
        let places = self.all_placed(&roots).await;
        for c in self.consumers(&request.workload, &roots).await?.consumers {
            let is_outside = c.run == RunState::Running && members.iter().all(|m| m.id != c.id);
            if is_outside && self.reach(&c, &places).await == Reach::Writes {
                let name = &c.name;
                warnings
                    .push(format!("container {name} is not part of {app} and ran on its volumes while they were read"));
            }
        }
        Ok(warnings)
    }
}

/// What is to be said of what was read.
pub(super) fn warnings(snapshot: &Snapshot, resolved: &Resolved) -> Vec<String> {
    let mut warnings: Vec<String> = resolved.left_out.iter().map(|what| format!("left out: {what}")).collect();
    for (_, volume, totals) in snapshot.volumes() {
        if volume.absent {
            warnings.push(format!("volume {} does not exist", volume.target));
        }
        for name in &totals.unsteady {
            warnings.push(format!("volume {}: {name}", volume.target));
        }
        if let Some(devices) = totals.devices_told() {
            warnings.push(format!(
                "volume {} has {devices}: a restore makes them only with --allow-devices",
                volume.target
            ));
        }
        for name in &totals.immutable_names {
            warnings.push(format!("volume {}: {name}: a restore brings it back without this flag", volume.target));
        }
        match totals.immutable.saturating_sub(totals.immutable_names.len() as u64) {
            0 => {}
            more => warnings.push(format!("volume {}: {more} more have such a flag", volume.target)),
        }
    }
    warnings
}
