//! Volumes that lie in other volumes: a directory is kept once, as part of the outermost.

use std::collections::BTreeMap;

use super::{Location, Occupant};

/// Which volumes are part of another one, by target: their directories lie in its, or are the same. Of the directories
/// above each other it is the outermost, and of names for the same one the first.
///
/// What is mounted in a volume, and a subvolume in it, is not part of it: a rename does not take it along.
#[must_use]
pub fn parts<'a>(places: impl IntoIterator<Item = (&'a str, &'a Location)>) -> BTreeMap<String, String> {
    let places: Vec<(&str, &Location)> = places.into_iter().collect();
    let mut parts = BTreeMap::new();
    for (at, (target, place)) in places.iter().enumerate() {
        let holds = |(other_at, (_, other)): &(usize, &(&str, &Location))| {
            place.is_within(other) && goes_along(place) || place.is_same(other) && *other_at < at
        };
        // Of those that hold it, the one that holds the others.
        let outer = places.iter().enumerate().filter(holds).min_by_key(|(at, (_, other))| (other.ancestors.len(), *at));
        if let Some((_, (outer, _))) = outer {
            parts.insert((*target).to_string(), (*outer).to_string());
        }
    }
    // What holds it may be known as part of another under another path only.
    for _ in 0..parts.len() {
        let outer: BTreeMap<String, String> = parts.clone();
        parts.values_mut().filter_map(|of| Some((outer.get(of)?.clone(), of))).for_each(|(outer, of)| *of = outer);
    }
    parts
}

fn goes_along(inner: &Location) -> bool {
    match inner.occupant {
        Occupant::Absent | Occupant::Directory(_) | Occupant::Immutable(_) => true,
        Occupant::MountPoint(_) | Occupant::Subvolume(_) | Occupant::NotADirectory => false,
    }
}
