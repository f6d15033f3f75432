//! Whatever an app may do to its files, at random.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, Uid, XattrFlags};

use super::roundtrip::set_times;
use crate::archive::acl;

#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// Other bytes in place, the size as it was and the time of modification set back.
    Overwrite,
    Grow,
    Shrink,
    Remove,
    MakeFile,
    MakeDirectory,
    MakeSymlink,
    MakeFifo,
    MakeSocket,
    Rename,
    Exchange,
    Link,
    Mode,
    Owner,
    Attribute,
    Acl,
    Retype,
    Punch,
    Times,
    /// Replaced as careful programs do it: written beside it, and renamed.
    Replace,
    /// Read, which is no change.
    Read,
}

/// A change, two entries that it is about, and a number that makes names and contents.
pub(super) type Step = (Change, usize, usize, u8);

pub(super) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    use Change::{
        Acl, Attribute, Exchange, Grow, Link, MakeDirectory, MakeFifo, MakeFile, MakeSocket, MakeSymlink, Mode,
        Overwrite, Owner, Punch, Read, Remove, Rename, Replace, Retype, Shrink, Times,
    };
    let change = prop::sample::select(vec![
        Overwrite,
        Grow,
        Shrink,
        Remove,
        MakeFile,
        MakeDirectory,
        MakeSymlink,
        MakeFifo,
        MakeSocket,
        Rename,
        Exchange,
        Link,
        Mode,
        Owner,
        Attribute,
        Acl,
        Retype,
        Punch,
        Times,
        Replace,
        Read,
    ]);
    prop::collection::vec((change, any::<usize>(), any::<usize>(), any::<u8>()), 0..most)
}

/// Does all that; what cannot be done, since it makes no sense at that place, is left undone.
pub(super) fn change(root: &Path, steps: &[Step]) {
    for &(what, one, other, number) in steps {
        let _impossible_here = step(root, what, one, other, number);
    }
}

fn step(root: &Path, what: Change, one: usize, other: usize, number: u8) -> std::io::Result<()> {
    let entries = entries(root);
    let (entry, other) = (&entries[one % entries.len()], &entries[other % entries.len()]);
    let dir = if fs::symlink_metadata(other)?.is_dir() { other.as_path() } else { other.parent().unwrap_or(root) };
    let new = dir.join(OsStr::from_bytes(&[b'n', number.max(1)].map(|b| if b == b'/' { b'_' } else { b })));
    let seen = fs::symlink_metadata(entry)?;
    let file = || match seen.is_file() {
        true => OpenOptions::new().read(true).write(true).open(entry),
        false => Err(std::io::ErrorKind::InvalidInput.into()),
    };
    let size = seen.len();
    match what {
        Change::Overwrite => {
            let file = file()?;
            file.write_all_at(&vec![number; 3000.min(size as usize)], size.saturating_sub(3000) / 2)?;
            set_times(entry, seen.mtime(), seen.mtime_nsec());
        }
        Change::Grow => file()?.write_all_at(&vec![number; usize::from(number) * 40], size)?,
        Change::Shrink => file()?.set_len(size / 2)?,
        Change::Remove if entry != root => remove(entry)?,
        Change::MakeFile => write_new(&new, &vec![number; usize::from(number) * 5000])?,
        Change::MakeDirectory => fs::create_dir(new)?,
        Change::MakeSymlink => symlink("anywhere", new)?,
        Change::MakeFifo => rustix::fs::mknodat(CWD, new, FileType::Fifo, Mode::RUSR, 0)?,
        Change::MakeSocket => drop(UnixListener::bind(new)?),
        Change::Rename => fs::rename(entry, new)?,
        Change::Exchange => {
            rustix::fs::renameat_with(CWD, entry, CWD, other, rustix::fs::RenameFlags::EXCHANGE)?;
        }
        Change::Link => fs::hard_link(entry, new)?,
        Change::Mode if !seen.is_symlink() => {
            fs::set_permissions(entry, fs::Permissions::from_mode(u32::from(number) | 0o700))?;
        }
        Change::Owner => {
            let (uid, gid) = (Uid::from_raw(number.into()), Gid::from_raw(number.into()));
            rustix::fs::chownat(CWD, entry, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Change::Attribute if !seen.is_symlink() => {
            rustix::fs::lsetxattr(entry, "user.number", &[number], XattrFlags::empty())?;
        }
        Change::Acl if !seen.is_symlink() => {
            let acl = acl::from_text(format!("user::rwx,user:{number}:r-x,group::r-x,mask::rwx,other::---").as_bytes());
            rustix::fs::lsetxattr(entry, "system.posix_acl_access", &acl.unwrap(), XattrFlags::empty())?;
        }
        Change::Retype if entry != root => {
            remove(entry)?;
            if seen.is_dir() { fs::write(entry, [number])? } else { fs::create_dir(entry)? }
        }
        Change::Punch => {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(file()?, flags, size / 3, size / 3)?;
        }
        Change::Times => set_times(entry, i64::from(number), 5),
        Change::Replace => {
            let beside = entry.with_extension("new");
            write_new(&beside, &vec![number; size as usize])?;
            fs::rename(beside, entry)?;
        }
        Change::Read => drop(file()?.read_at(&mut [0; 10], 0)?),
        Change::Remove | Change::Mode | Change::Attribute | Change::Acl | Change::Retype => {}
    }
    Ok(())
}

/// Never into what stands there already: it may be a FIFO, and the open would wait for a reader for ever.
fn write_new(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    File::create_new(path)?.write_all_at(contents, 0)
}

fn remove(entry: &Path) -> std::io::Result<()> {
    if fs::symlink_metadata(entry)?.is_dir() { fs::remove_dir_all(entry) } else { fs::remove_file(entry) }
}

/// Every path of a tree, the root first.
fn entries(root: &Path) -> Vec<PathBuf> {
    let mut entries = vec![root.to_path_buf()];
    let mut at = 0;
    while let Some(path) = entries.get(at).cloned() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            let mut below: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            below.sort();
            entries.extend(below);
        }
        at += 1;
    }
    entries
}

/// Bytes that do not compress, always the same for a seed.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A file of noise.
pub(super) fn make_noise(path: &Path, seed: u64, length: usize) {
    File::create(path).unwrap().write_all_at(&noise(seed, length), 0).unwrap();
}
