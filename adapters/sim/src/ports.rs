//! The ports, as handles on one world.

mod archives;
mod clock;
mod commands;
mod containers;
mod filesystem;
mod journals;
mod store;

pub use clock::SimClock;
pub use commands::SimCommands;
pub use containers::SimContainers;
pub use filesystem::SimDisks;
pub use store::SimStore;

pub(crate) use clock::ClockState;
pub(crate) use store::Catalog;

use crate::{machine::Machine, places::Halt, world::World};

impl Machine {
    /// One call: it is over at once, or it never returns because the process died in it. A machine that keeps its
    /// callers waiting does so before the call and after it, when it is done and nobody knows yet.
    pub(crate) async fn ask<T, E>(&self, call: impl FnOnce(&mut World) -> Result<T, Halt<E>>) -> Result<T, E> {
        self.ask_for(call, |value| value).await
    }

    /// The same for what has to be given back: it has its owner before anybody waits again.
    pub(crate) async fn ask_for<T, U, E>(
        &self,
        call: impl FnOnce(&mut World) -> Result<T, Halt<E>>,
        own: impl FnOnce(T) -> U,
    ) -> Result<U, E> {
        self.wait().await;
        let outcome = self.with(call);
        let outcome = outcome.map(own);
        self.wait().await;
        match outcome {
            Ok(value) => Ok(value),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Silence) => std::future::pending().await,
        }
    }
}
