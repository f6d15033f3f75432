//! Snapshots of an app that runs: every crash, every error, an app that works at every instant.

use volsnap_tests::crash::sim::{
    faults::Finding,
    snapshots::{self, cases},
};

#[test]
fn every_crash_of_a_snapshot_leaves_the_app_as_it_was_and_only_archives_of_the_freeze() {
    let mut woken = 0;
    for case in cases() {
        let figures = snapshots::snapshots(&case, None, 2);
        println!("{}: {figures}", case.name());
        for violation in &figures.violations {
            println!("VIOLATION: {:?}\n{:#?}", violation.path, violation.wrongs);
            println!("{}", snapshots::story(&case, None, &violation.path).join("\n"));
        }
        assert!(figures.violations.is_empty(), "{} violations", figures.violations.len());
        woken += figures.outcomes.get("woken").copied().unwrap_or(0);
    }
    assert!(woken > 0, "no recovery had an app to wake");
}

#[test]
fn every_fault_in_a_snapshot_leaves_the_app_as_it_was_and_only_archives_of_the_freeze() {
    for case in cases() {
        let tally = snapshots::faults(&case);
        println!("{}: {tally}", case.name());
        for Finding { scene, strikes, wrongs, story } in &tally.findings {
            println!("VIOLATION in {scene}, {strikes}: {wrongs:#?}\n{}", story.join("\n"));
        }
        assert!(tally.findings.is_empty(), "{} violations", tally.findings.len());
    }
}

#[test]
fn a_root_that_is_replaced_while_it_is_read_is_no_snapshot() {
    for case in cases() {
        let tally = snapshots::replacements(&case);
        println!("{}: {tally}", case.name());
        for Finding { scene, strikes, wrongs, story } in &tally.findings {
            println!("VIOLATION in {scene}, {strikes}: {wrongs:#?}\n{}", story.join("\n"));
        }
        assert!(tally.findings.is_empty(), "{} violations", tally.findings.len());
    }
}
