//! Originals that restores keep.

use std::collections::BTreeSet;

use volsnap::view::{KeptArchivedView, KeptDiscardedView, KeptListView, KeptSetView, KeptVolumeView};

use super::table::{
    Column::{Number, Text},
    bytes, join, labelled, number, table, time,
};

/// The answer of `kept list`.
pub fn kept(view: &KeptListView) -> String {
    if view.kept.is_empty() {
        return "nothing is kept".into();
    }
    let row = |(set, volume): (&KeptSetView, &KeptVolumeView)| {
        let unknown = || "-".to_string();
        [
            set.id.clone(),
            set.workload.clone(),
            volume.target.clone().unwrap_or_else(unknown),
            volume.bytes.map_or_else(unknown, bytes),
            volume.entries.map_or_else(unknown, number),
            set.since.map_or_else(unknown, time),
            match set.gone.iter().any(|gone| gone.path == volume.path) {
                true => format!("gone from {}", volume.path),
                false => volume.tree.clone().unwrap_or_else(|| volume.path.clone()),
            },
        ]
    };
    let all = |set: &KeptSetView| -> Vec<KeptVolumeView> { set.volumes.iter().chain(&set.gone).cloned().collect() };
    let all: Vec<_> = view.kept.iter().flat_map(|set| all(set).into_iter().map(move |volume| (set, volume))).collect();
    let rows = all.iter().map(|(set, volume)| row((set, volume)));
    let columns =
        [Text("ID"), Text("WORKLOAD"), Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("SINCE"), Text("WHERE")];
    join([table(columns, rows)].into_iter().chain(view.kept.iter().map(about)))
}

fn about(set: &KeptSetView) -> String {
    let KeptSetView { id, restore_id, hint, .. } = set;
    let why = match (&set.reason, set.open) {
        (Some(reason), false) => format!("{id}: replaced by restore {restore_id}, and not archived: {reason}"),
        (Some(reason), true) => {
            format!("{id}: replaced by restore {restore_id}, which waits for its app, and not archived: {reason}")
        }
        (None, _) => format!("{id}: left by restore {restore_id}, of which no record is left"),
    };
    format!("{why}\n  hint: {hint}")
}

/// The answer of `kept archive`.
pub fn kept_archived(view: &KeptArchivedView) -> String {
    let targets: BTreeSet<&str> = view.volumes.iter().map(|volume| volume.target.as_str()).collect();
    let targets = targets.into_iter().collect::<Vec<_>>().join(", ");
    let snapshot = view.safety_snapshot.map_or_else(String::new, |snapshot| snapshot.to_string());
    let KeptArchivedView { workload, restore_id, .. } = view;
    join([
        labelled("warning", &view.warnings),
        format!("what restore {restore_id} of {workload} had replaced ({targets}) is snapshot {snapshot} now"),
        format!("to go back to it: volsnap restore {workload} {snapshot}"),
    ])
}

/// The answer of `kept discard`.
pub fn kept_discarded(view: &KeptDiscardedView) -> String {
    let deleted = view.discarded.iter().map(|path| format!("deleted {path}"));
    let gone = view.gone.iter().map(|path| format!("{path} was not there any more"));
    join(
        deleted
            .chain(gone)
            .chain([format!("what restore {} of {} had replaced is gone", view.restore_id, view.workload)]),
    )
}
