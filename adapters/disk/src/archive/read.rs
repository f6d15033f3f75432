//! Reads the members of a volume, believing nothing: names, order, sizes and limits are checked before a sink hears
//! of them.

use tar::EntryType;
use volsnap_core::{
    model::VolumeTotals,
    ports::{FsError, FsErrorKind, Limits},
};

use super::{
    acl,
    header::{self, BLOCK, Ustar},
    member::{Hole, Kind, Member, Time},
    name,
    pax::{self, RECORDS_MAX, Records},
    progress::Meter,
    stream::{Frames, Piece, Stream},
};
use crate::{flags::Flags, tree::Trouble};

/// The largest numbers that a device has on Linux.
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

/// What is done with members. Each call is about what has been checked.
pub(super) trait Sink {
    /// A member comes. It lies within the `depth`-th of the directories that came before and were not left; deeper
    /// ones are left for good. The first member is the root.
    fn member(&mut self, depth: usize, member: Member) -> Result<(), FsError>;

    /// Contents of the file that came last; what is not given is a hole.
    fn data(&mut self, offset: u64, piece: Piece) -> Result<(), FsError>;

    /// The file that came last is complete.
    fn complete(&mut self) -> Result<(), FsError>;

    /// Every member has come.
    fn end(&mut self) -> Result<(), FsError>;
}

/// Reads a volume to its end and compares it with what the index says of it.
pub(super) fn read_volume(
    mut stream: Stream<'_>,
    root: &[u8],
    limits: Limits,
    totals: &VolumeTotals,
    sink: &mut dyn Sink,
    meter: &mut Meter<'_>,
    trouble: &Trouble,
) -> Result<(), FsError> {
    let mut members = Members::new(root, limits, trouble);
    while !stream.at_end()? {
        let member = next_member(&mut stream, root, trouble)?;
        members.take(&mut stream, member, sink, meter)?;
    }
    stream.finish()?;
    sink.end()?;
    let claims = |totals: &VolumeTotals| (totals.entries, totals.bytes, totals.bytes_allocated);
    let devices_told = totals.devices.is_none() || totals.devices == members.seen.devices;
    match devices_told && claims(&members.seen) == claims(totals) {
        true => Ok(()),
        false => Err(trouble.corrupt(format!("{} holds something else than the index says", Trouble::show(root)))),
    }
}

/// Holds members to their order and to the limits of their volume before it hands them on.
pub(super) struct Members<'a> {
    root: &'a [u8],
    limits: Limits,
    order: Order,
    /// How many entries and bytes there were so far.
    pub(super) seen: VolumeTotals,
    trouble: &'a Trouble,
}

impl<'a> Members<'a> {
    pub(super) fn new(root: &'a [u8], limits: Limits, trouble: &'a Trouble) -> Self {
        Members {
            root,
            limits,
            order: Order::default(),
            seen: VolumeTotals { devices: Some(0), ..VolumeTotals::default() },
            trouble,
        }
    }

    /// Hands on a member, with its contents from the stream if it is a file.
    pub(super) fn take(
        &mut self,
        stream: &mut Stream<'_, impl Frames>,
        member: Member,
        sink: &mut dyn Sink,
        meter: &mut Meter<'_>,
    ) -> Result<(), FsError> {
        let name = name::in_volume(self.root, &member.path);
        let hostile = |what: &str| self.trouble.hostile(&name, what);
        let depth = self.order.place(&member).map_err(hostile)?;
        let seen = &mut self.seen;
        seen.entries += 1;
        seen.bytes = seen.bytes.saturating_add(member.content_bytes());
        seen.bytes_allocated = seen.bytes_allocated.saturating_add(member.allocated_bytes());
        if seen.entries > self.limits.entries_max || seen.bytes > self.limits.bytes_max {
            return Err(hostile("goes beyond the limits for this volume"));
        }
        if member.kind.is_device() {
            if !self.limits.devices {
                return Err(hostile("is a device node, which is made only with `--allow-devices`"));
            }
            seen.devices = seen.devices.map(|devices| devices + 1);
        }
        meter.add(0, 1)?;
        let kind = member.kind.clone();
        sink.member(depth, member)?;
        if let Kind::File { size, holes } = kind {
            contents(stream, size, &holes, sink, meter, &hostile)?;
            sink.complete()?;
        }
        Ok(())
    }
}

/// Hands on a file's contents without its holes, which must be zeros in the archive.
pub(super) fn contents(
    stream: &mut Stream<'_, impl Frames>,
    size: u64,
    holes: &[Hole],
    sink: &mut dyn Sink,
    meter: &mut Meter<'_>,
    hostile: &dyn Fn(&str) -> FsError,
) -> Result<(), FsError> {
    let mut at = 0;
    let end = Hole { offset: size, bytes: 0 };
    for hole in holes.iter().chain([&end]) {
        while at < hole.offset {
            let piece = stream.piece(hole.offset - at)?;
            let length = piece.len() as u64;
            sink.data(at, piece)?;
            at += length;
            meter.add(length, 0)?;
        }
        while at < hole.offset + hole.bytes {
            let passed = stream.zeros(hole.offset + hole.bytes - at)?;
            let passed = passed.ok_or_else(|| hostile("has data where its hole map says that there is none"))?;
            at += passed;
            meter.add(passed, 0)?;
        }
    }
    let padding = size.next_multiple_of(BLOCK as u64) - size;
    for byte in stream.bytes(usize::try_from(padding).unwrap_or(0))? {
        if byte != 0 {
            return Err(hostile("has something in its padding"));
        }
    }
    Ok(())
}

/// The directories that are open in the order of members, and the last name in each: with these alone a name that
/// comes twice, or whose parent is no directory of the archive, is found in constant memory.
#[derive(Default)]
pub(super) struct Order {
    dirs: Vec<Vec<u8>>,
    /// The last entry of the root and of each of `dirs`.
    last: Vec<Vec<u8>>,
}

impl Order {
    /// As it stands in the middle of a volume, before a member of that path.
    pub(super) fn before(path: &[u8]) -> Self {
        let mut dirs: Vec<Vec<u8>> = path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
        dirs.pop();
        let last = dirs.iter().cloned().chain([Vec::new()]).collect();
        Order { dirs, last }
    }

    /// How many directories below the root hold the member; says what is wrong with its place.
    pub(super) fn place(&mut self, member: &Member) -> Result<usize, &'static str> {
        let directory = matches!(member.kind, Kind::Directory);
        if member.path.is_empty() {
            return match directory && self.last.is_empty() {
                true => {
                    self.last.push(Vec::new());
                    Ok(0)
                }
                false => Err("is the volume's root, which must be a directory and come first"),
            };
        }
        let mut parents: Vec<&[u8]> = member.path.split(|&byte| byte == b'/').collect();
        let Some(own) = parents.pop() else { return Err("has no name") };
        let depth = parents.len();
        let known = !self.last.is_empty() && self.dirs.get(..depth).is_some_and(|dirs| dirs.iter().eq(parents));
        if !known {
            return Err("has no directory before it that could hold it");
        }
        self.dirs.truncate(depth);
        self.last.truncate(depth + 1);
        match own.cmp(&self.last[depth]) {
            std::cmp::Ordering::Less => return Err("is out of order"),
            std::cmp::Ordering::Equal => return Err("comes twice"),
            std::cmp::Ordering::Greater => self.last[depth] = own.to_vec(),
        }
        if let Kind::HardLink { target } = &member.kind
            && name::order(target, &member.path).is_ge()
        {
            return Err("links to a file that does not come before it");
        }
        if directory {
            self.dirs.push(own.to_vec());
            self.last.push(Vec::new());
        }
        Ok(depth)
    }
}

/// Reads one member's headers.
pub(super) fn next_member(
    stream: &mut Stream<'_, impl Frames>,
    root: &[u8],
    trouble: &Trouble,
) -> Result<Member, FsError> {
    let mark = stream.mark();
    let mut head = decode(stream, trouble)?;
    let mut records = Records::default();
    if head.entry == EntryType::XHeader {
        let place = stream.place();
        let hostile = |what: &str| trouble.hostile(&head.name, format!("{place} {what}"));
        let length = usize::try_from(head.size).ok().filter(|&length| length <= RECORDS_MAX);
        let length = length.ok_or_else(|| hostile("is a PAX header that is too large"))?;
        let bytes = stream.bytes(length.next_multiple_of(BLOCK))?;
        records = Records::decode(&bytes[..length]).ok_or_else(|| hostile("is a malformed PAX header"))?;
        head = decode(stream, trouble)?;
    }
    let shown = head.name.clone();
    let full = records.0.iter().find(|(key, _)| key == b"path").map_or(&shown, |(_, value)| value);
    let hostile = |what: &str| trouble.hostile(full, what);
    let path = name::below(root, full).map_err(hostile)?;
    // Whatever its type says, GNU tar and bsdtar take such a file for a directory.
    if full.ends_with(b"/") && head.entry != EntryType::Directory {
        return Err(hostile("has a slash at the end of its name and is no directory"));
    }
    stream.began(mark, &name::in_volume(root, path))?;
    interpret(head, &records, path, root).map_err(hostile)
}

fn decode(stream: &mut Stream<'_, impl Frames>, trouble: &Trouble) -> Result<Ustar, FsError> {
    let block = stream.block()?;
    header::decode(&block)
        .map_err(|what| trouble.of(FsErrorKind::Hostile, format!("the header of the member {} {what}", stream.place())))
}

/// What header and records say together; says what is wrong with them.
fn interpret(head: Ustar, records: &Records, path: &[u8], root: &[u8]) -> Result<Member, &'static str> {
    let mut head = head;
    let mut mtime = Time { seconds: i64::try_from(head.mtime).map_err(|_| "has an impossible time")?, nanoseconds: 0 };
    let mut xattrs = Vec::new();
    let (mut hole_map, mut flags) = (None, Flags::NONE);
    for (key, value) in &records.0 {
        let number = || pax::number::<u64>(value).ok_or("has a PAX record that is no number");
        match key.as_slice() {
            b"path" => {}
            b"hdrcharset" if value == b"BINARY" => {}
            b"linkpath" => head.link.clone_from(value),
            // Readers that look at only one of them must see the same member.
            b"size" if number()? == head.size => {}
            b"uid" if number()? == head.uid => {}
            b"gid" if number()? == head.gid => {}
            b"size" | b"uid" | b"gid" => return Err("says one thing in its header and another in its PAX records"),
            b"mtime" => mtime = pax::parse_time(value).ok_or("has an impossible time")?,
            b"VOLSNAP.holes" => hole_map = Some(value),
            b"VOLSNAP.flags" => flags = Flags::parse(value).ok_or("has impossible inode flags")?,
            b"SCHILY.acl.access" => {
                xattrs.push((acl::ACCESS.to_vec(), acl::from_text(value).ok_or("has an ACL that cannot be read")?));
            }
            b"SCHILY.acl.default" => {
                xattrs.push((acl::DEFAULT.to_vec(), acl::from_text(value).ok_or("has an ACL that cannot be read")?));
            }
            key => {
                let name = key.strip_prefix(b"SCHILY.xattr.").ok_or("has a PAX record of an unknown kind")?;
                xattrs.push((pax::xattr_name(name), value.clone()));
            }
        }
    }
    if xattrs.iter().any(|(name, _)| name.is_empty() || name.len() > 255 || name.contains(&0)) {
        return Err("has an extended attribute with an impossible name");
    }
    xattrs.sort();
    // One attribute has two keys if it is an ACL, or if it has a `%` in its name.
    if xattrs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("has an extended attribute twice");
    }
    let kind = kind(&head, hole_map.map(Vec::as_slice), root)?;
    if !matches!(kind, Kind::File { .. }) && (head.size != 0 || hole_map.is_some()) {
        return Err("has contents, which only files have");
    }
    if !flags.is_empty() && !matches!(kind, Kind::File { .. } | Kind::Directory) {
        return Err("has inode flags, which only directories and files have");
    }
    if head.mode & !0o7777 != 0 {
        return Err("has an impossible mode");
    }
    Ok(Member {
        path: path.to_vec(),
        kind,
        mode: head.mode,
        uid: id(head.uid).ok_or("has an impossible owner")?,
        gid: id(head.gid).ok_or("has an impossible group")?,
        mtime,
        xattrs,
        flags,
    })
}

/// The id of a user or a group; the last number stands for none, and a change to it leaves the owner as it is.
fn id(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|&id| id != u32::MAX)
}

fn kind(head: &Ustar, hole_map: Option<&[u8]>, root: &[u8]) -> Result<Kind, &'static str> {
    match head.entry.as_byte() {
        b'0' if i64::try_from(head.size).is_err() => Err("has an impossible size"),
        b'0' => {
            let holes = match hole_map {
                Some(map) => pax::parse_holes(map, head.size).ok_or("has an impossible hole map")?,
                None => Vec::new(),
            };
            Ok(Kind::File { size: head.size, holes })
        }
        b'5' => Ok(Kind::Directory),
        b'1' => {
            let target = name::below(root, &head.link).map_err(|_| "links to a file outside its volume")?;
            match target {
                _ if head.link.ends_with(b"/") => Err("links to a name with a slash at its end"),
                [] => Err("links to the volume's root"),
                _ => Ok(Kind::HardLink { target: target.to_vec() }),
            }
        }
        b'2' => match head.link.as_slice() {
            target if target.is_empty() || target.len() > 4095 || target.contains(&0) => {
                Err("is a symbolic link with an impossible target")
            }
            target => Ok(Kind::Symlink { target: target.to_vec() }),
        },
        b'6' => Ok(Kind::Fifo),
        // The kernel takes the low bits of larger ones: another device.
        b'3' | b'4' if head.device.0 > MAJOR_MAX || head.device.1 > MINOR_MAX => {
            Err("is a device node with impossible numbers")
        }
        b'4' => Ok(Kind::Device { block: true, major: head.device.0, minor: head.device.1 }),
        b'3' => Ok(Kind::Device { block: false, major: head.device.0, minor: head.device.1 }),
        _ => Err("is of an unknown type"),
    }
}
