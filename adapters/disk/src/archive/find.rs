//! Looks into an archive: the list of its members, or the contents of one file, without reading all of it.
//!
//! The index says what begins where, and is not believed: each frame that is read has its digests checked and must begin
//! with the member that the index names, members are held to their order, and nothing is said to be missing before a
//! member has been seen that comes after it. What is not read is not checked.

use std::{
    cmp::Ordering,
    path::Path,
    thread::{self, Scope},
};

use volsnap_core::{
    model,
    ports::{Found, FsError, FsErrorKind, FsOp, LookInto, MemberSink, Output, Phase, Place, Watch},
};

use super::{
    format::Frame,
    header::BLOCK,
    member::{Kind, Member},
    name,
    open::Archive,
    pick::Picked,
    progress::Meter,
    read::{Order, Sink, contents, next_member},
    stream::{Piece, Stream},
};
use crate::{budget::Jobs, tree::Trouble};

/// Hands on the members at and below each of the places.
///
/// # Errors
/// `NotFound` if there is no archive, `Corrupt` if it is another one or damaged, `Hostile` if a member breaks a rule,
/// `Cancelled` if the observer asks for the end; what the sink gave.
pub fn list(
    path: &Path,
    wanted: &LookInto,
    places: &[Place],
    sink: &mut MemberSink,
    watch: &Watch,
) -> Result<Found, FsError> {
    let trouble = Trouble::new(FsOp::Archive, path);
    let mut hand_on = |index, member| {
        let handed = sink(index, member);
        handed.map_err(|e| trouble.of(FsErrorKind::Io, format!("cannot hand on its members: {e}")))
    };
    list_each(path, wanted, places, &mut hand_on, watch)
}

/// The same for a sink that knows its errors.
pub fn list_each(
    path: &Path,
    wanted: &LookInto,
    places: &[Place],
    sink: &mut dyn FnMut(usize, model::Member) -> Result<(), FsError>,
    watch: &Watch,
) -> Result<Found, FsError> {
    // One frame after another is looked at here and there.
    let archive = open(path, wanted, 1)?;
    let mut meter = Meter::new(watch, &archive.trouble, Phase::Read);
    let mut count = 0;
    for place in places {
        let flags_known = archive.flags_known(place.index);
        meter.volume(&archive.volume(place)?.target, 0)?;
        let listed = thread::scope(|scope| {
            let mut walk = Walk::to(scope, &archive, place)?;
            walk.expect_all_below(&place.path);
            walk.list(&place.path, &mut |member| {
                count += 1;
                meter.add(0, 1)?;
                sink(place.index, told(member, flags_known))
            })
        })?;
        if !listed {
            return nearest(&archive, place);
        }
    }
    meter.tell()?;
    Ok(Found::Done(count))
}

/// Writes the contents of a file.
///
/// # Errors
/// As for [`list`].
pub fn dump(
    path: &Path,
    wanted: &LookInto,
    place: &Place,
    out: &mut dyn Output,
    jobs: impl Into<Jobs>,
    watch: &Watch,
) -> Result<Found, FsError> {
    let archive = open(path, wanted, jobs)?;
    let mut meter = Meter::new(watch, &archive.trouble, Phase::Read);
    let target = &archive.volume(place)?.target;
    let mut link = None;
    loop {
        let at = link.as_ref().unwrap_or(place);
        let linked = thread::scope(|scope| {
            let mut walk = Walk::to(scope, &archive, at)?;
            match walk.find(&at.path)? {
                Some(Member { kind: Kind::File { size, holes }, .. }) => {
                    meter.volume(target, size)?;
                    let full = name::in_volume(&walk.root, &at.path);
                    let hostile = |what: &str| archive.trouble.hostile(&full, what);
                    let stream = &mut walk.stream;
                    let frames = stream.holding(size);
                    stream.source().expect(frames);
                    let mut writer = Writer { out: &mut *out, written: 0, trouble: &archive.trouble, closed: false };
                    let read = contents(stream, size, &holes, &mut writer, &mut meter, &hostile);
                    let read = read.and_then(|()| writer.fill(size)).and_then(|()| writer.end_output());
                    read.map_err(|error| writer.say_what_is_good(error))?;
                    meter.tell()?;
                    Ok(Ok(Found::Done(size)))
                }
                Some(Member { kind: Kind::HardLink { target }, .. }) if link.is_none() => Ok(Err(target)),
                // As it is written, the first name of a file has the contents and all others lead to it.
                _ if link.is_some() => {
                    let full = name::in_volume(&walk.root, &place.path);
                    Err(archive.trouble.hostile(&full, "links to something that is no file"))
                }
                Some(member) => Ok(Ok(Found::Other(told(member, false).kind))),
                None => nearest(&archive, place).map(Ok),
            }
        })?;
        match linked {
            Ok(found) => return Ok(found),
            Err(target) => link = Some(Place { index: place.index, path: target }),
        }
    }
}

pub(super) fn open(path: &Path, wanted: &LookInto, jobs: impl Into<Jobs>) -> Result<Archive, FsError> {
    let archive = Archive::open(path, jobs)?;
    let manifest = &archive.manifest;
    if archive.digest.hex() != wanted.archive_digest {
        return Err(archive.trouble.corrupt("this is another archive than the catalog lists"));
    }
    if (manifest.workload, manifest.snapshot) != (wanted.workload, wanted.snapshot) {
        return Err(archive.trouble.corrupt("its manifest is of another workload or snapshot"));
    }
    Ok(archive)
}

impl Archive {
    pub(super) fn volume(&self, place: &Place) -> Result<&model::ManifestVolume, FsError> {
        let volume = self.manifest.volumes.get(place.index).filter(|volume| !volume.absent);
        volume.ok_or_else(|| self.trouble.of(FsErrorKind::NotFound, "it has no such volume"))
    }

    /// Whether what has no inode flags in the volume of that index had none.
    pub(super) fn flags_known(&self, index: usize) -> bool {
        self.index.volumes.get(index).is_some_and(|volume| volume.totals.flags_known)
    }
}

/// Where there is nothing: the last member on the way there.
fn nearest(archive: &Archive, place: &Place) -> Result<Found, FsError> {
    let mut path = place.path.as_slice();
    loop {
        path = path.iter().rposition(|&byte| byte == b'/').map_or(&[], |end| &path[..end]);
        let place = Place { index: place.index, path: path.to_vec() };
        let found = thread::scope(|scope| Walk::to(scope, archive, &place)?.find(path))?;
        match found {
            Some(member) => return Ok(Found::Nothing(told(member, archive.flags_known(place.index)))),
            None if path.is_empty() => return Err(archive.trouble.corrupt("a volume has no root")),
            None => {}
        }
    }
}

/// Reads the members of a volume from some frame on, in their order.
pub(super) struct Walk<'scope, 'env> {
    pub(super) stream: Stream<'scope, Picked<'scope, 'env>>,
    /// The frames of the stream.
    frames: &'scope [Frame],
    root: Vec<u8>,
    /// `None` until the first member has come.
    order: Option<Order>,
    trouble: &'scope Trouble,
}

impl<'scope, 'env> Walk<'scope, 'env> {
    /// Begins at the last frame whose first member, by the index, does not come after the place.
    pub(super) fn to(
        scope: &'scope Scope<'scope, 'env>,
        archive: &'scope Archive,
        place: &Place,
    ) -> Result<Self, FsError> {
        let trouble = &archive.trouble;
        let root = name::volume_root(place.index);
        let volume = &archive.index.volumes[place.index];
        let frames = &archive.index.frames[volume.first_frame..volume.first_frame + volume.frame_count];
        let begun: Vec<usize> = (0..frames.len()).filter(|&at| frames[at].first.is_some()).collect();
        // `low` does not come after the place, or is the volume's first frame, which has to begin with the root.
        let (mut low, mut high) = (0, begun.len());
        while low + 1 < high {
            let middle = low.midpoint(high);
            let path = first_path(&frames[begun[middle]], &root)
                .ok_or_else(|| trouble.corrupt("the index finds a member that cannot be in its volume"))?;
            match name::order(&path, &place.path) {
                Ordering::Greater => high = middle,
                Ordering::Less | Ordering::Equal => low = middle,
            }
        }
        let start = if low == 0 { 0 } else { begun[low] };
        let mut stream =
            Stream::new(Picked::new(scope, archive, volume.first_frame + start), &frames[start..], trouble);
        let order = match start {
            0 => Some(Order::default()),
            _ => {
                stream.skip_to_first()?;
                None
            }
        };
        Ok(Walk { stream, frames: &frames[start..], root, order, trouble })
    }

    /// All members at and below this path will be asked for: the frames in which some begin are read ahead.
    fn expect_all_below(&mut self, path: &[u8]) {
        let begun = self.stream.holding(u64::MAX).filter(|&at| self.frames[at].first.is_some());
        // The first frame of all may begin before the path.
        let below = |at| at == 0 || first_path(&self.frames[at], &self.root).is_none_or(|first| is_below(&first, path));
        let numbers: Vec<usize> = begun.take_while(|&at| below(at)).collect();
        self.stream.source().expect(numbers.into_iter());
    }

    /// All contents at and below this path will be asked for, from here on: their frames are read ahead. Called when the
    /// first member of them has come.
    pub(super) fn expect_contents_below(&mut self, path: &[u8]) {
        let below = |first: Vec<u8>| is_below(&first, path) || name::order(&first, path).is_lt();
        let holds = |at: &usize| first_path(&self.frames[*at], &self.root).is_none_or(below);
        let numbers: Vec<usize> = self.stream.holding(u64::MAX).take_while(holds).collect();
        self.stream.source().expect(numbers.into_iter());
    }

    /// The next member; a file's contents come next in the stream. `None` at the end of the volume.
    pub(super) fn next(&mut self) -> Result<Option<Member>, FsError> {
        if self.stream.at_end()? {
            return self.stream.finish().map(|()| None);
        }
        let member = next_member(&mut self.stream, &self.root, self.trouble)?;
        let order = self.order.get_or_insert_with(|| Order::before(&member.path));
        let hostile = |what: &str| self.trouble.hostile(&name::in_volume(&self.root, &member.path), what);
        order.place(&member).map_err(hostile)?;
        Ok(Some(member))
    }

    pub(super) fn skip_contents(&mut self, member: &Member) -> Result<(), FsError> {
        self.stream.skip(member.content_bytes().next_multiple_of(BLOCK as u64))
    }

    /// The member of that path.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Member>, FsError> {
        while let Some(member) = self.next()? {
            match name::order(&member.path, path) {
                Ordering::Less => self.skip_contents(&member)?,
                Ordering::Equal => return Ok(Some(member)),
                Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Hands on the member of that path and all below it; whether there is one.
    fn list(&mut self, path: &[u8], hand_on: &mut dyn FnMut(Member) -> Result<(), FsError>) -> Result<bool, FsError> {
        let mut next = self.find(path)?;
        let found = next.is_some();
        while let Some(member) = next.filter(|member| is_below(&member.path, path)) {
            self.skip_contents(&member)?;
            hand_on(member)?;
            next = self.next()?;
        }
        Ok(found)
    }
}

/// Path below the volume's root of the first member in a frame, as the index has it; `None` if no member has such a name.
fn first_path(frame: &Frame, root: &[u8]) -> Option<Vec<u8>> {
    let name = name::unescape(&frame.first.as_ref()?.name)?;
    name::below(root, &name).ok().map(<[u8]>::to_vec)
}

/// Whether it is that path or below it.
pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

/// A member as the port has it; with its inode flags, if the archive says of all that have none that they have none.
pub(super) fn told(member: Member, flags_known: bool) -> model::Member {
    let has_flags = flags_known && matches!(member.kind, Kind::Directory | Kind::File { .. });
    model::Member {
        path: member.path,
        kind: match member.kind {
            Kind::Directory => model::MemberKind::Directory,
            Kind::File { size, .. } => model::MemberKind::File { bytes: size },
            Kind::HardLink { target } => model::MemberKind::HardLink { target },
            Kind::Symlink { target } => model::MemberKind::Symlink { target },
            Kind::Fifo => model::MemberKind::Fifo,
            Kind::Device { block, major, minor } => model::MemberKind::Device { block, major, minor },
        },
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        mtime_seconds: member.mtime.seconds,
        mtime_nanoseconds: member.mtime.nanoseconds,
        xattrs: member.xattrs,
        flags: has_flags.then(|| member.flags.text()),
        contents: None,
    }
}

/// Writes contents to where they are wanted, with zeros for holes.
struct Writer<'a> {
    out: &'a mut dyn Output,
    written: u64,
    trouble: &'a Trouble,
    /// Whether writing failed, and not reading.
    closed: bool,
}

impl Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        let result = self.out.write(bytes);
        self.check(result)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes zeros up to there.
    fn fill(&mut self, end: u64) -> Result<(), FsError> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        while self.written < end {
            let length = usize::try_from(end - self.written).unwrap_or(ZEROS.len()).min(ZEROS.len());
            self.write(&ZEROS[..length])?;
        }
        Ok(())
    }

    fn end_output(&mut self) -> Result<(), FsError> {
        let result = self.out.end();
        self.check(result)
    }

    fn check(&mut self, result: Result<(), String>) -> Result<(), FsError> {
        result.map_err(|error| {
            self.closed = true;
            self.trouble.of(FsErrorKind::Io, format!("cannot write the contents on: {error}"))
        })
    }

    /// The error, with what was written before it; frames are checked before anything of them is written.
    fn say_what_is_good(&self, error: FsError) -> FsError {
        let message = match (self.closed, self.written) {
            (true, _) => return error,
            (false, 0) => format!("{}; nothing was written", error.message),
            (false, bytes) => format!("{}; the {bytes} bytes that were written before are good", error.message),
        };
        FsError { message, ..error }
    }
}

impl Sink for Writer<'_> {
    fn member(&mut self, _: usize, _: Member) -> Result<(), FsError> {
        Ok(())
    }

    fn data(&mut self, offset: u64, piece: Piece) -> Result<(), FsError> {
        self.fill(offset)?;
        self.write(&piece)
    }

    fn complete(&mut self) -> Result<(), FsError> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), FsError> {
        Ok(())
    }
}
