//! What must be refused before anything is touched.

use std::path::PathBuf;

use volsnap_core::{error::Code, model::RunState};
use volsnap_sim::{ContainerSpec, MicroKind, World};

use super::Tally;
use crate::{
    oracle::Wrongs,
    process::{Ended, restore},
    worlds::{Live, Scene, SceneSpec, VolumeSpec},
};

/// Restores in worlds that are fine but for one thing; each must be refused with nothing changed.
#[must_use]
pub fn refusals() -> Tally {
    refusals_by(|_| {})
}

/// The same in worlds that were prepared, for mutants.
#[must_use]
pub fn refusals_by(prepare: impl Fn(&mut Scene)) -> Tally {
    let mut tally = Tally::default();
    for (why, mut scene) in cases() {
        prepare(&mut scene);
        tally.count("refusals");
        tally.runs += 1;
        let mut world = scene.world.clone();
        world.remember(true);
        let left = restore(&scene, world);
        let mut wrongs = Wrongs::new();
        match &left.ended {
            Ended::Failed(error) if matches!(error.code, Code::Refused | Code::Corrupt | Code::NotFound) => {}
            other @ (Ended::Reported(_) | Ended::Nothing | Ended::Failed(_) | Ended::Gone) => {
                wrongs.push(format!("it was not refused: {other:?}"));
            }
        }
        let touches = |kind| matches!(kind, MicroKind::Change | MicroKind::Engine);
        if let Some(moment) = left.world.history().iter().find(|moment| touches(moment.kind)) {
            wrongs.push(format!("something was touched: {}", moment.label));
        }
        tally.complain(&scene, why.into(), wrongs, || left.world.story().to_vec());
    }
    tally
}

fn cases() -> Vec<(&'static str, Scene)> {
    let plain = || SceneSpec::plain("refused");
    let two = || {
        let volume = VolumeSpec { disk: 0, live: Live::Full, absent: false };
        SceneSpec { volumes: vec![volume, volume], ..plain() }
    };
    let with = |spec: SceneSpec, change: &dyn Fn(&mut World, PathBuf)| {
        let mut scene = spec.build();
        let live = scene.volumes[0].live.clone();
        change(&mut scene.world, live);
        scene
    };
    let declared = |paths: &[&str]| {
        let mut scene = two().build();
        for (volume, path) in scene.workload.volumes.iter_mut().zip(paths) {
            volume.path = PathBuf::from(path);
        }
        let workload = scene.workload.clone();
        scene.world.put_dir(&PathBuf::from("/disk0/apps/v0/inner"));
        scene.world.register(workload);
        scene
    };
    vec![
        ("no space for the staged data", with(plain(), &|world, _| world.set_space(1, 4096))),
        ("no space for the safety snapshot", with(plain(), &|world, _| world.set_space(0, 16 * 1024))),
        (
            "somebody else's container runs on it",
            with(plain().with_app(), &|world, live| {
                world.add_container(ContainerSpec {
                    run: RunState::Running,
                    project: Some("other".into()),
                    ..ContainerSpec::named("other").bind("/d", live)
                });
            }),
        ),
        (
            "an immutable directory",
            with(plain(), &|world, live| world.mark(&live, volsnap_sim::disk::Special::Immutable)),
        ),
        ("one inside the other", declared(&["/disk0/apps/v0", "/disk0/apps/v0/inner"])),
        ("the same one twice", declared(&["/disk0/apps/v0", "/disk0/apps/v0"])),
        ("below the state directory", declared(&["/var/lib/volsnap/snapshots", "/disk0/apps/v1"])),
    ]
}
