//! Hooks.

use volsnap::view::{HookView, HooksView};

use super::table::{
    Column::{Number, Text},
    join, milliseconds, table,
};

/// The answer of `workload hook add`, `list` and `remove`.
pub fn hooks(view: &HooksView) -> String {
    let own = match view.hooks.is_empty() {
        true => format!(
            "{0} has no hooks; add one with `volsnap workload hook add {0} --at pre-create -- PROGRAM`",
            view.workload
        ),
        false => hook_table(&view.hooks),
    };
    match view.configured.is_empty() {
        true => own,
        false => join([own, "behind them, as the configuration file says:".into(), hook_table(&view.configured)]),
    }
}

/// Hooks, one below the other; nothing for none.
pub fn hook_table(hooks: &[HookView]) -> String {
    table(
        [Number("HOOK"), Text("AT"), Text("WHERE"), Number("TIME-OUT"), Text("COMMAND")],
        hooks.iter().map(|hook| {
            let place = hook.container.as_ref().map_or("host".into(), |name| format!("container {name}"));
            let (number, timeout) = (hook.number.to_string(), milliseconds(hook.timeout_ms));
            [number, hook.at.to_string(), place, timeout, hook.words.clone()]
        }),
    )
}
