//! Looking into snapshots: what is in them, and one file out of them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Engine;
use crate::{
    error::{Code, Error, Result},
    model::{
        Member, MemberKind, Snapshot,
        hook::quoted,
        member::{printable, unprinted},
    },
    ports::{Found, LookInto, MemberSink, Output, Place, Watch},
};

impl Engine {
    /// Hands on the members of a snapshot with the index of their volume, and gives how many there were. With a path,
    /// only those at and below it: a volume's target with a path below it, or a path with several targets below it.
    pub async fn list_members(
        &self,
        snapshot: &Snapshot,
        path: Option<&[u8]>,
        sink: MemberSink,
        watch: &Watch,
    ) -> Result<u64> {
        let places = self.as_named(snapshot, places(snapshot, path.unwrap_or(b"/"))?, watch).await?;
        let archive = look_into(snapshot);
        match self.ports.archives.list_members(&archive, &places, sink, watch.clone()).await? {
            Found::Nothing(nearest) => Err(nothing(snapshot, path.unwrap_or_default(), places.last(), &nearest)),
            Found::Done(count) => Ok(count),
            Found::Other(_) => Err(Error::new(Code::Internal, "a listing has no contents")),
        }
    }

    /// Writes the contents of one file of a snapshot, and gives their length. A hard link has its file's contents; a
    /// symbolic link is not followed.
    pub async fn dump_member(
        &self,
        snapshot: &Snapshot,
        target: &str,
        path: &[u8],
        out: Box<dyn Output>,
        watch: &Watch,
    ) -> Result<u64> {
        let place = Place { index: volume(snapshot, target)?, path: below(path)? };
        let place = self.as_named(snapshot, vec![place], watch).await?.remove(0);
        match self.ports.archives.dump_member(&look_into(snapshot), &place, out, watch.clone()).await? {
            Found::Done(bytes) => Ok(bytes),
            Found::Other(kind) => Err(no_file(snapshot, target, &place.path, &kind)),
            Found::Nothing(nearest) => Err(nothing(snapshot, &place.path, Some(&place), &nearest)),
        }
    }

    /// The places that are meant: a path is read as it is first, and only if nothing is there as [`printable`] or a document
    /// shows one. So whatever name is printed can be given back, and no name is out of reach.
    pub(super) async fn as_named(
        &self,
        snapshot: &Snapshot,
        mut places: Vec<Place>,
        watch: &Watch,
    ) -> Result<Vec<Place>> {
        for place in &mut places {
            if let Some(path) = unprinted(&place.path)
                && !self.is_there(snapshot, place, watch).await?
            {
                let shown = Place { index: place.index, path };
                if self.is_there(snapshot, &shown, watch).await? {
                    *place = shown;
                }
            }
        }
        Ok(places)
    }

    /// Whether a place has a member, of which no more is read than its header.
    async fn is_there(&self, snapshot: &Snapshot, place: &Place, watch: &Watch) -> Result<bool> {
        let seen = Arc::new(AtomicBool::new(false));
        let first = Arc::clone(&seen);
        let sink: MemberSink = Box::new(move |_, _| {
            first.store(true, Ordering::Relaxed);
            Err("no more is wanted".into())
        });
        let place = std::slice::from_ref(place);
        match self.ports.archives.list_members(&look_into(snapshot), place, sink, watch.clone()).await {
            Ok(Found::Nothing(_)) => Ok(false),
            Ok(Found::Done(_) | Found::Other(_)) => Ok(true),
            Err(_) if seen.load(Ordering::Relaxed) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

pub(super) fn look_into(snapshot: &Snapshot) -> LookInto {
    LookInto { workload: snapshot.workload(), snapshot: snapshot.id(), archive_digest: snapshot.archive.digest.clone() }
}

/// The volume of that target.
pub(super) fn volume(snapshot: &Snapshot, target: &str) -> Result<usize> {
    let found = snapshot.volumes().find(|(_, volume, _)| volume.target == target);
    let shown = || snapshot.volumes().find(|(_, volume, _)| printable(volume.target.as_bytes()) == target);
    match found.or_else(shown).ok_or_else(|| no_volume(snapshot, target.as_bytes()))? {
        (_, volume, _) if volume.absent => Err(absent(snapshot, &volume.target)),
        (index, _, _) => Ok(index),
    }
}

/// What a path among the targets stands for: each volume whose target it is or that lies below it, and the place in the
/// innermost volume that it lies in. The targets, too, are read as they are first, and then as they are printed.
pub(super) fn places(snapshot: &Snapshot, path: &[u8]) -> Result<Vec<Place>> {
    match (places_at(snapshot, path), unprinted(path)) {
        (Err(error), Some(shown)) => places_at(snapshot, &shown).map_err(|_| error),
        (found, _) => found,
    }
}

fn places_at(snapshot: &Snapshot, path: &[u8]) -> Result<Vec<Place>> {
    let path = trimmed(path);
    let mut places = Vec::new();
    let mut inner: Option<(&str, usize, &[u8], bool)> = None;
    let mut gone = None;
    for (index, volume, _) in snapshot.volumes() {
        let target = trimmed(volume.target.as_bytes());
        if is_below(path, target).is_some() {
            match volume.absent {
                true => gone = Some(volume.target.as_str()),
                false => places.push(Place { index, path: Vec::new() }),
            }
        } else if let Some(rest) = is_below(target, path)
            && inner.is_none_or(|(_, _, shortest, _)| rest.len() < shortest.len())
        {
            inner = Some((&volume.target, index, rest, volume.absent));
        }
    }
    match (places.is_empty(), inner, gone) {
        // A directory that holds volumes is shown by them.
        (false, _, _) => Ok(places),
        (true, Some((target, _, _, true)), _) | (true, _, Some(target)) => Err(absent(snapshot, target)),
        (true, Some((_, index, rest, false)), _) => Ok(vec![Place { index, path: below(rest)? }]),
        (true, None, None) => Err(no_volume(snapshot, path)),
    }
}

/// What of `path` lies below `dir`: nothing for the directory itself.
pub(super) fn is_below<'a>(dir: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    match path.strip_prefix(dir)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        // Above all targets, also those that do not begin with a slash.
        rest if dir.is_empty() => Some(rest),
        _ => None,
    }
}

pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    &path[..end]
}

/// A path below a volume's root as an archive has it.
pub(super) fn below(path: &[u8]) -> Result<Vec<u8>> {
    let components = path.split(|&byte| byte == b'/').filter(|component| !matches!(*component, b"" | b"."));
    let components: Vec<&[u8]> = components.collect();
    match components.contains(&&b".."[..]) {
        true => Err(Error::new(Code::Usage, format!("`{}` has `..` in it", printable(path)))
            .hint("links are not followed in an archive: give the path without `..`")),
        false => Ok(components.join(&b'/')),
    }
}

fn no_volume(snapshot: &Snapshot, path: &[u8]) -> Error {
    let targets: Vec<&str> = snapshot.volumes().map(|(_, volume, _)| volume.target.as_str()).collect();
    Error::new(Code::NotFound, format!("snapshot {} has no volume {}", snapshot.id(), printable(path)))
        .hint(format!("its volumes are: {}", targets.join(", ")))
}

pub(super) fn absent(snapshot: &Snapshot, target: &str) -> Error {
    Error::new(Code::NotFound, format!("volume {target} did not exist when snapshot {} was taken", snapshot.id()))
        .hint("choose another snapshot; `volsnap list` shows them")
}

/// The path ends where nothing is; `nearest` is the last member on the way.
pub(super) fn nothing(snapshot: &Snapshot, path: &[u8], place: Option<&Place>, nearest: &Member) -> Error {
    let target = place.and_then(|place| snapshot.volumes().nth(place.index)).map_or("", |(_, v, _)| v.target.as_str());
    let path = place.map_or(path, |place| &place.path);
    let error = Error::new(
        Code::NotFound,
        format!("volume {target} of snapshot {} has no `{}`", snapshot.id(), printable(path)),
    );
    let (id, near) = (snapshot.id(), printable(&nearest.path));
    let shown = match near.as_str() {
        "" => target.to_string(),
        near => format!("{}/{near}", target.trim_end_matches('/')),
    };
    let below_target = is_below(trimmed(target.trim_start_matches('/').as_bytes()), path).is_some();
    error.hint(match (nearest.kind == MemberKind::Directory, below_target) {
        (true, true) => format!("paths begin below the volume: give it without {target}"),
        (true, false) => {
            format!("{shown} is there: `volsnap ls {id} {}` shows what it holds", quoted([shown.as_str()]))
        }
        (false, _) => format!("{shown} is {}", described(&nearest.kind)),
    })
}

fn no_file(snapshot: &Snapshot, target: &str, path: &[u8], kind: &MemberKind) -> Error {
    let shown = format!("{}/{}", target.trim_end_matches('/'), printable(path));
    let message = format!("{} of snapshot {} is {}", shown.trim_end_matches('/'), snapshot.id(), described(kind));
    Error::new(Code::Refused, message).hint(match kind {
        MemberKind::Directory => {
            let path = quoted([shown.as_str()]);
            format!("only files have contents: `volsnap ls {} {path}` shows which it holds", snapshot.id())
        }
        MemberKind::Symlink { .. } => "links are not followed: give the path of the file itself".to_string(),
        MemberKind::File { .. } | MemberKind::HardLink { .. } | MemberKind::Fifo | MemberKind::Device { .. } => {
            "only files have contents".to_string()
        }
    })
}

fn described(kind: &MemberKind) -> String {
    match kind {
        MemberKind::Directory => "a directory".into(),
        MemberKind::File { .. } | MemberKind::HardLink { .. } => "a file".into(),
        MemberKind::Symlink { target } => format!("a symbolic link to `{}`", printable(target)),
        MemberKind::Fifo => "a named pipe".into(),
        MemberKind::Device { .. } => "a device node".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ArchiveSummary, Manifest, ManifestVolume, Mode, Origin, SnapshotId, Source, WorkloadId};

    fn snapshot(targets: &[(&str, bool)]) -> Snapshot {
        let volume = |&(target, absent): &(&str, bool)| ManifestVolume {
            target: target.into(),
            absent,
            ..ManifestVolume::default()
        };
        let manifest = Manifest {
            format: 1,
            snapshot: SnapshotId(uuid::Uuid::nil()),
            workload: WorkloadId(uuid::Uuid::nil()),
            workload_name: "app".into(),
            source: Source::Directories,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            mode: Mode::Live,
            origin: Origin::Manual,
            note: None,
            images: Vec::new(),
            volumes: targets.iter().map(volume).collect(),
            registration: None,
            imported: None,
            sequence: None,
        };
        let totals = targets.iter().map(|_| Default::default()).collect();
        let archive = ArchiveSummary { manifest, totals, quiesced_ms: 0, archive_bytes: 0, digest: String::new() };
        Snapshot::from(archive)
    }

    fn found(snapshot: &Snapshot, path: &str) -> Result<Vec<(usize, String)>, Code> {
        let text = |place: Place| (place.index, String::from_utf8(place.path).unwrap());
        places(snapshot, path.as_bytes()).map(|all| all.into_iter().map(text).collect()).map_err(|e| e.code)
    }

    #[test]
    fn a_path_means_the_volumes_below_it_or_a_place_in_the_innermost() {
        let snapshot = snapshot(&[("/data", false), ("/data/cache", false), ("/etc/app", true), ("web:/srv", false)]);
        let at = |index, path: &str| (index, path.to_string());
        assert_eq!(found(&snapshot, "/"), Ok(vec![at(0, ""), at(1, ""), at(3, "")]));
        assert_eq!(found(&snapshot, "/data/"), Ok(vec![at(0, ""), at(1, "")]));
        assert_eq!(found(&snapshot, "/data/cache"), Ok(vec![at(1, "")]));
        assert_eq!(found(&snapshot, "/data//a/./b/"), Ok(vec![at(0, "a/b")]));
        assert_eq!(found(&snapshot, "/data/cache/x"), Ok(vec![at(1, "x")]));
        assert_eq!(found(&snapshot, "/data/cached"), Ok(vec![at(0, "cached")]));
        assert_eq!(found(&snapshot, "web:/srv/x"), Ok(vec![at(3, "x")]));
        assert_eq!(found(&snapshot, "/database"), Err(Code::NotFound));
        assert_eq!(found(&snapshot, "/etc/app/x"), Err(Code::NotFound));
        assert_eq!(found(&snapshot, "/etc"), Err(Code::NotFound));
        assert_eq!(found(&snapshot, "/data/../etc"), Err(Code::Usage));
    }

    #[test]
    fn a_volume_at_the_root_holds_every_path() {
        let snapshot = snapshot(&[("/", false)]);
        assert_eq!(found(&snapshot, "/a/b"), Ok(vec![(0, "a/b".into())]));
        assert_eq!(found(&snapshot, "/"), Ok(vec![(0, String::new())]));
    }

    #[test]
    fn what_is_missing_is_told_with_what_is_there_instead() {
        let snapshot = snapshot(&[("/data", false)]);
        let member = |path: &str, kind| Member {
            path: path.into(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime_seconds: 0,
            mtime_nanoseconds: 0,
            xattrs: Vec::new(),
            flags: None,
            contents: None,
        };
        let place = |path: &str| Place { index: 0, path: path.into() };
        let hint = |path: &str, nearest| nothing(&snapshot, b"", Some(&place(path)), &nearest).hint.unwrap();
        let id = snapshot.id();
        assert_eq!(
            hint("a/b/c", member("a", MemberKind::Directory)),
            format!("/data/a is there: `volsnap ls {id} /data/a` shows what it holds")
        );
        let link = member("a", MemberKind::Symlink { target: b"z\x1b".to_vec() });
        assert_eq!(hint("a/b", link), "/data/a is a symbolic link to `z%1B`");
        assert_eq!(
            hint("data/a", member("", MemberKind::Directory)),
            "paths begin below the volume: give it without /data"
        );
    }
}
