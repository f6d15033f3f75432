//! What a directory or file of the host would let a container reach that may only read it.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Entries of a directory that are looked at, at the most.
const ENTRIES_MAX: usize = 200_000;

/// Directories in which the host's own services have their doors.
const OF_THE_HOST: [&str; 5] = ["/run", "/var/run", "/proc", "/sys", "/dev"];

/// What stands where a mount comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// A file or a directory that can be read and nothing more.
    Readable,
    /// Something that is written to through it although it is mounted read-only, or may be; what.
    Reaches(String),
    /// Nothing, or nothing that can be looked at; why.
    Unknown(String),
}

/// Looks at a source of a mount. What is mounted below it is left out, as it is for the container.
///
/// Looks at the host's disk, so it must not run on a thread of the runtime.
pub(crate) fn of(source: &Path) -> Exposure {
    let unknown = |error: &io::Error| Exposure::Unknown(format!("{}: {error}", source.display()));
    let (real, found) = match fs::canonicalize(source).and_then(|real| Ok((fs::metadata(&real)?, real))) {
        Ok((found, real)) => (real, found),
        Err(error) => return unknown(&error),
    };
    if let Some(door) = door(found.file_type(), &real) {
        return Exposure::Reaches(door);
    }
    if !found.is_dir() {
        return Exposure::Readable;
    }
    let shows = |of_host: &&&str| real.starts_with(of_host) || Path::new(of_host).starts_with(&real);
    if let Some(of_host) = OF_THE_HOST.iter().find(shows) {
        return Exposure::Reaches(format!("{of_host} of the host"));
    }
    match first_door(&real, found.dev()) {
        Ok(None) => Exposure::Readable,
        Ok(Some(door)) => Exposure::Reaches(door),
        Err(error) => unknown(&error),
    }
}

/// The first thing below a directory that a reader can write to, or that there is too much to look at.
fn first_door(root: &Path, device: u64) -> io::Result<Option<String>> {
    let mut directories = vec![root.to_path_buf()];
    let mut entries = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            entries += 1;
            if entries > ENTRIES_MAX {
                return Ok(Some(format!("more than {ENTRIES_MAX} entries, among which may be a socket")));
            }
            let (path, kind): (PathBuf, _) = (entry.path(), entry.file_type()?);
            if let Some(door) = door(kind, &path) {
                return Ok(Some(door));
            }
            if kind.is_dir() && entry.metadata()?.dev() == device {
                directories.push(path);
            }
        }
    }
    Ok(None)
}

/// A read-only mount keeps nobody from speaking to who listens behind a socket or a pipe.
fn door(kind: fs::FileType, path: &Path) -> Option<String> {
    let what = if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        return None;
    };
    Some(format!("{what} of the host, {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn reaches(path: &Path) -> Option<String> {
        match of(path) {
            Exposure::Reaches(what) => Some(what),
            Exposure::Readable | Exposure::Unknown(_) => None,
        }
    }

    #[test]
    fn a_socket_is_found_behind_links_and_deep_in_a_directory_and_plain_files_are_readable() {
        let root = std::env::temp_dir().join(format!("volsnap-exposure-{}", std::process::id()));
        let deep = root.join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("conf"), "x").unwrap();
        assert_eq!((of(&root), of(&deep.join("conf"))), (Exposure::Readable, Exposure::Readable));
        let socket = deep.join("db.sock");
        drop(UnixListener::bind(&socket).unwrap());
        std::os::unix::fs::symlink(&socket, root.join("link")).unwrap();
        for path in [&root, &deep, &socket, &root.join("link")] {
            assert!(reaches(path).is_some_and(|what| what.contains("a socket")), "{}", path.display());
        }
        assert_eq!(of(&deep.join("conf")), Exposure::Readable);
        fs::remove_dir_all(&root).unwrap();
        assert!(matches!(of(&root), Exposure::Unknown(_)));
    }

    #[test]
    fn directories_of_the_host_and_those_above_them_are_no_configuration() {
        for path in ["/", "/proc", "/sys/kernel", "/dev/null", "/var/run", "/dev"] {
            assert!(reaches(Path::new(path)).is_some(), "{path}");
        }
    }
}
