//! Makes archives that volsnap would never write: any tar blocks, with an index that fits them.

use std::{fs, path::Path};

use tar::{EntryType, Header};
use volsnap_core::model::VolumeTotals;

use super::{
    super::{
        format::{First, Index, Volume, write_end},
        fuzzing::freeze,
        header,
        name::{MANIFEST, escape},
        pax::Records,
    },
    scene::Scene,
    seeds::keep,
};
use crate::tree::Trouble;

/// A volume in the making.
#[derive(Default, Clone)]
pub(super) struct Forged {
    pub(super) bytes: Vec<u8>,
    pub(super) first: Option<First>,
    pub(super) totals: VolumeTotals,
    /// The members' names as messages show them.
    pub(super) names: Vec<String>,
}

impl Forged {
    /// A volume with its root.
    pub(super) fn rooted() -> Self {
        Forged::default().entry("volumes/0/", EntryType::Directory, "", b"")
    }

    /// A member with contents or a link.
    pub(super) fn entry(self, name: &str, kind: EntryType, link: &str, contents: &[u8]) -> Self {
        self.with(name, kind, link, contents, &Records::default(), |_| {})
    }

    pub(super) fn file(self, name: &str, contents: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, "", contents)
    }

    /// A member with records before it and a header that was tampered with.
    pub(super) fn with(
        mut self,
        name: &str,
        kind: EntryType,
        link: &str,
        contents: &[u8],
        records: &Records,
        tamper: impl FnOnce(&mut Header),
    ) -> Self {
        if self.first.is_none() {
            let name = escape(name.strip_suffix('/').unwrap_or(name).as_bytes());
            self.first = Some(First { offset: 0, name });
        }
        let placed = records.0.iter().find(|(key, _)| key == b"path").map(|(_, value)| value.as_slice());
        for name in [Some(name.as_bytes()), placed].into_iter().flatten() {
            let bare = name.strip_suffix(b"/").unwrap_or(name);
            // The extractor knows members by their paths below the volume.
            let below = bare.strip_prefix(b"volumes/0/").unwrap_or(bare);
            self.names.extend([name, bare, below].map(|name| format!("`{}`", Trouble::show(name))));
        }
        let records = records.encode();
        if !records.is_empty() {
            let mut pax = header::plain(b"PaxHeaders/x", records.len() as u64, 0);
            pax.set_entry_type(EntryType::XHeader);
            pax.set_cksum();
            self.push(pax.as_bytes(), &records);
        }
        let mut head = header::plain(name.as_bytes(), contents.len() as u64, 0);
        head.set_entry_type(kind);
        head.set_mode(0o755);
        head.set_uid(rustix::process::geteuid().as_raw().into());
        head.set_gid(rustix::process::getegid().as_raw().into());
        head.set_link_name_literal(link).unwrap();
        tamper(&mut head);
        head.set_cksum();
        self.push(head.as_bytes(), contents);
        self.totals.entries += 1;
        self.totals.bytes += contents.len() as u64;
        self.totals.bytes_allocated += (contents.len() as u64).div_ceil(4096) * 4096;
        self
    }

    pub(super) fn push(&mut self, head: &[u8], contents: &[u8]) {
        self.bytes.extend(head);
        self.bytes.extend(contents);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    /// Writes the archive of the scene with this as its only volume; gives the index's digest.
    pub(super) fn write(mut self, scene: &Scene, tamper: impl FnOnce(&mut Index)) -> String {
        keep("volume", &self.bytes);
        let json = serde_json::to_vec(&scene.manifest).unwrap();
        let mut manifest = Forged::default();
        manifest.push(header::plain(MANIFEST, json.len() as u64, 0).as_bytes(), &json);
        let first = Some(First { offset: 0, name: "volsnap.json".into() });
        let parts = [(manifest.bytes, first), (self.bytes, self.first), (vec![0; 1024], None)];
        let (mut file, mut frames) = (Vec::new(), Vec::new());
        for (content, first) in parts {
            let (stored, frame) = freeze(&content, first);
            file.extend(stored);
            frames.push(frame);
        }
        self.totals.digest = Index::digest_of(&frames[1..2]).hex();
        let volumes = vec![Volume { first_frame: 1, frame_count: 1, totals: self.totals }];
        let mut index = Index { format: 1, quiesced_ms: 0, volumes, frames };
        tamper(&mut index);
        finish(scene, file, &index)
    }
}

/// Writes frames with their index, as it is.
pub(super) fn finish(scene: &Scene, mut file: Vec<u8>, index: &Index) -> String {
    let trouble = Trouble::new(volsnap_core::ports::FsOp::Archive, Path::new("forged"));
    let (digest, _) = write_end(index, &mut file, &trouble).unwrap();
    fs::create_dir_all(scene.archives()).unwrap();
    keep("archive", &file);
    fs::write(scene.archive(), file).unwrap();
    digest.hex()
}
