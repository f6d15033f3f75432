//! Runs a process on a world: hands out its ports, polls its future, and notices its death.

use std::{
    future::Future,
    path::Path,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use volsnap_core::engine::Ports;

use crate::{
    ports::{SimClock, SimCommands, SimContainers, SimDisks, SimStore},
    world::World,
};

/// How the run of a future ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run<T> {
    /// It came to its end.
    Done(T),
    /// The process died on the way.
    Died,
    /// It waits for something that never comes, and was dropped; the process lives.
    Dropped,
}

impl<T> Run<T> {
    /// What it came to, if it came to an end.
    pub fn done(self) -> Option<T> {
        match self {
            Run::Done(value) => Some(value),
            Run::Died | Run::Dropped => None,
        }
    }
}

/// One process on a machine. All clones and ports of it share one world.
#[derive(Clone, Debug)]
pub struct Machine {
    world: Arc<Mutex<World>>,
    waits: bool,
    /// Another state directory than the world's own.
    state_dir: Option<Arc<Path>>,
}

/// Futures that yield for their own reasons are polled again that often before they are taken for stuck.
const POLLS_MAX: u32 = 64;

impl Machine {
    /// Starts a process on the world.
    #[must_use]
    pub fn start(world: World) -> Self {
        Machine { world: Arc::new(Mutex::new(world)), waits: false, state_dir: None }
    }

    /// Starts a process whose port calls keep their callers waiting, once before and once after each: there its future
    /// can be dropped, or another one be run. It has to be polled by [`Machine::poll`].
    #[must_use]
    pub fn start_slow(world: World) -> Self {
        Machine { waits: true, ..Machine::start(world) }
    }

    /// Another process on the same world, with a state directory of its own, which has to be laid out. The catalog is the
    /// same one.
    #[must_use]
    pub fn elsewhere(&self, state_dir: &Path) -> Self {
        Machine { state_dir: Some(Arc::from(state_dir)), ..self.clone() }
    }

    /// Looks at or changes the world as this process has it: with its own state directory.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world();
        let home = self.state_dir.clone().map(|dir| std::mem::replace(&mut world.state_dir, dir));
        let result = act(&mut world);
        if let Some(home) = home {
            world.state_dir = home;
        }
        result
    }

    /// Waits for the next poll, on a machine that makes its callers wait.
    pub(crate) async fn wait(&self) {
        let mut waits = self.waits;
        std::future::poll_fn(|context| match std::mem::take(&mut waits) {
            true => {
                // Whoever has several futures polls those again that say so.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        })
        .await;
    }

    /// Polls a future up to so many times; `None` if it has not come to its end by then.
    pub fn poll<T>(&self, future: Pin<&mut impl Future<Output = T>>, polls: u64) -> Option<T> {
        let mut future = future;
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                self.world().end_stops();
                return Some(value);
            }
        }
        None
    }

    /// The world, for looking and for planning faults. Not while a port is being called from the same thread.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world as it is now.
    #[must_use]
    pub fn snapshot(&self) -> World {
        self.world().clone()
    }

    /// Its disks, with its archives and journals.
    #[must_use]
    pub fn disks(&self) -> SimDisks {
        SimDisks { machine: self.clone() }
    }

    /// Its container engine.
    #[must_use]
    pub fn containers(&self) -> SimContainers {
        SimContainers { machine: self.clone() }
    }

    /// Its catalog.
    #[must_use]
    pub fn store(&self) -> SimStore {
        SimStore { machine: self.clone() }
    }

    /// Its programs.
    #[must_use]
    pub fn commands(&self) -> SimCommands {
        SimCommands { machine: self.clone() }
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> SimClock {
        SimClock { machine: self.clone() }
    }

    /// All of these, for an engine.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports {
            store: Arc::new(self.store()),
            containers: Some(Arc::new(self.containers())),
            filesystem: Arc::new(self.disks()),
            archives: Arc::new(self.disks()),
            journals: Arc::new(self.disks()),
            commands: Arc::new(self.commands()),
            clock: Arc::new(self.clock()),
        }
    }

    /// Runs a future to its end or its process's, without a runtime.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> Run<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..POLLS_MAX {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                self.world().end_stops();
                return Run::Done(value);
            }
            if self.world().is_dead() {
                return Run::Died;
            }
        }
        Run::Dropped
    }
}
