//! Where a directory is by now that somebody moved.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};

use rustix::{fs::Statx, io::Errno};
use volsnap_core::{
    model::Identity,
    ports::{FsError, FsOp},
};

use crate::{
    errno::fs_error,
    handles::{identity, is_dir, stat},
};

/// Directories that are read before a search is given up: about a second.
const DIRECTORIES_MAX: usize = 20_000;

/// Looks at `within` and what is below it, level by level. Links are not followed and other filesystems not entered; what
/// cannot be read is passed over, since it is only looked for a place to name.
pub(crate) fn find_directory(within: &Path, sought: Identity) -> Result<Option<PathBuf>, FsError> {
    let root = match stat(within) {
        Ok(root) if is_dir(&root) && sought.birth_ns.is_some() => root,
        Ok(_) | Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(fs_error(FsOp::Look, within, errno)),
    };
    let device = |stat: &Statx| (stat.stx_dev_major, stat.stx_dev_minor);
    if identity(&root).is(sought) {
        return Ok(Some(within.to_path_buf()));
    }
    let mut open = VecDeque::from([within.to_path_buf()]);
    for _ in 0..DIRECTORIES_MAX {
        let Some(dir) = open.pop_front() else { break };
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let path = entry.path();
            match stat(&path) {
                Ok(found) if device(&found) != device(&root) => {}
                Ok(found) if identity(&found).is(sought) => return Ok(Some(path)),
                Ok(_) => open.push_back(path),
                Err(_) => {}
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_by_what_it_is_under_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/data")).unwrap();
        let sought = identity(&stat(&dir.path().join("a/b/data")).unwrap());
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        let moved = dir.path().join("elsewhere/old data");
        fs::rename(dir.path().join("a/b/data"), &moved).unwrap();
        fs::create_dir(dir.path().join("a/b/data")).unwrap();
        std::os::unix::fs::symlink(&moved, dir.path().join("a/link")).unwrap();
        let expected = sought.birth_ns.map(|_| moved.clone());
        assert_eq!(find_directory(dir.path(), sought).unwrap(), expected);
        assert_eq!(find_directory(&moved, sought).unwrap(), expected);
        assert_eq!(find_directory(&dir.path().join("a"), sought).unwrap(), None);
        assert_eq!(find_directory(&dir.path().join("nowhere"), sought).unwrap(), None);
        assert_eq!(find_directory(dir.path(), Identity { birth_ns: None, ..sought }).unwrap(), None);
    }
}
