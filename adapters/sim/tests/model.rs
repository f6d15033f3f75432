//! What the simulated machine does to its processes, and what it must never do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    model::{
        Manifest, ManifestVolume, Mode, Origin, Redeploy, RestartPolicy, RestoreId, RunState, Sight, SnapshotId,
        Source, WorkloadId, container::retired_name, place::private_dir,
    },
    ports::{
        Clock, Containers, EngineErrorKind, Filesystem, FsErrorKind, Journals, Limits, Quiet, StageJob, Store,
        StoreErrorKind,
    },
};
use volsnap_sim::{
    Boot, Chooser, ContainerSpec, DiskSpec, Event, Fault, Machine, Mutant, Reach, Run, World, WorldBuilder,
};

const W: WorkloadId = WorkloadId(Uuid::from_u128(1));
const S: SnapshotId = SnapshotId(Uuid::from_u128(2));
const R: RestoreId = RestoreId(Uuid::from_u128(3));

fn live() -> PathBuf {
    PathBuf::from("/srv/data")
}

fn policy(name: &str) -> RestartPolicy {
    RestartPolicy { name: name.into(), retries_max: 0 }
}

/// A root disk with the state, a disk at `/srv` with a volume, an app that runs on it, and an archive.
fn world(ordered: bool) -> (World, String) {
    let manifest = Manifest {
        format: 1,
        snapshot: S,
        workload: W,
        workload_name: "w".into(),
        source: Source::Directories,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Stop,
        origin: Origin::Manual,
        note: None,
        images: vec![],
        volumes: vec![ManifestVolume { target: "/data".into(), absent: false, ..ManifestVolume::default() }],
        registration: None,
        imported: None,
        sequence: None,
    };
    let app = ContainerSpec { policy: policy("always"), ..ContainerSpec::named("app").bind("/data", live()) };
    let (builder, summary) = WorldBuilder::new(DiskSpec::at("/"), "/var/lib/volsnap")
        .disk(DiskSpec { ordered, ..DiskSpec::at("/srv") })
        .tree(live(), &[("a", "old a"), ("b/c", "old c")])
        .tree("/srv/other", &[("x", "x")])
        .container(app)
        .archive(&manifest, &[vec![("a", "new a"), ("b/c", "new c"), ("d", "new d")]]);
    (builder.build(), summary.digest)
}

fn job(digest: &str) -> StageJob {
    StageJob {
        workload: W,
        snapshot: S,
        archive_digest: digest.into(),
        index: Some(0),
        target: "/data".into(),
        private: private_dir(&live(), R, 0),
        like: None,
        entries_of: None,
        standing: None,
        limits: Limits { bytes_max: 1 << 20, entries_max: 100, devices: false },
        resume: false,
    }
}

fn done<T>(run: Run<T>) -> T {
    run.done().expect("the process lives")
}

/// The worlds that any power cut now can leave.
fn after_power_cut(world: &World) -> Vec<World> {
    let mut worlds = Vec::new();
    let mut keys = BTreeSet::new();
    Chooser::every(|chooser| {
        let mut world = world.clone();
        world.reboot(chooser, &Boot::default());
        if keys.insert(world.key()) {
            worlds.push(world);
        }
    });
    worlds
}

/// The worlds that a power cut at any instant of the future can leave.
fn after_any_power_cut<F, T>(start: &World, run: impl FnOnce(Machine) -> F) -> Vec<World>
where
    F: Future<Output = T>,
{
    let mut start = start.clone();
    start.record_crash_points();
    let machine = Machine::start(start);
    done(machine.run(run(machine.clone())));
    let mut points = machine.world().take_crash_points();
    let end = machine.snapshot();
    points.push(volsnap_sim::CrashPoint { op: end.ops(), call: "", world: end });
    points.iter().flat_map(|point| after_power_cut(&point.world)).collect()
}

#[test]
fn an_unsynced_rename_can_be_lost_and_can_survive() {
    let (world, _) = world(true);
    let machine = Machine::start(world);
    let fs = machine.disks();
    done(machine.run(fs.rename(Path::new("/srv/other"), Path::new("/srv/moved")))).unwrap();
    let seen: Vec<bool> =
        after_power_cut(&machine.snapshot()).iter().map(|w| w.tree(Path::new("/srv/moved")).is_some()).collect();
    assert_eq!(seen, [false, true]);

    done(machine.run(fs.settle(&["/srv".into()]))).unwrap();
    assert!(after_power_cut(&machine.snapshot()).iter().all(|w| w.tree(Path::new("/srv/moved")).is_some()));
}

#[test]
fn a_disk_without_order_can_keep_a_later_change_and_lose_an_earlier_one() {
    let outcomes = |ordered| {
        let (world, _) = world(ordered);
        let machine = Machine::start(world);
        let fs = machine.disks();
        let make = async {
            fs.rename(Path::new("/srv/data/a"), Path::new("/srv/data/z")).await.unwrap();
            fs.rename(Path::new("/srv/other"), Path::new("/srv/moved")).await.unwrap();
        };
        done(machine.run(make));
        let worlds = after_power_cut(&machine.snapshot());
        let seen = worlds
            .iter()
            .map(|w| (w.tree(&live()).unwrap().contains_key("z"), w.tree(Path::new("/srv/moved")).is_some()));
        seen.collect::<BTreeSet<(bool, bool)>>()
    };
    assert_eq!(outcomes(true), BTreeSet::from([(false, false), (true, false), (true, true)]));
    assert_eq!(outcomes(false).len(), 4);
}

#[test]
fn an_exchange_is_all_or_nothing_unless_its_mutant_lies() {
    let broken = |mutant: Option<Mutant>| {
        let (mut world, _) = world(false);
        world.set_mutant(mutant);
        let worlds = after_any_power_cut(&world, |machine| async move {
            machine.disks().exchange(&live(), Path::new("/srv/other")).await.unwrap();
        });
        worlds.iter().filter(|w| w.tree(&live()).is_none_or(|t| t.is_empty())).count()
    };
    assert_eq!(broken(None), 0);
    assert!(broken(Some(Mutant::ExchangeNotAtomic)) > 0);
}

#[test]
fn what_is_named_staged_is_whole_after_every_power_cut_unless_its_mutant_lies() {
    let (world, digest) = world(true);
    let torn = |mutant: Option<Mutant>| {
        let mut world = world.clone();
        world.set_mutant(mutant);
        let worlds = after_any_power_cut(&world, |machine| {
            let job = job(&digest);
            async move { machine.disks().stage(&job, Arc::new(Quiet)).await.unwrap() }
        });
        let staged = worlds.iter().filter_map(|w| w.tree(&job(&digest).private.join("staged")));
        staged.filter(|tree| tree.get("a").map(Vec::as_slice) != Some(b"new a") || tree.len() != 4).count()
    };
    assert_eq!(torn(None), 0);
    assert!(torn(Some(Mutant::StagedNotSynced)) > 0);
}

#[test]
fn a_journal_is_the_old_or_the_new_one_after_every_power_cut_unless_its_mutant_lies() {
    let (world, _) = world(true);
    let odd = |mutant: Option<Mutant>| {
        let machine = Machine::start(world.clone());
        done(machine.run(machine.disks().write_journal(W, b"old"))).unwrap();
        let mut world = machine.snapshot();
        world.set_mutant(mutant);
        let worlds = after_any_power_cut(&world, |machine| async move {
            machine.disks().write_journal(W, b"new").await.unwrap();
        });
        let read = |w: &World| w.read(&w.journal_dir().join(format!("{W}.json")));
        let last = read(worlds.last().unwrap());
        let odd = worlds.iter().map(read).filter(|j| !matches!(j.as_deref(), Some(b"old" | b"new"))).count();
        (odd, last == Some(b"new".to_vec()))
    };
    assert_eq!(odd(None), (0, true));
    assert!(odd(Some(Mutant::JournalInPlace)).0 > 0);
    assert!(odd(Some(Mutant::JournalNotDurable { pattern: "new".into() })).0 > 0, "a name without its contents");
}

#[test]
fn a_failed_sync_reports_once_and_loses_what_it_should_have_written() {
    let (mut world, digest) = world(true);
    world.remember(false);
    let dry = Machine::start(world.clone());
    done(dry.run(dry.disks().stage(&job(&digest), Arc::new(Quiet)))).unwrap();
    let sync = dry.world().history().iter().position(|m| m.kind == volsnap_sim::MicroKind::Sync).unwrap();

    world.strike(sync as u64, Fault::SyncLost);
    let machine = Machine::start(world);
    let fs = machine.disks();
    let error = done(machine.run(fs.stage(&job(&digest), Arc::new(Quiet)))).unwrap_err();
    assert_eq!(error.kind, FsErrorKind::SyncFailed);
    done(machine.run(fs.settle(&["/srv".into(), job(&digest).private]))).unwrap();
    let left = after_power_cut(&machine.snapshot());
    assert!(
        left.iter().all(|w| w
            .tree(&job(&digest).private.join("partial"))
            .is_none_or(|t| t.get("a").is_none_or(Vec::is_empty)))
    );
}

#[test]
fn a_killed_process_never_returns_and_its_locks_are_free_for_the_next() {
    let (mut world, digest) = world(true);
    world.strike(4, Fault::Kill);
    let machine = Machine::start(world);
    let fs = machine.disks();
    let life = async {
        let _lock = fs.lock(W).await.unwrap();
        fs.stage(&job(&digest), Arc::new(Quiet)).await
    };
    assert_eq!(machine.run(life), Run::Died);
    let mut world = machine.snapshot();
    assert!(world.tree(&job(&digest).private.join("partial")).is_some(), "what it did is there");
    world.restart_process();
    let machine = Machine::start(world);
    assert!(done(machine.run(machine.disks().lock(W))).is_ok());
}

#[test]
fn a_dropped_future_gives_back_its_lock_while_the_process_lives() {
    let (mut world, _) = world(true);
    world.strike(1, Fault::Drop);
    let machine = Machine::start(world);
    let fs = machine.disks();
    let life = async {
        let _lock = fs.lock(W).await.unwrap();
        fs.look(Path::new("/srv")).await
    };
    assert_eq!(machine.run(life), Run::Dropped);
    assert!(done(machine.run(fs.lock(W))).is_ok());
}

#[test]
fn a_second_taker_of_a_lock_is_told_busy() {
    let (world, _) = world(true);
    let machine = Machine::start(world);
    let fs = machine.disks();
    let both = async {
        let first = fs.lock(W).await;
        let second = fs.lock(W).await.err().map(|error| error.kind);
        drop(first);
        (second, fs.lock(W).await.is_ok())
    };
    assert_eq!(done(machine.run(both)), (Some(FsErrorKind::Busy), true));
}

#[test]
fn planned_errors_strike_once_or_from_then_on_and_some_come_after_the_deed() {
    let (world, _) = world(true);
    let first = |world: World, times: usize| {
        let machine = Machine::start(world);
        let fs = machine.disks();
        let results: Vec<bool> = (0..times)
            .map(|_| done(machine.run(fs.rename(Path::new("/srv/other"), Path::new("/srv/moved")))).is_ok())
            .collect();
        (results, machine.snapshot().tree(Path::new("/srv/moved")).is_some())
    };
    let once = Fault::Error { failure: FsErrorKind::Transient.into(), reach: Reach::Once };
    let sticky = Fault::Error { failure: FsErrorKind::Io.into(), reach: Reach::Method };
    let plan = |fault: &Fault, op| world.clone_with(op, fault);
    assert_eq!(first(plan(&once, 0), 2), (vec![false, true], true));
    assert_eq!(first(plan(&sticky, 0), 3), (vec![false, false, false], false));
    assert_eq!(first(plan(&Fault::DoneButFailed(FsErrorKind::Io.into()), 1), 1), (vec![false], true));
}

trait Planned {
    fn clone_with(&self, op: u64, fault: &Fault) -> World;
}

impl Planned for World {
    fn clone_with(&self, op: u64, fault: &Fault) -> World {
        let mut world = self.clone();
        world.strike(op, fault.clone());
        world
    }
}

#[test]
fn a_rename_under_a_running_app_is_noticed_and_its_writes_follow_the_directory() {
    let (world, _) = world(true);
    let machine = Machine::start(world);
    done(machine.run(machine.disks().exchange(&live(), Path::new("/srv/other")))).unwrap();
    let mut world = machine.snapshot();
    assert_eq!(world.violations().len(), 1, "{:?}", world.violations());
    world.happen(&Event::Tick);
    assert!(world.tree(Path::new("/srv/other")).unwrap().keys().any(|name| name.starts_with("app-")));
    assert_eq!(world.violations().len(), 2, "{:?}", world.violations());
}

#[test]
fn a_reboot_starts_containers_by_policy_and_makes_missing_bind_sources() {
    for (name, stopped_by_hand, starts) in [
        ("always", false, true),
        ("always", true, true),
        ("unless-stopped", false, true),
        ("unless-stopped", true, false),
        ("on-failure", false, true),
        ("no", false, false),
    ] {
        let source = PathBuf::from("/srv/missing");
        let spec = ContainerSpec { policy: policy(name), ..ContainerSpec::named("c").bind("/d", &source) };
        let mut world =
            WorldBuilder::new(DiskSpec::at("/"), "/state").disk(DiskSpec::at("/srv")).container(spec).build();
        if stopped_by_hand {
            world.happen(&Event::Stop("c".into()));
        }
        let fs = Machine::start(world.clone());
        done(fs.run(fs.disks().remove_empty(&source))).unwrap();
        let mut world = fs.snapshot();
        world.reboot(&mut Chooser::scripted(vec![1, 1, 1, 1]), &Boot::default());
        let run = world.container("c").unwrap().run;
        assert_eq!(run == RunState::Running, starts, "{name}, stopped by hand: {stopped_by_hand}");
        assert!(!starts || world.tree(&source).is_some(), "{name}");
    }
}

#[test]
fn a_disk_that_is_not_mounted_yet_shows_another_directory() {
    let (mut world, _) = world(true);
    let before = world.identity(Path::new("/srv"));
    let boot = Boot { unmounted: vec!["/srv".into()], engine_down: true, ..Boot::default() };
    world.reboot(&mut Chooser::scripted(vec![]), &boot);
    assert!(world.tree(Path::new("/srv")).unwrap().is_empty());
    assert_ne!(world.identity(Path::new("/srv")), before);
    world.mount(Path::new("/srv"));
    assert_eq!(world.identity(Path::new("/srv")), before);
    assert!(world.tree(&live()).is_some());
}

#[test]
fn a_fence_survives_the_power_unless_its_mutant_lies() {
    let revived = |mutant: Option<Mutant>| {
        let (mut world, _) = world(true);
        world.set_mutant(mutant);
        let machine = Machine::start(world);
        let engine = machine.containers();
        let id = machine.world().container("app").unwrap().id.clone();
        let fence = async {
            engine.set_restart_policy(&id, &RestartPolicy::never()).await.unwrap();
            engine.stop(std::slice::from_ref(&id)).await.unwrap();
        };
        done(machine.run(fence));
        after_power_cut(&machine.snapshot()).iter().filter(|w| w.container("app").unwrap().run.is_active()).count()
    };
    assert_eq!(revived(None), 0);
    assert!(revived(Some(Mutant::FenceNotDurable)) > 0);
}

#[test]
fn a_redeploy_that_dies_anywhere_is_finished_by_the_next() {
    let (world, _) = world(true);
    let machine = Machine::start(world.clone());
    let container = machine.world().container("app").unwrap().clone();
    let pinned = vec![volsnap_core::model::Pinned { container: container.clone(), member: true }];
    let bring_back = |machine: Machine| {
        let (container, pinned) = (container.clone(), pinned.clone());
        async move {
            let engine = machine.containers();
            engine.set_restart_policy(&container.id, &RestartPolicy::never()).await.unwrap();
            engine.prepare(R, &container).await.unwrap();
            engine.stop(std::slice::from_ref(&container.id)).await.unwrap();
            engine.redeploy(R, &pinned, Redeploy::Recreate).await.unwrap();
        }
    };
    let worlds = after_any_power_cut(&world, bring_back);
    assert!(worlds.len() > 5, "{} worlds", worlds.len());
    for world in worlds {
        let machine = Machine::start(world);
        let again = async {
            machine.containers().redeploy(R, &pinned, Redeploy::Recreate).await.unwrap();
            machine.containers().discard(R).await.unwrap();
        };
        done(machine.run(again));
        let world = machine.snapshot();
        assert_eq!(world.containers().count(), 1, "nothing of ours is left");
        let app = world.container("app").unwrap();
        assert_eq!((app.run, &*app.restart_policy.name), (RunState::Running, "always"));
        assert_eq!(app.image_id, container.image_id);
    }
}

#[test]
fn an_image_that_is_gone_brings_the_old_container_back() {
    let (world, _) = world(true);
    let machine = Machine::start(world);
    let mut container = machine.world().container("app").unwrap().clone();
    container.image_id = "sha256:gone".into();
    let pinned = vec![volsnap_core::model::Pinned { container: container.clone(), member: true }];
    let outcome = done(machine.run(machine.containers().redeploy(R, &pinned, Redeploy::Recreate)));
    assert_eq!(outcome.unwrap_err().kind, EngineErrorKind::NotFound);
    let world = machine.snapshot();
    assert_eq!(world.container("app").unwrap().id, container.id);
    assert!(world.container("app").unwrap().run.is_active());
    assert!(world.container(&retired_name("app", R)).is_none());
}

#[test]
fn a_full_disk_refuses_data_but_not_the_next_journal() {
    let (world, digest) = world(true);
    let machine = Machine::start(world);
    let fs = machine.disks();
    done(machine.run(fs.write_journal(W, &[b'x'; 5000]))).unwrap();
    machine.world().set_space(0, 0);
    machine.world().set_space(1, 0);
    assert_eq!(done(machine.run(fs.stage(&job(&digest), Arc::new(Quiet)))).unwrap_err().kind, FsErrorKind::NoSpace);
    done(machine.run(fs.write_journal(W, &[b'y'; 20000]))).unwrap();
    assert_eq!(done(machine.run(fs.read_journal(W))).unwrap(), Some(vec![b'y'; 20000]));
}

#[test]
fn a_broken_catalog_says_so_and_the_clock_never_repeats_an_id() {
    let (mut world, _) = world(true);
    world.break_store(Some(StoreErrorKind::Corrupt));
    let machine = Machine::start(world);
    let error = done(machine.run(machine.store().workloads())).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);

    let mut ids = BTreeSet::new();
    let mut last = Uuid::nil();
    let mut world = machine.snapshot();
    for _ in 0..3 {
        let machine = Machine::start(world.clone());
        for _ in 0..5 {
            let id = machine.clock().fresh_id();
            assert_eq!(id.get_version_num(), 7);
            assert!(id > last && ids.insert(id));
            last = id;
        }
        world = machine.snapshot();
        world.restart_process();
    }
}

#[test]
fn names_that_are_not_of_the_restore_are_never_removed() {
    let (world, _) = world(true);
    let machine = Machine::start(world);
    let fs = machine.disks();
    for path in [live(), private_dir(&live(), RestoreId(Uuid::from_u128(9)), 0), "/srv/.volsnap-".into()] {
        assert_eq!(done(machine.run(fs.discard(R, &path, None))).unwrap_err().kind, FsErrorKind::Denied);
    }
    assert!(matches!(done(machine.run(fs.look(&live()))).unwrap(), Sight::Directory { .. }));
}

#[test]
fn the_same_choices_give_the_same_world() {
    let run = || {
        let (world, digest) = world(false);
        let machine = Machine::start(world);
        done(machine.run(machine.disks().stage(&job(&digest), Arc::new(Quiet)))).unwrap();
        let mut world = machine.snapshot();
        world.happen(&Event::Tick);
        world.reboot(&mut Chooser::seeded(42), &Boot::default());
        world.key()
    };
    assert_eq!(run(), run());
}
