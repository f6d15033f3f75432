//! Snapshots: what one says of itself, in the archive's manifest and in the catalog.

use std::fmt;

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, SeqAccess, Visitor},
};

use super::{Imported, MountedAt, Registration, RestoreId, SnapshotId, Source, WorkloadId};

/// What the app did while its volumes were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Its processes were frozen: the volumes are of one point in time.
    Pause,
    /// It was stopped.
    Stop,
    /// It ran on: the volumes are read one file after another.
    Live,
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Somebody asked for it.
    Manual,
    /// It keeps what a restore replaced.
    PreRestore(RestoreId),
}

/// An image by the name that was asked for and by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// The container that ran it.
    pub container: String,
    /// Its service, if it belonged to a compose project; earlier versions did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The name that was asked for.
    pub image: String,
    /// The content (`sha256:…`).
    pub image_id: String,
}

/// A volume in a manifest. Its place in the list is its index in the archive (`volumes/<index>/…`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestVolume {
    /// Its name within the workload.
    pub target: String,
    /// Whether the directory did not exist: the archive has no members for it.
    pub absent: bool,
    /// Its name in the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Which containers could write to it, and where they had it. Archives of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_at: Vec<MountedAt>,
}

/// `volsnap.json`, the first member of every archive: what is known before the volumes are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the archive format.
    pub format: u32,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its workload.
    pub workload: WorkloadId,
    /// The workload's name at the time.
    pub workload_name: String,
    /// The workload's source at the time.
    pub source: Source,
    /// When it was begun.
    pub created_at: Timestamp,
    /// What the app did meanwhile.
    pub mode: Mode,
    /// Why it was taken.
    pub origin: Origin,
    /// What the user said about it.
    pub note: Option<String>,
    /// The images that ran.
    pub images: Vec<ImageRef>,
    /// The volumes.
    pub volumes: Vec<ManifestVolume>,
    /// The workload as it was registered. Archives of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Registration>,
    /// What the snapshot was before it was imported, if it was made another one by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// Its place in the order of the catalog that it was made for: what came later has a greater one, whatever the clock
    /// said. Archives of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// Where a snapshot stands among others: sequence first, so that a clock that was wrong changes nothing.
pub type Order = (u64, Timestamp, SnapshotId);

impl Manifest {
    /// See [`Snapshot::order`].
    #[must_use]
    pub fn order(&self) -> Order {
        (self.sequence.unwrap_or(0), self.created_at, self.snapshot)
    }
}

/// Why a read-only subvolume is among what [`VolumeTotals::unsteady`] names.
pub const FROZEN_LEFT_OUT: &str = "a read-only subvolume, which is left out";

/// The version of the archive format that this code writes.
pub const ARCHIVE_FORMAT: u32 = 1;

/// What reading a volume showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeTotals {
    /// Bytes of file contents, holes included.
    pub bytes: u64,
    /// Bytes that the restored tree takes on disk: contents without holes, in blocks of 4096.
    pub bytes_allocated: u64,
    /// Entries in the archive, the volume's root included.
    pub entries: u64,
    /// BLAKE3 over the digests of the volume's frames, in hexadecimal; equal trees have equal digests.
    pub digest: String,
    /// Sockets, which have no contents and are left out.
    pub sockets_skipped: u64,
    /// What could not be taken as it is, with the reason: it changed while it was read, vanished, is another filesystem or
    /// of no known kind. At most the first hundred, each as `name: reason`.
    #[serde(deserialize_with = "listed")]
    pub unsteady: Vec<String>,
    /// Entries with a flag that a restore does not give back: immutable and append-only, as what has them can be neither
    /// moved nor removed, and so not be restored again; and what a filesystem keeps more of than a flag says, such as an
    /// encryption.
    #[serde(default)]
    pub immutable: u64,
    /// Their names and which flag it is, at most the first hundred.
    #[serde(default, deserialize_with = "listed")]
    pub immutable_names: Vec<String>,
    /// Device nodes, which are made only where that is allowed; not those of an overlay's whiteouts, which are no devices.
    /// `None` in archives of earlier versions, of which it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// Their names, at most the first hundred.
    #[serde(default, deserialize_with = "listed", skip_serializing_if = "Vec::is_empty")]
    pub device_names: Vec<String>,
    /// Whether each entry's inode flags (how it is stored and treated) were asked for: what is not said to have some has
    /// none. Not so in archives of earlier versions, and of filesystems that are not asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flags_known: bool,
}

impl VolumeTotals {
    /// Names in each of the lists at the most.
    pub const LISTED_MAX: usize = 100;

    /// Its device nodes, with the first of their names; `None` if none are known.
    #[must_use]
    pub fn devices_told(&self) -> Option<String> {
        let count = self.devices.filter(|count| *count > 0)?;
        let (first, is_one) = (self.device_names.iter().take(3).cloned().collect::<Vec<_>>().join("`, `"), count == 1);
        let (what, more) = (if is_one { "device node" } else { "device nodes" }, if count > 3 { ", …" } else { "" });
        Some(format!("{count} {what} (`{first}`{more})"))
    }
}

/// Reads names, and no more than anybody writes: an archive is not believed, and an empty name takes eight times as much
/// memory as it takes bytes of text.
fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Listed;

    impl<'de> Visitor<'de> for Listed {
        type Value = Vec<String>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(out, "at most {} names", VolumeTotals::LISTED_MAX)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
            let mut listed = Vec::new();
            while let Some(name) = names.next_element()? {
                if listed.len() == VolumeTotals::LISTED_MAX {
                    return Err(A::Error::invalid_length(listed.len() + 1, &self));
                }
                listed.push(name);
            }
            Ok(listed)
        }
    }

    deserializer.deserialize_seq(Listed)
}

/// An archive that is whole, durable and named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveSummary {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its volumes, in the manifest's order.
    pub totals: Vec<VolumeTotals>,
    /// How long the app was frozen or stopped for it, in milliseconds.
    pub quiesced_ms: u64,
    /// Size of the file.
    pub archive_bytes: u64,
    /// BLAKE3 of the archive's index, in hexadecimal: the index holds the digest of every frame.
    pub digest: String,
}

/// A snapshot as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The archive.
    pub archive: ArchiveSummary,
    /// When every byte of it was last read and found good.
    pub verified_at: Option<Timestamp>,
    /// Somebody's wish that it be kept. Left out where there is none, so that a row without it reads and is written as
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// When it was last restored somewhere, read back from the disk and found to be what the archive says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<Timestamp>,
    /// When the app was last started on what came back, and became healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<Timestamp>,
    /// When reading its archive showed damage, if it was not found good since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt_since: Option<Timestamp>,
}

/// Somebody's wish that a snapshot be kept: neither retention nor a deletion that does not insist takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Since when.
    pub at: Timestamp,
    /// What for.
    pub note: Option<String>,
}

/// A change to what the catalog knows of a snapshot besides its archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Every byte was read and found good, then.
    Verified(Timestamp),
    /// Its archive was read and found damaged, then. An earlier finding keeps its time.
    Corrupt(Timestamp),
    /// It was restored aside, read back and found to be what its archive says, then.
    Proved(Timestamp),
    /// The app was started on what came back, and became healthy, then.
    Booted(Timestamp),
    /// It is to be kept; the pin takes the place of an earlier one.
    Pinned(Pin),
    /// It need not be kept any more.
    Unpinned,
}

/// What has just been archived: nobody has read it back, proved, started or pinned it.
impl From<ArchiveSummary> for Snapshot {
    fn from(archive: ArchiveSummary) -> Self {
        Snapshot { archive, verified_at: None, pin: None, proved_at: None, booted_at: None, corrupt_since: None }
    }
}

impl Snapshot {
    /// Changes what is known of it besides its archive.
    pub fn mark(&mut self, mark: &Mark) {
        match mark {
            Mark::Verified(at) => (self.verified_at, self.corrupt_since) = (Some(*at), None),
            Mark::Corrupt(at) => self.corrupt_since = self.corrupt_since.or(Some(*at)),
            Mark::Proved(at) => (self.proved_at, self.corrupt_since) = (Some(*at), None),
            Mark::Booted(at) => self.booted_at = Some(*at),
            Mark::Pinned(pin) => self.pin = Some(pin.clone()),
            Mark::Unpinned => self.pin = None,
        }
    }

    /// Whether every byte of it was once found good, and none bad since: by a check of its archive, or by a drill, which
    /// checks more.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.corrupt_since.is_none() && (self.verified_at.is_some() || self.proved_at.is_some())
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.archive.manifest.snapshot
    }

    /// Its workload.
    #[must_use]
    pub fn workload(&self) -> WorkloadId {
        self.archive.manifest.workload
    }

    /// When it was begun.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.archive.manifest.created_at
    }

    /// Its place in the order of its workload: the greater is the newer. What was taken before there was a sequence comes
    /// first, in the order of its labels; ids settle the rest.
    #[must_use]
    pub fn order(&self) -> Order {
        self.archive.manifest.order()
    }

    /// Why it was taken.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.archive.manifest.origin
    }

    /// Volumes with what reading them showed, in the order of the archive.
    pub fn volumes(&self) -> impl Iterator<Item = (usize, &ManifestVolume, &VolumeTotals)> {
        self.archive.manifest.volumes.iter().zip(&self.archive.totals).enumerate().map(|(i, (v, t))| (i, v, t))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as it was written before there were pins.
    const OLD: &str = r#"{"archive":{"manifest":{"format":1,"snapshot":"00000000-0000-0000-0000-000000000001",
        "workload":"00000000-0000-0000-0000-000000000002","workload_name":"shop","source":"directories",
        "created_at":"2026-11-20T10:00:00Z","mode":"pause","origin":"manual","note":null,"images":[],"volumes":[]},
        "totals":[],"quiesced_ms":0,"archive_bytes":1,"digest":"aa"},"verified_at":null}"#;

    #[test]
    fn a_row_from_before_there_were_pins_is_read_and_written_as_it_was() {
        let mut snapshot: Snapshot = serde_json::from_str(OLD).unwrap();
        assert_eq!(snapshot.pin, None);
        let as_written: serde_json::Value = serde_json::from_str(OLD).unwrap();
        assert_eq!(serde_json::to_value(&snapshot).unwrap(), as_written);

        let pin = Pin { at: snapshot.created_at(), note: Some("audit".into()) };
        snapshot.mark(&Mark::Pinned(pin));
        let pinned = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(pinned["pin"], serde_json::json!({ "at": "2026-11-20T10:00:00Z", "note": "audit" }));
        assert_eq!(serde_json::from_value::<Snapshot>(pinned).unwrap(), snapshot);
        snapshot.mark(&Mark::Unpinned);
        assert_eq!(serde_json::to_value(&snapshot).unwrap(), as_written);
    }

    #[test]
    fn rows_of_snapshots_that_were_never_proved_are_as_they_always_were() {
        let row = r#"{"archive":{"manifest":{"format":1,"snapshot":"00000000-0000-0000-0000-000000000001",
            "workload":"00000000-0000-0000-0000-000000000002","workload_name":"app","source":"directories",
            "created_at":"2026-05-01T12:00:00Z","mode":"live","origin":"manual","note":null,"images":[],"volumes":[]},
            "totals":[],"quiesced_ms":7,"archive_bytes":9,"digest":"00"},"verified_at":null}"#;
        let snapshot: Snapshot = serde_json::from_str(row).unwrap();
        assert_eq!((snapshot.proved_at, snapshot.booted_at), (None, None));
        let value: serde_json::Value = serde_json::from_str(row).unwrap();
        assert_eq!(serde_json::to_value(&snapshot).unwrap(), value);
        let at = Some(Timestamp::UNIX_EPOCH);
        let proved = Snapshot { proved_at: at, booted_at: at, ..snapshot };
        let text = serde_json::to_string(&proved).unwrap();
        assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), proved);
    }
}
