//! Each step can succeed, fail or be cut off, and the engine may revive what it is allowed to revive. All states that
//! can be reached are visited.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    error::{EngineError, EngineErrorKind, FsError, FsErrorKind, FsOp},
    model::{Redeploy, RestoreId, SnapshotId},
    restore::{
        Entry, Move, Options, Plan, Safety, State, Step,
        journal::Reopening,
        judge::{Failure, Verdict, interrupted, judge},
        measure, next,
        plan::{KeptName, KeptTree, Method},
        state::Direction,
    },
};

use crate::world::*;

/// What can become of a step.
fn failures() -> Vec<Failure> {
    let fs = |kind| Failure::Filesystem(FsError::new(kind, FsOp::Rename, "/data", "a test"));
    vec![
        fs(FsErrorKind::Io),
        fs(FsErrorKind::NoSpace),
        Failure::Engine(EngineError::new(EngineErrorKind::Failed, "a test")),
        Failure::Unhealthy("a test".into()),
        Failure::Cancelled,
    ]
}

/// All that can follow from here.
fn successors(state: &State, world: &World) -> Vec<(State, World)> {
    let mut all = Vec::new();
    // The process is killed, or the machine restarts. What follows the journal is a recovery, which tries an app that did
    // not come back once more, or work that takes it as it is.
    for (reboot, tries) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut state, mut world) = (state.clone(), world.clone());
        state.again = false;
        if reboot {
            world.reboot();
        }
        if tries {
            state.try_again();
        }
        match interrupted(&state) {
            Some(entry) => all.push((recorded(&state, entry), world)),
            None => {
                // What was prepared for a restore that is resumed is made anew.
                world.prepared &= !state.resumes();
                all.push((state, world));
            }
        }
    }
    let facts = world.look(state);
    match next(state, &facts) {
        Move::Finished => {}
        Move::AppDown => {
            assert!(state.waits_for_the_app() && state.problem().is_some(), "nobody says that the app is down");
            assert!(!world.running || !world.policy_always, "the app is back, and the journal is kept for it");
            assert_end(state, world);
        }
        Move::NeedsAttention(anomaly) => panic!("{anomaly} in {world:?}"),
        Move::Record(entry) => {
            let after = recorded(state, entry);
            assert_lower(state, world, &after, world);
            all.push((after, world.clone()));
        }
        Move::Perform(step) => {
            for parts in 0..=world.volumes.len() {
                let mut world = world.clone();
                world.perform(state, &step, parts);
                all.push((state.clone(), world));
            }
            let mut done = world.clone();
            done.perform(state, &step, usize::MAX);
            let reported = match step {
                Step::Redeploy => recorded(state, Entry::Redeployed { problem: None }),
                _ => state.clone(),
            };
            assert_lower(state, world, &reported, &done);
            all.push((reported, done));
            for failure in failures() {
                match judge(state, &step, &failure, u32::MAX) {
                    Verdict::Record(entry) => all.push((recorded(state, entry), world.clone())),
                    // Recovery goes on from here, which is the first successor.
                    Verdict::Stop(_) | Verdict::Attention(_) | Verdict::Again => {}
                }
            }
        }
    }
    all
}

fn assert_lower(before: &State, world: &World, after: &State, then: &World) {
    let (m, n) = (measure(before, &world.look(before)), measure(after, &then.look(after)));
    // A capture is seen by its archive and nothing else.
    let captured = world.archived != then.archived;
    assert!(n < m || captured, "no progress: {m:?} then {n:?}\n{world:?}\n{then:?}");
}

/// All that a restore ends with but for its app.
fn assert_end(state: &State, world: &World) {
    let kept = matches!(state.captured, Some(Safety::Kept { .. }));
    let forward = state.direction() == Direction::Forward;
    assert!(world.is_all(state, if forward { restored } else { original }), "a mixture: {world:?}");
    assert!(kept || world.volumes.iter().all(|v| !v.private), "litter: {world:?}");
    for (i, v) in world.volumes.iter().enumerate() {
        let back = (true, Some((restored(i), false)));
        assert!(v.kept.is_none_or(|kept| if forward { kept == (false, None) } else { kept == back }), "{world:?}");
    }
    assert!(!world.prepared, "a container is left over");
}

fn explore(plan: Plan) -> usize {
    let (states, ends) = explored(plan);
    assert!(ends.contains(&(true, true, false)) && ends.contains(&(false, false, false)), "{ends:?}");
    states
}

/// All that can be reached: how many states, and which ends by direction, by whether it was committed, and by whether the
/// originals are kept.
fn explored(plan: Plan) -> (usize, BTreeSet<(bool, bool, bool)>) {
    let world = World::new(&plan);
    let start = (State::opened(plan, Timestamp::UNIX_EPOCH), world);
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([start]);
    let mut ends = BTreeSet::new();
    while let Some((state, world)) = queue.pop_front() {
        let names: Vec<String> = state.records.iter().skip(1).map(|r| format!("{:?}", r.entry)).collect();
        if !seen.insert((names.join(" "), state.again, world.clone())) {
            continue;
        }
        if state.closed {
            assert_end(&state, &world);
            // A person has something done about originals that were kept.
            if matches!(state.captured, Some(Safety::Kept { .. })) && state.reopened.is_none() {
                let safety = SnapshotId(Uuid::from_u128(4));
                for to in [Reopening::Archive { safety }, Reopening::Discard { event: Uuid::nil() }] {
                    queue.push_back((
                        recorded(&state, Entry::Reopened { to }),
                        World { archived: false, ..world.clone() },
                    ));
                }
            }
            let back = world.running && world.policy_always;
            assert_eq!(back, state.plan.has_containers(), "the app is not back, and nobody remembers it");
            let kept = matches!(state.captured, Some(Safety::Kept { .. }));
            ends.insert((state.direction() == Direction::Forward, state.committed.is_some(), kept));
        }
        queue.extend(successors(&state, &world));
    }
    (seen.len(), ends)
}

#[test]
fn every_reachable_state_keeps_the_promise() {
    use Method::{ByEntry, Exchange, New, TwoRenames};
    for methods in [
        vec![Exchange],
        vec![TwoRenames],
        vec![New],
        vec![Exchange, TwoRenames],
        vec![Exchange, New],
        vec![TwoRenames, TwoRenames],
        vec![Exchange, Exchange, TwoRenames],
        vec![ByEntry],
        vec![ByEntry, ByEntry],
        vec![ByEntry, Exchange],
        vec![New, ByEntry],
    ] {
        for app in [true, false] {
            for safety in [true, false] {
                let plan = plan(&methods, app, safety);
                let states = explore(plan.clone());
                assert!(states > 20, "only {states} states for {methods:?}");
                let kept = Options { redeploy: Redeploy::Restart, ..plan.options };
                let states = explore(Plan { options: kept, ..plan.clone() });
                assert!(states > 20, "only {states} states for {methods:?}, the app kept");
                let resumed = explore(Plan { options: Options { resume: true, ..plan.options }, ..plan });
                assert!(resumed > 20, "only {resumed} states for {methods:?}, resumed");
            }
        }
    }
}

#[test]
fn every_reachable_state_of_putting_back_what_was_kept_keeps_the_promise() {
    use Method::{ByEntry, Exchange, TwoRenames};
    for methods in
        [vec![Exchange], vec![TwoRenames], vec![Exchange, TwoRenames], vec![ByEntry], vec![ByEntry, Exchange]]
    {
        for (app, safety) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut plan = plan(&methods, app, safety);
            plan.kept = Some(RestoreId(Uuid::from_u128(6)));
            for (i, volume) in plan.volumes.iter_mut().enumerate() {
                volume.kept = Some(KeptTree { index: i, name: KeptName::Staged, identity: restored(i) });
            }
            let (states, ends) = explored(plan);
            assert!(states > 20 && ends.contains(&(false, false, false)), "{methods:?} {safety}: {ends:?}");
            // What it replaces is archived, or kept in its turn until a person discards it.
            assert!(ends.contains(&(true, true, true)) && ends.contains(&(true, true, false)), "{ends:?}");
        }
    }
}
