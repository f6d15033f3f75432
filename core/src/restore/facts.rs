//! What is seen just now: the places of every volume, the containers, the safety archive.

use serde::Serialize;

use super::{
    by_entry::Entries,
    conditions::jobs,
    plan::{Method, PlannedVolume},
    state::{Direction, State},
};
use crate::model::{Container, ContainerId, Identity, Peer, Pinned, Shares, Sight, container};

/// What a name holds, for a restore that knows its two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Holds {
    /// Nothing.
    Absent,
    /// The directory that was live when the restore began.
    Original,
    /// The directory that the restore staged.
    Restored,
    /// An empty directory of somebody else: an engine makes one where a bind source is missing.
    EmptyForeign,
    /// Something of somebody else.
    Foreign,
}

/// What the names of one volume hold, as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The directory in which its names change.
    pub parent: Sight,
    /// The live directory.
    pub live: Sight,
    /// The private directory beside it.
    pub private: Sight,
    /// The staged tree in the private directory.
    pub staged: Sight,
    /// The set-aside original in the private directory.
    pub aside: Sight,
    /// What a switch by entry has to know besides; `None` for the other methods.
    pub entries: Option<Entries>,
    /// Where an earlier restore kept the tree that comes back; `None` where it comes from an archive.
    pub kept: Option<KeptPlaces>,
}

/// The names of a tree that an earlier restore kept, as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPlaces {
    /// The private directory of that restore.
    pub private: Sight,
    /// The tree's name in it.
    pub tree: Sight,
}

/// The names of one volume, recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// The live directory.
    pub live: Holds,
    /// The staged tree.
    pub staged: Holds,
    /// The set-aside original.
    pub aside: Holds,
}

/// A container, and what it has to do with the restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As it is now.
    pub container: Container,
    /// Whether it belongs to the workload.
    pub member: bool,
    /// Whether it mounts one of the plan's live directories, or something above or below.
    pub mounts: bool,
}

/// What was seen. What a [`Survey`] did not ask for is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Places by volume, in the plan's order.
    pub volumes: Vec<Places>,
    /// Members of the workload and everyone who mounts its directories, in starting order.
    pub containers: Vec<Seen>,
    /// Whether the pre-restore snapshot's archive stands whole under its name.
    pub safety_archive: bool,
}

/// Which facts the next decision can depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The places on disk.
    pub places: bool,
    /// The containers.
    pub containers: bool,
    /// The safety archive.
    pub safety_archive: bool,
}

impl Survey {
    /// What has to be looked at in this state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let redeploying = state.redeploys();
        let capturing =
            state.direction() == Direction::Forward && state.redeployed.is_some() && state.captured.is_none();
        Survey {
            // Also before the app is started: on a filesystem that is not mounted it would start on nothing.
            places: !state.closed,
            containers: !state.closed
                && !redeploying
                && !capturing
                && state.reopened.is_none()
                && state.plan.has_containers(),
            safety_archive: capturing,
        }
    }
}

impl Sight {
    /// The identity of the directory, where there is one.
    #[must_use]
    pub fn identity(self) -> Option<Identity> {
        match self {
            Sight::Directory { identity, .. } => Some(identity),
            Sight::Absent | Sight::Other => None,
        }
    }
}

impl Places {
    /// Recognises what the names hold.
    ///
    /// Until the commit nobody has recorded what was staged: whatever has the staged name in our private directory
    /// is the staged tree.
    #[must_use]
    pub fn recognise(&self, original: Option<Identity>, restored: Option<Identity>) -> Names {
        let name = |sight: Sight, ours: bool| match sight {
            Sight::Absent => Holds::Absent,
            Sight::Other => Holds::Foreign,
            Sight::Directory { identity, .. } if original.is_some_and(|it| it.is(identity)) => Holds::Original,
            Sight::Directory { identity, .. } if restored.is_some_and(|it| it.is(identity)) => Holds::Restored,
            Sight::Directory { .. } if ours && restored.is_none() => Holds::Restored,
            Sight::Directory { empty: true, .. } => Holds::EmptyForeign,
            Sight::Directory { empty: false, .. } => Holds::Foreign,
        };
        let aside = match (self.entries, self.aside) {
            // Only a seal gives this name, to what was gathered in a directory that nobody else comes into.
            (Some(_), Sight::Directory { .. }) => Holds::Original,
            (Some(_) | None, sight) => name(sight, false),
        };
        Names { live: name(self.live, false), staged: name(self.staged, true), aside }
    }
}

impl Places {
    /// What two renames have left at the names, if nobody else changed one: the private directory lets nobody in, and each
    /// of its names is only ever given to one of the two directories. `None` where the names do not tell, or where what
    /// is recognised says something else.
    #[must_use]
    pub fn named(&self, recognised: Names) -> Option<Names> {
        let is_dir = |sight: Sight| matches!(sight, Sight::Directory { .. });
        let told = match (is_dir(self.live), is_dir(self.staged), is_dir(self.aside)) {
            (true, true, false) if self.aside == Sight::Absent => {
                Names { live: Holds::Original, staged: Holds::Restored, aside: Holds::Absent }
            }
            (true, false, true) if self.staged == Sight::Absent => {
                Names { live: Holds::Restored, staged: Holds::Absent, aside: Holds::Original }
            }
            // What came to the live name since is somebody else's.
            (_, true, true) => Names { staged: Holds::Restored, aside: Holds::Original, ..recognised },
            (true | false, true | false, true | false) => return None,
        };
        // A number without a birth time may be that of the path: whatever stands at the live name is "the original" then.
        let is_sure = |sight: Sight| sight.identity().is_some_and(|identity| identity.birth_ns.is_some());
        let agrees = |told: Holds, seen: Holds, sight: Sight| {
            told == seen || matches!(seen, Holds::Foreign | Holds::EmptyForeign) || !is_sure(sight)
        };
        let all = agrees(told.live, recognised.live, self.live)
            && agrees(told.staged, recognised.staged, self.staged)
            && agrees(told.aside, recognised.aside, self.aside);
        all.then_some(told)
    }
}

impl Facts {
    /// The names of a volume, recognised by what the journal recorded.
    #[must_use]
    pub fn names(&self, state: &State, volume: usize) -> Names {
        let PlannedVolume { original, method, kept, .. } = state.plan.volumes[volume];
        // What was kept is known before it is staged.
        let restored = state.committed.as_ref().map(|ids| ids[volume]).or(kept.map(|tree| tree.identity));
        let names = self.volumes[volume].recognise(original, restored);
        match (state.named, method) {
            (true, Method::TwoRenames) => self.volumes[volume].named(names).unwrap_or(names),
            (true, Method::Exchange | Method::New | Method::ByEntry) | (false, _) => names,
        }
    }

    /// Volumes that are switched by entry and whose live directory has other attributes by now than were kept for it.
    pub fn unlike_kept(&self) -> impl Iterator<Item = usize> {
        let entries = self.volumes.iter().map(|places| places.entries);
        entries.enumerate().filter(|(_, e)| e.is_some_and(|e| !e.like_original)).map(|(volume, _)| volume)
    }

    /// Containers that must not run during the switch and do. A replacement that waits under its passing name is not
    /// among them, since it does not run.
    #[must_use]
    pub fn active(&self) -> Vec<ContainerId> {
        self.containers.iter().filter(|s| s.container.run.is_active()).map(|s| s.container.id.clone()).collect()
    }

    /// Containers that the engine would start by itself.
    #[must_use]
    pub fn unfenced(&self) -> Vec<ContainerId> {
        let startable = |s: &&Seen| !s.container.restart_policy.is_never();
        self.containers.iter().filter(startable).map(|s| s.container.id.clone()).collect()
    }

    /// Active containers outside the workload that mount one of its directories.
    #[must_use]
    pub fn intruders(&self) -> Vec<&Container> {
        let intrudes = |s: &&Seen| !s.member && s.mounts && s.container.run.is_active();
        self.containers.iter().filter(intrudes).map(|s| &s.container).collect()
    }

    /// Running members that must not be started a second time.
    pub fn one_offs(&self) -> impl Iterator<Item = &Container> {
        let members = self.containers.iter().filter(|s| s.member && s.container.run.is_active());
        members.map(|s| &s.container).filter(|c| c.particulars.is_one_off)
    }

    /// Containers that came after the pins were taken and that run or may be started by the engine: what happens to them
    /// would not be set right again. What stands under a member's name after the commit is its replacement.
    #[must_use]
    pub fn strangers(&self, state: &State) -> Vec<&Container> {
        let Some(pinned) = &state.pinned else { return Vec::new() };
        let is_replacement = |p: &Pinned, s: &Seen| {
            state.committed.is_some() && s.member && p.is_replaced() && p.container.name == s.container.name
        };
        let is_pinned = |s: &Seen| pinned.iter().any(|p| p.container.id == s.container.id || is_replacement(p, s));
        let is_alive = |s: &Seen| s.container.run.is_active() || !s.container.restart_policy.is_never();
        let strange = |s: &&Seen| !is_pinned(s) && !self.is_ours(state, s) && is_alive(s);
        self.containers.iter().filter(strange).map(|s| &s.container).collect()
    }

    /// Running members that are made anew and whose replacement does not stand yet under its passing name.
    #[must_use]
    pub fn unprepared(&self, state: &State) -> Vec<Container> {
        let stands = |name: &str| {
            let passing = container::passing_name(name, state.plan.restore);
            self.containers.iter().any(|s| s.container.name == passing)
        };
        self.containers
            .iter()
            .filter(|s| {
                let is_member = s.member && !s.container.particulars.is_one_off;
                // One that was made since the plan, and is gone as soon as it ends, is in no plan.
                let is_replaced = state.plan.makes_anew(&s.container.name) || s.container.particulars.removes_itself;
                is_member
                    && s.container.run.is_active()
                    && !self.is_ours(state, s)
                    && is_replaced
                    && !stands(&s.container.name)
            })
            .map(|s| s.container.clone())
            .collect()
    }

    /// A member that does not run and refers to one that is made anew, by an id that will be gone.
    #[must_use]
    pub fn left_behind(&self, state: &State) -> Option<&Container> {
        let members = self.containers.iter().filter(|s| s.member && !self.is_ours(state, s));
        let is_replaced = |name: &str| {
            let is_it = |s: &Seen| s.member && s.container.name == name && s.container.run.is_active();
            self.containers.iter().any(is_it) && state.plan.makes_anew(name)
        };
        let breaks = |peer: &Peer| !peer.by_name && peer.shares != Shares::Volumes && is_replaced(&peer.name);
        let mut stopped = members.map(|s| &s.container).filter(|c| !c.run.is_active());
        stopped.find(|c| c.particulars.peers.iter().any(breaks))
    }

    /// Names of containers that are not as they were found: members that ran and do not now, and whoever has lost its
    /// restart policy. A job that others wait for ends when it is done.
    #[must_use]
    pub fn not_back(&self, state: &State) -> Vec<String> {
        let jobs = jobs(state.owed());
        let is_back = |found: &Pinned| {
            let name = found.container.name.as_str();
            let now = self.containers.iter().map(|s| &s.container).find(|now| now.name == name);
            let runs = now.is_some_and(|now| now.run.is_active());
            let has_lost =
                |now: &Container| now.restart_policy.is_never() && !found.container.restart_policy.is_never();
            (!found.member || !found.was_active() || jobs.contains(name) || runs) && !now.is_some_and(has_lost)
        };
        state.owed().iter().filter(|found| !is_back(found)).map(|found| found.container.name.clone()).collect()
    }

    /// Containers under a name that this restore gave.
    #[must_use]
    pub fn has_leftovers(&self, state: &State) -> bool {
        self.containers.iter().any(|s| self.is_ours(state, s))
    }

    /// Those of them that run.
    #[must_use]
    pub fn active_leftovers(&self, state: &State) -> Vec<ContainerId> {
        let runs = |s: &&Seen| self.is_ours(state, s) && s.container.run.is_active();
        self.containers.iter().filter(runs).map(|s| s.container.id.clone()).collect()
    }

    /// Whether a container stands under a name that this restore gave.
    #[must_use]
    pub fn is_ours(&self, state: &State, seen: &Seen) -> bool {
        container::is_ours(&seen.container.name, state.plan.restore)
    }
}
