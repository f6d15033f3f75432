//! Comparing a snapshot with another one, or with what is live now.

use std::{collections::BTreeMap, path::PathBuf, vec};

use super::{
    Engine,
    inside::{below, is_below, look_into, trimmed},
};
use crate::{
    error::{Code, Error, Result},
    model::{
        Change, ManifestVolume, Member, Occupant, Recognised, Snapshot, VolumeDifference, VolumePath, Workload,
        difference::{self, Next},
        member::{printable, unprinted},
    },
    ports::{LookInto, Members, MembersOf, Watch},
};

/// What to compare, and how closely.
#[derive(Clone, Debug)]
pub struct DiffRequest {
    /// The earlier state, from which things were added, removed and changed.
    pub from: Snapshot,
    /// The later one.
    pub to: Against,
    /// Only these volumes; empty for all.
    pub targets: Vec<String>,
    /// Only what is at and below it: a volume's target with a path below it, or a path with several targets below it.
    pub path: Option<Vec<u8>>,
    /// Whether contents are read and compared. Without it, files with the same size and time count as the same.
    pub contents: bool,
    /// Whether another time of modification counts also where it says nothing about contents.
    pub times: bool,
}

/// What a snapshot is compared with.
#[derive(Clone, Debug)]
pub enum Against {
    /// Another snapshot.
    Snapshot(Box<Snapshot>),
    /// The workload's volumes as they are now. Whoever writes into them goes on meanwhile.
    Live(Box<Workload>),
}

impl DiffRequest {
    /// All of a snapshot, compared by what can be seen without reading contents.
    #[must_use]
    pub fn of(from: Snapshot, to: Against) -> Self {
        DiffRequest { from, to, targets: Vec::new(), path: None, contents: false, times: false }
    }
}

/// Takes what differs, with the volume's target, in the order of an archive. An error, in words, ends the comparison.
pub type ChangeSink = Box<dyn FnMut(&str, &Change) -> Result<(), String> + Send>;

impl Engine {
    /// Hands on what differs, and gives the numbers of each volume, by target. Touches nothing and takes no lock.
    pub async fn diff(
        &self,
        request: &DiffRequest,
        mut sink: ChangeSink,
        watch: &Watch,
    ) -> Result<Vec<VolumeDifference>> {
        // Two archives are read at once: each would wait for the other's threads.
        let engine = &match request.contents {
            true => self.reserved(watch).await?,
            false => self.clone(),
        };
        match engine.diff_at(request, &mut sink, watch).await {
            // Nothing has such a path: then the one is meant that is printed so.
            Err(error) if error.code == Code::NotFound => match request.path.as_deref().and_then(unprinted) {
                Some(path) => {
                    let shown = DiffRequest { path: Some(path), ..request.clone() };
                    engine.diff_at(&shown, &mut sink, watch).await.map_err(|_| error)
                }
                None => Err(error),
            },
            differs => differs,
        }
    }

    async fn diff_at(
        &self,
        request: &DiffRequest,
        sink: &mut ChangeSink,
        watch: &Watch,
    ) -> Result<Vec<VolumeDifference>> {
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        let later = self.later(&request.to).await?;
        let names = names_now(&request.from, &later);
        for ((_, tree), now) in archived(&request.from).into_iter().zip(&names) {
            pairs.entry(now.clone()).or_default().before = tree;
        }
        for (volume, tree) in later {
            pairs.entry(volume.target).or_default().after = tree;
        }
        let asked = DiffRequest { targets: asked_now(request, &names), ..request.clone() };
        let mut numbers = Vec::new();
        let mut found = request.path.is_none();
        for (target, path) in selected(&asked, &pairs.keys().map(String::as_str).collect::<Vec<_>>())? {
            let pair = &pairs[&target];
            let mut volume = VolumeDifference::of(&target);
            if !(path.is_empty() && pair.is_equal()) {
                found |= self.compare(request, pair, &path, &mut volume, sink, watch).await?;
            }
            numbers.push(volume);
        }
        match (found, &request.path) {
            (false, Some(path)) => Err(Error::new(Code::NotFound, format!("neither has `{}`", printable(path))).hint(
                "give a volume's target, or its target with a path below it; `volsnap ls SNAPSHOT` shows what there is",
            )),
            (true, _) | (false, None) => Ok(numbers),
        }
    }

    /// Compares one volume; whether there was anything to compare.
    async fn compare(
        &self,
        request: &DiffRequest,
        pair: &Pair,
        path: &[u8],
        volume: &mut VolumeDifference,
        sink: &mut ChangeSink,
        watch: &Watch,
    ) -> Result<bool> {
        let of = &MembersOf { path: path.to_vec(), contents: request.contents };
        let before = self.head(pair.before.as_ref(), of, watch);
        let mut before = before.await.map_err(|e| e.context(format_args!("volume {}", volume.target)))?;
        let after = self.head(pair.after.as_ref(), of, watch);
        let mut after = after.await.map_err(|e| e.context(format_args!("volume {}", volume.target)))?;
        let found = before.next.is_some() || after.next.is_some();
        loop {
            match difference::next(&mut before.next, &mut after.next, request.times) {
                Next::End => return Ok(found),
                Next::Same => {}
                Next::Differs(change) => {
                    volume.count(&change);
                    sink(&volume.target, &change).map_err(|words| unwritten(&words))?;
                }
            }
            before.fill().await?;
            after.fill().await?;
        }
    }

    /// The first of a volume's members, if there is such a volume.
    async fn head(&self, side: Option<&Side>, of: &MembersOf, watch: &Watch) -> Result<Head> {
        let members = match side.map(|side| &side.tree) {
            Some(Tree::Archived(archive, index)) => {
                Some(self.ports.archives.archived_members(archive, *index, of, watch.clone()).await?)
            }
            Some(Tree::Live(root)) => Some(self.ports.filesystem.members(root, of, watch.clone()).await?),
            None => None,
        };
        Head::of(members).await
    }

    /// The volumes of the later state. One that does not exist has no tree.
    async fn later(&self, to: &Against) -> Result<Vec<(VolumePath, Option<Side>)>> {
        let workload = match to {
            Against::Snapshot(snapshot) => return Ok(archived(snapshot)),
            Against::Live(workload) => workload,
        };
        let mut volumes = Vec::new();
        for volume in self.resolve(workload).await?.volumes {
            let located = self.ports.filesystem.locate(&volume.path).await;
            let located = located.map_err(|e| Error::from(e).context(format_args!("volume {}", volume.target)))?;
            let side = match located.occupant {
                Occupant::Absent => None,
                Occupant::NotADirectory => {
                    let path = located.real.display();
                    return Err(Error::new(
                        Code::Refused,
                        format!("volume {} at {path} is not a directory", volume.target),
                    )
                    .hint("only directories can be volumes"));
                }
                Occupant::Directory(_) | Occupant::MountPoint(_) | Occupant::Subvolume(_) | Occupant::Immutable(_) => {
                    Some(Side::live(located.real))
                }
            };
            volumes.push((volume, side));
        }
        Ok(volumes)
    }
}

/// A volume in both states.
#[derive(Default)]
struct Pair {
    before: Option<Side>,
    after: Option<Side>,
}

/// Where the members of a volume are.
enum Tree {
    /// The volume of that index in an archive. It is not absent.
    Archived(LookInto, usize),
    /// The live directory, by its path without links.
    Live(PathBuf),
}

/// A volume in one of them.
struct Side {
    tree: Tree,
    /// Of an archived one.
    digest: Option<String>,
}

impl Side {
    fn live(root: PathBuf) -> Self {
        Side { tree: Tree::Live(root), digest: None }
    }
}

impl Pair {
    /// Whether both are known to be the same without reading them. A volume's digest covers every byte of its members:
    /// names, contents, owners, modes, times, attributes. (It also covers the volume's index, which stands in each
    /// name, so what is the same at another index is read and compared.)
    fn is_equal(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.digest.is_some() && before.digest == after.digest,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// A list of members and the next one.
pub(super) struct Head {
    members: Option<Box<dyn Members>>,
    ready: vec::IntoIter<Member>,
    pub(super) next: Option<Member>,
}

impl Head {
    pub(super) async fn of(members: Option<Box<dyn Members>>) -> Result<Self> {
        let mut head = Head { members, ready: Vec::new().into_iter(), next: None };
        head.fill().await?;
        Ok(head)
    }

    /// Sees to it that the next one is there, unless there is none.
    pub(super) async fn fill(&mut self) -> Result<()> {
        if self.next.is_some() {
            return Ok(());
        }
        self.next = self.ready.next();
        if let (None, Some(members)) = (&self.next, &mut self.members) {
            self.ready = members.next().await?.into_iter();
            self.next = self.ready.next();
            if self.next.is_none() {
                self.members = None;
            }
        }
        Ok(())
    }
}

/// What the volumes of a snapshot are called in the later state. One that it does not have keeps its name, unless that is
/// another volume's now.
fn names_now(from: &Snapshot, later: &[(VolumePath, Option<Side>)]) -> Vec<String> {
    let present: Vec<VolumePath> = later.iter().map(|(volume, _)| volume.clone()).collect();
    let recognised = Recognised::of(&from.archive.manifest, &present);
    let name = |(index, volume, _): (usize, &ManifestVolume, _)| match recognised.get(index) {
        Ok(now) => now.to_string(),
        Err(_) if present.iter().any(|other| other.target == volume.target) => {
            format!("{} of {}", volume.target, from.id())
        }
        Err(_) => volume.target.clone(),
    };
    from.volumes().map(name).collect()
}

/// The volumes that are asked for, by their names in the later state; they may be given by those in the snapshot.
fn asked_now(request: &DiffRequest, names: &[String]) -> Vec<String> {
    let now = |target: &String| {
        let then = request.from.volumes().find(|(_, volume, _)| volume.target == *target);
        then.map_or_else(|| target.clone(), |(index, _, _)| names[index].clone())
    };
    request.targets.iter().map(now).collect()
}

fn archived(snapshot: &Snapshot) -> Vec<(VolumePath, Option<Side>)> {
    let side = |index, digest: &str| Side {
        tree: Tree::Archived(look_into(snapshot), index),
        digest: Some(digest.to_string()),
    };
    let volumes = snapshot.volumes();
    let named = |v: &ManifestVolume| VolumePath {
        target: v.target.clone(),
        // By its name, where nothing else is known of it.
        declared: v.mounted_at.is_empty(),
        volume: v.volume.clone(),
        mounted_at: v.mounted_at.clone(),
        ..VolumePath::default()
    };
    volumes.map(|(i, v, totals)| (named(v), (!v.absent).then(|| side(i, &totals.digest)))).collect()
}

/// The volumes that are asked for, each with the path below its root.
fn selected(request: &DiffRequest, targets: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
    let unknown = |what: String| {
        Err(Error::new(Code::NotFound, format!("there is no volume {what}"))
            .hint(format!("the volumes are: {}", targets.join(", "))))
    };
    if let Some(target) = request.targets.iter().find(|target| !targets.contains(&target.as_str())) {
        return unknown(target.clone());
    }
    let wanted = |target: &&&str| request.targets.is_empty() || request.targets.iter().any(|t| t == **target);
    let wanted: Vec<&str> = targets.iter().filter(wanted).copied().collect();
    let Some(path) = &request.path else {
        return Ok(wanted.into_iter().map(|target| (target.to_string(), Vec::new())).collect());
    };
    let path = trimmed(path);
    let beneath = |target: &&&str| is_below(path, trimmed(target.as_bytes())).is_some();
    let whole: Vec<&str> = wanted.iter().filter(beneath).copied().collect();
    if !whole.is_empty() {
        return Ok(whole.into_iter().map(|target| (target.to_string(), Vec::new())).collect());
    }
    let rest = |target: &&str| is_below(trimmed(target.as_bytes()), path).map(|rest| (target.to_string(), rest));
    match wanted.iter().filter_map(rest).min_by_key(|(_, rest)| rest.len()) {
        Some((target, rest)) => Ok(vec![(target, below(rest)?)]),
        None => unknown(printable(path)),
    }
}

fn unwritten(words: &str) -> Error {
    Error::new(Code::Io, format!("cannot hand on what differs: {words}")).hint("look where the output leads to")
}
