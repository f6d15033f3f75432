//! Every decision of a restore on a small world of values: each step can succeed, fail or be cut off, and the engine
//! may revive what it is allowed to revive. All states that can be reached are visited.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test's way to fail is to panic"
)]

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    error::{Code, EngineError, EngineErrorKind, FsError, FsErrorKind, FsOp},
    model::{
        Container, ContainerId, Identity, Redeploy, RestartPolicy, RestoreId, RunState, Selector, Sight, SnapshotId,
        Source, Workload, WorkloadId, container::passing_name,
    },
    restore::{
        Anomaly, Entry, Facts, Move, Options, Places, Plan, PlannedVolume, Record, Safety, Seen, State, Step,
        facts::Survey,
        judge::{Failure, Verdict, interrupted, judge},
        measure, next,
        plan::Method,
        state::Direction,
        switch::Rename,
    },
};

const PARENT: Identity = Identity { inode: 2, birth_ns: Some(1) };

fn original(volume: usize) -> Identity {
    Identity { inode: 100 + volume as u64, birth_ns: Some(10) }
}

fn restored(volume: usize) -> Identity {
    Identity { inode: 200 + volume as u64, birth_ns: Some(20) }
}

fn foreign(volume: usize) -> Identity {
    Identity { inode: 300 + volume as u64, birth_ns: Some(30) }
}

fn plan(methods: &[Method], app: bool, safety: bool) -> Plan {
    let volume = |(i, method): (usize, &Method)| PlannedVolume {
        target: format!("/v{i}"),
        live: PathBuf::from(format!("/data/v{i}")),
        parent: PARENT,
        original: (*method != Method::New).then(|| original(i)),
        index: Some(i),
        method: *method,
        reason: "a test".into(),
        bytes: 1,
        bytes_allocated: 4096,
        entries: 1,
    };
    let containers = if app { vec!["app".to_string()] } else { vec![] };
    Plan {
        restore: RestoreId(Uuid::from_u128(7)),
        workload: Workload {
            id: WorkloadId(Uuid::from_u128(1)),
            name: "w".into(),
            source: Source::Image,
            selector: Selector { containers, ..Selector::default() },
            volumes: vec![],
            created_at: Timestamp::UNIX_EPOCH,
        },
        host: "host".into(),
        created_at: Timestamp::UNIX_EPOCH,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        snapshot_created_at: Timestamp::UNIX_EPOCH,
        archive_digest: "d".into(),
        safety: SnapshotId(Uuid::from_u128(3)),
        options: Options { safety_snapshot: safety, ..Options::default() },
        volumes: methods.iter().enumerate().map(volume).collect(),
        containers: vec![],
        filesystems: vec![],
        refusals: vec![],
        warnings: vec![],
    }
}

/// A directory, and whether it is empty.
type Dir = Option<(Identity, bool)>;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Volume {
    live: Dir,
    staged: Dir,
    aside: Dir,
    private: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct World {
    volumes: Vec<Volume>,
    running: bool,
    policy_always: bool,
    prepared: bool,
    archived: bool,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let volume = |v: &PlannedVolume| Volume {
            live: v.original.map(|id| (id, false)),
            staged: None,
            aside: None,
            private: false,
        };
        let app = plan.has_containers();
        World {
            volumes: plan.volumes.iter().map(volume).collect(),
            running: app,
            policy_always: app,
            prepared: false,
            archived: false,
        }
    }

    fn look(&self, state: &State) -> Facts {
        let survey = Survey::of(state);
        let sight = |dir: Dir| dir.map_or(Sight::Absent, |(identity, empty)| Sight::Directory { identity, empty });
        let places = |v: &Volume| Places {
            parent: Sight::Directory { identity: PARENT, empty: false },
            live: sight(v.live),
            private: sight(v.private.then_some((foreign(0), false))),
            staged: sight(v.staged),
            aside: sight(v.aside),
        };
        let container = |name: String, run, policy: &str| Seen {
            container: Container {
                id: ContainerId(name.clone()),
                name,
                service: None,
                image: "i".into(),
                image_id: "sha256:1".into(),
                run,
                restart_policy: RestartPolicy { name: policy.into(), retries_max: 0 },
                mounts: vec![],
                depends_on: vec![],
                spec: serde_json::Value::Null,
            },
            member: true,
            mounts: true,
        };
        let mut containers = Vec::new();
        if survey.containers {
            let run = if self.running { RunState::Running } else { RunState::Stopped };
            containers.push(container("app".into(), run, if self.policy_always { "always" } else { "no" }));
            if self.prepared {
                containers.push(container(passing_name("app", state.plan.restore), RunState::Stopped, "no"));
            }
        }
        Facts {
            volumes: if survey.places { self.volumes.iter().map(places).collect() } else { vec![] },
            containers,
            safety_archive: survey.safety_archive && self.archived,
        }
    }

    /// Does a step; a step of several parts is done up to `parts` of them.
    fn perform(&mut self, state: &State, step: &Step, parts: usize) {
        match step {
            Step::Stage { volume } => {
                self.volumes[*volume].private = true;
                if parts > 0 {
                    self.volumes[*volume].staged = Some((restored(*volume), false));
                }
            }
            Step::Prepare { .. } => self.prepared = true,
            Step::Fence { .. } => self.policy_always = false,
            Step::Stop { .. } => self.running = false,
            Step::Switch { renames } => {
                assert!(!self.running && !self.policy_always, "a rename under a running or revivable app");
                assert!(state.committed.is_some(), "a rename before the commit");
                for (volume, rename) in renames.iter().take(parts) {
                    self.rename(*volume, *rename);
                }
            }
            Step::Redeploy => {
                let want = match state.direction() {
                    Direction::Forward => restored,
                    Direction::Back | Direction::Undecided => original,
                };
                for (i, v) in self.volumes.iter().enumerate() {
                    let had = state.plan.volumes[i].original.is_some();
                    if had || state.direction() == Direction::Forward {
                        assert_eq!(v.live.map(|d| d.0), Some(want(i)), "the app starts on the wrong data");
                    }
                }
                (self.running, self.policy_always, self.prepared) = (true, true, false);
            }
            Step::Capture => self.archived = true,
            Step::Discard { volume } => {
                let v = &mut self.volumes[*volume];
                let inside = [v.staged, v.aside].iter().flatten().any(|d| d.0 == original(*volume));
                assert!(!inside || state.may_forget_originals(), "an original is deleted too early");
                (v.staged, v.aside) = (None, None);
                v.private = parts == 0;
            }
            Step::DiscardContainers => self.prepared = false,
        }
    }

    fn rename(&mut self, volume: usize, rename: Rename) {
        let v = &mut self.volumes[volume];
        match rename {
            Rename::Exchange => std::mem::swap(&mut v.live, &mut v.staged),
            Rename::SetAside => v.aside = v.live.take(),
            Rename::Install => v.live = v.staged.take(),
            Rename::TakeOut => v.staged = v.live.take(),
            Rename::PutBack => v.live = v.aside.take(),
            Rename::ClearLive => assert!(v.live.take().is_some_and(|d| d.1), "a directory with content is removed"),
        }
        let names = [v.live, v.staged, v.aside];
        assert!(names.iter().flatten().count() > 0);
    }

    /// The machine restarts: the engine starts what it may, and makes an empty directory where a source is missing.
    fn reboot(&mut self) {
        self.running = self.policy_always;
        if self.policy_always {
            for (i, v) in self.volumes.iter_mut().enumerate() {
                v.live.get_or_insert((foreign(i), true));
            }
        }
    }

    fn is_all(&self, state: &State, want: fn(usize) -> Identity) -> bool {
        self.volumes.iter().enumerate().all(|(i, v)| {
            let nothing_before = state.plan.volumes[i].original.is_none() && want(i) == original(i);
            v.live.map(|d| d.0) == Some(want(i)) || nothing_before && v.live.is_none_or(|d| d.1)
        })
    }
}

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

fn recorded(state: &State, entry: Entry) -> State {
    let mut state = state.clone();
    state.append(Record { at: Timestamp::UNIX_EPOCH, entry }).expect("the law allows what next records");
    state
}

/// All that can follow from here.
fn successors(state: &State, world: &World) -> Vec<(State, World)> {
    let mut all = Vec::new();
    // The process is killed, or the machine restarts.
    for reboot in [false, true] {
        let mut world = world.clone();
        if reboot {
            world.reboot();
        }
        match interrupted(state) {
            Some(entry) => all.push((recorded(state, entry), world)),
            None => all.push((state.clone(), world)),
        }
    }
    let facts = world.look(state);
    match next(state, &facts) {
        Move::Finished => {}
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

fn explore(plan: Plan) -> usize {
    let world = World::new(&plan);
    let start = (State::opened(plan, Timestamp::UNIX_EPOCH), world);
    let mut seen = BTreeSet::new();
    let mut queue = VecDeque::from([start]);
    let mut ends = BTreeSet::new();
    while let Some((state, world)) = queue.pop_front() {
        let names: Vec<String> = state.records.iter().skip(1).map(|r| format!("{:?}", r.entry)).collect();
        if !seen.insert((names.join(" "), world.clone())) {
            continue;
        }
        if state.closed {
            let kept = matches!(state.captured, Some(Safety::Kept { .. }));
            let forward = state.direction() == Direction::Forward;
            assert!(world.is_all(&state, if forward { restored } else { original }), "a mixture: {world:?}");
            assert!(kept || world.volumes.iter().all(|v| !v.private), "litter: {world:?}");
            assert!(!world.prepared, "a container is left over");
            let reported = matches!(&state.redeployed, Some(Some(_)));
            let back = world.running && world.policy_always;
            assert!(reported || back == state.plan.has_containers(), "the app is not back, and nobody says so");
            ends.insert((forward, state.committed.is_some(), kept));
        }
        queue.extend(successors(&state, &world));
    }
    assert!(ends.contains(&(true, true, false)) && ends.contains(&(false, false, false)), "{ends:?}");
    seen.len()
}

#[test]
fn every_reachable_state_keeps_the_promise() {
    use Method::{Exchange, New, TwoRenames};
    for methods in [
        vec![Exchange],
        vec![TwoRenames],
        vec![New],
        vec![Exchange, TwoRenames],
        vec![Exchange, New],
        vec![TwoRenames, TwoRenames],
        vec![Exchange, Exchange, TwoRenames],
    ] {
        for app in [true, false] {
            for safety in [true, false] {
                let states = explore(plan(&methods, app, safety));
                assert!(states > 20, "only {states} states for {methods:?}");
            }
        }
    }
}

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

#[test]
fn the_engines_share_of_the_downtime_is_no_more_than_all_of_it() {
    let (state, _) = committed(&[Method::Exchange]);
    let report = volsnap_core::restore::Report::of(&state, None, std::time::Duration::from_secs(9), false, &[]);
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
