//! What is said of a plan: what has changed since it was shown, and what its restore will cost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod changed;
mod forecast;

use volsnap_core::restore::{Body, Entry, Journal, Plan, plan::PlannedContainer};

/// The plan of the frozen journal: one volume, `/data`, by exchange; and a container that is stopped for it.
fn plan() -> Plan {
    let journal = Journal::decode(include_bytes!("../samples/journal-1.json")).unwrap();
    let Body::Restore(records) = journal.body else { panic!("the sample is of a restore") };
    let Some(Entry::Opened { plan }) = records.into_iter().next().map(|r| r.entry) else { panic!("it is opened") };
    let mut plan = *plan;
    plan.containers.push(PlannedContainer {
        name: "web".into(),
        image: "shop:7".into(),
        action: "stop and recreate".into(),
        loses: None,
    });
    plan
}
