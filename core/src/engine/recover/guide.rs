//! The exact commands that put directories back which somebody moved in the middle of a restore.

use std::path::Path;

use super::*;
use crate::{
    error::FsError,
    model::{Identity, Sight, hook::quoted, place},
};

impl Engine {
    /// The same anomaly with the commands that put it right, as far as a look around tells them. Touches nothing.
    pub(in crate::engine) async fn guided(&self, state: &State, facts: &Facts, anomaly: Anomaly) -> Anomaly {
        let commands = match &anomaly {
            Anomaly::ParentChanged { path, .. } => self.parent_back(state, path).await,
            Anomaly::ForeignLive { path, .. } => self.out_of_the_way(state, path).await,
            Anomaly::OriginalMissing { private, .. } => {
                let original = |volume: usize| state.plan.volumes[volume].original;
                self.back_to(state, facts, private, original, [place::aside_in, place::staged_in]).await
            }
            Anomaly::RestoredMissing { private, .. } => {
                let restored = |volume: usize| state.committed.as_ref().map(|ids| ids[volume]);
                self.back_to(state, facts, private, restored, [place::staged_in, place::staged_in]).await
            }
            Anomaly::OriginalAside { private, .. } => self.out_again(state, facts, private).await,
            Anomaly::OtherHost { .. }
            | Anomaly::OtherEngine { .. }
            | Anomaly::MembersGone { .. }
            | Anomaly::InDoubt { .. }
            | Anomaly::StepFailed { .. }
            | Anomaly::NoProgress { .. } => return anomaly,
        };
        // What cannot be looked at leaves the advice without commands.
        anomaly.with_commands(commands.unwrap_or_default())
    }

    async fn parent_back(&self, state: &State, holder: &Path) -> Result<Vec<String>, FsError> {
        let volumes = || 0..state.plan.volumes.len();
        let volume = volumes().find(|volume| state.plan.holder(*volume) == holder);
        let (Some(volume), Some(above)) = (volume, holder.parent()) else { return Ok(Vec::new()) };
        let found = self.ports.filesystem.find_directory(above, state.plan.volumes[volume].parent).await?;
        let Some(mut found) = found else { return Ok(Vec::new()) };
        let mut commands = Vec::new();
        if is_taken(self.ports.filesystem.look(holder).await?) {
            let free = self.free_name(holder).await?;
            commands.push(moving(holder, &free));
            found = found.strip_prefix(holder).map(|below| free.join(below)).unwrap_or(found);
        }
        commands.push(moving(&found, holder));
        Ok(commands)
    }

    /// Whatever stands at one of a volume's names, moved beside its live directory.
    async fn out_of_the_way(&self, state: &State, path: &Path) -> Result<Vec<String>, FsError> {
        let private = |volume: &usize| path.parent() == Some(&state.plan.private(*volume));
        let volume = (0..state.plan.volumes.len()).find(private);
        let live = volume.map_or(path, |volume| &state.plan.volumes[volume].live);
        Ok(vec![moving(path, &self.free_name(live).await?)])
    }

    /// A directory that stands at none of its names, moved to the first of these that is free.
    async fn back_to(
        &self,
        state: &State,
        facts: &Facts,
        private: &Path,
        identity: impl Fn(usize) -> Option<Identity>,
        names: [fn(&Path) -> PathBuf; 2],
    ) -> Result<Vec<String>, FsError> {
        let Some(volume) = volume_of(state, private) else { return Ok(Vec::new()) };
        let (places, planned) = (facts.volumes[volume], &state.plan.volumes[volume]);
        let is_by_entry = planned.method == Method::ByEntry;
        let identity = if is_by_entry { state.committed.as_ref().map(|ids| ids[volume]) } else { identity(volume) };
        let Some(identity) = identity else { return Ok(Vec::new()) };
        let Some(found) = self.find_near(state.plan.holder(volume), identity).await? else { return Ok(Vec::new()) };
        let mut commands = Vec::new();
        if is_by_entry {
            // The whole of the private directory, or nothing that can be told in a command.
            if let Some(moved) = found.parent().filter(|_| places.private == Sight::Absent)
                && place::staged_in(moved) == found
                && self.ports.filesystem.look(&place::original_root_in(moved)).await? != Sight::Absent
            {
                commands.push(moving(moved, private));
            }
            return Ok(commands);
        }
        if places.private == Sight::Absent {
            commands.push(format!("mkdir -m 700 {}", shown(private)));
        }
        let (staged, aside) = (place::staged_in(private), place::aside_in(private));
        let is_free = |name: &&PathBuf| match **name == aside {
            true => places.aside == Sight::Absent,
            false => places.staged == Sight::Absent,
        };
        let wanted = names.map(|name| name(private));
        match wanted.iter().find(is_free) {
            Some(name) => commands.push(moving(&found, name)),
            None if places.live == Sight::Absent => commands.push(moving(&found, &planned.live)),
            // The original came to the staged name by an exchange, and is as good at the other one.
            None if facts.names(state, volume).staged == Holds::Original && places.aside == Sight::Absent => {
                commands.extend([moving(&staged, &aside), moving(&found, &staged)]);
            }
            None => commands.extend(self.out_of_the_way(state, &wanted[0]).await?),
        }
        Ok(commands)
    }

    /// An original in a private directory that is about to go, moved to its live name.
    async fn out_again(&self, state: &State, facts: &Facts, private: &Path) -> Result<Vec<String>, FsError> {
        let Some(volume) = volume_of(state, private) else { return Ok(Vec::new()) };
        let (names, planned) = (facts.names(state, volume), &state.plan.volumes[volume]);
        let from = match (names.aside, names.staged) {
            (Holds::Original, _) => place::aside_in(private),
            (_, Holds::Original) => place::staged_in(private),
            // Not the original, and not known to be anything else.
            (_, Holds::EmptyForeign | Holds::Foreign) => {
                return self.out_of_the_way(state, &place::staged_in(private)).await;
            }
            (_, Holds::Absent | Holds::Restored) => return Ok(Vec::new()),
        };
        let mut commands = Vec::new();
        if is_taken(facts.volumes[volume].live) {
            commands.push(moving(&planned.live, &self.free_name(&planned.live).await?));
        }
        commands.push(moving(&from, &planned.live));
        Ok(commands)
    }

    /// Most directories that were moved by hand are still beside where they were.
    async fn find_near(&self, holder: &Path, identity: Identity) -> Result<Option<PathBuf>, FsError> {
        for within in [Some(holder), holder.parent()].into_iter().flatten() {
            if let Some(found) = self.ports.filesystem.find_directory(within, identity).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A name beside `path` that nothing has.
    async fn free_name(&self, path: &Path) -> Result<PathBuf, FsError> {
        let mut name = path.as_os_str().to_os_string();
        name.push(".in-the-way");
        while self.ports.filesystem.look(Path::new(&name)).await? != Sight::Absent {
            name.push("-again");
        }
        Ok(name.into())
    }
}

fn volume_of(state: &State, private: &Path) -> Option<usize> {
    (0..state.plan.volumes.len()).find(|volume| state.plan.private(*volume) == private)
}

/// A rename takes the place of an empty directory by itself.
fn is_taken(sight: Sight) -> bool {
    !matches!(sight, Sight::Absent | Sight::Directory { empty: true, .. })
}

fn moving(from: &Path, to: &Path) -> String {
    format!("mv -T {} {}", shown(from), shown(to))
}

/// An absolute path as a shell takes it.
fn shown(path: &Path) -> String {
    quoted([path.to_string_lossy().as_ref()])
}
