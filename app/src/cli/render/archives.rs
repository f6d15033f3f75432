//! Archives out and in, and the catalog made again.

use volsnap::view::{ExportView, RebuiltView};

use super::table::{bytes, join, labelled, number};
use crate::cli::plain::line;

/// What was exported and where to.
pub fn exported(view: &ExportView) -> String {
    format!("{}: {} of snapshot {}", view.file, bytes(view.bytes), view.snapshot)
}

/// What a rebuild found and did.
pub fn rebuilt(view: &RebuiltView) -> String {
    let catalog = view.damaged_catalog.iter().map(|path| format!("the damaged catalog was moved to {path}"));
    let registered = view.registered.iter().map(|workload| {
        let volumes: Vec<String> =
            workload.volumes.iter().map(|v| line(&format!("{} at {}", v.target, v.path))).collect();
        match volumes.is_empty() {
            true => format!("registered {} again ({})", workload.name, workload.id),
            false => format!("registered {} again ({}): {}", workload.name, workload.id, volumes.join(", ")),
        }
    });
    let added = view.added.iter().map(|one| format!("added {} of {}", one.snapshot, one.workload));
    let pruned = view.missing.iter().filter(|_| view.pruned);
    let pruned = pruned.map(|one| format!("took {} of {} out, which has no archive", one.snapshot, one.workload));
    let numbers = format!(
        "{} snapshots added, {} were there, {} archives left alone",
        number(view.added.len() as u64),
        number(view.known),
        number(view.damaged.len() as u64)
    );
    join(catalog.chain(registered).chain(added).chain(pruned).chain([labelled("warning", &view.warnings), numbers]))
}
