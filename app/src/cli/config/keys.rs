//! The keys of the file, and what is so if nobody says anything else. A new key is a field here and a line in `visit`.

use std::{num::NonZeroUsize, path::PathBuf};

use jiff::SignedDuration;
use volsnap::model::{ArchiveLimits, retention::Policy};

use super::{
    hooks::Hooks,
    value::{At, DockerHost, Timeout, Written, Zone},
};
use crate::cli::args::{ModeArg, ProgressMode, RedeployArg, Unhealthy};

/// Who goes through the keys: the reader of a file, or who shows them.
pub trait Keys: Sized {
    /// A key. Its slot holds what is in force, and where that comes from.
    fn key<T: Written>(&mut self, name: &'static str, slot: &mut At<T>);
    /// A table of keys.
    fn table(&mut self, name: &'static str, visit: impl FnOnce(&mut Self));
}

/// What concerns every command.
#[derive(Clone, Debug, Default)]
pub struct General {
    /// Where archives, journals and the catalog lie; by default it depends on who calls.
    pub state_dir: At<Option<PathBuf>>,
    /// Threads; by default as many as there are processors, up to four.
    pub jobs: At<Option<NonZeroUsize>>,
    /// How progress is shown.
    pub progress: At<ProgressMode>,
    /// The container engine's socket; by default Docker's.
    pub docker_host: At<Option<DockerHost>>,
    /// Whose calendar and clock count for people and for retention; by default the host's.
    pub timezone: At<Option<Zone>>,
    /// What archives may come to.
    pub limits: Limits,
}

impl General {
    pub fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("state_dir", &mut self.state_dir);
        keys.key("jobs", &mut self.jobs);
        keys.key("progress", &mut self.progress);
        keys.key("docker_host", &mut self.docker_host);
        keys.key("timezone", &mut self.timezone);
        keys.table("limits", |keys| self.limits.visit(keys));
    }
}

/// What an archive may come to before something is taken out of it or it comes in from elsewhere; by default anything.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub entries_max: At<Option<u64>>,
    pub bytes_max: At<Option<u64>>,
    pub ratio_max: At<Option<u64>>,
}

impl Limits {
    fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("entries_max", &mut self.entries_max);
        keys.key("bytes_max", &mut self.bytes_max);
        keys.key("ratio_max", &mut self.ratio_max);
    }

    /// As the library has them.
    pub fn in_force(&self) -> ArchiveLimits {
        ArchiveLimits {
            entries_max: self.entries_max.value,
            bytes_max: self.bytes_max.value,
            ratio_max: self.ratio_max.value,
        }
    }
}

/// What concerns workloads: as a whole at the top of the file, and again below `[workload.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub create: Create,
    pub restore: Restore,
    pub retention: Retention,
    /// What runs before and after, behind the hooks that a workload has itself.
    pub hooks: At<Hooks>,
}

impl Section {
    pub fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("hooks", &mut self.hooks);
        keys.table("create", |keys| self.create.visit(keys));
        keys.table("restore", |keys| self.restore.visit(keys));
        keys.table("retention", |keys| self.retention.visit(keys));
    }

    /// The same before the workload's own table is read over it. The rules of a policy belong together: whoever writes
    /// one for a workload means these rules, and not these besides those that hold for all.
    pub fn for_workload(&self, has_rules: bool) -> Section {
        let retention = match has_rules {
            true => Retention { keep_prerestore: self.retention.keep_prerestore.clone(), ..Retention::default() },
            false => self.retention.clone(),
        };
        Section { retention, ..self.clone() }
    }
}

/// What `create` does.
#[derive(Clone, Debug, Default)]
pub struct Create {
    pub mode: At<ModeArg>,
}

impl Create {
    fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("mode", &mut self.mode);
    }
}

/// What `restore`, `undo` and `plan` do.
#[derive(Clone, Debug)]
pub struct Restore {
    pub health_timeout: At<Timeout>,
    pub on_unhealthy: At<Unhealthy>,
    pub safety_snapshot: At<bool>,
    pub redeploy: At<RedeployArg>,
    pub allow_devices: At<bool>,
    pub resume: At<bool>,
}

impl Default for Restore {
    fn default() -> Self {
        Restore {
            health_timeout: At::default(),
            on_unhealthy: At::default(),
            safety_snapshot: At::usual(true),
            redeploy: At::default(),
            allow_devices: At::default(),
            resume: At::default(),
        }
    }
}

impl Restore {
    fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("health_timeout", &mut self.health_timeout);
        keys.key("on_unhealthy", &mut self.on_unhealthy);
        keys.key("safety_snapshot", &mut self.safety_snapshot);
        keys.key("redeploy", &mut self.redeploy);
        keys.key("allow_devices", &mut self.allow_devices);
        keys.key("resume", &mut self.resume);
    }
}

/// What `prune` keeps when its arguments name no rule.
#[derive(Clone, Debug)]
pub struct Retention {
    pub keep_last: At<u32>,
    pub keep_hourly: At<u32>,
    pub keep_daily: At<u32>,
    pub keep_weekly: At<u32>,
    pub keep_monthly: At<u32>,
    pub keep_yearly: At<u32>,
    pub keep_within: At<Option<SignedDuration>>,
    pub keep_prerestore: At<u32>,
}

/// The key in a retention table that is no rule: it makes no policy, and inherits by itself.
pub const QUOTA: &str = "keep_prerestore";

impl Default for Retention {
    fn default() -> Self {
        Retention {
            keep_last: At::default(),
            keep_hourly: At::default(),
            keep_daily: At::default(),
            keep_weekly: At::default(),
            keep_monthly: At::default(),
            keep_yearly: At::default(),
            keep_within: At::default(),
            keep_prerestore: At::usual(Policy::default().prerestore_last),
        }
    }
}

impl Retention {
    fn visit(&mut self, keys: &mut impl Keys) {
        keys.key("keep_last", &mut self.keep_last);
        keys.key("keep_hourly", &mut self.keep_hourly);
        keys.key("keep_daily", &mut self.keep_daily);
        keys.key("keep_weekly", &mut self.keep_weekly);
        keys.key("keep_monthly", &mut self.keep_monthly);
        keys.key("keep_yearly", &mut self.keep_yearly);
        keys.key("keep_within", &mut self.keep_within);
        keys.key(QUOTA, &mut self.keep_prerestore);
    }

    /// The policy that they make.
    pub fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last.value,
            hourly: self.keep_hourly.value,
            daily: self.keep_daily.value,
            weekly: self.keep_weekly.value,
            monthly: self.keep_monthly.value,
            yearly: self.keep_yearly.value,
            within: self.keep_within.value,
            prerestore_last: self.keep_prerestore.value,
        }
    }
}
