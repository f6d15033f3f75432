//! Tar headers of members: a ustar block, with a PAX header before it where something does not fit.

use tar::{EntryType, Header};
use volsnap_core::ports::{FsError, FsErrorKind};

use super::{
    acl,
    member::{Kind, Member},
    name,
    pax::{self, RECORDS_MAX, Records},
};
use crate::tree::Trouble;

/// Bytes of a tar block.
pub(super) const BLOCK: usize = 512;
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// The largest number in a field of 12 bytes (size, time).
const LONG_MAX: u64 = 0o777_7777_7777;
/// The largest number in a field of 8 bytes (owner, group).
const SHORT_MAX: u32 = 0o777_7777;

/// Everything that stands before a member's contents.
pub(super) fn encode(member: &Member, root: &[u8], trouble: &Trouble) -> Result<Vec<u8>, FsError> {
    let mut full = name::in_volume(root, &member.path);
    if matches!(member.kind, Kind::Directory) {
        full.push(b'/');
    }
    let link = match &member.kind {
        Kind::HardLink { target } => name::in_volume(root, target),
        Kind::Symlink { target } => target.clone(),
        Kind::Directory | Kind::File { .. } | Kind::Fifo | Kind::Device { .. } => Vec::new(),
    };
    let records = records(member, &full, &link).encode();
    if full.len() > name::NAME_MAX || records.len() > RECORDS_MAX {
        let message = format!("`{}` has a name or attributes too large for an archive", Trouble::show(&member.path));
        return Err(trouble.of(FsErrorKind::Unsupported, message));
    }
    let mut bytes = Vec::with_capacity(4 * BLOCK);
    if !records.is_empty() {
        bytes.extend(pax_header(records.len()).as_bytes());
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(ustar_header(member, &full, &link, trouble)?.as_bytes());
    Ok(bytes)
}

/// The header of a plain file that is no part of a volume.
pub(super) fn plain(name: &[u8], bytes: u64, seconds: u64) -> Header {
    let mut header = Header::new_ustar();
    put(&mut header.as_old_mut().name, name);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_mtime(seconds);
    header.set_cksum();
    header
}

fn records(member: &Member, full: &[u8], link: &[u8]) -> Records {
    let mut records = Records::default();
    let (long_name, long_link) = (split(full).is_none(), link.len() > NAME_BYTES);
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    if (long_name && !text(full)) || (long_link && !text(link)) {
        records.push("hdrcharset", "BINARY");
    }
    if long_name {
        records.push("path", full);
    }
    if long_link {
        records.push("linkpath", link);
    }
    if member.content_bytes() > LONG_MAX {
        records.push("size", member.content_bytes().to_string());
    }
    if member.uid > SHORT_MAX {
        records.push("uid", member.uid.to_string());
    }
    if member.gid > SHORT_MAX {
        records.push("gid", member.gid.to_string());
    }
    let mtime = member.mtime;
    if mtime.nanoseconds != 0 || u64::try_from(mtime.seconds).is_ok_and(|s| s > LONG_MAX) || mtime.seconds < 0 {
        records.push("mtime", pax::time(mtime));
    }
    for (name, value) in &member.xattrs {
        let text = match name.as_slice() {
            acl::ACCESS => acl::to_text(value).map(|text| ("SCHILY.acl.access", text)),
            acl::DEFAULT => acl::to_text(value).map(|text| ("SCHILY.acl.default", text)),
            _ => None,
        };
        match text {
            Some((key, text)) => records.push(key, text),
            None => records.push(pax::xattr_key(name), value.as_slice()),
        }
    }
    if let Kind::File { holes, .. } = &member.kind
        && !holes.is_empty()
    {
        records.push("VOLSNAP.holes", pax::holes(holes));
    }
    if !member.flags.is_empty() {
        records.push("VOLSNAP.flags", member.flags.text());
    }
    records
}

/// The header of a PAX header. It has a name, since BusyBox takes one without for damage, and always the same: so most
/// members' are alike to the byte, and compress to nothing.
fn pax_header(bytes: usize) -> Header {
    let mut header = plain(b"PaxHeaders/x", bytes as u64, 0);
    header.set_entry_type(EntryType::XHeader);
    header.set_cksum();
    header
}

fn ustar_header(member: &Member, full: &[u8], link: &[u8], trouble: &Trouble) -> Result<Header, FsError> {
    let mut header = Header::new_ustar();
    header.set_entry_type(match &member.kind {
        Kind::Directory => EntryType::Directory,
        Kind::File { .. } => EntryType::Regular,
        Kind::HardLink { .. } => EntryType::Link,
        Kind::Symlink { .. } => EntryType::Symlink,
        Kind::Fifo => EntryType::Fifo,
        Kind::Device { block: true, .. } => EntryType::Block,
        Kind::Device { block: false, .. } => EntryType::Char,
    });
    header.set_mode(member.mode);
    // Numbers that are too large for octal are written in base 256, which every reader without PAX knows.
    header.set_uid(member.uid.into());
    header.set_gid(member.gid.into());
    header.set_size(member.content_bytes());
    header.set_mtime(u64::try_from(member.mtime.seconds).unwrap_or(0).min(LONG_MAX));
    if let Some(ustar) = header.as_ustar_mut() {
        let (prefix, name) = split(full).unwrap_or((b"", full));
        put(&mut ustar.prefix, prefix);
        put(&mut ustar.name, name);
        put(&mut ustar.linkname, link);
    }
    if let Kind::Device { major, minor, .. } = member.kind {
        let too_large = |e| trouble.of(FsErrorKind::Unsupported, format!("`{}`: {e}", Trouble::show(&member.path)));
        header.set_device_major(major).map_err(too_large)?;
        header.set_device_minor(minor).map_err(too_large)?;
    }
    header.set_cksum();
    Ok(header)
}

/// As much of the bytes as fits.
fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// A name as ustar's prefix and name; `None` if it fits no way.
fn split(full: &[u8]) -> Option<(&[u8], &[u8])> {
    if full.len() <= NAME_BYTES {
        return Some((b"", full));
    }
    let fits = |&at: &usize| full[at] == b'/' && (1..=NAME_BYTES).contains(&(full.len() - at - 1));
    let at = (1..full.len().min(PREFIX_BYTES + 1)).find(fits)?;
    Some((&full[..at], &full[at + 1..]))
}

/// What a ustar block says, numbers and texts apart from what PAX records may say instead.
pub(super) struct Ustar {
    pub(super) entry: EntryType,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: u64,
    pub(super) device: (u32, u32),
}

/// Reads a ustar block; says what is wrong with it.
pub(super) fn decode(block: &[u8; BLOCK]) -> Result<Ustar, &'static str> {
    let header = Header::from_byte_slice(block);
    let ustar = header.as_ustar().ok_or("is no ustar header")?;
    let total = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
    // The checksum's own field counts as spaces.
    let sum = total(block) - total(&ustar.cksum) + total(b"        ");
    let number = |field: &[u8]| number(field).ok_or("has a field that is no number");
    if number(&ustar.cksum) != Ok(sum) {
        return Err("has a wrong checksum");
    }
    let entry = header.entry_type();
    let device = match entry.is_block_special() || entry.is_character_special() {
        true => (number(&ustar.dev_major)?, number(&ustar.dev_minor)?),
        false => (0, 0),
    };
    let (prefix, name) = (text(&ustar.prefix), text(&ustar.name));
    let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
    let too_large = |_| "has a number that is too large";
    Ok(Ustar {
        entry,
        name,
        link: text(&ustar.linkname).to_vec(),
        mode: u32::try_from(number(&ustar.mode)?).map_err(too_large)?,
        uid: number(&ustar.uid)?,
        gid: number(&ustar.gid)?,
        size: number(&ustar.size)?,
        mtime: number(&ustar.mtime)?,
        device: (u32::try_from(device.0).map_err(too_large)?, u32::try_from(device.1).map_err(too_large)?),
    })
}

/// A number as it is written here and in no other way: octal digits up to a NUL that ends the field, or base 256. Other
/// readers differ in what they make of signs, spaces and numbers too large for them, and would see other members.
fn number(field: &[u8]) -> Option<u64> {
    let (base, digits, zero) = match field {
        [0x80, digits @ ..] => (256, digits, 0),
        [digits @ .., 0] => (8, digits, b'0'),
        _ => return None,
    };
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = u64::from(digit.checked_sub(zero)?);
        if digit < base { number.checked_mul(base)?.checked_add(digit) } else { None }
    })
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use volsnap_core::ports::FsOp;

    use crate::flags::Flags;

    use super::{
        super::member::{Hole, Time},
        *,
    };

    fn encoded(member: &Member) -> Vec<u8> {
        encode(member, b"volumes/0", &Trouble::new(FsOp::Archive, std::path::Path::new("x"))).unwrap()
    }

    fn file(path: &[u8]) -> Member {
        Member {
            path: path.to_vec(),
            kind: Kind::File { size: 5, holes: Vec::new() },
            mode: 0o640,
            uid: 70,
            gid: 71,
            mtime: Time { seconds: 1_700_000_000, nanoseconds: 0 },
            xattrs: Vec::new(),
            flags: Flags::NONE,
        }
    }

    #[test]
    fn what_fits_into_ustar_has_no_pax_header() {
        for path in [&b"a"[..], &[b'a'; 90], &[&[b'd'; 140][..], b"/", &[b'f'; 100]].concat(), b"\xff"] {
            let bytes = encoded(&file(path));
            assert_eq!(bytes.len(), BLOCK);
            let head = decode(bytes.first_chunk().unwrap()).unwrap();
            assert_eq!(head.name, [b"volumes/0/", path].concat());
            assert_eq!((head.mode, head.uid, head.gid, head.size, head.mtime), (0o640, 70, 71, 5, 1_700_000_000));
        }
    }

    /// Signs, spaces and bytes that one reader drops and another does not: the size decides where the next member is.
    #[test]
    fn numbers_that_readers_understand_differently_are_refused() {
        for (field, read) in [
            (&b"00000000010\0"[..], Some(8)),
            (b"77777777777\0", Some(LONG_MAX)),
            (b"\x80\0\0\0\0\0\0\x02\0\0\0\0", Some(8 << 30)),
            (b"\x80\0\0\0\0\0\0\x01", Some(1)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"+0000000010\0", None),
            (b"-0000000010\0", None),
            (b"       0010\0", None),
            (b"0000000010 \0", None),
            (b"000000010\0\0\0", None),
            (b"000000000010", None),
            (b"00000000018\0", None),
            (b"\0\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(number(field), read, "{:?}", String::from_utf8_lossy(field));
        }
    }

    #[test]
    fn numbers_too_large_for_octal_stand_in_header_and_records() {
        let kind = Kind::File { size: 9 << 30, holes: Vec::new() };
        let bytes = encoded(&Member { kind, uid: 4_000_000_000, gid: 3_000_000, ..file(b"big") });
        let head = decode(bytes.last_chunk().unwrap()).unwrap();
        assert_eq!((head.size, head.uid, head.gid), (9 << 30, 4_000_000_000, 3_000_000));
        let records = String::from_utf8_lossy(&bytes[BLOCK..2 * BLOCK]).into_owned();
        for record in ["19 size=9663676416\n", "18 uid=4000000000\n", "15 gid=3000000\n"] {
            assert!(records.contains(record), "{records}");
        }
    }

    /// Members are part of the digests that tell equal trees: another encoding of the same member is another format.
    #[test]
    fn the_bytes_of_format_1_are_frozen() {
        let mut members = vec![file(b"a"), file(&[b'x'; 200]), file(b"odd \xff")];
        let kinds = [
            Kind::Directory,
            Kind::HardLink { target: b"a".to_vec() },
            Kind::Symlink { target: [b'y'; 150].to_vec() },
            Kind::Fifo,
            Kind::Device { block: true, major: 8, minor: 300 },
            Kind::File { size: 8192, holes: vec![Hole { offset: 0, bytes: 4096 }] },
        ];
        members.extend(kinds.into_iter().map(|kind| Member { kind, ..file(b"k") }));
        let xattrs = vec![(b"user.a=b".to_vec(), b"\0".to_vec())];
        members.push(Member { xattrs, mtime: Time { seconds: -5, nanoseconds: 1 }, ..file(b"x") });
        let bytes: Vec<u8> = members.iter().flat_map(encoded).collect();
        let digest = blake3::hash(&bytes).to_hex();
        assert_eq!(digest.as_str(), "04034d738222325d4744efafd94f0e66af8ab72b5d4f9a0fcb0a344756bce3c2");
    }
}
