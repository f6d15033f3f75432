//! What depends on what among containers, and the order that follows from it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use volsnap_core::model::Condition;

/// The label that compose puts on each container of a project.
pub(crate) const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
const ONE_OFF: &str = "com.docker.compose.oneoff";
/// The label that Swarm puts on each container of a service.
const SWARM_SERVICE: &str = "com.docker.swarm.service.name";

/// A container's place in a compose project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compose {
    pub(crate) project: Option<String>,
    pub(crate) service: Option<String>,
    /// Services of the same project that must run before it.
    pub(crate) depends_on: Vec<String>,
    /// Those of them that must do more than run.
    pub(crate) conditions: BTreeMap<String, Condition>,
    /// Whether it is no container of its service but runs one command (`compose run`).
    pub(crate) is_one_off: bool,
    /// The Swarm service that it is a task of.
    pub(crate) swarm_service: Option<String>,
}

impl Compose {
    /// Reads the labels. The format of the dependencies is `service:condition:restart`, separated by commas.
    pub(crate) fn of(labels: Option<&HashMap<String, String>>) -> Self {
        let label = |name: &str| labels.and_then(|l| l.get(name)).filter(|value| !value.is_empty()).cloned();
        let depends_on = label(DEPENDS_ON).unwrap_or_default();
        let parts = || depends_on.split(',').map(|part| part.trim().split(':'));
        let services = parts().filter_map(|mut part| part.next());
        let conditions = parts().filter_map(|mut part| Some((part.next()?.to_string(), condition(part.next()?)?)));
        Compose {
            project: label(PROJECT),
            service: label(SERVICE),
            depends_on: services.filter(|s| !s.is_empty()).map(String::from).collect(),
            conditions: conditions.collect(),
            is_one_off: label(ONE_OFF).is_some_and(|said| said.eq_ignore_ascii_case("true")),
            swarm_service: label(SWARM_SERVICE),
        }
    }

    /// Whether a container of that place must run before this one.
    pub(crate) fn needs(&self, other: &Compose) -> bool {
        !other.is_one_off
            && self.project.is_some()
            && self.project == other.project
            && other.service.as_ref().is_some_and(|service| self.depends_on.contains(service))
    }
}

/// What compose's word for a condition asks for beyond running.
fn condition(word: &str) -> Option<Condition> {
    match word {
        "service_healthy" => Some(Condition::Healthy),
        "service_completed_successfully" => Some(Condition::Completed),
        _ => None,
    }
}

/// Groups that can be worked on one after the other, the members of a group all at once: each name comes in a later
/// group than all that it depends on. Names that nobody asked about are ignored; a cycle is cut where it was entered.
///
/// Within a group names are sorted.
pub(crate) fn waves(depends_on: &BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    for name in depends_on.keys() {
        level(name, depends_on, &mut levels, &mut BTreeSet::new());
    }
    let mut waves = vec![Vec::new(); levels.values().max().map_or(0, |deepest| deepest + 1)];
    for (name, level) in levels {
        waves[level].push(name.to_string());
    }
    // A cut cycle can leave a level without a name.
    waves.retain(|wave| !wave.is_empty());
    waves
}

/// How many steps of dependency lie below a name.
fn level<'a>(
    name: &'a str,
    depends_on: &'a BTreeMap<String, Vec<String>>,
    levels: &mut BTreeMap<&'a str, usize>,
    entered: &mut BTreeSet<&'a str>,
) -> usize {
    if let Some(known) = levels.get(name) {
        return *known;
    }
    entered.insert(name);
    let mut deepest = 0;
    for needed in depends_on.get(name).into_iter().flatten() {
        if depends_on.contains_key(needed) && !entered.contains(needed.as_str()) {
            deepest = deepest.max(level(needed, depends_on, levels, entered) + 1);
        }
    }
    entered.remove(name);
    levels.insert(name, deepest);
    deepest
}

/// Cuts a list into runs whose members have nothing to do with each other, keeping the order of the list.
///
/// `related` says whether two items must keep their order.
pub(crate) fn runs<T>(items: Vec<T>, related: impl Fn(&T, &T) -> bool) -> Vec<Vec<T>> {
    let mut runs: Vec<Vec<T>> = Vec::new();
    for item in items {
        match runs.last_mut() {
            Some(run) if !run.iter().any(|other| related(&item, other) || related(other, &item)) => run.push(item),
            _ => runs.push(vec![item]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        edges.iter().map(|(name, needs)| (name.to_string(), needs.iter().map(ToString::to_string).collect())).collect()
    }

    #[test]
    fn compose_labels_give_project_service_and_dependencies() {
        let labels = HashMap::from([
            (PROJECT.to_string(), "shop".to_string()),
            (SERVICE.to_string(), "web".to_string()),
            (DEPENDS_ON.to_string(), "db:service_healthy:false,cache:service_started:true".to_string()),
        ]);
        let web = Compose::of(Some(&labels));
        assert_eq!(web.depends_on, ["db", "cache"]);
        assert_eq!(web.conditions, BTreeMap::from([("db".into(), Condition::Healthy)]));
        let db = Compose { project: Some("shop".into()), service: Some("db".into()), ..Compose::default() };
        assert!(web.needs(&db));
        assert!(!web.needs(&Compose { is_one_off: true, ..db.clone() }), "`compose run db` is not the service db");
        assert!(!db.needs(&web));
        let elsewhere = Compose { project: Some("other".into()), ..db };
        assert!(!web.needs(&elsewhere), "a service of another project is another service");
        assert_eq!(Compose::of(None), Compose::default());
        assert!(!Compose::default().needs(&Compose::default()), "containers without a project are strangers");
    }

    #[test]
    fn each_comes_after_what_it_depends_on() {
        let order =
            waves(&graph(&[("a-web", &["m-db", "n-cache"]), ("m-db", &["z-net"]), ("n-cache", &[]), ("z-net", &[])]));
        assert_eq!(order, [vec!["n-cache", "z-net"], vec!["m-db"], vec!["a-web"]]);
    }

    #[test]
    fn a_cycle_loses_nobody() {
        let order = waves(&graph(&[("a", &["b"]), ("b", &["a"]), ("c", &["c", "b"]), ("d", &["nobody"])]));
        let mut all: Vec<String> = order.concat();
        all.sort();
        assert_eq!(all, ["a", "b", "c", "d"]);
    }

    #[test]
    fn only_strangers_share_a_run() {
        let related = |a: &&str, b: &&str| matches!((*a, *b), ("web", "db") | ("db", "disk"));
        assert_eq!(runs(vec!["web", "cron", "db", "disk"], related), [vec!["web", "cron"], vec!["db"], vec!["disk"]]);
        assert_eq!(runs(Vec::<&str>::new(), related), Vec::<Vec<&str>>::new());
    }
}
