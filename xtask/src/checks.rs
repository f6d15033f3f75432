//! `test` and `ci`: everything that has to be green.

use std::{path::PathBuf, process::Stdio};

use crate::{
    engines, fuzz,
    run::{Outcome, cargo, root, run},
    tidy,
};

/// Every test. The examples in the documentation go first, so that the last lines are the summary of the runner that
/// runs nearly all of them.
pub fn test() -> Outcome {
    // Before the others: the last lines are the runner's.
    engines::with_every_test()?;
    if has_nextest() {
        run(cargo(&["test", "--workspace", "--doc"]))?;
        let runner = ["nextest", "run", "--workspace", "--profile", "workspace"];
        run(cargo(&[&runner[..], &["--no-run"]].concat()))?;
        // Tests of other packages build it by themselves, and once more, since they alone have other features. Here it is
        // built, with the tests of its own package.
        let mut tests = cargo(&runner);
        tests.env("VOLSNAP_TEST_BINARY", target_dir().join("debug/volsnap"));
        run(tests)
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

/// Where cargo puts what it builds.
fn target_dir() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from))
}

fn has_nextest() -> bool {
    let probe = cargo(&["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}
