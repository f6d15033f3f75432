//! Members of trees: what is in an archive and what would be.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use volsnap_core::{
    model::{Member, MemberKind, member::order},
    ports::{Found, FsError, FsErrorKind, FsOp, LookInto, Members, MembersOf, Place},
};

use crate::{
    archive::{self, Entry},
    places::{At, FsResult},
    shared::fingerprint,
    world::World,
};

/// All of them at once: simulated trees are small.
pub(crate) struct Listed(pub Vec<Member>);

#[async_trait]
impl Members for Listed {
    async fn next(&mut self) -> Result<Vec<Member>, FsError> {
        Ok(std::mem::take(&mut self.0))
    }
}

impl World {
    /// Those of a live directory.
    pub(crate) fn members(&mut self, root: &Path, of: &MembersOf) -> FsResult<Listed> {
        self.call("members", || root.display().to_string()).at(FsOp::Look, root)?;
        let (disk, ino) = self.directory(root).at(FsOp::Look, root)?;
        Ok(Listed(listed(&self.read_tree(disk, ino), of)))
    }

    /// Those of a volume of an archive.
    pub(crate) fn archived_members(&mut self, from: &LookInto, index: usize, of: &MembersOf) -> FsResult<Listed> {
        Ok(Listed(listed(&self.tree_of("members", from, index)?, of)))
    }

    /// Those at and below a place; if it has nothing, the last one on the way there.
    pub(crate) fn members_at(&mut self, from: &LookInto, place: &Place) -> FsResult<Result<Vec<Member>, Member>> {
        let tree = self.tree_of("list_members", from, place.index)?;
        let below = listed(&tree, &MembersOf { path: place.path.clone(), contents: false });
        Ok(if below.is_empty() { Err(nearest(&tree, &place.path)) } else { Ok(below) })
    }

    /// The contents of the file at a place, or what else is there.
    pub(crate) fn contents_at(&mut self, from: &LookInto, place: &Place) -> FsResult<Result<Arc<[u8]>, Found>> {
        let tree = self.tree_of("dump_member", from, place.index)?;
        let path = String::from_utf8_lossy(&place.path);
        Ok(match tree.get(&*path) {
            Some(Entry::File(bytes)) => Ok(bytes.clone()),
            Some(entry) => Err(Found::Other(member(&path, entry, false).kind)),
            None if path.is_empty() => Err(Found::Other(MemberKind::Directory)),
            None => Err(Found::Nothing(nearest(&tree, &place.path))),
        })
    }

    fn tree_of(&mut self, call: &'static str, from: &LookInto, index: usize) -> FsResult<archive::Tree> {
        let path = self.archive_path(from.workload, from.snapshot);
        let archive = self.read_archive(call, from.workload, from.snapshot)?;
        if archive.summary.digest != from.archive_digest {
            return Err(FsErrorKind::Corrupt).at(FsOp::Archive, &path);
        }
        archive.volumes.get(index).cloned().ok_or(FsErrorKind::NotFound).at(FsOp::Archive, &path)
    }
}

/// The last member that exists on the way to a path.
fn nearest(tree: &archive::Tree, path: &[u8]) -> Member {
    let path = String::from_utf8_lossy(path);
    let above = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
    let found = above.into_iter().find_map(|dir| tree.get(dir).map(|entry| member(dir, entry, false)));
    found.unwrap_or_else(|| member("", &Entry::Dir, false))
}

fn listed(tree: &archive::Tree, of: &MembersOf) -> Vec<Member> {
    let all = tree.iter().map(|(path, entry)| member(path, entry, of.contents));
    let mut members: Vec<Member> = all.chain([member("", &Entry::Dir, false)]).collect();
    members.retain(|member| {
        let below = member.path.strip_prefix(&*of.path);
        of.path.is_empty() || below.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    });
    members.sort_by(|a, b| order(&a.path, &b.path));
    members
}

/// Entries of simulated trees have neither owners nor times.
fn member(path: &str, entry: &Entry, contents: bool) -> Member {
    let (kind, bytes) = match entry {
        Entry::Dir => (MemberKind::Directory, None),
        Entry::File(bytes) => (MemberKind::File { bytes: bytes.len() as u64 }, Some(bytes)),
        Entry::Link(to) => (MemberKind::Symlink { target: to.as_os_str().as_encoded_bytes().to_vec() }, None),
    };
    let digest = |bytes: &[u8]| {
        let mut digest = [0; 32];
        for (at, part) in digest.chunks_mut(8).enumerate() {
            part.copy_from_slice(&fingerprint(&(at, bytes)).to_le_bytes());
        }
        digest
    };
    Member {
        path: path.as_bytes().to_vec(),
        kind,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime_seconds: 0,
        mtime_nanoseconds: 0,
        xattrs: Vec::new(),
        flags: None,
        contents: bytes.filter(|_| contents).map(|bytes| digest(bytes)),
    }
}
