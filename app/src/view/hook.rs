//! Hooks of workloads: `workload hook list`, and those that a plan would run.

use serde::Serialize;
use volsnap_core::model::{Hook, HookEvent, Workload};

/// The document of `workload hook add`, `list` and `remove`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HooksView {
    /// The workload's name.
    pub workload: String,
    /// Its own hooks, in the order in which they run.
    pub hooks: Vec<HookView>,
    /// Those of the configuration file, which run behind them.
    pub configured: Vec<HookView>,
}

/// A hook.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HookView {
    /// Its number among the hooks of its workload, from 1 on.
    pub number: usize,
    /// `pre-create`, `post-create`, `pre-restore` or `post-restore`.
    pub at: HookEvent,
    /// The container in which it runs; `null`: on the host.
    pub container: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub timeout_ms: u64,
    /// The command as a shell would have to be given it.
    #[serde(skip)]
    pub words: String,
}

impl HookView {
    /// The views of those hooks of a workload that `which` chooses.
    pub(super) fn some(workload: &Workload, which: impl Fn(&Hook) -> bool) -> Vec<Self> {
        let chosen = (1..).zip(&workload.hooks).filter(|(_, hook)| which(hook));
        chosen.map(|(number, hook)| HookView::of(number, hook)).collect()
    }

    fn of(number: usize, hook: &Hook) -> Self {
        HookView {
            number,
            at: hook.at,
            container: hook.container.clone(),
            command: hook.command.clone(),
            timeout_ms: u64::try_from(hook.timeout.as_millis()).unwrap_or(u64::MAX),
            words: hook.words(),
        }
    }
}

impl HooksView {
    /// The view of a workload's hooks, and of those that the host runs for it.
    #[must_use]
    pub fn of(workload: &Workload, of_host: &[Hook]) -> Self {
        let configured = (workload.hooks.len() + 1..).zip(of_host).map(|(number, hook)| HookView::of(number, hook));
        HooksView {
            workload: workload.name.clone(),
            hooks: HookView::some(workload, |_| true),
            configured: configured.collect(),
        }
    }
}
