//! Restores that go on after a crash, in the small worlds that have them: the tier explores these further.

use volsnap_tests::{
    crash::sim::{self, faults},
    worlds::{self, SceneSpec},
};

fn resumed() -> Vec<SceneSpec> {
    worlds::small().into_iter().filter(|spec| spec.resume).collect()
}

/// That one which can be resumed ends restored, and is not given up, is a rule of the oracle.
#[test]
fn every_crash_of_a_resumed_restore_and_of_its_recovery_ends_all_original_or_all_restored() {
    for spec in resumed() {
        let figures = sim::crashes(&spec.build(), None, 2);
        println!("{}: {figures}", spec.name);
        assert!(figures.violations.is_empty(), "{}: {:#?}", spec.name, figures.violations);
        let [restored, aborted] = ["Restored", "Aborted"].map(|outcome| figures.outcomes.get(outcome).copied());
        assert!(restored > aborted, "{}: {:?}", spec.name, figures.outcomes);
    }
}

#[test]
fn every_error_of_a_resumed_restore_and_of_its_recovery_ends_all_original_or_all_restored() {
    for spec in resumed() {
        let tally = faults::errors(&spec.build(), faults::Numbers::OneOfEachKind);
        println!("{}: {tally}", spec.name);
        assert!(tally.findings.is_empty(), "{}: {:#?}", spec.name, tally.findings);
    }
}
