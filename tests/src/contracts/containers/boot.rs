//! Copies of containers that a drill starts on copied directories, and takes down again.

use std::{collections::BTreeMap, path::Path};

use volsnap_core::{
    model::{
        RestoreId, RunState, Selector,
        container::{DRILL_LABEL, drill_name},
    },
    ports::{Boot, HealthState},
};

use super::{Harness, Place, Wanted, find, names, restore, see};

/// The container as it is to be started with `copy` at `/data`.
async fn on_copy(h: &dyn Harness, name: &String, copy: &Path) -> Boot {
    let container = find(h, name).await;
    let copies = BTreeMap::from([("/data".into(), copy.to_path_buf())]);
    Boot { image_id: container.image_id.clone(), container, copies }
}

async fn boot(h: &dyn Harness, drill: RestoreId, boots: &[Boot]) {
    h.containers().boot(drill, boots).await.unwrap();
}

/// The copy writes where it was told to and nowhere else, and the original does not notice.
pub async fn a_copy_runs_beside_its_original_and_writes_only_into_copies(h: &mut dyn Harness) {
    let name = h.name("web");
    let (live, copy) = (h.directory("live"), h.directory("copy"));
    let project = h.name("shop");
    let wanted = Wanted {
        env: BTreeMap::from([("COLOUR".into(), "blue".into())]),
        ..Wanted::new(&name).service(&project, "web", "").policy("always").host(&live)
    };
    h.add(&wanted.place(Place::Anonymous, "/cache")).await;
    h.write(&name, "/data/of", "the original").await;
    let before = see(h, &name).await;
    let drill = restore();
    let started = on_copy(h, &name, &copy).await;
    assert_eq!(h.containers().check_boot(std::slice::from_ref(&started)).await.unwrap().refusals, []);
    boot(h, drill, &[started]).await;

    let made = drill_name(&name, drill);
    let now = see(h, &made).await;
    assert_eq!((now.run, &now.image_id, &now.env), (RunState::Running, &before.image_id, &before.env));
    assert!(now.policy.is_never(), "no engine starts it by itself");
    h.write(&made, "/data/of", "the copy").await;
    assert_eq!(h.read(&name, "/data/of").await, "the original");
    assert_eq!(h.read(&made, "/data/of").await, "the copy");
    assert_eq!(see(h, &name).await, before);
    h.containers().unboot(drill).await.unwrap();
    assert_eq!(see(h, &name).await, before);
}

/// Whoever looks for an app by its project or labels does not find the copy, which has one label.
pub async fn a_copy_is_no_part_of_any_workload(h: &mut dyn Harness) {
    let name = h.name("web");
    let (live, copy) = (h.directory("live"), h.directory("copy"));
    let (project, mark) = (h.name("shop"), h.name("mark"));
    h.add(&Wanted::new(&name).service(&project, "web", "").label(&mark, "a").host(&live)).await;
    let drill = restore();
    boot(h, drill, &[on_copy(h, &name, &copy).await]).await;
    let made = see(h, &drill_name(&name, drill)).await;
    assert_eq!(made.labels, BTreeMap::from([(DRILL_LABEL.into(), drill.to_string())]));
    let by_project = Selector { compose_project: Some(project), ..Selector::default() };
    let by_label = Selector { labels: vec![(mark, "a".into())], ..Selector::default() };
    for selector in [by_project, by_label] {
        assert_eq!(names(&h.containers().find(&selector).await.unwrap()), [&name]);
    }
    assert_eq!(h.containers().of_restore(drill).await.unwrap(), [], "it is nobody's replacement");
    h.containers().unboot(drill).await.unwrap();
}

/// A second call finds its work done; one that has ended is started again.
pub async fn booting_twice_is_booting_once(h: &mut dyn Harness) {
    let name = h.name("web");
    let (live, copy) = (h.directory("live"), h.directory("copy"));
    h.add(&Wanted::new(&name).host(&live)).await;
    let drill = restore();
    let boots = [on_copy(h, &name, &copy).await];
    boot(h, drill, &boots).await;
    let made = drill_name(&name, drill);
    let once = see(h, &made).await;
    boot(h, drill, &boots).await;
    assert_eq!(see(h, &made).await, once);
    h.containers().stop(std::slice::from_ref(&once.id)).await.unwrap();
    let health = h.containers().health(std::slice::from_ref(&made)).await.unwrap();
    assert_eq!(health[0].state, HealthState::Down);
    boot(h, drill, &boots).await;
    assert_eq!(see(h, &made).await, once);
    h.containers().unboot(drill).await.unwrap();
}

/// What one drill made goes, running or not, and stays away after a crash; another drill's stays.
pub async fn unbooting_removes_all_of_one_drill_and_nothing_else(h: &mut dyn Harness) {
    let [web, db] = ["web", "db"].map(|stem| h.name(stem));
    let (live, copy) = (h.directory("live"), h.directory("copy"));
    for name in [&web, &db] {
        h.add(&Wanted::new(name).host(&live)).await;
    }
    let (ours, other) = (restore(), restore());
    let boots = [on_copy(h, &web, &copy).await, on_copy(h, &db, &copy).await];
    boot(h, ours, &boots).await;
    boot(h, other, &boots).await;
    let ended = see(h, &drill_name(&db, ours)).await.id;
    h.containers().stop(&[ended]).await.unwrap();
    for _ in 0..2 {
        h.containers().unboot(ours).await.unwrap();
        for name in [&web, &db] {
            assert_eq!(h.see(&drill_name(name, ours)).await, None);
            assert_eq!(see(h, &drill_name(name, other)).await.run, RunState::Running);
            assert_eq!(see(h, name).await.run, RunState::Running);
        }
    }
    let rebooted = h.reboot().await;
    assert_eq!(h.see(&drill_name(&web, ours)).await, None, "a power cut brings it back");
    if rebooted {
        assert_ne!(h.see(&drill_name(&web, other)).await.map(|seen| seen.run), Some(RunState::Running));
    }
    h.containers().unboot(other).await.unwrap();
    assert_eq!(h.see(&drill_name(&web, other)).await, None);
}

/// Nothing is pulled and nothing else is run in its place.
pub async fn a_copy_whose_image_is_gone_is_refused(h: &mut dyn Harness) {
    let name = h.name("web");
    let (live, copy) = (h.directory("live"), h.directory("copy"));
    h.add(&Wanted::new(&name).host(&live)).await;
    let gone = format!("sha256:{}", "0".repeat(64));
    let started = Boot { image_id: gone.clone(), ..on_copy(h, &name, &copy).await };
    let checked = h.containers().check_boot(std::slice::from_ref(&started)).await.unwrap();
    let [refusal] = checked.refusals.as_slice() else { panic!("{checked:?}") };
    assert!(refusal.message.contains(&name) && refusal.message.contains(&gone), "{refusal:?}");
    let drill = restore();
    h.containers().boot(drill, &[started]).await.unwrap_err();
    assert_eq!(h.see(&drill_name(&name, drill)).await, None);
    h.containers().unboot(drill).await.unwrap();
}

/// A directory that is not there is not made on the host, and one that cannot start is an error and can be removed.
pub async fn a_copy_that_cannot_start_is_an_error_and_can_be_removed(h: &mut dyn Harness) {
    let name = h.name("web");
    let (live, copy) = (h.directory("live"), h.directory("copy"));
    h.add(&Wanted::new(&name).host(&live)).await;
    let drill = restore();
    let absent = copy.join("absent");
    h.containers().boot(drill, &[on_copy(h, &name, &absent).await]).await.unwrap_err();
    let mut spoilt = on_copy(h, &name, &copy).await;
    h.spoil(&mut spoilt.container);
    let error = h.containers().boot(drill, &[spoilt]).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(see(h, &drill_name(&name, drill)).await.run, RunState::Stopped);
    h.containers().unboot(drill).await.unwrap();
    assert_eq!(h.see(&drill_name(&name, drill)).await, None);
}
