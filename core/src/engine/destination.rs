//! Where a copy may come to lie: an empty or absent place that is nobody's, on a disk that has room for it.

use std::path::Path;

use super::Engine;
use crate::{
    error::{Code, EngineErrorKind, Error, FsErrorKind, Result},
    model::{Location, Occupant, Sight},
    restore::{
        preflight::is_system,
        space::{Needs, human},
    },
};

/// How much of the world must be known before a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Data are fetched, perhaps because everything else is broken: what an engine would say is not waited for, and a
    /// place within a live directory is the user's own choice.
    Fetching,
    /// An app is going to live there: no live directory of any workload may be near.
    Settling,
}

/// A live directory.
pub(super) struct Live {
    workload: String,
    target: String,
    location: Location,
}

impl Engine {
    /// A place that can be taken. `what` names it in messages.
    pub(super) async fn destination(&self, what: &str, path: &Path, lives: &[Live], care: Care) -> Result<Location> {
        let filesystem = &self.ports.filesystem;
        let shown = path.display();
        let location = match filesystem.locate(path).await {
            Err(error) if error.kind == FsErrorKind::NotFound => {
                return Err(Error::new(Code::NotFound, format!("{what}: the parent of {shown} does not exist"))
                    .hint("make it first, or check that its filesystem is mounted"));
            }
            located => located.map_err(|error| Error::from(error).context(what))?,
        };
        let refuse = |message: String, hint: &str| Err(Error::new(Code::Refused, message).hint(hint));
        let within = "choose a directory within it, or another place";
        match location.occupant {
            Occupant::Absent => {}
            Occupant::Directory(_) => match filesystem.look(&location.real).await? {
                Sight::Absent | Sight::Directory { empty: true, .. } => {}
                Sight::Directory { empty: false, .. } | Sight::Other => {
                    return refuse(
                        format!("{what}: {shown} is not empty"),
                        "choose an empty directory, or one that does not exist",
                    );
                }
            },
            Occupant::MountPoint(_) | Occupant::Subvolume(_) => {
                let kind = location.occupant.fixed().unwrap_or("in use");
                return refuse(format!("{what}: {shown} is {kind}, which cannot be put in place as a whole"), within);
            }
            Occupant::Immutable(_) => {
                return refuse(format!("{what}: {shown} is immutable or append-only"), within);
            }
            Occupant::NotADirectory => {
                return refuse(format!("{what}: {shown} is not a directory"), "choose another place");
            }
        }
        if is_system(&location.real) {
            return refuse(format!("{what}: {shown} is a directory of the system"), within);
        }
        self.refuse_protected(what, &location, care).await?;
        for live in lives {
            let near = match care {
                Care::Fetching => live.location.is_same(&location),
                Care::Settling => live.location.overlaps(&location),
            };
            if near {
                let (of, target, real) = (&live.workload, &live.target, live.location.real.display());
                return refuse(
                    format!("{what}: {shown} overlaps with volume {target} of {of} at {real}"),
                    "choose a directory that no workload has; `volsnap restore WORKLOAD SNAPSHOT` replaces what is live",
                );
            }
        }
        if location.filesystem.read_only {
            let mount = location.filesystem.mount.display();
            return refuse(format!("{what}: {shown} lies on {mount}, which is mounted read-only"), "mount it writable");
        }
        if !location.writable {
            return refuse(
                format!("{what}: no permission to make names in the parent of {shown}"),
                "choose another place, or run volsnap as a user who may write there",
            );
        }
        Ok(location)
    }

    /// The state directory, the engine's own data, and what a running container has mounted.
    async fn refuse_protected(&self, what: &str, location: &Location, care: Care) -> Result<()> {
        let filesystem = &self.ports.filesystem;
        let overlaps = |with: &str, of: &Location| {
            let (path, place) = (location.real.display(), of.real.display());
            Error::new(Code::Refused, format!("{what}: {path} overlaps with {with} at {place}"))
                .hint("choose a place outside of it")
        };
        let state_dir = filesystem.locate(&filesystem.state_dir()).await?;
        if location.overlaps(&state_dir) {
            return Err(overlaps("volsnap's state directory", &state_dir));
        }
        let Some(containers) = &self.ports.containers else { return Ok(()) };
        let info = match containers.info().await {
            Ok(info) => info,
            // Nobody runs anything there then.
            Err(error) if error.kind == EngineErrorKind::Unreachable || care == Care::Fetching => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(root) = info.root
            && let Ok(root) = filesystem.locate(&root).await
            && location.overlaps(&root)
        {
            return Err(overlaps("the container engine's own data", &root));
        }
        if location.inode.is_some() {
            // Who has mounted the empty directory would go on with it, and never see what takes its place.
            let mounting = containers.mounting(std::slice::from_ref(&location.real)).await?;
            let place = self.placed(&location.real).await;
            for container in mounting.iter().filter(|container| container.run.is_active()) {
                for mount in &container.mounts {
                    if self.placed(&mount.source).await.is_same(&place) {
                        let (name, path) = (&container.name, location.real.display());
                        return Err(Error::new(Code::Refused, format!("{what}: container {name} has {path} mounted"))
                            .hint(format!("stop it (`docker stop {name}`), or choose another place")));
                    }
                }
            }
        }
        Ok(())
    }

    /// The live directories of all workloads. One that cannot be located is none.
    pub(super) async fn live_directories(&self, care: Care) -> Result<Vec<Live>> {
        let mut lives = Vec::new();
        for workload in self.workloads().await? {
            let members = match &self.ports.containers {
                Some(containers) if !workload.selector.is_empty() => {
                    Self::members_left(containers.as_ref(), &workload.selector).await
                }
                _ if workload.selector.is_empty() || care == Care::Fetching => Ok(Vec::new()),
                _ => self.containers().map(|_| Vec::new()),
            };
            let members = match members {
                Err(error) if care == Care::Fetching => {
                    tracing::debug!(%error, "the volumes of its containers are not known");
                    Vec::new()
                }
                members => members.map_err(|error| {
                    let name = &workload.name;
                    Error::from(error).context(format_args!("which directories {name} has is not known"))
                })?,
            };
            for volume in self.name_volumes(&workload, &members).await?.volumes {
                if let Ok(location) = self.ports.filesystem.locate(&volume.path).await {
                    lives.push(Live { workload: workload.name.clone(), target: volume.target, location });
                }
            }
        }
        Ok(lives)
    }
}

/// Adds up what a copy needs at a place.
pub(super) fn need(needs: &mut Needs, place: &Location, bytes: u64, entries: u64) {
    // The private directory and a few of those above the volumes come on top.
    needs.add(&place.filesystem, place.space, bytes, entries + 2);
}

/// Refuses what does not fit.
pub(super) fn check_space(needs: Needs) -> Result<()> {
    for need in needs.check().0 {
        let mount = need.mount.display();
        if need.bytes_needed > need.bytes_free {
            let (free, needed) = (human(need.bytes_free), human(need.bytes_needed));
            return Err(Error::new(
                Code::Refused,
                format!("the filesystem at {mount} has {free} free and the copy needs {needed}"),
            )
            .hint(format!(
                "free {} there, choose another filesystem, or copy less",
                human(need.bytes_needed - need.bytes_free)
            )));
        }
        if let Some(free) = need.inodes_free.filter(|free| need.inodes_needed > *free) {
            return Err(Error::new(
                Code::Refused,
                format!("the filesystem at {mount} has {free} inodes free and the copy needs {}", need.inodes_needed),
            )
            .hint("delete files there, choose another filesystem, or copy less"));
        }
    }
    Ok(())
}
