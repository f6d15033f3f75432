//! In which order containers are brought back, and who waits for what of whom meanwhile: the conditions of `depends_on`.
//!
//! A condition holds a container up where it held when the app was found: between two containers that ran, of which the
//! one that is depended on was not unhealthy. Who ran beside a database that was stopped, frozen or unhealthy then is not
//! kept down for its sake now, and a job that had ended then counts as done.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Condition, Pinned, RunState};

/// What a container waits for, and of whom.
#[must_use]
pub fn conditions<'a>(one: &Pinned, pinned: &'a [Pinned]) -> Vec<(&'a Pinned, Condition)> {
    if !one.was_active() {
        return Vec::new();
    }
    let asked = one.container.particulars.conditions.iter();
    let of = |name: &String| {
        let held = |other: &&Pinned| {
            other.container.name == *name
                && other.container.run == RunState::Running
                && !other.container.particulars.is_unhealthy
        };
        pinned.iter().find(held)
    };
    asked.filter_map(|(name, condition)| Some((of(name)?, *condition))).collect()
}

/// The jobs among containers: those that others wait for until they have ended well. That one has ended is no fault.
#[must_use]
pub fn jobs(pinned: &[Pinned]) -> BTreeSet<&str> {
    let all = pinned.iter().flat_map(|one| conditions(one, pinned));
    let jobs = all.filter(|(_, condition)| *condition == Condition::Completed);
    jobs.map(|(job, _)| job.container.name.as_str()).collect()
}

/// Containers in stages: each in a later one than what it waits for, and in none before that of what it depends on.
/// Without conditions there is one stage. A circle is cut where it was entered.
#[must_use]
pub fn stages(pinned: &[Pinned]) -> Vec<Vec<&Pinned>> {
    let by_name: BTreeMap<&str, &Pinned> = pinned.iter().map(|p| (p.container.name.as_str(), p)).collect();
    let mut levels = BTreeMap::new();
    let mut stages: Vec<Vec<&Pinned>> = Vec::new();
    for one in pinned {
        let level = level(one, pinned, &by_name, &mut levels, &mut BTreeSet::new());
        if stages.len() <= level {
            stages.resize(level + 1, Vec::new());
        }
        stages[level].push(one);
    }
    stages.retain(|stage| !stage.is_empty());
    stages
}

fn level<'a>(
    one: &'a Pinned,
    pinned: &'a [Pinned],
    by_name: &BTreeMap<&str, &'a Pinned>,
    levels: &mut BTreeMap<&'a str, usize>,
    entered: &mut BTreeSet<&'a str>,
) -> usize {
    let name = one.container.name.as_str();
    if let Some(known) = levels.get(name) {
        return *known;
    }
    entered.insert(name);
    let mut deepest = 0;
    for on in &one.container.depends_on {
        if let Some(other) = by_name.get(on.as_str())
            && !entered.contains(on.as_str())
        {
            deepest = deepest.max(level(other, pinned, by_name, levels, entered));
        }
    }
    for (other, _) in conditions(one, pinned) {
        if !entered.contains(other.container.name.as_str()) {
            deepest = deepest.max(level(other, pinned, by_name, levels, entered) + 1);
        }
    }
    entered.remove(name);
    levels.insert(name, deepest);
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Container, ContainerId, Particulars, RestartPolicy};

    fn pinned(name: &str, run: RunState, waits_for: &[(&str, Condition)]) -> Pinned {
        let conditions = waits_for.iter().map(|(on, what)| (on.to_string(), *what)).collect();
        let container = Container {
            id: ContainerId(name.into()),
            name: name.into(),
            project: None,
            service: None,
            image: "i".into(),
            image_id: "sha256:1".into(),
            run,
            restart_policy: RestartPolicy::never(),
            mounts: vec![],
            depends_on: waits_for.iter().map(|(on, _)| on.to_string()).collect(),
            stop_timeout: None,
            particulars: Particulars { conditions, ..Particulars::default() },
            spec: serde_json::Value::Null,
        };
        Pinned { container, member: true }
    }

    fn names(stages: &[Vec<&Pinned>]) -> Vec<Vec<String>> {
        stages.iter().map(|stage| stage.iter().map(|p| p.container.name.clone()).collect()).collect()
    }

    #[test]
    fn each_stage_waits_for_the_one_before() {
        use Condition::{Completed, Healthy};
        let mut all = vec![
            pinned("db", RunState::Running, &[]),
            pinned("job", RunState::Running, &[("db", Healthy)]),
            pinned("web", RunState::Running, &[("db", Healthy), ("job", Completed)]),
            pinned("cron", RunState::Running, &[]),
        ];
        assert_eq!(names(&stages(&all)), [vec!["db", "cron"], vec!["job"], vec!["web"]]);
        assert_eq!(jobs(&all), BTreeSet::from(["job"]));
        // Plain dependants come no earlier than what they depend on.
        all[3].container.depends_on = vec!["job".into()];
        assert_eq!(names(&stages(&all)), [vec!["db"], vec!["job", "cron"], vec!["web"]]);
        all[0].container.particulars.conditions.insert("web".into(), Healthy);
        assert_eq!(names(&stages(&all)).concat().len(), 4, "a circle loses nobody");
    }

    #[test]
    fn what_did_not_hold_when_it_was_found_is_not_waited_for() {
        let web = pinned("web", RunState::Running, &[("db", Condition::Healthy)]);
        let binds = |db: Pinned| !conditions(&web, &[db, web.clone()]).is_empty();
        assert!(binds(pinned("db", RunState::Running, &[])));
        for run in [RunState::Stopped, RunState::Paused] {
            assert!(!binds(pinned("db", run, &[])), "{run:?}");
        }
        let mut sick = pinned("db", RunState::Running, &[]);
        sick.container.particulars.is_unhealthy = true;
        assert!(!binds(sick));
        let idle = pinned("web", RunState::Stopped, &[("db", Condition::Healthy)]);
        assert_eq!(conditions(&idle, &[pinned("db", RunState::Running, &[])]), []);
    }
}
