//! The peak of a process's resident memory, and the memory of the machine before something is measured.

use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;

use crate::run::Outcome;

/// The kernel keeps the highest mark (`VmHWM`), so only a peak in the last of these intervals could be missed.
const INTERVAL: Duration = Duration::from_millis(1);

/// At most so much is touched before a run: more than the largest data, their archive and their restored tree.
const TOUCHED_MAX: u64 = 8 << 30;
/// So much is left, for nothing to be pushed out of the page cache.
const LEFT_ALONE: u64 = 1 << 30;

/// Has free memory there. Of a virtual machine whose host takes back what is free, a page costs several times as much when
/// it is used again; whoever came first would pay for that.
pub fn touch_free() {
    let free = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(|text| field(text, "MemFree:"));
    let bytes = free.unwrap_or(0).saturating_sub(LEFT_ALONE).min(TOUCHED_MAX);
    std::hint::black_box(vec![1_u8; usize::try_from(bytes).unwrap_or(0)]);
}

/// Runs a command that answers in JSON: its answer, and its peak in bytes.
pub fn run(mut command: Command) -> Outcome<(Value, u64)> {
    let name = format!("{command:?}");
    let failed = |e: std::io::Error| format!("cannot run {name}: {e}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    // The answer is one short document: it fits into the pipe, and is read at the end.
    while child.try_wait().map_err(failed)?.is_none() {
        // A process that has ended and is not yet waited for has no memory any more: the last mark stays.
        peak = fs::read_to_string(&status).ok().as_deref().and_then(high_water).unwrap_or(peak);
        sleep(INTERVAL);
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() || peak == 0 {
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(format!("{name}: {}, peak {peak} bytes, said {said}", output.status));
    }
    let answer = serde_json::from_slice(&output.stdout).map_err(|e| format!("{name} does not answer in JSON: {e}"))?;
    Ok((answer, peak))
}

/// `VmHWM:     12345 kB`, where kB are 1024 bytes.
pub fn high_water(status: &str) -> Option<u64> {
    field(status, "VmHWM:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_read_in_bytes() {
        assert_eq!(high_water("Name:\tvolsnap\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(high_water("Name:\tvolsnap\n"), None);
    }

    #[test]
    fn the_peak_of_a_process_is_seen_though_it_frees_its_memory() {
        let script = "x=$(head -c 30000000 /dev/zero | tr '\\0' a); x=; sleep 0.1; echo 1";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (answer, peak) = run(command).unwrap();
        assert_eq!(answer, 1);
        assert!((30_000_000..300_000_000).contains(&peak), "{peak}");
    }
}
