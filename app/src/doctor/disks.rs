//! The filesystems of the state directory and of the volumes: what they can do, and what they have left.

mod judge;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use volsnap_core::model::Location;
use volsnap_disk::{probe, probes_left};

use self::judge::{Disk, find, judge, not_located, state_space};
use super::{Finding, Severity};
use crate::Volsnap;

pub(super) async fn look(volsnap: &Volsnap) -> Vec<Finding> {
    let filesystem = &volsnap.engine().ports().filesystem;
    let mut findings = Vec::new();
    let mut disks: BTreeMap<String, Disk> = BTreeMap::new();
    let state_dir = filesystem.state_dir();
    match filesystem.space(&state_dir).await {
        Ok((info, space)) => {
            findings.extend(state_space(&state_dir, space));
            let users = BTreeSet::from(["the state directory".to_string()]);
            disks.insert(info.id.0.clone(), Disk { info, space, place: Some(state_dir), users });
        }
        Err(error) => findings.push(find(Severity::Problem, &state_dir, error.to_string())),
    }
    let located = locate_volumes(volsnap, &mut findings).await;
    let lives: Vec<PathBuf> = located.iter().map(|(_, location)| location.real.clone()).collect();
    for (workload, location) in &located {
        let place = beside(location, &lives);
        if let Some(place) = &place {
            findings.extend(probes_left(place).iter().map(|left| {
                find(Severity::Note, left, "what a `doctor` that was killed left".into())
                    .remedy(format!("rm -r {}", left.display()))
            }));
        }
        let info = &location.filesystem;
        let disk = disks.entry(info.id.0.clone()).or_insert_with(|| Disk {
            info: info.clone(),
            space: location.space,
            place: None,
            users: BTreeSet::new(),
        });
        disk.place = disk.place.take().or(place);
        disk.users.insert(format!("workload {workload}"));
    }
    for disk in disks.into_values() {
        let tried = match disk.place.clone() {
            Some(place) => tokio::task::spawn_blocking(move || probe(&place)).await.ok(),
            None => None,
        };
        findings.extend(judge(&disk, tried.as_ref()));
    }
    findings
}

async fn locate_volumes(volsnap: &Volsnap, findings: &mut Vec<Finding>) -> Vec<(String, Location)> {
    let mut located = Vec::new();
    for workload in volsnap.workloads().await.unwrap_or_default() {
        let seen = match volsnap.inspect(&workload).await {
            Ok(seen) => seen,
            Err(error) => {
                let message = format!("its volumes cannot be told: {}", error.message);
                findings.push(Finding::new("disks", Severity::Note, format!("workload {}", workload.name), message));
                continue;
            }
        };
        let concerns = seen.concerns.into_iter();
        let subject = format!("workload {}", workload.name);
        findings.extend(concerns.map(|concern| Finding::new("disks", Severity::Note, &*subject, concern)));
        for volume in seen.resolved.volumes {
            match volsnap.engine().ports().filesystem.locate(&volume.path).await {
                Ok(location) => located.push((workload.name.clone(), location)),
                Err(error) => findings.push(not_located(&workload.name, &volume.target, &volume.path, &error)),
            }
        }
    }
    located
}

/// Where names may be made beside a live directory; not where that is within a volume itself.
fn beside(location: &Location, lives: &[PathBuf]) -> Option<PathBuf> {
    if location.occupant.fixed().is_some() || !location.writable {
        return None;
    }
    let parent = location.real.parent()?;
    (!lives.iter().any(|live| parent.starts_with(live))).then(|| parent.to_path_buf())
}
