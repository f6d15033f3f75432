//! A workload as it is now: its volumes, its containers and what would speak against a restore.

use super::*;

/// A workload as it is now.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its volumes, and what was left out.
    pub resolved: Resolved,
    /// Its containers, in starting order.
    pub containers: Vec<Container>,
    /// What the engine cannot do with them, which a restore of all volumes would be refused for.
    pub unable: Option<Refusal>,
    /// What people should know of its volumes before they rely on them.
    pub concerns: Vec<String>,
}

impl Volsnap {
    /// The workload's volumes and containers as they are now.
    pub async fn inspect(&self, workload: &Workload) -> Result<Inspection> {
        let containers = match (&self.engine.ports().containers, workload.selector.is_empty()) {
            (Some(containers), false) => containers.find(&workload.selector).await?,
            (None, false) => {
                return Err(Error::new(Code::Engine, format!("workload {} needs a container engine", workload.name))
                    .hint("none is configured"));
            }
            (_, true) => Vec::new(),
        };
        let has_policy = containers.iter().any(|container| !container.restart_policy.is_never());
        let unable = match &self.engine.ports().containers {
            Some(engine) if has_policy => engine.info().await?.cannot_hold(&containers),
            Some(_) | None => None,
        };
        let resolved = self.engine.name_volumes(workload, &containers).await?;
        let concerns = self.engine.concerns(workload).await;
        Ok(Inspection { resolved, containers, unable, concerns })
    }
}
