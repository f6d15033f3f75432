//! Machines that come up slowly: recovery waits for what is missing and deletes nothing meanwhile.

use volsnap_sim::World;

use super::{Slow, explorer::boot_of, judge::past_of_cut};
use crate::{
    oracle::{self, Past, Wrongs},
    process::{Ended, Left, recover},
    worlds::Scene,
};

impl Slow {
    /// All of them.
    pub const ALL: [Slow; 4] =
        [Slow::Unmounted, Slow::UnmountedAndEngineDown, Slow::ReadOnlyAndEngineDown, Slow::EngineDown];
}

/// Brings a machine up that is not ready: filesystems of volumes missing or read-only, the container engine down. The
/// recovery then must not lose anything, and the next one must end well once all is ready.
pub(super) fn boot_slowly(scene: &Scene, mut lost: World, slow: Slow, past: Past) -> (Wrongs, Left) {
    let boot = boot_of(scene, slow);
    let past = past_of_cut(scene, &lost, past);
    lost.boot_up(&boot);
    let early = recover(scene, lost);
    if matches!(early.ended, Ended::Gone) {
        return (vec!["the early recovery waits for ever".into()], early);
    }
    let mut world = early.world;
    world.restart_process();
    boot.unmounted.iter().chain(&boot.read_only).for_each(|mount| world.mount(mount));
    if world.engine_is_down() {
        world.start_engine();
    }
    let mut wrongs = oracle::check_crashed(scene, &world, &world);
    let mut late = recover(scene, world);
    // The early recovery may have ended it all; then there is nothing left to do.
    if let (early @ Ended::Reported(_), Ended::Nothing) = (early.ended, &late.ended) {
        late.ended = early;
    }
    wrongs.extend(oracle::check_ended(scene, &late.world, &late.ended, Past { faults: true, ..past }));
    if let Ended::Failed(error) = &late.ended {
        wrongs.push(format!("recovery failed: {error}"));
    }
    let wrongs = wrongs.into_iter().map(|wrong| format!("{slow:?} at boot: {wrong}")).collect();
    (wrongs, late)
}
