//! Which containers are found, in which order, and how they are.

use std::{sync::Arc, time::Duration};

use volsnap_core::{
    model::{
        RunState, Selector,
        container::{passing_name, retired_name},
    },
    ports::{Command, EngineErrorKind, Exit, HealthState, Quiet, Watch},
};

use super::{Harness, Wanted, by_name, names, restore};

/// Each container comes after those of the services that it depends on, and names them.
pub async fn each_container_comes_after_what_it_depends_on(h: &mut dyn Harness) {
    let project = h.name("shop");
    let [web, db, cache] = ["a-web", "m-db", "z-cache"].map(|stem| h.name(stem));
    let needs = "db:service_healthy:false,cache:service_started:true";
    h.add(&Wanted::new(&web).service(&project, "web", needs)).await;
    h.add(&Wanted::new(&db).service(&project, "db", "cache:service_started:false")).await;
    h.add(&Wanted::new(&cache).service(&project, "cache", "").run(RunState::Stopped)).await;
    let selector = Selector { compose_project: Some(project), ..Selector::default() };
    let found = h.containers().find(&selector).await.unwrap();
    assert_eq!(names(&found), [&cache, &db, &web]);
    assert_eq!(found[2].depends_on, [db, cache]);
    assert_eq!(found[2].service.as_deref(), Some("web"));
    assert_eq!((found[0].run, found[1].run), (RunState::Stopped, RunState::Running));
}

/// Any condition of a selector is enough, all labels of it together are one condition.
pub async fn a_selector_matches_by_project_name_or_labels(h: &mut dyn Harness) {
    let project = h.name("shop");
    let [one, two, three, four] = ["c1", "c2", "c3", "c4"].map(|stem| h.name(stem));
    let mark = h.name("mark");
    h.add(&Wanted::new(&one).service(&project, "web", "")).await;
    h.add(&Wanted::new(&two).label(&mark, "a").label("tier", "b")).await;
    h.add(&Wanted::new(&three).label(&mark, "a")).await;
    h.add(&Wanted::new(&four)).await;
    let port = h.containers();
    let selector = Selector {
        compose_project: Some(project),
        containers: vec![four.clone()],
        labels: vec![(mark.clone(), "a".into()), ("tier".into(), "b".into())],
    };
    assert_eq!(names(&port.find(&selector).await.unwrap()), [&one, &two, &four]);
    let nothing = Selector { labels: vec![(mark, "other".into())], ..Selector::default() };
    assert_eq!(port.find(&nothing).await.unwrap(), []);
    assert_eq!(port.find(&Selector::default()).await.unwrap(), []);
}

/// A name that matches nothing is an error, unlike a label.
pub async fn a_named_container_that_is_missing_is_not_found(h: &mut dyn Harness) {
    let missing = h.name("missing");
    let error = h.containers().find(&by_name(&[&missing])).await.unwrap_err();
    assert_eq!(error.kind, EngineErrorKind::NotFound);
    assert!(error.message.contains(&missing), "{}", error.message);
}

/// Replacements and retired containers of any restore are no part of a workload, but they are consumers.
pub async fn names_that_a_restore_gave_are_left_out_of_a_workload(h: &mut dyn Harness) {
    let project = h.name("shop");
    let own = h.name("web");
    let data = h.directory("data");
    let litter = [passing_name(&own, restore()), retired_name(&own, restore())];
    for name in [&own, &litter[0], &litter[1]] {
        h.add(&Wanted::new(name).service(&project, "web", "").host(&data).run(RunState::Stopped)).await;
    }
    let selector = Selector { compose_project: Some(project), ..Selector::default() };
    assert_eq!(names(&h.containers().find(&selector).await.unwrap()), [&own]);
    let mut consumers = h.containers().mounting(&[data]).await.unwrap();
    consumers.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(names(&consumers), [&own, &litter[0], &litter[1]]);
}

/// What a restore named is found by its name alone: a service of an app need not mount anything.
pub async fn what_a_restore_named_is_found_whatever_it_mounts(h: &mut dyn Harness) {
    let (ours, other) = (restore(), restore());
    let own = h.name("web");
    let litter = [passing_name(&own, ours), retired_name(&own, ours)];
    for name in [&own, &litter[0], &litter[1], &passing_name(&own, other)] {
        h.add(&Wanted::new(name).run(RunState::Stopped)).await;
    }
    let mut found = h.containers().of_restore(ours).await.unwrap();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(names(&found), [&litter[0], &litter[1]]);
}

/// Whoever looks around sees every container, what restores left too, each after what it depends on, and its project.
pub async fn all_are_listed_under_any_name_with_their_projects(h: &mut dyn Harness) {
    let project = h.name("shop");
    let [web, db, alone] = ["a-web", "m-db", "z-alone"].map(|stem| h.name(stem));
    let litter = retired_name(&web, restore());
    h.add(&Wanted::new(&web).service(&project, "web", "db:service_started:false")).await;
    h.add(&Wanted::new(&db).service(&project, "db", "").run(RunState::Stopped)).await;
    h.add(&Wanted::new(&litter).service(&project, "web", "").run(RunState::Stopped)).await;
    h.add(&Wanted::new(&alone)).await;
    let all = h.containers().all().await.unwrap();
    let ours = [&web, &db, &litter, &alone];
    let seen: Vec<_> = all.iter().filter(|c| ours.contains(&&c.name)).collect();
    assert_eq!(seen.len(), ours.len(), "{:?}", names(&all));
    let place = |name: &String| seen.iter().position(|c| c.name == *name).unwrap();
    assert!(place(&db) < place(&web), "{:?}", names(&all));
    for container in seen {
        let expected = (container.name != alone).then_some(&project);
        assert_eq!(container.project.as_ref(), expected, "{}", container.name);
    }
}

/// Consumers are found whatever their state, on whole path components, and through links on either side.
pub async fn consumers_are_found_above_at_and_below_a_path_in_any_state(h: &mut dyn Harness) {
    let live = h.directory("srv/app");
    let below = h.directory("srv/app/db");
    let above = h.directory("srv");
    let beside = h.directory("srv/app2");
    let alias = h.link("alias", &live);
    let [at, deep, high, other, linked] = ["c1-at", "c2-below", "c3-above", "c4-beside", "c5-link"].map(|s| h.name(s));
    h.add(&Wanted::new(&at).host(&live)).await;
    h.add(&Wanted::new(&deep).host(&below).run(RunState::Stopped)).await;
    h.add(&Wanted::new(&high).host(&above).run(RunState::Paused)).await;
    h.add(&Wanted::new(&other).host(&beside)).await;
    h.add(&Wanted::new(&linked).host(&alias)).await;
    for path in [&live, &alias] {
        let mut found = h.containers().mounting(std::slice::from_ref(path)).await.unwrap();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(names(&found), [&at, &deep, &high, &linked], "mounting {}", path.display());
    }
    assert_eq!(h.containers().mounting(&[]).await.unwrap(), []);
    let found = h.containers().mounting(&[beside]).await.unwrap();
    assert_eq!(found.len(), 2, "the one beside and the one above: {:?}", names(&found));
}

/// Health is told in the order of the names, also of what is gone.
pub async fn health_tells_running_from_down(h: &mut dyn Harness) {
    let [up, down, gone] = ["up", "down", "gone"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&up)).await;
    h.add(&Wanted::new(&down).run(RunState::Stopped)).await;
    let health = h.containers().health(&[gone.clone(), up.clone(), down.clone()]).await.unwrap();
    let states: Vec<(&str, HealthState)> = health.iter().map(|h| (h.name.as_str(), h.state)).collect();
    assert_eq!(states, [(&*gone, HealthState::Down), (&*up, HealthState::Running), (&*down, HealthState::Down)]);
}

/// How a command ended is told with what it said; where it cannot run, that is an error.
pub async fn a_command_runs_in_a_running_container_and_its_end_is_told(h: &mut dyn Harness) {
    let [up, down, gone] = ["up", "down", "gone"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&up)).await;
    h.add(&Wanted::new(&down).run(RunState::Stopped)).await;
    let watch: Watch = Arc::new(Quiet);
    let command = |words| Command { words, env: vec![], timeout: Duration::from_secs(60) };
    for status in [0, 1] {
        let ran = h.containers().exec(&up, &command(h.saying("hello", status)), &watch).await.unwrap();
        assert_eq!((&ran.exit, ran.told.trim()), (&Exit::Status(status), "hello"));
    }
    let missing = command(vec!["/no/such/program".into()]);
    let ran = h.containers().exec(&up, &missing, &watch).await;
    assert!(ran.as_ref().map_or(true, |ran| ran.exit != Exit::Status(0)), "{ran:?}");
    for (name, kind) in [(&down, EngineErrorKind::Conflict), (&gone, EngineErrorKind::NotFound)] {
        let error = h.containers().exec(name, &command(h.saying("hello", 0)), &watch).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(name), "{error}");
    }
}
