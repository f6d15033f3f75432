//! A host that works on many workloads at once, in one process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::timeout;
use volsnap::{
    Code, NewWorkload, RecoveredItem, RestoreRequest, SnapshotRequest, Volsnap,
    model::{Hook, HookEvent, Mode, SnapshotId, Workload},
    ports::{Observer, Phase, Progress},
    restore::{Body, Journal, Outcome, journal::Quiesced},
};

/// No operation of these tests takes that long.
const LONG: Duration = Duration::from_secs(120);

struct Host {
    dir: TempDir,
}

impl Host {
    fn new() -> Self {
        Host { dir: tempfile::tempdir().unwrap() }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn builder(&self) -> volsnap::Builder {
        let jobs = NonZeroUsize::new(2).unwrap();
        Volsnap::builder().state_dir(self.dir.path().join("state")).without_containers().jobs(jobs)
    }

    /// A workload of one directory with one file, whose contents no compression makes smaller.
    async fn add(&self, volsnap: &Volsnap, name: &str, bytes: usize) -> Workload {
        fs::create_dir(self.data(name)).unwrap();
        fs::write(self.data(name).join("file"), noise(name, bytes)).unwrap();
        volsnap.add_workload(NewWorkload::directories(name, [("/data", self.data(name))])).await.unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.data(name).join("file")).unwrap()
    }
}

/// Bytes that depend on the name, and look like chance.
fn noise(name: &str, bytes: usize) -> Vec<u8> {
    let mut state = name.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| state.rotate_left(8) ^ u64::from(byte));
    let mut words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.by_ref().flat_map(u64::to_le_bytes).take(bytes).collect()
}

/// Holds an operation on one workload up when it has come to a phase, until it is let go.
struct Gate {
    workload: &'static str,
    phase: Phase,
    reached: AtomicBool,
    open: AtomicBool,
}

impl Gate {
    fn of(workload: &'static str, phase: Phase) -> Arc<Self> {
        Arc::new(Gate { workload, phase, reached: AtomicBool::new(false), open: AtomicBool::new(false) })
    }

    async fn reached(&self) {
        let reached = async {
            while !self.reached.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LONG, reached).await.unwrap();
    }
}

impl Observer for Gate {
    fn progress(&self, progress: &Progress) {
        // Of a volume it is told on a thread that may block.
        let is_there = progress.phase == self.phase && progress.volume.is_some();
        if is_there && progress.workload.as_deref() == Some(self.workload) {
            self.reached.store(true, Ordering::SeqCst);
            while !self.open.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_workload_is_slow_at_hinders_no_other() {
    let (host, gate) = (Host::new(), Gate::of("slow", Phase::Archive));
    let volsnap = host.builder().observer(gate.clone()).open().await.unwrap();
    let slow = host.add(&volsnap, "slow", 4 << 20).await;
    let quick = host.add(&volsnap, "quick", 1 << 20).await;
    let creating = volsnap.create(SnapshotRequest::of(slow));
    gate.reached().await;
    let taken = timeout(LONG, volsnap.create(SnapshotRequest::of(quick.clone()))).await.unwrap().unwrap();
    // Its lock is free as soon as it has ended, for this process and for any other.
    let other = host.builder().open().await.unwrap();
    fs::write(host.data("quick").join("file"), "changed").unwrap();
    let restored = other.restore(RestoreRequest::of(quick.clone(), taken.snapshot.clone()));
    assert_eq!(timeout(LONG, restored).await.unwrap().unwrap().outcome, Outcome::Restored);
    assert_eq!(host.read("quick"), noise("quick", 1 << 20));
    timeout(LONG, volsnap.restore(RestoreRequest::of(quick, taken.snapshot))).await.unwrap().unwrap();
    gate.open.store(true, Ordering::SeqCst);
    creating.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_is_waited_for_in_turn_and_not_for_ever() {
    let (host, gate) = (Host::new(), Gate::of("shop", Phase::Archive));
    let volsnap = host.builder().observer(gate.clone()).patience(LONG).open().await.unwrap();
    let shop = host.add(&volsnap, "shop", 1000).await;
    let first = volsnap.create(SnapshotRequest::of(shop.clone()));
    gate.reached().await;
    let noted = |note: &str| SnapshotRequest { note: Some(note.into()), ..SnapshotRequest::of(shop.clone()) };
    let mut waiting = Vec::new();
    for note in ["a", "b", "c"] {
        waiting.push(volsnap.create(noted(note)));
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    let given_up = volsnap.create(noted("d"));
    given_up.canceller().cancel();
    assert_eq!(timeout(LONG, given_up).await.unwrap().unwrap_err().code, Code::Aborted);
    let hasty = host.builder().open().await.unwrap();
    let refused = hasty.create(SnapshotRequest::of(shop.clone())).await.unwrap_err();
    assert_eq!(refused.code, Code::Busy, "{refused}");
    assert!(refused.message.contains("held by process"), "{refused}");
    gate.open.store(true, Ordering::SeqCst);
    first.await.unwrap();
    for one in waiting {
        timeout(LONG, one).await.unwrap().unwrap();
    }
    let mut taken = volsnap.snapshots(Some(shop.id)).await.unwrap();
    taken.sort_by_key(|snapshot| snapshot.archive.manifest.order());
    let notes: Vec<_> = taken.iter().map(|s| s.archive.manifest.note.as_deref().unwrap_or("first")).collect();
    assert_eq!(notes, ["first", "a", "b", "c"]);
}

/// The journal of a snapshot that never came to its archive, with a hook that is still to run.
fn interrupted(workload: &Workload, volsnap: &Volsnap, script: &str) -> Vec<u8> {
    let ports = volsnap.engine().ports();
    let command = ["sh", "-c", script].map(String::from).to_vec();
    let hook = Hook { at: HookEvent::PostCreate, container: None, command, timeout: LONG };
    let quiesced = Quiesced {
        workload: Workload { hooks: vec![hook], ..workload.clone() },
        host: ports.filesystem.host(),
        runtime: None,
        snapshot: SnapshotId(ports.clock.fresh_id()),
        mode: Mode::Live,
        containers: Vec::new(),
        down: Vec::new(),
        problem: None,
        at: ports.clock.now(),
    };
    Journal { body: Body::Snapshot(Box::new(quiesced)) }.encode().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workloads_are_recovered_side_by_side() {
    let host = Host::new();
    let volsnap = host.builder().open().await.unwrap();
    let flag = host.data("the last one was here");
    let shown = flag.display();
    // Each but the last waits for the last one.
    let waits = format!("for i in $(seq 600); do test -e '{shown}' && exit 0; sleep 0.1; done; exit 1");
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let workload = host.add(&volsnap, name, 10).await;
        let script = if name == "c" { format!("touch '{shown}'") } else { waits.clone() };
        let journal = host.dir.path().join("state/journal").join(format!("{}.json", workload.id));
        fs::write(journal, interrupted(&workload, &volsnap, &script)).unwrap();
        ids.push(workload.id);
    }
    let recovered = timeout(LONG, volsnap.recover(None)).await.unwrap().unwrap();
    assert_eq!(recovered.iter().map(|one| one.workload).collect::<Vec<_>>(), ids, "in the order in which they began");
    for one in recovered {
        match one.result {
            Ok(RecoveredItem::Snapshot { warnings, .. }) => assert_eq!(warnings, [""; 0], "its hook has run"),
            other => panic!("{other:?}"),
        }
    }
    assert!(volsnap.status(None).await.unwrap().is_empty());
}

/// The threads of this process that work on frames of archives.
fn threads_at_frames() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    // One that ends meanwhile has no name any more.
    threads
        .filter_map(|t| fs::read_to_string(t.path().join("comm")).ok())
        .filter(|n| n.trim() == "archive-frames")
        .count()
}

/// The most memory that this process ever had, in bytes.
fn memory_peak() -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_operations_at_once_have_the_threads_and_the_memory_of_a_few() {
    const AT_ONCE: usize = 32;
    const BYTES: usize = 6 << 20;
    let host = Host::new();
    let volsnap = host.builder().open().await.unwrap();
    let names: Vec<String> = (0..AT_ONCE).map(|n| format!("app{n}")).collect();
    let mut workloads = Vec::new();
    for name in &names {
        workloads.push(host.add(&volsnap, name, BYTES).await);
    }
    let most = Arc::new(AtomicUsize::new(0));
    let (end, ends) = mpsc::channel::<()>();
    let counter = thread::spawn({
        let most = most.clone();
        move || {
            while ends.recv_timeout(Duration::from_millis(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
                most.fetch_max(threads_at_frames(), Ordering::SeqCst);
            }
        }
    });
    let creating: Vec<_> = workloads.iter().map(|w| volsnap.create(SnapshotRequest::of(w.clone()))).collect();
    let mut snapshots = Vec::new();
    for one in creating {
        snapshots.push(one.await.unwrap().snapshot);
    }
    for name in &names {
        fs::write(host.data(name).join("file"), "changed").unwrap();
    }
    let requests = workloads.iter().cloned().zip(snapshots.iter().cloned());
    let restoring: Vec<_> = requests.map(|(w, s)| volsnap.restore(RestoreRequest::of(w, s))).collect();
    for one in restoring {
        assert_eq!(one.await.unwrap().outcome, Outcome::Restored);
    }
    for name in &names {
        assert_eq!(host.read(name), noise(name, BYTES), "{name}");
    }
    drop(end);
    counter.join().unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} threads were at work on frames");
    let peak = memory_peak() >> 20;
    println!("{AT_ONCE} operations at once, at most {most} threads at frames, {peak} MiB");
    assert!(peak < 256, "{peak} MiB");
}
