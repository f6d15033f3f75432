//! Looks at everything that a plan depends on. Touches nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{Engine, RestoreRequest, reach::Reach};
use crate::{
    error::{Code, EngineError, EngineErrorKind, Error, FsErrorKind, Result},
    model::{
        ArchiveSummary, Container, KnownVolume, Losses, Mounted, Occupant, Peer, Recognised, Resolved, RestoreId,
        Selector, Sight, Snapshot, SnapshotId, TreeSize, Workload, container, hook::quoted, parts,
    },
    ports::{Containers, EngineInfo, LookInto, Place},
    restore::{
        Options, Plan, PlannedImage, Refusal, anew,
        preflight::{self, Candidate, Protected, Situation, is_named_volume},
        writers,
    },
};

/// Who has the directories mounted.
#[derive(Default)]
pub(super) struct Consumers {
    /// Whoever has one of them, something in it, or something above it that is writable.
    pub consumers: Vec<Container>,
    /// Whoever has only something above them, read-only.
    pub onlookers: Vec<Container>,
    /// Why the engine was not asked, if it should have been.
    pub silence: Option<String>,
}

impl Engine {
    /// The workload's volumes as they are now.
    pub async fn resolve(&self, workload: &Workload) -> Result<Resolved> {
        self.name_volumes(workload, &self.members(workload).await?).await
    }

    /// The volumes of these containers under the names that they keep. Where the catalog has none yet (an earlier version
    /// wrote it), those count that the snapshots have.
    pub async fn name_volumes(&self, workload: &Workload, members: &[Container]) -> Result<Resolved> {
        if !workload.known.is_empty() || members.is_empty() {
            return Ok(workload.resolve(members));
        }
        let mut known: Vec<KnownVolume> = Vec::new();
        for snapshot in self.snapshots(Some(workload.id)).await? {
            for volume in KnownVolume::all_of(&snapshot.archive.manifest) {
                let is_declared = workload.volumes.iter().any(|declared| declared.target == volume.name);
                if !is_declared && known.iter().all(|other| other.name != volume.name) {
                    known.push(volume);
                }
            }
        }
        Ok(Workload { known, ..workload.clone() }.resolve(members))
    }

    /// Writes down the names of the volumes, unless they stand there already, so that they keep them. Gives the workload
    /// as it is registered then.
    pub(super) async fn remember(&self, workload: &Workload, resolved: &Resolved) -> Result<Workload> {
        let knowing = workload.knowing(resolved);
        if knowing.known != workload.known {
            self.ports.store.set_known(workload.id, &knowing.known).await?;
        }
        Ok(knowing)
    }

    /// What a restore would do. Touches nothing.
    pub async fn plan(&self, request: &RestoreRequest) -> Result<Plan> {
        let mut plan = self.plan_now(request).await?;
        let id = request.workload.id;
        // One that only waits for the app hinders nobody: the restore takes over what it owes.
        if self.ports.journals.read_journal(id).await?.is_some() && self.owed(id).await?.is_none() {
            let name = &request.workload.name;
            plan.refusals.insert(
                0,
                Refusal::new(
                    format!("an earlier operation on {name} has not ended"),
                    format!("`volsnap recover {name}` finishes it or rolls it back; a restore does so first by itself"),
                ),
            );
        }
        // For those who look before they begin. A restore that has begun looks again after the switch, and tells of
        // those that are still there.
        let writers = self.ports.filesystem.writers(&writers::live_dirs(&plan)).await;
        plan.warnings.extend(writers::before_the_switch(&plan, &writers));
        Ok(plan)
    }

    /// The plan, from the world as it is this moment.
    pub(super) async fn plan_now(&self, request: &RestoreRequest) -> Result<Plan> {
        Ok(self.plan_with_places(request).await?.0)
    }

    /// The plan, and where all volumes of the workload are, those included that stay as they are.
    pub(super) async fn plan_with_places(&self, request: &RestoreRequest) -> Result<(Plan, Vec<PathBuf>)> {
        let RestoreRequest { workload, snapshot, targets, options, .. } = request;
        let filesystem = &self.ports.filesystem;
        let archive = match request.kept {
            Some(_) => snapshot.archive.clone(),
            None => self.archive_of(snapshot).await?,
        };
        let members = self.members(workload).await?;
        let resolved = self.name_volumes(workload, &members).await?;
        let workload = &workload.knowing(&resolved);
        let recognised = Recognised::of(&archive.manifest, &resolved.volumes);
        let mut candidates = BTreeMap::new();
        let mut paths = Vec::new();
        let mut places = Vec::new();
        for volume in resolved.volumes {
            let archived = recognised.index_of(&volume.target).map(|index| &archive.manifest.volumes[index].target);
            let chosen = targets.is_empty()
                || targets.contains(&volume.target)
                || archived.is_some_and(|target| targets.contains(target));
            let located = filesystem.locate(&volume.path).await;
            let mut size = TreeSize::default();
            let mut mounted = Mounted::default();
            let mut left_out = Vec::new();
            places.extend(located.as_ref().map(|location| location.real.clone()).ok());
            if let (true, Ok(location)) = (chosen, &located) {
                paths.push(location.real.clone());
                mounted = filesystem.mounted(&location.real).await?;
                if location.occupant.identity().is_some() {
                    // Also where nothing is to be kept: what cannot be removed later must be known now.
                    size = filesystem.measure(&location.real).await?;
                }
                if let Occupant::Directory(_) = location.occupant {
                    left_out = self.left_out(&location.real).await?;
                }
            }
            let named = members.iter().flat_map(|c| &c.mounts).any(|m| m.volume.is_some() && m.source == volume.path);
            let location = located.map_err(|e| e.to_string());
            candidates.insert(volume.target, Candidate { location, named, size, mounted, left_out });
        }
        let parts = self.parts_in(snapshot, &recognised, &candidates).await?;
        let engine = self.engine_info(workload).await?;
        let protected = self.protected(engine.as_ref()).await?;
        for candidate in candidates.values_mut() {
            candidate.named |= candidate.location.as_ref().is_ok_and(|live| is_named_volume(&protected, live));
        }
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let neighbour = self.neighbour(workload.id, &paths, &names).await?;
        let Consumers { consumers, onlookers, silence } = self.consumers(workload, &paths).await?;
        let dependants = self.dependants(&members).await?;
        let cannot_hold = engine.as_ref().and_then(|info| info.cannot_hold(members.iter().chain(&consumers)));
        let images = anew::images(&members, &snapshot.archive.manifest.images);
        let (losses, others, images_gone) = self.costs(&members, &consumers, options, &images).await?;
        let takes_part = !workload.selector.is_empty() || !consumers.is_empty();
        let situation = Situation {
            restore: RestoreId(self.ports.clock.fresh_id()),
            safety: SnapshotId(self.ports.clock.fresh_id()),
            now: self.ports.clock.now(),
            host: filesystem.host(),
            runtime: engine.filter(|_| takes_part).and_then(|info| info.id),
            workload: self.hooked(workload),
            snapshot: snapshot.clone(),
            recognised,
            targets: targets.clone(),
            options: *options,
            consumers,
            onlookers: onlookers.into_iter().map(|c| c.name).collect(),
            dependants,
            silence,
            members,
            losses,
            others,
            images_gone,
            candidates,
            parts,
            protected,
            state_filesystem: filesystem.space(&filesystem.state_dir()).await?,
        };
        let down = self.owed(workload.id).await?.unwrap_or_default();
        let mut plan = preflight::plan(&situation).owing(down);
        plan.refusals.extend(neighbour.map(|neighbour| neighbour.refusal()));
        plan.refusals.extend(cannot_hold);
        // What is kept is moved: nothing of it is made anew.
        match request.kept {
            Some(restore) => self.plan_kept(restore, &mut plan).await?,
            None => plan.refusals.extend(self.beyond_rights(snapshot, &plan).await?),
        }
        Ok((plan, places))
    }

    /// The archive is asked, not the catalog: it must be there, whole at both ends, and be the one that is listed.
    async fn archive_of(&self, snapshot: &Snapshot) -> Result<ArchiveSummary> {
        let archive = self.ports.archives.read_archive(snapshot.workload(), snapshot.id()).await?;
        if archive.digest != snapshot.archive.digest {
            let path = self.ports.archives.archive_path(snapshot.workload(), snapshot.id());
            return Err(Error::new(
                Code::Corrupt,
                format!(
                    "{} is not the archive that the catalog lists: its digest is {}",
                    path.display(),
                    archive.digest
                ),
            )
            .hint("somebody replaced it; choose another snapshot"));
        }
        self.limits.check(&archive)?;
        Ok(archive)
    }

    /// Volumes that are part of another one now, and in the snapshot: either it holds them only so, or what it holds of
    /// both is the same.
    async fn parts_in(
        &self,
        snapshot: &Snapshot,
        recognised: &Recognised,
        candidates: &BTreeMap<String, Candidate>,
    ) -> Result<BTreeMap<String, String>> {
        let located =
            |(target, candidate): &(&String, &Candidate)| candidate.location.as_ref().ok().map(|_| target.to_string());
        let known: Vec<String> = candidates.iter().filter_map(|pair| located(&pair)).collect();
        let at = |target: &str| candidates.get(target).and_then(|candidate| candidate.location.as_ref().ok());
        let mut parts = parts(known.iter().filter_map(|target| Some((target.as_str(), at(target)?))));
        let held = |target: &str| {
            let index = recognised.index_of(target)?;
            snapshot.volumes().nth(index).filter(|(_, volume, _)| !volume.absent)
        };
        let mut strange = Vec::new();
        for (inner, outer) in &parts {
            let (Some((part, ..)), Some((index, ..))) = (held(inner), held(outer)) else { continue };
            let (Some(inside), Some(around)) = (at(inner), at(outer)) else { continue };
            let below = match inside.real.strip_prefix(&around.real) {
                Ok(below) => below.as_os_str().as_encoded_bytes().to_vec(),
                Err(_) if inside.is_same(around) => Vec::new(),
                // Known by another path only: what the snapshot has of it is not looked for.
                Err(_) => {
                    strange.push(inner.clone());
                    continue;
                }
            };
            let (workload, id) = (snapshot.workload(), snapshot.id());
            let archive = LookInto { workload, snapshot: id, archive_digest: snapshot.archive.digest.clone() };
            let place = Place { index, path: below };
            if !self.is_at(&archive, part, &place).await? {
                strange.push(inner.clone());
            }
        }
        parts.retain(|inner, _| !strange.contains(inner));
        Ok(parts)
    }

    /// The workload's containers; none for plain directories.
    pub(super) async fn members(&self, workload: &Workload) -> Result<Vec<Container>> {
        match workload.selector.is_empty() {
            true => Ok(Vec::new()),
            false => self.containers()?.find(&workload.selector).await.map_err(|error| match error.kind {
                EngineErrorKind::NotFound => Error::new(Code::NotFound, error.message)
                    .context(format_args!("workload {}", workload.name))
                    .hint(format!(
                        "`docker ps -a` shows whether it was removed or renamed; make it again, or register the workload by \
                         the names that its containers have now, which keeps its snapshots: `{} --update --container NAME`, with --container \
                         for each",
                        quoted(["volsnap", "workload", "add", &workload.name])
                    )),
                EngineErrorKind::Unreachable
                | EngineErrorKind::TimedOut
                | EngineErrorKind::Conflict
                | EngineErrorKind::Failed
                | EngineErrorKind::Unsupported => error.into(),
            }),
        }
    }

    /// What it costs to make those members anew that have to be, who else may refer to them, and which images that are to
    /// be brought back are gone.
    async fn costs(
        &self,
        members: &[Container],
        consumers: &[Container],
        options: &Options,
        images: &[PlannedImage],
    ) -> Result<(BTreeMap<String, Result<Losses, String>>, Vec<Container>, BTreeSet<String>)> {
        let anew = anew::made_anew(members, options, images);
        let (mut losses, mut gone) = (BTreeMap::new(), BTreeSet::new());
        if anew.is_empty() {
            return Ok((losses, Vec::new(), gone));
        }
        let containers = self.containers()?;
        for member in members.iter().filter(|member| anew.contains(&member.name)) {
            let known = match containers.losses(&member.id).await {
                Ok(known) => Ok(known),
                Err(error) if error.kind == EngineErrorKind::Failed => Err(error.message),
                Err(error) => return Err(error.into()),
            };
            losses.insert(member.name.clone(), known);
        }
        for image in anew::brought_back(members, options, images) {
            if !containers.has_image(&image.snapshot).await? {
                gone.insert(image.snapshot.clone());
            }
        }
        let all = match containers.all().await {
            Ok(all) => all,
            // A deployer that lists none knows of no others than these.
            Err(error) if error.kind == EngineErrorKind::Unsupported => consumers.to_vec(),
            Err(error) => return Err(error.into()),
        };
        let is_member = |container: &Container| members.iter().any(|member| member.id == container.id);
        Ok((losses, all.into_iter().filter(|container| !is_member(container)).collect(), gone))
    }

    /// Every container that mounts one of the paths. For plain directories an engine is asked if it answers; that it does
    /// not is told where there should be one.
    pub(super) async fn consumers(&self, workload: &Workload, paths: &[PathBuf]) -> Result<Consumers, EngineError> {
        let Some(containers) = &self.ports.containers else { return Ok(Consumers::default()) };
        match containers.mounting(paths).await {
            Err(error) if workload.selector.is_empty() && error.kind == EngineErrorKind::Unreachable => {
                let silence = containers.is_expected().await.then(|| error.to_string());
                Ok(Consumers { silence, ..Consumers::default() })
            }
            other => {
                let mut found = Consumers::default();
                let places = self.all_placed(paths).await;
                for container in other? {
                    match self.reach(&container, &places).await {
                        Reach::Looks => found.onlookers.push(container),
                        Reach::Reads | Reach::Writes => found.consumers.push(container),
                    }
                }
                Ok(found)
            }
        }
    }

    /// Those that lose something when the members stop.
    pub(super) async fn dependants(&self, members: &[Container]) -> Result<Vec<(Container, Peer)>, EngineError> {
        let active: Vec<&str> = members.iter().filter(|c| c.run.is_active()).map(|c| c.name.as_str()).collect();
        if active.is_empty() {
            return Ok(Vec::new());
        }
        match self.containers()?.all().await {
            Ok(all) => Ok(container::dependants(&all, &active)),
            // A deployer that knows of no others than its own.
            Err(error) if error.kind == EngineErrorKind::Unsupported => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Directories that no volume may be, contain or lie in.
    pub(super) async fn protected(&self, engine: Option<&EngineInfo>) -> Result<Vec<Protected>> {
        let filesystem = &self.ports.filesystem;
        let mut protected = vec![Protected {
            what: "volsnap's state directory",
            location: filesystem.locate(&filesystem.state_dir()).await?,
            holds_named_volumes: false,
        }];
        if let Some(root) = engine.and_then(|info| info.root.clone()) {
            let what = "the container engine's own data";
            match filesystem.locate(&root).await {
                Ok(location) => protected.push(Protected { what, location, holds_named_volumes: true }),
                // An engine in a namespace of its own: what it calls its root is not on this host.
                Err(error) if error.kind == FsErrorKind::NotFound => {}
                Err(error) => return Err(Error::from(error).context(what)),
            }
        }
        Ok(protected)
    }

    pub(super) async fn engine_info(&self, workload: &Workload) -> Result<Option<EngineInfo>> {
        let Some(containers) = &self.ports.containers else { return Ok(None) };
        match containers.info().await {
            Err(error) if workload.selector.is_empty() && error.kind == EngineErrorKind::Unreachable => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    /// What stands at the top of a live directory and is in no archive of it: the switch would take it along into what is
    /// set aside, to be removed with it.
    pub(super) async fn left_out(&self, live: &Path) -> Result<Vec<PathBuf>> {
        let filesystem = &self.ports.filesystem;
        let mut left_out = filesystem.private_dirs(live).await?;
        let found = live.join("lost+found");
        match filesystem.look(&found).await {
            Ok(Sight::Absent | Sight::Directory { empty: true, .. }) => {}
            // What cannot be looked at may hold something.
            Ok(Sight::Directory { .. } | Sight::Other) | Err(_) => left_out.push(found),
        }
        Ok(left_out)
    }

    /// The workload's containers when some of those that it names may be missing, as in the middle of a redeploy.
    pub(super) async fn members_left(
        containers: &dyn Containers,
        selector: &Selector,
    ) -> Result<Vec<Container>, EngineError> {
        match containers.find(selector).await {
            Err(error) if error.kind == EngineErrorKind::NotFound => {}
            other => return other,
        }
        let mut parts = vec![Selector { containers: Vec::new(), ..selector.clone() }];
        parts.extend(
            selector.containers.iter().map(|n| Selector { containers: vec![n.clone()], ..Selector::default() }),
        );
        let mut found: Vec<Container> = Vec::new();
        for part in parts.iter().filter(|p| !p.is_empty()) {
            match containers.find(part).await {
                Err(error) if error.kind == EngineErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(more) => {
                    for container in more {
                        if !found.iter().any(|c| c.id == container.id) {
                            found.push(container);
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}
