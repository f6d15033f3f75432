//! What is in stock: the catalog, the archives, and whether they agree; and whether the clock can be believed.

use std::{collections::BTreeSet, path::Path};

use jiff::{SignedDuration, Timestamp};
use volsnap_core::model::{Flaw, Snapshot, SnapshotId, WorkloadId};

use super::{Finding, Severity};
use crate::{Error, Volsnap};

/// By so much clocks of one machine may differ.
const SLACK: SignedDuration = SignedDuration::from_mins(2);
/// When this was written: no clock that is right shows less.
const WRITTEN: &str = "2026-01-01T00:00:00Z";

pub(super) fn catalog(volsnap: &Volsnap) -> Vec<Finding> {
    let path = volsnap.engine().ports().filesystem.state_dir().join("catalog.db").display().to_string();
    vec![match volsnap.catalog_problem() {
        None => Finding::new("catalog", Severity::Ok, path, "it opens, and every page of it is whole (quick_check)"),
        Some(error) => {
            let found = Finding::new("catalog", Severity::Problem, path, error.message.clone());
            match &error.hint {
                Some(hint) => found.remedy(hint.clone()),
                None => found,
            }
        }
    }]
}

/// Archives that no row knows, and rows without an archive.
pub(super) async fn archives(volsnap: &Volsnap, fix: bool) -> Vec<Finding> {
    let ports = volsnap.engine().ports();
    let root = ports.filesystem.state_dir();
    let find = |severity, subject: &Path, message: String| {
        Finding::new("archives", severity, subject.display().to_string(), message)
    };
    // Without a catalog there is nothing to compare with, and its own finding says so.
    let Ok(snapshots) = volsnap.snapshots(None).await else { return Vec::new() };
    let known: BTreeSet<(WorkloadId, SnapshotId)> = snapshots.iter().map(|s| (s.workload(), s.id())).collect();
    let mut findings = Vec::new();
    let there: Vec<(WorkloadId, SnapshotId)> = match ports.archives.archives().await {
        Ok(there) => there.into_iter().map(|file| (file.workload, file.snapshot)).collect(),
        Err(error) => {
            findings.push(find(Severity::Problem, &error.path, error.to_string()));
            Vec::new()
        }
    };
    // What cannot be listed is a finding by now.
    let flaws = volsnap.flaws(&snapshots).await.unwrap_or_default();
    for (snapshot, flaw) in snapshots.iter().filter_map(|s| flaws.get(&s.id()).map(|flaw| (s, flaw))) {
        let path = volsnap.archive_path(snapshot);
        let (id, workload) = (snapshot.id(), &snapshot.archive.manifest.workload_name);
        let (message, remedy) = match flaw {
            Flaw::Missing => (
                format!("the catalog has snapshot {id} of {workload}, and its archive is missing"),
                format!("bring the file back, or forget it: volsnap delete {id}"),
            ),
            Flaw::NotAFile | Flaw::Size { .. } | Flaw::Corrupt { .. } => (
                format!("snapshot {id} of {workload} cannot be restored: its archive: {flaw}"),
                format!("bring the file back, or volsnap import a copy of it, or forget it: volsnap delete {id}"),
            ),
        };
        findings.push(find(Severity::Problem, &path, message).remedy(remedy));
    }
    for (workload, snapshot) in there.iter().filter(|ids| !known.contains(*ids)) {
        let path = &ports.archives.archive_path(*workload, *snapshot);
        let archive = match ports.archives.read_archive(*workload, *snapshot).await {
            Ok(archive) if archive.manifest.workload == *workload && archive.manifest.snapshot == *snapshot => archive,
            Ok(archive) => {
                let message = format!("it says that it is snapshot {}", archive.manifest.snapshot);
                findings
                    .push(find(Severity::Problem, path, message).remedy(format!("mv {} elsewhere", path.display())));
                continue;
            }
            Err(error) => {
                let remedy = format!("if you do not need it: rm {}", path.display());
                findings.push(find(Severity::Problem, path, format!("it is no whole archive: {error}")).remedy(remedy));
                continue;
            }
        };
        let name = archive.manifest.workload_name.clone();
        let found = find(Severity::Warning, path, format!("a snapshot of {name} that the catalog does not know"))
            .remedy("volsnap doctor --fix");
        findings.push(match fix {
            true => found.mended(ports.store.put_snapshot(&Snapshot::from(archive)).await),
            false => found,
        });
    }
    if findings.is_empty() {
        let message = format!("{} archives, and the catalog knows each of them", there.len());
        findings.push(find(Severity::Ok, &root, message));
    }
    findings
}

/// Nothing is ordered by the clock, but ages and the calendar of retention are told by it.
pub(super) async fn clock(volsnap: &Volsnap) -> Vec<Finding> {
    let find = |severity, message: String| Finding::new("clock", severity, "this machine's clock", message);
    let now = volsnap.engine().ports().clock.now();
    // A catalog that cannot be read is a finding of its own.
    let newest = newest(volsnap).await.unwrap_or_default();
    let remedy = "set it, such as with timedatectl set-ntp true";
    let too_old = WRITTEN.parse::<Timestamp>().is_ok_and(|written| now < written);
    vec![match newest {
        _ if too_old => find(Severity::Problem, format!("it shows {now}, which is long ago")).remedy(remedy),
        Some((at, what)) if at.duration_since(now) > SLACK => {
            let message = format!("it shows {now}, and {what} is of {at}: one of the two is wrong");
            find(Severity::Warning, message).remedy(format!("if it is this clock, {remedy}; otherwise delete that"))
        }
        Some(_) | None => find(Severity::Ok, "nothing that is recorded here is from its future".into()),
    }]
}

async fn newest(volsnap: &Volsnap) -> Result<Option<(Timestamp, String)>, Error> {
    let event = volsnap.events(None, 1).await?.into_iter().next();
    // The last one may be of a clock that was behind for once.
    let snapshot = volsnap.snapshots(None).await?.into_iter().max_by_key(Snapshot::created_at);
    let snapshot = snapshot.map(|s| (s.created_at(), format!("snapshot {}", s.id())));
    let event = event.map(|e| (e.at, "the last entry of the audit trail".to_string()));
    Ok(snapshot.into_iter().chain(event).max_by_key(|(at, _)| *at))
}
