//! Runs programs joined by pipes: what they took of time, of the processors and of memory.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::memory::{high_water, touch_free},
    run::Outcome,
};

/// The kernel keeps the highest mark, so only growth in the last of these intervals could be missed; and looking so
/// seldom takes nothing from what is measured.
const INTERVAL: Duration = Duration::from_millis(20);
/// A tick of the times in `/proc/PID/stat`: the kernel's interface has a hundred of them in a second, everywhere.
const TICK_US: u64 = 10_000;

/// What a run took.
#[derive(Debug)]
pub struct Spent {
    /// From its start to its end.
    pub wall_us: u64,
    /// Of all processors, in user and system mode.
    pub cpu_us: u64,
    /// How much of all processors' time was used meanwhile, by whomever: the kernel writes back in threads of its own.
    pub busy_percent: u64,
    /// Peaks of resident memory, those of all its processes added.
    pub peak_bytes: u64,
    /// What the last program wrote to its standard output.
    pub said: Vec<u8>,
}

/// Before a run: what was written is on the disk, and memory is there.
pub fn settle() {
    rustix::fs::sync();
    touch_free();
}

/// Runs the programs, each reading what the one before it writes. With `durable`, what they wrote to the filesystem of
/// that directory is on the disk before the time ends.
pub fn run(stages: Vec<Command>, durable: Option<&Path>) -> Outcome<Spent> {
    let (cpu, before) = (children_cpu_us()?, Processors::now()?);
    let begin = Instant::now();
    let (children, output) = spawn(stages)?;
    let pids: Vec<u32> = children.iter().map(|(_, child)| child.id()).collect();
    let ended = AtomicBool::new(false);
    let (said, peak_bytes) = thread::scope(|scope| {
        let watcher = scope.spawn(|| peaks(&pids, &ended));
        let said = finish(children, output);
        let synced = durable.map_or(Ok(()), syncfs);
        let wall_us = begin.elapsed().as_micros();
        ended.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        let peak = watcher.join().unwrap_or(0);
        (said.and_then(|said| synced.map(|()| (said, wall_us))), peak)
    });
    let (said, wall_us) = said?;
    let wall_us = u64::try_from(wall_us).unwrap_or(u64::MAX);
    let cpu_us = children_cpu_us()?.saturating_sub(cpu);
    Ok(Spent { wall_us, cpu_us, busy_percent: Processors::now()?.busy_percent_since(&before), peak_bytes, said })
}

/// Writes back what a filesystem holds in memory.
pub fn syncfs(dir: &Path) -> Outcome {
    let failed = |e: std::io::Error| format!("cannot sync {}: {e}", dir.display());
    let dir = fs::File::open(dir).map_err(failed)?;
    rustix::fs::syncfs(&dir).map_err(|e| failed(e.into()))
}

type Named = (String, Child);

fn spawn(stages: Vec<Command>) -> Outcome<(Vec<Named>, Option<ChildStdout>)> {
    let mut children: Vec<Named> = Vec::new();
    let mut output = None;
    for mut stage in stages {
        let name = stage.get_program().to_string_lossy().into_owned();
        stage.stdin(output.take().map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::piped()).stderr(Stdio::piped());
        match stage.spawn() {
            Ok(mut child) => {
                output = child.stdout.take();
                children.push((name, child));
            }
            Err(error) => {
                for (_, mut child) in children {
                    // An error means that it has ended by itself.
                    let _ = child.kill();
                    let _ = child.wait();
                }
                return Err(format!("cannot run {name}: {error}"));
            }
        }
    }
    Ok((children, output))
}

/// Reads everything that they say and waits for all of them; the first that failed is told.
fn finish(children: Vec<Named>, output: Option<ChildStdout>) -> Outcome<Vec<u8>> {
    let complaints: Vec<_> = children
        .into_iter()
        .map(|(name, mut child)| {
            thread::spawn(move || {
                let mut complaint = Vec::new();
                let read = child.stderr.take().map_or(Ok(0), |mut stderr| stderr.read_to_end(&mut complaint));
                let status = read.and_then(|_| child.wait()).map_err(|e| format!("cannot wait for {name}: {e}"))?;
                let complaint = String::from_utf8_lossy(&complaint).trim().to_string();
                if status.success() { Ok(()) } else { Err(format!("{name} failed, {status}: {complaint}")) }
            })
        })
        .collect();
    let mut said = Vec::new();
    let read = output.map_or(Ok(0), |mut output| output.read_to_end(&mut said));
    for complaint in complaints {
        complaint.join().map_err(|_| "a thread that waits for a program ended".to_string())??;
    }
    read.map(|_| said).map_err(|e| format!("cannot read what a program says: {e}"))
}

/// The highest marks of the processes while they run, added.
fn peaks(pids: &[u32], ended: &AtomicBool) -> u64 {
    let mut peaks = vec![0; pids.len()];
    while !ended.load(Ordering::Relaxed) {
        for (pid, peak) in pids.iter().zip(&mut peaks) {
            let status = fs::read_to_string(format!("/proc/{pid}/status"));
            // A process that has ended has no memory any more: the last mark stays.
            *peak = status.ok().as_deref().and_then(high_water).unwrap_or(*peak);
        }
        thread::park_timeout(INTERVAL);
    }
    peaks.iter().sum()
}

/// What the processors of the machine have done so far, in ticks.
struct Processors {
    all: u64,
    idle: u64,
}

impl Processors {
    fn now() -> Outcome<Self> {
        let stat = fs::read_to_string("/proc/stat").map_err(|e| format!("cannot read /proc/stat: {e}"))?;
        Self::parse(&stat).ok_or_else(|| format!("no times in {stat}"))
    }

    /// The first line: `user nice system idle iowait irq softirq steal`, and guests, which `user` has too.
    fn parse(stat: &str) -> Option<Self> {
        let words = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks = words.take(8).map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>()?;
        Some(Processors { all: ticks.iter().sum(), idle: ticks.get(3)? + ticks.get(4)? })
    }

    fn busy_percent_since(&self, before: &Processors) -> u64 {
        let (all, idle) = (self.all.saturating_sub(before.all), self.idle.saturating_sub(before.idle));
        all.saturating_sub(idle) * 100 / all.max(1)
    }
}

fn children_cpu_us() -> Outcome<u64> {
    let stat = fs::read_to_string("/proc/self/stat").map_err(|e| format!("cannot read /proc/self/stat: {e}"))?;
    children_ticks(&stat).map(|ticks| ticks * TICK_US).ok_or_else(|| format!("no times in {stat}"))
}

/// Ticks of the children that were waited for: fields 16 and 17, counted behind the name, which may hold anything.
fn children_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(13)?.parse::<u64>().ok()? + fields.get(14)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn programs_are_joined_and_the_last_ones_words_are_kept() {
        let spent = run(vec![sh("echo one; echo two"), sh("sleep 0.1; cat | tail -1")], None).unwrap();
        assert_eq!(spent.said, b"two\n");
        assert!((100_000..10_000_000).contains(&spent.wall_us), "{spent:?}");
        assert!(spent.peak_bytes > 100_000, "{spent:?}");
    }

    #[test]
    fn a_failure_of_any_of_them_is_told_with_its_words() {
        let first = run(vec![sh("echo no >&2; exit 3"), sh("cat")], None).unwrap_err();
        assert!(first.contains("no") && first.contains('3'), "{first}");
        assert!(run(vec![sh("echo"), sh("cat; exit 1")], None).is_err());
        assert!(run(vec![sh("yes"), Command::new("/nonexistent/program")], None).is_err());
    }

    #[test]
    fn waiting_for_the_disk_is_no_work_of_the_processors() {
        let [before, after] = ["cpu  10 0 10 70 10 0 0 0 5 0", "cpu  40 0 30 75 55 0 0 0 9 0\ncpu0 1"]
            .map(|stat| Processors::parse(stat).unwrap());
        assert_eq!(after.busy_percent_since(&before), 50);
        assert!(Processors::parse("intr 1 2").is_none());
        assert!(Processors::now().unwrap().all > 0);
    }

    #[test]
    fn the_times_of_children_stand_behind_the_name() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 130 5 20 0 1";
        assert_eq!(children_ticks(stat), Some(135));
        assert_eq!(children_ticks("7 (a) S 1"), None);
    }
}
