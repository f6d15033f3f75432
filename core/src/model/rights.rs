//! What this process may make of what an archive holds.

use super::{Member, MemberKind};

/// Who this process is to the kernel, and what it may do without being somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Its user.
    pub uid: u32,
    /// Its groups, the one that new files get first.
    pub gids: Vec<u32>,
    /// Whether it may give entries to any user and group.
    pub owners: bool,
    /// Whether it may make device nodes.
    pub devices: bool,
    /// Whether it may set attributes in `trusted.`.
    pub trusted: bool,
    /// Whether it may give capabilities to programs.
    pub capabilities: bool,
}

impl Rights {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Rights { uid: 0, gids: vec![0], owners: true, devices: true, trusted: true, capabilities: true }
    }

    /// Whether there is nothing that it may not make.
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.owners && self.devices && self.trusted && self.capabilities
    }

    /// What of a member it may not make; nothing if it can be made as it is.
    pub fn lacking(&self, member: &Member) -> impl Iterator<Item = Lacking> {
        let is_other = |uid, gid| uid != self.uid || !self.gids.contains(&gid);
        let (mut owner, mut device, mut attribute) = (false, false, false);
        match member.kind {
            // What it is another name of has been looked at.
            MemberKind::HardLink { .. } => {}
            MemberKind::Directory | MemberKind::File { .. } | MemberKind::Symlink { .. } | MemberKind::Fifo => {
                owner = !self.owners && is_other(member.uid, member.gid);
            }
            MemberKind::Device { block, major, minor } => {
                owner = !self.owners && is_other(member.uid, member.gid);
                // Anybody may make an overlay's whiteout.
                device = !self.devices && (block || (major, minor) != (0, 0));
            }
        }
        for (name, _) in &member.xattrs {
            attribute |= !self.trusted && name.starts_with(b"trusted.");
            attribute |= !self.capabilities && name == b"security.capability";
        }
        let lacks = [(owner, Lacking::Owner), (device, Lacking::Device), (attribute, Lacking::Attribute)];
        lacks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what)
    }
}

/// What a process may not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacking {
    /// An entry of another user or group.
    Owner,
    /// A device node.
    Device,
    /// An attribute that only root may set.
    Attribute,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(rights: &Rights, kind: MemberKind, (uid, gid): (u32, u32), attribute: &str) -> Vec<Lacking> {
        let xattrs = vec![(attribute.as_bytes().to_vec(), Vec::new())];
        let member = Member {
            path: b"a".to_vec(),
            kind,
            mode: 0,
            uid,
            gid,
            mtime_seconds: 0,
            mtime_nanoseconds: 0,
            xattrs,
            flags: None,
            contents: None,
        };
        rights.lacking(&member).collect()
    }

    #[test]
    fn a_user_makes_only_what_is_theirs() {
        let user =
            Rights { uid: 7, gids: vec![8, 9], owners: false, devices: false, trusted: false, capabilities: false };
        let device = |major| MemberKind::Device { block: false, major, minor: 0 };
        let link = || MemberKind::HardLink { target: b"b".to_vec() };
        assert_eq!(lacking(&user, MemberKind::Fifo, (7, 9), "user.a"), []);
        assert_eq!(lacking(&user, MemberKind::Fifo, (7, 10), "user.a"), [Lacking::Owner]);
        assert_eq!(lacking(&user, MemberKind::Directory, (0, 8), "trusted.a"), [Lacking::Owner, Lacking::Attribute]);
        assert_eq!(lacking(&user, MemberKind::Fifo, (7, 8), "security.capability"), [Lacking::Attribute]);
        assert_eq!(
            lacking(&user, MemberKind::Fifo, (7, 8), "security.selinux"),
            [],
            "of the host, which may refuse it"
        );
        assert_eq!(lacking(&user, device(1), (7, 8), "user.a"), [Lacking::Device]);
        assert_eq!(lacking(&user, device(0), (7, 8), "user.a"), []);
        assert_eq!(lacking(&user, link(), (0, 0), "user.a"), []);
        assert!(!user.are_all() && Rights::all().are_all());
        assert_eq!(lacking(&Rights::all(), device(1), (5, 5), "trusted.a"), []);
    }
}
