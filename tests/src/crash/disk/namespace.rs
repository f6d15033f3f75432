//! A mount namespace for a test: nobody else sees its mounts, and they end with its process, however that ends.
//!
//! Without it, every process on the machine that makes a namespace of its own meanwhile (each start of a container)
//! holds a copy of the mounts for a moment: a filesystem that was unmounted here lives on, and the next mount of its
//! device shows what that one remembers instead of what is on the disk.

use std::process::Command;

/// Set within.
const INSIDE: &str = "VOLSNAP_CRASH_INSIDE";

/// Runs the test of that name once more in a mount namespace of its own, and gives `true` within.
///
/// # Panics
/// If the test fails there.
#[must_use]
pub fn entered(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        // Where the test says that it is skipped.
        return true;
    }
    let this = std::env::current_exe().expect("the test has a binary");
    // If this process is killed, so is the other one.
    let mut again = Command::new("setpriv");
    again.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "--propagation", "private", "--"]);
    again.arg(this).args(["--exact", test, "--nocapture"]);
    let status = again.env(INSIDE, "1").status().expect("setpriv(1) runs");
    assert!(status.success(), "{test} failed in its mount namespace: {status}");
    false
}
