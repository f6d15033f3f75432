//! What can be said about a restore's downtime before it begins.

use super::Engine;
use crate::{
    error::Result,
    ports::EventKind,
    restore::{Forecast, Plan, Report, forecast::forecast},
};

/// How far back restores are looked for among a workload's events.
const EVENTS_MAX: u32 = 200;

impl Engine {
    /// How long the restore of that plan would keep the app down, as far as that can be known. Touches nothing.
    pub async fn forecast(&self, plan: &Plan) -> Result<Forecast> {
        let members = self.members(&plan.workload).await?;
        let events = self.events(Some(plan.workload.id), EVENTS_MAX).await?;
        // A restore that was refused has no report, and a report of another version may not be readable.
        let ended = events.iter().filter(|event| event.kind == EventKind::RestoreEnded);
        let reports = ended.filter_map(|event| serde_json::from_value::<Report>(event.detail.clone()).ok());
        let reports: Vec<Report> = reports.collect();
        Ok(forecast(plan, &members, &reports))
    }
}
