//! Containers that belong together by themselves: what can be registered without saying more than a name.

use std::collections::BTreeMap;

use super::{Container, Selector, container::restore_of};

/// What makes containers belong together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bond {
    /// A compose project of that name.
    Project(String),
    /// It is one container, outside any project, of that name.
    Single(String),
}

/// Containers that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What makes them belong together.
    pub bond: Bond,
    /// The containers, in the order in which they were given.
    pub containers: Vec<Container>,
}

impl Bond {
    /// The name of the project or container.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Bond::Project(name) | Bond::Single(name) => name,
        }
    }

    /// What finds the containers again.
    #[must_use]
    pub fn selector(&self) -> Selector {
        match self {
            Bond::Project(name) => Selector { compose_project: Some(name.clone()), ..Selector::default() },
            Bond::Single(name) => Selector { containers: vec![name.clone()], ..Selector::default() },
        }
    }
}

/// All groups, by kind and name. Containers that carry a name of a restore are in none.
#[must_use]
pub fn groups(containers: &[Container]) -> Vec<Group> {
    let mut groups: BTreeMap<Bond, Vec<Container>> = BTreeMap::new();
    for container in containers.iter().filter(|c| restore_of(&c.name).is_none()) {
        let bond = match &container.project {
            Some(project) => Bond::Project(project.clone()),
            None => Bond::Single(container.name.clone()),
        };
        groups.entry(bond).or_default().push(container.clone());
    }
    groups.into_iter().map(|(bond, containers)| Group { bond, containers }).collect()
}

/// What that name alone means: the compose project, or else the container. Both at once, where neither holds the other,
/// are an ambiguity, and are given in this order.
#[must_use]
pub fn meant_by(name: &str, containers: &[Container]) -> Vec<Bond> {
    let project = containers.iter().any(|c| c.project.as_deref() == Some(name));
    let single = containers.iter().find(|c| c.name == name);
    let outside = single.is_some_and(|c| c.project.as_deref() != Some(name));
    let project = project.then(|| Bond::Project(name.into()));
    project.into_iter().chain(outside.then(|| Bond::Single(name.into()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerId, Particulars, RestartPolicy, RunState};

    fn container(name: &str, project: Option<&str>) -> Container {
        Container {
            id: ContainerId(name.into()),
            name: name.into(),
            project: project.map(Into::into),
            service: None,
            image: "app:1".into(),
            image_id: "sha256:1".into(),
            run: RunState::Running,
            restart_policy: RestartPolicy::never(),
            stop_timeout: None,
            particulars: Particulars::default(),
            mounts: vec![],
            depends_on: vec![],
            spec: serde_json::Value::Null,
        }
    }

    #[test]
    fn a_project_is_one_group_and_what_a_restore_left_is_in_none() {
        let litter = "shop-web-1.volsnap-old-0123456789abcdef0123456789abcdef";
        let all = [
            container("shop-db-1", Some("shop")),
            container("cache", None),
            container("shop-web-1", Some("shop")),
            container(litter, Some("shop")),
        ];
        let groups = groups(&all);
        let names: Vec<(&str, usize)> = groups.iter().map(|g| (g.bond.name(), g.containers.len())).collect();
        assert_eq!(names, [("shop", 2), ("cache", 1)]);
        assert_eq!(groups[0].containers[0].name, "shop-db-1", "the starting order is kept");
    }

    #[test]
    fn a_name_means_the_project_then_the_container_and_both_only_where_they_differ() {
        let project = || Bond::Project("shop".into());
        let single = || Bond::Single("shop".into());
        for (all, means) in [
            (vec![container("shop-web-1", Some("shop"))], vec![project()]),
            (vec![container("shop", None)], vec![single()]),
            (vec![container("shop", Some("other"))], vec![single()]),
            (vec![container("shop", Some("shop")), container("db", Some("shop"))], vec![project()]),
            (vec![container("shop", None), container("db", Some("shop"))], vec![project(), single()]),
            (vec![container("web", None)], vec![]),
        ] {
            assert_eq!(meant_by("shop", &all), means, "{all:?}");
        }
    }
}
