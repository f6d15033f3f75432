//! A place to extract into, with neighbours that must not change.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use volsnap_core::ports::FsOp;

use super::{
    super::{
        acl,
        member::{Kind, Member},
    },
    volume::Seen,
};
use crate::tree::{Trouble, open_root, remove};

/// An empty directory beside a file and a directory.
pub(super) struct Place {
    dir: tempfile::TempDir,
    before: Vec<Trace>,
}

/// What every change to an entry changes: a link to it, its owner, mode, attributes, times or contents.
#[derive(Debug, PartialEq, Eq)]
struct Trace {
    name: &'static str,
    inode: u64,
    links: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::create_dir(dir.path().join("beside")).unwrap();
        fs::write(dir.path().join("beside/file"), "").unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let before = traces(dir.path());
        Place { dir, before }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The root of the tree.
    pub(super) fn open(&self) -> OwnedFd {
        open_root(&self.root(), &Trouble::new(FsOp::Stage, &self.root())).unwrap()
    }

    /// Nothing outside has changed, and everything inside is a member; if it is complete, it is exactly the members.
    pub(super) fn check(&self, seen: &[Seen], complete: bool) {
        assert_eq!(self.before, traces(self.dir.path()), "something beside the tree has changed");
        // Others cannot look into every directory that they can make.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let members: BTreeMap<&[u8], &Seen> = seen.iter().map(|seen| (seen.member.path.as_slice(), seen)).collect();
        let mut found = 1;
        let mut todo = vec![PathBuf::new()];
        while let Some(parent) = todo.pop() {
            for entry in fs::read_dir(self.root().join(&parent)).unwrap() {
                let path = parent.join(entry.unwrap().file_name());
                let seen = members.get(path.as_os_str().as_bytes());
                assert!(seen.is_some(), "{} is no member", path.display());
                found += 1;
                if fs::symlink_metadata(self.root().join(&path)).unwrap().is_dir() {
                    todo.push(path);
                }
            }
        }
        if complete {
            assert_eq!(found, members.len());
            seen.iter().for_each(|seen| self.is_as_it_should_be(seen));
        }
    }

    fn is_as_it_should_be(&self, Seen { member, contents }: &Seen) {
        let path = self.root().join(OsStr::from_bytes(&member.path));
        let found = fs::symlink_metadata(&path).unwrap();
        let kind = match &member.kind {
            Kind::HardLink { target } => {
                let target = fs::symlink_metadata(self.root().join(OsStr::from_bytes(target))).unwrap();
                assert_eq!((found.dev(), found.ino()), (target.dev(), target.ino()), "{member:?}");
                return;
            }
            Kind::Directory => 0o04,
            Kind::File { size, .. } => {
                assert_eq!(found.len(), *size, "{member:?}");
                assert!(fs::read(&path).unwrap() == *contents, "{member:?}");
                0o10
            }
            Kind::Symlink { target } => {
                assert_eq!(fs::read_link(&path).unwrap().as_os_str().as_bytes(), target, "{member:?}");
                0o12
            }
            Kind::Fifo => 0o01,
            Kind::Device { block, major, minor } => {
                assert_eq!(found.rdev(), rustix::fs::makedev(*major, *minor), "{member:?}");
                if *block { 0o06 } else { 0o02 }
            }
        };
        assert_eq!(found.mode() >> 12, kind, "{member:?}");
        assert_eq!((found.uid(), found.gid()), (member.uid, member.gid), "{member:?}");
        if kind != 0o12 && !has_acl(member) {
            assert_eq!(found.mode() & 0o7777, member.mode, "{member:?}");
        }
    }
}

/// An ACL has the last word about the mode.
fn has_acl(member: &Member) -> bool {
    member.xattrs.iter().any(|(name, _)| name == acl::ACCESS)
}

fn traces(dir: &Path) -> Vec<Trace> {
    let names = ["", "secret", "beside", "beside/file"];
    let trace = |name: &'static str| {
        let found = fs::symlink_metadata(dir.join(name)).unwrap();
        Trace {
            name,
            inode: found.ino(),
            links: found.nlink(),
            changed: (found.ctime(), found.ctime_nsec()),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    };
    names.into_iter().map(trace).collect()
}

impl Drop for Place {
    fn drop(&mut self) {
        // Unlike the standard library's, this removal gets into directories that their owner may not enter.
        let _ = remove(&self.root(), None);
    }
}
