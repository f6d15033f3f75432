//! Any bytes as the tar stream of a volume: read, extracted, written again, and shown to another reader.

use std::{io::Read, path::Path, sync::Arc};

use volsnap_core::{
    model::VolumeTotals,
    ports::{FsError, FsErrorKind, FsOp, Phase, Quiet, Watch},
};

use super::{
    super::{
        earlier::Earlier,
        extract::Extractor,
        format::{Digest, First, Frame},
        header::{self, BLOCK},
        member::{Kind, Member},
        name,
        pipeline::Drain,
        progress::Meter,
        read::{Sink, read_volume},
        stream::{Piece, Stream},
    },
    OPEN,
    tree::Place,
};
use crate::{
    flags::{Flags, Giving},
    tree::Trouble,
};

/// Length of the frames into which a volume is cut when it is read again: no multiple of a tar block, so that headers
/// and contents go on in the next one.
const CUT: usize = 1000;

/// A member with its contents, holes as zeros.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) member: Member,
    pub(super) contents: Vec<u8>,
}

/// Reads the bytes as the members of a volume and extracts them for as long as they are taken.
///
/// Whatever they are, nothing outside of the tree changes, and only members are in it. If all of it is taken, another
/// reader sees the same members, and what we would write for them is read as the same again.
pub fn volume(bytes: &[u8]) {
    if bytes.is_empty() {
        // No index has a frame without content.
        return;
    }
    let place = Place::new();
    let trouble = Trouble::new(FsOp::Stage, Path::new("fuzzed"));
    let root = name::volume_root(0);
    let first = First { offset: 0, name: name::escape(&root) };
    let mut sink = Tee::new(Some(
        Extractor::new(place.open(), Earlier::default(), &1.into(), Giving::new(true, Flags::NONE), false, &trouble)
            .unwrap(),
    ));
    // How many members there will be is not known yet, so the last word is always that the index says something else.
    let error = read(bytes, bytes.len(), &[(0, first)], &VolumeTotals::default(), &mut sink).unwrap_err();
    assert!(matches!(error.kind, FsErrorKind::Corrupt | FsErrorKind::Hostile), "{error}");
    let Tee { seen, extractor, ended } = sink;
    let complete = extractor.is_some() && ended;
    // Given up or done, nothing is made any more when it is gone.
    drop(extractor);
    place.check(&seen, complete);
    if ended {
        shown_to_another_reader(bytes, &root, &seen);
        written_again(&root, &seen, &trouble);
    }
}

/// Reads bytes in frames of that length, with what an index would say of them.
fn read(
    bytes: &[u8],
    cut: usize,
    firsts: &[(usize, First)],
    totals: &VolumeTotals,
    sink: &mut Tee<'_>,
) -> Result<(), FsError> {
    let trouble = Trouble::new(FsOp::Archive, Path::new("fuzzed"));
    let watch: Watch = Arc::new(Quiet);
    let contents: Vec<Vec<u8>> = bytes.chunks(cut).map(<[u8]>::to_vec).collect();
    let digest = Digest::of(b"");
    let frame = |number| Frame {
        stored_bytes: 1,
        stored_digest: digest,
        bytes: 1,
        digest,
        first: firsts.iter().find(|(frame, _)| *frame == number).map(|(_, first)| first.clone()),
    };
    let frames: Vec<Frame> = (0..contents.len()).map(frame).collect();
    let stream =
        Stream::new(Drain::of(contents.into_iter().map(|content| Ok(content.into())).collect()), &frames, &trouble);
    let mut meter = Meter::new(&watch, &trouble, Phase::Stage);
    read_volume(stream, &name::volume_root(0), OPEN, totals, sink, &mut meter, &trouble)
}

/// What we would write for the members is read as the same members, in frames that are cut anywhere.
fn written_again(root: &[u8], seen: &[Seen], trouble: &Trouble) {
    let (mut bytes, mut firsts, mut totals) = (Vec::new(), Vec::new(), VolumeTotals::default());
    for Seen { member, contents } in seen {
        let (frame, offset) = (bytes.len() / CUT, u32::try_from(bytes.len() % CUT).unwrap());
        if firsts.last().is_none_or(|(last, _)| *last != frame) {
            firsts.push((frame, First { offset, name: name::escape(&name::in_volume(root, &member.path)) }));
        }
        bytes.extend(header::encode(member, root, trouble).unwrap());
        bytes.extend(contents);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        totals.entries += 1;
        totals.bytes += member.content_bytes();
        totals.bytes_allocated += member.allocated_bytes();
    }
    let mut again = Tee::new(None);
    read(&bytes, CUT, &firsts, &totals, &mut again).unwrap();
    assert!(again.seen == seen, "{:?} became {:?}", seen, again.seen);
}

/// The `tar` crate sees the same names, kinds, sizes, links and contents: no reader is shown other members than we are.
fn shown_to_another_reader(bytes: &[u8], root: &[u8], seen: &[Seen]) {
    let mut archive = tar::Archive::new(bytes);
    let mut entries = archive.entries().unwrap();
    for Seen { member, contents } in seen {
        let mut entry = entries.next().unwrap().unwrap();
        let own = name::in_volume(root, &member.path);
        let (kind, link) = match &member.kind {
            Kind::Directory => (b'5', None),
            Kind::File { .. } => (b'0', None),
            Kind::HardLink { target } => (b'1', Some(name::in_volume(root, target))),
            Kind::Symlink { target } => (b'2', Some(target.clone())),
            Kind::Fifo => (b'6', None),
            Kind::Device { block, .. } => (if *block { b'4' } else { b'3' }, None),
        };
        assert_eq!(entry.header().entry_type().as_byte(), kind, "{member:?}");
        let path = entry.path_bytes().into_owned();
        let shown = match kind {
            b'5' => path.strip_suffix(b"/").unwrap_or(&path),
            // To GNU tar and bsdtar a file with a slash at the end of its name is a directory.
            _ => &path,
        };
        assert_eq!(shown, own, "{member:?}");
        if let Some(link) = link {
            assert_eq!(entry.link_name_bytes().unwrap().into_owned(), link, "{member:?}");
        }
        assert_eq!(entry.size(), member.content_bytes(), "{member:?}");
        let mut shown = Vec::new();
        entry.read_to_end(&mut shown).unwrap();
        assert!(shown == *contents, "{member:?}");
    }
    assert!(entries.next().is_none(), "another reader finds more than {} members", seen.len());
}

/// Remembers members and extracts them. The first error of the disk ends the extraction, not the reading.
struct Tee<'a> {
    seen: Vec<Seen>,
    extractor: Option<Extractor<'a>>,
    ended: bool,
}

impl<'a> Tee<'a> {
    fn new(extractor: Option<Extractor<'a>>) -> Self {
        Tee { seen: Vec::new(), extractor, ended: false }
    }

    fn extract(&mut self, step: impl FnOnce(&mut Extractor<'a>) -> Result<(), FsError>) -> Result<(), FsError> {
        match self.extractor.as_mut().map(step) {
            Some(Err(error)) if error.kind == FsErrorKind::Hostile => Err(error),
            Some(Err(_)) => {
                self.extractor = None;
                Ok(())
            }
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Sink for Tee<'_> {
    fn member(&mut self, depth: usize, member: Member) -> Result<(), FsError> {
        self.seen.push(Seen { member: member.clone(), contents: Vec::new() });
        self.extract(|extractor| extractor.member(depth, member))
    }

    fn data(&mut self, offset: u64, piece: Piece) -> Result<(), FsError> {
        let contents = &mut self.seen.last_mut().unwrap().contents;
        // As much as that has been read: memory follows the bytes, not what they claim.
        contents.resize(usize::try_from(offset).unwrap(), 0);
        contents.extend(&*piece);
        self.extract(|extractor| extractor.data(offset, piece))
    }

    fn complete(&mut self) -> Result<(), FsError> {
        let Seen { member, contents } = self.seen.last_mut().unwrap();
        contents.resize(usize::try_from(member.content_bytes()).unwrap(), 0);
        self.extract(Sink::complete)
    }

    fn end(&mut self) -> Result<(), FsError> {
        self.ended = true;
        self.extract(Sink::end)
    }
}
