//! A hostile maker: archives that volsnap would never write, put together from nothing but the description of the format
//! (`adapters/disk/README.md`), with digests, index and seek table that agree.

use std::{fs, ops::Range, path::Path};

use serde_json::{Value, json};
use tar::{EntryType, Header};

const FRAME_MAX: usize = 4 << 20;

/// A volume in the making: its tar stream, where its members begin, and what its index is to say.
#[derive(Clone, Default)]
pub struct Forged {
    pub stream: Vec<u8>,
    pub members: Vec<(usize, String)>,
    pub bytes: u64,
    pub bytes_allocated: u64,
    /// What the index says instead of the number of entries.
    pub entries_said: Option<u64>,
    /// What the index says instead of the number of bytes.
    pub bytes_said: Option<u64>,
    /// What the index says instead of the length of each frame's content.
    pub frame_bytes_said: Option<u64>,
}

impl Forged {
    /// A volume with its root.
    pub fn rooted() -> Self {
        Forged::default().entry("volumes/0/", EntryType::Directory, "", b"")
    }

    pub fn file(self, name: &str, contents: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, "", contents)
    }

    /// A member with contents or a link.
    pub fn entry(self, name: &str, kind: EntryType, link: &str, contents: &[u8]) -> Self {
        self.member(name, kind, link, contents, &[], |_| {})
    }

    /// A regular file with PAX records before it.
    pub fn with(self, name: &str, contents: &[u8], records: &[(&str, &str)]) -> Self {
        self.member(name, EntryType::Regular, "", contents, records, |_| {})
    }

    /// A member with records before it and a header that was tampered with.
    pub fn member(
        mut self,
        name: &str,
        kind: EntryType,
        link: &str,
        contents: &[u8],
        records: &[(&str, &str)],
        tamper: impl FnOnce(&mut Header),
    ) -> Self {
        self.members.push((self.stream.len(), name.trim_end_matches('/').into()));
        if !records.is_empty() {
            let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
            let mut pax = header("PaxHeaders/x", EntryType::XHeader, text.len());
            pax.set_cksum();
            self.push(&pax, text.as_bytes());
        }
        let mut head = header(name, kind, contents.len());
        head.set_link_name_literal(link).unwrap();
        tamper(&mut head);
        head.set_cksum();
        self.push(&head, contents);
        self.bytes += contents.len() as u64;
        self.bytes_allocated += (contents.len() as u64).next_multiple_of(4096);
        self
    }

    fn push(&mut self, head: &Header, contents: &[u8]) {
        self.stream.extend(head.as_bytes());
        self.stream.extend(contents);
        self.stream.resize(self.stream.len().next_multiple_of(512), 0);
    }

    /// Puts the volume into the place of the only one of a sound archive; its manifest stays.
    pub fn plant(&self, archive: &Path) {
        let sound = Parts::of(fs::read(archive).unwrap());
        let mut file = sound.file[sound.frame(0)].to_vec();
        let mut frames = vec![sound.payload["frames"][0].clone()];
        let mut digests = Vec::new();
        for (nth, content) in self.stream.chunks(FRAME_MAX).enumerate() {
            let from = nth * FRAME_MAX;
            let first = self.members.iter().find(|(at, _)| (from..from + content.len()).contains(at));
            let mut frame = freeze(content, &mut file);
            digests.extend(blake3::hash(content).as_bytes());
            if let Some(said) = self.frame_bytes_said {
                frame["bytes"] = json!(said);
            }
            if let Some((at, name)) = first {
                frame["first"] = json!({ "offset": at - from, "name": name });
            }
            frames.push(frame);
        }
        let frame_count = frames.len() - 1;
        frames.push(freeze(&[0; 1024], &mut file));
        let totals = json!({
            "bytes": self.bytes_said.unwrap_or(self.bytes),
            "bytes_allocated": self.bytes_allocated,
            "entries": self.entries_said.unwrap_or(self.members.len() as u64),
            "digest": blake3::hash(&digests).to_hex().to_string(),
            "sockets_skipped": 0, "unsteady": [], "immutable": 0, "immutable_names": [],
        });
        let volume = json!({ "first_frame": 1, "frame_count": frame_count, "totals": totals });
        let payload = json!({ "format": 1, "quiesced_ms": 0, "volumes": [volume], "frames": frames });
        fs::write(archive, finish(file, &payload)).unwrap();
    }
}

/// The parts of an archive, as its end tells them.
pub struct Parts {
    pub file: Vec<u8>,
    pub payload: Value,
    /// Where the index frame's payload lies.
    pub index: Range<usize>,
    /// Where the seek table lies.
    pub seek_table: Range<usize>,
}

impl Parts {
    pub fn of(file: Vec<u8>) -> Self {
        let number = |at: usize, bytes: usize| {
            let mut number = [0; 8];
            number[..bytes].copy_from_slice(&file[at..at + bytes]);
            usize::try_from(u64::from_le_bytes(number)).unwrap()
        };
        let frames = number(file.len() - 9, 4);
        let seek_table = file.len() - 17 - 8 * frames..file.len();
        let length = number(seek_table.start - 48, 8);
        let index = seek_table.start - 48 - length..seek_table.start - 48;
        let payload = serde_json::from_slice(&file[index.clone()]).unwrap();
        Parts { file, payload, index, seek_table }
    }

    /// Where a frame lies.
    pub fn frame(&self, nth: usize) -> Range<usize> {
        let stored = |frame: &Value| usize::try_from(frame["stored_bytes"].as_u64().unwrap()).unwrap();
        let frames = self.payload["frames"].as_array().unwrap();
        let start = frames[..nth].iter().map(stored).sum();
        start..start + stored(&frames[nth])
    }
}

/// Appends a frame and gives its line in the index.
fn freeze(content: &[u8], file: &mut Vec<u8>) -> Value {
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.include_checksum(true).unwrap();
    let stored = compressor.compress(content).unwrap();
    file.extend(&stored);
    json!({
        "stored_bytes": stored.len(), "stored_digest": blake3::hash(&stored).to_hex().to_string(),
        "bytes": content.len(), "digest": blake3::hash(content).to_hex().to_string(),
    })
}

/// Appends index and seek table.
fn finish(mut file: Vec<u8>, payload: &Value) -> Vec<u8> {
    let text = serde_json::to_vec(payload).unwrap();
    let length = u32::try_from(text.len()).unwrap();
    let mut index = Vec::new();
    index.extend(0x184D_2A50_u32.to_le_bytes());
    index.extend((length + 48).to_le_bytes());
    index.extend(&text);
    index.extend(u64::from(length).to_le_bytes());
    index.extend(blake3::hash(&text).as_bytes());
    index.extend(b"VOLSNAP1");
    let four = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap().to_le_bytes();
    let mut table = Vec::new();
    for frame in payload["frames"].as_array().unwrap() {
        table.extend(four(&frame["stored_bytes"]));
        table.extend(four(&frame["bytes"]));
    }
    table.extend(u32::try_from(index.len()).unwrap().to_le_bytes());
    table.extend([0; 4]);
    let frames = u32::try_from(table.len() / 8).unwrap();
    file.extend(index);
    file.extend(0x184D_2A5E_u32.to_le_bytes());
    file.extend((8 * frames + 9).to_le_bytes());
    file.extend(table);
    file.extend(frames.to_le_bytes());
    file.push(0);
    file.extend(0x8F92_EAB1_u32.to_le_bytes());
    file
}

fn header(name: &str, kind: EntryType, bytes: usize) -> Header {
    let mut head = Header::new_ustar();
    let field = &mut head.as_ustar_mut().unwrap().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    head.set_entry_type(kind);
    head.set_mode(0o755);
    head.set_uid(rustix::process::geteuid().as_raw().into());
    head.set_gid(rustix::process::getegid().as_raw().into());
    head.set_mtime(0);
    head.set_size(bytes as u64);
    head
}

/// A PAX record, which begins with its own length.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let length = (1..).find(|length: &usize| length.to_string().len() + rest.len() == *length).unwrap();
    format!("{length}{rest}")
}
