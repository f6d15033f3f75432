//! Finding what could be registered: a project or container by its name alone, what registering it would come to, and
//! what is not registered yet.

use std::{collections::BTreeSet, path::PathBuf};

use volsnap_core::{
    Code, Error, Result,
    error::{EngineError, EngineErrorKind},
    model::{
        Bond, Container, Database, Resolved, Selector, TreeSize, VolumePath, Workload,
        group::{groups, meant_by},
        hook::quoted,
    },
    ports::Containers,
};

use super::{Inspection, NewWorkload, Volsnap};

/// A workload as it would be registered.
#[derive(Clone, Debug)]
pub struct Prospect {
    /// The workload.
    pub workload: Workload,
    /// Its containers, and what is left out.
    pub inspection: Inspection,
    /// Its volumes.
    pub volumes: Vec<ProspectVolume>,
}

/// A volume of a [`Prospect`].
#[derive(Clone, Debug)]
pub struct ProspectVolume {
    /// The volume.
    pub volume: VolumePath,
    /// How large it is; `None` if that cannot be told.
    pub size: Option<TreeSize>,
    /// Why not.
    pub problem: Option<String>,
    /// Registered workloads that have the same directory.
    pub also_of: Vec<String>,
}

/// A compose project or container with volumes that no registered workload has.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// What makes the containers belong together.
    pub bond: Bond,
    /// The containers, in starting order.
    pub containers: Vec<Container>,
    /// The volumes, and what would be left out. Without a volume there is nothing to register: what is left out is all that
    /// its containers can write to.
    pub resolved: Resolved,
    /// The command line that registers it; `None` if there is no volume.
    pub register: Option<String>,
}

/// A hook that a person might want, because a container is a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The container.
    pub container: String,
    /// What it is, by its image's name.
    pub database: Database,
}

impl Advice {
    /// What there is to say about these containers.
    #[must_use]
    pub fn on(containers: &[Container]) -> Vec<Advice> {
        let advise =
            |c: &Container| Some(Advice { container: c.name.clone(), database: Database::of_image(&c.image)? });
        containers.iter().filter_map(advise).collect()
    }

    /// The command line that would register the hook for a workload of that name.
    #[must_use]
    pub fn command_line(&self, workload: &str) -> String {
        let words = self.database.flush();
        let place = ["volsnap", "workload", "hook", "add", workload, "--at", "pre-create", "--container"];
        let words = place.into_iter().chain([self.container.as_str(), "--"]).chain(words.iter().copied());
        quoted(words)
    }
}

impl Volsnap {
    /// What that name alone means on this host: the compose project, or else the container.
    ///
    /// [`Code::NotFound`] if there is neither, [`Code::Usage`] if both are there and differ, or nobody can be asked.
    pub async fn meant_by(&self, name: &str) -> Result<Bond> {
        let all = match self.everything().await {
            Ok(all) => all,
            Err(error) => {
                return Err(Error::new(Code::Usage, format!("workload {name} has neither containers nor directories"))
                    .hint(format!("{GIVE}; whether {name} is a project or container could not be asked: {error}")));
            }
        };
        match meant_by(name, &all).as_slice() {
            [bond] => Ok(bond.clone()),
            [] => {
                let groups = groups(&all);
                let names: Vec<&str> = groups.iter().map(|group| group.bond.name()).collect();
                let there = match names.is_empty() {
                    true => "there are no containers at all".to_string(),
                    false => format!("there are: {}", names.join(", ")),
                };
                let none = format!("there is no compose project and no container {name}");
                Err(Error::new(Code::NotFound, none).hint(format!("{GIVE}; {there}")))
            }
            _ => Err(Error::new(Code::Usage, format!("{name} is a compose project, and a container outside of it"))
                .hint(format!("give --compose-project {name} or --container {name}"))),
        }
    }

    /// What registering a workload would come to. Touches nothing. Fails as [`Volsnap::add_workload`] would.
    pub async fn prospect(&self, new: NewWorkload) -> Result<Prospect> {
        let workload = self.workload_to_be(new).await?;
        self.engine.check_workload(&workload).await?;
        let inspection = self.inspect(&workload).await?;
        let mut others = Vec::new();
        for other in self.workloads().await? {
            // One whose containers are gone, or cannot be asked for, still has what was declared.
            let paths = match self.inspect(&other).await {
                Ok(seen) => seen.resolved.volumes.into_iter().map(|v| v.path).collect::<BTreeSet<PathBuf>>(),
                Err(_) => other.volumes.iter().map(|v| v.path.clone()).collect(),
            };
            others.push((other.name, paths));
        }
        let mut volumes = Vec::new();
        for volume in &inspection.resolved.volumes {
            let having = others.iter().filter(|(_, paths)| paths.contains(&volume.path));
            let also_of = having.map(|(name, _)| name.clone()).collect();
            let (size, problem) = self.size_of(volume).await;
            volumes.push(ProspectVolume { volume: volume.clone(), size, problem, also_of });
        }
        Ok(Prospect { workload, inspection, volumes })
    }

    async fn size_of(&self, volume: &VolumePath) -> (Option<TreeSize>, Option<String>) {
        let filesystem = &self.engine.ports().filesystem;
        let location = match filesystem.locate(&volume.path).await {
            Ok(location) => location,
            Err(error) => return (None, Some(error.to_string())),
        };
        match location.occupant.identity() {
            None => (None, Some("does not exist yet, or is no directory".into())),
            Some(_) => match filesystem.measure(&location.real).await {
                Ok(size) => (Some(size), None),
                Err(error) => (None, Some(error.to_string())),
            },
        }
    }

    /// Compose projects and containers with volumes that no registered workload has, by kind and name.
    pub async fn discover(&self) -> Result<Vec<Discovered>> {
        let all = self.everything().await?;
        let workloads = self.workloads().await?;
        let declared: BTreeSet<PathBuf> = workloads.iter().flat_map(|w| &w.volumes).map(|v| v.path.clone()).collect();
        let mut registered = BTreeSet::new();
        for workload in &workloads {
            registered.extend(self.selected(&workload.selector, &all).await?);
        }
        let mut found = Vec::new();
        for group in groups(&all) {
            // A project's one-off containers have no volumes of their own to register.
            let is_project = matches!(group.bond, Bond::Project(_));
            let lasting: Vec<Container> =
                group.containers.iter().filter(|c| !(is_project && c.particulars.is_one_off)).cloned().collect();
            let free: Vec<Container> = lasting.iter().filter(|c| !registered.contains(&c.name)).cloned().collect();
            let unregistered = Resolved::of(&[], &free).volumes;
            let is_new = unregistered.iter().any(|v| !declared.contains(&v.path));
            let resolved = Resolved::of(&[], &lasting);
            // Said too, so that nobody takes it for safe.
            let is_beyond = resolved.volumes.is_empty()
                && free.iter().flat_map(|c| &c.mounts).any(|mount| mount.writable && mount.unsupported.is_some());
            if is_new || is_beyond {
                let replaced = lasting.iter().any(|c| c.run.is_active() && c.particulars.orchestrator.is_some());
                let register = is_new.then(|| match replaced {
                    true => register_directories(&group.bond, &resolved, &workloads),
                    false => register(&group.bond, &all, &workloads),
                });
                found.push(Discovered { bond: group.bond, containers: group.containers, resolved, register });
            }
        }
        Ok(found)
    }

    /// The names of those containers that a selector matches; names in it that are gone match nothing.
    async fn selected(&self, selector: &Selector, all: &[Container]) -> Result<Vec<String>> {
        let by_name = |c: &&Container| selector.containers.contains(&c.name);
        let by_project = |c: &&Container| selector.compose_project.is_some() && c.project == selector.compose_project;
        let mut names: Vec<String> =
            all.iter().filter(|c| by_name(c) || by_project(c)).map(|c| c.name.clone()).collect();
        if !selector.labels.is_empty() {
            let labels = Selector { labels: selector.labels.clone(), ..Selector::default() };
            names.extend(self.asked()?.find(&labels).await?.into_iter().map(|c| c.name));
        }
        Ok(names)
    }

    async fn everything(&self) -> Result<Vec<Container>> {
        Ok(self.asked()?.all().await?)
    }

    fn asked(&self) -> Result<&dyn Containers, EngineError> {
        let none = || EngineError::new(EngineErrorKind::Unreachable, "none is configured");
        self.engine.ports().containers.as_deref().ok_or_else(none)
    }
}

/// The command line that registers the directories of containers that their orchestrator replaces: under other names,
/// with the same directories.
fn register_directories(bond: &Bond, resolved: &Resolved, workloads: &[Workload]) -> String {
    let declared = resolved.volumes.iter().map(|volume| format!("{}={}", volume.target, volume.path.display()));
    let mut words: Vec<String> = ["volsnap", "workload", "add"].map(String::from).to_vec();
    words.push(free_name(bond, workloads));
    words.extend(declared.flat_map(|volume| ["--volume".to_string(), volume]));
    quoted(words.iter().map(String::as_str))
}

/// The name of these containers, with a number if a workload has it.
fn free_name(bond: &Bond, workloads: &[Workload]) -> String {
    let is_free = |name: &String| workloads.iter().all(|workload| workload.name != *name);
    let own = bond.name().to_string();
    let numbered = (2..).map(|n: u64| format!("{own}-{n}"));
    std::iter::once(own.clone()).chain(numbered).find(is_free).unwrap_or(own)
}

/// The command line that registers these containers, under their own name if it is free and means nothing else.
fn register(bond: &Bond, all: &[Container], workloads: &[Workload]) -> String {
    let (own, name) = (bond.name().to_string(), free_name(bond, workloads));
    let option = match bond {
        Bond::Project(_) => "--compose-project",
        Bond::Single(_) => "--container",
    };
    let start = ["volsnap", "workload", "add", &name];
    match name == own && meant_by(&own, all).len() == 1 {
        true => quoted(start),
        false => quoted(start.into_iter().chain([option, &own])),
    }
}

const GIVE: &str = "give --compose-project, --container, --label or --volume";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_orchestrator_replaces_is_registered_by_its_directories() {
        let bond = Bond::Single("web.1.abc".into());
        let volume = VolumePath { target: "/data".into(), path: "/srv/my data".into(), ..VolumePath::default() };
        let resolved = Resolved { volumes: vec![volume], ..Resolved::default() };
        let line = register_directories(&bond, &resolved, &[]);
        assert_eq!(line, "volsnap workload add web.1.abc --volume '/data=/srv/my data'");
    }
}
