//! Running a workload's hooks around a snapshot or a restore, and changing them.
//!
//! Whoever runs hooks of the first kind has journalled before that those of the second kind are due: a crash in between
//! leaves a journal, and the recovery that follows it runs them. So a hook of the second kind may run twice, and after a
//! crash without one of the first kind before it.

use serde_json::json;

use super::Engine;
use crate::{
    error::{Code, EngineError, EngineErrorKind, Error, Result},
    model::{Hook, HookEvent, HostHooks, RestoreId, Selector, SnapshotId, Workload},
    ports::{Command, EventKind, Exit, Ran, Watch},
    restore::State,
};

/// How many of the last lines that a hook said are shown.
const LINES_MAX: usize = 5;

/// What hooks are told about the operation around them.
pub(super) struct Around<'a> {
    pub workload: &'a Workload,
    pub snapshot: SnapshotId,
    pub restore: Option<RestoreId>,
}

impl<'a> Around<'a> {
    pub fn restore(state: &'a State) -> Self {
        let plan = &state.plan;
        Around { workload: &plan.workload, snapshot: plan.snapshot, restore: Some(plan.restore) }
    }

    fn command(&self, hook: &Hook, outcome: Option<&str>) -> Command {
        let mut env = vec![
            ("VOLSNAP_EVENT".to_string(), hook.at.to_string()),
            ("VOLSNAP_WORKLOAD".to_string(), self.workload.name.clone()),
            ("VOLSNAP_SNAPSHOT".to_string(), self.snapshot.to_string()),
        ];
        env.extend(self.restore.map(|restore| ("VOLSNAP_RESTORE".to_string(), restore.to_string())));
        env.extend(outcome.map(|outcome| ("VOLSNAP_OUTCOME".to_string(), outcome.to_string())));
        Command { words: hook.command.clone(), env, timeout: hook.timeout }
    }
}

/// Why a hook did not do what it should.
enum Trouble {
    /// The container engine does not answer: it may later.
    Unreachable(EngineError),
    /// It was asked to end.
    Cancelled(String),
    /// It failed.
    Failed(String),
}

impl Engine {
    /// The same engine, running no hooks: what it begins has none in its journal either, so no recovery runs them.
    #[must_use]
    pub fn without_hooks(mut self) -> Self {
        self.hooks = false;
        self
    }

    /// The same engine, running these besides the hooks of the workloads themselves.
    #[must_use]
    pub fn with_host_hooks(mut self, hooks: HostHooks) -> Self {
        self.host_hooks = hooks;
        self
    }

    /// The host's hooks for a workload, which run behind its own and whose numbers follow on theirs.
    #[must_use]
    pub fn host_hooks(&self, workload: &Workload) -> &[Hook] {
        self.host_hooks.of(&workload.name)
    }

    /// The workload with the hooks that this engine runs for it.
    pub(super) fn hooked(&self, workload: &Workload) -> Workload {
        let all = workload.hooks.iter().chain(self.host_hooks(workload)).cloned();
        let hooks = if self.hooks { all.collect() } else { Vec::new() };
        Workload { hooks, ..workload.clone() }
    }

    /// Runs the hooks of an event one after another. The first that fails ends it, and with it the operation.
    pub(super) async fn run_before(&self, event: HookEvent, around: &Around<'_>, watch: &Watch) -> Result<()> {
        for (number, hook) in self.hooks_at(event, around.workload) {
            let hint = format!(
                "`volsnap workload hook list {}` shows its hooks; --no-hooks goes on without them",
                around.workload.name
            );
            match self.run_hook(number, hook, &around.command(hook, None), watch).await {
                Ok(()) => {}
                Err(Trouble::Cancelled(what)) => return Err(Error::new(Code::Aborted, what)),
                Err(Trouble::Failed(what)) => return Err(Error::new(Code::Refused, what).hint(hint)),
                Err(Trouble::Unreachable(error)) => {
                    return Err(Error::new(Code::Refused, name(number, hook, &error.to_string())).hint(hint));
                }
            }
        }
        Ok(())
    }

    /// Runs all the hooks of an event, whatever becomes of each, and gives the complaints. An error means that they are
    /// still due, since the container engine does not answer.
    pub(super) async fn run_after(
        &self,
        event: HookEvent,
        around: &Around<'_>,
        outcome: &str,
    ) -> Result<Vec<String>, EngineError> {
        // What has begun is brought to its end: nobody cancels these but their time-outs.
        let watch = super::recover::quiet();
        let mut complaints = Vec::new();
        for (number, hook) in self.hooks_at(event, around.workload) {
            match self.run_hook(number, hook, &around.command(hook, Some(outcome)), &watch).await {
                Ok(()) => {}
                Err(Trouble::Unreachable(error)) => return Err(error),
                Err(Trouble::Cancelled(what) | Trouble::Failed(what)) => complaints.push(what),
            }
        }
        Ok(complaints)
    }

    /// With the number that each has among all hooks of the workload, from 1 on.
    fn hooks_at<'a>(&self, event: HookEvent, workload: &'a Workload) -> Vec<(usize, &'a Hook)> {
        let hooks = (1..).zip(&workload.hooks).filter(|(_, hook)| hook.at == event);
        if self.hooks { hooks.collect() } else { Vec::new() }
    }

    async fn run_hook(&self, number: usize, hook: &Hook, command: &Command, watch: &Watch) -> Result<(), Trouble> {
        tracing::info!(hook = number, at = %hook.at, command = %hook.words(), "running a hook");
        let ran = match &hook.container {
            None => self.ports.commands.run(command, watch).await,
            Some(container) => {
                let ran = match self.containers() {
                    Ok(containers) => containers.exec(container, command, watch).await,
                    Err(error) => Err(error),
                };
                ran.map_err(|error| match error.kind {
                    EngineErrorKind::Unreachable => Trouble::Unreachable(error),
                    EngineErrorKind::TimedOut
                    | EngineErrorKind::NotFound
                    | EngineErrorKind::Conflict
                    | EngineErrorKind::Failed
                    | EngineErrorKind::Unsupported => Trouble::Failed(name(number, hook, &error.to_string())),
                })?
            }
        };
        let how = match &ran.exit {
            Exit::Status(0) => return Ok(()),
            Exit::Status(status) => format!("ended with status {status}"),
            Exit::Signal(signal) => format!("was ended by signal {signal}"),
            Exit::TimedOut => format!("did not end within {:?}", hook.timeout),
            Exit::Cancelled => return Err(Trouble::Cancelled(name(number, hook, "was cancelled"))),
            Exit::NotStarted(why) => format!("could not be started: {why}"),
        };
        let what = name(number, hook, &format!("{how}{}", last_lines(&ran)));
        tracing::warn!("{what}");
        Err(Trouble::Failed(what))
    }

    /// Adds a hook to a workload, and gives the workload as it is then.
    ///
    /// [`Code::Usage`] if there is nothing to run, [`Code::NotFound`] if its container does not exist.
    pub async fn add_hook(&self, workload: &Workload, hook: Hook) -> Result<Workload> {
        if !hook.can_run() {
            return Err(Error::new(Code::Usage, "the hook has no command that could be run")
                .hint("give the program and its arguments after `--`"));
        }
        if let Some(container) = &hook.container {
            let named = Selector { containers: vec![container.clone()], ..Selector::default() };
            self.containers()?.find(&named).await.map_err(|error| match error.kind {
                EngineErrorKind::NotFound => Error::new(Code::NotFound, error.message)
                    .hint("`docker ps -a` shows the containers; leave --container out for a command of this host"),
                EngineErrorKind::Unreachable
                | EngineErrorKind::TimedOut
                | EngineErrorKind::Conflict
                | EngineErrorKind::Failed
                | EngineErrorKind::Unsupported => error.into(),
            })?;
        }
        self.change_hooks(workload, "hook-added", |hooks| {
            hooks.push(hook.clone());
            Ok(hook)
        })
        .await
    }

    /// Removes the hook of that number, from 1 on, and gives the workload as it is then.
    pub async fn remove_hook(&self, workload: &Workload, number: usize) -> Result<Workload> {
        self.change_hooks(workload, "hook-removed", |hooks| match number.checked_sub(1) {
            Some(index) if index < hooks.len() => Ok(hooks.remove(index)),
            Some(index) if index < hooks.len() + self.host_hooks(workload).len() => Err(Error::new(
                Code::Refused,
                format!("hook {number} of {} is one of this host's configuration", workload.name),
            )
            .hint("take it out of the configuration; only a workload's own hooks are in the catalog")),
            Some(_) | None => Err(Error::new(Code::NotFound, format!("{} has no hook {number}", workload.name))
                .hint(format!("`volsnap workload hook list {}` shows the hooks", workload.name))),
        })
        .await
    }

    async fn change_hooks(
        &self,
        workload: &Workload,
        outcome: &str,
        change: impl FnOnce(&mut Vec<Hook>) -> Result<Hook>,
    ) -> Result<Workload> {
        let engine = &self.hold(workload, &super::recover::quiet()).await?;
        engine.recover_or_refuse(workload.id, &super::recover::quiet()).await?;
        // Looked at again now that nobody else can change it.
        let mut changed = engine.workload(&workload.id.to_string()).await?;
        let hook = change(&mut changed.hooks)?;
        engine.ports.store.set_hooks(changed.id, &changed.hooks).await?;
        engine.tell(&engine.event(&changed, EventKind::WorkloadChanged, outcome, json!({ "hook": hook }))).await;
        Ok(changed)
    }
}

fn name(number: usize, hook: &Hook, how: &str) -> String {
    format!("{} hook {number} ({}, {}) {how}", hook.at, hook.words(), hook.place())
}

/// The last lines that a command said, each on a line of its own.
fn last_lines(ran: &Ran) -> String {
    let lines: Vec<&str> = ran.told.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
    match last {
        [] => String::new(),
        last => format!(": {}", last.join("\n  ")),
    }
}
