//! Kills a restore in the middle of its switch.
//!
//! The moment is found by watching what a restore leaves on the disk, not by timing: the journal says `committed`, and a
//! live path holds another directory than before. With `strace` the kernel's renames are slowed down, so that the
//! process dies between two of them; without it, it dies as soon as a rename is seen.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{run::Outcome, volsnap::Volsnap};

/// Each rename waits so long before it is done. (`-D`: the restore stays our child, so that we may kill it.)
const SLOW_RENAMES: [&str; 9] =
    ["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e", "inject=renameat2:delay_enter=200000"];

/// A restore that ended before it could be killed was a good restore; it is tried again so often.
const ATTEMPTS: usize = 5;

/// Runs a restore and kills it; which of the live paths were switched by then.
pub fn in_the_switch(volsnap: &Volsnap, arguments: &[&str], live: &[PathBuf]) -> Outcome<Vec<bool>> {
    let slow = can_slow_down();
    for _ in 0..ATTEMPTS {
        let before = inodes(live);
        let mut command = if slow {
            let mut strace = Command::new("strace");
            strace.args(SLOW_RENAMES);
            volsnap.command_under(strace, arguments)
        } else {
            volsnap.command(arguments)
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|e| format!("cannot run volsnap: {e}"))?;
        if kill_when(child, || is_committed(volsnap.state()) && inodes(live) != before)? {
            return Ok(std::iter::zip(inodes(live), before).map(|(now, before)| now != before).collect());
        }
    }
    Err("the restore was never caught in its switch".to_string())
}

/// Kills the process when `due`; false if it ended before.
fn kill_when(mut child: Child, due: impl Fn() -> bool) -> Outcome<bool> {
    let waiting = |e: std::io::Error| format!("cannot wait for volsnap: {e}");
    loop {
        if child.try_wait().map_err(waiting)?.is_some() {
            return Ok(false);
        }
        if due() {
            child.kill().map_err(|e| format!("cannot kill volsnap: {e}"))?;
            let killed = child.wait().map_err(waiting)?.signal().is_some();
            return Ok(killed);
        }
    }
}

fn inodes(live: &[PathBuf]) -> Vec<Option<u64>> {
    live.iter().map(|path| fs::metadata(path).ok().map(|m| m.ino())).collect()
}

fn is_committed(state: &Path) -> bool {
    let journals = fs::read_dir(state.join("journal")).into_iter().flatten().flatten();
    let mut texts = journals.filter_map(|journal| fs::read_to_string(journal.path()).ok());
    texts.any(|text| text.contains("\"committed\""))
}

fn can_slow_down() -> bool {
    let mut probe = Command::new("strace");
    probe.args(SLOW_RENAMES).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
