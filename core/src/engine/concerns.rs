//! What a plan would refuse, and what a snapshot would cost the app, said when a workload is registered and not on the day
//! of need. Touches nothing.

use super::Engine;
use crate::{
    model::{Location, Mounted, Occupant, TreeSize, Workload, parts},
    restore::preflight::{self, Candidate},
};

impl Engine {
    /// What people should know of a workload's volumes before they rely on them, one sentence each. What cannot be looked at
    /// is not spoken of: it fails where it is needed.
    ///
    /// The trees themselves are not read but on btrfs, so what else is said of the entries below a volume's root is left to
    /// the plan.
    pub async fn concerns(&self, workload: &Workload) -> Vec<String> {
        let filesystem = &self.ports.filesystem;
        let Ok(members) = self.members(workload).await else { return Vec::new() };
        let mut located: Vec<(String, Location, bool)> = Vec::new();
        for volume in workload.resolve(&members).volumes {
            let named = members.iter().flat_map(|c| &c.mounts).any(|m| m.volume.is_some() && m.source == volume.path);
            if let Ok(location) = filesystem.locate(&volume.path).await {
                located.push((volume.target, location, named));
            }
        }
        let engine = self.engine_info(workload).await.ok().flatten();
        let protected = self.protected(engine.as_ref()).await.unwrap_or_default();
        let parts = parts(located.iter().map(|(target, location, _)| (target.as_str(), location)));
        let mut concerns: Vec<String> = parts.iter().map(|(inner, outer)| preflight::part_of(inner, outer)).collect();
        let is_disturbed = members.iter().any(|member| member.run.is_active());
        for (target, location, named) in located.iter().filter(|(target, _, _)| !parts.contains_key(target)) {
            let (mut mounted, mut left_out) = (Mounted::default(), Vec::new());
            if let Occupant::Directory(_) | Occupant::MountPoint(_) | Occupant::Subvolume(_) = location.occupant {
                mounted = filesystem.mounted(&location.real).await.unwrap_or_default();
            }
            if let Occupant::Directory(_) = location.occupant {
                left_out = self.left_out(&location.real).await.unwrap_or_default();
            }
            // Only there other tools keep their snapshots in it, and the day on which they begin is that of the registration.
            let size = match location.filesystem.kind.as_str() {
                "btrfs" => filesystem.measure(&location.real).await.unwrap_or_default(),
                _ => TreeSize::default(),
            };
            concerns.extend(preflight::frozen(target, size.frozen));
            let named = *named || preflight::is_named_volume(&protected, location);
            let candidate = Candidate { location: Ok(location.clone()), named, size, mounted, left_out };
            let refusals = preflight::refuse_place(&protected, target, &candidate, location);
            concerns.extend(refusals.into_iter().map(|refusal| {
                format!("no restore would be possible as it is: {}; {}", refusal.message, refusal.hint)
            }));
            if is_disturbed && !shows_changes(&location.filesystem.kind) {
                let checks = match members.iter().any(|member| member.particulars.is_healthy) {
                    true => "; its health checks cannot answer meanwhile, and may call it unhealthy",
                    false => "",
                };
                concerns.push(format!(
                    "volume {target} lies on {}, which is not known to show each change: the app is quiet for as long as all \
                     of it is read, and not only for what changed{checks}",
                    location.filesystem.kind
                ));
            }
        }
        for (at, (target, location, _)) in located.iter().enumerate() {
            let apart =
                |(other, _, _): &&(String, Location, bool)| !parts.contains_key(target) && !parts.contains_key(other);
            for (other, place, _) in located[at + 1..].iter().filter(apart) {
                if location.overlaps(place) {
                    concerns.push(format!(
                        "no restore of both would be possible as it is: volumes {target} ({}) and {other} ({}) lie one in the \
                         other; restore them separately with --volume, the outer one first",
                        location.real.display(),
                        place.real.display()
                    ));
                }
            }
        }
        concerns
    }
}

/// Filesystems on which each change of a file is seen, so that a snapshot copies most of a volume while the app runs: those
/// that the archive reads in two passes.
fn shows_changes(kind: &str) -> bool {
    matches!(kind, "ext2" | "ext3" | "ext4" | "xfs" | "btrfs")
}
