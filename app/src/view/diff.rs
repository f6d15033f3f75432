//! `diff`: what was added, removed and changed.

use serde::Serialize;
use volsnap_core::model::{Change, VolumeDifference, member::escape};

use super::MemberView;

/// An item of `members` in the document of `diff`,
/// `{"from":ID,"to":ID|"live","members":[…],"volumes":[…]}`; with `--summary` there are no `members`.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeView<'a> {
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// The volume.
    pub target: &'a str,
    /// Path below the volume's root, escaped as in [`MemberView`]; empty for the root.
    pub path: String,
    /// What has changed: `type`, `links` (the other names of a file), `target` (of a symbolic link), `device`, `size`,
    /// `content`, `mtime`, `mode`, `owner`, `xattrs`. Empty for what was added or removed.
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
