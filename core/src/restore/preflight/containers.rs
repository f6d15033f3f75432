//! What a plan says of containers.

use std::collections::BTreeSet;

use super::Situation;
use crate::restore::{
    anew,
    plan::{Plan, PlannedContainer},
};

/// Adds what a plan says of containers: what becomes of them, what that costs, and who refers to those that go.
pub(super) fn add(s: &Situation, plan: &mut Plan) {
    let anew = anew::made_anew(&s.members, &s.options, &plan.images);
    plan.containers = containers(s, &anew);
    let gone = anew::brought_back(&s.members, &s.options, &plan.images);
    plan.refusals.extend(anew::refuse_images(gone.filter(|image| s.images_gone.contains(&image.snapshot))));
    plan.warnings.extend(anew::image_warnings(&s.members, &s.options, &plan.images));
    let (refusals, warnings) = anew::references(&s.members, &s.others, &anew, &s.workload.name);
    plan.refusals.extend(refusals);
    plan.warnings.extend(warnings);
    let unknown = s.losses.iter().filter_map(|(name, losses)| Some((name, losses.as_ref().err()?)));
    plan.warnings.extend(unknown.map(|(name, why)| format!("what container {name} would lose is not known: {why}")));
}

fn containers(s: &Situation, anew: &BTreeSet<String>) -> Vec<PlannedContainer> {
    let others = s.consumers.iter().filter(|c| !s.is_member(c));
    let loses = |name: &str| {
        let known = s.losses.get(name).and_then(|losses| losses.as_ref().ok());
        anew.contains(name).then(|| known.cloned().unwrap_or_default())
    };
    s.members
        .iter()
        .filter(|c| c.run.is_active() || !c.particulars.is_one_off)
        .map(|c| {
            let action = match (c.run.is_active(), anew.contains(&c.name)) {
                (true, _) if c.particulars.is_one_off => "stop for good",
                (true, true) => "stop and recreate",
                (true, false) => "stop and start",
                (false, _) => "leave stopped",
            };
            (c, action, loses(&c.name))
        })
        .chain(others.map(|c| (c, if c.run.is_active() { "refuse" } else { "hold stopped" }, None)))
        .chain(s.revived().map(|(c, _)| (c, "stop and start", None)))
        .map(|(c, action, loses)| PlannedContainer {
            name: c.name.clone(),
            image: c.image.clone(),
            action: action.into(),
            loses,
        })
        .collect()
}
