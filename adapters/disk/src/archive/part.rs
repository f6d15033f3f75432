//! Leads a sink through chosen parts of a volume: each with the directories above it, and only the frames that they need.
//!
//! What comes to the sink has the order of a whole volume, with members left out, and is held to the same rules. The last
//! name of a file whose first one is left out comes as the file itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use volsnap_core::{
    model::VolumeTotals,
    ports::{FsError, FsErrorKind, Limits, Place},
};

use super::{
    find::{Walk, is_below},
    member::{Kind, Member},
    name,
    open::Archive,
    progress::Meter,
    read::{Members, Sink},
    stream::{Frames, Stream},
};
use crate::tree::Trouble;

/// Hands on the members at and below each of the paths; gives how many entries and bytes there were.
///
/// # Errors
/// `NotFound` if there is nothing at one of the paths; else as for a whole volume.
pub(super) fn extract_parts(
    archive: &Archive,
    index: usize,
    paths: &[Vec<u8>],
    limits: Limits,
    sink: &mut dyn Sink,
    meter: &mut Meter<'_>,
) -> Result<VolumeTotals, FsError> {
    let root = name::volume_root(index);
    let mut parts = Parts {
        archive,
        index,
        root: &root,
        chosen: chosen(paths),
        members: Members::new(&root, limits, &archive.trouble),
        above: BTreeSet::new(),
        first_names: BTreeMap::new(),
        sink,
        meter,
    };
    for path in parts.chosen.clone() {
        parts.directories_above(&path)?;
        parts.part(&path)?;
    }
    parts.sink.end()?;
    Ok(parts.members.seen)
}

/// In the order of members, each once, and none that lies below another.
fn chosen(paths: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut paths = paths.to_vec();
    paths.sort_by(|a, b| name::order(a, b));
    let mut chosen: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        if chosen.last().is_none_or(|last| !is_below(&path, last)) {
            chosen.push(path);
        }
    }
    chosen
}

struct Parts<'a, 'm> {
    archive: &'a Archive,
    index: usize,
    root: &'a [u8],
    chosen: Vec<Vec<u8>>,
    members: Members<'a>,
    /// Directories that came because something below them is wanted.
    above: BTreeSet<Vec<u8>>,
    /// Of files whose first name is left out: the first of their names that came, by that name.
    first_names: BTreeMap<Vec<u8>, Vec<u8>>,
    sink: &'a mut dyn Sink,
    meter: &'a mut Meter<'m>,
}

impl Parts<'_, '_> {
    fn directories_above(&mut self, path: &[u8]) -> Result<(), FsError> {
        if path.is_empty() {
            return Ok(());
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in [0].into_iter().chain(slashes) {
            let dir = &path[..end];
            if self.above.contains(dir) {
                continue;
            }
            self.from(dir, |parts, walk, member| {
                match member.kind {
                    Kind::Directory => {}
                    Kind::File { .. }
                    | Kind::HardLink { .. }
                    | Kind::Symlink { .. }
                    | Kind::Fifo
                    | Kind::Device { .. } => return Err(parts.missing(path)),
                }
                parts.take(walk, member)
            })?;
            self.above.insert(dir.to_vec());
        }
        Ok(())
    }

    fn part(&mut self, path: &[u8]) -> Result<(), FsError> {
        self.from(path, |parts, walk, first| {
            walk.expect_contents_below(path);
            let mut next = Some(first);
            while let Some(member) = next.filter(|member| is_below(&member.path, path)) {
                parts.wanted(walk, member)?;
                next = walk.next()?;
            }
            Ok(())
        })
    }

    /// Finds the member of that path, which must be there, and goes on from it.
    fn from(
        &mut self,
        path: &[u8],
        go_on: impl FnOnce(&mut Self, &mut Walk<'_, '_>, Member) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let archive = self.archive;
        let place = Place { index: self.index, path: path.to_vec() };
        thread::scope(|scope| {
            let mut walk = Walk::to(scope, archive, &place)?;
            match walk.find(path)? {
                Some(member) => go_on(self, &mut walk, member),
                None => Err(self.missing(path)),
            }
        })
    }

    /// A member that is wanted; what is only another name of what is left out takes its place.
    fn wanted(&mut self, walk: &mut Walk<'_, '_>, member: Member) -> Result<(), FsError> {
        let Kind::HardLink { target } = &member.kind else { return self.take(walk, member) };
        if self.chosen.iter().any(|path| is_below(target, path)) {
            return self.take(walk, member);
        }
        if let Some(first) = self.first_names.get(target) {
            let kind = Kind::HardLink { target: first.clone() };
            return self.take(walk, Member { kind, ..member });
        }
        let target = target.clone();
        self.first_names.insert(target.clone(), member.path.clone());
        self.from(&target, |parts, walk, file| match file.kind {
            Kind::File { .. } => parts.take(walk, Member { path: member.path, ..file }),
            Kind::Directory | Kind::HardLink { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => {
                let name = name::in_volume(parts.root, &member.path);
                Err(parts.archive.trouble.hostile(&name, "links to something that is no file"))
            }
        })
    }

    fn take(&mut self, walk: &mut Walk<'_, '_>, member: Member) -> Result<(), FsError> {
        self.hand_on(&mut walk.stream, member)
    }

    fn hand_on(&mut self, stream: &mut Stream<'_, impl Frames>, member: Member) -> Result<(), FsError> {
        self.members.take(stream, member, self.sink, self.meter)
    }

    fn missing(&self, path: &[u8]) -> FsError {
        let name = Trouble::show(&name::in_volume(self.root, path));
        self.archive.trouble.of(FsErrorKind::NotFound, format!("it has no `{name}`"))
    }
}
