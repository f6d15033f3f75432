//! In which order an app is started on a copy, and what becomes of it.

use super::{
    copies::{Calls, catalog, disks, name, snapshot},
    *,
};
use crate::{
    engine::{DrillRequest, Drilled},
    model::Mark,
    ports::{Boot, BootCheck, Health, HealthState, ReadBack},
    restore::Refusal,
};

/// The drill's id: the clock of these tests gives out no other.
const DRILL: RestoreId = RestoreId(Uuid::from_u128(9));

fn member(name: &str, target: &str, needs: &[&str]) -> Container {
    let source = PathBuf::from(format!("/srv{target}"));
    let mount = Mount { target: target.into(), source, volume: None, writable: true, unsupported: None };
    Container {
        id: ContainerId(name.into()),
        name: name.into(),
        mounts: vec![mount],
        depends_on: needs.iter().map(ToString::to_string).collect(),
        ..container()
    }
}

fn shop() -> Vec<Container> {
    vec![member("db", "/a", &[]), member("web", "/b", &["db"])]
}

fn note(calls: &Calls, what: String) {
    calls.lock().expect("calls").push(what);
}

/// Disks on which every volume comes back as it was, with a note of what was called.
fn good_disks() -> (Disks, Calls) {
    let (mut disks, calls) = disks();
    let log = calls.clone();
    disks.filesystem.expect_read_back().returning(move |_, index, root, _| {
        note(&log, format!("read {}", name(root.parent().unwrap_or(root))));
        Ok(ReadBack { bytes: 5, entries: 2, digest: ["aa", "bb"][index].into(), difference: None })
    });
    (disks, calls)
}

/// An engine with these containers that can start copies of them, which are then in that state.
fn starter(members: Vec<Container>, state: HealthState, calls: &Calls) -> MockContainers {
    let mut containers = MockContainers::new();
    containers.expect_find().returning(move |_| Ok(members.clone()));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_check_boot().returning(|_| Ok(BootCheck::default()));
    let log = calls.clone();
    containers.expect_boot().returning(move |drill, boots| {
        assert_eq!(drill, DRILL);
        let shown = |boot: &Boot| {
            let copies: Vec<String> = boot.copies.iter().map(|(at, copy)| format!("{at}={}", copy.display())).collect();
            format!("boot {} {}", boot.container.name, copies.join(" "))
        };
        boots.iter().for_each(|boot| note(&log, shown(boot)));
        Ok(())
    });
    let health = move |name: &String| Health {
        name: name.clone(),
        state,
        detail: "exit code 3".into(),
        run: None,
        exit_code: None,
    };
    containers.expect_health().returning(move |names| Ok(names.iter().map(health).collect()));
    let log = calls.clone();
    containers.expect_unboot().returning(move |drill| {
        assert_eq!(drill, DRILL);
        note(&log, "unboot".into());
        Ok(())
    });
    containers
}

fn marking(mut store: MockStore, calls: &Calls) -> MockStore {
    let log = calls.clone();
    store.expect_mark_snapshot().returning(move |_, mark| {
        let what = match mark {
            Mark::Proved(_) => "proved",
            Mark::Booted(_) => "booted",
            Mark::Verified(_) | Mark::Corrupt(_) | Mark::Pinned(_) | Mark::Unpinned => "something else",
        };
        note(&log, what.into());
        Ok(true)
    });
    store
}

async fn drill(disks: Disks, store: MockStore, containers: MockContainers) -> crate::error::Result<Drilled> {
    let request = DrillRequest {
        workload: workload(),
        snapshot: snapshot(),
        scratch: Some("/scratch".into()),
        boot: Some(Duration::from_secs(60)),
    };
    engine(disks, store, Some(containers)).drill(&request, &quiet()).await
}

#[tokio::test]
async fn the_data_are_proved_before_the_app_starts_and_it_is_gone_before_its_data() {
    let (disks, calls) = good_disks();
    let containers = starter(shop(), HealthState::Healthy, &calls);
    let store = marking(catalog("proved"), &calls);
    let drilled = drill(disks, store, containers).await.expect("a drill");
    assert_eq!((drilled.error(), drilled.came_up()), (None, Some(true)));
    assert_eq!(drilled.booted.map(|booted| booted.containers), Some(vec!["db".to_string(), "web".into()]));
    let copy = |index: usize| format!("/scratch/.volsnap-{}-{index}/staged", DRILL.0.simple());
    let (db, web) = (format!("boot db /a={}", copy(0)), format!("boot web /b={}", copy(1)));
    let wanted = [
        "begin 0 1",
        "copy 0",
        "read 0",
        "copy 1",
        "read 1",
        "proved",
        &db,
        &web,
        "booted",
        "unboot",
        "discard 0",
        "discard 1",
        "settle /scratch",
        "end",
    ];
    assert_eq!(*calls.lock().expect("calls"), wanted);
}

#[tokio::test]
async fn an_app_that_does_not_come_up_leaves_the_data_proved_and_is_named_as_people_know_it() {
    let (disks, calls) = good_disks();
    let containers = starter(shop(), HealthState::Down, &calls);
    let store = marking(catalog("boot failed"), &calls);
    let drilled = drill(disks, store, containers).await.expect("a drill");
    assert_eq!(drilled.came_up(), Some(false));
    let error = drilled.error().expect("an error");
    assert_eq!(error.code, Code::Warnings);
    assert!(error.message.contains("container db ended (exit code 3)"), "{error}");
    let calls = calls.lock().expect("calls");
    assert!(calls.contains(&"proved".into()) && !calls.contains(&"booted".into()), "{calls:?}");
    assert!(!calls.iter().any(|call| call.starts_with("boot web")), "its database is not there: {calls:?}");
    assert!(calls.contains(&"unboot".into()) && calls.last().is_some_and(|last| last == "end"), "{calls:?}");
}

#[tokio::test]
async fn an_engine_that_fails_says_nothing_of_the_app() {
    let (disks, calls) = good_disks();
    let mut containers = MockContainers::new();
    containers.expect_find().returning(|_| Ok(shop()));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_check_boot().returning(|_| Ok(BootCheck::default()));
    let broken = || EngineError::new(EngineErrorKind::Unreachable, "gone");
    containers.expect_boot().returning(move |_, _| Err(broken()));
    containers.expect_unboot().times(1).returning(move |_| Err(broken()));
    let store = marking(catalog("boot failed"), &calls);
    let drilled = drill(disks, store, containers).await.expect("a drill");
    assert_eq!((drilled.came_up(), drilled.error().map(|error| error.code)), (None, Some(Code::Engine)));
    let warnings = drilled.booted.map(|booted| booted.warnings).unwrap_or_default();
    assert!(warnings.iter().any(|warning| warning.contains("volsnap recover")), "{warnings:?}");
    let calls = calls.lock().expect("calls");
    assert!(!calls.iter().any(|call| call.starts_with("discard") || call == "end"), "they may run: {calls:?}");
}

/// The refusal of a drill that must not have begun.
async fn refusal(members: Vec<Container>, check: BootCheck) -> String {
    let (disks, calls) = good_disks();
    let mut containers = MockContainers::new();
    containers.expect_find().returning(move |_| Ok(members.clone()));
    containers.expect_info().returning(|| Ok(engine_of("one")));
    containers.expect_check_boot().returning(move |_| Ok(check.clone()));
    let mut store = MockStore::new();
    store.expect_workloads().returning(|| Ok(vec![]));
    let error = drill(disks, store, containers).await.expect_err("refused");
    assert_eq!((error.code, error.hint.is_some()), (Code::Refused, true), "{error}");
    assert_eq!(*calls.lock().expect("calls"), Vec::<String>::new(), "something was made: {error}");
    error.message
}

#[tokio::test]
async fn what_cannot_be_started_apart_is_refused_before_anything_is_extracted() {
    let none = refusal(vec![], BootCheck::default()).await;
    assert!(none.contains("has no containers"), "{none}");
    let mut newer = shop();
    newer.push(member("cache", "/c", &[]));
    let missing = refusal(newer, BootCheck::default()).await;
    assert!(missing.contains("volume /c") && missing.contains("not in the snapshot"), "{missing}");
    let refusals = vec![Refusal::new("one", "do this"), Refusal::new("two", "do that")];
    let both = refusal(shop(), BootCheck { refusals, warnings: vec![] }).await;
    assert!(both.contains("one; two"), "{both}");
}

#[tokio::test]
async fn what_is_stopped_stays_stopped_unless_all_of_it_is() {
    let stopped = |container: Container| Container { run: RunState::Stopped, ..container };
    let [db, web] = [&shop()[0], &shop()[1]].map(Clone::clone);
    let cases =
        [(vec![db.clone(), stopped(web.clone())], vec!["db"]), (vec![stopped(db), stopped(web)], vec!["db", "web"])];
    for (members, wanted) in cases {
        let (disks, calls) = good_disks();
        let containers = starter(members, HealthState::Healthy, &calls);
        let store = marking(catalog("proved"), &calls);
        let drilled = drill(disks, store, containers).await.expect("a drill");
        assert_eq!(drilled.booted.map(|booted| booted.containers).unwrap_or_default(), wanted);
    }
}

#[tokio::test]
async fn a_place_within_a_volume_is_that_place_within_its_copy_and_must_not_lead_out_of_it() {
    for (place, came_up, why) in [
        ("public", Some(true), ""),
        ("link-to-etc", Some(false), "leads out of the copy"),
        ("absent", Some(false), "is not in the snapshot"),
    ] {
        let (disks, calls) = good_disks();
        let mut members = shop();
        let source = Path::new("/srv/a").join(place);
        let within = Mount { target: "/www".into(), source, writable: false, ..members[0].mounts[0].clone() };
        members[1].mounts.push(within);
        let containers = starter(members, HealthState::Healthy, &calls);
        let store = marking(catalog(if why.is_empty() { "proved" } else { "boot failed" }), &calls);
        let drilled = drill(disks, store, containers).await.expect("a drill");
        let error = drilled.error().map(|error| error.message).unwrap_or_default();
        assert!(drilled.came_up() == came_up && error.contains(why), "{place}: {error}");
        let copy = format!("/www=/scratch/.volsnap-{}-0/staged/{place}", DRILL.0.simple());
        let is_started = calls.lock().expect("calls").iter().any(|call| call.contains(&copy));
        assert_eq!(is_started, why.is_empty(), "{place}");
    }
}
