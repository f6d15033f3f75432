//! The Commands port on this host.
//!
//! A program is started without a shell, with the caller's rights and environment, nothing to read, `/` as its directory,
//! and in a process group of its own, which is ended as a whole. No signal handler is installed and no thread is kept busy:
//! the end of a process is looked for again and again, and its output is read from pipes that do not block.

mod tail;

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    net::unix::pipe::Receiver,
    time::{Instant, sleep, timeout_at},
};
use volsnap_core::ports::{Command, Commands, Exit, Ran, Watch};

use self::tail::Tail;

/// How long a group that is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How often the end is looked for, at the least.
const LOOK: Duration = Duration::from_millis(20);
/// How often the observer is asked whether to end.
const ASK: Duration = Duration::from_millis(100);

/// Runs programs of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostCommands;

#[async_trait]
impl Commands for HostCommands {
    async fn run(&self, command: &Command, watch: &Watch) -> Ran {
        let program = command.words.first().map_or("", String::as_str);
        match Running::start(command) {
            Ok(running) => running.finish(command.timeout, watch).await,
            Err(error) => Ran { exit: Exit::NotStarted(format!("{program}: {error}")), told: String::new() },
        }
    }
}

/// A program under way. Dropping it kills its group.
struct Running {
    child: Child,
    group: Option<Pid>,
    out: Receiver,
    err: Receiver,
}

/// Why it is not waited for any longer.
enum Until {
    Ended,
    TimedOut,
    Cancelled,
}

impl Running {
    fn start(command: &Command) -> io::Result<Self> {
        let Some((program, arguments)) = command.words.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no program"));
        };
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .envs(command.env.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        match Self::attend(&mut child) {
            Ok((group, out, err)) => Ok(Running { child, group: Some(group), out, err }),
            Err(error) => {
                // Nobody would hear of its end.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn attend(child: &mut Child) -> io::Result<(Pid, Receiver, Receiver)> {
        let gone = || io::Error::other("it has no output");
        let group = Pid::from_child(child);
        let out = Receiver::from_owned_fd(child.stdout.take().ok_or_else(gone)?.into())?;
        let err = Receiver::from_owned_fd(child.stderr.take().ok_or_else(gone)?.into())?;
        Ok((group, out, err))
    }

    async fn finish(mut self, patience: Duration, watch: &Watch) -> Ran {
        let (mut out, mut err) = (Tail::default(), Tail::default());
        let until = self.wait(patience, watch, &mut out, &mut err).await;
        match until {
            Until::Ended => {}
            Until::TimedOut | Until::Cancelled => self.end_group(&mut out, &mut err).await,
        }
        // What it left running in the background may hold the pipes for ever: what has been said by now is all.
        out.drain(&self.out).await;
        err.drain(&self.err).await;
        let status = self.child.wait();
        self.group = None;
        let exit = match (until, status) {
            (Until::TimedOut, _) => Exit::TimedOut,
            (Until::Cancelled, _) => Exit::Cancelled,
            (Until::Ended, Ok(status)) => {
                use std::os::unix::process::ExitStatusExt;
                match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Status(code.into()),
                    (None, signal) => Exit::Signal(signal.unwrap_or_default()),
                }
            }
            (Until::Ended, Err(error)) => Exit::NotStarted(format!("its end was not seen: {error}")),
        };
        let told = if err.is_blank() { out.text() } else { err.text() };
        Ran { exit, told }
    }

    /// Reads along until the program has ended or somebody has had enough.
    async fn wait(&self, patience: Duration, watch: &Watch, out: &mut Tail, err: &mut Tail) -> Until {
        // A time-out beyond all clocks is none.
        let deadline = Instant::now().checked_add(patience);
        let (mut out_open, mut err_open) = (true, true);
        loop {
            tokio::select! {
                () = self.ended() => return Until::Ended,
                more = out.read(&self.out), if out_open => out_open = more,
                more = err.read(&self.err), if err_open => err_open = more,
                () = sleep(ASK) => {}
            }
            if watch.cancelled() {
                return Until::Cancelled;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Until::TimedOut;
            }
        }
    }

    /// Asks the whole group to end, and kills what is left of it. The group's number cannot be another's meanwhile:
    /// its leader has not been waited for.
    async fn end_group(&self, out: &mut Tail, err: &mut Tail) {
        let Some(group) = self.group else { return };
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        let (mut out_open, mut err_open) = (true, true);
        loop {
            let more = async {
                tokio::select! {
                    more = out.read(&self.out), if out_open => out_open = more,
                    more = err.read(&self.err), if err_open => err_open = more,
                    () = self.ended() => {}
                }
                self.has_ended()
            };
            match timeout_at(deadline, more).await {
                Ok(false) => {}
                Ok(true) | Err(_) => break,
            }
        }
        let _ = kill_process_group(group, Signal::KILL);
    }

    /// Comes back when the leader has ended. Those that it started get no more time than it.
    async fn ended(&self) {
        let mut pause = Duration::from_millis(1);
        while !self.has_ended() {
            sleep(pause).await;
            pause = (pause * 2).min(LOOK);
        }
    }

    fn has_ended(&self) -> bool {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let Some(group) = self.group else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        !matches!(waitid(WaitId::Pid(group), options), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
