//! Any bytes as the file of an archive, as its index, or as its manifest.

use std::{fs, sync::Arc};

use volsnap_core::{
    model::{ArchiveSummary, Manifest, VolumeTotals, snapshot::ARCHIVE_FORMAT},
    ports::{FsErrorKind, Quiet},
};

use super::super::{
    format::{self, Digest, First, Frame, INDEX_FRAME_OVERHEAD, Index, Volume},
    header::{self, BLOCK},
    name, summary, verify,
};

/// Reads the bytes as the file of an archive.
///
/// Whatever they are, the answer is that they are damaged, hostile or newer, or an archive: then the index says of each
/// byte of the file what it is, is written again as the same, and if all of it is sound, another reader finds as many
/// members with as many bytes as it says.
pub fn archive(bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fuzzed.tar.zst");
    fs::write(&path, bytes).unwrap();
    let summary = match summary(&path) {
        Ok(summary) => summary,
        Err(error) => {
            assert!(matches!(error.kind, FsErrorKind::Corrupt | FsErrorKind::Unsupported), "{error}");
            return;
        }
    };
    assert_eq!(summary.archive_bytes, bytes.len() as u64);
    index_is_the_file(bytes, &summary);
    match verify(&path, 1, &(Arc::new(Quiet) as _)) {
        Ok(verified) => {
            assert_eq!(verified.summary, summary);
            shown_to_another_reader(bytes, &summary);
        }
        Err(error) => assert!(matches!(error.kind, FsErrorKind::Corrupt | FsErrorKind::Hostile), "{error}"),
    }
}

fn index_is_the_file(bytes: &[u8], summary: &ArchiveSummary) {
    let (frames, payload) = parts(bytes).unwrap();
    let index: Index = serde_json::from_slice(payload).unwrap();
    let again: Index = serde_json::from_slice(&serde_json::to_vec(&index).unwrap()).unwrap();
    assert_eq!(again, index);
    assert_eq!((index.format, summary.manifest.format), (ARCHIVE_FORMAT, ARCHIVE_FORMAT));
    assert_eq!(index.stored_bytes(), frames.len() as u64);
    let tail = tail(payload, &index.frames);
    assert!([frames, &tail].concat() == bytes, "the file has something that its index does not account for");
    let of_volumes: usize = index.volumes.iter().map(|volume| volume.frame_count).sum();
    assert_eq!(index.frames.len(), of_volumes + 2);
}

/// Another reader of zstd and another reader of tar find the manifest, then the volumes in their order, to the end.
fn shown_to_another_reader(bytes: &[u8], summary: &ArchiveSummary) {
    let mut archive = tar::Archive::new(zstd::Decoder::new(bytes).unwrap());
    let mut found: Vec<(u64, u64)> = vec![(0, 0); summary.totals.len()];
    let mut last = 0;
    for (at, entry) in archive.entries().unwrap().enumerate() {
        let entry = entry.unwrap();
        let name = entry.path_bytes().into_owned();
        if at == 0 {
            assert_eq!(name, name::MANIFEST);
            continue;
        }
        let volume = (last..found.len()).find(|volume| name::below(&name::volume_root(*volume), &name).is_ok());
        last = volume.unwrap();
        found[last].0 += 1;
        found[last].1 += entry.size();
    }
    let said: Vec<(u64, u64)> = summary.totals.iter().map(|totals| (totals.entries, totals.bytes)).collect();
    for ((found, said), volume) in found.iter().zip(&said).zip(&summary.manifest.volumes) {
        assert!(volume.absent || found == said, "{} has {found:?}, not {said:?}", volume.target);
        assert!(!volume.absent || *found == (0, 0), "{} has {found:?} and is absent", volume.target);
    }
}

/// Reads the bytes as the manifest of an archive in which everything else is in order.
///
/// It is taken if and only if it is a manifest; what is read is what was written, and is written again as the same.
pub fn manifest(json: &[u8]) {
    let parsed: Option<Manifest> = serde_json::from_slice(json).ok();
    let volumes = parsed.as_ref().map_or(&[][..], |manifest| &manifest.volumes);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fuzzed.tar.zst");
    let present: Vec<bool> = volumes.iter().map(|volume| !volume.absent).collect();
    fs::write(&path, around(json, &present)).unwrap();
    match (summary(&path), parsed) {
        (Ok(summary), Some(manifest)) => {
            assert_eq!(manifest.format, ARCHIVE_FORMAT);
            assert_eq!(summary.manifest, manifest);
            let again: Manifest = serde_json::from_slice(&serde_json::to_vec(&manifest).unwrap()).unwrap();
            assert_eq!(again, manifest);
        }
        (Err(error), parsed) => {
            assert!(parsed.is_none_or(|manifest| manifest.format != ARCHIVE_FORMAT), "refused: {error}");
            assert!(matches!(error.kind, FsErrorKind::Corrupt | FsErrorKind::Unsupported), "{error}");
        }
        (Ok(_), None) => unreachable!("what is no manifest was taken for one"),
    }
}

/// An archive with that manifest and such volumes, each of them an empty directory.
fn around(json: &[u8], present: &[bool]) -> Vec<u8> {
    let mut manifest = header::plain(name::MANIFEST, json.len() as u64, 0).as_bytes().to_vec();
    manifest.extend(json);
    manifest.resize(manifest.len().next_multiple_of(BLOCK), 0);
    let (mut file, mut frames, mut volumes) = (Vec::new(), Vec::new(), Vec::new());
    let mut push = |content: &[u8], name: Option<String>| {
        let (stored, frame) = freeze(content, name.map(|name| First { offset: 0, name }));
        file.extend(stored);
        frames.push(frame.clone());
        frame
    };
    push(&manifest, Some("volsnap.json".into()));
    let mut next = 1;
    for (at, present) in present.iter().enumerate() {
        let root = format!("volumes/{at}");
        let mut head = header::plain(root.as_bytes(), 0, 0);
        head.set_entry_type(tar::EntryType::Directory);
        head.set_cksum();
        let own = if *present { vec![push(head.as_bytes(), Some(root))] } else { Vec::new() };
        let digest = Index::digest_of(&own).hex();
        let totals = VolumeTotals { entries: own.len() as u64, digest, ..VolumeTotals::default() };
        volumes.push(Volume { first_frame: next, frame_count: own.len(), totals });
        next += own.len();
    }
    push(&[0; 2 * BLOCK], None);
    let index = Index { format: ARCHIVE_FORMAT, quiesced_ms: 0, volumes, frames };
    file.extend(tail(&serde_json::to_vec(&index).unwrap(), &index.frames));
    file
}

/// A frame with that content, as it is stored, and what the index says of it.
pub(in crate::archive) fn freeze(content: &[u8], first: Option<First>) -> (Vec<u8>, Frame) {
    let stored = zstd::bulk::compress(content, 1).unwrap();
    let frame = Frame {
        stored_bytes: stored.len().try_into().unwrap(),
        stored_digest: Digest::of(&stored),
        bytes: content.len().try_into().unwrap(),
        digest: Digest::of(content),
        first,
    };
    (stored, frame)
}

/// The frames of an archive and the payload of its index, if its end can be found. What a fuzzer alters in either of
/// them gets a new end from [`join`], or it would only ever test digests.
#[must_use]
pub fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let footer = format::read_seek_footer(bytes.last_chunk()?)?;
    let (rest, _) = split_end(bytes, format::seek_table_bytes(usize::try_from(footer).ok()?))?;
    let (length, _) = format::read_trailer(rest.last_chunk()?)?;
    let (frames, index) = split_end(rest, usize::try_from(length).ok()?.checked_add(INDEX_FRAME_OVERHEAD)?)?;
    let header = INDEX_FRAME_OVERHEAD - format::TRAILER_BYTES;
    Some((frames, &index[header..index.len() - format::TRAILER_BYTES]))
}

fn split_end(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(length)?)
}

/// An archive of such frames and such an index, with every length and digest made to fit.
#[must_use]
pub fn join(frames: &[u8], payload: &[u8]) -> Vec<u8> {
    let Ok(mut index) = serde_json::from_slice::<Index>(payload) else {
        return [frames, &tail(payload, &[])].concat();
    };
    let mut rest = frames;
    for frame in &mut index.frames {
        let Some((stored, after)) = rest.split_at_checked(frame.stored_bytes as usize) else { break };
        frame.stored_digest = Digest::of(stored);
        if let Ok(content) = zstd::bulk::decompress(stored, format::FRAME_MAX) {
            frame.digest = Digest::of(&content);
        }
        rest = after;
    }
    for volume in &mut index.volumes {
        let end = volume.first_frame.saturating_add(volume.frame_count);
        if let Some(frames) = index.frames.get(volume.first_frame..end) {
            volume.totals.digest = Index::digest_of(frames).hex();
        }
    }
    let payload = serde_json::to_vec(&index).unwrap();
    [frames, &tail(&payload, &index.frames)].concat()
}

/// The index frame around any payload, and a seek table: everything after the frames.
fn tail(payload: &[u8], frames: &[Frame]) -> Vec<u8> {
    let payload_bytes = payload.len() as u64;
    let mut tail = format::index_head(payload_bytes).unwrap().to_vec();
    tail.extend(payload);
    tail.extend(format::trailer(payload_bytes, Digest::of(payload)));
    format::write_seek_table(frames, payload_bytes, &mut tail).unwrap();
    tail
}
