//! The names of volumes: each keeps the first that it was given, whatever comes beside it later.
//!
//! A volume is recognised by what it is: its directory, its name in the engine, and where containers have it. So a second
//! service with the same place in its container changes nothing for the first, a service may be renamed and a directory
//! may be moved. Names that were given once are never given to another volume.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Container, Manifest, ManifestVolume, VolumePath, member::escape};

/// Where a container has a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MountedAt {
    /// The container's name.
    pub container: String,
    /// Its service in a compose project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The path in the container.
    pub target: String,
}

/// A volume that has a name already, and by what it is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownVolume {
    /// Its name within the workload.
    pub name: String,
    /// The directory on the host where it was last, raw bytes as [`escape`] writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its name in the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Which containers had it last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_at: Vec<MountedAt>,
}

impl KnownVolume {
    fn of(volume: &VolumePath) -> Self {
        KnownVolume {
            name: volume.target.clone(),
            path: Some(path_of(volume)),
            volume: volume.volume.clone(),
            mounted_at: volume.mounted_at.clone(),
        }
    }

    /// What a snapshot says of its volumes. Those of earlier versions say names only, and which containers there were.
    pub(crate) fn all_of(manifest: &Manifest) -> Vec<KnownVolume> {
        let known = |volume: &ManifestVolume| KnownVolume {
            name: volume.target.clone(),
            path: None,
            volume: volume.volume.clone(),
            mounted_at: match says_more(volume) {
                true => volume.mounted_at.clone(),
                false => guessed(manifest, &volume.target),
            },
        };
        manifest.volumes.iter().map(known).collect()
    }
}

/// Whether a manifest says more of the volume than its name.
fn says_more(volume: &ManifestVolume) -> bool {
    volume.volume.is_some() || !volume.mounted_at.is_empty()
}

/// Where a volume may have been mounted of which an earlier version wrote the name only: that was the path in the
/// container, of whichever there were, or `service:path`, with the container's name where it had no service.
fn guessed(manifest: &Manifest, name: &str) -> Vec<MountedAt> {
    let at = |container: &str, service: Option<&str>, target: &str| MountedAt {
        container: container.into(),
        service: service.map(String::from),
        target: target.into(),
    };
    match name.split_once(":/") {
        Some((service, target)) => vec![at(service, Some(service), &format!("/{target}"))],
        None => manifest.images.iter().map(|image| at(&image.container, None, name)).collect(),
    }
}

/// What each volume of a snapshot is now, in the manifest's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recognised(Vec<Result<String, Unrecognised>>);

/// Why a volume of a snapshot is none of the present ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrecognised {
    /// None is like it.
    Gone,
    /// Any of these could be it.
    Ambiguous(Vec<String>),
}

impl Recognised {
    /// Finds the volumes of a snapshot among the present ones.
    ///
    /// The workload's own snapshots bear the names that volumes keep. One of an earlier version bears the names of its
    /// time: its volume is the one that a container of that time has there, or one of the same image. A snapshot from
    /// elsewhere was named elsewhere; there a name counts only after everything else.
    #[must_use]
    pub fn of(manifest: &Manifest, present: &[VolumePath]) -> Self {
        let known = KnownVolume::all_of(manifest);
        let mut matching = Matching::of(&known, present);
        let is_imported = manifest.imported.is_some();
        let says_more = |k: usize| says_more(&manifest.volumes[k]);
        let by_name = |k: usize, p: usize| known[k].name == present[p].target;
        matching.pair(|k, p| by_name(k, p) && present[p].declared);
        matching.pair(|k, p| by_name(k, p) && !is_imported && says_more(k));
        matching
            .pair(|k, p| by_name(k, p) && (by_service(&known[k], &present[p]) || by_container(&known[k], &present[p])));
        matching.pair_by_what_they_are();
        let images: BTreeSet<&str> = manifest.images.iter().map(|image| repository(&image.image)).collect();
        matching.pair(|k, p| {
            !says_more(k)
                && present[p].mounted_at.iter().any(|at| at.target == known[k].name)
                && present[p].images.iter().any(|image| images.contains(repository(image)))
        });
        matching.pair(|k, p| by_name(k, p) && (is_imported || images.is_empty()));
        let found = |k: usize| matching.of_known.get(&k).map(|p| present[*p].target.clone());
        Recognised((0..known.len()).map(|k| found(k).ok_or_else(|| matching.unrecognised(k))).collect())
    }

    /// What the volume with that index in the manifest is now.
    pub fn get(&self, index: usize) -> Result<&str, &Unrecognised> {
        match self.0.get(index) {
            Some(found) => found.as_deref(),
            None => Err(&Unrecognised::Gone),
        }
    }

    /// The index of the volume that is now this one.
    #[must_use]
    pub fn index_of(&self, target: &str) -> Option<usize> {
        self.0.iter().position(|found| found.as_deref() == Ok(target))
    }
}

/// The image without its tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        // A colon before a slash is that of a port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

fn path_of(volume: &VolumePath) -> String {
    escape(volume.path.as_os_str().as_encoded_bytes())
}

/// Which known volume is which present one. What is paired stays so, and only what is certain is paired.
struct Matching<'a> {
    known: &'a [KnownVolume],
    present: &'a [VolumePath],
    of_known: BTreeMap<usize, usize>,
}

impl<'a> Matching<'a> {
    fn of(known: &'a [KnownVolume], present: &'a [VolumePath]) -> Self {
        Matching { known, present, of_known: BTreeMap::new() }
    }

    /// By the directory, the name in the engine, the service and the container, in this order.
    fn pair_by_what_they_are(&mut self) {
        let (known, present) = (self.known, self.present);
        self.pair(|k, p| known[k].path.as_ref().is_some_and(|path| *path == path_of(&present[p])));
        self.pair(|k, p| known[k].volume.is_some() && known[k].volume == present[p].volume);
        self.pair(|k, p| by_service(&known[k], &present[p]));
        self.pair(|k, p| by_container(&known[k], &present[p]));
    }

    /// Pairs those of which each is like the other one only.
    fn pair(&mut self, like: impl Fn(usize, usize) -> bool) {
        let free: Vec<(usize, usize)> = self.free().filter(|(k, p)| like(*k, *p)).collect();
        for (k, p) in &free {
            if free.iter().filter(|(k2, p2)| k2 == k || p2 == p).count() == 1 {
                self.of_known.insert(*k, *p);
            }
        }
    }

    /// Pairs of which neither has been paired yet.
    fn free(&self) -> impl Iterator<Item = (usize, usize)> {
        let taken: BTreeSet<usize> = self.of_known.values().copied().collect();
        let known = (0..self.known.len()).filter(|k| !self.of_known.contains_key(k));
        known.flat_map(move |k| {
            let taken = taken.clone();
            (0..self.present.len()).filter(move |p| !taken.contains(p)).map(move |p| (k, p))
        })
    }

    fn unrecognised(&self, known: usize) -> Unrecognised {
        let of = &self.known[known];
        let alike = |volume: &VolumePath| {
            let among = |at: &MountedAt| of.mounted_at.iter().any(|known| known.target == at.target);
            volume.target == of.name || volume.mounted_at.iter().any(among)
        };
        let free = self.free().filter(|(k, p)| *k == known && alike(&self.present[*p]));
        let names: Vec<String> = free.map(|(_, p)| self.present[p].target.clone()).collect();
        if names.is_empty() { Unrecognised::Gone } else { Unrecognised::Ambiguous(names) }
    }
}

fn by_service(known: &KnownVolume, present: &VolumePath) -> bool {
    shares(known, present, |a, b| a.service.is_some() && a.service == b.service)
}

fn by_container(known: &KnownVolume, present: &VolumePath) -> bool {
    shares(known, present, |a, b| a.container == b.container)
}

/// Whether both are at the same path of containers that are the same in that way.
fn shares(known: &KnownVolume, present: &VolumePath, same: fn(&MountedAt, &MountedAt) -> bool) -> bool {
    let mut known = known.mounted_at.iter();
    known.any(|a| present.mounted_at.iter().any(|b| a.target == b.target && same(a, b)))
}

/// Names the volumes that containers have: those that are known as they are known, the others by their place in the
/// container, with the service before it where that alone would not tell them apart.
///
/// `taken` are names that were given by hand.
pub(crate) fn give(known: &[KnownVolume], found: &mut [VolumePath], taken: &BTreeSet<String>) {
    let mut matching = Matching::of(known, found);
    matching.pair_by_what_they_are();
    let named: BTreeMap<usize, usize> = matching.of_known.iter().map(|(k, p)| (*p, *k)).collect();
    let mut taken: BTreeSet<String> = taken.iter().cloned().chain(known.iter().map(|k| k.name.clone())).collect();
    let names: Vec<String> = (0..found.len())
        .map(|p| match named.get(&p) {
            Some(k) => known[*k].name.clone(),
            None => {
                let name = fresh(found, p, &taken);
                taken.insert(name.clone());
                name
            }
        })
        .collect();
    for (volume, name) in found.iter_mut().zip(names) {
        volume.target = name;
    }
}

/// A name that no other volume has or had.
fn fresh(found: &[VolumePath], volume: usize, taken: &BTreeSet<String>) -> String {
    let first = |volume: &VolumePath| volume.mounted_at.first().cloned();
    let Some(at) = first(&found[volume]) else { return path_of(&found[volume]) };
    let others = || found.iter().enumerate().filter(|(p, _)| *p != volume).filter_map(|(_, other)| first(other));
    let is_alone = others().all(|other| other.target != at.target);
    let of_service = |other: MountedAt| other.target == at.target && other.service == at.service;
    let is_alone_in_service = at.service.is_some() && !others().any(of_service);
    let service = at.service.as_ref().filter(|_| is_alone_in_service);
    let plain = is_alone.then(|| at.target.clone());
    let of_service = service.map(|service| format!("{service}:{}", at.target));
    let of_container = format!("{}:{}", at.container, at.target);
    let numbered = (2..).map(|n: u64| format!("{of_container}#{n}"));
    let mut names = plain.into_iter().chain(of_service).chain([of_container.clone()]).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or(of_container)
}

/// What is known from now on: all that was, and the present volumes as they are.
pub(crate) fn learn(known: &[KnownVolume], present: &[VolumePath]) -> Vec<KnownVolume> {
    let now: BTreeMap<&str, &VolumePath> = present.iter().map(|volume| (volume.target.as_str(), volume)).collect();
    let occupied: BTreeSet<&MountedAt> = present.iter().flat_map(|volume| &volume.mounted_at).collect();
    let gone = known.iter().filter(|known| !now.contains_key(known.name.as_str())).map(|known| {
        // Where another one is now, nobody will look for it any more.
        let kept = known.mounted_at.iter().filter(|at| !occupied.contains(at)).cloned();
        KnownVolume { mounted_at: kept.collect(), ..known.clone() }
    });
    let mut all: Vec<KnownVolume> = gone.chain(present.iter().map(KnownVolume::of)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The container's mount as a place of a volume.
pub(crate) fn mounted_at(container: &Container, target: &str) -> MountedAt {
    MountedAt { container: container.name.clone(), service: container.service.clone(), target: target.into() }
}
