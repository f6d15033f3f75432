//! A filesystem whose directories get other identities when they are renamed.

use std::path::Path;

use volsnap_core::{
    engine::{RecoveredItem, Take},
    error::Code,
    ports::Filesystem as _,
    restore::{Outcome, Report},
};
use volsnap_sim::{Machine, Mutant, World, disk::Special};
use volsnap_tests::{
    process::{self, Ended, Left, engine, quiet},
    worlds::{Scene, SceneSpec, VolumeDisk},
};

/// One directory, with an app or without, on such a filesystem.
fn scenes() -> Vec<Scene> {
    let disks = vec![VolumeDisk { exchange: false, ordered: true }];
    let plain = SceneSpec { disks, ..SceneSpec::plain("numbers by path") };
    let mut scenes = vec![plain.build(), plain.with_app().build()];
    for scene in &mut scenes {
        scene.world.number_by_path(Path::new("/disk0"));
    }
    scenes
}

/// Whether the volume is that, with nothing of ours beside it and no journal.
fn is_at_rest(scene: &Scene, world: &World, outcome: Outcome) -> bool {
    let volume = &scene.volumes[0];
    let is_own = |path: &String| !path.contains("app-");
    let live = world.tree(&volume.live).map(|tree| tree.into_iter().filter(|(path, _)| is_own(path)).collect());
    let wanted = match outcome {
        Outcome::Restored => Some(volume.restored.clone()),
        Outcome::Reverted | Outcome::Aborted => volume.original.clone(),
        Outcome::NeedsAttention => return false,
    };
    let beside = world.names(volume.live.parent().unwrap());
    live == wanted && beside.iter().all(|name| !name.starts_with(".volsnap-")) && world.journal_names().is_empty()
}

fn report(left: &Left) -> &Report {
    match &left.ended {
        Ended::Reported(report) => report,
        ended @ (Ended::Nothing | Ended::Failed(_) | Ended::Gone) => panic!("{ended:?}"),
    }
}

#[test]
fn a_filesystem_that_does_not_know_a_directory_again_is_refused_before_anything_is_touched() {
    for scene in scenes() {
        let mut world = scene.world.clone();
        world.record_crash_points();
        let left = process::restore(&scene, world);
        let report = report(&left);
        assert_eq!((report.outcome, report.cause.as_ref().unwrap().code), (Outcome::Aborted, Code::Refused));
        assert!(is_at_rest(&scene, &left.world, Outcome::Aborted));
        for point in left.points {
            let mut world = point.world;
            world.restart_process();
            let left = process::recover(&scene, world);
            assert!(is_at_rest(&scene, &left.world, Outcome::Aborted), "killed before operation {}", point.op);
        }
    }
}

fn recover_named(scene: &Scene, world: World, take: Take) -> Left {
    let machine = Machine::start(world);
    let engine = engine(&machine, scene);
    let ended = match machine.run(engine.recover_named(scene.workload.id, take, &quiet())).done() {
        Some(Ok(RecoveredItem::Restore(report))) => Ended::Reported(report),
        Some(Ok(RecoveredItem::Snapshot { .. })) => Ended::Nothing,
        Some(Err(error)) => Ended::Failed(error),
        None => Ended::Gone,
    };
    let points = machine.world().take_crash_points();
    Left { world: machine.snapshot(), ended, points }
}

/// A world in which such a restore was begun all the same, and came to where it knows nothing.
fn stranded(scene: &Scene) -> World {
    let mut world = scene.world.clone();
    world.set_mutant(Some(Mutant::RenamesNotTried));
    let mut left = process::restore(scene, world);
    assert_eq!(report(&left).outcome, Outcome::NeedsAttention, "without the trial it would go wrong");
    left.world.restart_process();
    left.world
}

#[test]
fn whoever_is_in_a_restore_that_knows_nothing_chooses_and_every_crash_of_that_ends_as_chosen() {
    for scene in scenes() {
        let world = stranded(&scene);
        let again = process::recover(&scene, world.clone());
        assert_eq!(report(&again).outcome, Outcome::NeedsAttention, "nothing is decided by itself");
        for (take, outcome) in [(Take::Original, Outcome::Reverted), (Take::Restored, Outcome::Restored)] {
            let mut world = world.clone();
            world.record_crash_points();
            let left = recover_named(&scene, world, take);
            assert_eq!(report(&left).outcome, outcome, "{:?}", report(&left).cause);
            assert!(is_at_rest(&scene, &left.world, outcome), "{take:?}");
            for point in left.points {
                let mut world = point.world;
                world.restart_process();
                let mut left = process::recover(&scene, world);
                if let Ended::Reported(report) = &left.ended
                    && report.outcome == Outcome::NeedsAttention
                {
                    // Killed before the choice was written down.
                    left.world.restart_process();
                    left = recover_named(&scene, left.world, take);
                }
                assert!(is_at_rest(&scene, &left.world, outcome), "{take:?}, killed before operation {}", point.op);
            }
        }
    }
}

/// A directory of an overlay's lower layer above the volume, which becomes another one when something is made in it.
fn below_a_lower_layer() -> Vec<Scene> {
    let disks = vec![VolumeDisk { exchange: false, ordered: true }];
    let plain = SceneSpec { disks, ..SceneSpec::plain("an overlay") };
    let mut scenes = vec![plain.build(), plain.with_app().build()];
    for scene in &mut scenes {
        let live = scene.volumes[0].live.clone();
        for lower in [live.parent().unwrap(), &live] {
            scene.world.mark(lower, Special::Lower);
        }
    }
    scenes
}

#[test]
fn a_directory_that_changes_when_something_is_made_in_it_is_known_by_what_it_becomes() {
    for scene in below_a_lower_layer() {
        let mut world = scene.world.clone();
        world.record_crash_points();
        let left = process::restore(&scene, world);
        assert_eq!(report(&left).outcome, Outcome::Restored, "{:?}", report(&left).cause);
        assert!(is_at_rest(&scene, &left.world, Outcome::Restored));
        for point in left.points {
            let mut world = point.world;
            world.restart_process();
            let left = process::recover(&scene, world);
            let is_whole = |outcome| is_at_rest(&scene, &left.world, outcome);
            assert!(is_whole(Outcome::Aborted) || is_whole(Outcome::Restored), "killed before operation {}", point.op);
        }
    }
}

#[test]
fn whoever_is_in_a_restore_whose_parent_became_another_one_gets_out() {
    for scene in below_a_lower_layer() {
        // As an earlier version began it: nothing was made ready.
        let mut world = scene.world.clone();
        world.set_mutant(Some(Mutant::NotReadied));
        let mut stranded = process::restore(&scene, world);
        assert_eq!(report(&stranded).outcome, Outcome::NeedsAttention);
        let remedy = report(&stranded).cause.as_ref().unwrap().hint.clone().unwrap();
        assert!(remedy.contains("--take original"), "{remedy}");
        stranded.world.restart_process();
        let again = process::recover(&scene, stranded.world.clone());
        assert_eq!(report(&again).outcome, Outcome::NeedsAttention, "nothing is decided by itself");

        let mut world = stranded.world;
        world.record_crash_points();
        let left = recover_named(&scene, world, Take::Original);
        assert!(is_at_rest(&scene, &left.world, Outcome::Aborted), "{:?}", left.ended);
        for point in left.points {
            let mut world = point.world;
            world.restart_process();
            let mut left = process::recover(&scene, world);
            if let Ended::Reported(report) = &left.ended
                && report.outcome == Outcome::NeedsAttention
            {
                // Killed before the choice was written down.
                left.world.restart_process();
                left = recover_named(&scene, left.world, Take::Original);
            }
            assert!(is_at_rest(&scene, &left.world, Outcome::Aborted), "killed before operation {}", point.op);
        }
    }
}

#[test]
fn a_choice_is_refused_where_there_is_none_or_where_the_names_do_not_tell() {
    let scene = scenes().remove(0);
    let error = |left: Left| match left.ended {
        Ended::Failed(error) => error,
        ended @ (Ended::Nothing | Ended::Reported(_) | Ended::Gone) => panic!("{ended:?}"),
    };
    assert_eq!(error(recover_named(&scene, scene.world.clone(), Take::Original)).code, Code::NotFound);
    let world = stranded(&scene);
    // Somebody took the original out of its place.
    let parent = scene.volumes[0].live.parent().unwrap().to_path_buf();
    let private = world.names(&parent).into_iter().find(|name| name.starts_with(".volsnap-")).unwrap();
    let machine = Machine::start(world);
    let (from, to) = (parent.join(private).join("aside"), parent.join("rescued"));
    machine.run(machine.disks().rename(&from, &to)).done().unwrap().unwrap();
    let mut world = machine.snapshot();
    world.restart_process();
    let refused = recover_named(&scene, world.clone(), Take::Restored);
    assert_eq!(refused.world.tree(&parent), world.tree(&parent));
    assert_eq!(error(refused).code, Code::NeedsAttention);
}
