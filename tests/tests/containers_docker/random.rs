//! Random configurations over all options that the engine's API has: what `inspect` shows of a container is the same after
//! it was started again, and after it was made anew.

use std::{collections::BTreeSet, fmt};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Value, json};
use uuid::Uuid;
use volsnap_core::{
    model::{Pinned, Redeploy, RestartPolicy, RestoreId, RunState},
    ports::Containers,
};
use volsnap_tests::{contracts::containers::Harness, private_engine::FOREVER};

use crate::{
    harness::DockerHarness,
    only_docker::{environment, post},
};

/// How many configurations are tried; they are tried all at once.
const CONFIGURATIONS: usize = 12;
/// How many the engine may refuse meanwhile: on some machines it can run nothing that is privileged.
const REFUSED_MAX: usize = 4 * CONFIGURATIONS;

/// Options with the values that they may take here, by their place in the body of a request.
fn options(volume: &str, directory: &str) -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("/Hostname", vec![json!("web"), json!("web.example")]),
        ("/Domainname", vec![json!("example.org")]),
        ("/User", vec![json!("0:0"), json!("root")]),
        ("/AttachStdin", vec![json!(true)]),
        ("/AttachStdout", vec![json!(true)]),
        ("/AttachStderr", vec![json!(true)]),
        ("/ExposedPorts", vec![json!({"80/tcp": {}}), json!({"53/udp": {}, "443/tcp": {}})]),
        ("/Tty", vec![json!(true)]),
        ("/OpenStdin", vec![json!(true)]),
        ("/StdinOnce", vec![json!(true)]),
        ("/Env", vec![json!(["A=1", "B=two words"]), json!(["EMPTY="])]),
        ("/Healthcheck", vec![json!({"Test": ["CMD", "true"], "Interval": 1_000_000_000, "Retries": 2})]),
        ("/Volumes", vec![json!({"/anonymous": {}})]),
        ("/WorkingDir", vec![json!("/tmp")]),
        ("/Entrypoint", vec![json!(["/bin/sh", "-c", FOREVER])]),
        ("/NetworkDisabled", vec![json!(true)]),
        ("/Labels", vec![json!({"a": "1", "b.c": ""})]),
        ("/StopSignal", vec![json!("TERM"), json!("15")]),
        ("/StopTimeout", vec![json!(1), json!(2)]),
        ("/Shell", vec![json!(["/bin/sh", "-c"])]),
        ("/HostConfig/CpuShares", vec![json!(512)]),
        ("/HostConfig/Memory", vec![json!(67_108_864)]),
        ("/HostConfig/CpuQuota", vec![json!(50_000)]),
        ("/HostConfig/CpusetCpus", vec![json!("0")]),
        ("/HostConfig/CpusetMems", vec![json!("0")]),
        (
            "/HostConfig/Devices",
            vec![json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/zilch", "CgroupPermissions": "r"}])],
        ),
        ("/HostConfig/DeviceCgroupRules", vec![json!(["c 1:3 r"])]),
        ("/HostConfig/MemoryReservation", vec![json!(33_554_432)]),
        ("/HostConfig/OomKillDisable", vec![json!(false)]),
        ("/HostConfig/Init", vec![json!(false)]),
        ("/HostConfig/PidsLimit", vec![json!(50)]),
        ("/HostConfig/Ulimits", vec![json!([{"Name": "nofile", "Soft": 100, "Hard": 200}])]),
        (
            "/HostConfig/Binds",
            vec![
                json!([format!("{volume}:/named")]),
                json!([format!("{volume}:/named:ro"), format!("{directory}:/bound")]),
                json!([format!("{directory}:/bound:ro,rslave")]),
            ],
        ),
        (
            "/HostConfig/LogConfig",
            vec![
                json!({"Type": "json-file", "Config": {"max-size": "1m"}}),
                json!({"Type": "local", "Config": {}}),
                json!({"Type": "none", "Config": {}}),
            ],
        ),
        ("/HostConfig/PortBindings", vec![json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]})]),
        (
            "/HostConfig/RestartPolicy",
            vec![
                json!({"Name": "always", "MaximumRetryCount": 0}),
                json!({"Name": "on-failure", "MaximumRetryCount": 3}),
                json!({"Name": "unless-stopped", "MaximumRetryCount": 0}),
            ],
        ),
        ("/HostConfig/VolumeDriver", vec![json!("local")]),
        ("/HostConfig/VolumesFrom", vec![json!(["OWNER"]), json!(["OWNER:ro"])]),
        (
            "/HostConfig/Mounts",
            vec![
                json!([{"Type": "volume", "Target": "/unnamed"}]),
                json!([{"Type": "volume", "Source": volume, "Target": "/mounted", "ReadOnly": true}]),
                json!([{"Type": "bind", "Source": directory, "Target": "/mounted", "BindOptions": {"Propagation": "rslave"}}]),
                json!([{"Type": "tmpfs", "Target": "/memory", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}}]),
            ],
        ),
        ("/HostConfig/ConsoleSize", vec![json!([24, 80])]),
        ("/HostConfig/CapAdd", vec![json!(["SYS_NICE", "NET_ADMIN"]), json!(["ALL"])]),
        ("/HostConfig/CapDrop", vec![json!(["CHOWN"])]),
        ("/HostConfig/CgroupnsMode", vec![json!("host"), json!("private")]),
        ("/HostConfig/Dns", vec![json!(["10.0.0.2"])]),
        ("/HostConfig/DnsOptions", vec![json!(["ndots:1"])]),
        ("/HostConfig/DnsSearch", vec![json!(["example.org"])]),
        ("/HostConfig/ExtraHosts", vec![json!(["other:10.0.0.1"])]),
        ("/HostConfig/GroupAdd", vec![json!(["7"])]),
        ("/HostConfig/IpcMode", vec![json!("shareable"), json!("none"), json!("host")]),
        ("/HostConfig/OomScoreAdj", vec![json!(10)]),
        ("/HostConfig/PidMode", vec![json!("host"), json!("container:OWNER")]),
        ("/HostConfig/Privileged", vec![json!(true)]),
        ("/HostConfig/PublishAllPorts", vec![json!(true)]),
        ("/HostConfig/ReadonlyRootfs", vec![json!(true)]),
        ("/HostConfig/SecurityOpt", vec![json!(["no-new-privileges"]), json!(["seccomp=unconfined"])]),
        ("/HostConfig/Tmpfs", vec![json!({"/run": "size=1m"})]),
        ("/HostConfig/UTSMode", vec![json!("host")]),
        ("/HostConfig/ShmSize", vec![json!(1_048_576)]),
        ("/HostConfig/Sysctls", vec![json!({"kernel.msgmax": "8192"})]),
        ("/HostConfig/MaskedPaths", vec![json!(["/proc/kcore"]), json!([])]),
        ("/HostConfig/ReadonlyPaths", vec![json!(["/proc/sys"])]),
        ("/HostConfig/NetworkMode", vec![json!("none"), json!("host"), json!("container:OWNER")]),
    ]
}

/// What is left out, and why.
const EXCLUDED: &[(&str, &str)] = &[
    ("/Image", "each is of the test's own image"),
    ("/Cmd", "each runs until it is stopped; an entrypoint takes its place"),
    ("/ArgsEscaped", "of Windows"),
    ("/OnBuild", "the engine takes no notice of it when a container is made"),
    ("/HostConfig/CgroupParent", "the engines of tests keep their containers in a cgroup of their own, to end them"),
    ("/HostConfig/BlkioWeight", "most kernels have no weights, and the engine then takes it away"),
    ("/HostConfig/BlkioWeightDevice", "the same"),
    ("/HostConfig/BlkioDeviceReadBps", "needs a disk of this machine by its number"),
    ("/HostConfig/BlkioDeviceWriteBps", "the same"),
    ("/HostConfig/BlkioDeviceReadIOps", "the same"),
    ("/HostConfig/BlkioDeviceWriteIOps", "the same"),
    ("/HostConfig/CpuPeriod", "goes with a quota that the engine may have rounded: `CpuQuota` is tried"),
    ("/HostConfig/CpuRealtimePeriod", "needs a kernel with realtime groups"),
    ("/HostConfig/CpuRealtimeRuntime", "the same"),
    ("/HostConfig/DeviceRequests", "needs a driver of graphics cards"),
    ("/HostConfig/MemorySwap", "needs a kernel that accounts swap"),
    ("/HostConfig/MemorySwappiness", "not with cgroups of version 2"),
    (
        "/HostConfig/NanoCpus",
        "not together with `CpuQuota`; `every_option_of_a_container_survives_its_recreation` has it",
    ),
    ("/HostConfig/CpuCount", "of Windows"),
    ("/HostConfig/CpuPercent", "of Windows"),
    ("/HostConfig/IOMaximumIOps", "of Windows"),
    ("/HostConfig/IOMaximumBandwidth", "of Windows"),
    ("/HostConfig/ContainerIDFile", "the docker command's; the engine keeps what it is told and does nothing"),
    (
        "/HostConfig/AutoRemove",
        "the engine removes it when it is stopped: `a_container_that_removes_itself_comes_back`",
    ),
    ("/HostConfig/Annotations", "newer than the oldest engine that is tested"),
    ("/HostConfig/Cgroup", "the engine takes no notice of it"),
    ("/HostConfig/Links", "the engines of tests have no default bridge: `a_link_is_to_whoever_takes_the_others_place`"),
    ("/HostConfig/StorageOpt", "needs a storage driver with quotas"),
    ("/HostConfig/UsernsMode", "needs an engine that remaps users"),
    ("/HostConfig/Runtime", "this machine has one"),
    ("/HostConfig/Isolation", "of Windows"),
];

/// Hears which fields a type has, and no more.
struct Fields<'a>(&'a mut Vec<&'static str>);

#[derive(Debug)]
struct Heard;

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("heard enough")
    }
}

impl std::error::Error for Heard {}

impl Error for Heard {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Heard
    }
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Heard;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Heard> {
        Err(Heard)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Heard> {
        self.0.extend(fields);
        Err(Heard)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<'de, T: Deserialize<'de>>(below: &str) -> BTreeSet<String> {
    let mut fields = Vec::new();
    let _ = T::deserialize(Fields(&mut fields));
    fields.into_iter().map(|field| format!("{below}/{field}")).collect()
}

#[test]
fn every_option_of_the_api_is_tried_or_left_out_for_a_reason() {
    let api = &fields::<bollard::models::ContainerConfig>("") | &fields::<bollard::models::HostConfig>("/HostConfig");
    assert!(api.len() > 80, "{api:?}");
    let tried = options("v", "/d").into_iter().map(|(option, _)| option.to_string());
    let known: BTreeSet<String> = tried.chain(EXCLUDED.iter().map(|(option, _)| (*option).to_string())).collect();
    assert_eq!(known, api);
}

/// A configuration: each option is left as it is by default, more often than not, or has one of its values.
fn configuration(options: &[(&'static str, Vec<Value>)]) -> impl Strategy<Value = Value> + use<> {
    let choices: Vec<_> = options
        .iter()
        .cloned()
        .map(|(option, values)| (Just(option), prop::option::weighted(0.3, prop::sample::select(values))))
        .collect();
    choices.prop_map(|chosen| {
        let mut body = json!({"StopTimeout": 1, "HostConfig": {"NetworkMode": "none"}});
        for (option, value) in chosen.into_iter().filter_map(|(option, value)| Some((option, value?))) {
            let (part, key) = option.rsplit_once('/').unwrap();
            body.pointer_mut(part).unwrap()[key] = value;
        }
        agree(&mut body);
        body
    })
}

/// Takes away what an engine refuses together.
fn agree(body: &mut Value) {
    let text =
        |body: &Value, option: &str| body.pointer(option).and_then(Value::as_str).unwrap_or_default().to_string();
    let drop = |body: &mut Value, option: &str| {
        let (part, key) = option.rsplit_once('/').unwrap();
        body.pointer_mut(part).and_then(Value::as_object_mut).unwrap().remove(key);
    };
    let network = text(body, "/HostConfig/NetworkMode");
    if network != "none" {
        // They are the host's, or the other container's.
        for option in ["/Hostname", "/Domainname", "/HostConfig/Dns", "/HostConfig/ExtraHosts", "/HostConfig/UTSMode"] {
            drop(body, option);
        }
        for option in ["/ExposedPorts", "/HostConfig/PortBindings", "/HostConfig/PublishAllPorts", "/NetworkDisabled"] {
            drop(body, option);
        }
    }
    if text(body, "/HostConfig/UTSMode") == "host" {
        drop(body, "/Hostname");
        drop(body, "/Domainname");
    }
    if text(body, "/HostConfig/IpcMode") == "host" {
        drop(body, "/HostConfig/Sysctls");
    }
    if body.get("Entrypoint").is_none() {
        body["Cmd"] = json!(["sh", "-c", FOREVER]);
    }
}

/// What `inspect` shows, without what is another for each container or each run.
fn shown(seen: &Value) -> Value {
    let id = seen["Id"].as_str().unwrap();
    let mut config = seen["Config"].clone();
    config["Env"] = environment(seen);
    if config["Hostname"] == json!(id[..12]) {
        config["Hostname"] = Value::Null;
    }
    let mut host = seen["HostConfig"].clone();
    // How volumes were asked for: a new container has them by name, and they are not filled from the image. What it has
    // of them is in `Mounts`.
    host["Binds"] = Value::Null;
    for mount in host["Mounts"].as_array_mut().into_iter().flatten().filter(|mount| mount["Type"] == "volume") {
        *mount = json!({"Target": mount["Target"], "ReadOnly": mount["ReadOnly"] == json!(true)});
    }
    let mut mounts = seen["Mounts"].as_array().cloned().unwrap_or_default();
    mounts.sort_by_key(|mount| mount["Destination"].as_str().unwrap().to_string());
    mounts.iter_mut().for_each(|mount| mount["Mode"] = Value::Null);
    // One that nobody gave a policy has none, which is the policy `no`.
    if host["RestartPolicy"]["Name"] == json!("") {
        host["RestartPolicy"]["Name"] = json!("no");
    }
    // An absent list and an empty one are the same to Docker.
    for part in [&mut config, &mut host] {
        for value in part.as_object_mut().unwrap().values_mut() {
            if *value == json!([]) || *value == json!({}) {
                *value = Value::Null;
            }
        }
    }
    json!({"Config": config, "HostConfig": host, "Mounts": mounts, "Image": seen["Image"], "Name": seen["Name"],
           "Running": seen["State"]["Running"], "Path": seen["Path"], "Args": seen["Args"]})
}

fn make(h: &DockerHarness, name: &str, body: &Value) -> Result<(), String> {
    let answer = post(&h.engine.socket(), &format!("/containers/create?name={name}"), body);
    if !answer.starts_with("HTTP/1.1 201") {
        return Err(answer.lines().last().unwrap_or_default().to_string());
    }
    h.engine.try_docker(&["start", name]).map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_containers_are_as_they_were_after_both_ways_of_bringing_them_back() {
    let test = "random_containers_are_as_they_were_after_both_ways_of_bringing_them_back";
    let Some(h) = DockerHarness::new(test).await else { return };
    let owner = h.name("owner");
    let owned = format!("{}:/owned", h.name("owned"));
    h.engine.run(&volsnap_tests::private_engine::Run {
        name: &owner,
        image: &h.image,
        volumes: vec![owned],
        ..Default::default()
    });
    let owner_id = h.json(&owner)["Id"].as_str().unwrap().to_string();
    let options = options(&h.name("data"), &h.directory("bound").display().to_string());
    // By time, so that every run tries others; a failure prints what it tried.
    let mut runner = TestRunner::new(Config::default());
    let mut made = Vec::new();
    let mut refused = Vec::new();
    while made.len() < CONFIGURATIONS && refused.len() < REFUSED_MAX {
        let body = configuration(&options).new_tree(&mut runner).unwrap().current();
        let body = body.to_string().replace("OWNER", &owner_id);
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["Image"] = json!(h.image);
        let name = h.name(&format!("random{}", made.len() + refused.len()));
        match make(&h, &name, &body) {
            Ok(()) => made.push((name, body)),
            Err(why) => refused.push(format!("{why}: {body}")),
        }
    }
    assert_eq!(made.len(), CONFIGURATIONS, "the engine could not run these: {refused:#?}");
    let mut names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    names.push(&owner);
    let before: Vec<Value> = names.iter().map(|name| h.json(name)).collect();
    for how in [Redeploy::Restart, Redeploy::Recreate] {
        let restore = RestoreId(Uuid::now_v7());
        let pinned = match how {
            Redeploy::Recreate => h.quiesce(restore, &names).await,
            Redeploy::Restart => stopped(&h, &names).await,
        };
        h.port.redeploy(restore, &pinned, how).await.unwrap();
        h.port.discard(restore).await.unwrap();
        let owner_now = h.json(&owner)["Id"].as_str().unwrap().to_string();
        for ((name, before), body) in
            names.iter().zip(&before).zip(made.iter().map(|(_, body)| body).chain([&json!({})]))
        {
            let after = h.json(name);
            assert_eq!(after["Id"] == before["Id"], how == Redeploy::Restart, "{name}, {how:?}");
            // Who shares its network has its hostname as well, which is the beginning of its id.
            let of_owner = shown(&after).to_string().replace(&owner_now, &owner_id);
            let after: Value = serde_json::from_str(&of_owner.replace(&owner_now[..12], &owner_id[..12])).unwrap();
            for (key, value) in shown(before).as_object().unwrap() {
                assert_eq!(&after[key], value, "{key} of {name}, {how:?}: {body}");
            }
        }
    }
}

/// Fences and stops running members, and prepares nothing.
async fn stopped(h: &DockerHarness, names: &[&str]) -> Vec<Pinned> {
    let mut pinned = Vec::new();
    for name in names {
        let container = h.find(name).await;
        assert_eq!(container.run, RunState::Running, "{name}");
        h.port.set_restart_policy(&container.id, &RestartPolicy::never()).await.unwrap();
        pinned.push(Pinned { container, member: true });
    }
    let ids: Vec<_> = pinned.iter().map(|p| p.container.id.clone()).collect();
    h.port.stop(&ids).await.unwrap();
    pinned
}
