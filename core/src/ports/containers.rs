//! The container engine, or a host's own deployer in its place.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Command, Lease, Ran, Watch};
use crate::{
    error::EngineError,
    model::{Container, ContainerId, Losses, Pinned, Redeploy, RestartPolicy, RestoreId, Selector, WorkloadId},
    restore::Refusal,
};

/// About the engine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// Its name and version, for people.
    pub version: String,
    /// What tells it from every other engine, also from another one on this host: the same word as long as it keeps its
    /// containers. What was begun on one engine is ended on that one. `None` of an engine that has no such word, which is
    /// then taken for the one that it always was.
    pub id: Option<String>,
    /// Where it keeps its own data, if that is on this host: no live path may be that directory or contain it.
    /// (Named volumes lie below it, which is fine.)
    pub root: Option<PathBuf>,
    /// Whether containers run on while it restarts; `None` if it does not say.
    pub live_restore: Option<bool>,
    /// Whether the restart policy of a container that exists cannot be changed, as with Podman before 5.1.
    pub fixed_policies: bool,
}

impl EngineInfo {
    /// Why this engine cannot hold these containers stopped: their restart policies start them after a reboot, whatever
    /// becomes of their volumes meanwhile, and cannot be set aside.
    #[must_use]
    pub fn cannot_hold<'a>(&self, containers: impl IntoIterator<Item = &'a Container>) -> Option<Refusal> {
        let revived = |container: &&Container| self.fixed_policies && !container.restart_policy.is_never();
        let mut names: Vec<String> = containers
            .into_iter()
            .filter(revived)
            .map(|container| format!("{} ({})", container.name, container.restart_policy.name))
            .collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then(|| {
            Refusal::new(
                format!(
                    "{} cannot change the restart policy of a container that exists, so a reboot in the middle would start \
                     {} again",
                    self.version,
                    names.join(", ")
                ),
                "make the container anew without a restart policy and let a systemd unit start it, or use Podman 5.1 or newer",
            )
        })
    }
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthState {
    /// It runs, and its health check, if it has one, says so.
    Healthy,
    /// It runs, and its health check has not decided yet.
    Starting,
    /// It runs without a health check.
    Running,
    /// Its health check fails.
    Unhealthy,
    /// It does not run (any more), or the engine restarts it again and again.
    Down,
}

/// The health of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: HealthState,
    /// Which of its runs this is, where the engine tells: another word than before says that it ended and was started
    /// again in between, however short that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// With which code it ended, of one that has run and is down, where the engine tells: a job that others wait for has
    /// done its work if that is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// For people: the last output of the check; of one that is down the exit code and, where the engine keeps them,
    /// its last words.
    pub detail: String,
}

/// A container that is to be started on copies of its directories, while it runs on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The container as it is now.
    pub container: Container,
    /// The image that its copy runs, by content.
    pub image_id: String,
    /// The directories of the host that take the place of its own, by where they are in the container.
    pub copies: BTreeMap<String, PathBuf>,
}

/// What would become of containers that are started on copies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootCheck {
    /// Why it must not be tried.
    pub refusals: Vec<Refusal>,
    /// What the copies go without.
    pub warnings: Vec<String>,
}

/// The engine.
///
/// Every call looks at the engine anew and may be made twice: a call that finds its work done succeeds. Calls have
/// their own time-outs and always come back.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Containers: Send + Sync {
    /// About the engine; also tells whether it can be reached.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// Whether there should be one: its socket is there. Asked when it cannot be reached.
    async fn is_expected(&self) -> bool;

    /// The command by which people work it, as it stands in hints.
    fn command(&self) -> &'static str;

    /// A host's own deploy lock of the workload, held while volsnap works on it; [`EngineErrorKind::Conflict`](crate::error::EngineErrorKind) if it
    /// is taken. An engine without one lends an empty lease.
    async fn lease(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, EngineError>;

    /// The containers that the selector matches, in any state, so ordered that each comes after those that it depends
    /// on. A label or project that matches nothing gives none; a container that is named and missing is
    /// [`EngineErrorKind::NotFound`](crate::error::EngineErrorKind). Names that a restore gave (see [`passing_name`](crate::model::container::passing_name)) are left out.
    async fn find(&self, selector: &Selector) -> Result<Vec<Container>, EngineError>;

    /// Every container, in any state and under any name, in the order of [`Containers::find`]: to look around, and for
    /// what a restore left. A deployer that does not know of others than its own gives those;
    /// [`EngineErrorKind::Unsupported`](crate::error::EngineErrorKind) of one that lists none.
    async fn all(&self) -> Result<Vec<Container>, EngineError>;

    /// Every container, in any state and under any name, that mounts one of the paths, something below or something
    /// above one of them. Paths are compared as they are after resolving links on the host, and so are the directories
    /// themselves, which bind mounts and devices that are mounted twice show under two paths. One too many is no harm.
    async fn mounting(&self, paths: &[PathBuf]) -> Result<Vec<Container>, EngineError>;

    /// Every container, in any state, that carries a name of this restore (see
    /// [`is_ours`](crate::model::container::is_ours)), whatever it mounts.
    async fn of_restore(&self, restore: RestoreId) -> Result<Vec<Container>, EngineError>;

    /// What the container has that one that is made anew from its record would not have. Touches nothing.
    async fn losses(&self, id: &ContainerId) -> Result<Losses, EngineError>;

    /// Whether the engine has an image, by content.
    async fn has_image(&self, image_id: &str) -> Result<bool, EngineError>;

    /// Makes durable what the engine has recorded so far, by whomever it was asked: a process that was killed may have
    /// left restart policies and names that are seen, and that a power cut would still take back.
    async fn settle(&self) -> Result<(), EngineError>;

    /// Freezes running containers; all of them, or none and an error.
    async fn pause(&self, ids: &[ContainerId]) -> Result<(), EngineError>;

    /// Thaws those of the containers that are frozen. A container that is gone is no error.
    async fn unpause(&self, ids: &[ContainerId]) -> Result<(), EngineError>;

    /// Sets the restart policy, reads it back and makes it durable in the engine. A container that is gone is no error.
    async fn set_restart_policy(&self, id: &ContainerId, policy: &RestartPolicy) -> Result<(), EngineError>;

    /// Stops the containers with their own signal and time-out, in the given order, and returns when each is seen to be
    /// stopped. Frozen ones are thawed for it. A container that is gone is no error.
    async fn stop(&self, ids: &[ContainerId]) -> Result<(), EngineError>;

    /// Makes the replacement of a running container under its
    /// [`passing_name`](crate::model::container::passing_name) with restart policy `no`, at the
    /// recorded image id, without starting it. Succeeds if it stands already. What the record has of the image that the
    /// container ran is left out if another one is recorded. What it refers to by id is the replacement of that, if that
    /// is prepared.
    async fn prepare(&self, restore: RestoreId, container: &Container) -> Result<(), EngineError>;

    /// Brings the containers back, each after those it depends on: what ran runs, what was frozen is frozen, what was
    /// stopped stays stopped, with the restart policies that were recorded. Works from any state that a crash can
    /// leave, also when the engine lost the prepared replacement (made anew from the record) or the original.
    ///
    /// With [`Redeploy::Recreate`] a member that ran is replaced; the old one is kept, stopped, under its
    /// [`retired_name`](crate::model::container::retired_name) until [`Containers::discard`]. If the new one cannot be made
    /// or started, the old one gets its name back and is started, and the call reports the failure. A container that holds
    /// the name and is not the recorded one is taken for the replacement (an earlier call, or compose, made it).
    ///
    /// With [`Redeploy::Restart`] the recorded container itself is started. If it was retired it gets its name back, and a
    /// replacement gives it up. It is replaced only where it cannot serve: it is gone, the record is of another image than
    /// it has, or a container that it refers to was made anew and it could not be started any more.
    async fn redeploy(&self, restore: RestoreId, pinned: &[Pinned], how: Redeploy) -> Result<(), EngineError>;

    /// Removes containers that carry a name of this restore (see
    /// [`is_ours`](crate::model::container::is_ours)) and are not active, never their volumes.
    /// If a retired one's own name is free, it gets it back instead.
    async fn discard(&self, restore: RestoreId) -> Result<(), EngineError>;

    /// How the containers of those names are.
    async fn health(&self, names: &[String]) -> Result<Vec<Health>, EngineError>;

    /// Runs a command in the running container of that name, with its own user and directory, and comes back when it
    /// has ended, or when its time-out or the observer ends the waiting. An engine that cannot end the command itself
    /// leaves it to the container.
    async fn exec(&self, container: &str, command: &Command, watch: &Watch) -> Result<Ran, EngineError>;

    /// Whether [`Containers::boot`] could keep its promises for these containers, and with their images. Touches nothing;
    /// the copies need not be there yet. A deployer that cannot start copies refuses.
    async fn check_boot(&self, boots: &[Boot]) -> Result<BootCheck, EngineError>;

    /// Starts a copy of each container under its [`drill_name`](crate::model::container::drill_name), in this order;
    /// what they depend on was started by earlier calls, or stands before them. Done when they are started, not when
    /// they are healthy. One that stands already is started again if it has ended.
    ///
    /// A copy has the configuration of its container and the image that is named. It can do nothing to anything but its
    /// copied directories: no directory of the host beside them is writable for it, no socket or pipe of the host is
    /// there, no port is published; all copies of a drill share one network, in which they find each other by the names
    /// by which their originals do, and out of which no way leads. The engine never starts one by itself. Each has the
    /// label [`DRILL_LABEL`](crate::model::container::DRILL_LABEL) and no other.
    ///
    /// `Failed` and `NotFound` say that a copy could not be made or started, which speaks against the data; that there is
    /// no network for them does not, and is `Conflict`.
    async fn boot(&self, drill: RestoreId, boots: &[Boot]) -> Result<(), EngineError>;

    /// Removes whatever [`Containers::boot`] made for this drill, running or not, with what the copies wrote elsewhere than
    /// into the copied directories, which stay. Nothing of it runs or comes back after a crash when this returns.
    async fn unboot(&self, drill: RestoreId) -> Result<(), EngineError>;

    /// How often [`Containers::health`] is worth asking.
    fn health_interval(&self) -> Duration;
}
