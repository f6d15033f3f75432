//! `diff`: what was added, removed and changed.

use serde::Serialize;
use volsnap_core::model::{Change, SnapshotId, VolumeDifference, member::escape};

use super::{ErrorView, MemberView};

/// The document of `diff`, which is written as it comes.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DifferenceView<'a> {
    /// The first snapshot.
    pub from: SnapshotId,
    /// The second one's id, or `live`.
    pub to: String,
    /// What differs, volume by volume; absent with `--summary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<ChangeView<'a>>>,
    /// The numbers; absent where the comparison ends before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<VolumeDifferenceView>>,
    /// Why it ends before its time, where every other command has its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

/// A member that differs.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangeView<'a> {
    /// `added`, `removed` or `changed`.
    #[cfg_attr(test, schemars(extend("enum" = ["added", "removed", "changed"])))]
    pub change: &'static str,
    /// The volume.
    pub target: &'a str,
    /// Path below the volume's root, escaped as in [`MemberView`]; empty for the root.
    pub path: String,
    /// What has changed: `type`, `links` (the other names of a file), `target` (of a symbolic link), `device`, `size`,
    /// `content`, `mtime`, `mode`, `owner`, `xattrs`, `flags` (inode flags). Empty for what was added or removed.
    pub what: Vec<&'static str>,
    /// As it was; `null` for what was added.
    pub before: Option<MemberView<'a>>,
    /// As it is in the second; `null` for what was removed.
    pub after: Option<MemberView<'a>>,
}

impl<'a> ChangeView<'a> {
    /// The view of what differs in that volume.
    #[must_use]
    pub fn of(target: &'a str, change: &Change) -> Self {
        let view = |member| Some(MemberView::of(target, member));
        let (word, member, what, before, after) = match change {
            Change::Added(member) => ("added", member, Vec::new(), None, view(member)),
            Change::Removed(member) => ("removed", member, Vec::new(), view(member), None),
            Change::Changed { before, after, what } => {
                let what = what.iter().map(|aspect| aspect.word()).collect();
                ("changed", after, what, view(before), view(after))
            }
        };
        ChangeView { change: word, target, path: escape(&member.path), what, before, after }
    }
}

/// An item of `volumes` in the document of `diff`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VolumeDifferenceView {
    /// The volume.
    pub target: String,
    /// Members that only the second has.
    pub added: u64,
    /// Members that only the first has.
    pub removed: u64,
    /// Members that both have and that differ.
    pub changed: u64,
    /// Bytes of the files that were added.
    pub bytes_added: u64,
    /// Bytes of the files that were removed.
    pub bytes_removed: u64,
    /// Bytes, in the second, of the changed files whose contents are, or without `--content` may be, others.
    pub bytes_changed: u64,
}

impl VolumeDifferenceView {
    /// The view of a volume's numbers.
    #[must_use]
    pub fn of(volume: &VolumeDifference) -> Self {
        VolumeDifferenceView {
            target: volume.target.clone(),
            added: volume.added,
            removed: volume.removed,
            changed: volume.changed,
            bytes_added: volume.bytes_added,
            bytes_removed: volume.bytes_removed,
            bytes_changed: volume.bytes_changed,
        }
    }
}
