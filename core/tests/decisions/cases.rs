//! Single decisions that matter.

use jiff::Timestamp;
use volsnap_core::{
    error::{Code, EngineError, EngineErrorKind, FsError, FsErrorKind, FsOp},
    model::{
        Container, ContainerId, Identity, Peer, Redeploy, RestartPolicy, RunState, Shares, Sight,
        container::passing_name,
    },
    restore::{
        Anomaly, Entry, Facts, Move, Outcome, Places, Record, Report, Safety, Seen, State, Step,
        judge::{Failure, Verdict, interrupted, judge, superseded},
        next,
        plan::Method,
        report::Notes,
        state::Direction,
        switch::Rename,
    },
};

use crate::world::*;

fn committed(methods: &[Method]) -> (State, World) {
    let plan = plan(methods, true, true);
    let mut world = World::new(&plan);
    let mut state = State::opened(plan, Timestamp::UNIX_EPOCH);
    while state.committed.is_none() {
        match next(&state, &world.look(&state)) {
            Move::Record(entry) => state = recorded(&state, entry),
            Move::Perform(step) => world.perform(&state, &step, usize::MAX),
            other => panic!("{other:?}"),
        }
    }
    (state, world)
}

#[test]
fn a_foreign_directory_with_content_at_the_live_name_needs_a_person() {
    let (state, mut world) = committed(&[Method::TwoRenames]);
    world.volumes[0].aside = world.volumes[0].live.replace((foreign(0), false));
    let decision = next(&state, &world.look(&state));
    assert!(matches!(decision, Move::NeedsAttention(Anomaly::ForeignLive { .. })), "{decision:?}");
}

#[test]
fn an_empty_directory_that_the_engine_made_is_cleared_and_never_taken_for_the_original() {
    let (state, mut world) = committed(&[Method::TwoRenames]);
    world.volumes[0].aside = world.volumes[0].live.replace((foreign(0), true));
    let decision = next(&state, &world.look(&state));
    assert_eq!(decision, Move::Perform(Step::Switch { renames: vec![(0, Rename::ClearLive)] }));
}

/// A snapshot of a btrfs subvolume has the inode numbers and the births of all that was in it.
#[test]
fn a_snapshot_of_the_original_in_its_place_is_not_the_original() {
    let (mut state, mut world) = committed(&[Method::Exchange]);
    let of = |subvolume| Identity { subvolume, ..original(0) };
    state.plan.volumes[0].original = Some(of(Some(256)));
    for (seen, is_it) in [(Some(256), true), (Some(257), false), (None, true)] {
        world.volumes[0].live = Some((of(seen), false));
        let decision = next(&state, &world.look(&state));
        assert_eq!(matches!(decision, Move::Perform(Step::Switch { .. })), is_it, "{seen:?}: {decision:?}");
    }
    // A journal of an earlier version knows of no subvolume.
    state.plan.volumes[0].original = Some(of(None));
    world.volumes[0].live = Some((of(Some(257)), false));
    assert!(matches!(next(&state, &world.look(&state)), Move::Perform(Step::Switch { .. })));
}

#[test]
fn entries_are_taken_only_from_the_directory_that_was_staged() {
    let (state, world) = committed(&[Method::ByEntry]);
    let mut facts = world.look(&state);
    facts.volumes[0].staged = Sight::Directory { identity: foreign(0), empty: false };
    let decision = next(&state, &facts);
    assert!(matches!(decision, Move::NeedsAttention(Anomaly::RestoredMissing { .. })), "{decision:?}");
}

#[test]
fn a_filesystem_that_is_not_mounted_is_not_an_empty_one() {
    let (state, world) = committed(&[Method::Exchange]);
    let mut facts = world.look(&state);
    facts.volumes[0] = Places {
        parent: Sight::Directory { identity: foreign(9), empty: true },
        live: Sight::Absent,
        private: Sight::Absent,
        staged: Sight::Absent,
        aside: Sight::Absent,
        entries: None,
        kept: None,
    };
    assert!(matches!(next(&state, &facts), Move::NeedsAttention(Anomaly::ParentChanged { .. })));
}

#[test]
fn an_original_that_is_gone_stops_everything() {
    let (state, mut world) = committed(&[Method::Exchange]);
    world.volumes[0].live = None;
    assert!(matches!(next(&state, &world.look(&state)), Move::NeedsAttention(Anomaly::OriginalMissing { .. })));
}

#[test]
fn a_container_of_somebody_else_that_appears_before_the_commit_aborts_the_restore() {
    let plan = plan(&[Method::Exchange], true, true);
    let mut world = World::new(&plan);
    let state = State::opened(plan, Timestamp::UNIX_EPOCH);
    world.perform(&state, &Step::Stage { volume: 0 }, 1);
    let mut facts = world.look(&state);
    let mut other = facts.containers[0].clone();
    other.member = false;
    other.container.name = "other".into();
    facts.containers.push(other);
    let decision = next(&state, &facts);
    assert!(matches!(decision, Move::Record(Entry::Aborted { code: Code::Refused, .. })), "{decision:?}");
}

#[test]
fn a_failed_sync_after_the_commit_is_in_doubt_and_never_retried() {
    let (state, _) = committed(&[Method::Exchange]);
    let failure = Failure::Filesystem(FsError::new(FsErrorKind::SyncFailed, FsOp::Settle, "/data", "a test"));
    let verdict = volsnap_core::restore::judge::judge_survey(&state, &failure, 1);
    assert!(matches!(verdict, Verdict::Attention(Anomaly::InDoubt { .. })), "{verdict:?}");
}

#[test]
fn restart_instead_of_recreate_prepares_nothing() {
    let mut plan = plan(&[Method::Exchange], true, true);
    plan.options.redeploy = Redeploy::Restart;
    let mut world = World::new(&plan);
    let state = State::opened(plan, Timestamp::UNIX_EPOCH);
    world.perform(&state, &Step::Stage { volume: 0 }, 1);
    assert!(matches!(next(&state, &world.look(&state)), Move::Record(Entry::Pinned { .. })));
    // One that would be gone as soon as it is stopped has to be made anew: that is seen to be possible before.
    let mut facts = world.look(&state);
    facts.containers[0].container.particulars.removes_itself = true;
    let prepared = match next(&state, &facts) {
        Move::Perform(Step::Prepare { containers }) => containers,
        other => panic!("{other:?}"),
    };
    assert_eq!(prepared[0].name, "app");
}

#[test]
fn a_container_that_runs_under_a_name_of_ours_is_stopped_before_it_is_removed() {
    let (mut state, mut world) = committed(&[Method::Exchange]);
    while !state.closed {
        let mut facts = world.look(&state);
        let settled = state.captured.is_some() && world.volumes.iter().all(|v| !v.private);
        if settled {
            let mut stray = facts.containers[0].clone();
            stray.container.name = passing_name("app", state.plan.restore);
            stray.container.id = ContainerId("stray".into());
            facts.containers.push(stray);
            let stop = Step::Stop { containers: vec![ContainerId("stray".into())] };
            return assert_eq!(next(&state, &facts), Move::Perform(stop));
        }
        match next(&state, &facts) {
            Move::Record(entry) => state = recorded(&state, entry),
            Move::Perform(step) => {
                world.perform(&state, &step, usize::MAX);
                if step == Step::Redeploy {
                    state = recorded(&state, Entry::Redeployed { problem: None });
                }
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the restore closed without a look at the containers");
}

/// A restore that has taken its pins, with what is seen after them.
fn pinned() -> (State, Facts) {
    let plan = plan(&[Method::Exchange], true, true);
    let mut world = World::new(&plan);
    let mut state = State::opened(plan, Timestamp::UNIX_EPOCH);
    while state.pinned.is_none() {
        match next(&state, &world.look(&state)) {
            Move::Record(entry) => state = recorded(&state, entry),
            Move::Perform(step) => world.perform(&state, &step, usize::MAX),
            other => panic!("{other:?}"),
        }
    }
    let facts = world.look(&state);
    (state, facts)
}

fn another(facts: &Facts, member: bool) -> Seen {
    let mut other = facts.containers[0].clone();
    other.member = member;
    (other.container.id, other.container.name) = (ContainerId("other".into()), "other".into());
    other
}

#[test]
fn once_the_app_was_touched_no_end_is_called_a_refusal() {
    let (state, mut facts) = pinned();
    facts.containers.push(another(&facts, false));
    let decision = next(&state, &facts);
    assert!(matches!(decision, Move::Record(Entry::Aborted { code: Code::Aborted, .. })), "{decision:?}");
}

#[test]
fn a_member_that_appears_after_the_pins_aborts_the_restore_since_nobody_would_bring_it_back() {
    let (state, facts) = pinned();
    for (run, policy, aborts) in [
        (RunState::Running, "no", true),
        (RunState::Paused, "no", true),
        (RunState::Stopped, "always", true),
        (RunState::Stopped, "no", false),
    ] {
        let mut facts = facts.clone();
        let mut other = another(&facts, true);
        (other.container.run, other.container.restart_policy.name) = (run, policy.into());
        facts.containers.push(other);
        let decision = next(&state, &facts);
        let aborted = matches!(decision, Move::Record(Entry::Aborted { .. }));
        assert_eq!(aborted, aborts, "{run:?} {policy}: {decision:?}");
    }
}

#[test]
fn what_stands_under_a_members_name_after_the_commit_is_its_replacement() {
    let (state, world) = committed(&[Method::Exchange]);
    let mut facts = world.look(&state);
    let mut replacement = another(&facts, true);
    replacement.container.name.clone_from(&facts.containers[0].container.name);
    replacement.container.restart_policy = RestartPolicy { name: "always".into(), retries_max: 0 };
    facts.containers[0] = replacement;
    assert_eq!(facts.strangers(&state), Vec::<&Container>::new());
    facts.containers[0].container.name = "other".into();
    assert_eq!(facts.strangers(&state).len(), 1);
}

#[test]
fn originals_without_a_safety_snapshot_stay_until_the_app_is_up_on_the_restored_data() {
    for (problem, kept) in [(Some("port is taken".to_string()), true), (None, false)] {
        let (mut state, mut world) = committed(&[Method::Exchange]);
        state.plan.options.safety_snapshot = false;
        while !state.switched {
            match next(&state, &world.look(&state)) {
                Move::Record(entry) => state = recorded(&state, entry),
                Move::Perform(step) => world.perform(&state, &step, usize::MAX),
                other => panic!("{other:?}"),
            }
        }
        state = recorded(&state, Entry::Redeployed { problem });
        let decision = next(&state, &world.look(&state));
        let keeps = matches!(decision, Move::Record(Entry::Captured { safety: Safety::Kept { .. } }));
        assert_eq!(keeps, kept, "{decision:?}");
        let forgets = matches!(decision, Move::Record(Entry::Captured { safety: Safety::NotWanted }));
        assert_eq!(forgets, !kept, "{decision:?}");
    }
}

/// A filesystem that numbers its directories anew shows the original as a stranger's.
#[test]
fn what_was_kept_is_not_removed_because_it_is_not_recognised() {
    for (safety, goes) in [(Safety::Kept { reason: "a test".into() }, false), (Safety::Taken, true)] {
        let (mut state, mut world) = committed(&[Method::TwoRenames]);
        while !state.switched {
            match next(&state, &world.look(&state)) {
                Move::Record(entry) => state = recorded(&state, entry),
                Move::Perform(step) => world.perform(&state, &step, usize::MAX),
                other => panic!("{other:?}"),
            }
        }
        state = recorded(&state, Entry::Redeployed { problem: None });
        state = recorded(&state, Entry::Captured { safety });
        let mut facts = world.look(&state);
        facts.volumes[0].aside = Sight::Directory { identity: foreign(0), empty: false };
        let decision = next(&state, &facts);
        assert_eq!(decision == Move::Perform(Step::Discard { volume: 0 }), goes, "{decision:?}");
    }
}

#[test]
fn the_engines_share_of_the_downtime_is_no_more_than_all_of_it() {
    let (state, _) = committed(&[Method::Exchange]);
    let report = Report::of(&state, None, &Notes { engine: std::time::Duration::from_secs(9), ..Notes::default() });
    assert!(report.engine_us <= report.downtime_us, "{} of {}", report.engine_us, report.downtime_us);
}

#[test]
fn an_app_that_cannot_be_started_is_not_healthy_where_health_was_asked_for() {
    use volsnap_core::restore::plan::OnUnhealthy;
    let (mut state, mut world) = committed(&[Method::Exchange]);
    while !state.switched {
        match next(&state, &world.look(&state)) {
            Move::Record(entry) => state = recorded(&state, entry),
            Move::Perform(step) => world.perform(&state, &step, usize::MAX),
            other => panic!("{other:?}"),
        }
    }
    let failure = Failure::Engine(EngineError::new(EngineErrorKind::Failed, "exec: not found"));
    let timeout = Some(std::time::Duration::from_secs(9));
    for (health_timeout, on_unhealthy, turned) in
        [(timeout, OnUnhealthy::Revert, true), (timeout, OnUnhealthy::Keep, false), (None, OnUnhealthy::Revert, false)]
    {
        (state.plan.options.health_timeout, state.plan.options.on_unhealthy) = (health_timeout, on_unhealthy);
        let verdict = judge(&state, &Step::Redeploy, &failure, u32::MAX);
        let aborted = matches!(verdict, Verdict::Record(Entry::Aborted { .. }));
        assert_eq!(aborted, turned, "{health_timeout:?} {on_unhealthy:?}: {verdict:?}");
    }
    let mut back = recorded(&state, Entry::Aborted { code: Code::Aborted, reason: "a test".into() });
    back = recorded(&back, Entry::Reverted);
    back.plan.options.health_timeout = timeout;
    let verdict = judge(&back, &Step::Redeploy, &failure, u32::MAX);
    assert!(matches!(verdict, Verdict::Record(Entry::Redeployed { problem: Some(_) })), "{verdict:?}");
}

/// Every state of an undisturbed restore that asks to be resumed or does not, with what is seen in it.
fn states_of_a_restore(resume: bool) -> Vec<(State, Facts)> {
    let mut plan = plan(&[Method::Exchange, Method::ByEntry], true, true);
    plan.options.resume = resume;
    let mut world = World::new(&plan);
    let mut state = State::opened(plan, Timestamp::UNIX_EPOCH);
    let mut states = Vec::new();
    loop {
        let facts = world.look(&state);
        states.push((state.clone(), facts.clone()));
        match next(&state, &facts) {
            Move::Record(entry) => state = recorded(&state, entry),
            Move::Perform(step) => {
                world.perform(&state, &step, usize::MAX);
                if step == Step::Redeploy {
                    state = recorded(&state, Entry::Redeployed { problem: None });
                }
            }
            Move::Finished => return states,
            Move::NeedsAttention(anomaly) => panic!("{anomaly}"),
            Move::AppDown => panic!("the app is up"),
        }
    }
}

#[test]
fn a_recovery_goes_on_only_where_that_was_asked_for_and_nothing_was_touched() {
    for resume in [true, false] {
        let states = states_of_a_restore(resume);
        let undecided = |state: &State| state.direction() == Direction::Undecided;
        assert!(states.iter().filter(|(state, _)| undecided(state) && state.pinned.is_none()).count() > 3);
        assert!(states.iter().filter(|(state, _)| undecided(state) && state.pinned.is_some()).count() > 2);
        for (state, _) in states {
            let goes_on = resume && undecided(&state) && state.pinned.is_none();
            assert_eq!(state.resumes(), goes_on, "{} {resume}", state.phase());
            let aborts = matches!(interrupted(&state), Some(Entry::Aborted { code: Code::Aborted, .. }));
            assert_eq!(aborts, undecided(&state) && !goes_on, "{} {resume}", state.phase());
            let gives_way = matches!(superseded(&state), Some(Entry::Aborted { code: Code::Aborted, .. }));
            assert_eq!(gives_way, undecided(&state), "another restore, {} {resume}", state.phase());
        }
    }
}

#[test]
fn staging_that_can_be_resumed_waits_for_its_filesystem_and_is_not_given_up() {
    for resume in [true, false] {
        for (state, mut facts) in states_of_a_restore(resume) {
            if state.direction() != Direction::Undecided {
                continue;
            }
            facts.volumes[0].parent = Sight::Directory { identity: foreign(9), empty: true };
            let waits = matches!(next(&state, &facts), Move::NeedsAttention(Anomaly::ParentChanged { .. }));
            assert_eq!(waits, state.resumes(), "{} {resume}", state.phase());
        }
    }
}

#[test]
fn a_resumed_restore_that_is_cancelled_or_fails_goes_back_as_any_other() {
    for (state, _) in states_of_a_restore(true).into_iter().filter(|(state, _)| state.resumes()) {
        let gone = FsError::new(FsErrorKind::NotFound, FsOp::Archive, "/snapshots/x.tar.zst", "a test");
        let changed = FsError::new(FsErrorKind::Corrupt, FsOp::Stage, "/snapshots/x.tar.zst", "a test");
        for failure in [Failure::Cancelled, Failure::Filesystem(gone), Failure::Filesystem(changed)] {
            let verdict = judge(&state, &Step::Stage { volume: 0 }, &failure, 1);
            assert!(matches!(verdict, Verdict::Record(Entry::Aborted { .. })), "{verdict:?}");
        }
    }
}

/// An app that could not be started, everything else being done.
fn with_the_app_down() -> (State, World) {
    let (mut state, mut world) = committed(&[Method::Exchange]);
    loop {
        match next(&state, &world.look(&state)) {
            Move::Record(entry) => state = recorded(&state, entry),
            Move::Perform(Step::Redeploy) => {
                let failure = Failure::Engine(EngineError::new(EngineErrorKind::Failed, "no such device"));
                let Verdict::Record(entry) = judge(&state, &Step::Redeploy, &failure, 1) else { panic!("not told") };
                state = recorded(&state, entry);
            }
            Move::Perform(step) => world.perform(&state, &step, usize::MAX),
            Move::AppDown => return (state, world),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_app_that_did_not_come_back_keeps_its_journal_until_it_is_back() {
    let (state, mut world) = with_the_app_down();
    assert!(state.waits_for_the_app());
    let report = Report::of(&state, None, &Notes::default());
    assert_eq!((report.outcome, report.code()), (Outcome::Restored, Some(Code::Warnings)));
    assert!(
        report.app_problem.as_deref().is_some_and(|why| why.contains("no such device")),
        "{:?}",
        report.app_problem
    );
    // Tried again in vain, it is as it was, and the journal does not grow.
    let mut again = State::replay(&state.records).unwrap();
    again.try_again();
    assert_eq!(next(&again, &world.look(&again)), Move::Perform(Step::Redeploy));
    let again = recorded(&again, Entry::Redeployed { problem: Some("still no such device".into()) });
    assert_eq!((again.records.len(), again.problem()), (state.records.len(), Some("still no such device")));
    assert_eq!(next(&again, &world.look(&again)), Move::AppDown);
    // Somebody starts it: nothing is owed any more.
    (world.running, world.policy_always) = (true, true);
    assert_eq!(next(&again, &world.look(&again)), Move::Record(Entry::Closed));
    world.policy_always = false;
    assert_eq!(next(&again, &world.look(&again)), Move::AppDown, "nobody else knows its policy");
}

#[test]
fn rolled_back_is_only_what_is_back() {
    let (mut state, _) = committed(&[Method::Exchange]);
    for entry in [
        Entry::Aborted { code: Code::Aborted, reason: "a test".into() },
        Entry::Reverted,
        Entry::Redeployed { problem: Some("no such device".into()) },
    ] {
        state = recorded(&state, entry);
    }
    let report = Report::of(&state, None, &Notes::default());
    assert_eq!((report.outcome, report.code()), (Outcome::Reverted, Some(Code::NeedsAttention)));
    state.try_again();
    let state = recorded(&state, Entry::Redeployed { problem: None });
    assert_eq!(Report::of(&state, None, &Notes::default()).code(), Some(Code::Aborted));
}

#[test]
fn the_next_restore_knows_what_ran_before_the_first() {
    let (first, world) = with_the_app_down();
    let second = plan(&[Method::Exchange], true, true).owing(first.owed().to_vec());
    // It ends before it touches anything: the app is owed all the same.
    let mut state = State::opened(second.clone(), Timestamp::UNIX_EPOCH);
    state = recorded(&state, Entry::Aborted { code: Code::Refused, reason: "a test".into() });
    assert_eq!(next(&state, &world.look(&state)), Move::Perform(Step::Redeploy));
    assert!(State::replay(&[state.records.clone(), vec![closed()]].concat()).is_err(), "it is forgotten");
    // It goes on, and pins what ran and not what it finds.
    let mut fresh = World { running: false, policy_always: false, ..World::new(&second) };
    let state = State::opened(second, Timestamp::UNIX_EPOCH);
    fresh.perform(&state, &Step::Stage { volume: 0 }, 1);
    let Move::Record(Entry::Pinned { containers }) = next(&state, &fresh.look(&state)) else { panic!("not pinned") };
    assert_eq!(containers[0].container.run, RunState::Running);
    assert_eq!(containers[0].container.restart_policy.name, "always");
}

fn closed() -> Record {
    Record { at: Timestamp::UNIX_EPOCH, entry: Entry::Closed }
}

#[test]
fn who_was_stopped_since_the_plan_and_uses_one_that_is_made_anew_is_not_left_behind() {
    let mut plan = plan(&[Method::Exchange], true, true);
    plan.options.redeploy = Redeploy::Recreate;
    let mut world = World::new(&plan);
    let state = State::opened(plan, Timestamp::UNIX_EPOCH);
    world.perform(&state, &Step::Stage { volume: 0 }, 1);
    let mut facts = world.look(&state);
    let mut user = facts.containers[0].clone();
    (user.container.id, user.container.name) = (ContainerId("user".into()), "user".into());
    user.container.run = RunState::Stopped;
    user.container.particulars.peers =
        vec![Peer { name: facts.containers[0].container.name.clone(), shares: Shares::Network, by_name: false }];
    facts.containers.push(user);
    assert!(matches!(next(&state, &facts), Move::Record(Entry::Aborted { .. })), "{:?}", next(&state, &facts));
    // One that runs is made anew with it, and a name is a name.
    facts.containers[1].container.run = RunState::Running;
    assert!(!matches!(next(&state, &facts), Move::Record(Entry::Aborted { .. })));
    facts.containers[1].container.run = RunState::Stopped;
    facts.containers[1].container.particulars.peers[0].by_name = true;
    assert!(!matches!(next(&state, &facts), Move::Record(Entry::Aborted { .. })));
}
