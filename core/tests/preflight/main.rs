//! Every reason not to begin, each on a situation that is fine but for one thing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod containers;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    model::{
        ARCHIVE_FORMAT, ArchiveSummary, Container, ContainerId, FilesystemId, FilesystemInfo, Identity, ImageChoice,
        ImageRef, Inode, Location, Losses, Manifest, ManifestVolume, Mode, Mounted, Occupant, Origin, Particulars,
        Peer, Recognised, Redeploy, RestartPolicy, RestoreId, RunState, Selector, Shares, Snapshot, SnapshotId, Source,
        Space, TreeSize, VolumePath, VolumeTotals, Workload, WorkloadId, parts,
    },
    restore::{
        Options,
        plan::Method,
        preflight::{Candidate, Protected, Situation, plan},
    },
};

fn identity(inode: u64) -> Identity {
    Identity { inode, birth_ns: Some(1_000 + i64::try_from(inode).unwrap()), subvolume: None }
}

fn inode(number: u64) -> Inode {
    Inode { device: (8, 1), number }
}

fn filesystem(id: &str) -> FilesystemInfo {
    FilesystemInfo {
        id: FilesystemId(id.into()),
        mount: "/".into(),
        kind: "ext4".into(),
        disk: None,
        exchange: true,
        births: true,
        read_only: false,
        path_preserving: None,
    }
}

const SPACE: Space = Space { bytes_free: 1 << 30, inodes_free: Some(100_000), block: 4096 };

fn location(path: &str, number: u64, ancestors: &[u64]) -> Location {
    Location {
        real: path.into(),
        occupant: Occupant::Directory(identity(number)),
        inode: Some(inode(number)),
        parent: identity(*ancestors.first().unwrap_or(&2)),
        writable: true,
        filesystem: filesystem("a"),
        space: SPACE,
        ancestors: ancestors.iter().map(|number| inode(*number)).collect(),
    }
}

fn container(name: &str, run: RunState) -> Container {
    Container {
        id: ContainerId(format!("id-{name}")),
        name: name.into(),
        project: None,
        service: None,
        image: "i:1".into(),
        image_id: "sha256:1".into(),
        run,
        restart_policy: RestartPolicy::never(),
        mounts: vec![],
        depends_on: vec![],
        stop_timeout: None,
        particulars: Particulars::default(),
        spec: serde_json::Value::Null,
    }
}

/// What the snapshot's volumes are among the two that there are.
fn recognised(manifest: &Manifest) -> Recognised {
    let present = |target: &str| VolumePath { target: target.into(), declared: true, ..VolumePath::default() };
    Recognised::of(manifest, &[present("/db"), present("/www")])
}

/// Two volumes, `/db` and `/www`, in separate directories of one filesystem, and one container.
fn situation() -> Situation {
    let workload = Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "shop".into(),
        source: Source::Image,
        selector: Selector { containers: vec!["shop".into()], ..Selector::default() },
        volumes: vec![],
        created_at: Timestamp::UNIX_EPOCH,
        hooks: vec![],
        known: Vec::new(),
    };
    let volume = |target: &str| ManifestVolume { target: target.into(), absent: false, ..ManifestVolume::default() };
    let totals = VolumeTotals { bytes: 100, bytes_allocated: 4096, entries: 3, ..VolumeTotals::default() };
    let manifest = Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        workload: workload.id,
        workload_name: "shop".into(),
        source: Source::Image,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Pause,
        origin: Origin::Manual,
        note: None,
        images: vec![],
        volumes: vec![volume("/db"), volume("/www")],
        registration: None,
        imported: None,
        sequence: None,
    };
    let archive = ArchiveSummary {
        manifest,
        totals: vec![totals.clone(), totals],
        quiesced_ms: 0,
        archive_bytes: 1000,
        digest: "d".into(),
    };
    let candidate = |path, inode| Candidate {
        location: Ok(location(path, inode, &[20, 2])),
        named: false,
        size: TreeSize { bytes: 100, bytes_allocated: 4096, entries: 3, immutable: 0, frozen: 0 },
        mounted: Mounted::default(),
        left_out: vec![],
    };
    Situation {
        recognised: recognised(&archive.manifest),
        restore: RestoreId(Uuid::from_u128(3)),
        safety: SnapshotId(Uuid::from_u128(4)),
        now: Timestamp::UNIX_EPOCH,
        host: "host".into(),
        runtime: None,
        members: vec![container("shop", RunState::Running)],
        consumers: vec![container("shop", RunState::Running)],
        losses: BTreeMap::new(),
        others: vec![],
        images_gone: BTreeSet::new(),
        onlookers: vec![],
        dependants: vec![],
        silence: None,
        workload,
        snapshot: Snapshot::from(archive),
        targets: vec![],
        options: Options::default(),
        candidates: BTreeMap::from([
            ("/db".to_string(), candidate("/srv/shop/db", 31)),
            ("/www".to_string(), candidate("/srv/shop/www", 32)),
        ]),
        parts: BTreeMap::new(),
        protected: vec![Protected {
            what: "volsnap's state directory",
            location: location("/var/lib/volsnap", 41, &[40, 3, 2]),
            holds_named_volumes: false,
        }],
        state_filesystem: (filesystem("a"), SPACE),
    }
}

fn at<'a>(situation: &'a mut Situation, target: &str) -> &'a mut Location {
    situation.candidates.get_mut(target).unwrap().location.as_mut().unwrap()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Situation), because: &str) {
    let mut situation = situation();
    change(&mut situation);
    let refusals = plan(&situation).refusals;
    assert!(refusals.iter().any(|r| r.message.contains(because)), "{because:?} is not among {refusals:#?}");
    assert!(refusals.iter().all(|r| !r.hint.is_empty()), "a refusal without a remedy: {refusals:#?}");
}

#[track_caller]
fn accepted(change: impl FnOnce(&mut Situation)) -> volsnap_core::restore::Plan {
    let mut situation = situation();
    change(&mut situation);
    let plan = plan(&situation);
    assert_eq!(plan.refusals, vec![]);
    plan
}

fn at_db(s: &mut Situation) -> &mut Candidate {
    s.candidates.get_mut("/db").unwrap()
}

#[test]
fn what_is_in_no_snapshot_and_what_is_seen_elsewhere_must_not_go_with_what_is_replaced() {
    refused(|s| at_db(s).left_out.push("/srv/shop/db/lost+found".into()), "/srv/shop/db/lost+found, which snapshots");
    refused(|s| at_db(s).mounted.elsewhere.push("/srv/ftp/db".into()), "is mounted at /srv/ftp/db as well");
    accepted(|s| {
        at_db(s).mounted.elsewhere.push("/var/lib/docker/volumes/db/_data".into());
        let location = location("/var/lib/docker", 51, &[50, 3, 2]);
        s.protected.push(Protected { what: "the engine's own data", location, holds_named_volumes: true });
    });
}

#[test]
fn a_plain_situation_is_planned_with_method_reason_and_space() {
    let plan = accepted(|_| {});
    assert_eq!(plan.volumes.len(), 2);
    assert!(plan.volumes.iter().all(|v| v.method == Method::Exchange && v.reason.contains("ext4")));
    assert_eq!(plan.filesystems.len(), 1, "one filesystem is counted once");
    // Two staged trees and the safety archive of two originals, on the same filesystem.
    assert!(plan.filesystems[0].bytes_needed >= 4 * 4096);
    assert_eq!(plan.containers[0].action, "stop and start");
}

#[test]
fn a_container_is_made_anew_where_that_is_asked_for_or_there_is_no_other_way() {
    let plan = accepted(|s| s.options.redeploy = Redeploy::Recreate);
    assert_eq!(plan.containers[0].action, "stop and recreate");
    let plan = accepted(|s| s.members[0].particulars.removes_itself = true);
    assert_eq!(plan.containers[0].action, "stop and recreate");
}

#[test]
fn a_snapshot_of_another_workload_is_refused() {
    refused(|s| s.workload.id = WorkloadId(Uuid::from_u128(99)), "is of workload shop");
}

#[test]
fn software_that_does_not_come_from_an_image_is_refused() {
    refused(|s| s.workload.source = Source::Other("git".into()), "has its software from git");
    refused(|s| s.snapshot.archive.manifest.source = Source::Other("git".into()), "has its software from git");
}

#[test]
fn a_volume_that_does_not_resolve_refuses_them_all() {
    refused(|s| drop(s.candidates.remove("/db")), "volume /db of the snapshot is not a volume of shop any more");
    refused(
        |s| s.candidates.get_mut("/db").unwrap().location = Err("no such file or directory".into()),
        "volume /db cannot be resolved",
    );
}

#[test]
fn a_volume_that_the_snapshot_has_not_is_named_and_needs_a_choice() {
    let newer = |s: &mut Situation| {
        let candidate = Candidate {
            location: Ok(location("/srv/shop/new", 33, &[20, 2])),
            named: false,
            size: TreeSize::default(),
            mounted: Mounted::default(),
            left_out: vec![],
        };
        s.candidates.insert("/new".into(), candidate);
    };
    refused(newer, "volumes that the snapshot has not: /new");
    let plan = accepted(|s| {
        newer(s);
        s.targets = vec!["/db".into()];
    });
    assert_eq!(plan.volumes.len(), 1);
}

#[test]
fn device_nodes_are_refused_unless_they_are_allowed() {
    let has = |s: &mut Situation, devices| {
        let totals = &mut s.snapshot.archive.totals[0];
        (totals.devices, totals.device_names) = (devices, vec!["dev/sda".into()]);
    };
    refused(|s| has(s, Some(1)), "of the snapshot has 1 device node (`dev/sda`)");
    accepted(|s| {
        has(s, Some(1));
        s.options.devices = true;
    });
    accepted(|s| has(s, Some(0)));
    accepted(|s| has(s, None));
}

#[test]
fn a_volume_with_another_filesystem_in_it_is_refused() {
    refused(
        |s| s.candidates.get_mut("/db").unwrap().mounted.within.push("/srv/shop/db/archive".into()),
        "another filesystem is mounted in volume /db, at /srv/shop/db/archive",
    );
}

#[test]
fn an_unknown_target_is_refused_with_the_known_ones() {
    refused(|s| s.targets = vec!["/typo".into()], "has no volume /typo");
}

#[test]
fn dangerous_places_are_refused() {
    for path in ["/", "/etc", "/var/lib", "/home"] {
        refused(|s| at(s, "/db").real = path.into(), "is the system directory");
    }
    refused(|s| *at(s, "/db") = location("/var/lib/volsnap/x", 31, &[41, 40, 3, 2]), "overlaps with volsnap's state");
    refused(|s| *at(s, "/db") = location("/var/lib/volsnap", 41, &[40, 3, 2]), "overlaps with volsnap's state");
    refused(|s| *at(s, "/db") = location("/alias/lib", 40, &[3, 2]), "overlaps with volsnap's state");
    refused(|s| *at(s, "/db") = location("/alias/state", 41, &[77, 2]), "overlaps with volsnap's state");
}

#[test]
fn a_named_volume_may_lie_below_the_engine_s_root_and_a_plain_directory_may_not() {
    let below = |named: bool| {
        move |s: &mut Situation| {
            s.protected.push(Protected {
                what: "the container engine's own data",
                location: location("/var/lib/docker", 50, &[40, 3, 2]),
                holds_named_volumes: true,
            });
            *at(s, "/db") = location("/var/lib/docker/volumes/db/_data", 53, &[52, 51, 50, 40, 3, 2]);
            s.candidates.get_mut("/db").unwrap().named = named;
        }
    };
    accepted(below(true));
    refused(below(false), "the container engine's own data");
}

#[test]
fn places_that_a_rename_cannot_replace_are_refused() {
    refused(|s| at(s, "/db").occupant = Occupant::Immutable(identity(31)), "immutable");
    refused(|s| s.candidates.get_mut("/db").unwrap().size.immutable = 2, "2 of the entries");
    refused(|s| at(s, "/db").occupant = Occupant::NotADirectory, "is not a directory");
    refused(|s| at(s, "/db").filesystem.read_only = true, "mounted read-only");
    refused(|s| at(s, "/db").writable = false, "no permission");
}

#[test]
fn the_same_directory_twice_is_refused_also_through_an_alias() {
    refused(|s| *at(s, "/db") = location("/srv/shop/www", 32, &[20, 2]), "are the same directory");
    refused(|s| *at(s, "/db") = location("/alias/www", 32, &[77, 2]), "are the same directory");
}

#[test]
fn directories_of_cloned_disks_are_not_taken_for_one() {
    accepted(|s| {
        let mut twin = location("/mnt/clone/www", 32, &[20, 2]);
        twin.filesystem = filesystem("clone");
        twin.inode = Some(Inode { device: (8, 2), number: 32 });
        *at(s, "/db") = twin;
    });
}

#[test]
fn a_subvolume_and_its_snapshot_are_not_taken_for_one() {
    accepted(|s| {
        let mut snapshot = location("/srv/shop/snapshot", 32, &[20, 2]);
        snapshot.occupant = Occupant::Subvolume(identity(32));
        snapshot.inode = Some(Inode { device: (0, 50), number: 32 });
        *at(s, "/db") = snapshot;
    });
}

#[test]
fn nested_volumes_are_refused_also_through_an_alias_and_also_when_only_one_is_chosen() {
    refused(|s| *at(s, "/db") = location("/srv/shop/www/db", 31, &[32, 20, 2]), "lie one in the other");
    refused(|s| *at(s, "/db") = location("/alias/db", 31, &[32, 2]), "lie one in the other");
    refused(
        |s| {
            *at(s, "/db") = location("/srv/shop/www/db", 31, &[32, 20, 2]);
            s.targets = vec!["/www".into()];
        },
        "would be switched with it",
    );
}

#[test]
fn a_volume_in_another_one_is_restored_as_part_of_it() {
    let nest = |s: &mut Situation| {
        *at(s, "/db") = location("/srv/shop/www/db", 31, &[32, 20, 2]);
        s.parts = BTreeMap::from([("/db".into(), "/www".into())]);
    };
    // A snapshot that holds both, as earlier ones do.
    let plan = accepted(nest);
    let targets: Vec<&str> = plan.volumes.iter().map(|volume| volume.target.as_str()).collect();
    assert_eq!(targets, ["/www"]);
    assert!(plan.volumes[0].reason.ends_with("; volume /db is part of it"), "{}", plan.volumes[0].reason);
    assert_eq!(plan.warnings, Vec::<String>::new(), "a restore with warnings ends with status 5");
    // The outer one alone takes the inner one along; the inner one alone is a directory like any other.
    let alone = |target: &str| {
        accepted(|s| {
            nest(s);
            s.targets = vec![target.into()];
        })
    };
    assert_eq!(alone("/www").volumes[0].target, "/www");
    assert_eq!(alone("/db").volumes[0].target, "/db");
    let only_outer = |s: &mut Situation| {
        nest(s);
        s.snapshot.archive.manifest.volumes.remove(0);
        s.snapshot.archive.totals.remove(0);
        s.recognised = recognised(&s.snapshot.archive.manifest);
    };
    assert_eq!(accepted(only_outer).volumes.len(), 1);
    refused(
        |s| {
            only_outer(s);
            s.targets = vec!["/db".into()];
        },
        "the snapshot holds it as part of that",
    );
}

#[test]
fn a_volume_is_part_of_the_outermost_that_has_it_unless_something_is_mounted_there() {
    let [outer, middle, inner] = [
        location("/srv/a", 10, &[5, 2]),
        location("/srv/a/b", 11, &[10, 5, 2]),
        location("/srv/a/b/c", 12, &[11, 10, 5, 2]),
    ];
    let places = || [("/c", &inner), ("/b", &middle), ("/a", &outer)];
    let part = |inner: &str, outer: &str| (inner.to_string(), outer.to_string());
    assert_eq!(parts(places()), BTreeMap::from([part("/b", "/a"), part("/c", "/a")]));
    assert_eq!(parts([("/1", &outer), ("/2", &outer)]), BTreeMap::from([part("/2", "/1")]), "one directory, twice");
    let Some(identity) = middle.occupant.identity() else { panic!("it is a directory") };
    let mounted = Location { occupant: Occupant::MountPoint(identity), ..middle.clone() };
    assert_eq!(parts([("/b", &mounted), ("/a", &outer)]), BTreeMap::new());
}

#[test]
fn a_directory_of_a_union_stays_and_its_entries_are_moved() {
    let plan = accepted(|s| {
        for target in ["/db", "/www"] {
            at(s, target).filesystem.kind = "fuse.mergerfs".into();
        }
    });
    assert_eq!(plan.volumes[0].method, Method::ByEntry);
    assert_eq!(plan.volumes[0].parent, plan.volumes[0].original.unwrap(), "its names change within it");
}

#[test]
fn a_running_container_of_another_app_is_refused_and_an_exited_one_is_held() {
    refused(|s| s.consumers.push(container("other", RunState::Running)), "container other is not part of shop");
    refused(|s| s.consumers.push(container("other", RunState::Paused)), "container other is not part of shop");
    let plan = accepted(|s| s.consumers.push(container("other", RunState::Stopped)));
    assert_eq!(plan.containers[1].action, "hold stopped");
}

#[test]
fn space_counts_staging_and_the_safety_archive_on_each_filesystem() {
    refused(
        |s| {
            let small = Space { bytes_free: (1 << 20) + 3 * 4096, ..SPACE };
            s.state_filesystem.1 = small;
            for target in ["/db", "/www"] {
                at(s, target).space = small;
            }
        },
        "free and the restore needs",
    );
    accepted(|s| {
        let small = Space { bytes_free: (1 << 20) + 2 * 4096, ..SPACE };
        for target in ["/db", "/www"] {
            at(s, target).space = small;
        }
        s.state_filesystem.1 = small;
        s.options.safety_snapshot = false;
    });
}

#[test]
fn the_method_follows_from_what_the_filesystem_can_do() {
    let method = |change: fn(&mut Location)| {
        let plan = accepted(|s| change(at(s, "/db")));
        (plan.volumes[0].method, plan.volumes[0].reason.clone())
    };
    assert_eq!(method(|_| {}).0, Method::Exchange);
    assert_eq!(method(|l| l.filesystem.exchange = false).0, Method::TwoRenames);
    assert_eq!(method(|l| l.filesystem.births = false).0, Method::TwoRenames);
    assert_eq!(method(|l| l.occupant = Occupant::Absent).0, Method::New);
    let (by_entry, reason) = method(|l| l.occupant = Occupant::MountPoint(identity(31)));
    assert!(by_entry == Method::ByEntry && reason.contains("it is a mount point"), "{reason}");
    let (by_entry, reason) = method(|l| l.occupant = Occupant::Subvolume(identity(31)));
    assert!(by_entry == Method::ByEntry && reason.contains("btrfs subvolume"), "{reason}");
}

#[test]
fn where_there_is_nothing_now_the_plan_says_so() {
    let mut situation = situation();
    let db = situation.candidates.get_mut("/db").unwrap();
    db.location.as_mut().unwrap().occupant = Occupant::Absent;
    let plan = plan(&situation);
    assert_eq!(plan.refusals, []);
    assert_eq!(plan.warnings, Vec::<String>::new(), "what was deleted is restored as a matter of course");
    assert!(plan.volumes[0].reason.contains("is another one to be mounted there?"), "{plan:?}");
}

#[test]
fn what_is_switched_by_entry_is_recognised_by_itself_and_staged_within_itself() {
    let plan = accepted(|s| at(s, "/db").occupant = Occupant::MountPoint(identity(31)));
    let volume = &plan.volumes[0];
    assert_eq!((volume.parent, volume.original), (identity(31), Some(identity(31))));
    assert_eq!(plan.private(0).parent(), Some(volume.live.as_path()));
    assert_eq!(plan.private(1).parent(), plan.volumes[1].live.parent());
}

#[test]
fn a_path_that_the_journal_cannot_hold_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let name = Path::new("/srv").join(std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    refused(|s| at(s, "/db").real = name, "not UTF-8");
}
