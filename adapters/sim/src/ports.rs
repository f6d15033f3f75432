//! The four ports, as handles on one world.

mod clock;
mod containers;
mod filesystem;
mod store;

pub use clock::SimClock;
pub use containers::SimContainers;
pub use filesystem::SimFilesystem;
pub use store::SimStore;

pub(crate) use clock::ClockState;
pub(crate) use store::Catalog;

use crate::{machine::Machine, places::Halt, world::World};

impl Machine {
    /// One call: it is over at once, or it never returns because the process died in it.
    pub(crate) async fn ask<T, E>(&self, call: impl FnOnce(&mut World) -> Result<T, Halt<E>>) -> Result<T, E> {
        let outcome = call(&mut self.world());
        match outcome {
            Ok(value) => Ok(value),
            Err(Halt::Error(error)) => Err(error),
            Err(Halt::Silence) => std::future::pending().await,
        }
    }
}
