//! Which engine a test gets: the Docker Engine of this machine, or one out of another system's root directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Names the engine for every test of a process, as `docker:ROOT` or `podman:ROOT`: `cargo xtask engines` sets it.
pub const ENGINE: &str = "VOLSNAP_TEST_ENGINE";

/// Enters a system's root directory without leaving the paths of this one: its programs and their settings stand in
/// the places of ours, everything else is where it was. So a volume has one path for the engine, for tests and for us.
/// What is mounted below the engine's own directory is seen on both sides, as with an engine of the machine.
const ENTER: &str = r#"
set -e
root=$1 dir=$2
shift 2
for at in / /usr /etc /run; do mount --make-slave "$at" 2>/dev/null || :; done
mount --rbind "$dir/run" /run
mount --bind "$root/etc" /etc
mount --bind "$root/usr" /usr
exec "$@"
"#;

/// What is asked of Podman here: limits that this machine may give, and programs that suit its control groups.
const PODMAN: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"#;

/// A program that has containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Docker Engine.
    Docker,
    /// Podman behind its compatible socket.
    Podman,
}

/// An engine that a test may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Which program.
    pub program: Program,
    /// The root directory of the system whose program it is; `None`: of this machine.
    pub root: Option<PathBuf>,
}

impl Kind {
    /// The Docker Engine of this machine.
    #[must_use]
    pub fn of_machine() -> Self {
        Kind { program: Program::Docker, root: None }
    }

    /// The engine that the environment names for all tests, otherwise that of this machine.
    ///
    /// # Panics
    /// If it names something that is none: such a run would prove nothing.
    #[must_use]
    pub fn from_env() -> Self {
        match std::env::var(ENGINE) {
            Err(_) => Kind::of_machine(),
            Ok(value) => {
                Kind::parse(&value).unwrap_or_else(|| panic!("{ENGINE}={value} is no docker:ROOT or podman:ROOT"))
            }
        }
    }

    fn parse(value: &str) -> Option<Self> {
        let (program, root) = value.split_once(':')?;
        let program = match program {
            "docker" => Program::Docker,
            "podman" => Program::Podman,
            _ => return None,
        };
        let root = PathBuf::from(root);
        (root.is_absolute() && root.join("usr").is_dir()).then_some(Kind { program, root: Some(root) })
    }

    /// A command that runs `program` of this kind's system; with `alone` in a network of its own. What comes of another
    /// system always has one: the rules of two engines for one network would not agree.
    pub(super) fn enter(&self, program: &str, dir: &Path, alone: bool) -> Command {
        let Some(root) = &self.root else {
            let mut command = Command::new(if alone { "unshare" } else { program });
            if alone {
                command.args(["--net", program]);
            }
            return command;
        };
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "unchanged", "--net", "sh", "-c", ENTER, "sh"]);
        command.arg(root).arg(dir).arg(program);
        command
    }

    /// Lays out what such an engine needs in its directory before it is started for the first time.
    pub(super) fn lay_out(&self, dir: &Path) -> Result<(), String> {
        fs::create_dir_all(dir.join("run")).map_err(|e| e.to_string())?;
        if self.program == Program::Podman {
            fs::write(settings(dir), PODMAN).map_err(|e| e.to_string())?;
        }
        if self.root.is_none() {
            return Ok(());
        }
        // A mount of its own that both sides share.
        for options in [&["--bind"][..], &["--make-shared"]] {
            let mut mount = Command::new("mount");
            mount.args(options).arg(dir);
            if options == ["--bind"] {
                mount.arg(dir);
            }
            let done = mount.status().map_err(|e| format!("mount: {e}"))?;
            if !done.success() {
                return Err(format!("mount {} {}: {done}", options.join(" "), dir.display()));
            }
        }
        Ok(())
    }

    /// Podman's service for the engine of that directory. At a boot its unit `podman-restart.service` starts what is to
    /// run always: no daemon does.
    pub(super) fn podman_service(&self, dir: &Path, host: &str, boots: bool) -> Command {
        let mut command = self.enter("sh", dir, true);
        let unit = r#"podman "$@" start --all --filter restart-policy=always >&2 || :;"#;
        let service = r#"exec podman "$@" system service --time=0 "$HOST""#;
        command.arg("-c").arg(format!("{} {service}", if boots { unit } else { "" })).arg("sh");
        command.env("CONTAINERS_CONF", settings(dir)).env("HOST", host);
        for (option, name) in [
            ("--root", "data"),
            ("--runroot", "run/containers"),
            ("--tmpdir", "run/libpod"),
            ("--network-config-dir", "networks"),
        ] {
            command.arg(option).arg(dir.join(name));
        }
        command
    }
}

fn settings(dir: &Path) -> PathBuf {
    dir.join("containers.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_named_by_program_and_root() {
        let of = |program| Some(Kind { program, root: Some("/".into()) });
        assert_eq!(Kind::parse("podman:/"), of(Program::Podman));
        assert_eq!(Kind::parse("docker:/"), of(Program::Docker));
        for strange in ["", "docker", "podman:relative", "lxc:/", "docker:/no/such/root"] {
            assert_eq!(Kind::parse(strange), None, "{strange}");
        }
    }
}
