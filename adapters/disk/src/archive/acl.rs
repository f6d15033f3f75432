//! POSIX ACLs: the kernel's binary form and the text of `SCHILY.acl.*`, one to one.
//!
//! GNU tar and bsdtar read ACLs only as text. With numeric ids and the entries in the kernel's own order the text says
//! neither more nor less than the binary form, so it is the only one in an archive.

use std::fmt::Write;

/// The extended attribute that holds the ACL of a file.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The extended attribute that holds the ACL that new entries of a directory get.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Version of the binary form: its first four bytes.
const VERSION: [u8; 4] = 2_u32.to_le_bytes();
/// Tag, permissions and id of an entry, two, two and four bytes, little-endian.
const ENTRY_BYTES: usize = 8;
/// The id of entries that have none.
const NO_ID: u32 = u32::MAX;

/// Tags of the entries that have an id.
const NAMED_USER: u16 = 0x02;
const NAMED_GROUP: u16 = 0x08;

const TAGS: [(u16, &str, bool); 6] = [
    (0x01, "user", false),
    (NAMED_USER, "user", true),
    (0x04, "group", false),
    (NAMED_GROUP, "group", true),
    (0x10, "mask", false),
    (0x20, "other", false),
];

/// The text of a binary ACL: `user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::---`. `None` if the text could not
/// give back the very same bytes.
pub(super) fn to_text(binary: &[u8]) -> Option<String> {
    let entries = binary.strip_prefix(&VERSION)?;
    let mut text = String::new();
    for entry in entries.chunks(ENTRY_BYTES) {
        let &[t0, t1, p0, p1, i0, i1, i2, i3] = entry else { return None };
        let (tag, perm) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let (_, word, named) = TAGS.into_iter().find(|(known, ..)| *known == tag)?;
        if perm > 7 || named == (id == NO_ID) {
            return None;
        }
        let id = if named { id.to_string() } else { String::new() };
        let bit = |mask, letter| if perm & mask != 0 { letter } else { '-' };
        let comma = if text.is_empty() { "" } else { "," };
        write!(text, "{comma}{word}:{id}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x')).ok()?;
    }
    Some(text)
}

/// The binary form of such a text; `None` if it is not of that form.
pub(super) fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let mut binary = VERSION.to_vec();
    for entry in std::str::from_utf8(text).ok()?.split(',').filter(|entry| !entry.is_empty()) {
        let mut parts = entry.split(':');
        let (word, id, perms) = (parts.next()?, parts.next()?, parts.next()?);
        let (tag, ..) = TAGS.into_iter().find(|(_, known, named)| *known == word && *named != id.is_empty())?;
        let id = if id.is_empty() { NO_ID } else { id.parse().ok().filter(|&id| id != NO_ID)? };
        let &[r, w, x] = perms.as_bytes() else { return None };
        let bit = |letter: u8, is: u8, mask: u16| match letter {
            _ if letter == is => Some(mask),
            b'-' => Some(0),
            _ => None,
        };
        let perm = bit(r, b'r', 4)? | bit(w, b'w', 2)? | bit(x, b'x', 1)?;
        if parts.next().is_some() {
            return None;
        }
        binary.extend(tag.to_le_bytes());
        binary.extend(perm.to_le_bytes());
        binary.extend(id.to_le_bytes());
    }
    Some(binary)
}

/// The same binary ACL with other users and groups in it; what is no such ACL stays as it is.
pub(super) fn map(binary: &[u8], user: impl Fn(u32) -> u32, group: impl Fn(u32) -> u32) -> Vec<u8> {
    let mut mapped = binary.to_vec();
    if !binary.starts_with(&VERSION) {
        return mapped;
    }
    for entry in mapped[VERSION.len()..].chunks_exact_mut(ENTRY_BYTES) {
        let &mut [t0, t1, _, _, i0, i1, i2, i3] = entry else { continue };
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let id = match u16::from_le_bytes([t0, t1]) {
            NAMED_USER => user(id),
            NAMED_GROUP => group(id),
            _ => continue,
        };
        entry[4..].copy_from_slice(&id.to_le_bytes());
    }
    mapped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: u16, perm: u16, id: u32) -> Vec<u8> {
        [&tag.to_le_bytes()[..], &perm.to_le_bytes(), &id.to_le_bytes()].concat()
    }

    #[test]
    fn text_and_binary_say_the_same() {
        let binary = [
            VERSION.to_vec(),
            entry(1, 7, NO_ID),
            entry(2, 5, 1000),
            entry(4, 5, NO_ID),
            entry(8, 2, 7),
            entry(16, 7, NO_ID),
            entry(32, 0, NO_ID),
        ]
        .concat();
        let text = to_text(&binary).unwrap();
        assert_eq!(text, "user::rwx,user:1000:r-x,group::r-x,group:7:-w-,mask::rwx,other::---");
        assert_eq!(from_text(text.as_bytes()), Some(binary));
        assert_eq!(from_text(to_text(&VERSION).unwrap().as_bytes()), Some(VERSION.to_vec()), "an empty one");
    }

    #[test]
    fn only_the_ids_of_named_users_and_groups_are_mapped() {
        let text = "user::rwx,user:1000:r-x,group::r-x,group:7:-w-,mask::rwx,other::---";
        let mapped = map(&from_text(text.as_bytes()).unwrap(), |id| id + 1, |id| id + 100);
        assert_eq!(to_text(&mapped).unwrap(), text.replace("1000", "1001").replace(":7:", ":107:"));
        for odd in [vec![], vec![3, 0, 0, 0, 2, 0], [&VERSION[..], &[2, 0, 7]].concat()] {
            assert_eq!(map(&odd, |_| 0, |_| 0), odd);
        }
    }

    #[test]
    fn what_text_cannot_say_exactly_is_left_binary() {
        for odd in
            [vec![], vec![3, 0, 0, 0], [&VERSION[..], &[1, 0]].concat(), [VERSION.to_vec(), entry(64, 7, 1)].concat()]
        {
            assert_eq!(to_text(&odd), None);
        }
        assert_eq!(to_text(&[VERSION.to_vec(), entry(1, 7, 5)].concat()), None, "an id where none belongs");
    }

    #[test]
    fn other_text_is_refused() {
        for bad in ["user", "user::rw", "user::rwz", "friend::rwx", "mask:5:rwx", "user:x:rwx", "user::rwx:5"] {
            assert_eq!(from_text(bad.as_bytes()), None, "{bad}");
        }
    }
}
