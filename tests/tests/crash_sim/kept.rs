//! Kept originals: archived, put back, discarded, with every crash and every error.

use volsnap_tests::crash::sim::kept::{self, Explored, cases};

fn every(name: &str, explore: impl Fn(&kept::Case) -> Explored) {
    let (mut states, mut done) = (0, 0);
    for case in cases() {
        let explored = explore(&case);
        println!("{name}: {}: {} states, {} of them done", case.name(), explored.states, explored.done);
        assert!(explored.wrongs.is_empty(), "{}: {:#?}", case.name(), explored.wrongs);
        states += explored.states;
        done += explored.done;
    }
    assert!(done > 0 && done < states, "{done} of {states} ended done");
}

#[test]
fn no_crash_of_what_is_done_about_kept_originals_and_of_its_recovery_loses_a_byte_of_them() {
    every("crashes", |case| kept::crashes(case, true));
}

#[test]
fn no_error_in_what_is_done_about_kept_originals_loses_a_byte_of_them() {
    every("errors", kept::errors);
}
