//! What is asked for inside an archive or a live directory.

use crate::model::{Member, MemberKind, SnapshotId, WorkloadId};

/// An archive to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookInto {
    /// The workload whose archive it is.
    pub workload: WorkloadId,
    /// The archive.
    pub snapshot: SnapshotId,
    /// BLAKE3 of its index as the catalog has it: another archive under the same name is refused.
    pub archive_digest: String,
}

/// A place in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The volume's index. It is not absent.
    pub index: usize,
    /// Path below the volume's root, without `.`, `..` and empty components; empty for the root.
    pub path: Vec<u8>,
}

/// What an archive has at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// What was asked for; so many bytes, or members, were handed on.
    Done(u64),
    /// Something that has no contents.
    Other(MemberKind),
    /// Nothing. This is the last member on the way there that exists.
    Nothing(Member),
}

/// Takes the members of a volume (by its index) one by one. An error, in words, ends the listing.
pub type MemberSink = Box<dyn FnMut(usize, Member) -> Result<(), String> + Send>;

/// Members of a tree: at and below a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersOf {
    /// Path below its root, as in [`Place`]; empty for all of it.
    pub path: Vec<u8>,
    /// Whether files' contents are read for [`Member::contents`].
    pub contents: bool,
}
