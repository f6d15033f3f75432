//! Workloads.

use volsnap::{
    model::RunState,
    view::{RunningView, WorkloadView, WorkloadsView},
};

use super::{
    hook::hook_table,
    table::{Column::Text, join, labelled, table, time},
};

/// The answer of `workload list`.
pub fn workloads(view: &WorkloadsView) -> String {
    let rows = view.workloads.iter().map(|w| [w.name.clone(), w.source.clone(), time(w.created_at), w.id.to_string()]);
    let text = table([Text("WORKLOAD"), Text("SOURCE"), Text("REGISTERED"), Text("ID")], rows);
    match text.is_empty() {
        true => "no workloads yet; register one with `volsnap workload add NAME`".into(),
        false => text,
    }
}

/// The answer of `workload show`.
pub fn workload(view: &WorkloadView) -> String {
    let head = [
        format!("workload    {} ({})", view.name, view.id),
        format!("source      {}", view.source),
        format!("registered  {}", time(view.created_at)),
    ];
    let Some(now) = &view.now else { return join(head) };
    let volumes =
        table([Text("VOLUME"), Text("DIRECTORY")], now.volumes.iter().map(|v| [v.target.clone(), v.path.clone()]));
    let left_out = labelled("left out", &now.left_out);
    let hooks = hook_table(&view.hooks);
    let unable = labelled("restores would be refused", now.unable.as_slice());
    let concerns = labelled("note", &now.concerns);
    join(head.into_iter().chain([volumes, containers(&now.containers), left_out, unable, concerns, hooks]))
}

/// Containers, one below the other.
pub fn containers(containers: &[RunningView]) -> String {
    table(
        [Text("CONTAINER"), Text("IMAGE"), Text("STATE"), Text("RESTART POLICY")],
        containers.iter().map(|c| {
            let state = match c.state {
                RunState::Running => "running",
                RunState::Paused => "paused",
                RunState::Stopped => "stopped",
            };
            [c.name.clone(), c.image.clone(), state.into(), c.restart_policy.clone()]
        }),
    )
}
