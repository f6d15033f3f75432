//! Runs a command that stops at each system call that may change something; its parent traces it.

use std::{os::unix::process::CommandExt, process::Command};

fn main() {
    let mut words = std::env::args_os().skip(1);
    let program = words.next().unwrap_or_else(|| complain(&"which command?"));
    #[cfg(target_arch = "x86_64")]
    stop_at_changes().unwrap_or_else(|error| complain(&error));
    complain(&Command::new(program).args(words).exec());
}

#[cfg(target_arch = "x86_64")]
fn stop_at_changes() -> Result<(), Box<dyn std::error::Error>> {
    use nix::sys::{
        ptrace,
        signal::{Signal, raise},
    };
    ptrace::traceme()?;
    // The parent says now which stops it wants; without a parent that does, calls would fail.
    raise(Signal::SIGSTOP)?;
    seccompiler::apply_filter(&volsnap_tests::crash::kill::calls::filter())?;
    Ok(())
}

fn complain(error: &dyn std::fmt::Display) -> ! {
    eprintln!("volsnap-stopped: {error}");
    std::process::exit(127);
}
