//! Commands of the host and of containers: the few programs that a simulated machine has.

use std::sync::Arc;

use async_trait::async_trait;
use volsnap_core::{
    model::RunState,
    ports::{Command, Commands, EngineError, EngineErrorKind, Exit, Ran, Watch},
};

use crate::{
    deploy::{EngineResult, refuse},
    machine::Machine,
    micro::MicroKind,
    world::World,
};

/// The programs of a machine: `on X` and `off X` change a switch that every process and reboot sees, `say X` says
/// something, `fail X` says it and ends with status 1.
#[derive(Clone, Debug)]
pub struct SimCommands {
    pub(crate) machine: Machine,
}

#[async_trait]
impl Commands for SimCommands {
    async fn run(&self, command: &Command, _: &Watch) -> Ran {
        let run = |w: &mut World| {
            w.call("run", || command.words.join(" "))?;
            w.run_program(command)
        };
        match self.machine.ask::<_, EngineError>(run).await {
            Ok(ran) => ran,
            Err(error) => Ran { exit: Exit::NotStarted(error.message), told: String::new() },
        }
    }
}

impl World {
    pub(crate) fn exec(&mut self, container: &str, command: &Command) -> EngineResult<Ran> {
        self.engine_call("exec", || format!("{container}: {}", command.words.join(" ")))?;
        match self.container(container).map(|c| c.run) {
            Some(RunState::Running) => self.run_program(command),
            Some(RunState::Paused | RunState::Stopped) => {
                refuse(EngineErrorKind::Conflict, format!("{container} is not running"))
            }
            None => refuse(EngineErrorKind::NotFound, format!("there is no container {container}")),
        }
    }

    /// One program, done at once.
    fn run_program(&mut self, command: &Command) -> EngineResult<Ran> {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let ended = |exit: Exit, told: &str| Ran { exit, told: told.to_string() };
        let (name, on) = match words.as_slice() {
            ["on", name] => (*name, true),
            ["off", name] => (*name, false),
            ["say", words] => return Ok(ended(Exit::Status(0), words)),
            ["fail", words] => return Ok(ended(Exit::Status(1), words)),
            [] | [_, ..] => return Ok(ended(Exit::NotStarted("no such program".into()), "")),
        };
        let switch = |w: &mut World| {
            let mut switches = w.switches.as_ref().clone();
            if on {
                switches.insert(name.to_string())
            } else {
                switches.remove(name)
            };
            w.switches = Arc::new(switches);
        };
        let label = || format!("switch {name} {}", if on { "on" } else { "off" });
        self.micro(MicroKind::Engine, label, switch)?;
        Ok(ended(Exit::Status(0), ""))
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.switches.contains(name)
    }
}
