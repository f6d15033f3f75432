//! What every implementation of the containers port must do.
//!
//! Each case makes its own containers through a [`Harness`] and promises one thing; `containers_contract!` runs all
//! of them, so that no implementation can leave one out.

mod boot;
mod bring_back;
mod look;
mod quiesce;

use std::{collections::BTreeMap, path::PathBuf};

use async_trait::async_trait;
use uuid::Uuid;
use volsnap_core::{
    model::{
        Container, ContainerId, Pinned, Redeploy, RestartPolicy, RestoreId, RunState, Selector, Shares,
        container::{passing_name, retired_name},
    },
    ports::Containers,
};

pub use self::{boot::*, bring_back::*, look::*, quiesce::*};

/// A directory of a container.
#[derive(Clone, Debug)]
pub enum Place {
    /// A bind mount of a host directory.
    Host(PathBuf),
    /// A named volume.
    Volume(String),
    /// A volume without a name of its own.
    Anonymous,
    /// A named volume whose options make it show a directory of the host (`o=bind`).
    Showing(String, PathBuf),
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
    /// What it uses of other containers, by their names; the engine keeps their ids.
    pub uses: Vec<(Shares, String)>,
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
            uses: Vec::new(),
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

    /// With something of another container.
    #[must_use]
    pub fn uses(mut self, shares: Shares, name: &str) -> Self {
        self.uses.push((shares, name.into()));
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
    /// The same of one that another container refers to; `false` if the engine removes none such.
    async fn lose(&self, name: &str) -> bool {
        self.remove(name).await;
        true
    }
    /// Renames a container.
    async fn rename(&self, name: &str, to: &str);
    /// Starts a container.
    async fn start(&self, name: &str);
    /// Writes a file as the container sees it.
    async fn write(&self, name: &str, path: &str, contents: &str);
    /// Reads a file as the container sees it.
    async fn read(&self, name: &str, path: &str) -> String;
    /// Writes a file into the container's own layer.
    async fn scribble(&self, name: &str, path: &str);
    /// Whether that file is in the container's own layer.
    async fn scribbled(&self, name: &str, path: &str) -> bool;
    /// Makes another image for a container of that name, and gives its id by content.
    async fn another_image(&self, name: &str) -> String;
    /// Changes a record so that a container can be made from it, but not started.
    fn spoil(&self, container: &mut Container);
    /// A command of the container that says a word and ends with that status, 0 or 1.
    fn saying(&self, word: &str, status: i64) -> Vec<String>;
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
            what_a_restore_named_is_found_whatever_it_mounts
            all_are_listed_under_any_name_with_their_projects
            consumers_are_found_above_at_and_below_a_path_in_any_state
            a_fenced_container_is_not_revived_by_a_reboot
            calls_on_what_is_gone_are_no_errors
            pausing_takes_all_or_none
            stopping_thaws_what_is_frozen
            a_prepared_replacement_waits_stopped_and_unrevived
            recreating_keeps_everything_but_the_old_container
            local_volumes_of_every_kind_are_directories_of_the_host
            recreating_twice_is_recreating_once
            recreating_works_from_every_state_that_a_crash_leaves
            a_lost_container_is_made_from_its_record
            a_replacement_that_cannot_start_brings_the_old_one_back
            restarting_keeps_the_container
            a_container_that_was_renamed_is_found_by_its_id
            the_way_back_from_a_replacement_leads_to_the_original
            what_refers_to_a_replaced_container_follows_it
            what_refers_to_a_lost_container_comes_back_with_it
            a_container_comes_back_with_the_image_that_is_asked_for
            what_a_container_would_lose_is_told
            a_container_that_cannot_be_started_has_its_policy_back
            what_a_container_waits_for_is_shown_by_name
            what_was_stopped_stays_stopped
            what_was_paused_is_paused_again
            a_stranger_gets_its_policy_back_and_is_never_made_anew
            discarding_removes_what_is_ours_and_gives_names_back
            health_tells_running_from_down
            a_command_runs_in_a_running_container_and_its_end_is_told
            a_copy_runs_beside_its_original_and_writes_only_into_copies
            a_copy_is_no_part_of_any_workload
            booting_twice_is_booting_once
            unbooting_removes_all_of_one_drill_and_nothing_else
            a_copy_whose_image_is_gone_is_refused
            a_copy_that_cannot_start_is_an_error_and_can_be_removed
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
    if let Some(old) = h.see(&retired_name(&was.name, restore)).await {
        assert_eq!((&old.id, old.run), (&was.id, RunState::Stopped), "the old one waits until the restore is closed");
        assert!(old.policy.is_never());
    }
    assert_eq!(h.see(&passing_name(&was.name, restore)).await, None, "a replacement is left over");
}
