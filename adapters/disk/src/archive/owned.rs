//! Whom the members of a copy belong to, decided before they are made.

use volsnap_core::{
    model::{FlagsLeft, Owners},
    ports::FsError,
};

use super::{
    acl,
    extract::Extractor,
    member::{Kind, Member},
    read::Sink,
    stream::Piece,
};

/// The attribute that holds a file's capabilities.
const CAPABILITY: &[u8] = b"security.capability";
/// Of capabilities that belong to the root of a user namespace: version in the first four bytes, that user's id in the
/// last four of twenty-four (`struct vfs_ns_cap_data`).
const CAPABILITY_OF_ROOT: (u32, usize) = (0x0300_0000, 24);
const CAPABILITY_VERSION: u32 = 0xff00_0000;

/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;

/// Changes owners on the way to the extractor.
pub(super) struct Owned<'a> {
    extractor: Extractor<'a>,
    owners: &'a Owners,
    me: (u32, u32),
    /// How many entries belong to somebody else in the archive.
    pub(super) owners_left: u64,
    /// How many attributes were left out.
    pub(super) attributes_left: u64,
}

impl<'a> Owned<'a> {
    pub(super) fn new(extractor: Extractor<'a>, owners: &'a Owners) -> Self {
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Owned { extractor, owners, me, owners_left: 0, attributes_left: 0 }
    }

    pub(super) fn flags_left(&self) -> FlagsLeft {
        self.extractor.flags_left()
    }

    fn fit(&mut self, mut member: Member) -> Member {
        match self.owners {
            Owners::Mapped { uids, gids } => {
                (member.uid, member.gid) = (uids.map(member.uid), gids.map(member.gid));
                for (name, value) in &mut member.xattrs {
                    if name == acl::ACCESS || name == acl::DEFAULT {
                        *value = acl::map(value, |id| uids.map(id), |id| gids.map(id));
                    } else if name == CAPABILITY {
                        map_root(value, |id| uids.map(id));
                    }
                }
            }
            Owners::Mine => {
                if (member.uid, member.gid) != self.me {
                    self.owners_left += 1;
                    (member.uid, member.gid) = self.me;
                    if !matches!(member.kind, Kind::Directory) {
                        member.mode &= !SET_ID;
                    }
                }
                let before = member.xattrs.len();
                member.xattrs.retain(|(name, _)| !name.starts_with(b"trusted.") && !name.starts_with(b"security."));
                self.attributes_left += (before - member.xattrs.len()) as u64;
            }
        }
        member
    }
}

/// The root to whom capabilities belong, where they say so.
fn map_root(value: &mut [u8], map: impl Fn(u32) -> u32) {
    let (version, length) = CAPABILITY_OF_ROOT;
    if value.len() == length
        && let (Some(head), Some(tail)) = (value.first_chunk(), value.last_chunk())
        && u32::from_le_bytes(*head) & CAPABILITY_VERSION == version
    {
        let root = map(u32::from_le_bytes(*tail));
        value[length - 4..].copy_from_slice(&root.to_le_bytes());
    }
}

impl Sink for Owned<'_> {
    fn member(&mut self, depth: usize, member: Member) -> Result<(), FsError> {
        // Another name of a file has no owner of its own.
        let member = match member.kind {
            Kind::HardLink { .. } => member,
            Kind::Directory | Kind::File { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => {
                self.fit(member)
            }
        };
        self.extractor.member(depth, member)
    }

    fn data(&mut self, offset: u64, piece: Piece) -> Result<(), FsError> {
        self.extractor.data(offset, piece)
    }

    fn complete(&mut self) -> Result<(), FsError> {
        self.extractor.complete()
    }

    fn end(&mut self) -> Result<(), FsError> {
        self.extractor.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_capabilities_of_a_namespaces_root_have_an_id_to_map() {
        let of_root = [&[1, 0, 0, 3][..], &[0; 16], &1000_u32.to_le_bytes()].concat();
        let mut mapped = of_root.clone();
        map_root(&mut mapped, |id| id + 1);
        assert_eq!(mapped, [&of_root[..20], &1001_u32.to_le_bytes()].concat());
        for other in [vec![], [&[1, 0, 0, 2][..], &[0; 16]].concat(), [&[1, 0, 0, 2][..], &[0; 20]].concat()] {
            let mut same = other.clone();
            map_root(&mut same, |_| 7);
            assert_eq!(same, other);
        }
    }
}
