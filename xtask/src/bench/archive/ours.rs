//! volsnap, asked for the same things as the contenders, and for some that only it does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    figures::{Maybe, OneFile, Series},
    measure::{self, Spent},
};
use crate::{
    run::Outcome,
    volsnap::{Volsnap, number, text},
};

const WORKLOAD: &str = "bench";
const TARGET: &str = "/data";

/// The binary, and where it works.
pub struct Ours {
    binary: PathBuf,
    volsnap: Volsnap,
    /// The directory that the workload knows. It holds the source while it is archived, and nothing before a restore.
    live: PathBuf,
}

/// A snapshot.
pub struct Snapshot {
    id: String,
    archive: PathBuf,
    /// Of its archive.
    pub bytes: u64,
}

impl Ours {
    /// Works in a directory.
    pub fn new(binary: &Path, dir: &Path) -> Self {
        let volsnap = Volsnap::new(binary, &dir.join("state"), None);
        Ours { binary: binary.to_path_buf(), volsnap, live: dir.join("live") }
    }

    /// Whether the help of a command speaks of something.
    pub fn offers(&self, command: &[&str], what: &str) -> bool {
        let help = Command::new(&self.binary).args(command).arg("--help").output();
        let help = help.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        help.split_whitespace().any(|word| word.trim_end_matches(',') == what)
    }

    /// Forgets every snapshot, and registers the workload anew.
    pub fn begin(&self) -> Outcome {
        remove(self.volsnap.state())?;
        self.empty_live()?;
        let volume = format!("{TARGET}={}", self.live.display());
        self.volsnap.run(&["workload", "add", WORKLOAD, "--volume", &volume]).map(drop)
    }

    /// A snapshot of the source, which is elsewhere again afterwards. With `options` before the command.
    pub fn create(&self, options: &[&str], source: &Path) -> Outcome<(Spent, Snapshot)> {
        remove(&self.live)?;
        rename(source, &self.live)?;
        let made = self.timed(&[options, &["create", WORKLOAD, "--mode", "live"]].concat(), true);
        rename(&self.live, source)?;
        let (spent, answer) = made?;
        let archive = PathBuf::from(text(&answer, "archive")?);
        Ok((spent, Snapshot { id: text(&answer, "id")?, archive, bytes: number(&answer, "archive_bytes")? }))
    }

    /// A restore into an empty directory: the whole, and as long as it took to stage. The tree is left behind.
    pub fn restore(&self, options: &[&str], snapshot: &Snapshot) -> Outcome<(Spent, u64)> {
        let words = ["restore", WORKLOAD, &snapshot.id, "--yes", "--no-safety-snapshot"];
        let (spent, report) = self.timed(&[options, &words].concat(), true)?;
        if report["outcome"] != "restored" {
            return Err(format!("a restore went wrong: {report}"));
        }
        Ok((spent, 1000 * number(&report, "stage_ms")?))
    }

    /// Where a restore puts the tree.
    pub fn tree(&self) -> &Path {
        &self.live
    }

    /// Nothing is there to be replaced.
    pub fn empty_live(&self) -> Outcome {
        remove(&self.live)?;
        fs::create_dir_all(&self.live).map_err(|e| format!("cannot make {}: {e}", self.live.display()))
    }

    /// A check of the archive.
    pub fn verify(&self, words: &[&str], snapshot: &Snapshot) -> Outcome<Spent> {
        let (spent, answer) = self.timed(&[words, &[&snapshot.id]].concat(), false)?;
        let fine = answer["verified"][0]["ok"] == true;
        if fine { Ok(spent) } else { Err(format!("an archive does not hold: {answer}")) }
    }

    /// The archive unpacked to nowhere, and nothing done with what comes out.
    pub fn unpacked(&self, snapshot: &Snapshot) -> Outcome<Spent> {
        let mut zstd = Command::new("zstd");
        zstd.args(["-q", "-t"]).arg(&snapshot.archive);
        measure::run(vec![zstd], None)
    }

    /// One file of the archive, several times, and what is read for it.
    pub fn one_file(&self, snapshot: &Snapshot, path: &str, expected: &Path, rounds: usize) -> Outcome<Maybe<OneFile>> {
        if !self.offers(&[], "dump") {
            return Ok(Err("`dump` is not available".to_string()));
        }
        let expected = fs::read(expected).map_err(|e| format!("cannot read {}: {e}", expected.display()))?;
        let dump = |mut command: Command| {
            command.arg("--state-dir").arg(self.volsnap.state()).args(["dump", &snapshot.id, TARGET, path]);
            command
        };
        let mut series = Series::default();
        for _ in 0..rounds {
            let spent = measure::run(vec![dump(Command::new(&self.binary))], None)?;
            if spent.said != expected {
                return Err(format!("{path} did not come out of the archive as it went in"));
            }
            series.note(&spent);
        }
        let trace = self.live.with_extension("trace");
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "-qq",
            "-e",
            "trace=read,pread64,readv,preadv,preadv2,mmap,copy_file_range,sendfile,splice",
        ]);
        strace.arg("-P").arg(&snapshot.archive).arg("-o").arg(&trace).arg(&self.binary);
        let traced = measure::run(vec![dump(strace)], None);
        if let Err(why) = traced {
            return Ok(Err(format!("what is read was not seen: {why}")));
        }
        let seen = fs::read_to_string(&trace).map_err(|e| format!("cannot read {}: {e}", trace.display()))?;
        let bytes = expected.len() as u64;
        Ok(bytes_read(&seen).map(|read_bytes| OneFile { series, read_bytes, bytes }))
    }

    /// Runs a command with `--json` and answers what it took and said.
    fn timed(&self, words: &[&str], durable: bool) -> Outcome<(Spent, Value)> {
        let durable = durable.then(|| self.live.parent()).flatten();
        let spent = measure::run(vec![self.volsnap.command(words)], durable)?;
        let answer =
            serde_json::from_slice(&spent.said).map_err(|e| format!("{words:?} does not answer in JSON: {e}"))?;
        Ok((spent, answer))
    }
}

/// The sum of what the reads of a trace returned. An archive that is mapped is not read by calls that say how much.
fn bytes_read(trace: &str) -> Maybe<u64> {
    if trace.lines().any(|line| line.contains("mmap(")) {
        return Err("the archive is mapped, so what is read of it is not seen".to_string());
    }
    let returned = trace.lines().filter_map(|line| line.rsplit_once(" = ")?.1.split(' ').next()?.parse::<u64>().ok());
    match returned.sum() {
        0 => Err("no read of the archive was seen".to_string()),
        bytes => Ok(bytes),
    }
}

/// Removes a directory if it is there.
pub fn remove(dir: &Path) -> Outcome {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(format!("cannot remove {}: {e}", dir.display())),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Outcome {
    fs::rename(from, to).map_err(|e| format!("cannot rename {} to {}: {e}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_added_up_across_threads() {
        let trace = "\
7 pread64(9, \"a\"..., 4096, 0) = 4096
8 read(9,  <unfinished ...>
7 pread64(9, \"b\"..., 10, 4096) = -1 EINTR (Interrupted system call)
8 <... read resumed>\"c = 5\"..., 100) = 100
8 +++ exited with 0 +++
";
        assert_eq!(bytes_read(trace), Ok(4196));
        assert!(bytes_read("7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 9, 0) = 0x7f00\n").is_err());
        assert!(bytes_read("").is_err());
    }
}
