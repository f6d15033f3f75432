//! Reads a tree back from the disk and holds it to the volume it was made of: it is archived again, to nowhere, and each
//! frame is compared with the archive's.

use std::{collections::BTreeMap, num::NonZeroU64, path::Path, thread};

use rustix::{
    fs::{Advice, fadvise},
    io::Errno,
};
use volsnap_core::ports::{FsError, LookInto, Phase, Place, ReadBack, Watch};

use super::{
    buffer::Buffer,
    decompress,
    find::{self, Walk},
    format::{Digest, FRAME_MAX, Frame},
    member::{Hole, Kind, Member, Xattrs},
    name,
    open::Archive,
    progress::Meter,
    source::{Seen, Size, Source, Taker, read_volume},
    xattr::is_of_one_filesystem,
    zeros,
};
use crate::{flags::Flags, tree::Trouble};

/// Reads the tree at `root` and compares it with volume `index`; the contract is that of
/// [`Filesystem::read_back`](volsnap_core::ports::Filesystem::read_back).
///
/// # Errors
/// What reading the tree or the archive gave; `Corrupt` if the archive is damaged or another one.
pub fn read_back(
    archive_path: &Path,
    wanted: &LookInto,
    index: usize,
    root: &Path,
    watch: &Watch,
) -> Result<ReadBack, FsError> {
    let archive = find::open(archive_path, wanted, 1)?;
    let place = Place { index, path: Vec::new() };
    let target = &archive.volume(&place)?.target;
    let mut meter = Meter::new(watch, &archive.trouble, Phase::Verify);
    let mut read = |stored: Option<BTreeMap<Vec<u8>, Stored>>| {
        meter.volume(target, archive.index.volumes[index].totals.bytes)?;
        let mut held = Held::new(&archive, index, stored);
        let totals = read_volume(&mut held, index, root, &mut meter)?;
        meter.tell()?;
        let (digest, difference) = held.end()?;
        Ok::<_, FsError>(ReadBack { bytes: totals.bytes, entries: totals.entries, digest, difference })
    };
    let first = read(None)?;
    match first.difference {
        None => Ok(first),
        // A filesystem with larger blocks, or none at all, has other holes, and one may have no flags or others: what is
        // read there is the same all the same.
        Some(_) => read(Some(stored_in(&archive, &place)?)),
    }
}

/// How the archive says that an entry is stored.
#[derive(Default)]
struct Stored {
    holes: Vec<Hole>,
    flags: Flags,
    /// Attributes of one kind of filesystem.
    xattrs: Xattrs,
}

/// The entries of a volume of which the archive says how they are stored.
fn stored_in(archive: &Archive, place: &Place) -> Result<BTreeMap<Vec<u8>, Stored>, FsError> {
    thread::scope(|scope| {
        let mut walk = Walk::to(scope, archive, place)?;
        let mut found = BTreeMap::new();
        while let Some(mut member) = walk.next()? {
            walk.skip_contents(&member)?;
            member.xattrs.retain(|(name, _)| is_of_one_filesystem(name));
            let Member { path, kind, flags, xattrs, .. } = member;
            let holes = if let Kind::File { holes, .. } = kind { holes } else { Vec::new() };
            if !holes.is_empty() || !flags.is_empty() || !xattrs.is_empty() {
                found.insert(path, Stored { holes, flags, xattrs });
            }
        }
        Ok(found)
    })
}

/// Cuts a volume into frames as an archive does, and compares them.
struct Held<'a> {
    archive: &'a Archive,
    first_frame: usize,
    frames: &'a [Frame],
    /// What the archive says, if how things are stored on the disk is not to count.
    stored: Option<BTreeMap<Vec<u8>, Stored>>,
    /// Content of the frame being filled, `used` bytes of it.
    content: Vec<u8>,
    used: usize,
    /// Frames compared so far.
    compared: usize,
    digests: blake3::Hasher,
    /// The member that began last before this frame, and those that began in it, by where.
    before: Vec<u8>,
    begun: Vec<(usize, Vec<u8>)>,
    difference: Option<String>,
}

impl<'a> Held<'a> {
    fn new(archive: &'a Archive, index: usize, stored: Option<BTreeMap<Vec<u8>, Stored>>) -> Self {
        let volume = &archive.index.volumes[index];
        Held {
            archive,
            first_frame: volume.first_frame,
            frames: &archive.index.frames[volume.first_frame..volume.first_frame + volume.frame_count],
            stored,
            content: vec![0; FRAME_MAX],
            used: 0,
            compared: 0,
            digests: blake3::Hasher::new(),
            before: name::volume_root(index),
            begun: Vec::new(),
            difference: None,
        }
    }

    fn filled(&mut self, bytes: usize) -> Result<(), FsError> {
        self.used += bytes;
        if self.used == FRAME_MAX { self.compare() } else { Ok(()) }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), FsError> {
        while !bytes.is_empty() {
            let length = bytes.len().min(FRAME_MAX - self.used);
            self.content[self.used..self.used + length].copy_from_slice(&bytes[..length]);
            self.filled(length)?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    /// The current frame has ended.
    fn compare(&mut self) -> Result<(), FsError> {
        let digest = Digest::of(&self.content[..self.used]);
        if !self.is_next(digest) && self.difference.is_none() {
            self.difference = Some(self.describe()?);
        }
        self.go_on(digest);
        Ok(())
    }

    /// The same for a whole frame of zeros, without a look at any.
    fn compare_zeros(&mut self) -> Result<(), FsError> {
        if !self.is_next(zeros::digest()) && self.difference.is_none() {
            self.content.fill(0);
            self.used = FRAME_MAX;
            return self.compare();
        }
        self.go_on(zeros::digest());
        Ok(())
    }

    fn is_next(&self, digest: Digest) -> bool {
        self.frames.get(self.compared).is_some_and(|frame| frame.digest == digest)
    }

    fn go_on(&mut self, digest: Digest) {
        self.digests.update(&digest.0);
        self.compared += 1;
        self.used = 0;
        if let Some((_, last)) = self.begun.drain(..).next_back() {
            self.before = last;
        }
    }

    /// Where the first difference is in the frame that is at hand.
    fn describe(&self) -> Result<String, FsError> {
        let number = self.first_frame + self.compared;
        let theirs = match self.frames.get(self.compared) {
            Some(_) => {
                let content = thread::scope(|scope| decompress::start(scope, self.archive, number..number + 1).next());
                content.transpose()?.unwrap_or_default()
            }
            None => Buffer::default(),
        };
        let ours = &self.content[..self.used];
        let at = ours.iter().zip(theirs.iter()).take_while(|(a, b)| a == b).count();
        let member = self.begun.iter().rev().find(|(begun, _)| *begun <= at).map_or(&self.before, |(_, name)| name);
        Ok(format!("the first difference is in or just before `{}`", Trouble::show(member)))
    }

    /// The volume's digest, and what was found.
    fn end(mut self) -> Result<(String, Option<String>), FsError> {
        if self.used > 0 {
            self.compare()?;
        }
        if self.compared < self.frames.len() && self.difference.is_none() {
            let last = Trouble::show(&self.before);
            self.difference = Some(format!("everything after `{last}` is missing"));
        }
        let digest = Digest(*self.digests.finalize().as_bytes());
        Ok((digest.hex(), self.difference))
    }
}

impl Taker for Held<'_> {
    fn keep(&mut self, _: &Seen<'_>) -> Result<Option<Size>, FsError> {
        Ok(None)
    }

    fn holes(&mut self, from: &Source<'_>, size: u64, found: Vec<Hole>) -> Result<Vec<Hole>, FsError> {
        let Some(stored) = &self.stored else { return Ok(found) };
        let wanted = stored.get(from.path).map(|stored| stored.holes.clone()).unwrap_or_default();
        let fits = wanted.last().is_none_or(|last| last.offset + last.bytes <= size);
        match fits && (wanted == found || is_zero(from, &wanted)?) {
            true => Ok(wanted),
            false => Ok(found),
        }
    }

    fn stored(&mut self, path: &[u8], flags: &mut Flags, xattrs: &mut Xattrs) {
        let Some(stored) = &self.stored else { return };
        xattrs.retain(|(name, _)| !is_of_one_filesystem(name));
        *flags = Flags::NONE;
        if let Some(stored) = stored.get(path) {
            *flags = stored.flags;
            xattrs.extend(stored.xattrs.iter().cloned());
            xattrs.sort();
        }
    }

    fn begin(&mut self, _: &Seen<'_>, name: &[u8], header: &[u8], _: Size) -> Result<(), FsError> {
        self.begun.push((self.used, name.to_vec()));
        self.write(header)
    }

    fn data(&mut self, from: &Source<'_>, mut at: u64, end: u64, meter: &mut Meter<'_>) -> Result<u64, FsError> {
        forget(from, at, end)?;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(FRAME_MAX - self.used);
            match rustix::io::pread(from.file, &mut self.content[self.used..self.used + wanted], at) {
                Ok(0) => break,
                Ok(read) => {
                    self.filled(read)?;
                    at += read as u64;
                    meter.add(read as u64, 0)?;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(from.trouble.entry(from.path, "read", error)),
            }
        }
        Ok(at)
    }

    fn zeros(&mut self, mut bytes: u64) -> Result<(), FsError> {
        while bytes > 0 {
            if self.used == 0 && bytes >= FRAME_MAX as u64 {
                self.compare_zeros()?;
                bytes -= FRAME_MAX as u64;
                continue;
            }
            let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(FRAME_MAX - self.used);
            self.content[self.used..self.used + length].fill(0);
            self.filled(length)?;
            bytes -= length as u64;
        }
        Ok(())
    }
}

/// Pages of it that are in memory go: they are clean, as the tree is durable, so that what is read comes from the disk.
fn forget(from: &Source<'_>, at: u64, end: u64) -> Result<(), FsError> {
    let Some(length) = NonZeroU64::new(end - at) else { return Ok(()) };
    fadvise(from.file, at, Some(length), Advice::DontNeed).map_err(|e| from.trouble.entry(from.path, "read", e))
}

/// Whether the file has nothing but zeros there.
fn is_zero(from: &Source<'_>, holes: &[Hole]) -> Result<bool, FsError> {
    let mut buffer = vec![0; 1 << 16];
    for hole in holes {
        let (mut at, end) = (hole.offset, hole.offset + hole.bytes);
        forget(from, at, end)?;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::pread(from.file, &mut buffer[..wanted], at) {
                Ok(0) => return Ok(false),
                Ok(read) if buffer[..read].iter().any(|&byte| byte != 0) => return Ok(false),
                Ok(read) => at += read as u64,
                Err(Errno::INTR) => {}
                Err(error) => return Err(from.trouble.entry(from.path, "read", error)),
            }
        }
    }
    Ok(true)
}
