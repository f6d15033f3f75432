//! Cases of what a copy is given and what not.

use bollard::models::ContainerInspectResponse;
use serde_json::json;
use volsnap_core::model::{self, Container, ContainerId, RunState};

use super::*;

const DRILL: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const ID: &str = "572c144d49ab40781b09e50eceb8e5c7620a5942be6316883d1289cbacce7010";

/// A container of compose with a volume, a configuration, a cache, a socket of the engine and memory, in two networks.
fn inspected() -> Value {
    json!({
        "Id": ID, "Name": "/shop-web-1", "Image": "sha256:1",
        "Config": {
            "Hostname": "572c144d49ab", "User": "7", "Env": ["A=1", "PATH=/bin"], "Cmd": ["serve"],
            "Entrypoint": ["/init"], "Image": "shop/web:1", "Labels": {"com.docker.compose.project": "shop", "mine": "1"},
            "Healthcheck": {"Test": ["CMD", "true"]}
        },
        "HostConfig": {
            "Binds": ["/srv/data:/data", "/srv/conf:/conf:ro", "/run/docker.sock:/docker.sock"],
            "NetworkMode": "front", "RestartPolicy": {"Name": "always"}, "AutoRemove": true,
            "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "PublishAllPorts": true, "VolumesFrom": ["other"],
            "CapAdd": ["NET_ADMIN", "CAP_SYS_NICE"], "CapDrop": ["CHOWN"], "Memory": 1048576, "ReadonlyRootfs": true,
            "SecurityOpt": ["seccomp=unconfined", "no-new-privileges"], "UTSMode": "host", "CgroupParent": "/mine",
            "Devices": [{"PathOnHost": "/dev/ttyUSB0", "PathInContainer": "/dev/ttyUSB0"}],
            "LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://logs.example"}},
            "Links": ["/shop-db-1:/shop-web-1/database", "/gone:/shop-web-1/nobody"],
            "Tmpfs": {"/scratch": ""}
        },
        "Mounts": [
            {"Type": "bind", "Source": "/srv/data", "Destination": "/data", "RW": true},
            {"Type": "bind", "Source": "/srv/conf", "Destination": "/conf", "RW": false},
            {"Type": "bind", "Source": "/run/docker.sock", "Destination": "/docker.sock", "RW": true},
            {"Type": "volume", "Name": "cache", "Source": "/v/cache/_data", "Destination": "/cache", "RW": true}
        ],
        "NetworkSettings": {"Networks": {
            "front": {"Aliases": ["web", "572c144d49ab"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}},
            "back": {"Aliases": ["api"]}
        }}
    })
}

fn mount(target: &str, source: &str, volume: Option<&str>, writable: bool, unsupported: Option<&str>) -> model::Mount {
    let (volume, unsupported) = (volume.map(String::from), unsupported.map(String::from));
    model::Mount { target: target.into(), source: source.into(), volume, writable, unsupported }
}

struct Case {
    boot: Boot,
    record: Record,
    exposures: BTreeMap<String, Exposure>,
    started: BTreeSet<String>,
    image_then: Option<ImageConfig>,
    image: ImageConfig,
}

impl Case {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        let mut value = inspected();
        change(&mut value);
        let seen: ContainerInspectResponse = serde_json::from_value(value).unwrap();
        let record = Record::take(&seen, |reference| (reference == "db-id").then(|| "shop-db-1".to_string()));
        let container = Container {
            id: ContainerId(ID.into()),
            name: "shop-web-1".into(),
            project: Some("shop".into()),
            service: Some("frontend".into()),
            image: "shop/web:1".into(),
            image_id: "sha256:1".into(),
            run: RunState::Running,
            restart_policy: model::RestartPolicy { name: "always".into(), retries_max: 0 },
            mounts: vec![
                mount("/cache", "/v/cache/_data", Some("cache"), true, Some("an anonymous volume")),
                mount("/conf", "/srv/conf", None, false, None),
                mount("/data", "/srv/data", None, true, None),
                mount("/docker.sock", "/run/docker.sock", None, true, Some("a socket")),
                mount("/scratch", "", None, true, Some("held in memory")),
            ],
            depends_on: vec!["shop-db-1".into()],
            stop_timeout: None,
            particulars: model::Particulars::default(),
            spec: Value::Null,
        };
        let copies = [("/data".to_string(), "/scratch/copy/staged".into())].into();
        Case {
            boot: Boot { container, image_id: "sha256:2".into(), copies },
            record,
            exposures: [
                ("/conf".to_string(), Exposure::Readable),
                ("/docker.sock".to_string(), Exposure::Reaches("a socket of the host, /run/docker.sock".into())),
            ]
            .into(),
            started: ["shop-web-1".to_string(), "shop-db-1".to_string()].into(),
            image_then: None,
            image: ImageConfig::default(),
        }
    }

    fn original(&self) -> Original<'_> {
        let Case { boot, record, exposures, started, image_then, image } = self;
        Original { boot, record, exposures, started, image_then: image_then.as_ref(), image }
    }

    fn body(&self) -> Value {
        self.original().create_body(drill()).unwrap()
    }

    fn refusals(&self) -> Vec<String> {
        self.original().check().refusals.into_iter().map(|refusal| refusal.message).collect()
    }
}

fn drill() -> RestoreId {
    DRILL.parse().unwrap()
}

fn target<'a>(body: &'a Value, target: &str) -> Option<&'a Value> {
    body["HostConfig"]["Mounts"].as_array().unwrap().iter().find(|mount| mount["Target"] == target)
}

#[test]
fn configuration_and_limits_are_carried_over_and_nothing_that_leads_out() {
    let case = Case::new(|_| {});
    let (body, was) = (case.body(), inspected());
    for key in ["Env", "Cmd", "Entrypoint", "User", "Healthcheck"] {
        assert_eq!(body[key], was["Config"][key], "{key}");
    }
    let host = &body["HostConfig"];
    for key in ["Memory", "CapDrop", "ReadonlyRootfs", "CgroupParent", "Tmpfs"] {
        assert_eq!(host[key], was["HostConfig"][key], "{key}");
    }
    for key in ["PortBindings", "PublishAllPorts", "AutoRemove", "VolumesFrom", "Devices", "UTSMode", "Binds", "Links"]
    {
        assert_eq!(host[key], Value::Null, "{key}");
    }
    assert_eq!((&body["Image"], &body["Hostname"]), (&json!("sha256:2"), &Value::Null));
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(host["CapAdd"], json!(["CAP_SYS_NICE"]));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges"]));
    assert_eq!(host["LogConfig"], json!({ "Type": "json-file", "Config": {} }));
    let warnings = case.original().check().warnings.join("\n");
    for left_behind in ["NET_ADMIN", "seccomp=unconfined", "/dev/ttyUSB0", "/docker.sock", "/cache"] {
        assert!(warnings.contains(left_behind), "{left_behind}: {warnings}");
    }
    assert!(!warnings.contains("SYS_NICE") && !warnings.contains("no-new-privileges"), "{warnings}");
}

#[test]
fn a_copy_has_our_label_and_those_of_its_image_are_empty() {
    let mut case = Case::new(|_| {});
    case.image.labels = Some([("com.docker.compose.project".to_string(), "shop".to_string())].into());
    assert_eq!(case.body()["Labels"], json!({ DRILL_LABEL: DRILL, "com.docker.compose.project": "" }));
}

#[test]
fn a_copy_is_in_the_drills_network_alone_under_all_names_of_its_original() {
    let body = Case::new(|_| {}).body();
    let network = network_name(drill());
    assert_eq!(body["HostConfig"]["NetworkMode"], network);
    let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object().unwrap();
    assert_eq!(endpoints.keys().collect::<Vec<_>>(), [&network]);
    let endpoint = &endpoints[&network];
    assert_eq!(endpoint["Aliases"], json!(["api", "frontend", "shop-web-1", "web"]));
    let db = drill_name("shop-db-1", drill());
    assert_eq!(endpoint["Links"], json!([format!("{db}:database")]), "who is not there is not linked to");
    assert_eq!(endpoint["IPAMConfig"], Value::Null, "an address of another network");
}

#[test]
fn copies_take_the_place_of_volumes_and_the_rest_is_read_only_empty_or_absent() {
    let body = Case::new(|_| {}).body();
    let data = target(&body, "/data").unwrap();
    assert_eq!((&data["Source"], &data["ReadOnly"]), (&json!("/scratch/copy/staged"), &json!(false)));
    let conf = target(&body, "/conf").unwrap();
    assert_eq!((&conf["Source"], &conf["ReadOnly"]), (&json!("/srv/conf"), &json!(true)));
    assert_eq!(conf["BindOptions"]["NonRecursive"], true, "what is mounted below could be written to");
    let cache = target(&body, "/cache").unwrap();
    assert_eq!((&cache["Type"], &cache["Source"]), (&json!("volume"), &Value::Null));
    assert_eq!((target(&body, "/docker.sock"), target(&body, "/scratch")), (None, None));
    let text = body.to_string();
    assert!(!text.contains("docker.sock") && !text.contains("/v/cache") && !text.contains("/srv/data"), "{text}");
}

#[test]
fn a_directory_that_could_be_written_to_and_has_no_copy_is_refused() {
    let mut case = Case::new(|_| {});
    case.boot.copies.clear();
    case.exposures.insert("/data".into(), Exposure::Readable);
    assert!(case.refusals()[0].contains("can write to /data"), "{:?}", case.refusals());
    case.original().create_body(drill()).unwrap_err();
    case.exposures.remove("/data");
    assert!(case.refusals()[0].contains("was not looked at"), "{:?}", case.refusals());
}

#[test]
fn a_file_that_could_be_written_to_can_be_read() {
    let mut case = Case::new(|_| {});
    case.boot.container.mounts = vec![mount("/docker.sock", "/srv/file", None, true, Some("a single file"))];
    case.exposures.insert("/docker.sock".into(), Exposure::Readable);
    let body = case.body();
    assert_eq!(target(&body, "/docker.sock").unwrap()["ReadOnly"], true);
    assert!(case.original().check().warnings.iter().any(|w| w.contains("may only read /docker.sock")));
}

#[test]
fn a_volume_that_is_only_read_stays_so_and_is_not_filled() {
    let mut case = Case::new(|_| {});
    case.boot.container.mounts = vec![mount("/cache", "/v/cache/_data", Some("cache"), false, None)];
    case.exposures.insert("/cache".into(), Exposure::Readable);
    let body = case.body();
    let volume = target(&body, "/cache").unwrap();
    assert_eq!((&volume["Source"], &volume["ReadOnly"]), (&json!("cache"), &json!(true)));
    assert_eq!(volume["VolumeOptions"]["NoCopy"], true);
}

#[test]
fn what_cannot_be_kept_apart_is_refused() {
    for (field, value, word) in [
        ("NetworkMode", json!("host"), "host's network"),
        ("NetworkMode", json!("container:stranger"), "container stranger"),
        ("PidMode", json!("host"), "host's process"),
        ("PidMode", json!("container:stranger"), "container stranger"),
        ("IpcMode", json!("host"), "host's IPC"),
        ("Privileged", json!(true), "privileged"),
    ] {
        let case = Case::new(|seen| seen["HostConfig"][field] = value.clone());
        let refusals = case.refusals();
        assert!(refusals.len() == 1 && refusals[0].contains(word), "{field} {value}: {refusals:?}");
        case.original().create_body(drill()).unwrap_err();
    }
}

#[test]
fn namespaces_of_others_are_those_of_their_copies() {
    let body = Case::new(|seen| {
        for mode in ["NetworkMode", "PidMode", "IpcMode"] {
            seen["HostConfig"][mode] = json!("container:db-id");
        }
    })
    .body();
    let db = format!("container:{}", drill_name("shop-db-1", drill()));
    for mode in ["NetworkMode", "PidMode", "IpcMode"] {
        assert_eq!(body["HostConfig"][mode], db, "{mode}");
    }
    assert_eq!(body["NetworkingConfig"], Value::Null);
    let alone = Case::new(|seen| seen["HostConfig"]["NetworkMode"] = json!("none")).body();
    assert_eq!((&alone["HostConfig"]["NetworkMode"], &alone["NetworkingConfig"]), (&json!("none"), &Value::Null));
}

#[test]
fn what_the_image_of_today_gives_is_not_forced_on_the_image_of_then() {
    let mut case = Case::new(|_| {});
    let image: ImageConfig = serde_json::from_value(json!({
        "Env": ["PATH=/bin"], "Cmd": ["serve"], "Entrypoint": ["/init"], "User": "0",
        "Healthcheck": {"Test": ["CMD", "true"]}
    }))
    .unwrap();
    case.image_then = Some(image.clone());
    let body = case.body();
    for key in ["Cmd", "Entrypoint", "Healthcheck"] {
        assert_eq!(body[key], Value::Null, "{key}");
    }
    assert_eq!((&body["Env"], &body["User"]), (&json!(["A=1"]), &json!("7")));
    // Somebody gave another entry point: the command goes with that.
    case.image_then = Some(ImageConfig { entrypoint: Some(vec!["/other".into()]), ..image });
    let body = case.body();
    assert_eq!((&body["Entrypoint"], &body["Cmd"]), (&json!(["/init"]), &json!(["serve"])));
}
