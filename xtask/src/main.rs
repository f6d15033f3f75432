//! The commands of the repository: `cargo xtask demo | test | crash | soak | engines | fuzz | ci | bench | tidy`.

mod bench;
mod block;
mod checks;
mod crash;
mod demo;
mod engine;
mod engines;
mod fuzz;
mod run;
mod scratch;
mod tidy;
mod volsnap;

use std::{path::Path, process::ExitCode};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo                        the main job on a real container, or on plain directories; leaves nothing behind
  test                        every test, the runner's summary last
  crash TIER [--seed N] [--minutes M]
                              one tier of crash tests (sim, disk, kill, docker) and its line of figures; or all of
                              them, with their mutants
  crash figures [--write]     what they said when they ran last; --write puts it into the documents that quote it
  soak --hours H [--seed N]   the tiers in turn, each time with another seed, until something is wrong
  fuzz [TARGET] [--seconds N | --hours H]
                              any bytes as a volume, archive, manifest or journal; all of them and a minute for each,
                              unless something else is said
  engines [NAME…] [--write]   the tests of containers on other engines than this machine's, each out of another Debian
                              release (root; mmdebstrap); --write puts the results into adapters/docker/README.md
  fuzz seeds                  makes the inputs anew with which the fuzzer begins
  tidy                        what the compiler does not check: floors, crate arrows, files, words
  ci                          formatting, clippy, docs, tidy, a minute of each fuzz target, and every test
  bench downtime [--write]    downtime and memory by size of the data; --write puts them into the README
  bench archive [--corpus NAME] [--rounds N] [--scale N] [--where DIR | --own-disk | --memory-disk] [--write]
                              create, restore and verify beside tar, restic, rustic and borg, on the same data;
                              --own-disk, --memory-disk: on an ext4 on a loop device on the disk or in memory (root);
                              --scale: one in N of the data, to try it; --write puts them into adapters/disk/README.md
  bench freeze [--write]      how long an app is frozen for a snapshot, on three filesystems";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["demo"] => demo::demo(),
        ["bench", "downtime"] => bench::downtime(false),
        ["bench", "downtime", "--write"] => bench::downtime(true),
        ["bench", "freeze"] => bench::freeze::freeze(false),
        ["bench", "freeze", "--write"] => bench::freeze::freeze(true),
        ["bench", "archive", options @ ..] => bench::archive::archive(options),
        ["test"] => checks::test(),
        ["crash", "figures"] => crash::figures::figures(false),
        ["crash", "figures", "--write"] => crash::figures::figures(true),
        ["soak", arguments @ ..] => crash::soak(arguments),
        ["crash", arguments @ ..] => crash::crash(arguments),
        ["fuzz", arguments @ ..] => fuzz::fuzz(arguments),
        ["engines", arguments @ ..] => engines::engines(arguments),
        ["tidy"] => tidy::tidy(),
        ["ci"] => checks::ci(),
        // Not for people: the process that cleans up behind a demonstration or a measurement.
        ["sweep", dir] => scratch::sweep(Path::new(dir)),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
