//! Members of trees: what is in an archive and what would be.

use async_trait::async_trait;
use volsnap_core::{
    model::{Member, MemberKind, member::order},
    ports::{FsError, FsErrorKind, FsOp, Members, MembersOf, Tree},
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
    pub(crate) fn members(&mut self, of: &MembersOf) -> FsResult<Listed> {
        let tree = match &of.tree {
            Tree::Live(root) => {
                self.call("members", || root.display().to_string()).at(FsOp::Look, root)?;
                let (disk, ino) = self.directory(root).at(FsOp::Look, root)?;
                self.read_tree(disk, ino)
            }
            Tree::Archived(of, index) => {
                let path = self.archive_path(of.workload, of.snapshot);
                let archive = self.read_archive("members", of.workload, of.snapshot)?;
                if archive.summary.digest != of.archive_digest {
                    return Err(FsErrorKind::Corrupt).at(FsOp::Archive, &path);
                }
                archive.volumes.get(*index).cloned().ok_or(FsErrorKind::NotFound).at(FsOp::Archive, &path)?
            }
        };
        Ok(Listed(listed(&tree, of)))
    }
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
