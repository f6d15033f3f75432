//! Restores on a real Docker Engine that is killed, cut off and meddled with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use volsnap_tests::crash::{Budget, assert_none, docker, report, report_mutants};

#[test]
fn tier_docker() {
    let Some(figures) = docker::tier(&Budget::from_env()) else { return };
    report("docker", &figures.to_string());
    for case in &figures.missed {
        println!("not reached: {case}");
    }
    let told = |(case, wrongs): &(docker::Case, Vec<String>)| format!("{case}:\n  {}", wrongs.join("\n  "));
    assert_none("docker", &figures.violations.iter().map(told).collect::<Vec<_>>());
    assert!(figures.missed.len() * 10 <= figures.cases.values().sum(), "too much is not reached: {:?}", figures.missed);
}

#[test]
fn mutants_docker() {
    let Some(mutants) = docker::mutants() else { return };
    report_mutants("docker", &mutants);
}
