//! Failures shrink to the smallest world, and their stories can be replayed.

use volsnap_core::model::RunState;
use volsnap_sim::Mutant;
use volsnap_tests::{
    crash::sim::{self, Story},
    worlds::{AppSpec, Live, SceneSpec, VolumeDisk, VolumeSpec},
};

/// The mutants that stories are told of.
fn mutants() -> Vec<(&'static str, Mutant)> {
    let journal = |pattern: &str| Mutant::JournalNotDurable { pattern: pattern.into() };
    vec![
        ("fence-not-durable", Mutant::FenceNotDurable),
        ("staged-data-not-synced", Mutant::StagedNotSynced),
        ("commit-not-durable", journal("\"committed\"")),
        ("switches-not-settled", Mutant::SwitchesNotSettled),
        ("safety-archive-not-synced", Mutant::ArchiveNotDurable),
        ("deletions-not-settled", Mutant::DeletionsNotSettled),
        ("exchange-in-three-renames", Mutant::ExchangeNotAtomic),
        ("journal-overwritten-in-place", Mutant::JournalInPlace),
    ]
}

/// A world with something of everything, in which the cause of a failure is hard to see.
fn crowded() -> SceneSpec {
    let volume = |disk, live| VolumeSpec { disk, live, absent: false };
    let app = |policy, run| AppSpec { run, ..AppSpec::running(policy) };
    SceneSpec {
        disks: vec![VolumeDisk { exchange: true, ordered: false }, VolumeDisk { exchange: true, ordered: true }],
        volumes: vec![volume(0, Live::Full), volume(1, Live::Full), volume(0, Live::Empty)],
        apps: vec![app("unless-stopped", RunState::Running), app("always", RunState::Paused)],
        state_with_volumes: true,
        ..SceneSpec::plain("crowded")
    }
}

/// What is wrong in a crowded world, shrunk to its story.
fn shrunk(mutant: &Mutant) -> Story {
    let violation = sim::seeded(&crowded().build(), Some(mutant), 1).violations.swap_remove(0);
    let (spec, violation) = sim::shrink(&crowded(), Some(mutant), &violation);
    Story::of(&spec, Some(mutant), &violation)
}

#[test]
fn a_failure_shrinks_to_a_minimal_world_whose_story_can_be_replayed() {
    for mutant in [Mutant::SwitchesNotSettled, Mutant::ExchangeNotAtomic] {
        let story = shrunk(&mutant);
        assert_eq!((story.spec.volumes.len(), story.spec.disks.len()), (1, 1), "{story}");
        assert!(story.spec.apps.is_empty() && !story.spec.state_with_volumes, "{story}");
        assert!(story.path.len() <= 1, "{story}");
        let read: Story = story.to_string().parse().unwrap();
        assert_eq!(read, story);
        assert_eq!(read.replay(Some(&mutant)), story.wrongs);
        assert_eq!(read.replay(None), Vec::<String>::new(), "the engine itself is right");
    }
}

/// With `VOLSNAP_STORIES=tell` they are told anew, as is needed after the simulator has learned new operations.
#[test]
fn the_stories_that_are_kept_still_hold() {
    if std::env::var("VOLSNAP_STORIES").as_deref() == Ok("tell") {
        for (name, mutant) in mutants() {
            println!("{}", shrunk(&mutant).keep(name).display());
        }
    }
    let kept = Story::kept();
    assert!(kept.len() >= mutants().len(), "only {} stories are kept", kept.len());
    for (name, story) in kept {
        assert_eq!(story.replay(None), Vec::<String>::new(), "{name} happens again");
        let Some(mutant) = &story.mutant else { continue };
        let (_, mutant) = mutants().into_iter().find(|(_, m)| format!("{m:?}") == *mutant).expect("a known mutant");
        assert_eq!(story.replay(Some(&mutant)), story.wrongs, "{name} is told differently now");
    }
}
