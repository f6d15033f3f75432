//! Does it fit: bytes and inodes for each filesystem, whatever number of volumes share it.

use std::collections::BTreeMap;

use super::plan::{FilesystemNeed, Refusal};
use crate::model::{FilesystemId, FilesystemInfo, Space};

/// Kept free on every filesystem that a restore writes to, in bytes: directories, journal, the engine's own metadata.
pub const RESERVE_BYTES: u64 = 1 << 20;
/// The same for inodes.
pub const RESERVE_INODES: u64 = 16;

/// Adds up what a restore needs, by filesystem.
#[derive(Debug, Default)]
pub struct Needs {
    by_filesystem: BTreeMap<FilesystemId, FilesystemNeed>,
}

impl Needs {
    /// `bytes` and `inodes` more are needed on that filesystem.
    pub fn add(&mut self, info: &FilesystemInfo, space: Space, bytes: u64, inodes: u64) {
        let need = self.by_filesystem.entry(info.id.clone()).or_insert_with(|| FilesystemNeed {
            mount: info.mount.clone(),
            kind: match &info.disk {
                Some(disk) => format!("{} on {disk}", info.kind),
                None => info.kind.clone(),
            },
            bytes_needed: RESERVE_BYTES,
            bytes_free: space.bytes_free,
            inodes_needed: RESERVE_INODES,
            inodes_free: space.inodes_free,
        });
        need.bytes_needed = need.bytes_needed.saturating_add(bytes);
        need.inodes_needed = need.inodes_needed.saturating_add(inodes);
    }

    /// The needs, and a refusal for each filesystem that has not enough.
    #[must_use]
    pub fn check(self) -> (Vec<FilesystemNeed>, Vec<Refusal>) {
        let needs: Vec<FilesystemNeed> = self.by_filesystem.into_values().collect();
        let mut refusals = Vec::new();
        for need in &needs {
            let mount = need.mount.display();
            if need.bytes_needed > need.bytes_free {
                refusals.push(Refusal::new(
                    format!(
                        "the filesystem at {mount} has {} free and the restore needs {}",
                        human(need.bytes_free),
                        human(need.bytes_needed)
                    ),
                    format!(
                        "free {} there, restore fewer volumes (--volume), or go without a safety snapshot \
                         (--no-safety-snapshot): what is replaced is then deleted as soon as the app is back",
                        human(need.bytes_needed - need.bytes_free)
                    ),
                ));
            }
            if let Some(free) = need.inodes_free.filter(|free| need.inodes_needed > *free) {
                refusals.push(Refusal::new(
                    format!(
                        "the filesystem at {mount} has {free} inodes free and the restore needs {}",
                        need.inodes_needed
                    ),
                    format!("delete {} files there", need.inodes_needed - free),
                ));
            }
        }
        (needs, refusals)
    }
}

/// A size for people: exact below 1 KiB, otherwise with one decimal.
pub(crate) fn human(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn filesystem(id: &str) -> FilesystemInfo {
        FilesystemInfo {
            id: FilesystemId(id.into()),
            mount: PathBuf::from("/").join(id),
            kind: "ext4".into(),
            disk: None,
            exchange: true,
            births: true,
            read_only: false,
            path_preserving: None,
        }
    }

    #[test]
    fn two_volumes_that_fit_alone_but_not_together_are_refused() {
        let space = Space { bytes_free: 10 << 20, inodes_free: Some(1000), block: 4096 };
        let mut needs = Needs::default();
        needs.add(&filesystem("a"), space, 6 << 20, 10);
        needs.add(&filesystem("b"), space, 6 << 20, 10);
        assert!(needs.check().1.is_empty());
        let mut needs = Needs::default();
        needs.add(&filesystem("a"), space, 6 << 20, 10);
        needs.add(&filesystem("a"), space, 6 << 20, 10);
        let (needs, refusals) = needs.check();
        assert_eq!(needs.len(), 1);
        assert_eq!(refusals.len(), 1, "{refusals:?}");
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_people_think_in() {
        assert_eq!(human(1023), "1023 bytes");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human(u64::from(u32::MAX)), "3.9 GiB");
    }

    #[test]
    fn inodes_run_out_before_bytes() {
        let space = Space { bytes_free: 10 << 20, inodes_free: Some(20), block: 4096 };
        let mut needs = Needs::default();
        needs.add(&filesystem("a"), space, 1, 10);
        let (_, refusals) = needs.check();
        assert!(refusals[0].message.contains("inodes"), "{refusals:?}");
    }
}
