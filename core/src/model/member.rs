//! Members: what an archive says of the entries of its volumes.

use std::cmp::Ordering;

use jiff::Timestamp;

/// An entry of a volume in an archive, apart from its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Path below the volume's root, raw bytes; empty for the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permissions with set-user-id, set-group-id and sticky bit.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since the epoch.
    pub mtime_seconds: i64,
    /// And nanoseconds, which count forward also before the epoch.
    pub mtime_nanoseconds: u32,
    /// Extended attributes as the kernel knows them, ACLs among them, by name. Of a file with several names only the
    /// first one has them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Inode flags of a directory or a file, those that archives keep, by their letters in the order of `SDdAcjC` (as `lsattr`
    /// has them). `None` where the filesystem has none or the archive does not say, and of everything else. Of a file with
    /// several names only the first one has them.
    pub flags: Option<String>,
    /// A digest of a file's contents, holes being zeros, where it was asked for: to be compared with others like it.
    pub contents: Option<[u8; 32]>,
}

/// What kind of entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Bytes of its contents, holes included.
        bytes: u64,
    },
    /// Another name of an earlier file.
    HardLink {
        /// Path of that file below the volume's root.
        target: Vec<u8>,
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A device node.
    Device {
        /// A block device, or a character device.
        block: bool,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl Member {
    /// When it was modified; `None` before the year -9999 or after 9999.
    #[must_use]
    pub fn mtime(&self) -> Option<Timestamp> {
        let nanoseconds = i32::try_from(self.mtime_nanoseconds).ok()?;
        Timestamp::new(self.mtime_seconds, nanoseconds).ok()
    }
}

/// The order of members: a directory before what it holds, the entries of a directory by their bytes. Put otherwise,
/// paths are compared component by component.
#[must_use]
pub fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|&byte| byte == b'/').cmp(b.split(|&byte| byte == b'/'))
}

/// Raw bytes as text: `%` and every byte that is not part of UTF-8 become `%XX`.
#[must_use]
pub fn escape(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('%', "%25"));
        text.extend(chunk.invalid().iter().map(|byte| format!("%{byte:02X}")));
    }
    text
}

/// The bytes that [`escape`] made this text of; `None` if it made no such text.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let (plain, mut parts) = (text.split('%').next()?, text.split('%').skip(1));
    let bytes = parts.try_fold(plain.as_bytes().to_vec(), |mut bytes, part| {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
        Some(bytes)
    })?;
    // One name has one text: lower-case digits, signs and what needs no escape are refused.
    (escape(&bytes) == text).then_some(bytes)
}

/// The bytes of a name that [`printable`] or [`escape`] made this text of, where those are others than the text's own: what
/// was printed can be given back. `None` if no name is printed so.
#[must_use]
pub fn unprinted(text: &[u8]) -> Option<Vec<u8>> {
    let shown = std::str::from_utf8(text).ok().filter(|shown| shown.contains('%'))?;
    let mut parts = text.split(|&byte| byte == b'%');
    let mut bytes = parts.next()?.to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        bytes.extend(rest);
    }
    (printable(&bytes) == shown || escape(&bytes) == shown).then_some(bytes)
}

/// Raw bytes for people: as [`escape`] writes them, and control characters as `%XX` too, so that no name disturbs a
/// terminal or takes more than its line.
#[must_use]
pub fn printable(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for c in escape(name).chars() {
        match c.is_control() {
            true => text.extend(c.to_string().bytes().map(|byte| format!("%{byte:02X}"))),
            false => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_text() {
        assert_eq!(escape(b"a%b"), "a%25b");
        assert_eq!(escape("ü".as_bytes()), "ü");
        assert_eq!(escape(b"\xff\xfe"), "%FF%FE");
        assert_ne!(escape(b"\xff"), escape(b"%FF"));
    }

    #[test]
    fn a_text_leads_back_to_its_name_and_no_other_text_does() {
        for name in [&b""[..], b"a%b", b"%", b"%%41", b"\xff\xfe/x", "\u{fc}\n%".as_bytes(), b"\xc3", b"\xc3\x28"] {
            assert_eq!(unescape(&escape(name)).as_deref(), Some(name));
        }
        for text in ["%", "%2", "%zz", "%ff", "%41", "%+1", "a%2", "%\u{fc}", "%C3%BC"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    #[test]
    fn what_people_see_has_no_control_characters() {
        assert_eq!(printable(b"a\x1b[2Jb\nc\x7f"), "a%1B[2Jb%0Ac%7F");
        assert_eq!(printable("\u{9b}31m\u{fc}".as_bytes()), "%C2%9B31m\u{fc}");
        assert_eq!(printable(b"100%\xff"), "100%25%FF");
    }

    #[test]
    fn what_was_printed_leads_back_to_its_name_and_what_is_never_printed_to_none() {
        for name in [&b"latin1-\xe9\xff\xc3"[..], b"new\nline", b"%41%", b"\x1b[31m", "\u{9b}\u{fc}%".as_bytes()] {
            assert_eq!(unprinted(printable(name).as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(unprinted(b"a\nb%25").as_deref(), Some(&b"a\nb%"[..]), "as documents have it");
        for text in [&b"plain"[..], b"%41%", b"%41", b"100%", b"%e9", b"\xff%FF", b"%+1", b"%2"] {
            assert_eq!(unprinted(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn times_before_the_epoch_count_forward() {
        let member = |mtime_seconds, mtime_nanoseconds| Member {
            path: Vec::new(),
            kind: MemberKind::Fifo,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime_seconds,
            mtime_nanoseconds,
            xattrs: Vec::new(),
            flags: None,
            contents: None,
        };
        assert_eq!(member(-5, 250_000_000).mtime(), "1969-12-31T23:59:55.25Z".parse().ok());
        assert_eq!(member(i64::MAX, 0).mtime(), None);
    }
}
