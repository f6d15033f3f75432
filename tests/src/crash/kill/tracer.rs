//! Runs a command, looks at each of its system calls that changes or syncs something, and does something to some of them.
//!
//! What `strace --inject` does, with two differences: uses are counted over all threads and all kinds of calls (strace
//! counts for each thread by itself, so some uses are never met and others fail twice), and calls are told apart by the
//! file that they work on.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::calls::{self, Stopped};

/// How long a command may take: an engine that waits for ever is a failure too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is done to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before it.
    Kill,
    /// It is not done, and fails with this error.
    Fail(Errno),
    /// It is not done, and says that it was.
    Lie,
}

/// A use of a call that changes or syncs something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The system call.
    pub call: &'static str,
    /// What it works on, below the world's root, the digits of ids replaced so that uses of different runs compare.
    pub what: String,
}

/// How a command went.
#[derive(Debug)]
pub struct Traced {
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// Every use, in order.
    pub uses: Vec<Use>,
    /// System calls that nobody knows.
    pub unknown: BTreeSet<c_long>,
    /// What it changed outside of the world.
    pub outside: BTreeSet<String>,
    /// Whether it took longer than a command may.
    pub endless: bool,
}

/// Runs commands in one world. Each call must come from the thread that made the others, as ptrace wants it.
#[derive(Debug)]
pub struct Tracer {
    launcher: PathBuf,
    roots: Vec<PathBuf>,
    scratch: PathBuf,
}

impl Tracer {
    /// Runs commands by the launcher (the binary `volsnap-stopped`), whose changes below `roots` count; `scratch` takes
    /// their output.
    pub fn new(launcher: &Path, roots: Vec<PathBuf>, scratch: &Path) -> Self {
        Tracer { launcher: launcher.to_path_buf(), roots, scratch: scratch.to_path_buf() }
    }

    /// Whether this machine lets a process trace its child and filter its calls.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub fn probe(&self) -> Result<(), String> {
        let traced = self.try_run(&Command::new("true"), |_, _| None)?;
        if traced.status == Some(0) { Ok(()) } else { Err(traced.stderr) }
    }

    /// Runs a command to its end; `fault` says what is done to the use with that number, counted from 1.
    ///
    /// # Panics
    /// If the machine does not allow tracing.
    pub fn run(&self, command: &Command, fault: impl FnMut(usize, &Use) -> Option<Fault>) -> Traced {
        self.try_run(command, fault).expect("a command can be traced")
    }

    fn try_run(
        &self,
        command: &Command,
        mut fault: impl FnMut(usize, &Use) -> Option<Fault>,
    ) -> Result<Traced, String> {
        let (out, err) = (self.scratch.join("out"), self.scratch.join("err"));
        let mut traced = Traced {
            status: None,
            stdout: String::new(),
            stderr: String::new(),
            uses: Vec::new(),
            unknown: BTreeSet::new(),
            outside: BTreeSet::new(),
            endless: false,
        };
        let pid = self.launch(command, &out, &err)?;
        let began = Instant::now();
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).expect("a child") {
                WaitStatus::Exited(ended, status) if ended == pid => {
                    traced.status = Some(status);
                    break;
                }
                WaitStatus::Signaled(ended, ..) if ended == pid => break,
                WaitStatus::PtraceEvent(thread, _, libc::PTRACE_EVENT_SECCOMP) => {
                    self.stopped(pid, thread, &mut traced, &mut fault);
                    if began.elapsed() > PATIENCE && !traced.endless {
                        traced.endless = true;
                        kill(pid, Signal::SIGKILL).expect("it can be killed");
                    }
                    go_on(thread, None);
                }
                WaitStatus::PtraceEvent(thread, ..) => go_on(thread, None),
                // A new thread begins with this one, which is meant for the tracer.
                WaitStatus::Stopped(thread, Signal::SIGSTOP) => go_on(thread, None),
                WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
                WaitStatus::Exited(..)
                | WaitStatus::Signaled(..)
                | WaitStatus::PtraceSyscall(_)
                | WaitStatus::Continued(_)
                | WaitStatus::StillAlive => {}
            }
        }
        traced.stdout = fs::read_to_string(out).unwrap_or_default();
        traced.stderr = fs::read_to_string(err).unwrap_or_default();
        Ok(traced)
    }

    fn launch(&self, command: &Command, out: &Path, err: &Path) -> Result<Pid, String> {
        let mut launch = Command::new(&self.launcher);
        launch.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => launch.env(name, value),
                None => launch.env_remove(name),
            };
        }
        // One worker, so that as little as possible differs from run to run.
        launch.env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null());
        launch.stdout(File::create(out).expect("a file")).stderr(File::create(err).expect("a file"));
        // Waited for by its id below, as ptrace reports more than its end.
        let child = launch.spawn().map_err(|error| format!("{}: {error}", self.launcher.display()))?;
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("an id"));
        let stopped = waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a child");
        if !matches!(stopped, WaitStatus::Stopped(_, Signal::SIGSTOP)) {
            return Err(fs::read_to_string(err).unwrap_or_default());
        }
        let options = Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(pid, options).expect("a tracee");
        go_on(pid, None);
        Ok(pid)
    }

    fn stopped(
        &self,
        pid: Pid,
        thread: Pid,
        traced: &mut Traced,
        fault: &mut impl FnMut(usize, &Use) -> Option<Fault>,
    ) {
        // Gone already if another thread's stop killed the process.
        let Ok(mut registers) = ptrace::getregs(thread) else { return };
        let (call, path) = match calls::read(thread, &registers) {
            Stopped::Passes | Stopped::Gone => return,
            Stopped::Unknown(number) => {
                traced.unknown.insert(number);
                return;
            }
            Stopped::Changes { call, path } => (call, path),
        };
        let Some(what) = self.roots.iter().find_map(|root| path.strip_prefix(root).ok()) else {
            traced.outside.insert(format!("{call} {}", path.display()));
            return;
        };
        let one = Use { call, what: nameless(&what.to_string_lossy()) };
        let chosen = fault(traced.uses.len() + 1, &one);
        traced.uses.push(one);
        let result = match chosen {
            None => return,
            Some(Fault::Kill) => return kill(pid, Signal::SIGKILL).expect("it can be killed"),
            Some(Fault::Fail(errno)) => -i64::from(errno as i32),
            Some(Fault::Lie) => done(call, registers.rdx),
        };
        registers.orig_rax = u64::MAX; // no call at all
        registers.rax = result.cast_unsigned();
        ptrace::setregs(thread, registers).expect("a stopped thread");
    }
}

/// What a call returns when all went well: the bytes that were to be written, or zero.
fn done(call: &str, bytes: u64) -> i64 {
    if call.starts_with("write") || call.starts_with("pwrite") { bytes.cast_signed() } else { 0 }
}

/// A thread that is gone was killed meanwhile.
fn go_on(thread: Pid, signal: Option<Signal>) {
    match ptrace::cont(thread, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => panic!("a stopped thread does not go on: {error}"),
    }
}

/// Replaces ids, which every run makes anew.
fn nameless(path: &str) -> String {
    let is_id = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let split = |c: char| !(c.is_ascii_hexdigit() || c == '-');
    let mut name = path.to_string();
    for word in path.split(split).map(|word| word.trim_matches('-')) {
        let id = word.get(..36).filter(|id| is_id(id) && id.matches('-').count() == 4).or(word.get(..32));
        if let Some(id) = id.filter(|id| is_id(id)) {
            name = name.replace(id, "ID");
        }
    }
    name
}
