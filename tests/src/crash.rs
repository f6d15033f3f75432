//! What the tiers of crash tests share: how much they do, and how they say what they found.
//!
//! A tier is a test named `tier_<name>` in `tests/crash_<name>.rs`. Its mutants, faults put into the engine or under it on
//! purpose, are the test `mutants_<name>`: a harness that misses one proves nothing.

pub mod app;
pub mod disk;
pub mod docker;
pub mod sim;

#[cfg(target_arch = "x86_64")]
pub mod kill;

use crate::mutants;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How much a tier does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What every choice derives from: the same seed makes the same run.
    pub seed: u64,
    /// How long to go on; `None` for the fixed amount of work that every change has to pass.
    pub time: Option<Duration>,
}

impl Budget {
    /// As `cargo xtask crash` passes it on, in `VOLSNAP_CRASH_SEED` and `VOLSNAP_CRASH_MINUTES`.
    ///
    /// # Panics
    /// If one of them is no number.
    #[must_use]
    pub fn from_env() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
        };
        Budget {
            seed: number("VOLSNAP_CRASH_SEED").unwrap_or(1),
            time: number("VOLSNAP_CRASH_MINUTES").map(|minutes| Duration::from_secs(60 * minutes)),
        }
    }
}

/// A mutant, and how a tier met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Its name, the same in all tiers.
    pub mutant: &'static str,
    /// How many states were tried until one showed it; `None` if none did.
    pub caught_after: Option<u64>,
    /// What was seen first, in words.
    pub sign: String,
}

/// Prints a tier's line of figures and keeps it for the documentation.
///
/// # Panics
/// If it cannot be kept.
pub fn report(tier: &str, line: &str) {
    println!("{tier}: {line}");
    keep(&format!("{tier}.line"), &format!("{tier}: {line}\n"));
}

/// Keeps a tier's violations with its figures, and fails with the first of them. They are in the panic, not in the output:
/// of a run of all tests only the end may be seen, and some violations come once in many runs.
///
/// # Panics
/// If there are any.
pub fn assert_none(tier: &str, violations: &[String]) {
    keep(&format!("{tier}.violations"), &violations.join("\n"));
    let cut = |violation: &String| violation.chars().take(6000).collect::<String>();
    let first: Vec<String> = violations.iter().take(3).map(cut).collect();
    assert!(violations.is_empty(), "{} violations\n{}", violations.len(), first.join("\n"));
}

/// Prints how a tier met its mutants and keeps it for the documentation, a line of tab-separated fields for each:
/// mutant, what it breaks, states until caught (`-` if it was not), sign.
///
/// # Panics
/// If it cannot be kept, if a mutant was not caught, or if the list has none of that name.
pub fn report_mutants(tier: &str, mutants: &[Met]) {
    let mut lines = String::new();
    for Met { mutant, caught_after, sign } in mutants {
        let states = caught_after.map_or("-".to_string(), |states| states.to_string());
        let breaks = mutants::broken_by(mutant).unwrap_or_else(|| panic!("{mutant} is not in the list"));
        println!("{tier}: {mutant:34} | {states:>8} | {sign}");
        writeln!(lines, "{mutant}\t{breaks}\t{states}\t{}", sign.replace(['\t', '\n'], " "))
            .expect("a string takes it");
    }
    keep(&format!("{tier}.mutants"), &lines);
    let missed: Vec<&str> = mutants.iter().filter(|m| m.caught_after.is_none()).map(|m| m.mutant).collect();
    assert!(missed.is_empty(), "the {tier} tier does not notice {missed:?}");
}

fn keep(name: &str, text: &str) {
    let dir = kept();
    fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(name), text)).expect("the target directory takes a file");
}

/// Where reports are kept: `crash/` in cargo's target directory.
fn kept() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    repository.join(target.unwrap_or_else(|| "target".into())).join("crash")
}
