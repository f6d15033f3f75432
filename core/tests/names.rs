//! Volumes keep the name that they were first given, and snapshots find theirs again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*};
use uuid::Uuid;
use volsnap_core::model::{
    ARCHIVE_FORMAT, Container, ContainerId, DeclaredVolume, ImageRef, Imported, Manifest, ManifestVolume, Mode, Mount,
    Origin, Particulars, Recognised, Resolved, RestartPolicy, RunState, Selector, SnapshotId, Source, Unrecognised,
    Workload, WorkloadId,
};

/// A container of compose's, `shop_SERVICE_1`, with binds `target=path`.
fn service(service: &str, mounts: &[&str]) -> Container {
    let container = format!("shop_{service}_1");
    Container { service: Some(service.into()), ..single(&container, mounts) }
}

fn single(name: &str, mounts: &[&str]) -> Container {
    let mount = |text: &&str| {
        let (target, path) = text.split_once('=').unwrap();
        Mount { target: target.into(), source: path.into(), volume: None, writable: true, unsupported: None }
    };
    Container {
        id: ContainerId(name.into()),
        name: name.into(),
        project: Some("shop".into()),
        service: None,
        image: format!("registry:5000/{name}:1"),
        image_id: "sha256:1".into(),
        run: RunState::Running,
        restart_policy: RestartPolicy::never(),
        mounts: mounts.iter().map(mount).collect(),
        depends_on: vec![],
        stop_timeout: None,
        particulars: Particulars::default(),
        spec: serde_json::Value::Null,
    }
}

fn shop() -> Workload {
    Workload {
        id: WorkloadId(Uuid::from_u128(1)),
        name: "shop".into(),
        source: Source::Image,
        selector: Selector { compose_project: Some("shop".into()), ..Selector::default() },
        volumes: vec![],
        created_at: Timestamp::UNIX_EPOCH,
        hooks: vec![],
        known: vec![],
    }
}

/// Looks at the containers, and knows from then on what it has seen.
fn see(workload: &mut Workload, containers: &[Container]) -> Resolved {
    let resolved = workload.resolve(containers);
    *workload = workload.knowing(&resolved);
    resolved
}

fn names(resolved: &Resolved) -> BTreeMap<String, String> {
    resolved.volumes.iter().map(|v| (v.path.display().to_string(), v.target.clone())).collect()
}

fn name_of(resolved: &Resolved, path: &str) -> String {
    names(resolved).remove(path).unwrap_or_else(|| panic!("no volume at {path}: {resolved:?}"))
}

fn manifest(containers: &[Container], volumes: Vec<ManifestVolume>) -> Manifest {
    let image = |c: &Container| ImageRef {
        container: c.name.clone(),
        service: c.service.clone(),
        image: c.image.clone(),
        image_id: c.image_id.clone(),
    };
    Manifest {
        format: ARCHIVE_FORMAT,
        snapshot: SnapshotId(Uuid::from_u128(2)),
        workload: shop().id,
        workload_name: "shop".into(),
        source: Source::Image,
        created_at: Timestamp::UNIX_EPOCH,
        mode: Mode::Pause,
        origin: Origin::Manual,
        note: None,
        images: containers.iter().map(image).collect(),
        volumes,
        registration: None,
        imported: None,
        sequence: None,
    }
}

/// A snapshot of the volumes as this version takes it.
fn taken(workload: &mut Workload, containers: &[Container]) -> Manifest {
    let resolved = see(workload, containers);
    manifest(containers, resolved.volumes.iter().map(|v| workload.in_manifest(&v.target, false)).collect())
}

/// One as an earlier version took it: with names only.
fn taken_earlier(containers: &[Container], names: &[&str]) -> Manifest {
    let bare = |name: &&str| ManifestVolume { target: (*name).into(), ..ManifestVolume::default() };
    manifest(containers, names.iter().map(bare).collect())
}

/// Where the volumes of the snapshot are now.
fn places(manifest: &Manifest, now: &Resolved) -> Vec<Result<String, Unrecognised>> {
    let recognised = Recognised::of(manifest, &now.volumes);
    let path = |name: &str| now.volumes.iter().find(|v| v.target == name).unwrap().path.display().to_string();
    (0..manifest.volumes.len()).map(|index| recognised.get(index).map(path).map_err(Clone::clone)).collect()
}

#[test]
fn a_second_service_with_the_same_target_renames_nothing() {
    let mut workload = shop();
    let app = service("app", &["/data=/v/app"]);
    let before = taken(&mut workload, std::slice::from_ref(&app));
    let both = see(&mut workload, &[app.clone(), service("redis", &["/data=/v/redis"])]);
    assert_eq!(
        names(&both),
        BTreeMap::from([("/v/app".into(), "/data".into()), ("/v/redis".into(), "redis:/data".into())])
    );
    assert_eq!(places(&before, &both), [Ok("/v/app".into())]);

    // The first goes: its name does not pass to the one that stays, nor do its data.
    let rest = see(&mut workload, &[service("redis", &["/data=/v/redis"])]);
    assert_eq!(name_of(&rest, "/v/redis"), "redis:/data");
    assert_eq!(places(&before, &rest), [Err(Unrecognised::Ambiguous(vec!["redis:/data".into()]))]);
    let back = see(&mut workload, &[app]);
    assert_eq!(name_of(&back, "/v/app"), "/data");
}

#[test]
fn a_volume_is_recognised_by_its_directory_or_by_its_place() {
    let mut workload = shop();
    let before = taken(&mut workload, &[service("app", &["/data=/v/app", "/db=/v/db"])]);
    // The service is renamed; then its directory is moved.
    let renamed = see(&mut workload, &[service("web", &["/data=/v/app", "/db=/v/db"])]);
    let moved = see(&mut workload, &[service("web", &["/data=/mnt/app", "/db=/v/db"])]);
    for now in [&renamed, &moved] {
        assert_eq!(now.volumes.iter().map(|v| &*v.target).collect::<Vec<_>>(), ["/data", "/db"]);
    }
    assert_eq!(places(&before, &moved), [Ok("/mnt/app".into()), Ok("/v/db".into())]);
    // Two swap their places in the container: the directory counts.
    let swapped = see(&mut workload, &[service("web", &["/data=/v/db", "/db=/mnt/app"])]);
    assert_eq!(name_of(&swapped, "/v/db"), "/db");
    assert_eq!(name_of(&swapped, "/mnt/app"), "/data");
}

#[test]
fn containers_of_one_service_have_names_of_their_own() {
    let mut workload = shop();
    let scaled = |n: u32, path: &str| Container {
        service: Some("web".into()),
        ..single(&format!("shop_web_{n}"), &[&format!("/data={path}")])
    };
    let now = see(&mut workload, &[scaled(1, "/v/1"), scaled(2, "/v/2")]);
    assert_eq!(name_of(&now, "/v/1"), "shop_web_1:/data");
    assert_eq!(name_of(&now, "/v/2"), "shop_web_2:/data");
    // Made anew with other directories, they are told apart by the container.
    let now = see(&mut workload, &[scaled(1, "/v/1b"), scaled(2, "/v/2b"), scaled(3, "/v/3")]);
    assert_eq!(name_of(&now, "/v/1b"), "shop_web_1:/data");
    assert_eq!(name_of(&now, "/v/2b"), "shop_web_2:/data");
    assert_eq!(name_of(&now, "/v/3"), "shop_web_3:/data");
}

#[test]
fn a_name_that_was_given_by_hand_is_no_other_volumes() {
    let mut workload = shop();
    workload.volumes = vec![DeclaredVolume { target: "/data".into(), path: "/srv/by-hand".into() }];
    let now = see(&mut workload, &[service("app", &["/data=/v/app", "/www=/srv/by-hand"])]);
    assert_eq!(name_of(&now, "/srv/by-hand"), "/data");
    assert_eq!(name_of(&now, "/v/app"), "app:/data");
    assert_eq!(workload.known.len(), 1, "what was declared needs no memory");
}

#[test]
fn snapshots_of_earlier_versions_find_their_volumes() {
    let app = service("app", &["/data=/v/app"]);
    let redis = service("redis", &["/data=/v/redis"]);
    let now = shop().resolve(&[app.clone(), redis.clone()]);
    assert_eq!(places(&taken_earlier(std::slice::from_ref(&app), &["/data"]), &now), [Ok("/v/app".into())]);
    let both = taken_earlier(&[app.clone(), redis.clone()], &["app:/data", "redis:/data"]);
    assert_eq!(places(&both, &now), [Ok("/v/app".into()), Ok("/v/redis".into())]);
    assert_eq!(
        places(&both, &shop().resolve(std::slice::from_ref(&app)))[0],
        Ok("/v/app".into()),
        "under the name /data"
    );
    // What another container had is nothing for the one that is there.
    let alone = shop().resolve(std::slice::from_ref(&redis));
    let of_redis = Err(Unrecognised::Ambiguous(vec!["/data".into()]));
    assert_eq!(places(&taken_earlier(std::slice::from_ref(&app), &["/data"]), &alone), [of_redis]);
    // Which of two it was that had it then nobody knows.
    let one_of_two = taken_earlier(&[app.clone(), redis.clone()], &["/data"]);
    let either = Err(Unrecognised::Ambiguous(vec!["app:/data".into(), "redis:/data".into()]));
    assert_eq!(places(&one_of_two, &now), [either]);
    // All containers have other names since a new compose, and the same images.
    let mut renamed =
        Container { name: "shop-app-1".into(), image: "registry:5000/shop_app_1:2".into(), ..app.clone() };
    assert_eq!(
        places(&taken_earlier(std::slice::from_ref(&app), &["/data"]), &shop().resolve(std::slice::from_ref(&renamed))),
        [Ok("/v/app".into())]
    );
    renamed.image = "other:1".into();
    assert!(places(&taken_earlier(&[app], &["/data"]), &shop().resolve(&[renamed]))[0].is_err());
}

#[test]
fn a_snapshot_from_elsewhere_is_matched_by_what_its_volumes_are() {
    let (mut there, mut here) = (shop(), shop());
    let app = service("app", &["/data=/v/app"]);
    let redis = service("redis", &["/data=/v/redis"]);
    let mut brought = taken(&mut there, std::slice::from_ref(&redis));
    brought.imported = Some(Imported {
        workload: WorkloadId(Uuid::from_u128(7)),
        workload_name: "shop".into(),
        snapshot: SnapshotId(Uuid::from_u128(8)),
        origin: Origin::Manual,
    });
    see(&mut here, std::slice::from_ref(&app));
    let now = see(&mut here, &[app, redis]);
    assert_eq!(name_of(&now, "/v/app"), "/data");
    assert_eq!(places(&brought, &now), [Ok("/v/redis".into())], "there it was called /data");
}

/// What happens to the services of an app.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// The service comes or goes.
    Toggle(usize),
    /// It gets another name.
    Rename(usize),
    /// A directory that is there is moved elsewhere.
    Move(usize),
}

const SERVICES: usize = 5;
const VOLUMES: usize = 6;

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..SERVICES).prop_map(Change::Toggle),
        1 => (0..SERVICES).prop_map(Change::Rename),
        1 => (0..VOLUMES).prop_map(Change::Move),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_volume_never_changes_its_name_and_two_never_have_the_same(
        // What each service has at two paths.
        has in vec((0..VOLUMES, 0..VOLUMES), SERVICES),
        changes in vec(any_change(), 1..40),
    ) {
        let mut workload = shop();
        let mut here = [false; SERVICES];
        let mut renamed = [0_u32; SERVICES];
        let mut moved = [0_u32; VOLUMES];
        let mut given: BTreeMap<usize, String> = BTreeMap::new();
        let mut snapshots: Vec<(Vec<usize>, Manifest)> = Vec::new();
        for change in changes {
            let present: BTreeSet<usize> =
                (0..SERVICES).filter(|s| here[*s]).flat_map(|s| [has[s].0, has[s].1]).collect();
            match change {
                Change::Toggle(service) => here[service] = !here[service],
                Change::Rename(service) => renamed[service] += 1,
                Change::Move(volume) if present.contains(&volume) => moved[volume] += 1,
                Change::Move(_) => {}
            }
            let path = |volume: usize| format!("/v/{volume}.{}", moved[volume]);
            let of_path: BTreeMap<String, usize> = (0..VOLUMES).map(|v| (path(v), v)).collect();
            let containers: Vec<Container> = (0..SERVICES)
                .filter(|s| here[*s])
                .map(|s| {
                    let (data, db) = has[s];
                    let mounts = [format!("/data={}", path(data)), format!("/db={}", path(db))];
                    service(&format!("s{s}x{}", renamed[s]), &[&mounts[0], &mounts[1]])
                })
                .collect();
            let taken = taken(&mut workload, &containers);
            let now = workload.resolve(&containers);
            let names = names(&now);
            prop_assert_eq!(names.values().collect::<BTreeSet<_>>().len(), names.len(), "two have one name: {:?}", names);
            for (path, name) in &names {
                let volume = of_path[path];
                let first = given.entry(volume).or_insert_with(|| name.clone());
                prop_assert_eq!(&*first, name, "volume {} changed its name", volume);
            }
            let all: BTreeSet<&String> = given.values().collect();
            prop_assert_eq!(all.len(), given.len(), "a name was given twice: {:?}", given);
            snapshots.push((taken.volumes.iter().map(|v| of_path[&path_of(&now, &v.target)]).collect(), taken));
            // Each snapshot finds those of its volumes that are there, and no other.
            for (volumes, manifest) in &snapshots {
                for (place, volume) in places(manifest, &now).into_iter().zip(volumes) {
                    match names.contains_key(&path(*volume)) {
                        true => prop_assert_eq!(place, Ok(path(*volume))),
                        false => prop_assert!(place.is_err(), "volume {} is taken for {:?}", volume, place),
                    }
                }
            }
        }
    }
}

fn path_of(resolved: &Resolved, name: &str) -> String {
    resolved.volumes.iter().find(|v| v.target == name).unwrap().path.display().to_string()
}
