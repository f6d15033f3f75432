//! What every implementation of the containers port must do.
//!
//! Each case makes its own containers through a [`Harness`] and promises one thing; [`containers_contract!`] runs all
//! of them, so that no implementation can leave one out.

use std::{collections::BTreeMap, path::PathBuf};

use async_trait::async_trait;
use uuid::Uuid;
use volsnap_core::{
    model::{
        Container, ContainerId, Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector,
        container::{passing_name, retired_name},
    },
    ports::{Containers, EngineErrorKind, HealthState},
};

/// A directory of a container.
#[derive(Clone, Debug)]
pub enum Place {
    /// A bind mount of a host directory.
    Host(PathBuf),
    /// A named volume.
    Volume(String),
    /// A volume without a name of its own.
    Anonymous,
}

/// A container to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its directories and where they are in it.
    pub places: Vec<(Place, String)>,
    /// Whether it may write to them.
    pub writable: bool,
    /// Its restart policy.
    pub policy: RestartPolicy,
    /// What it is to be.
    pub run: RunState,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
}

impl Wanted {
    /// A running container without mounts that the engine never restarts.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Wanted {
            name: name.into(),
            places: vec![],
            writable: true,
            policy: RestartPolicy::never(),
            run: RunState::Running,
            labels: BTreeMap::new(),
            env: BTreeMap::new(),
        }
    }

    /// With a directory.
    #[must_use]
    pub fn place(mut self, place: Place, target: &str) -> Self {
        self.places.push((place, target.into()));
        self
    }

    /// With a host directory at `/data`.
    #[must_use]
    pub fn host(self, source: impl Into<PathBuf>) -> Self {
        self.place(Place::Host(source.into()), "/data")
    }

    /// With a restart policy.
    #[must_use]
    pub fn policy(mut self, policy: &str) -> Self {
        self.policy = RestartPolicy { name: policy.into(), retries_max: 0 };
        self
    }

    /// In that state.
    #[must_use]
    pub fn run(mut self, run: RunState) -> Self {
        self.run = run;
        self
    }

    /// With a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// As a service of a compose project.
    #[must_use]
    pub fn service(self, project: &str, service: &str, depends_on: &str) -> Self {
        self.label("com.docker.compose.project", project)
            .label("com.docker.compose.service", service)
            .label("com.docker.compose.depends_on", depends_on)
    }
}

/// A container as the world outside the port sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: ContainerId,
    /// Whether it runs.
    pub run: RunState,
    /// Its restart policy.
    pub policy: RestartPolicy,
    /// Its image by content.
    pub image_id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The environment that it was given.
    pub env: BTreeMap<String, String>,
}

/// A world with an engine in it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The port under test.
    fn containers(&self) -> &dyn Containers;
    /// A name for a container that nobody else uses.
    fn name(&self, stem: &str) -> String;
    /// An empty directory of the host, made if it is not there.
    fn directory(&self, name: &str) -> PathBuf;
    /// A symbolic link to a path.
    fn link(&self, name: &str, to: &std::path::Path) -> PathBuf;
    /// Makes a container.
    async fn add(&self, wanted: &Wanted);
    /// A container by name.
    async fn see(&self, name: &str) -> Option<Seen>;
    /// Removes a container, running or not, but none of its volumes.
    async fn remove(&self, name: &str);
    /// Renames a container.
    async fn rename(&self, name: &str, to: &str);
    /// Starts a container.
    async fn start(&self, name: &str);
    /// Writes a file as the container sees it.
    async fn write(&self, name: &str, path: &str, contents: &str);
    /// Reads a file as the container sees it.
    async fn read(&self, name: &str, path: &str) -> String;
    /// Changes a record so that a container can be made from it, but not started.
    fn spoil(&self, container: &mut Container);
    /// Cuts the engine's power and starts it again; `false` if this engine must not be restarted.
    async fn reboot(&mut self) -> bool;
}

/// Runs every case of the contract: one test each, on the harness that the expression gives for the test's name, an
/// `Option`; `None` skips.
#[macro_export]
macro_rules! containers_contract {
    ($harness:expr) => {
        $crate::containers_contract!(@cases $harness;
            each_container_comes_after_what_it_depends_on
            a_selector_matches_by_project_name_or_labels
            a_named_container_that_is_missing_is_not_found
            names_that_a_restore_gave_are_left_out_of_a_workload
            consumers_are_found_above_at_and_below_a_path_in_any_state
            a_fenced_container_is_not_revived_by_a_reboot
            calls_on_what_is_gone_are_no_errors
            pausing_takes_all_or_none
            stopping_thaws_what_is_frozen
            a_prepared_replacement_waits_stopped_and_unrevived
            recreating_keeps_everything_but_the_old_container
            recreating_twice_is_recreating_once
            recreating_works_from_every_state_that_a_crash_leaves
            a_lost_container_is_made_from_its_record
            a_replacement_that_cannot_start_brings_the_old_one_back
            restarting_keeps_the_container
            what_was_stopped_stays_stopped
            what_was_paused_is_paused_again
            a_stranger_gets_its_policy_back_and_is_never_made_anew
            discarding_removes_what_is_ours_and_gives_names_back
            health_tells_running_from_down
        );
    };
    (@cases $harness:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let harness = $harness;
                if let Some(mut harness) = harness(stringify!($case)).await {
                    $crate::contracts::containers::$case(&mut harness).await;
                }
            }
        )*
    };
}

fn restore() -> RestoreId {
    RestoreId(Uuid::now_v7())
}

fn by_name(names: &[&String]) -> Selector {
    Selector { containers: names.iter().map(|name| (*name).clone()).collect(), ..Selector::default() }
}

fn names(containers: &[Container]) -> Vec<&str> {
    containers.iter().map(|container| container.name.as_str()).collect()
}

async fn find(h: &dyn Harness, name: &String) -> Container {
    h.containers().find(&by_name(&[name])).await.unwrap().remove(0)
}

async fn see(h: &dyn Harness, name: &str) -> Seen {
    h.see(name).await.unwrap_or_else(|| panic!("container {name} is gone"))
}

/// Fences and stops a member as a restore does, and gives its record.
async fn quiesce(h: &dyn Harness, name: &String) -> Pinned {
    let container = find(h, name).await;
    h.containers().set_restart_policy(&container.id, &RestartPolicy::never()).await.unwrap();
    h.containers().stop(std::slice::from_ref(&container.id)).await.unwrap();
    Pinned { container, member: true }
}

async fn recreate(h: &dyn Harness, restore: RestoreId, pinned: &Pinned) {
    h.containers().redeploy(restore, std::slice::from_ref(pinned), Redeploy::Recreate).await.unwrap();
}

/// The container runs as recorded under its own name, made anew, and nothing else of the restore is left.
async fn assert_replaced(h: &dyn Harness, restore: RestoreId, pinned: &Pinned) {
    let was = &pinned.container;
    let now = see(h, &was.name).await;
    assert_ne!(now.id, was.id, "it was not made anew");
    assert_eq!((now.run, &now.policy, &now.image_id), (was.run, &was.restart_policy, &was.image_id));
    assert_eq!(h.see(&retired_name(&was.name, restore)).await, None, "the old one is still there");
    assert_eq!(h.see(&passing_name(&was.name, restore)).await, None, "a replacement is left over");
}

/// Each container comes after those of the services that it depends on, and names them.
pub async fn each_container_comes_after_what_it_depends_on(h: &mut dyn Harness) {
    let project = h.name("shop");
    let [web, db, cache] = ["a-web", "m-db", "z-cache"].map(|stem| h.name(stem));
    let needs = "db:service_healthy:false,cache:service_started:true";
    h.add(&Wanted::new(&web).service(&project, "web", needs)).await;
    h.add(&Wanted::new(&db).service(&project, "db", "cache:service_started:false")).await;
    h.add(&Wanted::new(&cache).service(&project, "cache", "").run(RunState::Stopped)).await;
    let selector = Selector { compose_project: Some(project), ..Selector::default() };
    let found = h.containers().find(&selector).await.unwrap();
    assert_eq!(names(&found), [&cache, &db, &web]);
    assert_eq!(found[2].depends_on, [db, cache]);
    assert_eq!(found[2].service.as_deref(), Some("web"));
    assert_eq!((found[0].run, found[1].run), (RunState::Stopped, RunState::Running));
}

/// Any condition of a selector is enough, all labels of it together are one condition.
pub async fn a_selector_matches_by_project_name_or_labels(h: &mut dyn Harness) {
    let project = h.name("shop");
    let [one, two, three, four] = ["c1", "c2", "c3", "c4"].map(|stem| h.name(stem));
    let mark = h.name("mark");
    h.add(&Wanted::new(&one).service(&project, "web", "")).await;
    h.add(&Wanted::new(&two).label(&mark, "a").label("tier", "b")).await;
    h.add(&Wanted::new(&three).label(&mark, "a")).await;
    h.add(&Wanted::new(&four)).await;
    let port = h.containers();
    let selector = Selector {
        compose_project: Some(project),
        containers: vec![four.clone()],
        labels: vec![(mark.clone(), "a".into()), ("tier".into(), "b".into())],
    };
    assert_eq!(names(&port.find(&selector).await.unwrap()), [&one, &two, &four]);
    let nothing = Selector { labels: vec![(mark, "other".into())], ..Selector::default() };
    assert_eq!(port.find(&nothing).await.unwrap(), []);
    assert_eq!(port.find(&Selector::default()).await.unwrap(), []);
}

/// A name that matches nothing is an error, unlike a label.
pub async fn a_named_container_that_is_missing_is_not_found(h: &mut dyn Harness) {
    let missing = h.name("missing");
    let error = h.containers().find(&by_name(&[&missing])).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::NotFound);
    assert!(error.message.contains(&missing), "{}", error.message);
}

/// Replacements and retired containers of any restore are no part of a workload, but they are consumers.
pub async fn names_that_a_restore_gave_are_left_out_of_a_workload(h: &mut dyn Harness) {
    let project = h.name("shop");
    let own = h.name("web");
    let data = h.directory("data");
    let litter = [passing_name(&own, restore()), retired_name(&own, restore())];
    for name in [&own, &litter[0], &litter[1]] {
        h.add(&Wanted::new(name).service(&project, "web", "").host(&data).run(RunState::Stopped)).await;
    }
    let selector = Selector { compose_project: Some(project), ..Selector::default() };
    assert_eq!(names(&h.containers().find(&selector).await.unwrap()), [&own]);
    let mut consumers = h.containers().mounting(&[data]).await.unwrap();
    consumers.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(names(&consumers), [&own, &litter[0], &litter[1]]);
}

/// Consumers are found whatever their state, on whole path components, and through links on either side.
pub async fn consumers_are_found_above_at_and_below_a_path_in_any_state(h: &mut dyn Harness) {
    let live = h.directory("srv/app");
    let below = h.directory("srv/app/db");
    let above = h.directory("srv");
    let beside = h.directory("srv/app2");
    let alias = h.link("alias", &live);
    let [at, deep, high, other, linked] = ["c1-at", "c2-below", "c3-above", "c4-beside", "c5-link"].map(|s| h.name(s));
    h.add(&Wanted::new(&at).host(&live)).await;
    h.add(&Wanted::new(&deep).host(&below).run(RunState::Stopped)).await;
    h.add(&Wanted::new(&high).host(&above).run(RunState::Paused)).await;
    h.add(&Wanted::new(&other).host(&beside)).await;
    h.add(&Wanted::new(&linked).host(&alias)).await;
    for path in [&live, &alias] {
        let mut found = h.containers().mounting(std::slice::from_ref(path)).await.unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names(&found), [&at, &deep, &high, &linked], "mounting {}", path.display());
    }
    assert_eq!(h.containers().mounting(&[]).await.unwrap(), []);
    let found = h.containers().mounting(&[beside]).await.unwrap();
    assert_eq!(found.len(), 2, "the one beside and the one above: {:?}", names(&found));
}

/// The engine starts `always` containers when it starts; not those whose policy was taken.
pub async fn a_fenced_container_is_not_revived_by_a_reboot(h: &mut dyn Harness) {
    let [fenced, free] = ["fenced", "free"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&fenced).policy("always")).await;
    h.add(&Wanted::new(&free).policy("always")).await;
    let pinned = quiesce(h, &fenced).await;
    assert_eq!(pinned.container.restart_policy.name, "always");
    if !h.reboot().await {
        return;
    }
    assert_eq!(see(h, &free).await.run, RunState::Running, "the reboot revives nothing, and proves nothing");
    assert_eq!(see(h, &fenced).await.run, RunState::Stopped);
    let port = h.containers();
    port.set_restart_policy(&pinned.container.id, &pinned.container.restart_policy).await.unwrap();
    assert_eq!(see(h, &fenced).await.policy.name, "always");
    let on_failure = RestartPolicy { name: "on-failure".into(), retries_max: 3 };
    port.set_restart_policy(&pinned.container.id, &on_failure).await.unwrap();
    assert_eq!(find(h, &fenced).await.restart_policy, on_failure);
}

/// What is gone needs no thaw, no fence and no stop.
pub async fn calls_on_what_is_gone_are_no_errors(h: &mut dyn Harness) {
    let name = h.name("gone");
    h.add(&Wanted::new(&name)).await;
    let pinned = Pinned { container: find(h, &name).await, member: true };
    h.remove(&name).await;
    let ids = [pinned.container.id.clone()];
    let port = h.containers();
    port.unpause(&ids).await.unwrap();
    port.stop(&ids).await.unwrap();
    port.set_restart_policy(&ids[0], &RestartPolicy::never()).await.unwrap();
    port.discard(restore()).await.unwrap();
    assert!(port.pause(&ids).await.is_err(), "what is gone cannot be frozen");
}

/// If one container cannot be frozen, none is; what is frozen already counts as frozen.
pub async fn pausing_takes_all_or_none(h: &mut dyn Harness) {
    let [one, two, stopped] = ["one", "two", "stopped"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&one)).await;
    h.add(&Wanted::new(&two)).await;
    h.add(&Wanted::new(&stopped).run(RunState::Stopped)).await;
    let mut ids = Vec::new();
    for name in [&one, &two, &stopped] {
        ids.push(find(h, name).await.id);
    }
    let port = h.containers();
    port.pause(&ids).await.unwrap_err();
    assert_eq!((see(h, &one).await.run, see(h, &two).await.run), (RunState::Running, RunState::Running));
    port.pause(&ids[..2]).await.unwrap();
    port.pause(&ids[..2]).await.unwrap();
    assert_eq!((see(h, &one).await.run, see(h, &two).await.run), (RunState::Paused, RunState::Paused));
    port.unpause(&ids).await.unwrap();
    port.unpause(&ids).await.unwrap();
    assert_eq!((see(h, &one).await.run, see(h, &two).await.run), (RunState::Running, RunState::Running));
    assert_eq!(see(h, &stopped).await.run, RunState::Stopped);
}

/// A frozen container is stopped like another.
pub async fn stopping_thaws_what_is_frozen(h: &mut dyn Harness) {
    let [frozen, running] = ["frozen", "running"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&frozen).run(RunState::Paused)).await;
    h.add(&Wanted::new(&running)).await;
    let ids = [find(h, &frozen).await.id, find(h, &running).await.id];
    h.containers().stop(&ids).await.unwrap();
    assert_eq!((see(h, &frozen).await.run, see(h, &running).await.run), (RunState::Stopped, RunState::Stopped));
    h.containers().stop(&ids).await.unwrap();
}

/// The replacement is made while the app runs, and nothing starts it.
pub async fn a_prepared_replacement_waits_stopped_and_unrevived(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always")).await;
    let (restore, container) = (restore(), find(h, &name).await);
    h.containers().prepare(restore, &container).await.unwrap();
    let passing = passing_name(&name, restore);
    let made = see(h, &passing).await;
    h.containers().prepare(restore, &container).await.unwrap();
    assert_eq!(see(h, &passing).await, made, "a second call makes nothing");
    assert!(made.policy.is_never());
    assert_eq!(see(h, &name).await.id, container.id, "the app runs on");
    if h.reboot().await {
        assert_eq!(see(h, &passing).await.run, RunState::Stopped);
    }
}

/// Made anew, a container is what it was: name, labels, environment, image, policy and the data of its volumes.
pub async fn recreating_keeps_everything_but_the_old_container(h: &mut dyn Harness) {
    let name = h.name("web");
    let wanted = Wanted {
        env: BTreeMap::from([("COLOUR".into(), "blue".into())]),
        ..Wanted::new(&name).policy("unless-stopped").label("com.docker.compose.config-hash", "abc")
    };
    let wanted = wanted.place(Place::Anonymous, "/cache").place(Place::Volume(h.name("vol")), "/named");
    h.add(&wanted).await;
    h.write(&name, "/cache/file", "kept").await;
    h.write(&name, "/named/file", "kept too").await;
    let before = see(h, &name).await;
    let found = find(h, &name).await;
    let unsupported = |target: &str| found.mounts.iter().find(|m| m.target == target).unwrap().unsupported.is_some();
    assert!(unsupported("/cache"), "an anonymous volume is no volume of a snapshot");
    assert!(!unsupported("/named"));

    let restore = restore();
    h.containers().prepare(restore, &found).await.unwrap();
    let pinned = quiesce(h, &name).await;
    recreate(h, restore, &pinned).await;

    assert_replaced(h, restore, &pinned).await;
    let after = see(h, &name).await;
    assert_eq!((after.labels, after.env), (before.labels, before.env));
    assert_eq!(h.read(&name, "/cache/file").await, "kept");
    assert_eq!(h.read(&name, "/named/file").await, "kept too");
    let again = find(h, &name).await;
    assert_eq!(again.mounts, found.mounts);
    assert_eq!(again.image, found.image);
}

/// A second call finds its work done and changes nothing.
pub async fn recreating_twice_is_recreating_once(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always")).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    recreate(h, restore, &pinned).await;
    assert_replaced(h, restore, &pinned).await;
    let once = see(h, &name).await;
    recreate(h, restore, &pinned).await;
    assert_eq!(see(h, &name).await, once);
}

/// Whatever a crash leaves of original and replacement, the next call ends with the app running once.
pub async fn recreating_works_from_every_state_that_a_crash_leaves(h: &mut dyn Harness) {
    for (number, state) in [
        "original",
        "original prepared",
        "retired prepared",
        "retired",
        "retired named",
        "retired started",
        "retired running named",
        "gone prepared",
        "gone named",
        "gone",
        "revived prepared",
    ]
    .iter()
    .enumerate()
    {
        let name = h.name(&format!("web{number}"));
        h.add(&Wanted::new(&name).policy("always").label("state", state)).await;
        let restore = restore();
        let pinned = quiesce(h, &name).await;
        let (passing, retired) = (passing_name(&name, restore), retired_name(&name, restore));
        let has = |word: &str| state.split(' ').any(|w| w == word);
        if has("prepared") || has("named") || has("started") {
            h.containers().prepare(restore, &pinned.container).await.unwrap();
        }
        if has("retired") {
            h.rename(&name, &retired).await;
        }
        if has("gone") {
            h.remove(&name).await;
        }
        if has("running") {
            h.start(&retired).await;
        }
        if has("revived") {
            h.start(&name).await;
        }
        if has("named") || has("started") {
            h.rename(&passing, &name).await;
        }
        if has("started") {
            h.start(&name).await;
        }
        recreate(h, restore, &pinned).await;
        println!("from {state}");
        assert_replaced(h, restore, &pinned).await;
        assert_eq!(see(h, &name).await.labels["state"], **state);
    }
}

/// With `restart`, too, a member that vanished is made from its record.
pub async fn a_lost_container_is_made_from_its_record(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).label("made", "once").policy("always")).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    h.remove(&name).await;
    h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart).await.unwrap();
    assert_replaced(h, restore, &pinned).await;
    assert_eq!(see(h, &name).await.labels["made"], "once");
}

/// A replacement that cannot be started does not take the app down, nor its neighbours.
pub async fn a_replacement_that_cannot_start_brings_the_old_one_back(h: &mut dyn Harness) {
    let [broken, well] = ["a-broken", "b-well"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&broken).policy("always")).await;
    h.add(&Wanted::new(&well)).await;
    let restore = restore();
    let mut first = quiesce(h, &broken).await;
    let second = quiesce(h, &well).await;
    h.spoil(&mut first.container);
    for _ in 0..2 {
        let error = h.containers().redeploy(restore, &[first.clone(), second.clone()], Redeploy::Recreate).await;
        assert!(!error.unwrap_err().is_transient());
        let back = see(h, &broken).await;
        assert_eq!((&back.id, back.run, back.policy.name.as_str()), (&first.container.id, RunState::Running, "always"));
        assert_eq!(h.see(&retired_name(&broken, restore)).await, None);
        assert_replaced(h, restore, &second).await;
    }
    h.containers().discard(restore).await.unwrap();
    assert_eq!(h.see(&passing_name(&broken, restore)).await, None);
    assert_eq!(see(h, &broken).await.id, first.container.id);
}

/// `restart` starts the container that is there, also the one that waits under its retired name.
pub async fn restarting_keeps_the_container(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always")).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    let restart = || h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart);
    restart().await.unwrap();
    let now = see(h, &name).await;
    assert_eq!((&now.id, now.run, now.policy.name.as_str()), (&pinned.container.id, RunState::Running, "always"));
    h.rename(&name, &retired_name(&name, restore)).await;
    restart().await.unwrap();
    assert_eq!(see(h, &name).await, now);
}

/// A container that did not run gets its policy back and is not started.
pub async fn what_was_stopped_stays_stopped(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("unless-stopped").run(RunState::Stopped)).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    assert!(see(h, &name).await.policy.is_never());
    for how in [Redeploy::Recreate, Redeploy::Restart] {
        h.containers().redeploy(restore, std::slice::from_ref(&pinned), how).await.unwrap();
        let now = see(h, &name).await;
        assert_eq!((&now.id, now.run), (&pinned.container.id, RunState::Stopped));
        assert_eq!(now.policy.name, "unless-stopped");
    }
}

/// A frozen container is frozen again, made anew or not.
pub async fn what_was_paused_is_paused_again(h: &mut dyn Harness) {
    for (stem, how) in [("anew", Redeploy::Recreate), ("again", Redeploy::Restart)] {
        let name = h.name(stem);
        h.add(&Wanted::new(&name).policy("always").run(RunState::Paused)).await;
        let restore = restore();
        let pinned = quiesce(h, &name).await;
        assert_eq!(pinned.container.run, RunState::Paused);
        for _ in 0..2 {
            h.containers().redeploy(restore, std::slice::from_ref(&pinned), how).await.unwrap();
            let now = see(h, &name).await;
            assert_eq!((now.run, now.policy.name.as_str()), (RunState::Paused, "always"));
            assert_eq!(now.id != pinned.container.id, how == Redeploy::Recreate);
        }
    }
}

/// Containers that do not belong to the workload are fenced and freed, never replaced.
pub async fn a_stranger_gets_its_policy_back_and_is_never_made_anew(h: &mut dyn Harness) {
    let name = h.name("stranger");
    h.add(&Wanted::new(&name).policy("always").run(RunState::Stopped)).await;
    let restore = restore();
    let pinned = Pinned { member: false, ..quiesce(h, &name).await };
    recreate(h, restore, &pinned).await;
    let now = see(h, &name).await;
    assert_eq!((&now.id, now.run, now.policy.name.as_str()), (&pinned.container.id, RunState::Stopped, "always"));
    h.remove(&name).await;
    recreate(h, restore, &pinned).await;
    assert_eq!(h.see(&name).await, None);
}

/// Litter of this restore goes, that of another stays; a retired container gets a free name back; what runs stays.
pub async fn discarding_removes_what_is_ours_and_gives_names_back(h: &mut dyn Harness) {
    let [own, lost, busy] = ["own", "lost", "busy"].map(|stem| h.name(stem));
    let (ours, theirs) = (restore(), restore());
    h.add(&Wanted::new(&own)).await;
    let stopped = |name: String| Wanted::new(&name).run(RunState::Stopped);
    h.add(&stopped(passing_name(&own, ours))).await;
    h.add(&stopped(retired_name(&own, ours))).await;
    h.add(&stopped(passing_name(&own, theirs))).await;
    h.add(&stopped(retired_name(&lost, ours)).label("was", "lost")).await;
    h.add(&Wanted::new(&passing_name(&busy, ours))).await;
    for _ in 0..2 {
        h.containers().discard(ours).await.unwrap();
        assert_eq!(see(h, &own).await.run, RunState::Running);
        assert_eq!(h.see(&passing_name(&own, ours)).await, None);
        assert_eq!(h.see(&retired_name(&own, ours)).await, None);
        assert!(h.see(&passing_name(&own, theirs)).await.is_some());
        assert_eq!(see(h, &lost).await.labels["was"], "lost");
        assert_eq!(see(h, &passing_name(&busy, ours)).await.run, RunState::Running);
    }
}

/// Health is told in the order of the names, also of what is gone.
pub async fn health_tells_running_from_down(h: &mut dyn Harness) {
    let [up, down, gone] = ["up", "down", "gone"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&up)).await;
    h.add(&Wanted::new(&down).run(RunState::Stopped)).await;
    let health = h.containers().health(&[gone.clone(), up.clone(), down.clone()]).await.unwrap();
    let states: Vec<(&str, HealthState)> = health.iter().map(|h| (h.name.as_str(), h.state)).collect();
    assert_eq!(states, [(&*gone, HealthState::Down), (&*up, HealthState::Running), (&*down, HealthState::Down)]);
}
