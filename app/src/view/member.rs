//! `ls`: the members of a snapshot.

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::model::{Member, MemberKind, SnapshotId, member::escape};

use super::ErrorView;

/// The document of `ls`, which is written as it comes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MembersView<'a> {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its members, in the order of the archive.
    pub members: Vec<MemberView<'a>>,
    /// Why the list ends before its time, where every other command has its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

/// An item of the document of `ls`. Paths are raw bytes: in `path` and `link`, `%` and each byte that is not part of
/// valid UTF-8 is written as `%XX`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MemberView<'a> {
    /// Its volume.
    pub target: &'a str,
    /// Path below the volume's root; empty for the root.
    pub path: String,
    /// `directory`, `file`, `hard-link`, `symlink`, `fifo`, `block-device` or `character-device`.
    #[cfg_attr(test, schemars(extend("enum" = ["directory", "file", "hard-link", "symlink", "fifo", "block-device", "character-device"])))]
    pub kind: &'static str,
    /// Permissions with set-user-id, set-group-id and sticky bit, in octal.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of the contents, which only `file` has.
    pub bytes: u64,
    /// When it was modified; `null` for years that have more than four digits.
    pub mtime: Option<Timestamp>,
    /// What a `symlink` says; for a `hard-link` the path of its file below the volume's root.
    pub link: Option<String>,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<[u32; 2]>,
}

impl<'a> MemberView<'a> {
    /// The view of a member of that volume.
    #[must_use]
    pub fn of(target: &'a str, member: &Member) -> Self {
        let (kind, bytes, link, device) = match &member.kind {
            MemberKind::Directory => ("directory", 0, None, None),
            MemberKind::File { bytes } => ("file", *bytes, None, None),
            MemberKind::HardLink { target } => ("hard-link", 0, Some(escape(target)), None),
            MemberKind::Symlink { target } => ("symlink", 0, Some(escape(target)), None),
            MemberKind::Fifo => ("fifo", 0, None, None),
            MemberKind::Device { block: true, major, minor } => ("block-device", 0, None, Some([*major, *minor])),
            MemberKind::Device { block: false, major, minor } => ("character-device", 0, None, Some([*major, *minor])),
        };
        MemberView {
            target,
            path: escape(&member.path),
            kind,
            mode: format!("{:04o}", member.mode),
            uid: member.uid,
            gid: member.gid,
            bytes,
            mtime: member.mtime(),
            link,
            device,
        }
    }
}
