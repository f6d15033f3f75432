//! Crash tests on the simulator: small worlds exhaustively, larger ones at random, and broken ports on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use proptest::prelude::*;
use volsnap_core::model::{Redeploy, RunState};
use volsnap_sim::Mutant;
use volsnap_tests::{
    explore::{self, Figures},
    worlds::{self, AppSpec, Live, Scene, SceneSpec, VolumeDisk, VolumeSpec},
};

fn fail_on_violations(scene: &Scene, figures: &Figures) {
    println!("{}: {figures}", scene.spec.name);
    for violation in &figures.violations {
        println!("VIOLATION in {}: {violation:#?}", scene.spec.name);
        println!("{}", explore::story(scene, None, violation).join("\n"));
    }
    assert!(figures.violations.is_empty(), "{} in {}", figures.violations.len(), scene.spec.name);
    assert!(figures.crash_points > 40, "{} crash points are no restore", figures.crash_points);
}

/// Crashes so many processes, one after another: the restore, its recovery, the recovery's recovery.
fn crash_everywhere(scenes: std::ops::Range<usize>, processes: usize) {
    for spec in &worlds::small()[scenes] {
        let scene = spec.build();
        fail_on_violations(&scene, &explore::crashes(&scene, None, processes));
    }
}

#[test]
fn every_crash_of_a_restore_of_plain_directories_ends_all_original_or_all_restored() {
    crash_everywhere(0..2, 3);
    crash_everywhere(2..7, 2);
}

#[test]
fn every_crash_of_a_restore_with_apps_ends_all_original_or_all_restored_and_the_app_back() {
    crash_everywhere(7..13, 2);
}

#[test]
fn every_crash_of_a_restore_over_several_filesystems_ends_all_original_or_all_restored() {
    crash_everywhere(13..worlds::small().len(), 2);
}

#[test]
fn every_error_of_a_restore_ends_all_original_or_all_restored() {
    for spec in worlds::small() {
        let scene = spec.build();
        fail_on_violations(&scene, &explore::errors(&scene));
    }
}

#[test]
fn every_error_of_a_recovery_ends_all_original_or_all_restored() {
    let specs = worlds::small();
    for spec in [&specs[2], &specs[7], &specs[11], &specs[14]] {
        let scene = spec.build();
        fail_on_violations(&scene, &explore::recovery_errors(&scene));
    }
}

#[test]
fn a_machine_that_is_not_ready_is_left_alone_until_it_is() {
    for spec in worlds::small() {
        let scene = spec.build();
        fail_on_violations(&scene, &explore::slow_boots(&scene));
    }
}

#[test]
fn every_barrier_that_is_taken_away_is_missed() {
    let journal = |pattern: &str| Mutant::JournalNotDurable { pattern: pattern.into() };
    let mutants = [
        ("B0 the fence", Mutant::FenceNotDurable),
        ("B1 staged data", Mutant::StagedNotSynced),
        ("B2 Committed", journal("\"committed\"")),
        ("B3 the switches", Mutant::SwitchesNotSettled),
        ("B4 Switched", journal("\"switched\"")),
        ("B5 the safety archive", Mutant::ArchiveNotDurable),
        ("B6 Captured", journal("\"captured\"")),
        ("B7 the deletions", Mutant::DeletionsNotSettled),
        ("B8 Closed", journal("\"closed\"")),
        ("B9 the journal's removal", Mutant::JournalRemovalNotSynced),
        ("identity by name", Mutant::IdentityByName),
        ("exchange in three renames", Mutant::ExchangeNotAtomic),
        ("journal overwritten in place", Mutant::JournalInPlace),
    ];
    let scenes: Vec<Scene> = worlds::small().iter().map(SceneSpec::build).collect();
    let mut unnoticed = Vec::new();
    for (name, mutant) in &mutants {
        let caught = scenes.iter().find_map(|scene| {
            let violation = explore::crashes(scene, Some(mutant), 1).violations.into_iter().next()?;
            Some((scene.spec.name.clone(), violation))
        });
        match caught {
            Some((scene, violation)) => println!("{name:32} | {scene:36} | {}", violation.wrongs[0]),
            None => {
                println!("{name:32} | NOT NOTICED");
                unnoticed.push(name);
            }
        }
    }
    assert!(unnoticed.is_empty(), "nobody misses {unnoticed:?}");
}

fn any_scene() -> impl Strategy<Value = SceneSpec> {
    let disk = (any::<bool>(), any::<bool>()).prop_map(|(exchange, ordered)| VolumeDisk { exchange, ordered });
    let live = prop_oneof![3 => Just(Live::Full), 1 => Just(Live::Empty), 1 => Just(Live::Missing)];
    let volume = (0..3_usize, live, prop::bool::weighted(0.2)).prop_map(|(disk, live, absent)| VolumeSpec {
        disk,
        live,
        absent,
    });
    let policy = prop::sample::select(vec!["no", "on-failure", "unless-stopped", "always"]);
    let run = prop::sample::select(vec![RunState::Running, RunState::Running, RunState::Paused, RunState::Stopped]);
    let app = (policy, run, prop::bool::weighted(0.8)).prop_map(|(policy, run, member)| AppSpec {
        policy,
        // A running container of somebody else on a volume is refused.
        run: if member { run } else { RunState::Stopped },
        member,
    });
    let volumes = prop::collection::vec(volume, 1..5);
    let apps = prop::collection::vec(app, 0..4);
    (prop::collection::vec(disk, 3), any::<bool>(), volumes, apps, any::<bool>(), any::<bool>()).prop_map(
        |(disks, state_with_volumes, volumes, apps, restart, safety)| SceneSpec {
            name: "random".into(),
            disks,
            state_with_volumes,
            volumes,
            apps,
            redeploy: if restart { Redeploy::Restart } else { Redeploy::Recreate },
            safety,
            sick: false,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_crashes_in_random_worlds_end_all_original_or_all_restored(spec in any_scene(), seed in any::<u64>()) {
        let scene = spec.build();
        if let Err((wrongs, story)) = explore::at_random(&scene, seed) {
            println!("seed {seed}:\n{}", story.join("\n"));
            prop_assert!(false, "seed {seed} in {spec:?}: {wrongs:?}");
        }
    }
}
