//! `fuzz`: the fuzz targets, each for a while, or one for hours.
//!
//! The layout is that of cargo-fuzz, and nothing else of it is needed: the instrumentation that libFuzzer lives on is in
//! every compiler, and a sanitizer, which is not, has little to find where `unsafe` is forbidden. So this runs wherever
//! the tests do, with their compiler.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::available_parallelism,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::run::{Outcome, cargo, root, run};

/// The targets: each reads any bytes as what its name says.
pub const TARGETS: [&str; 4] = ["volume", "archive", "manifest", "journal"];
/// Where nobody says how long: a minute for each.
const SECONDS: u64 = 60;
/// A fuzzer is as fast as its inputs are short, and these have room for a dozen members.
const INPUT_BYTES_MAX: u64 = 16 << 10;
/// No input of that length may take more memory or more time.
const MEMORY_MIB: u64 = 512;
const INPUT_SECONDS_MAX: u64 = 10;

/// What the compiler has to do for libFuzzer: count edges and tell it of comparisons. `fuzzing` opens the door to what
/// the targets test.
const FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// What is to be run, and for how long.
#[derive(Debug, PartialEq, Eq)]
struct Wish<'a> {
    targets: Vec<&'a str>,
    seconds: u64,
}

/// Runs a target, or all of them: `[TARGET] [--seconds N | --hours H]`. Or makes their seeds: `seeds`.
pub fn fuzz(arguments: &[&str]) -> Outcome {
    if arguments == ["seeds"] {
        return seeds();
    }
    let wish = wish(arguments)?;
    if !has_compiler()? {
        return Ok(());
    }
    let place = build()?;
    // As many at a time as there are processors: each is one thread.
    let at_once = available_parallelism().map_or(1, usize::from);
    wish.targets.chunks(at_once).try_for_each(|targets| {
        let running: Vec<_> = targets.iter().map(|target| Run::start(target, &place, wish.seconds)).collect();
        // All of them are waited for before the first error is told.
        let ended: Vec<_> = running.into_iter().map(|run| run.and_then(Run::end)).collect();
        ended.into_iter().collect()
    })
}

fn wish<'a>(arguments: &[&'a str]) -> Outcome<Wish<'a>> {
    let (targets, options) = match arguments {
        [target, options @ ..] if TARGETS.contains(target) => (vec![*target], options),
        [other, ..] if !other.starts_with("--") => {
            return Err(format!("there is no target {other}; there are {}", TARGETS.join(", ")));
        }
        options => (TARGETS.to_vec(), options),
    };
    let seconds = match options {
        [] => SECONDS,
        ["--seconds", number] => parse(number)?,
        ["--hours", number] => parse(number)?.saturating_mul(3600),
        _ => return Err(format!("`{}` is not --seconds N or --hours H", options.join(" "))),
    };
    // To libFuzzer, no time means all the time.
    if seconds == 0 { Err("for how long?".into()) } else { Ok(Wish { targets, seconds }) }
}

fn parse(number: &str) -> Outcome<u64> {
    number.parse().map_err(|_| format!("`{number}` is no number"))
}

/// libFuzzer is C++. Without a compiler for it nothing is fuzzed, which `CI=true` does not take for an answer.
fn has_compiler() -> Outcome<bool> {
    let program = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let probe = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) {
        return Ok(true);
    }
    match std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        true => Err("fuzz: there is no C++ compiler (c++), which libFuzzer needs".into()),
        false => {
            println!("skipped: fuzz: there is no C++ compiler (c++), which libFuzzer needs");
            Ok(false)
        }
    }
}

/// Where everything of the fuzzer lies but the seeds.
fn workshop() -> PathBuf {
    root().join("target/fuzz")
}

/// Builds all targets; gives their directory.
fn build() -> Outcome<PathBuf> {
    let host = host()?;
    // With a target named, the flags are not those of build scripts and of macros.
    let mut build = cargo(&["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", &host]);
    build.arg("--target-dir").arg(workshop());
    build.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    run(build)?;
    Ok(workshop().join(host).join("release"))
}

fn host() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|e| format!("cannot run `rustc -vV`: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_string).ok_or_else(|| format!("`rustc -vV` names no host: {text}"))
}

/// A target that runs.
struct Run {
    target: String,
    child: Child,
    log: PathBuf,
    scratch: PathBuf,
}

impl Run {
    /// Starts a target on its seeds and on what earlier runs found worth keeping.
    fn start(target: &str, place: &Path, seconds: u64) -> Outcome<Run> {
        let broken = |e: std::io::Error| format!("cannot fuzz {target}: {e}");
        let [corpus, found] = ["corpus", "found"].map(|kind| workshop().join(kind).join(target));
        // What is extracted never needs a disk.
        let memory = Some(PathBuf::from("/dev/shm")).filter(|memory| memory.is_dir());
        let scratch = memory.unwrap_or_else(std::env::temp_dir);
        let scratch = scratch.join(format!("volsnap-fuzz-{}-{target}", std::process::id()));
        for dir in [&corpus, &found, &scratch] {
            fs::create_dir_all(dir).map_err(broken)?;
        }
        let log = workshop().join(format!("{target}.log"));
        let output = File::create(&log).map_err(broken)?;
        let mut command = Command::new(place.join(target));
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", found.display()))
            .arg("-print_final_stats=1")
            .args([&corpus, &root().join("fuzz/seeds").join(target)])
            .env("TMPDIR", &scratch)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(broken)?)
            .stderr(output);
        println!("fuzz {target}: {seconds} s");
        let child = command.spawn().map_err(broken)?;
        // What is asked for and never touched counts as well: an allocation that follows a claim and not the bytes.
        let limit = Some(MEMORY_MIB << 20);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        prlimit(pid, Resource::Data, Rlimit { current: limit, maximum: limit }).map_err(|e| broken(e.into()))?;
        Ok(Run { target: target.into(), child, log, scratch })
    }

    /// Waits for its end and tells what it did.
    fn end(mut self) -> Outcome {
        let status = self.child.wait().map_err(|e| format!("cannot wait for {}: {e}", self.target))?;
        let log = fs::read(&self.log).map_err(|e| format!("cannot read {}: {e}", self.log.display()))?;
        // A target that dies leaves what it was extracting.
        let _ = fs::remove_dir_all(&self.scratch);
        verdict(&self.target, status, &String::from_utf8_lossy(&log))
    }
}

/// What came of a run, by its log.
fn verdict(target: &str, status: ExitStatus, log: &str) -> Outcome {
    let figures = log.lines().rfind(|line| line.contains(" cov: ")).unwrap_or("no figures");
    let runs = log.lines().find(|line| line.starts_with("Done ")).unwrap_or("not done");
    if status.success() {
        println!("fuzz {target}: {runs}; {}", figures.trim_start_matches('#').replace('\t', " "));
        return Ok(());
    }
    let begin = log.lines().position(|line| line.contains("panicked at") || line.contains("ERROR: libFuzzer"));
    for line in log.lines().skip(begin.unwrap_or(0)).take(40) {
        eprintln!("{line}");
    }
    let input = log.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("", |(_, path)| path);
    Err(format!("fuzz {target}: {status}; the input is {input}; once more: run the target's binary on that file"))
}

/// Makes the seeds anew: what the tests of archives and journals read, as far as it adds to what is reached.
fn seeds() -> Outcome {
    let wanted = workshop().join("wanted");
    let _ = fs::remove_dir_all(&wanted);
    for (package, tests) in [("volsnap-disk", "archive::tests::"), ("volsnap-core", "journal")] {
        let mut command = cargo(&["test", "-p", package, "--", tests]);
        command.env("VOLSNAP_FUZZ_SEEDS", &wanted);
        run(command)?;
    }
    let place = build()?;
    for target in TARGETS {
        let mut merge = Command::new(place.join(target));
        merge.args(["-merge=1", &format!("-max_len={INPUT_BYTES_MAX}")]);
        merge.args([root().join("fuzz/seeds").join(target), wanted.join(target)]);
        run(merge)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn without_a_target_all_of_them_run_for_a_minute() {
        assert_eq!(wish(&[]), Ok(Wish { targets: TARGETS.to_vec(), seconds: 60 }));
        assert_eq!(wish(&["--seconds", "5"]), Ok(Wish { targets: TARGETS.to_vec(), seconds: 5 }));
        assert_eq!(wish(&["journal"]), Ok(Wish { targets: vec!["journal"], seconds: 60 }));
        assert_eq!(wish(&["volume", "--hours", "3"]), Ok(Wish { targets: vec!["volume"], seconds: 10_800 }));
    }

    #[test]
    fn what_is_no_target_and_no_time_is_refused() {
        for bad in [
            &["tar"][..],
            &["volume", "archive"],
            &["--hours"],
            &["--hours", "x"],
            &["--seconds", "0"],
            &["--seconds", "1", "--hours", "1"],
            &["--minutes", "1"],
        ] {
            assert!(wish(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_target_is_a_binary_and_has_seeds() {
        for target in TARGETS {
            assert!(root().join(format!("fuzz/fuzz_targets/{target}.rs")).is_file(), "{target}");
            let mut seeds = fs::read_dir(root().join("fuzz/seeds").join(target)).unwrap();
            assert!(seeds.next().is_some(), "{target} has no seeds");
        }
    }

    #[test]
    fn a_run_that_found_something_is_an_error_that_names_the_input() {
        let log = "#9\tNEW cov: 7\nthread 'x' panicked at a.rs:1\nartifact; Test unit written to /t/crash-1\n";
        let error = verdict("volume", ExitStatus::from_raw(77 << 8), log).unwrap_err();
        assert!(error.contains("/t/crash-1"), "{error}");
        assert_eq!(verdict("volume", ExitStatus::from_raw(0), "Done 9 runs in 1 second(s)\n"), Ok(()));
    }
}
