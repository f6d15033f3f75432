//! What is refused, noted and made anew of containers.

use super::*;

fn image(container: &str, content: &str) -> ImageRef {
    ImageRef { container: container.into(), service: None, image: "shop:latest".into(), image_id: content.into() }
}

fn peer(name: &str, shares: Shares, by_name: bool) -> Peer {
    Peer { name: name.into(), shares, by_name }
}

/// The situation with these containers as members; every one is to be made anew.
fn recreating(members: Vec<Container>) -> Situation {
    let options = Options { redeploy: Redeploy::Recreate, ..Options::default() };
    Situation { consumers: members.clone(), members, options, ..situation() }
}

fn using(name: &str, run: RunState, peers: Vec<Peer>) -> Container {
    let mut container = container(name, run);
    container.particulars.peers = peers;
    container
}

#[test]
fn a_plan_says_what_goes_with_a_container_that_is_made_anew() {
    let losses = Losses {
        changes: 2,
        first: vec!["/etc/app".into()],
        log: true,
        anonymous: vec!["/cache".into()],
        other_addresses: false,
    };
    let mut s = recreating(vec![container("shop", RunState::Running), container("idle", RunState::Stopped)]);
    s.losses = BTreeMap::from([("shop".to_string(), Ok(losses.clone()))]);
    let made = plan(&s);
    assert_eq!(made.containers[0].loses, Some(losses.clone()));
    assert_eq!((made.containers[1].action.as_str(), &made.containers[1].loses), ("leave stopped", &None));
    s.options.redeploy = Redeploy::Restart;
    let made = plan(&s);
    assert_eq!((made.containers[0].action.as_str(), &made.containers[0].loses), ("stop and start", &None));
    s.members[0].particulars.removes_itself = true;
    assert_eq!(plan(&s).containers[0].loses, Some(losses), "the engine removes it when it is stopped");
    s.losses = BTreeMap::from([("shop".to_string(), Err("no such call".to_string()))]);
    assert!(plan(&s).warnings.iter().any(|w| w.contains("shop") && w.contains("no such call")));
}

#[test]
fn a_container_outside_that_would_lose_a_member_is_refused_before_anything_is_touched() {
    for shares in [Shares::Network, Shares::Ipc, Shares::Pid, Shares::Link] {
        let mut s = recreating(vec![container("shop", RunState::Running)]);
        s.others = vec![using("outside", RunState::Running, vec![peer("shop", shares, false)])];
        let refusals = plan(&s).refusals;
        assert!(refusals[0].message.contains("outside") && refusals[0].message.contains("shop"), "{refusals:?}");
        assert!(refusals[0].hint.contains("--redeploy restart"), "{refusals:?}");
        s.options.redeploy = Redeploy::Restart;
        assert_eq!(plan(&s).refusals, [], "it keeps what it has of a container that stays");
        s.options.redeploy = Redeploy::Recreate;
        s.others[0].particulars.peers[0].by_name = true;
        assert_eq!(plan(&s).refusals, [], "by its name it finds the new one");
    }
    let mut s = recreating(vec![container("shop", RunState::Running)]);
    s.others = vec![using("outside", RunState::Running, vec![peer("shop", Shares::Volumes, false)])];
    let made = plan(&s);
    assert_eq!(made.refusals, []);
    assert!(made.warnings[0].contains("outside") && made.warnings[0].contains("--volumes-from"), "{:?}", made.warnings);
}

#[test]
fn a_member_that_refers_to_one_that_is_made_anew_is_made_anew_or_named() {
    let mut s = recreating(vec![
        container("vpn", RunState::Running),
        using("app", RunState::Running, vec![peer("vpn", Shares::Network, false)]),
        using("log", RunState::Running, vec![peer("app", Shares::Pid, false)]),
        container("apart", RunState::Running),
        using("idle", RunState::Stopped, vec![peer("vpn", Shares::Network, false)]),
    ]);
    s.options = Options { redeploy: Redeploy::Restart, image: ImageChoice::Snapshot, ..Options::default() };
    s.snapshot.archive.manifest.images =
        s.members.iter().map(|m| image(&m.name, if m.name == "vpn" { "sha256:then" } else { &m.image_id })).collect();
    let made = plan(&s);
    let actions: Vec<&str> = made.containers.iter().map(|c| c.action.as_str()).collect();
    let anew = "stop and recreate";
    assert_eq!(actions, [anew, anew, anew, "stop and start", "leave stopped"]);
    assert!(made.refusals[0].message.contains("idle, which does not run"), "{:?}", made.refusals);
    assert_eq!(made.wanted(&s.members[0]).image_id, "sha256:then");
    assert_eq!(made.wanted(&s.members[1]), s.members[1]);
}

#[test]
fn images_are_compared_with_the_snapshots() {
    let mut s = situation();
    s.snapshot.archive.manifest.images = vec![image("shop", "sha256:0123456789abcdef")];
    let made = plan(&s);
    assert!(!made.images[0].is_same());
    assert!(made.warnings[0].contains("0123456789ab") && made.warnings[0].contains("--image snapshot"), "{made:?}");
    s.options.image = ImageChoice::Snapshot;
    s.options.redeploy = Redeploy::Restart;
    let made = plan(&s);
    assert_eq!((&made.warnings, &made.refusals), (&vec![], &vec![]));
    assert_eq!(made.containers[0].action, "stop and recreate");
    s.images_gone.insert("sha256:0123456789abcdef".into());
    let refusals = plan(&s).refusals;
    assert!(refusals[0].message.contains("shop:latest (0123456789ab)"), "{refusals:?}");
    s.members[0].run = RunState::Stopped;
    let made = plan(&s);
    assert!(made.warnings[0].contains("does not run and keeps its image"), "{:?}", made.warnings);
    assert_eq!(made.refusals, [], "nothing is to be brought back");
    s.snapshot.archive.manifest.images = vec![image("shop", &s.members[0].image_id)];
    assert_eq!(plan(&s).warnings, Vec::<String>::new());
}

#[test]
fn an_image_is_known_by_the_service_of_a_container_that_has_another_name_now() {
    let of = |container: &str, service: Option<&str>, content: &str| ImageRef {
        service: service.map(Into::into),
        ..image(container, content)
    };
    for (then, known) in [
        (vec![of("shop_db_1", Some("db"), "sha256:15")], Some("sha256:15")),
        // As earlier versions wrote it down: compose joined the same words by another sign.
        (vec![of("shop_db_1", None, "sha256:15")], Some("sha256:15")),
        (vec![of("shop_db_1", Some("db"), "sha256:15"), of("shop_db_2", Some("db"), "sha256:15")], Some("sha256:15")),
        (vec![of("shop_db_1", Some("db"), "sha256:15"), of("shop_db_2", Some("db"), "sha256:14")], None),
        (vec![of("shop_web_1", Some("web"), "sha256:15")], None),
        (vec![of("shop_db_1", Some("db"), "sha256:14"), of("shop-db-1", Some("db"), "sha256:15")], Some("sha256:15")),
    ] {
        let mut s = situation();
        s.snapshot.archive.manifest.images.clone_from(&then);
        s.members[0].name = "shop-db-1".into();
        s.members[0].service = Some("db".into());
        s.consumers[0].name = "shop-db-1".into();
        let images = plan(&s).images;
        assert_eq!(images.first().map(|image| image.snapshot.as_str()), known, "{then:?}");
    }
}

fn one_off() -> Container {
    let particulars = Particulars { is_one_off: true, ..Particulars::default() };
    Container { particulars, ..container("shop_web_run_1", RunState::Running) }
}

#[test]
fn a_one_off_container_at_work_is_stopped_only_where_that_is_wanted_and_one_that_ended_is_no_matter() {
    refused(|s| s.members.push(one_off()), "shop_web_run_1 runs one command");
    let action = |plan: &volsnap_core::restore::Plan| {
        plan.containers.iter().find(|c| c.name == "shop_web_run_1").map(|c| c.action.clone())
    };
    let stopped = accepted(|s| {
        s.members.push(one_off());
        s.options.stop_one_offs = true;
    });
    assert_eq!(action(&stopped).as_deref(), Some("stop for good"));
    let ended = accepted(|s| s.members.push(Container { run: RunState::Stopped, ..one_off() }));
    assert_eq!(action(&ended), None);
}

#[test]
fn a_task_of_an_orchestrator_is_refused_member_or_not() {
    let particulars = Particulars { orchestrator: Some("web".into()), ..Particulars::default() };
    let task = || Container { particulars: particulars.clone(), ..container("web.1", RunState::Running) };
    refused(|s| s.members.push(task()), "web.1 is a task of the Swarm service web");
    refused(|s| s.consumers.push(task()), "web.1 is a task of the Swarm service web");
    accepted(|s| s.members.push(Container { run: RunState::Stopped, ..task() }));
}

#[test]
fn who_only_looks_on_is_a_note_and_who_was_not_asked_is_a_warning() {
    let plan = accepted(|s| s.onlookers.push("monitor".into()));
    assert!(plan.warnings.is_empty() && plan.notes[0].contains("monitor"), "{plan:?}");
    let plan = accepted(|s| s.silence = Some("no answer".into()));
    assert!(plan.warnings[0].contains("is not known (no answer)"), "{plan:?}");
}

#[test]
fn who_uses_a_members_network_is_named_and_started_again_unless_that_destroys_it() {
    let peer = Peer { name: "shop".into(), shares: Shares::Network, by_name: false };
    let outsider = |particulars| (Container { particulars, ..container("vpn", RunState::Running) }, peer.clone());
    let restart = Options { redeploy: Redeploy::Restart, ..Options::default() };
    let plan = accepted(|s| {
        s.options = restart;
        s.dependants.push(outsider(Particulars::default()));
    });
    assert_eq!(plan.dependants, ["vpn"]);
    assert!(plan.notes[0].contains("vpn uses the network of shop"), "{:?}", plan.notes);
    let plan = accepted(|s| {
        s.options = restart;
        s.dependants.push(outsider(Particulars { removes_itself: true, ..Particulars::default() }));
    });
    assert!(plan.dependants.is_empty() && plan.warnings[0].contains("vpn uses the network of shop"), "{plan:?}");
    let plan = accepted(|s| {
        s.options = Options { redeploy: Redeploy::Recreate, ..Options::default() };
        s.members[0].run = RunState::Running;
        s.dependants.push(outsider(Particulars::default()));
    });
    assert!(plan.dependants.is_empty() && plan.warnings[0].contains("container that is replaced"), "{plan:?}");
}

#[test]
fn what_removes_itself_is_made_anew_also_where_containers_are_started_again() {
    let plan = accepted(|s| {
        s.options.redeploy = Redeploy::Restart;
        s.members[0].run = RunState::Running;
        s.members[0].particulars.removes_itself = true;
    });
    assert_eq!(plan.containers[0].action, "stop and recreate");
}
