//! The mount table: which filesystem a path lies on, by the kernel's own numbers.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Statx, StatxFlags};
use sysinfo::{DiskKind, DiskRefreshKind, Disks};
use volsnap_core::{
    model::FilesystemId,
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::errno::io_error;

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// One line of the table (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Number of the mount; each bind mount has its own.
    pub(crate) id: u64,
    /// `major:minor` of the filesystem.
    device: String,
    /// Which directory of the filesystem is mounted.
    root: PathBuf,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The filesystem's type.
    pub(crate) kind: String,
    /// What was mounted, in the words of whoever mounted it.
    source: String,
    /// Whether the mount or the filesystem is read-only.
    pub(crate) read_only: bool,
}

/// Reads the table of this process.
pub(crate) fn mounts() -> Result<Vec<Mount>, FsError> {
    let bytes = std::fs::read(MOUNTINFO).map_err(|error| io_error(FsOp::Look, MOUNTINFO, &error))?;
    Ok(bytes.split(|b| *b == b'\n').filter_map(parse).collect())
}

/// The mount that a file lies on, by the number in its `statx`; on kernels before 5.8, which do not give it, by the
/// longest mount point above `real`, a path without links.
pub(crate) fn mount_of<'a>(mounts: &'a [Mount], stat: &Statx, real: &Path) -> Result<&'a Mount, FsError> {
    let numbered = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
    let found = match numbered {
        true => mounts.iter().find(|m| m.id == stat.stx_mnt_id),
        false => mounts.iter().filter(|m| real.starts_with(&m.point)).max_by_key(|m| m.point.as_os_str().len()),
    };
    found.ok_or_else(|| {
        FsError::new(FsErrorKind::Transient, FsOp::Look, real, "its mount is not in the mount table (any more)")
    })
}

impl Mount {
    /// Groups what shares space.
    ///
    /// The table's device number is the filesystem's own: bind mounts and all subvolumes of a btrfs have the same one,
    /// unlike the device number that `stat` gives. The datasets of a ZFS pool have numbers of their own and share the
    /// pool's space.
    pub(crate) fn filesystem(&self) -> FilesystemId {
        FilesystemId(match self.kind.as_str() {
            "zfs" => format!("zfs {}", self.source.split('/').next().unwrap_or_default()),
            kind => format!("{kind} {}", self.device),
        })
    }

    /// Whether `dir`, which lies on the mount `own`, can be seen through this one too: it, unless it `stays` where it is, or a
    /// directory below it.
    pub(crate) fn shows(&self, own: &Mount, dir: &Path, stays: bool) -> bool {
        let Ok(below) = dir.strip_prefix(&own.point) else { return false };
        // Without components there would be a slash at the end.
        let shown = if below.as_os_str().is_empty() { own.root.clone() } else { own.root.join(below) };
        self.id != own.id
            && self.filesystem() == own.filesystem()
            && self.root.starts_with(&shown)
            && !(stays && self.root == shown)
    }

    /// Whether two names can be exchanged atomically: only where it was tried or is known from the kernel's source.
    ///
    /// A wrong "no" costs a moment in which the live name is missing, a wrong "yes" a restore that goes back. ext2 has
    /// no journal, and its own driver no exchange; overlay, network and FUSE filesystems refuse it or depend on what
    /// lies below.
    pub(crate) fn exchanges(&self) -> bool {
        matches!(self.kind.as_str(), "ext3" | "ext4" | "xfs" | "btrfs" | "tmpfs" | "f2fs" | "bcachefs")
    }

    /// The disk behind it, for people: its device and what kind it is, where there is a disk.
    pub(crate) fn disk(&self) -> Option<String> {
        let listed = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_kind());
        let disks = match listed {
            Ok(disks) => disks,
            Err(error) => {
                tracing::debug!(%error, "the disks cannot be listed");
                return self.device_name(None);
            }
        };
        let disk = disks.iter().find(|d| d.mount_point() == self.point && d.file_system() == self.kind.as_str());
        self.device_name(disk.map(sysinfo::Disk::kind))
    }

    fn device_name(&self, kind: Option<DiskKind>) -> Option<String> {
        if !self.source.starts_with('/') {
            return None;
        }
        Some(match kind {
            Some(kind @ DiskKind::SSD) => format!("{} ({kind})", self.source),
            // A virtual disk says that it rotates, whatever is behind it.
            Some(DiskKind::HDD | DiskKind::Unknown(_)) | None => self.source.clone(),
        })
    }
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/sda1 rw,errors=continue`, the fields between options and
/// `-` being any number.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let device = text(fields.nth(1)?);
    let root = PathBuf::from(unescape(fields.next()?));
    let point = PathBuf::from(unescape(fields.next()?));
    let options = text(fields.next()?);
    let mut fields = fields.skip_while(|f| *f != b"-").skip(1);
    let kind = text(fields.next()?);
    let source = text(&unescape(fields.next()?).into_vec());
    let super_options = text(fields.next().unwrap_or_default());
    let read_only = [options, super_options].iter().any(|options| options.split(',').any(|o| o == "ro"));
    Some(Mount { id, device, root, point, kind, source, read_only })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
}

/// The kernel writes space, tab, newline, `#` and backslash as three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal.and_then(|digits| u8::from_str_radix(&text(digits), 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Mount {
        parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn a_directory_is_seen_through_other_mounts_of_it_and_of_what_is_in_it() {
        let own = mount("30 1 8:1 /srv /data rw - ext4 /dev/sda1 rw");
        let shows = |line: &str, stays| mount(line).shows(&own, Path::new("/data/app"), stays);
        let (itself, below) =
            ("31 1 8:1 /srv/app /ftp rw - ext4 /dev/sda1 rw", "32 1 8:1 /srv/app/www /www rw - ext4 /dev/sda1 rw");
        assert!(shows(itself, false) && shows(below, false));
        // One that is not renamed goes on being seen; what is in it is moved.
        assert!(!shows(itself, true) && shows(below, true));
        for other in [
            "30 1 8:1 /srv /data rw - ext4 /dev/sda1 rw",
            "33 1 8:1 / /mnt rw - ext4 /dev/sda1 rw",
            "34 1 8:1 /srv/app2 /ftp rw - ext4 /dev/sda1 rw",
            "35 1 8:2 /srv/app /ftp rw - ext4 /dev/sda2 rw",
        ] {
            assert!(!shows(other, false), "{other}");
        }
        let whole = mount("40 1 8:3 / /disk rw - ext4 /dev/sdb rw");
        let bound = mount("41 1 8:3 /x /x rw - ext4 /dev/sdb rw");
        assert!(bound.shows(&whole, Path::new("/disk"), true) && bound.shows(&whole, Path::new("/disk/x"), false));
        assert!(!bound.shows(&whole, Path::new("/disk/x/y"), false), "it shows more than that");
    }

    #[test]
    fn a_line_with_and_without_optional_fields_is_read() {
        let with = mount(r"42 27 254:0 /var/lib/docker /mnt/a\040b rw,relatime shared:1 master:2 - ext4 /dev/vda rw");
        assert_eq!((with.id, with.point.to_str().unwrap()), (42, "/mnt/a b"));
        assert_eq!((with.kind.as_str(), with.source.as_str(), with.read_only), ("ext4", "/dev/vda", false));
        let without = mount("28 27 0:25 / /x ro,nosuid - tmpfs none rw,size=4k");
        assert_eq!((without.kind.as_str(), without.read_only), ("tmpfs", true));
        assert!(parse(b"").is_none());
    }

    #[test]
    fn a_read_only_filesystem_is_seen_below_a_writable_mount() {
        assert!(mount("28 27 254:0 / /x rw - ext4 /dev/vda ro").read_only);
    }

    #[test]
    fn subvolumes_binds_and_datasets_of_one_pool_share_space() {
        let ids = |lines: [&str; 2]| lines.map(|line| mount(line).filesystem());
        let [a, b] =
            ids(["30 1 0:31 /root / rw - btrfs /dev/sda2 rw", "31 1 0:31 /home /home rw - btrfs /dev/sda2 rw"]);
        assert_eq!(a, b);
        let [a, b] = ids(["30 1 0:40 / /t rw - zfs tank/a rw", "31 1 0:41 / /u rw - zfs tank/b/c rw"]);
        assert_eq!(a, b);
        let [a, b] = ids(["30 1 0:40 / /t rw - tmpfs tmpfs rw", "31 1 0:41 / /u rw - tmpfs tmpfs rw"]);
        assert_ne!(a, b);
    }

    #[test]
    fn names_with_escapes_are_read_as_they_are() {
        assert_eq!(unescape(br"/a\011b\134040\x\04"), OsString::from("/a\tb\\040\\x\\04"));
    }

    #[test]
    fn exchange_is_believed_of_known_filesystems_only() {
        assert!(mount("1 0 254:0 / / rw - ext4 /dev/vda rw").exchanges());
        for kind in ["overlay", "nfs4", "fuse.sshfs", "vfat", "ext2"] {
            assert!(!mount(&format!("1 0 0:1 / / rw - {kind} x rw")).exchanges(), "{kind}");
        }
    }
}
