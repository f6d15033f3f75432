//! Which mounts show a directory, or something above or below it: by path, and by the directories themselves.
//!
//! A bind mount, a device that is mounted twice and a btrfs subvolume show one directory under two paths. So directories
//! are compared by device and inode number, those above them included. Looks at the host's disk, so nothing here may run on
//! a thread of the runtime.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs, io,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// What a container mounts, as directories of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Its mounts' sources and, for a volume that is itself a bind mount (local driver with a `device`), the directory behind
    /// it.
    pub(crate) paths: Vec<PathBuf>,
    /// The device of a volume that is a filesystem of its own: the engine mounts it only while a container runs, and maybe
    /// where this process does not see it.
    pub(crate) devices: Vec<PathBuf>,
}

/// Which of the containers, by their keys, mount something that touches one of the paths; ordered.
pub(crate) fn touching(sources: &HashMap<String, Sources>, paths: &[PathBuf]) -> Vec<String> {
    let wanted: Vec<Shown> = paths.iter().map(|path| Shown::at(path)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let has_devices = sources.values().any(|sources| !sources.devices.is_empty());
    let table = if has_devices { mount_table() } else { Vec::new() };
    let touches = |path: &Path| {
        let shown = Shown::at(path);
        wanted.iter().any(|wanted| wanted.touches(&shown))
    };
    let mut keys: Vec<String> = sources
        .iter()
        .filter(|(_, sources)| {
            let mounted = sources.devices.iter().flat_map(|device| mounted_at(&table, device));
            sources.paths.iter().map(PathBuf::as_path).chain(mounted).any(touches)
        })
        .map(|(key, _)| key.clone())
        .collect();
    keys.sort();
    keys
}

/// A path, and which directories it and those above it are, as far as they exist.
#[derive(Debug)]
struct Shown {
    real: PathBuf,
    /// Device and inode number of what is there.
    own: Option<(u64, u64)>,
    /// Those of all directories above it.
    above: Vec<(u64, u64)>,
}

impl Shown {
    fn at(path: &Path) -> Shown {
        let real = canonical(path);
        let inode = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Shown { own: inode(&real), above: real.ancestors().skip(1).filter_map(inode).collect(), real }
    }

    /// Whether one of the two is the other or lies above it.
    fn touches(&self, other: &Shown) -> bool {
        let holds = |outer: &Shown, inner: &Shown| {
            outer.own.is_some_and(|own| inner.own == Some(own) || inner.above.contains(&own))
        };
        touch(&self.real, &other.real) || holds(self, other) || holds(other, self)
    }
}

/// The path with its links resolved; what does not exist yet is kept as it stands below what does.
fn canonical(path: &Path) -> PathBuf {
    match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => canonical(parent).join(name),
            _ => path.to_path_buf(),
        },
        Err(_) => path.to_path_buf(),
    }
}

/// Whether one of the paths is the other or lies above it, component by component.
fn touch(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// Devices and where they are mounted, as this process sees it; none if the table cannot be read.
fn mount_table() -> Vec<(PathBuf, PathBuf)> {
    let bytes = fs::read("/proc/self/mountinfo").unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/sda1 rw,errors=continue`.
fn parse(line: &[u8]) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let point = fields.by_ref().nth(4)?;
    let device = fields.skip_while(|field| *field != b"-").nth(2)?;
    device.starts_with(b"/").then(|| (unescaped(device), unescaped(point)))
}

/// The kernel writes blanks and backslashes in three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(field.len()), field);
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Where a block device is mounted, under whatever name of it.
fn mounted_at<'a>(table: &'a [(PathBuf, PathBuf)], device: &Path) -> Vec<&'a Path> {
    let number = |path: &Path| {
        fs::metadata(path).ok().filter(|found| found.file_type().is_block_device()).map(|found| found.rdev())
    };
    let Some(wanted) = number(device) else { return Vec::new() };
    let same = table.iter().filter(|(mounted, _)| mounted == device || number(mounted) == Some(wanted));
    same.map(|(_, point)| point.as_path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_touch_on_whole_components_only() {
        assert!(touch(Path::new("/srv/app"), Path::new("/srv/app")));
        assert!(touch(Path::new("/srv/app/db"), Path::new("/srv/app")));
        assert!(touch(Path::new("/srv"), Path::new("/srv/app")));
        assert!(!touch(Path::new("/srv/app2"), Path::new("/srv/app")));
    }

    #[test]
    fn what_does_not_exist_is_resolved_up_to_where_it_would_be() {
        assert_eq!(canonical(Path::new("/proc/self/../nowhere/deep")), Path::new("/proc/nowhere/deep"));
    }

    #[test]
    fn one_directory_under_two_paths_touches_itself_and_what_is_in_it() {
        let shown = |real: &str, own, above: &[u64]| Shown {
            real: real.into(),
            own: Some((1, own)),
            above: above.iter().map(|number| (1, *number)).collect(),
        };
        let (own, alias) = (shown("/srv/a", 12, &[11, 2]), shown("/mnt/b", 12, &[10, 2]));
        let (below, beside) = (shown("/mnt/b/c", 13, &[12, 10, 2]), shown("/mnt/c", 14, &[10, 2]));
        assert!(own.touches(&alias) && own.touches(&below) && below.touches(&own));
        assert!(!own.touches(&beside));
    }

    #[test]
    fn mounts_of_a_device_are_read_from_the_kernels_table() {
        let line = b"36 35 98:0 / /mnt/my\\040disk rw,noatime shared:1 - ext3 /dev/sda1 rw,errors=continue";
        assert_eq!(parse(line), Some(("/dev/sda1".into(), "/mnt/my disk".into())));
        assert_eq!(parse(b"22 28 0:21 / /proc rw - proc proc rw"), None, "no device is behind it");
        assert_eq!(parse(b""), None);
    }
}
