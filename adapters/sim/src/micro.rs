//! Micro-operations: the grain at which calls can be interrupted.

use crate::{
    fault::Failure,
    world::{CrashPoint, World},
};

/// What a micro-operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MicroKind {
    /// A port call begins. It may fail here; nothing has been done yet.
    Call,
    /// Something is changed on a disk.
    Change,
    /// Something is made durable on a disk.
    Sync,
    /// Something is changed in the container engine.
    Engine,
    /// Something is changed in the catalog, durably.
    Catalog,
}

/// One micro-operation of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The port method.
    pub call: &'static str,
    /// What it is.
    pub kind: MicroKind,
    /// What it does and to what; empty unless the world tells stories.
    pub label: String,
}

/// Why a call does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// It never returns.
    Silence,
    /// It reports this.
    Failed(Failure),
}

impl World {
    /// A port call begins.
    pub(crate) fn call(&mut self, call: &'static str, label: impl FnOnce() -> String) -> Result<(), Interrupt> {
        self.current = call;
        self.micro(MicroKind::Call, label, |_| ())
    }

    /// Does one thing that is atomic towards crashes.
    pub(crate) fn micro<R>(
        &mut self,
        kind: MicroKind,
        label: impl FnOnce() -> String,
        act: impl FnOnce(&mut World) -> R,
    ) -> Result<R, Interrupt> {
        if self.dead {
            return Err(Interrupt::Silence);
        }
        let now = self.ops;
        self.ops += 1;
        self.tell(kind, label);
        if kind != MicroKind::Call {
            self.keep_crash_point(now);
        }
        let reported = self.struck(now, kind)?;
        self.still_failing(kind)?;
        let done = act(self);
        match reported {
            Some(failure) => Err(Interrupt::Failed(failure)),
            None => Ok(done),
        }
    }

    fn tell(&mut self, kind: MicroKind, label: impl FnOnce() -> String) {
        if self.history.is_none() {
            return;
        }
        let label = if self.stories { label() } else { String::new() };
        if self.stories {
            let (op, call) = (self.ops - 1, self.current);
            self.note(format_args!("{op:4} {call}: {label}"));
        }
        let call = self.current;
        if let Some(history) = &mut self.history {
            history.push(Moment { call, kind, label });
        }
    }

    /// Keeps the world as it is before operation `op`, for one who wants to know every crash of one run.
    fn keep_crash_point(&mut self, op: u64) {
        if let Some(mut points) = self.points.take() {
            let history = self.history.take();
            let world = self.clone();
            points.push(CrashPoint { op, call: self.current, world });
            self.history = history;
            self.points = Some(points);
        }
    }
}
