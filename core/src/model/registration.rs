//! What a snapshot remembers of its workload's registration, so that a lost catalog can be made again.

use std::{ffi::OsString, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    DeclaredVolume, KnownVolume, Origin, Selector, SnapshotId, Source, Workload, WorkloadId,
    member::{escape, unescape},
};

/// A workload as the catalog had it when a snapshot was put among the archives of a state directory.
///
/// It is always what *this* catalog said: [`Engine::create`](crate::engine::Engine::create) writes it, and an import puts
/// its own in the place of what the file brings along. So what lies in a state directory may be believed in it, and what
/// comes from elsewhere may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The machine ([`Filesystem::host`](crate::ports::Filesystem::host)); paths mean nothing on another one.
    pub host: String,
    /// When the catalog said so: of several the latest counts.
    pub as_of: Timestamp,
    /// The workload's name.
    pub name: String,
    /// Where its software comes from.
    pub source: Source,
    /// Its containers.
    pub selector: Selector,
    /// Its plain directories.
    pub volumes: Vec<RegisteredVolume>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// The volumes of its containers that had a name then. Archives of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownVolume>,
}

/// A declared volume in a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredVolume {
    /// Its name within the workload.
    pub target: String,
    /// The directory on the host, raw bytes as [`escape`] writes them: a path need not be UTF-8.
    pub path: String,
}

/// Where a snapshot came from that was imported under another identity than it had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The workload that it was taken of.
    pub workload: WorkloadId,
    /// That workload's name at the time.
    pub workload_name: String,
    /// The snapshot that it was.
    pub snapshot: SnapshotId,
    /// Why that one was taken.
    pub origin: Origin,
}

impl Registration {
    /// The registration of a workload, as its catalog has it at that moment.
    #[must_use]
    pub fn of(workload: &Workload, host: String, as_of: Timestamp) -> Self {
        let registered = |volume: &DeclaredVolume| RegisteredVolume {
            target: volume.target.clone(),
            path: escape(volume.path.as_os_str().as_encoded_bytes()),
        };
        Registration {
            host,
            as_of,
            name: workload.name.clone(),
            source: workload.source.clone(),
            selector: workload.selector.clone(),
            volumes: workload.volumes.iter().map(registered).collect(),
            created_at: workload.created_at,
            known: workload.known.clone(),
        }
    }

    /// The workload of that id; `None` if a path is none that [`Registration::of`] writes.
    #[must_use]
    pub fn workload(&self, id: WorkloadId) -> Option<Workload> {
        let declared = |volume: &RegisteredVolume| {
            let path = path_of(&unescape(&volume.path)?)?;
            path.is_absolute().then(|| DeclaredVolume { target: volume.target.clone(), path })
        };
        Some(Workload {
            id,
            name: self.name.clone(),
            source: self.source.clone(),
            selector: self.selector.clone(),
            volumes: self.volumes.iter().map(declared).collect::<Option<_>>()?,
            created_at: self.created_at,
            // Nothing that is read from an archive becomes a command.
            hooks: Vec::new(),
            known: self.known.clone(),
        })
    }

    /// Whether it says of the workload what `other` says, and is not of a later time.
    #[must_use]
    pub fn is_same_as(&self, other: &Registration) -> bool {
        self.as_of <= other.as_of && Registration { as_of: other.as_of, ..self.clone() } == *other
    }
}

/// The path of these bytes. Serde's own form of one leads there without the operating system, which core does not use.
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    serde_json::from_value::<OsString>(json!({ "Unix": bytes })).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        let odd = path_of(b"/srv/\xff%41").unwrap();
        Workload {
            id: WorkloadId(uuid::Uuid::from_u128(1)),
            name: "shop".into(),
            source: Source::Directories,
            selector: Selector { labels: vec![("app".into(), "shop".into())], ..Selector::default() },
            volumes: vec![DeclaredVolume { target: "/data".into(), path: odd }],
            created_at: Timestamp::UNIX_EPOCH,
            hooks: Vec::new(),
            known: Vec::new(),
        }
    }

    #[test]
    fn a_workload_comes_back_whatever_bytes_its_paths_have() {
        let registration = Registration::of(&workload(), "host".into(), Timestamp::UNIX_EPOCH);
        let json = serde_json::to_string(&registration).unwrap();
        let again: Registration = serde_json::from_str(&json).unwrap();
        assert_eq!(again.workload(workload().id), Some(workload()));
    }

    /// As manifests have had it since there is such a field: it is read for ever.
    const FROZEN: &str = r#"{
        "host": "host", "as_of": "1970-01-01T00:00:00Z", "name": "shop", "source": "directories",
        "selector": { "compose_project": null, "containers": [], "labels": [["app", "shop"]] },
        "volumes": [{ "target": "/data", "path": "/srv/%FF%2541" }], "created_at": "1970-01-01T00:00:00Z"
    }"#;
    const FROZEN_IMPORTED: &str = r#"{
        "workload": "00000000-0000-0000-0000-000000000001", "workload_name": "shop",
        "snapshot": "00000000-0000-0000-0000-000000000002",
        "origin": { "pre-restore": "00000000-0000-0000-0000-000000000003" }
    }"#;

    #[test]
    fn what_is_written_today_is_what_was_frozen() {
        let registration = Registration::of(&workload(), "host".into(), Timestamp::UNIX_EPOCH);
        let frozen: serde_json::Value = serde_json::from_str(FROZEN).unwrap();
        assert_eq!(serde_json::to_value(&registration).unwrap(), frozen);
        assert_eq!(serde_json::from_value::<Registration>(frozen).unwrap(), registration);
        let id = uuid::Uuid::from_u128;
        let imported = Imported {
            workload: WorkloadId(id(1)),
            workload_name: "shop".into(),
            snapshot: SnapshotId(id(2)),
            origin: Origin::PreRestore(super::super::RestoreId(id(3))),
        };
        let frozen: serde_json::Value = serde_json::from_str(FROZEN_IMPORTED).unwrap();
        assert_eq!(serde_json::to_value(&imported).unwrap(), frozen);
        assert_eq!(serde_json::from_value::<Imported>(frozen).unwrap(), imported);
    }

    #[test]
    fn a_path_that_nobody_wrote_makes_no_workload() {
        for path in ["relative", "", "/srv/%zz", "/srv/%41"] {
            let mut registration = Registration::of(&workload(), "host".into(), Timestamp::UNIX_EPOCH);
            registration.volumes[0].path = path.into();
            assert_eq!(registration.workload(workload().id), None, "{path}");
        }
    }

    #[test]
    fn only_an_earlier_word_of_the_same_is_the_same() {
        let at = |seconds| Registration::of(&workload(), "host".into(), Timestamp::from_second(seconds).unwrap());
        assert!(at(1).is_same_as(&at(2)) && at(2).is_same_as(&at(2)));
        assert!(!at(3).is_same_as(&at(2)), "one from the future would outlive all that is written from now on");
        assert!(!Registration { name: "other".into(), ..at(1) }.is_same_as(&at(2)));
        assert!(!Registration { host: "other".into(), ..at(1) }.is_same_as(&at(2)));
    }
}
