//! Sync, then look: what the survey reports is on disk before it is reported.
//!
//! A killed process leaves renames that its successor sees and that a power cut then takes back. Syncing after acting
//! does not help the successor; syncing before believing does, and serves the first process just as well.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Engine, reach::Reach};
use crate::{
    error::{FsError, FsErrorKind},
    model::{Container, Selector, Sight, container, place},
    restore::{
        Facts, Places, Seen, State,
        by_entry::Entries,
        facts::{KeptPlaces, Survey},
        judge::Failure,
        plan::Method,
        state::Direction,
    },
};

/// What a process knows of the container engine.
pub(super) struct EngineView {
    /// The time inside engine calls that nobody has accounted for yet.
    pub spent: Duration,
    /// Whether all that another process may have asked of the engine is known to be durable.
    pub settled: bool,
}

impl Engine {
    /// Looks at what the next decision can depend on.
    pub(super) async fn survey(&self, state: &State, engine: &mut EngineView) -> Result<Facts, Failure> {
        let survey = Survey::of(state);
        let mut facts = Facts::default();
        if survey.places {
            facts.volumes = self.places(state).await?;
        }
        if survey.containers {
            let began = self.ports.clock.monotonic();
            let seen = self.seen(state, engine).await;
            engine.spent += self.ports.clock.monotonic().saturating_sub(began);
            facts.containers = seen?;
        } else if state.direction() == Direction::Undecided {
            facts.containers = self.users(state).await?;
        }
        if survey.safety_archive {
            // A killed process may have left a name that is not durable yet; the originals go on the strength of it.
            self.ports.archives.settle_archives(state.plan.workload.id).await?;
            let safety = self.ports.archives.read_archive(state.plan.workload.id, state.plan.safety).await;
            facts.safety_archive = match safety {
                Ok(_) => true,
                Err(error) if error.kind == FsErrorKind::NotFound => false,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(facts)
    }

    pub(super) async fn places(&self, state: &State) -> Result<Vec<Places>, FsError> {
        let filesystem = &self.ports.filesystem;
        let plan = &state.plan;
        let mut dirs = Vec::new();
        for (index, volume) in plan.volumes.iter().enumerate() {
            let private = plan.private(index);
            dirs.push(plan.holder(index).to_path_buf());
            if volume.method == Method::ByEntry {
                dirs.extend(place::switched_by_entry_in(&private));
            }
            dirs.push(private);
            dirs.extend(plan.kept_private(index));
        }
        dirs.sort();
        dirs.dedup();
        filesystem.settle(&dirs).await?;
        let mut places = Vec::new();
        for (index, volume) in plan.volumes.iter().enumerate() {
            let private = plan.private(index);
            let entries = match volume.method {
                Method::ByEntry => Some(self.entries(&volume.live, &private).await?),
                Method::Exchange | Method::TwoRenames | Method::New => None,
            };
            let kept = match (plan.kept_private(index), plan.kept_tree(index)) {
                (Some(private), Some(tree)) => Some(KeptPlaces {
                    private: filesystem.look(&private).await?,
                    tree: self.look_within(&private, tree).await?,
                }),
                (None, _) | (_, None) => None,
            };
            places.push(Places {
                parent: filesystem.look(plan.holder(index)).await?,
                live: filesystem.look(&volume.live).await?,
                private: filesystem.look(&private).await?,
                staged: self.look_within(&private, place::staged_in(&private)).await?,
                aside: self.look_within(&private, place::aside_in(&private)).await?,
                entries,
                kept,
            });
        }
        Ok(places)
    }

    async fn entries(&self, live: &Path, private: &Path) -> Result<Entries, FsError> {
        let filesystem = &self.ports.filesystem;
        Ok(Entries {
            leaving: self.look_within(private, place::leaving_in(private)).await?,
            live: filesystem.has_entries(live).await?,
            like_original: filesystem.same_attributes(live, &place::original_root_in(private)).await?,
            like_restored: filesystem.same_attributes(live, &place::restored_root_in(private)).await?,
        })
    }

    /// A name in a directory that may not exist: absent then, without asking for an error that means something else.
    async fn look_within(&self, private: &Path, name: PathBuf) -> Result<Sight, FsError> {
        match self.ports.filesystem.look(private).await? {
            Sight::Directory { .. } => self.ports.filesystem.look(&name).await,
            Sight::Absent | Sight::Other => Ok(Sight::Absent),
        }
    }

    /// Running containers on the live directories of a workload that has none itself. Nobody stops them; they are why
    /// not to begin, also when they come while the data are being staged.
    async fn users(&self, state: &State) -> Result<Vec<Seen>, Failure> {
        let users = self.consumers(&state.plan.workload, &state.plan.live_paths()).await?;
        let active = users.consumers.into_iter().filter(|c| c.run.is_active());
        Ok(active.map(|container| Seen { container, member: false, mounts: true }).collect())
    }

    /// Members in starting order, then everyone else who mounts a live directory or carries a name of this restore: the
    /// replacement of a member that mounts nothing is seen by its name alone.
    async fn seen(&self, state: &State, engine: &mut EngineView) -> Result<Vec<Seen>, Failure> {
        let containers = self.containers()?;
        if !engine.settled {
            containers.settle().await?;
            engine.settled = true;
        }
        let plan = &state.plan;
        let lives = plan.live_paths();
        let mounting = containers.mounting(&lives).await?;
        let members = match (state.direction(), &state.pinned) {
            (Direction::Undecided, None) => containers.find(&plan.workload.selector).await?,
            _ => Self::members_left(containers, &plan.workload.selector).await?,
        };
        let is_member = |c: &Container| {
            let pinned = state.pinned.iter().flatten().any(|p| p.member && p.container.id == c.id);
            pinned || container::is_ours(&c.name, plan.restore)
        };
        let ours = containers.of_restore(plan.restore).await?;
        let dependants = match plan.dependants.is_empty() {
            true => Vec::new(),
            false => {
                let by_name = Selector { containers: plan.dependants.clone(), ..Selector::default() };
                Self::members_left(containers, &by_name).await?
            }
        };
        // Whoever only looks on is left alone: neither fenced nor stopped.
        let mut consumers = Vec::new();
        let places = self.all_placed(&lives).await;
        for container in mounting {
            let is_known = |c: &&Container| c.id == container.id;
            let is_ours = members.iter().chain(&ours).any(|c| is_known(&c)) || is_member(&container);
            if is_ours || self.reach(&container, &places).await != Reach::Looks {
                consumers.push(container);
            }
        }
        let mounts = |c: &Container| consumers.iter().any(|m| m.id == c.id);
        let mut seen: Vec<Seen> =
            members.into_iter().map(|c| Seen { member: true, mounts: mounts(&c), container: c }).collect();
        for container in consumers.iter().chain(&ours).chain(&dependants) {
            if !seen.iter().any(|s| s.container.id == container.id) {
                let (member, mounts) = (is_member(container), mounts(container));
                seen.push(Seen { member, mounts, container: container.clone() });
            }
        }
        Ok(seen)
    }
}
