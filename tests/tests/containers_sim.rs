//! The containers port's promises, kept by the simulator: what crash tests rely on is what an engine does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::json;
use volsnap_core::{
    model::{Condition, Container, Mount, Particulars, Peer, Shares},
    ports::Containers,
};
use volsnap_sim::{
    Boot, Chooser, ContainerSpec, DiskSpec, Event, HealthBehaviour, Machine, SimContainers, WorldBuilder,
};
use volsnap_tests::{
    containers_contract,
    contracts::containers::{Harness, Place, Seen, Wanted},
};

containers_contract!(async |_test: &str| Some(Simulated::new()));

struct Simulated {
    machine: Machine,
    port: SimContainers,
}

impl Simulated {
    fn new() -> Self {
        let world = WorldBuilder::new(DiskSpec::at("/"), "/state").disk(DiskSpec::at("/data")).build();
        let machine = Machine::start(world);
        Simulated { port: machine.containers(), machine }
    }

    fn path(&self, container: &str, path: &str) -> PathBuf {
        let world = self.machine.world();
        let mounts = &world.container(container).unwrap().mounts;
        let mount = mounts.iter().find(|mount| path.starts_with(&mount.target)).unwrap();
        mount.source.join(path.strip_prefix(&mount.target).unwrap().trim_start_matches('/'))
    }
}

fn mount(container: &str, (place, target): &(Place, String), writable: bool) -> Mount {
    let named = |name: &str| PathBuf::from(format!("/volumes/{name}/_data"));
    let anonymous = format!("anonymous-of-{container}");
    let (source, volume, unsupported) = match place {
        Place::Host(source) => (source.clone(), None, None),
        Place::Volume(name) => (named(name), Some(name.clone()), None),
        Place::Showing(name, device) => (device.clone(), Some(name.clone()), None),
        Place::Anonymous => (named(&anonymous), Some(anonymous.clone()), None),
    };
    Mount { target: target.clone(), source, volume, writable, unsupported }
}

#[async_trait]
impl Harness for Simulated {
    fn containers(&self) -> &dyn Containers {
        &self.port
    }

    fn name(&self, stem: &str) -> String {
        stem.into()
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = Path::new("/data").join(name);
        self.machine.world().put_dir(&path);
        path
    }

    fn link(&self, name: &str, to: &Path) -> PathBuf {
        let path = Path::new("/data").join(name);
        self.machine.world().put_link(&path, to);
        path
    }

    async fn add(&self, wanted: &Wanted) {
        let label = |key: &str| wanted.labels.get(&format!("com.docker.compose.{key}")).cloned();
        let services = label("depends_on").unwrap_or_default();
        let parts = || services.split(',').map(|on| on.split(':').collect::<Vec<_>>());
        let conditions = parts().filter_map(|part| match part.as_slice() {
            [on, "service_healthy", ..] => Some(((*on).to_string(), Condition::Healthy)),
            [on, "service_completed_successfully", ..] => Some(((*on).to_string(), Condition::Completed)),
            _ => None,
        });
        let particulars = Particulars { conditions: conditions.collect(), ..Particulars::default() };
        let services = services.split(',').filter_map(|on| on.split(':').next()).filter(|on| !on.is_empty());
        let mounts: Vec<Mount> =
            wanted.places.iter().map(|place| mount(&wanted.name, place, wanted.writable)).collect();
        let peer = |(shares, name): &(Shares, String)| Peer { name: name.clone(), shares: *shares, by_name: false };
        let mut world = self.machine.world();
        mounts.iter().for_each(|mount| world.put_dir(&mount.source));
        world.add_container(ContainerSpec {
            policy: wanted.policy.clone(),
            run: wanted.run,
            mounts,
            project: label("project"),
            service: label("service"),
            labels: wanted.labels.clone(),
            env: wanted.env.clone(),
            depends_on: services.map(str::to_string).collect(),
            health: HealthBehaviour::None,
            layer: std::collections::BTreeSet::new(),
            particulars: Particulars { peers: wanted.uses.iter().map(peer).collect(), ..particulars },
            name: wanted.name.clone(),
        });
    }

    async fn see(&self, name: &str) -> Option<Seen> {
        let world = self.machine.world();
        let container = world.container(name)?;
        Some(Seen {
            id: container.id.clone(),
            run: container.run,
            policy: container.restart_policy.clone(),
            image_id: container.image_id.clone(),
            labels: world.container_labels(name)?.clone(),
            env: world.container_env(name)?.clone(),
        })
    }

    async fn remove(&self, name: &str) {
        self.machine.world().happen(&Event::Remove(name.into()));
    }

    async fn rename(&self, name: &str, to: &str) {
        self.machine.world().rename_by_hand(name, to);
    }

    async fn start(&self, name: &str) {
        self.machine.world().happen(&Event::Start(name.into()));
    }

    async fn write(&self, name: &str, path: &str, contents: &str) {
        let path = self.path(name, path);
        self.machine.world().put_file(&path, contents.as_bytes());
    }

    async fn read(&self, name: &str, path: &str) -> String {
        let path = self.path(name, path);
        String::from_utf8(self.machine.world().read(&path).unwrap()).unwrap()
    }

    async fn scribble(&self, name: &str, path: &str) {
        self.machine.world().change_layer(name, path);
    }

    async fn scribbled(&self, name: &str, path: &str) -> bool {
        self.machine.world().layer(name).unwrap().contains(path)
    }

    async fn another_image(&self, name: &str) -> String {
        let image = format!("sha256:another-image-of-{name}");
        self.machine.world().add_image(&image);
        image
    }

    fn spoil(&self, container: &mut Container) {
        container.spec["health"] = json!("fails to start");
    }

    fn saying(&self, word: &str, status: i64) -> Vec<String> {
        let program = if status == 0 { "say" } else { "fail" };
        vec![program.into(), word.into()]
    }

    async fn reboot(&mut self) -> bool {
        // Everything that was not made durable is lost.
        self.machine.world().reboot(&mut Chooser::scripted(Vec::new()), &Boot::default());
        true
    }
}
