//! The small worlds.

use volsnap_core::model::{Redeploy, RunState};

use super::{AppSpec, Kind, Live, SceneSpec, VolumeDisk, VolumeSpec};

/// The small worlds that are explored exhaustively, roughly from the smallest on.
#[must_use]
pub fn small() -> Vec<SceneSpec> {
    let full = |disk| VolumeSpec { disk, live: Live::Full, absent: false };
    let mount_point = |disk| VolumeSpec { disk, live: Live::MountPoint, absent: false };
    let subvolume = |disk| VolumeSpec { disk, live: Live::Subvolume, absent: false };
    let ordered = VolumeDisk { exchange: true, ordered: true };
    let unordered = VolumeDisk { exchange: true, ordered: false };
    let no_exchange = VolumeDisk { exchange: false, ordered: true };
    let plain = SceneSpec::plain;
    let running = AppSpec::running;
    let stopped = AppSpec { run: RunState::Stopped, ..running("unless-stopped") };
    let outside = AppSpec { run: RunState::Stopped, member: false, ..running("always") };
    let restarted = |name| SceneSpec { redeploy: Redeploy::Restart, ..plain(name).with_app() };
    vec![
        plain("one directory"),
        SceneSpec { state_with_volumes: true, ..plain("one directory beside its journal") },
        SceneSpec { disks: vec![no_exchange], ..plain("one directory, two renames") },
        SceneSpec {
            volumes: vec![VolumeSpec { disk: 0, live: Live::Missing, absent: false }],
            ..plain("nothing there")
        },
        SceneSpec {
            volumes: vec![VolumeSpec { disk: 0, live: Live::Empty, absent: false }],
            ..plain("an empty directory")
        },
        SceneSpec {
            volumes: vec![VolumeSpec { disk: 0, live: Live::Full, absent: true }],
            ..plain("nothing in the snapshot")
        },
        SceneSpec { safety: false, ..plain("no safety snapshot") },
        plain("an app").with_app(),
        SceneSpec { redeploy: Redeploy::Restart, state_with_volumes: true, ..plain("an app, restarted").with_app() },
        SceneSpec { disks: vec![no_exchange], ..plain("an app, two renames").with_app() },
        SceneSpec {
            volumes: vec![VolumeSpec { disk: 0, live: Live::Missing, absent: false }, full(0)],
            ..plain("an app, one of two missing").with_app()
        },
        SceneSpec { sick: true, ..plain("an app that is sick on the restored data").with_app() },
        SceneSpec {
            apps: vec![AppSpec { run: RunState::Paused, ..running("no") }, stopped, outside],
            ..plain("a frozen app, a stopped one, and one outside")
        },
        SceneSpec { disks: vec![unordered], volumes: vec![full(0), full(0)], ..plain("two on a disk without order") },
        SceneSpec {
            disks: vec![ordered, unordered],
            volumes: vec![full(0), full(1)],
            state_with_volumes: true,
            ..plain("two on two disks, an app").with_app()
        },
        SceneSpec { volumes: vec![mount_point(0)], ..plain("a mount point") },
        SceneSpec {
            disks: vec![unordered],
            volumes: vec![mount_point(0)],
            ..plain("a mount point, an app").with_app()
        },
        SceneSpec {
            disks: vec![ordered, unordered],
            volumes: vec![full(0), mount_point(1)],
            state_with_volumes: true,
            sick: true,
            ..plain("a directory and a mount point, an app that is sick on the restored data").with_app()
        },
        SceneSpec {
            disks: vec![ordered, no_exchange, unordered],
            volumes: vec![full(0), full(1), full(2)],
            ..plain("three on three disks")
        },
        SceneSpec {
            disks: vec![no_exchange],
            redeploy: Redeploy::Restart,
            sick: true,
            ..plain("an app that is sick on the restored data, two renames").with_app()
        },
        SceneSpec { resume: true, ..plain("one directory, resumed") },
        SceneSpec { disks: vec![unordered], resume: true, ..plain("an app, resumed").with_app() },
        // An engine that comes up starts some of these, and not others.
        SceneSpec { apps: vec![running("no")], disks: vec![no_exchange], ..plain("an app that is never restarted") },
        SceneSpec {
            apps: vec![running("on-failure")],
            disks: vec![no_exchange],
            ..plain("an app, restarted on failure")
        },
        SceneSpec {
            apps: vec![running("unless-stopped")],
            disks: vec![no_exchange],
            ..plain("an app, restarted unless stopped")
        },
        SceneSpec {
            redeploy: Redeploy::Recreate,
            sick: true,
            ..plain("an app made anew that is sick on the restored data").with_app()
        },
        restarted("an app and one that waits for its health").and("no", Kind::Waits),
        plain("an app made anew and one that waits for its health").with_app().and("no", Kind::Waits),
        SceneSpec { sick: true, ..restarted("a sick app and one that waits for its health").and("no", Kind::Waits) },
        restarted("an app and one in its network").and("unless-stopped", Kind::SharesNetwork),
        plain("an app made anew and one in its network").with_app().and("unless-stopped", Kind::SharesNetwork),
        SceneSpec {
            apps: vec![running("always"), AppSpec { member: false, kind: Kind::SharesNetwork, ..running("no") }],
            ..restarted("an app and one outside in its network")
        },
        restarted("an app and one that removes itself").and("no", Kind::RemovesItself),
        restarted("an app and one that runs one command").and("no", Kind::OneOff),
        restarted("an app and one that cannot be started again").and("unless-stopped", Kind::CannotStart),
        plain("an app made anew and one that is linked to it").with_app().and("always", Kind::Linked),
        plain("an app made anew and one with its volumes").with_app().and("always", Kind::HasVolumes),
        SceneSpec { disks: vec![unordered], volumes: vec![subvolume(0)], ..plain("a subvolume") },
        SceneSpec { disks: vec![unordered], frozen: true, ..restarted("read-only subvolumes in a directory") },
        SceneSpec {
            volumes: vec![mount_point(0)],
            frozen: true,
            sick: true,
            ..restarted("read-only subvolumes in a mount point, a sick app")
        },
    ]
}
