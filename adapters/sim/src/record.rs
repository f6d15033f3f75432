//! The record of a container, from which it can be made anew.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use volsnap_core::model::Container;

use crate::engine::{HealthBehaviour, SimContainer};

/// What the port's records hold of a container beside what everybody sees.
pub(crate) fn record_of(container: &SimContainer) -> Value {
    let health = match &container.health {
        HealthBehaviour::None => json!(null),
        HealthBehaviour::After(ms) => json!({ "after_ms": ms }),
        HealthBehaviour::SickWith(file) => json!({ "sick_with": file }),
        HealthBehaviour::DiesEvery(ms) => json!({ "dies_every_ms": ms }),
        HealthBehaviour::UnwellAfterThaw(ms) => json!({ "unwell_after_thaw_ms": ms }),
        HealthBehaviour::Exits => json!("exits"),
        HealthBehaviour::Completes => json!("completes"),
        HealthBehaviour::FailsToStart => json!("fails to start"),
    };
    json!({ "project": container.project, "labels": container.labels, "env": container.env, "health": health })
}

pub(crate) fn from_record(seen: Container) -> SimContainer {
    let spec = &seen.spec;
    let text = |value: &Value| value.as_str().map(str::to_string);
    let map = |value: &Value| {
        let pairs = value.as_object().into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
    };
    let health = &spec["health"];
    let health = match (health["after_ms"].as_u64(), text(&health["sick_with"])) {
        _ if health.is_null() => HealthBehaviour::None,
        _ if health == "fails to start" => HealthBehaviour::FailsToStart,
        _ if health == "completes" => HealthBehaviour::Completes,
        _ if health["dies_every_ms"].is_u64() => {
            HealthBehaviour::DiesEvery(health["dies_every_ms"].as_u64().unwrap_or_default())
        }
        _ if health["unwell_after_thaw_ms"].is_u64() => {
            HealthBehaviour::UnwellAfterThaw(health["unwell_after_thaw_ms"].as_u64().unwrap_or_default())
        }
        (Some(ms), _) => HealthBehaviour::After(ms),
        (None, Some(file)) => HealthBehaviour::SickWith(file),
        (None, None) => HealthBehaviour::Exits,
    };
    SimContainer {
        project: text(&spec["project"]),
        labels: map(&spec["labels"]),
        env: map(&spec["env"]),
        health,
        stopped_by_hand: false,
        stopping: false,
        policy_on_disk: seen.restart_policy.clone(),
        bound: Vec::new(),
        layer: BTreeSet::new(),
        started_ns: 0,
        thawed_ns: None,
        starts: 0,
        seen,
    }
}
