//! Random lives of random worlds.

use proptest::prelude::*;
use volsnap_core::model::{Redeploy, RunState};
use volsnap_tests::{
    crash::sim,
    worlds::{AppSpec, Kind, Live, SceneSpec, VolumeDisk, VolumeSpec},
};

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
    let kind = prop_oneof![
        5 => Just(Kind::Plain),
        1 => Just(Kind::Waits),
        1 => Just(Kind::SharesNetwork),
        1 => Just(Kind::CannotStart),
    ];
    let app = (policy, run, prop::bool::weighted(0.8), kind).prop_map(|(policy, run, member, kind)| AppSpec {
        kind: if member && run == RunState::Running { kind } else { Kind::Plain },
        policy,
        // A running container of somebody else on a volume is refused.
        run: if member { run } else { RunState::Stopped },
        member,
    });
    let volumes = prop::collection::vec(volume, 1..5);
    let apps = prop::collection::vec(app, 0..4);
    (prop::collection::vec(disk, 3), any::<bool>(), volumes, apps, any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(disks, state_with_volumes, volumes, mut apps, restart, safety, resume)| SceneSpec {
            name: "random".into(),
            disks,
            state_with_volumes,
            volumes,
            apps: after_a_plain_one(&mut apps),
            redeploy: if restart { Redeploy::Restart } else { Redeploy::Recreate },
            safety,
            sick: false,
            resume,
            frozen: false,
        })
}

/// Those that have to do with the first one need a plain one that runs there.
fn after_a_plain_one(apps: &mut Vec<AppSpec>) -> Vec<AppSpec> {
    if apps.iter().any(|app| app.kind != Kind::Plain) {
        apps.insert(0, AppSpec::running("unless-stopped"));
    }
    std::mem::take(apps)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_crashes_in_random_worlds_end_all_original_or_all_restored(spec in any_scene(), seed in any::<u64>()) {
        let scene = spec.build();
        if let Err((wrongs, story)) = sim::at_random(&scene, seed) {
            println!("seed {seed}:\n{}", story.join("\n"));
            prop_assert!(false, "seed {seed} in {spec:?}: {wrongs:?}");
        }
    }
}
