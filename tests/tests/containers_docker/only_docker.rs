//! What only a Docker Engine has, and must survive.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use uuid::Uuid;
use volsnap_core::{
    model::{
        Redeploy, RestoreId,
        container::{passing_name, retired_name},
    },
    ports::{Containers, HealthState},
};
use volsnap_tests::{
    contracts::containers::Harness,
    private_engine::{FOREVER, Program, Run},
};

use crate::harness::DockerHarness;

fn restore() -> RestoreId {
    RestoreId(Uuid::now_v7())
}

/// A call of the engine's API that the docker command would not make: a newer one refuses what an older engine can do.
pub fn post(socket: &Path, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The environment that it was given: Podman has a variable with the name that comes from its id, and orders them anew.
pub fn environment(seen: &Value) -> Value {
    let own = format!("HOSTNAME={}", seen["Config"]["Hostname"].as_str().unwrap_or_default());
    let variables = seen["Config"]["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut variables: Vec<&str> = variables.filter(|variable| *variable != own).collect();
    variables.sort_unstable();
    json!(variables)
}

/// What Docker made by itself, and what a test cannot compare.
fn comparable(mut seen: Value) -> Value {
    let id = seen["Id"].as_str().unwrap().to_string();
    assert_eq!(seen["Config"]["Hostname"], json!(id[..12]), "the hostname is that of the container's own id");
    let mut mounts = seen["Mounts"].as_array().cloned().unwrap_or_default();
    mounts.sort_by_key(|mount| mount["Destination"].as_str().unwrap().to_string());
    for mount in &mut mounts {
        // How it was asked for: by name instead of without one.
        mount["Mode"] = Value::Null;
    }
    seen["HostConfig"]["Binds"] = Value::Null;
    seen["Config"]["Env"] = environment(&seen);
    seen["Config"]["Hostname"] = Value::Null;
    // An absent list and an empty one are the same to Docker.
    for part in ["HostConfig", "Config"] {
        for (_, value) in seen[part].as_object_mut().unwrap() {
            if *value == json!([]) || *value == json!({}) {
                *value = Value::Null;
            }
        }
    }
    json!({"Config": seen["Config"], "HostConfig": seen["HostConfig"], "Mounts": mounts, "Image": seen["Image"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_a_container_survives_its_recreation() {
    let Some(h) = DockerHarness::new("every_option_of_a_container_survives_its_recreation").await else { return };
    let name = h.name("web");
    let options = [
        "--user=0:0",
        "--workdir=/tmp",
        "--env=A=1",
        "--label=l=1",
        "--tty",
        "--interactive",
        "--init=false",
        "--read-only",
        "--tmpfs=/run:size=1m",
        "--cap-add=SYS_NICE",
        "--cap-drop=CHOWN",
        "--memory=64m",
        "--cpus=0.5",
        "--pids-limit=50",
        "--ulimit=nofile=100:200",
        "--shm-size=1m",
        "--stop-signal=TERM",
        "--health-cmd=true",
        "--health-interval=1s",
        "--log-opt=max-size=1m",
        "--add-host=other:10.0.0.1",
        "--dns=10.0.0.2",
        "--expose=80",
        "--security-opt=no-new-privileges",
        "--oom-score-adj=10",
        "--group-add=7",
        "--sysctl=kernel.msgmax=8192",
        "--device=/dev/null:/dev/zilch",
        "--mount=type=volume,target=/scratch",
    ];
    h.engine.run(&Run {
        name: &name,
        image: &h.image,
        volumes: vec![
            format!("{}:/conf:ro", h.directory("conf").display()),
            format!("{}:/data", h.name("data")),
            "/cache".into(),
        ],
        restart: "on-failure:5",
        options: options.map(String::from).to_vec(),
        ..Run::default()
    });
    let before = comparable(h.json(&name));
    let restore = restore();
    let pinned = h.quiesce(restore, &[&name]).await;
    h.port.redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
    let after = h.json(&name);
    assert_ne!(after["Id"].as_str().unwrap(), pinned[0].container.id.0);
    let mut after = comparable(after);
    // Its source has a name now, and it is not filled from the image.
    if let Some(mounts) = before["HostConfig"].get("Mounts") {
        after["HostConfig"]["Mounts"] = mounts.clone();
    }
    for key in ["Config", "HostConfig", "Mounts", "Image"] {
        assert_eq!(after[key], before[key], "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_aliases_and_addresses_survive_a_recreation() {
    let Some(h) = DockerHarness::new("networks_aliases_and_addresses_survive_a_recreation").await else { return };
    let [front, back] = ["front", "back"].map(|stem| h.name(stem));
    let octet = h.engine.prefix().bytes().fold(0_u8, u8::wrapping_add);
    let subnet = |third: u8| format!("10.{octet}.{third}");
    let made = h
        .engine
        .try_docker(&["network", "create", "--internal", "--subnet", &format!("{}.0/24", subnet(1)), &front])
        .and_then(|_| {
            h.engine.try_docker(&["network", "create", "--internal", "--subnet", &format!("{}.0/24", subnet(2)), &back])
        });
    if let Err(why) = made {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no bridge network: {why}");
        println!("skipped networks_aliases_and_addresses_survive_a_recreation: no bridge network: {why}");
        return;
    }
    let name = h.name("web");
    let mac = "02:00:00:00:00:07";
    let endpoint = json!({"IPAMConfig": {"IPv4Address": format!("{}.7", subnet(1))}, "Aliases": ["www"]});
    let mut body = json!({
        "Image": h.image, "Cmd": ["sh", "-c", FOREVER], "StopTimeout": 1, "HostConfig": {"NetworkMode": front},
        "NetworkingConfig": {"EndpointsConfig": {front.clone(): endpoint}}
    });
    let version = h.engine.docker(&["version", "--format", "{{.Server.APIVersion}}"]);
    let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    match minor < 44 {
        true => body["MacAddress"] = json!(mac),
        false => body["NetworkingConfig"]["EndpointsConfig"][&front]["MacAddress"] = json!(mac),
    }
    let answer = post(&h.engine.socket(), &format!("/v{version}/containers/create?name={name}"), &body);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    h.engine.docker(&["network", "connect", "--alias=api", "--ip", &format!("{}.9", subnet(2)), &back, &name]);
    h.engine.docker(&["start", &name]);
    let networks = |seen: &Value| -> BTreeMap<String, (Value, Value, Vec<String>)> {
        let short = seen["Id"].as_str().unwrap()[..12].to_string();
        let networks = seen["NetworkSettings"]["Networks"].as_object().unwrap();
        let aliases = |endpoint: &Value| {
            let all = endpoint["Aliases"].as_array().into_iter().flatten().map(|a| a.as_str().unwrap().to_string());
            all.filter(|alias| *alias != short).collect()
        };
        networks
            .iter()
            .map(|(name, e)| (name.clone(), (e["IPAddress"].clone(), e["MacAddress"].clone(), aliases(e))))
            .collect()
    };
    let before = networks(&h.json(&name));
    assert_eq!(before[&front].1, mac);
    let restore = restore();
    let losses = h.port.losses(&h.find(&name).await.id).await.unwrap();
    assert_eq!(losses.other_addresses, h.engine.program() == Program::Podman);
    let pinned = h.quiesce(restore, &[&name]).await;
    h.port.redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
    let after = h.json(&name);
    match h.engine.program() {
        Program::Docker => assert_eq!(networks(&after), before),
        // It does not show which addresses were chosen; whoever has it made anew is told.
        Program::Podman => {
            let aliases = |networks: BTreeMap<String, (Value, Value, Vec<String>)>| -> Vec<(String, Vec<String>)> {
                networks.into_iter().map(|(name, (_, _, aliases))| (name, aliases)).collect()
            };
            assert_eq!(aliases(networks(&after)), aliases(before));
        }
    }
    let old = &pinned[0].container.id.0[..12];
    assert!(!after["NetworkSettings"].to_string().contains(old), "the old id is still an alias");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_uses_the_network_of_another_follows_it() {
    let Some(h) = DockerHarness::new("a_container_that_uses_the_network_of_another_follows_it").await else { return };
    // By name the user of the network would come first.
    let [vpn, app] = ["z-vpn", "a-app"].map(|stem| h.name(stem));
    h.engine.run(&Run { name: &vpn, image: &h.image, ..Run::default() });
    let network = format!("--network=container:{vpn}");
    h.engine.run(&Run { name: &app, image: &h.image, options: vec![network], ..Run::default() });
    // Podman loses none that another one refers to.
    let can_be_lost = h.engine.program() == Program::Docker;
    for prepared in [true, false].into_iter().filter(|prepared| *prepared || can_be_lost) {
        let restore = restore();
        let pinned = h.quiesce(restore, &[&app, &vpn]).await;
        assert_eq!(pinned[0].container.name, vpn);
        assert_eq!(pinned[1].container.depends_on, std::slice::from_ref(&vpn));
        let made = |name: &str| h.json(&passing_name(name, restore))["Id"].as_str().unwrap().to_string();
        let prepared_app = made(&app);
        let reference = h.json(&prepared_app)["HostConfig"]["NetworkMode"].clone();
        assert_eq!(reference, format!("container:{}", made(&vpn)), "it is made for the other's replacement");
        if !prepared {
            // A crash between the two, after which the engine lost one of them: the other's reference leads nowhere.
            h.remove(&passing_name(&vpn, restore)).await;
        }
        h.port.redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
        let now = h.json(&vpn)["Id"].as_str().unwrap().to_string();
        assert_ne!(now, pinned[0].container.id.0);
        assert_eq!(h.json(&app)["HostConfig"]["NetworkMode"], format!("container:{now}"));
        assert_eq!(h.json(&app)["State"]["Status"], "running");
        assert_eq!(h.json(&app)["Id"] == json!(prepared_app), prepared, "what was prepared is used if it still fits");
        h.port.discard(restore).await.unwrap();
        let left = h.engine.names();
        assert_eq!(left.iter().filter(|name| name.contains(".volsnap-")).count(), 0, "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_container_and_the_new_one_never_run_at_the_same_time() {
    let Some(h) = DockerHarness::new("the_old_container_and_the_new_one_never_run_at_the_same_time").await else {
        return;
    };
    for (stem, retired) in [("revived-under-its-own-name", false), ("revived-after-it-was-retired", true)] {
        let name = h.name(stem);
        h.engine.run(&Run { name: &name, image: &h.image, ..Run::default() });
        let restore = restore();
        let pinned = h.quiesce(restore, &[&name]).await;
        if retired {
            h.rename(&name, &retired_name(&name, restore)).await;
        }
        let old = pinned[0].container.id.0.clone();
        h.start(&old).await;
        h.port.redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
        let new = h.json(&name)["Id"].as_str().unwrap().to_string();
        // A moment ahead, for which the engine waits: all that happened is in.
        let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 2;
        let events = h.engine.docker(&[
            "events",
            "--since=0",
            &format!("--until={until}"),
            "--filter=event=start",
            "--filter=event=die",
            "--format={{.Action}} {{.Actor.ID}}",
        ]);
        let lines: Vec<&str> = events.lines().collect();
        let last = |event: String| lines.iter().rposition(|line| *line == event).unwrap_or_else(|| panic!("{events}"));
        assert!(last(format!("die {old}")) < last(format!("start {new}")), "{stem}: {events}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_removes_itself_comes_back() {
    let Some(h) = DockerHarness::new("a_container_that_removes_itself_comes_back").await else { return };
    let name = h.name("rm");
    h.engine.run(&Run { name: &name, image: &h.image, options: vec!["--rm".into()], ..Run::default() });
    let restore = restore();
    let pinned = h.quiesce(restore, &[&name]).await;
    assert!(!h.engine.exists(&name), "it was to vanish when it stopped");
    for _ in 0..2 {
        h.port.redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
        let now = h.json(&name);
        assert_eq!((&now["State"]["Status"], &now["HostConfig"]["AutoRemove"]), (&json!("running"), &json!(true)));
        assert!(!h.engine.exists(&retired_name(&name, restore)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_content_runs_although_its_tag_moved() {
    let Some(h) = DockerHarness::new("the_recorded_content_runs_although_its_tag_moved").await else { return };
    let name = h.name("web");
    let tag = format!("{}:latest", h.name("app"));
    h.engine.docker(&["tag", &h.image, &tag]);
    h.engine.run(&Run { name: &name, image: &tag, ..Run::default() });
    let before = h.json(&name)["Image"].clone();
    // The same files and another time: another content.
    h.engine.docker(&["commit", "--change", "LABEL newer=1", &name, &tag]);
    let restore = restore();
    let pinned = h.quiesce(restore, &[&name]).await;
    // Podman puts the registry before it.
    assert!(pinned[0].container.image.ends_with(&tag), "{}", pinned[0].container.image);
    h.port.redeploy(restore, &pinned, Redeploy::Recreate).await.unwrap();
    let after = h.json(&name);
    assert_eq!(after["Image"], before);
    assert_eq!(after["Config"]["Labels"]["newer"], Value::Null);
    h.remove(&name).await;
    h.engine.docker(&["rmi", &tag]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_writes_nothing_into_an_empty_volume() {
    let Some(h) = DockerHarness::new("a_replacement_writes_nothing_into_an_empty_volume").await else { return };
    let name = h.name("web");
    // The image has files at /bin, with which Docker fills an empty volume there when it makes a container.
    let volume = h.name("vol");
    let script = "/data/busybox sleep 3600";
    h.engine.run(&Run {
        name: &name,
        image: &h.image,
        volumes: vec![format!("{volume}:/bin")],
        script,
        created_only: true,
        ..Run::default()
    });
    let root = PathBuf::from(h.engine.docker(&["volume", "inspect", "--format", "{{.Mountpoint}}", &volume]));
    if h.engine.program() == Program::Podman {
        // It fills a volume when it is mounted for the first time, never when a container is made.
        assert!(!root.join("busybox").exists());
        return;
    }
    assert!(root.join("busybox").exists(), "this engine does not fill volumes, and the test proves nothing");
    for entry in fs::read_dir(&root).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let container = h.find(&name).await;
    h.port.prepare(restore(), &container).await.unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_that_are_no_directories_are_said_so() {
    let Some(h) = DockerHarness::new("mounts_that_are_no_directories_are_said_so").await else { return };
    let name = h.name("web");
    let file = h.dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let device = h.directory("behind");
    let bound = h.name("bound");
    let device_option = format!("device={}", device.display());
    h.engine.docker(&["volume", "create", "--opt=type=none", "--opt=o=bind", "--opt", &device_option, &bound]);
    let memory = h.name("memory");
    h.engine.docker(&["volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs", &memory]);
    h.engine.run(&Run {
        name: &name,
        image: &h.image,
        volumes: vec![
            format!("{memory}:/memory"),
            format!("{}:/file", file.display()),
            format!("{}:/socket", h.engine.socket().display()),
            format!("{}:/dir:ro", h.directory("dir").display()),
            format!("{}:/named", h.name("named")),
            format!("{bound}:/bound"),
            "/anonymous".into(),
        ],
        options: vec!["--mount=type=tmpfs,target=/mem".into()],
        ..Run::default()
    });
    let found = h.find(&name).await;
    let mounts: BTreeMap<&str, _> = found.mounts.iter().map(|m| (m.target.as_str(), m)).collect();
    let reason = |target: &str| mounts[target].unsupported.clone().unwrap_or_default();
    assert!(reason("/file").starts_with("a single file"), "{}", reason("/file"));
    assert_eq!(reason("/socket"), "a socket");
    assert_eq!((reason("/anonymous"), mounts["/anonymous"].writable), (String::new(), true));
    assert_eq!((reason("/bound"), &mounts["/bound"].source), (String::new(), &device), "the directory behind it");
    assert_eq!(reason("/memory"), format!("volume {memory} is held in memory"));
    assert_eq!(reason("/mem"), "held in memory");
    assert_eq!((reason("/dir"), mounts["/dir"].writable), (String::new(), false));
    assert_eq!((reason("/named"), mounts["/named"].writable), (String::new(), true));
    assert_eq!(mounts["/named"].volume, Some(h.name("named")));
    let consumers = h.port.mounting(&[device]).await.unwrap();
    assert_eq!(consumers.len(), 1, "the directory behind a volume is used as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_as_long_as_the_container_asked_and_uses_its_signal() {
    let Some(h) = DockerHarness::new("a_stop_waits_as_long_as_the_container_asked_and_uses_its_signal").await else {
        return;
    };
    let name = h.name("slow");
    let data = h.directory("data");
    h.engine.run(&Run {
        name: &name,
        image: &h.image,
        volumes: vec![format!("{}:/data", data.display())],
        options: vec!["--stop-signal=QUIT".into(), "--stop-timeout=20".into()],
        script: "trap 'sleep 2; echo quit > /data/end; exit 0' QUIT; touch /data/up; while :; do sleep 0.1; done",
        ..Run::default()
    });
    while !data.join("up").exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = h.find(&name).await.id;
    h.port.stop(&[id]).await.unwrap();
    assert_eq!(fs::read_to_string(data.join("end")).unwrap().trim(), "quit");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_tells_its_version_and_root() {
    let Some(h) = DockerHarness::new("the_engine_tells_its_version_and_root").await else { return };
    let info = h.port.info().await.unwrap();
    let (name, kept) = match h.engine.program() {
        Program::Docker => ("Docker Engine", "containers"),
        Program::Podman => ("Podman", "overlay-containers"),
    };
    let version = h.engine.docker(&["info", "--format", "{{.ServerVersion}}"]);
    assert_eq!(info.version, format!("{name} {version}"));
    assert_eq!(h.port.info().await.unwrap().id, info.id, "it is the same engine at each call");
    if h.engine.is_private() {
        let root = info.root.unwrap();
        assert!(root.join(kept).is_dir(), "{}", root.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_went_away_is_unreachable_and_comes_back() {
    let Some(mut h) = DockerHarness::new("an_engine_that_went_away_is_unreachable_and_comes_back").await else {
        return;
    };
    if !h.engine.is_private() {
        return;
    }
    h.port.info().await.unwrap();
    h.engine.kill();
    let error = h.port.info().await.unwrap_err();
    assert_eq!(error.kind, volsnap_core::ports::EngineErrorKind::Unreachable, "{error}");
    h.engine.restart_engine();
    h.port.info().await.unwrap();
}

/// While it is frozen it cannot answer, and the engine asks on.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_frozen_for_long_is_unhealthy_until_its_next_check() {
    let test = "a_container_that_was_frozen_for_long_is_unhealthy_until_its_next_check";
    let Some(h) = DockerHarness::new(test).await else { return };
    if h.engine.program() == Program::Podman {
        println!("skipped {test}: Podman has its checks from systemd's timers, which the engines of tests have not");
        return;
    }
    let name = h.name("web");
    let options = ["--health-cmd=true", "--health-interval=1s", "--health-timeout=1s", "--health-retries=1"];
    let options = options.map(String::from).to_vec();
    h.engine.run(&Run { name: &name, image: &h.image, options, ..Run::default() });
    let within = async |state: HealthState| {
        let until = Instant::now() + Duration::from_secs(20);
        while h.port.health(std::slice::from_ref(&name)).await.unwrap()[0].state != state {
            assert!(Instant::now() < until, "not {state:?} within 20 seconds");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(HealthState::Healthy).await;
    let seen = h.find(&name).await;
    assert_eq!((seen.particulars.is_healthy, seen.particulars.is_unhealthy), (true, false));
    h.port.pause(std::slice::from_ref(&seen.id)).await.unwrap();
    // The engine itself shows what its last check came to.
    let until = Instant::now() + Duration::from_secs(20);
    while h.engine.inspect(&name, "{{.State.Health.Status}}") != "unhealthy" && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    h.port.unpause(std::slice::from_ref(&seen.id)).await.unwrap();
    within(HealthState::Healthy).await;
}
