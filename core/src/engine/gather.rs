//! Looks at everything that a plan depends on. Touches nothing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{Engine, RestoreRequest};
use crate::{
    error::{Code, EngineError, EngineErrorKind, Error, FsErrorKind, Result},
    model::{Container, Mounted, Occupant, Resolved, RestoreId, Selector, Sight, SnapshotId, TreeSize, Workload},
    ports::{Containers, EngineInfo},
    restore::{
        Plan, Refusal,
        preflight::{self, Candidate, Protected, Situation},
        writers,
    },
};

impl Engine {
    /// The workload's volumes as they are now.
    pub async fn resolve(&self, workload: &Workload) -> Result<Resolved> {
        Ok(workload.resolve(&self.members(workload).await?))
    }

    /// What a restore would do. Touches nothing.
    pub async fn plan(&self, request: &RestoreRequest) -> Result<Plan> {
        let mut plan = self.plan_now(request).await?;
        if self.ports.filesystem.read_journal(request.workload.id).await?.is_some() {
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
        let RestoreRequest { workload, snapshot, targets, options, .. } = request;
        let filesystem = &self.ports.filesystem;
        // The archive is asked, not the catalog: it must be there, whole at both ends, and be the one that is listed.
        let archive = filesystem.read_archive(snapshot.workload(), snapshot.id()).await?;
        if archive.digest != snapshot.archive.digest {
            let path = filesystem.archive_path(snapshot.workload(), snapshot.id());
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
        let members = self.members(workload).await?;
        let resolved = workload.resolve(&members);
        let mut candidates = BTreeMap::new();
        let mut paths = Vec::new();
        for volume in resolved.volumes {
            let chosen = targets.is_empty() || targets.contains(&volume.target);
            let located = filesystem.locate(&volume.path).await;
            let mut size = TreeSize::default();
            let mut mounted = Mounted::default();
            let mut left_out = Vec::new();
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
        let state_dir = filesystem.state_dir();
        let mut protected = vec![Protected {
            what: "volsnap's state directory",
            location: filesystem.locate(&state_dir).await?,
            holds_named_volumes: false,
        }];
        let engine = self.engine_info(workload).await?;
        if let Some(root) = engine.as_ref().and_then(|info| info.root.clone()) {
            let what = "the container engine's own data";
            match filesystem.locate(&root).await {
                Ok(location) => protected.push(Protected { what, location, holds_named_volumes: true }),
                // An engine in a namespace of its own: what it calls its root is not on this host.
                Err(error) if error.kind == FsErrorKind::NotFound => {}
                Err(error) => return Err(Error::from(error).context(what)),
            }
        }
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let neighbour = self.neighbour(workload.id, &paths, &names).await?;
        let consumers = self.consumers(workload, &paths).await?;
        let cannot_hold = engine.as_ref().and_then(|info| info.cannot_hold(members.iter().chain(&consumers)));
        let takes_part = !workload.selector.is_empty() || !consumers.is_empty();
        let situation = Situation {
            restore: RestoreId(self.ports.clock.fresh_id()),
            safety: SnapshotId(self.ports.clock.fresh_id()),
            now: self.ports.clock.now(),
            host: filesystem.host(),
            runtime: engine.filter(|_| takes_part).and_then(|info| info.id),
            workload: self.hooked(workload),
            snapshot: snapshot.clone(),
            targets: targets.clone(),
            options: *options,
            consumers,
            members,
            candidates,
            protected,
            state_filesystem: filesystem.space(&state_dir).await?,
        };
        let mut plan = preflight::plan(&situation);
        plan.refusals.extend(neighbour.map(|neighbour| neighbour.refusal()));
        plan.refusals.extend(cannot_hold);
        Ok(plan)
    }

    /// The workload's containers; none for plain directories.
    pub(super) async fn members(&self, workload: &Workload) -> Result<Vec<Container>> {
        match workload.selector.is_empty() {
            true => Ok(Vec::new()),
            false => self.containers()?.find(&workload.selector).await.map_err(|error| match error.kind {
                EngineErrorKind::NotFound => Error::new(Code::NotFound, error.message)
                    .context(format_args!("workload {}", workload.name))
                    .hint("`docker ps -a` shows whether it was removed or renamed; make it again, or register the workload with the new name"),
                EngineErrorKind::Unreachable
                | EngineErrorKind::TimedOut
                | EngineErrorKind::Conflict
                | EngineErrorKind::Failed => error.into(),
            }),
        }
    }

    /// Every container that mounts one of the paths. For plain directories an engine is asked if it answers, and not
    /// missed if it does not.
    pub(super) async fn consumers(
        &self,
        workload: &Workload,
        paths: &[PathBuf],
    ) -> Result<Vec<Container>, EngineError> {
        let Some(containers) = &self.ports.containers else { return Ok(Vec::new()) };
        match containers.mounting(paths).await {
            Err(error) if workload.selector.is_empty() && error.kind == EngineErrorKind::Unreachable => Ok(Vec::new()),
            other => other,
        }
    }

    async fn engine_info(&self, workload: &Workload) -> Result<Option<EngineInfo>> {
        let Some(containers) = &self.ports.containers else { return Ok(None) };
        match containers.info().await {
            Err(error) if workload.selector.is_empty() && error.kind == EngineErrorKind::Unreachable => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    /// What stands at the top of a live directory and is in no archive of it: the switch would take it along into what is
    /// set aside, to be removed with it.
    async fn left_out(&self, live: &Path) -> Result<Vec<PathBuf>> {
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
