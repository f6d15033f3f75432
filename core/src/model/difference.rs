//! How one tree differs from another, member by member: a merge of two lists that are both in the order of an archive.

use super::{Member, MemberKind, member};

/// What about a member is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// A file is a directory now, and the like.
    Type,
    /// Which other names a file has.
    Links,
    /// Where a symbolic link leads.
    Target,
    /// Which device a node stands for.
    Device,
    /// Length of the contents.
    Size,
    /// The contents themselves, where they were read.
    Content,
    /// When it was modified.
    Mtime,
    /// Permissions.
    Mode,
    /// Owner or group.
    Owner,
    /// Extended attributes, ACLs among them.
    Xattrs,
    /// Inode flags, where both sides say which there are.
    Flags,
}

impl Aspect {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Aspect::Type => "type",
            Aspect::Links => "links",
            Aspect::Target => "target",
            Aspect::Device => "device",
            Aspect::Size => "size",
            Aspect::Content => "content",
            Aspect::Mtime => "mtime",
            Aspect::Mode => "mode",
            Aspect::Owner => "owner",
            Aspect::Xattrs => "xattrs",
            Aspect::Flags => "flags",
        }
    }
}

/// A member that is not the same in both trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second tree has it.
    Added(Member),
    /// Only the first tree has it.
    Removed(Member),
    /// Both have it.
    Changed {
        /// In the first tree.
        before: Member,
        /// In the second.
        after: Member,
        /// What is another, at least one thing.
        what: Vec<Aspect>,
    },
}

/// What of a volume differs, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeDifference {
    /// The volume's name.
    pub target: String,
    /// Members that only the second tree has.
    pub added: u64,
    /// Members that only the first tree has.
    pub removed: u64,
    /// Members that are another.
    pub changed: u64,
    /// Bytes of contents of the added files.
    pub bytes_added: u64,
    /// Bytes of contents of the removed files.
    pub bytes_removed: u64,
    /// Bytes, as they are in the second tree, of the changed files whose contents are or may be others.
    pub bytes_changed: u64,
}

impl VolumeDifference {
    /// Nothing differs yet.
    #[must_use]
    pub fn of(target: impl Into<String>) -> Self {
        VolumeDifference { target: target.into(), ..VolumeDifference::default() }
    }

    /// Whether the two are the same.
    #[must_use]
    pub fn is_none(&self) -> bool {
        (self.added, self.removed, self.changed) == (0, 0, 0)
    }

    /// Counts one more.
    pub fn count(&mut self, change: &Change) {
        match change {
            Change::Added(member) => {
                self.added += 1;
                self.bytes_added += bytes(member);
            }
            Change::Removed(member) => {
                self.removed += 1;
                self.bytes_removed += bytes(member);
            }
            Change::Changed { after, what, .. } => {
                self.changed += 1;
                let contents = [Aspect::Type, Aspect::Size, Aspect::Content];
                // Without a look at the contents another time is all that there is to see.
                let unseen = what.contains(&Aspect::Mtime) && after.contents.is_none();
                if unseen || what.iter().any(|aspect| contents.contains(aspect)) {
                    self.bytes_changed += bytes(after);
                }
            }
        }
    }
}

fn bytes(member: &Member) -> u64 {
    match member.kind {
        MemberKind::File { bytes } => bytes,
        MemberKind::Directory
        | MemberKind::HardLink { .. }
        | MemberKind::Symlink { .. }
        | MemberKind::Fifo
        | MemberKind::Device { .. } => 0,
    }
}

/// What the next members of two trees come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is the same in both.
    Same,
    /// It differs.
    Differs(Box<Change>),
    /// Both lists are at their end.
    End,
}

/// Takes the next member out of one list, or the same path out of both. Each list is in the order of an archive
/// ([`member::order`]), and `before` and `after` are its next member, `None` at its end; whoever calls fills up what was
/// taken.
///
/// With `times`, another time of modification always counts. Without it, only where the contents may be others: a
/// directory's time says nothing that its entries do not say, and contents that were read say it better.
pub fn next(before: &mut Option<Member>, after: &mut Option<Member>, times: bool) -> Next {
    let order = match (&*before, &*after) {
        (None, None) => return Next::End,
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (Some(before), Some(after)) => member::order(&before.path, &after.path),
    };
    let (gone, come) = match order {
        std::cmp::Ordering::Less => (before.take(), None),
        std::cmp::Ordering::Greater => (None, after.take()),
        std::cmp::Ordering::Equal => (before.take(), after.take()),
    };
    match (gone, come) {
        (Some(before), Some(after)) => match differences(&before, &after, times) {
            what if what.is_empty() => Next::Same,
            what => Next::Differs(Box::new(Change::Changed { before, after, what })),
        },
        (Some(member), None) => Next::Differs(Box::new(Change::Removed(member))),
        (None, Some(member)) => Next::Differs(Box::new(Change::Added(member))),
        (None, None) => Next::End,
    }
}

/// What about a member is another; nothing if it is the same.
#[must_use]
pub fn differences(before: &Member, after: &Member, times: bool) -> Vec<Aspect> {
    let mut what = kinds(&before.kind, &after.kind);
    if let (Some(before), Some(after)) = (before.contents, after.contents)
        && before != after
    {
        what.push(Aspect::Content);
    }
    let time = |member: &Member| (member.mtime_seconds, member.mtime_nanoseconds);
    if time(before) != time(after) && (times || !what.is_empty() || may_hide_contents(before, after)) {
        what.push(Aspect::Mtime);
    }
    // The permissions of a symbolic link mean nothing, and not every filesystem keeps them.
    let link = matches!((&before.kind, &after.kind), (MemberKind::Symlink { .. }, MemberKind::Symlink { .. }));
    if before.mode != after.mode && !link {
        what.push(Aspect::Mode);
    }
    if (before.uid, before.gid) != (after.uid, after.gid) {
        what.push(Aspect::Owner);
    }
    if before.xattrs != after.xattrs && !is_one_more_name(before) && !is_one_more_name(after) {
        what.push(Aspect::Xattrs);
    }
    if let (Some(before), Some(after)) = (&before.flags, &after.flags)
        && before != after
    {
        what.push(Aspect::Flags);
    }
    what
}

/// Whether contents may have changed without any other sign than the time.
fn may_hide_contents(before: &Member, after: &Member) -> bool {
    let has_contents = |member: &Member| matches!(member.kind, MemberKind::File { .. } | MemberKind::HardLink { .. });
    let were_read = before.contents.is_some() && after.contents.is_some();
    has_contents(before) && has_contents(after) && !were_read
}

/// Attributes and contents stand with the first name of a file only.
fn is_one_more_name(member: &Member) -> bool {
    matches!(member.kind, MemberKind::HardLink { .. })
}

fn kinds(before: &MemberKind, after: &MemberKind) -> Vec<Aspect> {
    let unless = |same: bool, aspect| if same { Vec::new() } else { vec![aspect] };
    match (before, after) {
        (MemberKind::Directory, MemberKind::Directory) | (MemberKind::Fifo, MemberKind::Fifo) => Vec::new(),
        (MemberKind::File { bytes: a }, MemberKind::File { bytes: b }) => unless(a == b, Aspect::Size),
        (MemberKind::HardLink { target: a }, MemberKind::HardLink { target: b }) => unless(a == b, Aspect::Links),
        (MemberKind::File { .. }, MemberKind::HardLink { .. })
        | (MemberKind::HardLink { .. }, MemberKind::File { .. }) => {
            vec![Aspect::Links]
        }
        (MemberKind::Symlink { target: a }, MemberKind::Symlink { target: b }) => unless(a == b, Aspect::Target),
        (MemberKind::Device { block: true, .. }, MemberKind::Device { block: true, .. })
        | (MemberKind::Device { block: false, .. }, MemberKind::Device { block: false, .. }) => {
            unless(before == after, Aspect::Device)
        }
        (
            MemberKind::Directory
            | MemberKind::File { .. }
            | MemberKind::HardLink { .. }
            | MemberKind::Symlink { .. }
            | MemberKind::Fifo
            | MemberKind::Device { .. },
            _,
        ) => vec![Aspect::Type],
    }
}

#[cfg(test)]
mod tests;
