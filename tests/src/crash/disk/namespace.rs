//! A mount namespace for a test: nobody else sees its mounts, and they end with its process, however that ends.
//!
//! Without it, every process on the machine that makes a namespace of its own meanwhile (each start of a container)
//! holds a copy of the mounts for a moment: a filesystem that was unmounted here lives on, and the next mount of its
//! device shows what that one remembers instead of what is on the disk.

use std::{ffi::OsStr, path::Path, process::Command};

use super::guard;

/// Set within.
const INSIDE: &str = "VOLSNAP_CRASH_INSIDE";

/// Runs the test of that name once more in a mount namespace of its own, beside the binary `volsnap-guard`, and gives
/// `true` within.
///
/// # Errors
/// What this machine lacks for that.
///
/// # Panics
/// If the test fails there.
pub fn entered(test: &str, guard: &Path) -> Result<bool, String> {
    if std::env::var_os(INSIDE).is_some() {
        return guard::start(guard).map(|()| true).map_err(|error| format!("no guard: {error}"));
    }
    if !rustix::process::geteuid().is_root() {
        return Err("it needs root".into());
    }
    // Whether the tools are there and may do it.
    let tried = alone(OsStr::new("true")).output().map_err(|error| format!("setpriv: {error}"))?;
    if !tried.status.success() {
        return Err(String::from_utf8_lossy(&tried.stderr).trim().to_string());
    }
    let this = std::env::current_exe().map_err(|error| format!("the test has no binary: {error}"))?;
    let mut again = alone(this.as_os_str());
    again.args(["--exact", test, "--nocapture"]);
    let status = again.env(INSIDE, "1").status().map_err(|error| format!("setpriv: {error}"))?;
    assert!(status.success(), "{test} failed in its mount namespace: {status}");
    Ok(false)
}

/// A command in a mount namespace of its own; if this process is killed, so is that one.
fn alone(program: &OsStr) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "private", "--"]).arg(program);
    command
}

/// A test that was started by a test runs in a namespace of its own, too.
pub fn outside(command: &mut Command) -> &mut Command {
    command.env_remove(INSIDE)
}
