//! Micro-operations: the grain at which calls can be interrupted, with the plan of what strikes where.

use volsnap_core::ports::FsErrorKind;

use crate::{
    fault::{Event, Fault},
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// It never returns.
    Silence,
    /// It reports this.
    Failed(FsErrorKind),
}

impl World {
    /// A port call begins.
    pub(crate) fn call(&mut self, call: &'static str, label: impl FnOnce() -> String) -> Result<(), Interrupt> {
        self.current = call;
        self.micro(MicroKind::Call, label, |_| ())?;
        match self.sticky.iter().find(|(name, _)| *name == call) {
            Some((_, kind)) => Err(Interrupt::Failed(*kind)),
            None => Ok(()),
        }
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
        let strikes = self.plan.remove(&now).unwrap_or_default();
        let mut reported = None;
        for fault in strikes {
            self.note(format_args!("! {fault:?}"));
            match fault {
                Fault::Kill | Fault::PowerCut => {
                    self.dead = true;
                    return Err(Interrupt::Silence);
                }
                Fault::Drop => return Err(Interrupt::Silence),
                Fault::Error { kind, sticky } => {
                    if sticky {
                        self.sticky.push((self.current, kind));
                    }
                    return Err(Interrupt::Failed(kind));
                }
                Fault::DoneButFailed(kind) => reported = Some(kind),
                Fault::SyncLost => {
                    self.all_disks(crate::disk::Disk::lose_dirty);
                    return Err(Interrupt::Failed(FsErrorKind::SyncFailed));
                }
                Fault::Event(event) => {
                    self.happen(&event);
                    if kind == MicroKind::Engine && event == Event::EngineRestart {
                        // The connection broke in the middle of the call.
                        return Err(Interrupt::Failed(FsErrorKind::Transient));
                    }
                }
            }
        }
        let done = act(self);
        match reported {
            Some(kind) => Err(Interrupt::Failed(kind)),
            None => Ok(done),
        }
    }

    /// Something happens by itself.
    pub fn happen(&mut self, event: &Event) {
        match event {
            Event::Writeback => self.all_disks(crate::disk::Disk::write_back),
            Event::WritebackOf(index) => self.disk_mut(*index).write_back(),
            Event::EngineRestart => self.restart_engine(),
            Event::EngineDown => self.engine_mut().up = false,
            Event::EngineUp => self.engine_mut().up = true,
            Event::Start(name) => self.start_by_hand(name),
            Event::Stop(name) => self.stop_by_hand(name),
            Event::Remove(name) => self.remove_by_hand(name),
            Event::Tick => self.tick(),
            Event::ClockJump(seconds) => self.clock.wall_jump_s += seconds,
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
