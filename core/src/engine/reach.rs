//! Which directories are one, or lie in one another, under whatever paths; and how far containers reach into them.

use std::path::{Path, PathBuf};

use super::Engine;
use crate::model::{Container, Location};

/// How far a container reaches into a directory, by its mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// From above, read-only: it sees whatever has the name.
    Looks,
    /// It holds the directory or something in it, read-only: after a switch it would see the replaced one.
    Reads,
    /// It may write.
    Writes,
}

/// A path, and the directory there as far as it can be found: a bind mount, or a device that is mounted twice, shows one
/// directory under two paths. What cannot be found is compared by its path.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    path: PathBuf,
    location: Option<Location>,
}

impl Placed {
    /// Whether it lies below the other.
    pub(super) fn is_within(&self, other: &Placed) -> bool {
        match (&self.location, &other.location) {
            (Some(own), Some(others)) => own.is_within(others) && !own.is_same(others),
            _ => self.real() != other.real() && self.real().starts_with(other.real()),
        }
    }

    /// Whether one of the two is the other or lies below it.
    pub(super) fn overlaps(&self, other: &Placed) -> bool {
        match (&self.location, &other.location) {
            (Some(own), Some(others)) => own.overlaps(others),
            _ => self.real().starts_with(other.real()) || other.real().starts_with(self.real()),
        }
    }

    /// Whether the two are one.
    pub(super) fn is_same(&self, other: &Placed) -> bool {
        match (&self.location, &other.location) {
            (Some(own), Some(others)) => own.is_same(others),
            _ => self.real() == other.real(),
        }
    }

    fn real(&self) -> &Path {
        self.location.as_ref().map_or(&self.path, |location| &location.real)
    }
}

impl Engine {
    pub(super) async fn placed(&self, path: &Path) -> Placed {
        let location = self.ports.filesystem.locate(path).await.ok();
        Placed { path: path.to_path_buf(), location }
    }

    pub(super) async fn all_placed(&self, paths: &[PathBuf]) -> Vec<Placed> {
        let mut places = Vec::with_capacity(paths.len());
        for path in paths {
            places.push(self.placed(path).await);
        }
        places
    }

    /// How far a container that mounts something of the places reaches into them.
    pub(super) async fn reach(&self, container: &Container, places: &[Placed]) -> Reach {
        let mut reach = None;
        for mount in &container.mounts {
            let source = self.placed(&mount.source).await;
            for place in places {
                let is_above = place.is_within(&source);
                let by_this = match (place.overlaps(&source), mount.writable, is_above) {
                    (false, ..) => continue,
                    (true, true, _) => Reach::Writes,
                    (true, false, true) => Reach::Looks,
                    (true, false, false) => Reach::Reads,
                };
                reach = reach.max(Some(by_this));
            }
        }
        // The engine says that it does, in a way that its mounts do not show.
        reach.unwrap_or(Reach::Writes)
    }
}
