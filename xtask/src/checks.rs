//! `test` and `ci`: everything that has to be green.

use std::process::Stdio;

use crate::{
    engines, fuzz,
    run::{Outcome, cargo, run},
    tidy,
};

/// Every test. The examples in the documentation go first, so that the last lines are the summary of the runner that
/// runs nearly all of them.
pub fn test() -> Outcome {
    // Tests that run the binary build it, with other features than they have: here no test's time is spent on that.
    run(cargo(&["build", "--package", "volsnap", "--bin", "volsnap"]))?;
    // Before the others, too: the last lines are the runner's.
    engines::with_every_test()?;
    if has_nextest() {
        run(cargo(&["test", "--workspace", "--doc"]))?;
        run(cargo(&["nextest", "run", "--workspace", "--profile", "workspace"]))
    } else {
        eprintln!("cargo-nextest is not installed: the tests run with cargo's own runner");
        run(cargo(&["test", "--workspace", "--doc"]))?;
        run(cargo(&["test", "--workspace", "--all-targets"]))
    }
}

/// Formatting, tidy, clippy, documentation, a minute of each fuzz target, and every test: what fails soonest goes first.
pub fn ci() -> Outcome {
    run(cargo(&["fmt", "--all", "--check"]))?;
    run(cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))?;
    tidy::tidy()?;
    run(cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    run(docs)?;
    fuzz::fuzz(&[])?;
    test()
}

fn has_nextest() -> bool {
    let probe = cargo(&["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}
