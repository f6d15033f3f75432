//! What an archive may come to at the most, as whoever runs the host has it, whatever the archive says of itself.

use super::ArchiveSummary;
use crate::error::{Code, Error, Result};

/// Limits of what is taken out of archives and in from elsewhere; by default there are none.
///
/// They are asked before anything is written, of the totals in the archive's index. Contents that go beyond these totals
/// are refused while they are read, so that the limits hold for what is written as well. Snapshots are taken without
/// them: one that is larger can be restored as soon as the limits allow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Entries in all volumes together.
    pub entries_max: Option<u64>,
    /// Bytes of contents in all volumes together, holes included.
    pub bytes_max: Option<u64>,
    /// Bytes of contents for each byte of the archive.
    pub ratio_max: Option<u64>,
}

impl ArchiveLimits {
    /// Says no to an archive that goes beyond a limit, with [`Code::Hostile`] and the limit's name.
    pub fn check(&self, archive: &ArchiveSummary) -> Result<()> {
        let (entries, bytes) = archive
            .totals
            .iter()
            .fold((0u64, 0u64), |sum, t| (sum.0.saturating_add(t.entries), sum.1.saturating_add(t.bytes)));
        // Rounded up: a limit of 10 does not let 10.9 pass.
        let ratio = bytes.div_ceil(archive.archive_bytes.max(1));
        let id = archive.manifest.snapshot;
        let held = |name: &str, found: u64, unit: &str, limit: Option<u64>| match limit {
            Some(limit) if found > limit => Err(Error::new(
                Code::Hostile,
                format!("the archive of {id} goes beyond the limit {name}: {found} {unit}, and {limit} are allowed"),
            )
            .hint(format!(
                "if it is one of your own, raise {name} in [limits] of the configuration; else do not trust it"
            ))),
            Some(_) | None => Ok(()),
        };
        held("entries_max", entries, "entries", self.entries_max)?;
        held("bytes_max", bytes, "bytes of contents", self.bytes_max)?;
        held("ratio_max", ratio, "bytes of contents for each byte of the archive", self.ratio_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ARCHIVE_FORMAT, Manifest, Mode, Origin, SnapshotId, Source, VolumeTotals, WorkloadId};

    /// Two volumes with 12 entries and 1001 bytes in an archive of 100.
    fn archive() -> ArchiveSummary {
        let manifest = Manifest {
            format: ARCHIVE_FORMAT,
            snapshot: SnapshotId(uuid::Uuid::from_u128(1)),
            workload: WorkloadId(uuid::Uuid::from_u128(2)),
            workload_name: "app".into(),
            source: Source::Directories,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            mode: Mode::Pause,
            origin: Origin::Manual,
            note: None,
            images: Vec::new(),
            volumes: Vec::new(),
            registration: None,
            imported: None,
            sequence: None,
        };
        let volume = |entries, bytes| VolumeTotals { entries, bytes, ..VolumeTotals::default() };
        let totals = vec![volume(5, 1000), volume(7, 1)];
        ArchiveSummary { manifest, totals, quiesced_ms: 0, archive_bytes: 100, digest: String::new() }
    }

    #[test]
    fn what_is_at_a_limit_passes_and_what_is_beyond_names_it() {
        let check = |limits: ArchiveLimits| limits.check(&archive());
        let exact = ArchiveLimits { entries_max: Some(12), bytes_max: Some(1001), ratio_max: Some(11) };
        assert_eq!(check(exact), Ok(()));
        assert_eq!(check(ArchiveLimits::default()), Ok(()));
        for (name, limits) in [
            ("entries_max", ArchiveLimits { entries_max: Some(11), ..exact }),
            ("bytes_max", ArchiveLimits { bytes_max: Some(1000), ..exact }),
            ("ratio_max", ArchiveLimits { ratio_max: Some(10), ..exact }),
        ] {
            let error = check(limits).unwrap_err();
            assert_eq!(error.code, Code::Hostile);
            assert!(error.message.contains(name) && error.hint.is_some_and(|hint| hint.contains(name)));
        }
    }

    #[test]
    fn totals_that_do_not_fit_into_a_number_are_beyond_every_limit() {
        let mut archive = archive();
        archive.totals[0].entries = u64::MAX;
        let limits = ArchiveLimits { entries_max: Some(u64::MAX - 1), ..ArchiveLimits::default() };
        assert_eq!(limits.check(&archive).unwrap_err().code, Code::Hostile);
    }
}
