//! `events`: the audit trail.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;
use volsnap_core::{
    model::WorkloadId,
    ports::{Event, EventKind},
};

/// The document of `events`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventsView {
    /// The events, newest first.
    pub events: Vec<EventView>,
}

/// An event.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventView {
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub at: Timestamp,
    /// The workload's name at the time.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// What happened.
    pub kind: EventKind,
    /// How it ended, in a word.
    pub outcome: String,
    /// The particulars.
    pub detail: serde_json::Value,
}

impl EventsView {
    /// The view of events.
    #[must_use]
    pub fn of(events: Vec<Event>) -> Self {
        let view = |event: Event| EventView {
            id: event.id,
            at: event.at,
            workload: event.workload_name,
            workload_id: event.workload,
            kind: event.kind,
            outcome: event.outcome,
            detail: event.detail,
        };
        EventsView { events: events.into_iter().map(view).collect() }
    }
}
