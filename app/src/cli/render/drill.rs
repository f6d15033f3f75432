//! How a drill went.

use volsnap::view::{DrillView, ErrorView};

use super::table::{
    Column::{Number, Text},
    bytes, join, labelled, milliseconds, number, table,
};

/// The answer of `drill`.
pub fn drilled(view: &DrillView) -> String {
    let rows = view.volumes.iter().map(|v| {
        let verdict = v.difference.clone().unwrap_or_else(|| "the same".into());
        [v.target.clone(), bytes(v.bytes), number(v.entries), verdict]
    });
    let (id, workload) = (view.snapshot, &view.workload);
    let times = format!("extracted in {}, read back in {}", milliseconds(view.stage_ms), milliseconds(view.read_ms));
    let hint = |error: &ErrorView| error.hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    let came_up = match view.boot_ms {
        Some(ms) if view.booted == Some(true) => {
            format!("; the app came up on it in {} ({})", milliseconds(ms), view.containers.join(", "))
        }
        Some(_) | None => String::new(),
    };
    let is_proved = view.volumes.iter().all(|volume| volume.same);
    join([
        table([Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("READ BACK")], rows),
        match &view.error {
            None => format!("{id} of {workload} can be restored: {times}{came_up}"),
            Some(error) if is_proved => {
                format!("{id} of {workload} came back: {times}\nbut {}{}", error.message, hint(error))
            }
            Some(error) => format!("{id} of {workload} is not proved: {}{}", error.message, hint(error)),
        },
        labelled("warning", &view.warnings),
    ])
}
