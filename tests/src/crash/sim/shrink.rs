//! From a failure in a large world to the smallest world and the shortest way in which something is still wrong.

use volsnap_core::model::Redeploy;
use volsnap_sim::Mutant;

use super::{Crash, Explorer, Violation, judge::replay, tier::slow_boots};
use crate::worlds::{AppSpec, Kind, Live, Scene, SceneSpec, VolumeDisk};

/// A smaller world is given up after so many runs of the engine in which nothing was wrong.
const RUNS_MAX: u64 = 4000;

/// The smallest world that it finds, with the first violation on the shortest way there.
#[must_use]
pub fn shrink(spec: &SceneSpec, mutant: Option<&Mutant>, violation: &Violation) -> (SceneSpec, Violation) {
    let mut best = (spec.clone(), shorter(&spec.build(), mutant, violation));
    if let Some(first) = first_violation(spec, mutant, &best.1) {
        best.1 = first;
    }
    while let Some(smaller) = smaller(&best.0)
        .into_iter()
        .find_map(|spec| first_violation(&spec, mutant, &best.1).map(|violation| (spec, violation)))
    {
        best = smaller;
    }
    best
}

/// Without the happenings that it does not need.
fn shorter(scene: &Scene, mutant: Option<&Mutant>, violation: &Violation) -> Violation {
    let mut best = violation.clone();
    for index in (0..best.path.len()).rev().filter(|index| !violation.path[*index].ends()) {
        let mut without = best.clone();
        without.path.remove(index);
        let wrongs = replay(scene, mutant, &without).0;
        if !wrongs.is_empty() {
            best = Violation { wrongs, ..without };
        }
    }
    best
}

/// What is wrong first in that world, if it takes no more crashes than the known violation.
fn first_violation(spec: &SceneSpec, mutant: Option<&Mutant>, known: &Violation) -> Option<Violation> {
    let scene = spec.build();
    let crashes = known.path.iter().filter(|crash| crash.ends()).count();
    let figures = match known.path.last() {
        Some(Crash::SlowBoot { .. }) => slow_boots(&scene, mutant),
        _ => Explorer::new(&scene, mutant).sampling(1).runs_max(RUNS_MAX).every(crashes),
    };
    figures.violations.into_iter().next()
}

/// The worlds that are simpler by one thing, the most boring first.
fn smaller(spec: &SceneSpec) -> Vec<SceneSpec> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut SceneSpec)| {
        let mut smaller = spec.clone();
        change(&mut smaller);
        if smaller != *spec {
            all.push(smaller);
        }
    };
    with(&|s| s.apps.clear());
    // The others may have to do with the first one.
    let is_used = spec.apps.iter().skip(1).any(|app| app.kind != Kind::Plain);
    for app in usize::from(is_used)..spec.apps.len() {
        with(&|s| {
            s.apps.remove(app);
        });
    }
    for volume in (0..spec.volumes.len()).filter(|_| spec.volumes.len() > 1) {
        with(&|s| {
            s.volumes.remove(volume);
        });
    }
    with(&|s| {
        s.disks.truncate(1);
        s.volumes.iter_mut().for_each(|volume| volume.disk = 0);
    });
    with(&|s| s.sick = false);
    with(&|s| s.resume = false);
    with(&|s| s.safety = true);
    with(&|s| s.state_with_volumes = false);
    with(&|s| s.redeploy = Redeploy::Recreate);
    for disk in 0..spec.disks.len() {
        with(&|s| s.disks[disk] = VolumeDisk { ordered: true, ..s.disks[disk] });
        with(&|s| s.disks[disk] = VolumeDisk { exchange: true, ..s.disks[disk] });
    }
    for volume in 0..spec.volumes.len() {
        with(&|s| s.volumes[volume].absent = false);
        with(&|s| s.volumes[volume].live = Live::Full);
    }
    for app in 0..spec.apps.len() {
        with(&|s| s.apps[app].kind = Kind::Plain);
        with(&|s| s.apps[app] = AppSpec::running("always"));
    }
    all
}
