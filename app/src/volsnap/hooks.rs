//! The hooks of workloads.

use volsnap_core::model::{Hook, Workload};

use super::Volsnap;
use crate::Operation;

impl Volsnap {
    /// The same, running no hooks: what it begins has none, and what it recovers ends without those that are due.
    #[must_use]
    pub fn without_hooks(&self) -> Volsnap {
        Volsnap { engine: self.engine.clone().without_hooks(), ..self.clone() }
    }

    /// The hooks that this host runs for a workload, behind its own ([`Builder::host_hooks`](crate::Builder::host_hooks)).
    #[must_use]
    pub fn host_hooks(&self, workload: &Workload) -> &[Hook] {
        self.engine.host_hooks(workload)
    }

    /// Adds a hook to a workload, behind those that it has, and gives the workload as it is then.
    ///
    /// [`Code::Usage`](crate::Code) if there is nothing to run, [`Code::NotFound`](crate::Code) if its container does
    /// not exist.
    pub fn add_hook(&self, workload: Workload, hook: Hook) -> Operation<Workload> {
        self.start(|engine, _| async move { engine.add_hook(&workload, hook).await })
    }

    /// Removes the hook of that number, from 1 on, and gives the workload as it is then.
    pub fn remove_hook(&self, workload: Workload, number: usize) -> Operation<Workload> {
        self.start(move |engine, _| async move { engine.remove_hook(&workload, number).await })
    }
}
