//! Making containers anew, starting them again, and discarding what is left.

use std::collections::BTreeMap;

use volsnap_core::model::{
    Condition, Pinned, Redeploy, RestartPolicy, RunState, Shares,
    container::{passing_name, retired_name},
};

use super::{Harness, Place, Wanted, assert_replaced, find, quiesce, recreate, restore, see};

/// Whatever name somebody gave it in the middle: it comes back itself, under its own name, and none is made beside it.
pub async fn a_container_that_was_renamed_is_found_by_its_id(h: &mut dyn Harness) {
    let (name, other) = (h.name("web"), h.name("renamed"));
    h.add(&Wanted::new(&name).policy("always")).await;
    let pinned = quiesce(h, &name).await;
    h.rename(&name, &other).await;
    h.containers().redeploy(restore(), std::slice::from_ref(&pinned), Redeploy::Restart).await.unwrap();
    assert_eq!(h.see(&other).await, None, "it has its own name again");
    let back = see(h, &name).await;
    assert_eq!((&back.id, back.run, back.policy.name.as_str()), (&pinned.container.id, RunState::Running, "always"));
}

/// The replacement is made while the app runs, and nothing starts it.
pub async fn a_prepared_replacement_waits_stopped_and_unrevived(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always")).await;
    let (restore, container) = (restore(), find(h, &name).await);
    h.containers().prepare(restore, &container).await.unwrap();
    let passing = passing_name(&name, restore);
    let made = see(h, &passing).await;
    h.containers().prepare(restore, &container).await.unwrap();
    assert_eq!(see(h, &passing).await, made, "a second call makes nothing");
    assert!(made.policy.is_never());
    assert_eq!(see(h, &name).await.id, container.id, "the app runs on");
    if h.reboot().await {
        assert_eq!(see(h, &passing).await.run, RunState::Stopped);
    }
}

/// Made anew, a container is what it was: name, labels, environment, image, policy and the data of its volumes.
pub async fn recreating_keeps_everything_but_the_old_container(h: &mut dyn Harness) {
    let name = h.name("web");
    let wanted = Wanted {
        env: BTreeMap::from([("COLOUR".into(), "blue".into())]),
        ..Wanted::new(&name).policy("unless-stopped").label("com.docker.compose.config-hash", "abc")
    };
    let wanted = wanted.place(Place::Anonymous, "/cache").place(Place::Volume(h.name("vol")), "/named");
    h.add(&wanted).await;
    h.write(&name, "/cache/file", "kept").await;
    h.write(&name, "/named/file", "kept too").await;
    let before = see(h, &name).await;
    let found = find(h, &name).await;
    let unsupported = |target: &str| found.mounts.iter().find(|m| m.target == target).unwrap().unsupported.is_some();
    assert!(!unsupported("/cache"), "an anonymous volume is a volume like others");
    assert!(!unsupported("/named"));

    let restore = restore();
    h.containers().prepare(restore, &found).await.unwrap();
    let pinned = quiesce(h, &name).await;
    recreate(h, restore, &pinned).await;

    assert_replaced(h, restore, &pinned).await;
    assert_eq!(see(h, &retired_name(&name, restore)).await.id, found.id, "the old one waits");
    h.containers().discard(restore).await.unwrap();
    assert_replaced(h, restore, &pinned).await;
    assert_eq!(h.see(&retired_name(&name, restore)).await, None, "the old one is still there");
    let after = see(h, &name).await;
    assert_eq!((after.labels, after.env), (before.labels, before.env));
    assert_eq!(h.read(&name, "/cache/file").await, "kept");
    assert_eq!(h.read(&name, "/named/file").await, "kept too");
    let again = find(h, &name).await;
    assert_eq!(again.mounts, found.mounts);
    assert_eq!(again.image, found.image);
}

/// Also one without a name, and one that shows a directory of the host: where its data are is seen, whoever uses that
/// directory is found, and the container has the same data again, started or made anew.
pub async fn local_volumes_of_every_kind_are_directories_of_the_host(h: &mut dyn Harness) {
    let name = h.name("web");
    let device = h.directory("device");
    let wanted = Wanted::new(&name).place(Place::Anonymous, "/anonymous");
    h.add(&wanted.place(Place::Showing(h.name("showing"), device.clone()), "/showing")).await;
    h.write(&name, "/anonymous/file", "one").await;
    h.write(&name, "/showing/file", "two").await;
    let found = find(h, &name).await;
    for (target, volume) in [("/anonymous", None), ("/showing", Some(h.name("showing")))] {
        let mount = found.mounts.iter().find(|mount| mount.target == target).unwrap();
        assert_eq!((&mount.unsupported, mount.writable), (&None, true), "{target}");
        assert!(mount.source.is_absolute() && mount.volume.is_some(), "{mount:?}");
        assert!(volume.is_none_or(|volume| mount.volume == Some(volume)), "{mount:?}");
    }
    let showing = found.mounts.iter().find(|mount| mount.target == "/showing").unwrap();
    assert_eq!(showing.source, device, "the data are there, and not where the engine mounts them");
    let users = h.containers().mounting(&[device]).await.unwrap();
    assert_eq!(super::names(&users), [name.as_str()]);
    for how in [Redeploy::Restart, Redeploy::Recreate] {
        let restore = restore();
        let pinned = quiesce(h, &name).await;
        h.containers().redeploy(restore, std::slice::from_ref(&pinned), how).await.unwrap();
        h.containers().discard(restore).await.unwrap();
        assert_eq!(h.read(&name, "/anonymous/file").await, "one", "{how:?}");
        assert_eq!(h.read(&name, "/showing/file").await, "two", "{how:?}");
        assert_eq!(find(h, &name).await.mounts, found.mounts, "{how:?}");
    }
}

/// A second call finds its work done and changes nothing.
pub async fn recreating_twice_is_recreating_once(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always")).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    recreate(h, restore, &pinned).await;
    assert_replaced(h, restore, &pinned).await;
    let once = see(h, &name).await;
    recreate(h, restore, &pinned).await;
    assert_eq!(see(h, &name).await, once);
}

/// Whatever a crash leaves of original and replacement, the next call ends with the app running once.
pub async fn recreating_works_from_every_state_that_a_crash_leaves(h: &mut dyn Harness) {
    for (number, state) in [
        "original",
        "original prepared",
        "retired prepared",
        "retired",
        "retired named",
        "retired started",
        "retired running named",
        "gone prepared",
        "gone named",
        "gone",
        "revived prepared",
    ]
    .iter()
    .enumerate()
    {
        let name = h.name(&format!("web{number}"));
        h.add(&Wanted::new(&name).policy("always").label("state", state)).await;
        let restore = restore();
        let pinned = quiesce(h, &name).await;
        let (passing, retired) = (passing_name(&name, restore), retired_name(&name, restore));
        let has = |word: &str| state.split(' ').any(|w| w == word);
        if has("prepared") || has("named") || has("started") {
            h.containers().prepare(restore, &pinned.container).await.unwrap();
        }
        if has("retired") {
            h.rename(&name, &retired).await;
        }
        if has("gone") {
            h.remove(&name).await;
        }
        if has("running") {
            h.start(&retired).await;
        }
        if has("revived") {
            h.start(&name).await;
        }
        if has("named") || has("started") {
            h.rename(&passing, &name).await;
        }
        if has("started") {
            h.start(&name).await;
        }
        recreate(h, restore, &pinned).await;
        println!("from {state}");
        assert_replaced(h, restore, &pinned).await;
        h.containers().discard(restore).await.unwrap();
        assert_replaced(h, restore, &pinned).await;
        assert_eq!(h.see(&retired).await, None);
        assert_eq!(see(h, &name).await.labels["state"], **state);
    }
}

/// With `restart`, too, a member that vanished is made from its record.
pub async fn a_lost_container_is_made_from_its_record(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).label("made", "once").policy("always")).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    h.remove(&name).await;
    h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart).await.unwrap();
    assert_replaced(h, restore, &pinned).await;
    assert_eq!(see(h, &name).await.labels["made"], "once");
}

/// A replacement that cannot be started does not take the app down, nor its neighbours.
pub async fn a_replacement_that_cannot_start_brings_the_old_one_back(h: &mut dyn Harness) {
    let [broken, well] = ["a-broken", "b-well"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&broken).policy("always")).await;
    h.add(&Wanted::new(&well)).await;
    let restore = restore();
    let mut first = quiesce(h, &broken).await;
    let second = quiesce(h, &well).await;
    h.spoil(&mut first.container);
    for _ in 0..2 {
        let error = h.containers().redeploy(restore, &[first.clone(), second.clone()], Redeploy::Recreate).await;
        assert!(!error.unwrap_err().is_transient());
        let back = see(h, &broken).await;
        assert_eq!((&back.id, back.run, back.policy.name.as_str()), (&first.container.id, RunState::Running, "always"));
        assert_eq!(h.see(&retired_name(&broken, restore)).await, None);
        assert_replaced(h, restore, &second).await;
    }
    h.containers().discard(restore).await.unwrap();
    assert_eq!(h.see(&passing_name(&broken, restore)).await, None);
    assert_eq!(see(h, &broken).await.id, first.container.id);
}

/// `restart` starts the container that is there, also the one that waits under its retired name.
pub async fn restarting_keeps_the_container(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always")).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    let restart = || h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart);
    restart().await.unwrap();
    let now = see(h, &name).await;
    assert_eq!((&now.id, now.run, now.policy.name.as_str()), (&pinned.container.id, RunState::Running, "always"));
    h.rename(&name, &retired_name(&name, restore)).await;
    restart().await.unwrap();
    assert_eq!(see(h, &name).await, now);
}

/// Whoever plugs in later what it lacks finds it as it was: nobody else remembers its policy.
pub async fn a_container_that_cannot_be_started_has_its_policy_back(h: &mut dyn Harness) {
    let name = h.name("broken");
    h.add(&Wanted::new(&name).policy("always")).await;
    let mut pinned = quiesce(h, &name).await;
    h.spoil(&mut pinned.container);
    h.remove(&name).await;
    let restore = restore();
    for _ in 0..2 {
        let error = h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart).await;
        assert!(!error.unwrap_err().is_transient());
        let now = see(h, &name).await;
        assert_eq!((now.run, now.policy.name.as_str()), (RunState::Stopped, "always"));
    }
}

/// Compose's conditions, of the containers that are those services.
pub async fn what_a_container_waits_for_is_shown_by_name(h: &mut dyn Harness) {
    let [project, db, job, web] = ["project", "db", "job", "web"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&db).service(&project, "db", "")).await;
    h.add(&Wanted::new(&job).service(&project, "job", "db:service_started:false")).await;
    let on = "db:service_healthy:false,job:service_completed_successfully:false";
    h.add(&Wanted::new(&web).service(&project, "web", on)).await;
    let found = find(h, &web).await;
    let expected = BTreeMap::from([(db.clone(), Condition::Healthy), (job.clone(), Condition::Completed)]);
    assert_eq!(found.particulars.conditions, expected);
    assert_eq!(find(h, &job).await.particulars.conditions, BTreeMap::new(), "to run is no condition of its own");
}

/// A container that did not run gets its policy back and is not started.
pub async fn what_was_stopped_stays_stopped(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("unless-stopped").run(RunState::Stopped)).await;
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    assert!(see(h, &name).await.policy.is_never());
    for how in [Redeploy::Recreate, Redeploy::Restart] {
        h.containers().redeploy(restore, std::slice::from_ref(&pinned), how).await.unwrap();
        let now = see(h, &name).await;
        assert_eq!((&now.id, now.run), (&pinned.container.id, RunState::Stopped));
        assert_eq!(now.policy.name, "unless-stopped");
    }
}

/// A frozen container is frozen again, made anew or not.
pub async fn what_was_paused_is_paused_again(h: &mut dyn Harness) {
    for (stem, how) in [("anew", Redeploy::Recreate), ("again", Redeploy::Restart)] {
        let name = h.name(stem);
        h.add(&Wanted::new(&name).policy("always").run(RunState::Paused)).await;
        let restore = restore();
        let pinned = quiesce(h, &name).await;
        assert_eq!(pinned.container.run, RunState::Paused);
        for _ in 0..2 {
            h.containers().redeploy(restore, std::slice::from_ref(&pinned), how).await.unwrap();
            let now = see(h, &name).await;
            assert_eq!((now.run, now.policy.name.as_str()), (RunState::Paused, "always"));
            assert_eq!(now.id != pinned.container.id, how == Redeploy::Recreate);
        }
    }
}

/// Containers that do not belong to the workload are fenced and freed, never replaced.
pub async fn a_stranger_gets_its_policy_back_and_is_never_made_anew(h: &mut dyn Harness) {
    let name = h.name("stranger");
    h.add(&Wanted::new(&name).policy("always").run(RunState::Stopped)).await;
    let restore = restore();
    let pinned = Pinned { member: false, ..quiesce(h, &name).await };
    recreate(h, restore, &pinned).await;
    let now = see(h, &name).await;
    assert_eq!((&now.id, now.run, now.policy.name.as_str()), (&pinned.container.id, RunState::Stopped, "always"));
    h.remove(&name).await;
    recreate(h, restore, &pinned).await;
    assert_eq!(h.see(&name).await, None);
}

/// Litter of this restore goes, that of another stays; a retired container gets a free name back; what runs stays.
pub async fn discarding_removes_what_is_ours_and_gives_names_back(h: &mut dyn Harness) {
    let [own, lost, busy] = ["own", "lost", "busy"].map(|stem| h.name(stem));
    let (ours, theirs) = (restore(), restore());
    h.add(&Wanted::new(&own)).await;
    let stopped = |name: String| Wanted::new(&name).run(RunState::Stopped);
    h.add(&stopped(passing_name(&own, ours))).await;
    h.add(&stopped(retired_name(&own, ours))).await;
    h.add(&stopped(passing_name(&own, theirs))).await;
    h.add(&stopped(retired_name(&lost, ours)).label("was", "lost")).await;
    h.add(&Wanted::new(&passing_name(&busy, ours))).await;
    for _ in 0..2 {
        h.containers().discard(ours).await.unwrap();
        assert_eq!(see(h, &own).await.run, RunState::Running);
        assert_eq!(h.see(&passing_name(&own, ours)).await, None);
        assert_eq!(h.see(&retired_name(&own, ours)).await, None);
        assert!(h.see(&passing_name(&own, theirs)).await.is_some());
        assert_eq!(see(h, &lost).await.labels["was"], "lost");
        assert_eq!(see(h, &passing_name(&busy, ours)).await.run, RunState::Running);
    }
}

/// Whatever became of the replacement, `restart` brings the original back, with all that is in its own layer.
pub async fn the_way_back_from_a_replacement_leads_to_the_original(h: &mut dyn Harness) {
    for (number, state) in ["started", "named", "between the names", "nameless"].iter().enumerate() {
        let name = h.name(&format!("web{number}"));
        h.add(&Wanted::new(&name).policy("always")).await;
        h.scribble(&name, "/tmp/mine").await;
        let restore = restore();
        let pinned = quiesce(h, &name).await;
        recreate(h, restore, &pinned).await;
        let (passing, retired) = (passing_name(&name, restore), retired_name(&name, restore));
        match *state {
            "started" => assert!(!h.scribbled(&name, "/tmp/mine").await),
            "named" => {
                let new = see(h, &name).await.id;
                h.containers().set_restart_policy(&new, &RestartPolicy::never()).await.unwrap();
                h.containers().stop(&[new]).await.unwrap();
            }
            // A crash of an earlier attempt to go back.
            "between the names" => h.rename(&name, &passing).await,
            "nameless" => h.remove(&name).await,
            other => panic!("{other}"),
        }
        for _ in 0..2 {
            h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart).await.unwrap();
            let now = see(h, &name).await;
            let found = (&now.id, now.run, now.policy.name.as_str());
            assert_eq!(found, (&pinned.container.id, RunState::Running, "always"), "from {state}");
            assert_eq!(h.see(&retired).await, None, "from {state}");
        }
        assert!(h.scribbled(&name, "/tmp/mine").await, "from {state}");
        for left in h.containers().of_restore(restore).await.unwrap() {
            h.containers().stop(&[left.id]).await.unwrap();
        }
        h.containers().discard(restore).await.unwrap();
        assert_eq!(h.see(&passing).await, None, "from {state}");
        assert_eq!(see(h, &name).await.id, pinned.container.id);
    }
}

/// References by id are to whoever has the other's place, prepared before or not, and on the way back to the original.
pub async fn what_refers_to_a_replaced_container_follows_it(h: &mut dyn Harness) {
    for (number, prepared) in [true, false].into_iter().enumerate() {
        // By name the one that uses would come first.
        let [owner, user] = ["z-owner", "a-user"].map(|stem| h.name(&format!("{stem}{number}")));
        h.add(&Wanted::new(&owner).place(Place::Volume(h.name(&format!("shared{number}"))), "/shared")).await;
        h.add(&Wanted::new(&user).uses(Shares::Network, &owner).uses(Shares::Volumes, &owner)).await;
        let found = h.containers().find(&super::by_name(&[&owner, &user])).await.unwrap();
        assert_eq!(super::names(&found), [&owner, &user], "each comes after what it uses");
        for round in 0..2 {
            let restore = restore();
            let found = h.containers().find(&super::by_name(&[&owner, &user])).await.unwrap();
            let peers = &found[1].particulars.peers;
            assert!(peers.iter().all(|peer| peer.name == owner && !peer.by_name), "{peers:?}");
            if prepared {
                for container in &found {
                    h.containers().prepare(restore, container).await.unwrap();
                }
            }
            let pinned = [quiesce(h, &owner).await, quiesce(h, &user).await];
            // Asked for is the first alone: the other one cannot stay.
            h.containers().redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
            for pinned in &pinned {
                assert_replaced(h, restore, pinned).await;
            }
            assert_eq!(find(h, &user).await.particulars, pinned[1].container.particulars, "round {round}");
            // Going back, and forward again.
            h.containers().redeploy(restore, &pinned, Redeploy::Restart).await.unwrap();
            for Pinned { container, .. } in &pinned {
                let now = see(h, &container.name).await;
                assert_eq!((&now.id, now.run), (&container.id, RunState::Running));
            }
            h.containers().stop(&[pinned[1].container.id.clone(), pinned[0].container.id.clone()]).await.unwrap();
            h.containers().redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
            h.containers().discard(restore).await.unwrap();
            for pinned in &pinned {
                assert_replaced(h, restore, pinned).await;
            }
        }
    }
}

/// One that is to be started again and whose other is gone is made anew for the one that takes its place.
pub async fn what_refers_to_a_lost_container_comes_back_with_it(h: &mut dyn Harness) {
    let [owner, user] = ["z-owner", "a-user"].map(|stem| h.name(stem));
    h.add(&Wanted::new(&owner)).await;
    h.add(&Wanted::new(&user).uses(Shares::Network, &owner)).await;
    let restore = restore();
    let pinned = [quiesce(h, &owner).await, quiesce(h, &user).await];
    if !h.lose(&owner).await {
        // Then nothing can be lost either: both are there, and are started.
        h.containers().redeploy(restore, &pinned, Redeploy::Restart).await.unwrap();
        for Pinned { container, .. } in &pinned {
            let now = see(h, &container.name).await;
            assert_eq!((&now.id, now.run), (&container.id, RunState::Running));
        }
        return;
    }
    for _ in 0..2 {
        h.containers().redeploy(restore, &pinned, Redeploy::Restart).await.unwrap();
        for pinned in &pinned {
            assert_replaced(h, restore, pinned).await;
        }
    }
    assert_eq!(find(h, &user).await.particulars, pinned[1].container.particulars);
}

/// A record of another image makes the container anew, also where it is only to be started again; and the way back.
pub async fn a_container_comes_back_with_the_image_that_is_asked_for(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).policy("always").label("mine", "kept")).await;
    let other = h.another_image(&name).await;
    assert!(h.containers().has_image(&other).await.unwrap());
    assert!(
        !h.containers()
            .has_image("sha256:0000000000000000000000000000000000000000000000000000000000000000")
            .await
            .unwrap()
    );
    let restore = restore();
    let pinned = quiesce(h, &name).await;
    let asked = Pinned {
        container: volsnap_core::model::Container { image_id: other.clone(), ..pinned.container.clone() },
        member: true,
    };
    for _ in 0..2 {
        h.containers().redeploy(restore, std::slice::from_ref(&asked), Redeploy::Restart).await.unwrap();
        assert_replaced(h, restore, &asked).await;
        assert_eq!(see(h, &name).await.labels["mine"], "kept");
    }
    h.containers().redeploy(restore, std::slice::from_ref(&pinned), Redeploy::Restart).await.unwrap();
    let now = see(h, &name).await;
    assert_eq!(
        (&now.id, &now.image_id, now.run),
        (&pinned.container.id, &pinned.container.image_id, RunState::Running)
    );
}

/// What is in its own layer is named, and where its anonymous volumes are; a mount hides what is below it.
pub async fn what_a_container_would_lose_is_told(h: &mut dyn Harness) {
    let name = h.name("web");
    h.add(&Wanted::new(&name).place(Place::Anonymous, "/cache").place(Place::Volume(h.name("vol")), "/named")).await;
    let id = find(h, &name).await.id;
    let before = h.containers().losses(&id).await.unwrap();
    assert_eq!((before.changes, before.anonymous, before.log), (0, vec!["/cache".to_string()], true));
    h.scribble(&name, "/tmp/mine").await;
    h.write(&name, "/named/file", "in a volume").await;
    let lost = h.containers().losses(&id).await.unwrap();
    assert_eq!((lost.changes, lost.first), (1, vec!["/tmp/mine".to_string()]));
    h.remove(&name).await;
    let gone = h.containers().losses(&id).await.unwrap_err();
    assert_eq!(gone.kind, volsnap_core::ports::EngineErrorKind::NotFound);
}
