//! Extracting: volumes of a snapshot, or parts of them, into a directory of the user's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Copied, CopiedVolume, Engine,
    copies::Copying,
    destination::{Care, check_space, need},
    inside::{absent, below, is_below, look_into, nothing, places, volume},
};
use crate::{
    error::{Code, Error, Result},
    model::{Location, Member, MemberKind, Owners, Snapshot, TreeSize, VolumeTotals, place::staged_in},
    ports::{CopyJob, CopyMade, CopyTree, Found, Limits, MemberSink, Phase, Place, Progress, Watch},
    restore::space::Needs,
};

/// What to extract, and whereto.
#[derive(Clone, Debug)]
pub struct ExtractRequest {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The directory, by its absolute path: empty, or absent with a parent that exists.
    pub dir: PathBuf,
    /// The volumes; empty for all. Of exactly one the root is the directory itself; of all others it lies below, by the
    /// volume's target.
    pub targets: Vec<String>,
    /// What of them is wanted, with all that is below it; empty for everything. A path begins with its volume's target; if
    /// exactly one volume is named, it is a path below that.
    pub paths: Vec<Vec<u8>>,
    /// Whom the entries belong to.
    pub owners: Owners,
    /// Whether device nodes are made.
    pub devices: bool,
}

/// A volume, or parts of one, to be copied.
#[derive(Debug)]
struct Wanted {
    index: Option<usize>,
    target: String,
    at: Vec<String>,
    paths: Vec<Vec<u8>>,
    size: TreeSize,
}

/// Before anything is made: whether volumes that are wanted as a whole hold device nodes, which are not allowed.
pub(super) fn refuse_devices(snapshot: &Snapshot, whole: impl Iterator<Item = usize>, allowed: bool) -> Result<()> {
    let whole: Vec<usize> = whole.collect();
    let mut volumes = snapshot.volumes().filter(|(index, _, _)| !allowed && whole.contains(index));
    match volumes.find_map(|(_, volume, totals)| Some((&volume.target, totals.devices_told()?))) {
        None => Ok(()),
        Some((target, devices)) => {
            Err(Error::new(Code::Refused, format!("volume {target} of snapshot {} has {devices}", snapshot.id()))
                .hint("a device node gives access to a disk or to memory: allow them with --allow-devices"))
        }
    }
}

impl Engine {
    /// Extracts a snapshot, or parts of one. The directory appears whole and durable or not at all; what a crash leaves is
    /// a private directory beside it, which [`Engine::sweep_copies`] removes.
    ///
    /// [`Code::NotFound`] names everything that is asked for and not in the snapshot, before anything is made.
    pub async fn extract(&self, request: &ExtractRequest, watch: &Watch) -> Result<Copied> {
        self.limits.check(&request.snapshot.archive)?;
        self.sweep_copies_first().await;
        watch.progress(&Progress::begin(Phase::Plan));
        let (wanted, warnings) = self.wanted(request, watch).await?;
        let whole = wanted.iter().filter(|one| one.paths.iter().all(Vec::is_empty)).filter_map(|one| one.index);
        refuse_devices(&request.snapshot, whole, request.devices)?;
        let lives = self.live_directories(Care::Fetching).await?;
        let place = self.destination("the directory to extract into", &request.dir, &lives, Care::Fetching).await?;
        let mut needs = Needs::default();
        for one in &wanted {
            need(&mut needs, &place, one.size.bytes_allocated, one.size.entries + one.at.len() as u64);
        }
        check_space(needs)?;
        let copying = self.begin_copy("extract", &request.snapshot.archive.manifest.workload_name, &[&place]).await?;
        let extracted = copying.engine.extract_to(request, &wanted, &place, &copying, watch).await;
        self.end_copy(copying).await;
        extracted.map(|copied| Copied { warnings: warnings.into_iter().chain(copied.warnings).collect(), ..copied })
    }

    async fn extract_to(
        &self,
        request: &ExtractRequest,
        wanted: &[Wanted],
        place: &Location,
        copying: &Copying,
        watch: &Watch,
    ) -> Result<Copied> {
        let private = &copying.private[0];
        let tree = |one: &Wanted| CopyTree {
            index: one.index,
            target: one.target.clone(),
            at: one.at.clone(),
            paths: one.paths.clone(),
            limits: Limits { bytes_max: one.size.bytes, entries_max: one.size.entries, devices: request.devices },
        };
        let job = CopyJob {
            archive: look_into(&request.snapshot),
            private: private.clone(),
            trees: wanted.iter().map(tree).collect(),
            owners: request.owners.clone(),
        };
        let began = self.ports.clock.monotonic();
        let made = self.ports.filesystem.copy_out(&job, watch.clone()).await?;
        let took = self.ports.clock.monotonic().saturating_sub(began).as_millis();
        let (filesystem, staged) = (&self.ports.filesystem, staged_in(private));
        // A directory that was there, and is not the root of a volume, is the user's: it keeps its owner and mode.
        if place.inode.is_some() && wanted.iter().all(|one| !one.at.is_empty()) {
            filesystem.copy_attributes(&place.real, &staged).await?;
            filesystem.settle(std::slice::from_ref(&staged)).await?;
        }
        self.put_in_place(&staged, &place.real).await?;
        let copied = |(one, size): (&Wanted, &TreeSize)| CopiedVolume {
            target: one.target.clone(),
            path: one.at.iter().fold(place.real.clone(), |path, name| path.join(name)),
            bytes: size.bytes,
            entries: size.entries,
        };
        Ok(Copied {
            volumes: wanted.iter().zip(&made.trees).map(copied).collect(),
            warnings: left_behind(&made),
            stage_ms: u64::try_from(took).unwrap_or(u64::MAX),
        })
    }

    /// What is asked for, with its size, and what there is to say about it.
    async fn wanted(&self, request: &ExtractRequest, watch: &Watch) -> Result<(Vec<Wanted>, Vec<String>)> {
        let snapshot = &request.snapshot;
        let mut warnings = Vec::new();
        let places = match (request.paths.is_empty(), request.targets.is_empty()) {
            (true, true) => {
                let gone = snapshot.volumes().filter(|(_, volume, _)| volume.absent);
                warnings.extend(gone.map(|(_, volume, _)| absent(snapshot, &volume.target).message));
                let there = snapshot.volumes().filter(|(_, volume, _)| !volume.absent);
                there.map(|(index, _, _)| Place { index, path: Vec::new() }).collect()
            }
            (true, false) => {
                let whole = |target: &String| Ok(Place { index: volume(snapshot, target)?, path: Vec::new() });
                all(request.targets.iter().map(whole))?
            }
            (false, _) => self.as_named(snapshot, self.places_of(request)?, watch).await?,
        };
        if places.is_empty() {
            return Err(Error::new(Code::Refused, format!("snapshot {} has no volumes", snapshot.id()))
                .hint("choose another snapshot"));
        }
        let mut by_volume: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for place in places {
            by_volume.entry(place.index).or_default().push(place.path);
        }
        let parts = self.sizes_of_parts(snapshot, &by_volume, watch).await?;
        let mut wanted = Vec::new();
        for (index, volume, totals) in snapshot.volumes() {
            let Some(paths) = by_volume.remove(&index) else { continue };
            let at = match request.targets.as_slice() {
                [_] => Vec::new(),
                _ => names_of(&volume.target)?,
            };
            let (paths, size) = match parts.get(&index) {
                Some(part) => (paths, bounded(*part, totals)),
                None => (Vec::new(), whole(totals)),
            };
            wanted.push(Wanted { index: Some(index), target: volume.target.clone(), at, paths, size });
        }
        refuse_nested(&wanted)?;
        Ok((wanted, warnings))
    }

    /// The places that the paths stand for.
    fn places_of(&self, request: &ExtractRequest) -> Result<Vec<Place>> {
        let snapshot = &request.snapshot;
        let chosen = all(request.targets.iter().map(|target| volume(snapshot, target)))?;
        if let [index] = chosen.as_slice() {
            return all(request.paths.iter().map(|path| Ok(Place { index: *index, path: below(path)? })));
        }
        let among = |path: &Vec<u8>| {
            let mut places = places(snapshot, path)?;
            if !chosen.is_empty() {
                places.retain(|place| chosen.contains(&place.index));
            }
            match places.is_empty() {
                false => Ok(places),
                true => Err(Error::new(
                    Code::NotFound,
                    format!("`{}` lies in none of the volumes that were named", crate::model::member::printable(path)),
                )
                .hint("name its volume with --volume, too")),
            }
        };
        Ok(all(request.paths.iter().map(among))?.into_iter().flatten().collect())
    }

    /// How large the parts are, by volume; nothing for volumes that are wanted as a whole. At the most: what is asked for
    /// twice is counted twice.
    async fn sizes_of_parts(
        &self,
        snapshot: &Snapshot,
        wanted: &BTreeMap<usize, Vec<Vec<u8>>>,
        watch: &Watch,
    ) -> Result<BTreeMap<usize, TreeSize>> {
        let mut parts = BTreeMap::new();
        for (&index, paths) in wanted.iter().filter(|(_, paths)| paths.iter().all(|path| !path.is_empty())) {
            let places: Vec<Place> = paths.iter().map(|path| Place { index, path: path.clone() }).collect();
            let tally = Arc::new(Mutex::new(Tally { chosen: paths.clone(), ..Tally::default() }));
            if !self.count(snapshot, &places, &tally, watch).await? {
                return Err(self.missing(snapshot, &places, watch).await);
            }
            // The file of a link comes along although its own name is left out.
            let files = std::mem::take(&mut tally.lock().unwrap_or_else(PoisonError::into_inner).files);
            let files: Vec<Place> = files.into_iter().map(|path| Place { index, path }).collect();
            if !files.is_empty() && !self.count(snapshot, &files, &tally, watch).await? {
                return Err(Error::new(Code::Hostile, format!("snapshot {} has a link to nothing", snapshot.id()))
                    .hint("do not trust this archive; find out where it came from"));
            }
            let above: usize = paths.iter().map(|path| path.split(|&byte| byte == b'/').count()).sum();
            let mut size = tally.lock().unwrap_or_else(PoisonError::into_inner).size;
            size.entries += above as u64;
            parts.insert(index, size);
        }
        Ok(parts)
    }

    /// Adds the members at and below the places to the tally; whether each of the places has something.
    async fn count(
        &self,
        snapshot: &Snapshot,
        places: &[Place],
        tally: &Arc<Mutex<Tally>>,
        watch: &Watch,
    ) -> Result<bool> {
        let tally = tally.clone();
        let sink: MemberSink = Box::new(move |_, member| {
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(&member);
            Ok(())
        });
        let listed = self.ports.archives.list_members(&look_into(snapshot), places, sink, watch.clone()).await?;
        Ok(matches!(listed, Found::Done(_)))
    }

    /// Everything that is not there, in one error.
    async fn missing(&self, snapshot: &Snapshot, places: &[Place], watch: &Watch) -> Error {
        let mut missing = Vec::new();
        for place in places {
            let sink: MemberSink = Box::new(|_, _| Ok(()));
            let place_alone = std::slice::from_ref(place);
            match self.ports.archives.list_members(&look_into(snapshot), place_alone, sink, watch.clone()).await {
                Ok(Found::Nothing(nearest)) => missing.push(nothing(snapshot, &place.path, Some(place), &nearest)),
                Ok(Found::Done(_) | Found::Other(_)) => {}
                Err(error) => return error.into(),
            }
        }
        together(missing)
    }
}

/// What was counted.
#[derive(Default)]
struct Tally {
    chosen: Vec<Vec<u8>>,
    size: TreeSize,
    /// Files whose own name is not among what was chosen.
    files: BTreeSet<Vec<u8>>,
}

impl Tally {
    fn add(&mut self, member: &Member) {
        self.size.entries += 1;
        match &member.kind {
            MemberKind::File { bytes } => {
                self.size.bytes = self.size.bytes.saturating_add(*bytes);
                let blocks = bytes.div_ceil(4096).saturating_mul(4096);
                self.size.bytes_allocated = self.size.bytes_allocated.saturating_add(blocks);
            }
            MemberKind::HardLink { target } => {
                if !self.chosen.iter().any(|path| is_below(path, target).is_some()) {
                    self.files.insert(target.clone());
                }
            }
            MemberKind::Directory | MemberKind::Symlink { .. } | MemberKind::Fifo | MemberKind::Device { .. } => {}
        }
    }
}

pub(super) fn whole(totals: &VolumeTotals) -> TreeSize {
    let VolumeTotals { bytes, bytes_allocated, entries, .. } = *totals;
    TreeSize { bytes, bytes_allocated, entries, immutable: 0, frozen: 0 }
}

/// A part takes no more room than all of its volume, of which the holes are known.
fn bounded(part: TreeSize, totals: &VolumeTotals) -> TreeSize {
    TreeSize { bytes_allocated: part.bytes_allocated.min(totals.bytes_allocated), ..part }
}

/// What came out otherwise than it is in the snapshot, once for all entries.
pub(super) fn left_behind(made: &CopyMade) -> Vec<String> {
    let mut warnings = Vec::new();
    if made.owners_left > 0 {
        let count = made.owners_left;
        warnings.push(format!(
            "{count} entries belong to you and not to whom they belong in the snapshot; as root they would"
        ));
    }
    if made.attributes_left > 0 {
        let count = made.attributes_left;
        warnings.push(format!("{count} attributes that only root may set were left out (capabilities, labels)"));
    }
    warnings.extend(made.flags_left.told());
    warnings
}

/// The directories below which a volume comes to lie, by its target.
fn names_of(target: &str) -> Result<Vec<String>> {
    let names: Vec<String> = target.split('/').filter(|name| !name.is_empty()).map(String::from).collect();
    match names.iter().any(|name| matches!(name.as_str(), "." | "..") || name.contains('\0')) {
        true => {
            Err(Error::new(Code::Hostile, format!("volume {target:?} has a target that is no place below a directory"))
                .hint("do not trust this archive; one volume alone can be extracted with --volume"))
        }
        false => Ok(names),
    }
}

/// Volumes of which one would lie in the other: what the outer one has in that place might lead elsewhere.
fn refuse_nested(wanted: &[Wanted]) -> Result<()> {
    for (at, one) in wanted.iter().enumerate() {
        let meets = |other: &&Wanted| one.at.starts_with(&other.at) || other.at.starts_with(&one.at);
        if let Some(other) = wanted[..at].iter().find(meets) {
            return Err(Error::new(
                Code::Refused,
                format!("volumes {} and {} would lie one in the other", other.target, one.target),
            )
            .hint("extract them one by one with --volume, each into a directory of its own"));
        }
    }
    Ok(())
}

/// All of them, or one error that names everything that is not there.
fn all<T>(results: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => found.push(one),
            Err(error) if error.code == Code::NotFound => missing.push(error),
            Err(error) => return Err(error),
        }
    }
    match missing.is_empty() {
        true => Ok(found),
        false => Err(together(missing)),
    }
}

/// One error of several.
fn together(errors: Vec<Error>) -> Error {
    let hint = errors.first().and_then(|error| error.hint.clone());
    let mut messages: Vec<String> = errors.into_iter().map(|error| error.message).collect();
    messages.dedup();
    let error = Error::new(Code::NotFound, messages.join("; "));
    Error { hint, ..error }
}
