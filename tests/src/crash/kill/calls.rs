//! Which system calls change or sync something, and what.
//!
//! The list is one of calls that do *not*: everything else stops the process and is looked at, so that a kind of call
//! that the binary has never made before is seen, and fails the tier until somebody has said here what it does.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use nix::{
    libc::{self, c_long, user_regs_struct},
    sys::ptrace,
    unistd::Pid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Calls that leave every file as it is: reading, memory, threads, time, sockets, and locks, which die with the process.
const HARMLESS: &[c_long] = &[
    // Reading and looking.
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_stat,
    libc::SYS_fstat,
    libc::SYS_lstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_access,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_flistxattr,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_name_to_handle_at,
    libc::SYS_getcwd,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup2,
    libc::SYS_dup3,
    libc::SYS_pipe,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_memfd_create,
    libc::SYS_umask,
    // Memory. What is written through a shared map cannot be stopped here: SQLite's index of its log is one, which it
    // makes again.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_mincore,
    libc::SYS_membarrier,
    libc::SYS_mlock,
    libc::SYS_munlock,
    // Threads, signals, processes.
    libc::SYS_futex,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_execve,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_kill,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_arch_prctl,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_getrlimit,
    libc::SYS_setrlimit,
    libc::SYS_seccomp,
    libc::SYS_capget,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_restart_syscall,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    // Who, when, where.
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettimeofday,
    libc::SYS_time,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getcpu,
    // Waiting, sockets.
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_signalfd4,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
];

/// Opening makes or empties a file only with one of these. The third is the bit that `O_TMPFILE` has besides
/// `O_DIRECTORY`.
const MAKING: u64 = (libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u64;

/// The filter for the kernel: harmless calls pass, all others stop.
///
/// # Panics
/// Never: the table is fixed.
#[must_use]
pub fn filter() -> BpfProgram {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = HARMLESS.iter().map(|call| (*call, Vec::new())).collect();
    for (call, argument) in [(libc::SYS_open, 1), (libc::SYS_openat, 2)] {
        let plain = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(MAKING), 0);
        rules.insert(call, vec![SeccompRule::new(vec![plain.expect("an argument")]).expect("a rule")]);
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Trace(0), SeccompAction::Allow, TargetArch::x86_64);
    filter.expect("a filter").try_into().expect("a short program")
}

/// What a call works on.
#[derive(Clone, Copy, Debug)]
enum On {
    /// The open file in this argument.
    Open(u8),
    /// The name in the second of these arguments, beneath the directory in the first.
    Beneath(u8, u8),
    /// The path in this argument.
    Path(u8),
}

/// The calls that change or sync, with what they work on; of two names the one that comes to be.
const CHANGING: &[(c_long, &str, On)] = &[
    (libc::SYS_open, "open", On::Path(0)),
    (libc::SYS_openat, "openat", On::Beneath(0, 1)),
    (libc::SYS_openat2, "openat2", On::Beneath(0, 1)),
    (libc::SYS_creat, "creat", On::Path(0)),
    (libc::SYS_write, "write", On::Open(0)),
    (libc::SYS_writev, "writev", On::Open(0)),
    (libc::SYS_pwrite64, "pwrite64", On::Open(0)),
    (libc::SYS_pwritev, "pwritev", On::Open(0)),
    (libc::SYS_pwritev2, "pwritev2", On::Open(0)),
    (libc::SYS_sendfile, "sendfile", On::Open(0)),
    (libc::SYS_splice, "splice", On::Open(2)),
    (libc::SYS_copy_file_range, "copy_file_range", On::Open(2)),
    (libc::SYS_truncate, "truncate", On::Path(0)),
    (libc::SYS_ftruncate, "ftruncate", On::Open(0)),
    (libc::SYS_fallocate, "fallocate", On::Open(0)),
    (libc::SYS_ioctl, "ioctl", On::Open(0)),
    (libc::SYS_fsync, "fsync", On::Open(0)),
    (libc::SYS_fdatasync, "fdatasync", On::Open(0)),
    (libc::SYS_syncfs, "syncfs", On::Open(0)),
    (libc::SYS_sync_file_range, "sync_file_range", On::Open(0)),
    (libc::SYS_mkdir, "mkdir", On::Path(0)),
    (libc::SYS_mkdirat, "mkdirat", On::Beneath(0, 1)),
    (libc::SYS_mknod, "mknod", On::Path(0)),
    (libc::SYS_mknodat, "mknodat", On::Beneath(0, 1)),
    (libc::SYS_symlink, "symlink", On::Path(1)),
    (libc::SYS_symlinkat, "symlinkat", On::Beneath(1, 2)),
    (libc::SYS_link, "link", On::Path(1)),
    (libc::SYS_linkat, "linkat", On::Beneath(2, 3)),
    (libc::SYS_rename, "rename", On::Path(1)),
    (libc::SYS_renameat, "renameat", On::Beneath(2, 3)),
    (libc::SYS_renameat2, "renameat2", On::Beneath(2, 3)),
    (libc::SYS_unlink, "unlink", On::Path(0)),
    (libc::SYS_rmdir, "rmdir", On::Path(0)),
    (libc::SYS_unlinkat, "unlinkat", On::Beneath(0, 1)),
    (libc::SYS_chmod, "chmod", On::Path(0)),
    (libc::SYS_fchmod, "fchmod", On::Open(0)),
    (libc::SYS_fchmodat, "fchmodat", On::Beneath(0, 1)),
    (libc::SYS_fchmodat2, "fchmodat2", On::Beneath(0, 1)),
    (libc::SYS_chown, "chown", On::Path(0)),
    (libc::SYS_lchown, "lchown", On::Path(0)),
    (libc::SYS_fchown, "fchown", On::Open(0)),
    (libc::SYS_fchownat, "fchownat", On::Beneath(0, 1)),
    (libc::SYS_utimensat, "utimensat", On::Beneath(0, 1)),
    (libc::SYS_setxattr, "setxattr", On::Path(0)),
    (libc::SYS_lsetxattr, "lsetxattr", On::Path(0)),
    (libc::SYS_fsetxattr, "fsetxattr", On::Open(0)),
    (libc::SYS_removexattr, "removexattr", On::Path(0)),
    (libc::SYS_lremovexattr, "lremovexattr", On::Path(0)),
    (libc::SYS_fremovexattr, "fremovexattr", On::Open(0)),
];

/// Requests of `ioctl` that only ask: a terminal's settings, and a file's flags.
const ASKING: [u64; 2] = [libc::TCGETS, libc::FS_IOC_GETFLAGS];

/// A stopped call.
#[derive(Clone, Debug)]
pub(super) enum Stopped {
    /// It changes or syncs what has this path.
    Changes { call: &'static str, path: PathBuf },
    /// It changes no file: it only asks, or it writes to a pipe, an event or its own output.
    Passes,
    /// Nobody has said what it does.
    Unknown(c_long),
    /// The process ended while its call was looked at: the call is not done.
    Gone,
}

/// Reads what a stopped thread is about to do.
pub(super) fn read(pid: Pid, registers: &user_regs_struct) -> Stopped {
    let number = c_long::try_from(registers.orig_rax).unwrap_or(-1);
    let Some((_, call, on)) = CHANGING.iter().find(|(changing, ..)| *changing == number) else {
        return Stopped::Unknown(number);
    };
    let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
    let argument = |index: u8| arguments[usize::from(index)];
    let asks = match number {
        libc::SYS_ioctl => ASKING.contains(&argument(1)),
        // Its flags begin the structure that the third argument points at.
        libc::SYS_openat2 => u64::from_ne_bytes(memory(pid, argument(2))) & MAKING == 0,
        libc::SYS_write | libc::SYS_writev => argument(0) <= 2,
        _ => false,
    };
    if asks {
        return Stopped::Passes;
    }
    let path = match *on {
        On::Open(fd) => Some(open_path(pid, argument(fd))),
        On::Path(path) => beneath(pid, None, argument(path)),
        On::Beneath(dir, path) => beneath(pid, Some(argument(dir)), argument(path)),
    };
    match path {
        Some(path) if path.is_absolute() => Stopped::Changes { call, path },
        Some(_) => Stopped::Passes, // `pipe:[7]`, `anon_inode:[eventfd]`
        None => Stopped::Gone,
    }
}

/// A null pointer for a path means the open file itself. `None` if the process is gone.
fn beneath(pid: Pid, dir: Option<u64>, pointer: u64) -> Option<PathBuf> {
    let name = if pointer == 0 { PathBuf::new() } else { text(pid, pointer)? };
    Some(match dir {
        _ if name.is_absolute() => by_descriptor(pid, &name).unwrap_or(name),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "descriptors are 32 bits wide")]
        Some(dir) if dir as u32 != libc::AT_FDCWD as u32 => open_path(pid, dir).join(name),
        Some(_) | None => std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default().join(name),
    })
}

/// What a path means that goes through one of the process's descriptors: the way to what is held by a handle (`O_PATH`).
fn by_descriptor(pid: Pid, name: &Path) -> Option<PathBuf> {
    let rest = name.strip_prefix("/proc/self/fd").ok()?;
    let mut parts = rest.iter();
    let fd = parts.next()?.to_str()?.parse().ok()?;
    Some(parts.fold(open_path(pid, fd), |path, part| path.join(part)))
}

fn open_path(pid: Pid, fd: u64) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default()
}

/// How often the memory of a thread that stands still is asked for.
const READS_MAX: usize = 10_000;

/// The text at an address, up to its zero byte; `None` if the process is gone. A thread that is stopped in the kernel still
/// dies with its process: SQLite tidies up in a thread that nobody waits for when the command ends.
fn text(pid: Pid, pointer: u64) -> Option<PathBuf> {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    let mut bytes = vec![0; 4096];
    for _ in 0..READS_MAX {
        match File::open(format!("/proc/{pid}/mem")).and_then(|file| file.read_at(&mut bytes, pointer)) {
            Ok(read) if read > 0 => {
                bytes.truncate(read);
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                bytes.truncate(end);
                return Some(PathBuf::from(OsString::from_vec(bytes)));
            }
            // Now and then a read on a busy machine gives nothing, although the thread stands still.
            Ok(_) | Err(_) if ptrace::getregs(pid).is_ok() => std::thread::yield_now(),
            Ok(_) | Err(_) => return None,
        }
    }
    panic!("the memory of a stopped thread cannot be read at {pointer:#x}")
}

fn memory<const N: usize>(pid: Pid, pointer: u64) -> [u8; N] {
    let mut bytes = [0; N];
    File::open(format!("/proc/{pid}/mem")).and_then(|file| file.read_exact_at(&mut bytes, pointer)).unwrap_or(());
    bytes
}
