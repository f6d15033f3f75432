//! Power cuts on real ext4, xfs and btrfs: each crash image of a restore is mounted and recovered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{path::Path, time::Duration};

use volsnap_tests::crash::{
    Budget, assert_none,
    disk::{self, freeze::Figures, killed, litmus, mutants},
    report, report_mutants,
};

/// The process that takes down what a test leaves.
const GUARD: &str = env!("CARGO_BIN_EXE_volsnap-guard");

/// Whether this machine can run the test, within a mount namespace of its own.
fn ready(test: &str) -> bool {
    let missing = match disk::entered(test, Path::new(GUARD)) {
        Ok(false) => return false,
        Ok(true) => disk::missing(),
        Err(why) => Some(why),
    };
    if let Some(why) = &missing {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs recorded disks: {why}");
        println!("skipped {test}: {why}");
    }
    missing.is_none()
}

#[test]
fn a_killed_test_leaves_no_mount_no_device_and_nobody_who_waits() {
    let test = "a_killed_test_leaves_no_mount_no_device_and_nobody_who_waits";
    if !ready(test) {
        return;
    }
    if let Some(kind) = killed::asked() {
        return killed::keep_busy(kind).unwrap();
    }
    for kind in disk::Kind::ALL {
        for (victim, after) in [(killed::Victim::Server, 100), (killed::Victim::Starter, 300)] {
            let left = killed::leftovers(test, kind, victim, Duration::from_millis(after)).unwrap();
            assert!(left.is_empty(), "{victim:?} was killed on {kind}, and it leaves {left:#?}");
        }
    }
}

#[test]
fn tier_disk() {
    if !ready("tier_disk") {
        return;
    }
    let budget = Budget::from_env();
    let outcome = disk::run(budget);
    report("disk", &outcome.to_string());
    let all = outcome.all();
    assert!(outcome.failures.is_empty(), "{:#?}", outcome.failures);
    assert_none("disk", &disk::told(&all.violations, budget.seed));
    for end in [disk::End::Original, disk::End::Restored] {
        assert!(all.ends.get(&end).is_some_and(|count| *count > all.total() / 10), "too few: {:?}", all.ends);
    }
    assert!(all.states.iter().all(|states| *states > 0) || all.total() < 1000, "no nested crashes: {:?}", all.states);
    if budget.time.is_none() && std::env::var("CI").as_deref() == Ok("true") {
        assert!(all.total() >= disk::STATES_MIN, "only {} states in time", all.total());
    }
}

#[test]
fn every_crash_image_of_a_snapshot_has_only_whole_archives_of_the_freeze() {
    if !ready("every_crash_image_of_a_snapshot_has_only_whole_archives_of_the_freeze") {
        return;
    }
    let budget = Budget::from_env();
    let figures = disk::freeze::snapshots_everywhere(120, budget.seed).unwrap();
    for (kind, figures) in figures {
        let Figures { states, named, frozen, violations } = figures;
        println!("{kind}: {states} different states, {named} with an archive, {frozen} with a frozen app");
        assert!(violations.is_empty(), "{kind}: {violations:#?}");
        assert!(states > 40 && named > 0 && frozen > 0, "too few on {kind}");
    }
    // A harness that never fails proves nothing.
    let lied = disk::freeze::snapshots(disk::Kind::Ext4, 120, Some(disk::Lie::ArchiveNotSynced), budget.seed).unwrap();
    assert!(!lied.violations.is_empty(), "an archive that is not synced is not noticed in {} states", lied.states);
}

#[test]
fn mutants_disk() {
    if !ready("mutants_disk") {
        return;
    }
    report_mutants("disk", &mutants::meet(Budget::from_env()));
}

#[test]
fn the_filesystems_lose_what_is_not_synced_and_nothing_else() {
    if !ready("the_filesystems_lose_what_is_not_synced_and_nothing_else") {
        return;
    }
    let wrongs = litmus::observe_all(Budget::from_env().seed);
    assert!(wrongs.is_empty(), "{wrongs:#?}");
}
