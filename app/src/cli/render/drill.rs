//! How a drill went.

use volsnap::view::DrillView;

use super::table::{
    Column::{Number, Text},
    bytes, join, milliseconds, number, table,
};

/// The answer of `drill`.
pub fn drilled(view: &DrillView) -> String {
    let rows = view.volumes.iter().map(|v| {
        let verdict = v.difference.clone().unwrap_or_else(|| "the same".into());
        [v.target.clone(), bytes(v.bytes), number(v.entries), verdict]
    });
    let (id, workload) = (view.snapshot, &view.workload);
    let times = format!("extracted in {}, read back in {}", milliseconds(view.stage_ms), milliseconds(view.read_ms));
    join([
        table([Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("READ BACK")], rows),
        match &view.error {
            None => format!("{id} of {workload} can be restored: {times}"),
            Some(error) => {
                let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
                format!("{id} of {workload} is not proved: {}{hint}", error.message)
            }
        },
    ])
}
