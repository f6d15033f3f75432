//! The oracle: what must stand on the disks after a crash, and after the recovery from it.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use volsnap_core::{
    engine::{Recovered, RecoveredItem},
    model::SnapshotId,
    ports::{Archives, Quiet},
    restore::Outcome,
};
use volsnap_disk::Disk;

use super::{
    ports::Marks,
    scene::{End, Expected, Host, Scene},
};
use crate::{
    cli::Cli,
    trees::{self, Tree},
};

/// Who recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The engine in this process, its catalog lost.
    Engine,
    /// `volsnap recover`, with its catalog.
    Binary,
}

/// How a state ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What the volumes are.
    pub end: End,
    /// Whether the roots that stay while their entries change have their modification times, too.
    pub exact: bool,
}

/// Recovers what a crash left and looks at what came of it: gives how it ended, or all that is wrong.
///
/// # Errors
/// What is wrong, in words.
pub fn judge(scene: &Scene, host: &Host, marks: &Marks, expected: Expected, by: By) -> Result<Ended, Vec<String>> {
    if expected.reported {
        // After success was reported nothing is left for a recovery.
        check(scene, host, expected).map_err(|wrongs| {
            wrongs.into_iter().map(|wrong| format!("before any recovery: {wrong}")).collect::<Vec<_>>()
        })?;
    }
    let told = match by {
        By::Engine => recover(scene, host, marks).map_err(|wrong| vec![wrong])?,
        By::Binary => recover_by_binary(scene)?,
    };
    let ended = check(scene, host, expected)?;
    match told {
        Some(told) if told != ended.end => {
            Err(vec![format!("the recovery says {told:?}, and the volumes are {:?}", ended.end)])
        }
        Some(_) | None => Ok(ended),
    }
}

fn recover(scene: &Scene, host: &Host, marks: &Marks) -> Result<Option<End>, String> {
    let mut recovered = host.recover(&scene.state, marks)?;
    match recovered.pop() {
        None => Ok(None),
        Some(Recovered { result: Ok(RecoveredItem::Restore(report)), .. }) => match report.outcome {
            Outcome::Restored => Ok(Some(End::Restored)),
            Outcome::Aborted | Outcome::Reverted => Ok(Some(End::Original)),
            Outcome::NeedsAttention => Err(format!("it needs attention: {:?}", report.cause)),
        },
        Some(other) => Err(format!("it was not recovered: {other:?}")),
    }
}

fn recover_by_binary(scene: &Scene) -> Result<Option<End>, Vec<String>> {
    let ended = Cli::new(&scene.state, "unix:///nonexistent/docker.sock").run(&["recover"]);
    if ended.status != Some(0) {
        return Err(vec![format!("volsnap recover: {ended:?}")]);
    }
    let outcome = ended.json["recovered"][0]["outcome"].as_str();
    Ok(outcome.map(|outcome| if outcome == "restored" { End::Restored } else { End::Original }))
}

/// All volumes one or the other, as expected, and nothing left over.
fn check(scene: &Scene, host: &Host, expected: Expected) -> Result<Ended, Vec<String>> {
    // A tree that cannot be read panics in the reader.
    let read = catch_unwind(AssertUnwindSafe(|| {
        scene.lives.iter().map(|live| trees::read(live).unwrap_or_default()).collect::<Vec<Tree>>()
    }));
    let Ok(found) = read else { return Err(vec!["a volume cannot be read".into()]) };
    let ends = [(End::Original, &scene.original), (End::Restored, &scene.saved)];
    let ended = ends.into_iter().find_map(|(end, trees)| Some(Ended { end, exact: alike(scene, &found, trees)? }));
    let Some(ended) = ended else { return Err(vec![describe(scene, &found)]) };
    let mut wrongs = expected.wrongs(ended);
    wrongs.extend(leftovers(scene));
    wrongs.extend(host.block_on(archives(scene, ended.end)));
    if wrongs.is_empty() { Ok(ended) } else { Err(wrongs) }
}

/// Whether these volumes are the same, if not in the modification time of a root that stays while its entries change:
/// `Some(true)` if in that, too.
fn alike(scene: &Scene, found: &[Tree], wanted: &[Tree]) -> Option<bool> {
    let timeless = |trees: &[Tree]| {
        let mut trees = trees.to_vec();
        for (tree, (_, live)) in trees.iter_mut().zip(scene.layout.volumes) {
            if let Some(root) = tree.get_mut("").filter(|_| live.stays()) {
                root.mtime_ns = 0;
            }
        }
        trees
    };
    let exact = found == wanted;
    (exact || timeless(found) == timeless(wanted)).then_some(exact)
}

/// Which volumes are neither, and where they differ first.
fn describe(scene: &Scene, found: &[Tree]) -> String {
    let volumes = found.iter().zip(scene.original.iter().zip(&scene.saved)).enumerate();
    let said = volumes.map(|(index, (found, (original, saved)))| match (found == original, found == saved) {
        (true, _) => format!("volume {index} is original"),
        (_, true) => format!("volume {index} is restored"),
        (false, false) => {
            let nearer = if found.keys().eq(saved.keys()) { saved } else { original };
            let differs = |name: &&String| found.get(*name) != nearer.get(*name);
            let names: Vec<&String> = nearer.keys().chain(found.keys()).filter(differs).take(3).collect();
            let sizes: Vec<_> = names.iter().map(|name| found.get(*name).map(|entry| entry.contents.len())).collect();
            format!("volume {index} is neither: {names:?} differ, sizes {sizes:?}, of {} entries", found.len())
        }
    });
    format!("a mixture: {}", said.collect::<Vec<_>>().join(", "))
}

/// Names that a restore made and that nobody needs any more.
fn leftovers(scene: &Scene) -> Vec<String> {
    let mut wrongs = Vec::new();
    // Beside a volume, and within one that is switched by entry.
    for dir in scene.lives.iter().flat_map(|live| [live.parent(), Some(live)]).flatten() {
        let left = trees::litter(dir);
        if !left.is_empty() {
            wrongs.push(format!("{left:?} is left"));
        }
    }
    if names(&scene.state.join("journal")).iter().any(|name| name.ends_with(".json")) {
        wrongs.push("the journal is left".into());
    }
    let drafts = names(&archive_dir(scene)).into_iter().filter(|name| !name.ends_with(".tar.zst"));
    wrongs.extend(drafts.map(|draft| format!("the unfinished archive {draft} is left")));
    wrongs
}

fn archive_dir(scene: &Scene) -> std::path::PathBuf {
    scene.state.join("snapshots").join(scene.workload.id.to_string())
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// What was restored is kept as it was before, in one whole archive; the archives from before are there.
async fn archives(scene: &Scene, end: End) -> Vec<String> {
    let mut ids: Vec<SnapshotId> =
        names(&archive_dir(scene)).iter().filter_map(|name| name.strip_suffix(".tar.zst")?.parse().ok()).collect();
    let before = ids.len();
    ids.retain(|id| !scene.archives.contains(id));
    let mut wrongs = Vec::new();
    if before - ids.len() != scene.archives.len() {
        wrongs.push("an archive from before is gone".into());
    }
    match (end, ids.as_slice()) {
        (End::Original, []) => {}
        (End::Restored, [safety]) => {
            let verified = match Disk::open(&scene.state) {
                Ok(disk) => disk.verify_archive(scene.workload.id, *safety, Arc::new(Quiet)).await,
                Err(error) => Err(error),
            };
            match verified.map(|verified| verified.summary.totals) {
                Err(error) => wrongs.push(format!("the safety archive: {error}")),
                Ok(totals) if totals.iter().map(|totals| &totals.digest).eq(&scene.digests) => {}
                Ok(_) => wrongs.push("the safety archive holds something else than what was replaced".into()),
            }
        }
        (end, ids) => wrongs.push(format!("the volumes are {end:?} with {} safety archives", ids.len())),
    }
    wrongs
}
