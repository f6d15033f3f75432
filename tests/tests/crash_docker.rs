//! Restores on a real Docker Engine that is killed, cut off and meddled with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use volsnap_tests::crash::{Budget, docker, report, report_mutants};

#[test]
fn tier_docker() {
    let Some(figures) = docker::tier(&Budget::from_env()) else { return };
    report("docker", &figures.to_string());
    for case in &figures.missed {
        println!("not reached: {case}");
    }
    for (case, wrongs) in &figures.violations {
        println!("VIOLATION {case}: {wrongs:#?}");
    }
    assert!(figures.violations.is_empty(), "{} violations", figures.violations.len());
    assert!(figures.missed.len() * 10 <= figures.cases.values().sum(), "too much is not reached: {:?}", figures.missed);
}

#[test]
fn mutants_docker() {
    let Some(mutants) = docker::mutants() else { return };
    report_mutants("docker", &mutants);
}
