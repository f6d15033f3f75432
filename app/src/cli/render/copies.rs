//! Copies, and what interrupted ones left.

use volsnap::view::{CopyView, LeftCopyView};

use super::table::{
    Column::{Number, Text},
    bytes, join, labelled, milliseconds, number, table,
};

/// The answer of `extract` and `clone`.
pub fn copied(view: &CopyView, done: &str) -> String {
    let rows = view.volumes.iter().map(|v| [v.target.clone(), v.path.clone(), bytes(v.bytes), number(v.entries)]);
    join([
        table([Text("VOLUME"), Text("DIRECTORY"), Number("SIZE"), Number("ENTRIES")], rows),
        format!("{done} from {} of {} in {}", view.snapshot, view.workload, milliseconds(view.stage_ms)),
    ])
}

/// What an interrupted copy left, before or after it was removed.
pub fn left_copy(left: &LeftCopyView, is_swept: bool) -> String {
    let LeftCopyView { what, workload, paths, problem, .. } = left;
    let headline = match (problem, is_swept) {
        (Some(problem), _) => format!("{workload}: what an interrupted {what} left cannot be removed: {problem}"),
        (None, true) => format!("{workload}: removed what an interrupted {what} left"),
        (None, false) => format!("{workload}: an interrupted {what} left something; recovery would remove it"),
    };
    join([headline, labelled("  private directory", paths)])
}
