//! Cases of making a container anew: what is carried over and what is not.

use super::*;

const ID: &str = "572c144d49ab40781b09e50eceb8e5c7620a5942be6316883d1289cbacce7010";
const ANONYMOUS: &str = "55a4b7f00f836e13433ab8ae4c6234c6a9b0c2f453878af5e4e35711fbdd9dd0";

/// A container as Docker 20.10 shows it, in two networks and with named, anonymous and host directories.
fn inspected() -> Value {
    json!({
        "Id": ID,
        "Name": "/shop-web-1",
        "Image": "sha256:038e09d15560090b1c22a3220820048022c650838734f497cf26b8ae58515e02",
        "State": {"Status": "running", "Running": true},
        "Config": {
            "Hostname": "572c144d49ab", "Domainname": "", "User": "1000:1000", "Tty": true,
            "ExposedPorts": {"80/tcp": {}}, "Env": ["A=1", "B=2"], "Cmd": ["serve"], "Entrypoint": ["/init"],
            "Image": "shop/web:1", "Volumes": {"/cache": {}}, "WorkingDir": "/srv",
            "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.config-hash": "abc"},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000}, "StopSignal": "SIGQUIT", "StopTimeout": 7
        },
        "HostConfig": {
            "Binds": ["pgdata:/data", "/srv/conf:/conf:ro", "logs:/logs:rw,z"],
            "NetworkMode": "front", "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "CapAdd": ["NET_ADMIN"],
            "Links": ["/db:/shop-web-1/database"], "Memory": 1048576, "LogConfig": {"Type": "json-file", "Config": {}},
            "CgroupnsMode": "host", "IpcMode": "private", "PidMode": "", "ConsoleSize": [0, 0], "Isolation": "",
            "Mounts": [{"Type": "volume", "Target": "/scratch"}]
        },
        "Mounts": [
            {"Type": "volume", "Name": "pgdata", "Source": "/v/pgdata/_data", "Destination": "/data", "Driver": "local", "RW": true},
            {"Type": "volume", "Name": "logs", "Source": "/v/logs/_data", "Destination": "/logs", "Driver": "local", "RW": true},
            {"Type": "bind", "Source": "/srv/conf", "Destination": "/conf", "RW": false},
            {"Type": "volume", "Name": ANONYMOUS, "Source": "/v/a/_data", "Destination": "/cache", "Driver": "local", "RW": true},
            {"Type": "volume", "Name": "b".repeat(64), "Source": "/v/b/_data", "Destination": "/scratch", "Driver": "local", "RW": true}
        ],
        "NetworkSettings": {"Networks": {
            "front": {
                "IPAMConfig": {"IPv4Address": "10.199.0.7"}, "Aliases": ["web", "572c144d49ab"], "NetworkID": "n1",
                "IPAddress": "10.199.0.7", "MacAddress": "02:42:0a:c7:00:07", "Gateway": "10.199.0.1", "EndpointID": "e1"
            },
            "back": {
                "IPAMConfig": {}, "Aliases": ["572c144d49ab"], "NetworkID": "n2", "IPAddress": "172.17.0.2",
                "MacAddress": "02:42:ac:11:00:99", "DriverOpts": {"k": "v"}
            }
        }}
    })
}

fn record(change: impl FnOnce(&mut Value)) -> Record {
    let mut value = inspected();
    change(&mut value);
    let seen: ContainerInspectResponse = serde_json::from_value(value).unwrap();
    Record::take(&seen, |reference| (reference == "peer-id").then(|| "shop-vpn-1".to_string()))
}

fn body(record: &Record) -> Value {
    record.create_body("sha256:038e", &BTreeMap::new(), MacAddress::OfContainer).unwrap()
}

#[test]
fn configuration_is_carried_over() {
    let body = body(&record(|_| {}));
    let was = inspected();
    for key in ["Env", "Cmd", "Entrypoint", "User", "WorkingDir", "Labels", "StopSignal", "StopTimeout", "Tty"] {
        assert_eq!(body[key], was["Config"][key], "{key}");
    }
    assert_eq!(body["Healthcheck"]["Test"], json!(["CMD", "true"]));
    assert_eq!(body["ExposedPorts"], json!({"80/tcp": {}}));
    for key in ["PortBindings", "CapAdd", "Memory", "NetworkMode", "LogConfig", "IpcMode"] {
        assert_eq!(body["HostConfig"][key], was["HostConfig"][key], "{key}");
    }
    assert_eq!(body["Image"], "sha256:038e");
}

#[test]
fn a_replacement_is_never_started_by_the_engine() {
    assert_eq!(body(&record(|_| {}))["HostConfig"]["RestartPolicy"]["Name"], "no");
}

#[test]
fn what_the_engine_took_from_the_id_is_not_pinned() {
    let body = body(&record(|_| {}));
    assert_eq!(body["Hostname"], Value::Null);
    assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["front"]["Aliases"], json!(["web"]));
    let chosen = record(|v| v["Config"]["Hostname"] = json!("web.example"));
    assert_eq!(self::body(&chosen)["Hostname"], "web.example");
}

#[test]
fn volumes_are_attached_by_name_and_never_filled_from_the_image() {
    let body = body(&record(|_| {}));
    assert_eq!(
        body["HostConfig"]["Binds"],
        json!([
            "pgdata:/data:nocopy",
            "/srv/conf:/conf:ro",
            "logs:/logs:rw,z,nocopy",
            format!("{ANONYMOUS}:/cache:rw,nocopy")
        ])
    );
    let scratch = &body["HostConfig"]["Mounts"][0];
    assert_eq!(scratch["Source"], "b".repeat(64));
    assert_eq!(scratch["VolumeOptions"]["NoCopy"], true);
}

#[test]
fn making_anew_twice_gives_the_same_binds() {
    let once = body(&record(|_| {}))["HostConfig"]["Binds"].clone();
    let again = record(|v| v["HostConfig"]["Binds"] = once.clone());
    assert_eq!(body(&again)["HostConfig"]["Binds"], once);
}

#[test]
fn the_network_of_the_mode_comes_first_and_the_others_follow() {
    let record = record(|_| {});
    let first = body(&record)["NetworkingConfig"]["EndpointsConfig"].clone();
    assert_eq!(first, json!({"front": {"IPAMConfig": {"IPv4Address": "10.199.0.7"}, "Aliases": ["web"]}}));
    let further = record.further_networks(MacAddress::OfContainer);
    assert_eq!(further.keys().collect::<Vec<_>>(), ["back"]);
    assert_eq!(further["back"].driver_opts.as_ref().unwrap()["k"], "v");
    assert_eq!(further["back"].aliases, None);
    assert_eq!(further["back"].ipam_config, None);
    assert_eq!(further["back"].ip_address, None, "an address that was not asked for is not pinned");
}

#[test]
fn a_network_is_found_by_its_id_too() {
    let record = record(|v| v["HostConfig"]["NetworkMode"] = json!("n2"));
    assert_eq!(record.first_network().unwrap().0, "back");
}

#[test]
fn the_default_network_is_the_bridge() {
    let record = record(|v| {
        v["HostConfig"]["NetworkMode"] = json!("default");
        v["NetworkSettings"]["Networks"] = json!({"bridge": {"NetworkID": "n0"}});
    });
    assert_eq!(body(&record)["NetworkingConfig"]["EndpointsConfig"], json!({"bridge": {}}));
}

#[test]
fn a_borrowed_network_takes_no_endpoint() {
    for mode in ["host", "none", "container:peer-id"] {
        let record = record(|v| v["HostConfig"]["NetworkMode"] = json!(mode));
        assert_eq!(body(&record)["NetworkingConfig"], Value::Null, "{mode}");
        assert!(record.further_networks(MacAddress::OfEndpoint).is_empty(), "{mode}");
        assert!(record.network_names().is_empty(), "{mode}");
    }
}

#[test]
fn a_reference_to_another_container_follows_it() {
    let record = record(|v| {
        v["HostConfig"]["NetworkMode"] = json!("container:peer-id");
        v["HostConfig"]["PidMode"] = json!("container:stranger");
        v["Config"]["Hostname"] = json!("shown-of-the-other");
    });
    assert_eq!(record.peers(), &BTreeMap::from([("peer-id".to_string(), "shop-vpn-1".to_string())]));
    let standing = |id: &str, name: &str| Standing { id: id.into(), name: name.into() };
    let now = Peers::from([("peer-id".to_string(), standing("new-id", "shop-vpn-1"))]);
    let body = record.create_body("sha256:038e", &now, MacAddress::OfContainer).unwrap();
    assert_eq!(body["HostConfig"]["NetworkMode"], "container:new-id");
    assert_eq!(body["HostConfig"]["PidMode"], "container:stranger");
    assert_eq!(body["Hostname"], Value::Null, "the engine refuses a hostname with another's network");
    assert_eq!(body["ExposedPorts"], Value::Null);

    let made: HostConfig = serde_json::from_value(body["HostConfig"].clone()).unwrap();
    assert!(record.refers_like(&made, &now));
    let later = Peers::from([("peer-id".to_string(), standing("newer-id", "shop-vpn-1"))]);
    assert!(!record.refers_like(&made, &later));
}

#[test]
fn volumes_of_another_container_follow_it_and_are_attached_one_by_one_when_it_is_gone() {
    let borrowed = |from: &str| {
        record(|v| {
            v["HostConfig"]["VolumesFrom"] = json!([from]);
            v["Mounts"]
                .as_array_mut()
                .unwrap()
                .push(json!({"Type": "bind", "Source": "/srv/borrowed", "Destination": "/borrowed", "RW": false}));
        })
    };
    let now = Peers::from([
        ("peer-id".to_string(), Standing { id: "new-id".into(), name: "shop-vpn-1".into() }),
        ("shop-vpn-1".to_string(), Standing { id: "new-id".into(), name: "shop-vpn-1".into() }),
    ]);
    let host =
        |from: &str| borrowed(from).create_body("i", &now, MacAddress::OfContainer).unwrap()["HostConfig"].clone();
    assert_eq!(host("peer-id")["VolumesFrom"], json!(["new-id"]));
    assert_eq!(host("peer-id:ro")["VolumesFrom"], json!(["new-id:ro"]));
    assert!(!host("peer-id")["Binds"].to_string().contains("/srv/borrowed"));
    let gone = host("another-id:ro");
    assert_eq!(gone["VolumesFrom"], json!([]), "a container that is gone has no volumes");
    assert!(gone["Binds"].as_array().unwrap().contains(&json!("/srv/borrowed:/borrowed:ro")), "{gone}");
    assert!(gone["Binds"].as_array().unwrap().contains(&json!(format!("{ANONYMOUS}:/cache:rw,nocopy"))));
}

#[test]
fn a_link_is_to_whoever_takes_the_others_place() {
    let record = {
        let mut value = inspected();
        value["HostConfig"]["Links"] = json!(["/db:/shop-web-1/database"]);
        let seen: ContainerInspectResponse = serde_json::from_value(value).unwrap();
        Record::take(&seen, |reference| (reference == "db").then(|| "db".to_string()))
    };
    let peers = |id: &str, name: &str| Peers::from([("db".to_string(), Standing { id: id.into(), name: name.into() })]);
    let links =
        |peers: &Peers| record.create_body("i", peers, MacAddress::OfContainer).unwrap()["HostConfig"]["Links"].clone();
    assert_eq!(links(&peers("same", "db")), json!(["db:database"]));
    assert_eq!(links(&peers("new", "db.passing")), json!(["new:database"]), "by name it would be the old one");
    let shown = |link: &str| HostConfig {
        links: Some(vec![link.into()]),
        network_mode: Some("front".into()),
        ..record.host.clone()
    };
    let now = peers("new", "db");
    assert!(record.can_start(&shown("/db:/shop-web-1/database"), &now));
    assert!(!record.can_start(&shown("/db.retired:/shop-web-1/database"), &now), "it is linked to the old one");
    assert!(record.can_start(&shown("/db:/shop-web-1/database"), &Peers::new()), "nobody knows better");
}

#[test]
fn what_an_image_gave_stays_with_it() {
    let record = record(|_| {});
    let image = ImageConfig {
        env: Some(vec!["A=1".into(), "B=1".into()]),
        cmd: Some(vec!["serve".into()]),
        entrypoint: Some(vec!["/init".into()]),
        working_dir: Some("/srv".into()),
        user: Some("postgres".into()),
        exposed_ports: Some(vec!["80/tcp".into()]),
        volumes: Some(vec!["/cache".into()]),
        stop_signal: Some("SIGQUIT".into()),
        labels: Some([("com.docker.compose.project".to_string(), "another".to_string())].into()),
        ..ImageConfig::default()
    };
    let body = body(&record.without(&image));
    assert_eq!(body["Env"], json!(["B=2"]));
    for key in ["Cmd", "Entrypoint", "WorkingDir", "StopSignal"] {
        assert_eq!(body[key], Value::Null, "{key}");
    }
    assert_eq!((&body["ExposedPorts"], &body["Volumes"]), (&json!({}), &json!({})));
    assert_eq!(body["User"], "1000:1000");
    assert_eq!(body["Labels"]["com.docker.compose.project"], "shop");
    let own = ImageConfig { entrypoint: None, ..image };
    assert_eq!(self::body(&record.without(&own))["Cmd"], json!(["serve"]), "a chosen entrypoint goes with its command");
}

#[test]
fn a_chosen_mac_address_is_kept_where_the_engine_wants_it() {
    let chosen = record(|v| v["NetworkSettings"]["Networks"]["front"]["MacAddress"] = json!("02:00:00:00:00:01"));
    let old = chosen.create_body("i", &BTreeMap::new(), MacAddress::OfContainer).unwrap();
    assert_eq!(old["MacAddress"], "02:00:00:00:00:01");
    assert_eq!(old["NetworkingConfig"]["EndpointsConfig"]["front"]["MacAddress"], Value::Null);
    let new = chosen.create_body("i", &BTreeMap::new(), MacAddress::OfEndpoint).unwrap();
    assert_eq!(new["MacAddress"], Value::Null);
    assert_eq!(new["NetworkingConfig"]["EndpointsConfig"]["front"]["MacAddress"], "02:00:00:00:00:01");
    let made = record(|_| {}).create_body("i", &BTreeMap::new(), MacAddress::OfEndpoint).unwrap();
    assert_eq!(made["NetworkingConfig"]["EndpointsConfig"]["front"]["MacAddress"], Value::Null);
}

#[test]
fn links_are_asked_for_as_they_were() {
    assert_eq!(body(&record(|_| {}))["HostConfig"]["Links"], json!(["db:database"]));
}

fn container(spec: Value) -> Container {
    Container {
        id: volsnap_core::model::ContainerId(ID.into()),
        name: "shop-web-1".into(),
        project: None,
        service: None,
        image: "shop/web:1".into(),
        image_id: "sha256:038e".into(),
        run: volsnap_core::model::RunState::Running,
        restart_policy: volsnap_core::model::RestartPolicy::never(),
        mounts: vec![],
        depends_on: vec![],
        stop_timeout: None,
        particulars: volsnap_core::model::Particulars::default(),
        spec,
    }
}

#[test]
fn a_record_is_read_back_as_it_was_taken() {
    let taken = record(|_| {});
    let text = serde_json::to_string(&taken.to_spec().unwrap()).unwrap();
    assert_eq!(Record::of(&container(serde_json::from_str(&text).unwrap())).unwrap(), taken);
}

/// Written by the first version; every later one must read it.
#[test]
fn a_record_of_format_1_is_read() {
    let frozen = json!({
        "format": 1, "id": ID,
        "config": {"Hostname": "572c144d49ab", "Image": "shop/web:1"},
        "host": {"NetworkMode": "front", "Binds": ["pgdata:/data"]},
        "networks": {"front": {"Aliases": ["web"]}},
        "mounts": [{"Type": "volume", "Name": "pgdata", "Destination": "/data"}],
        "peers": {"peer-id": "shop-vpn-1"}
    });
    let record = Record::of(&container(frozen)).unwrap();
    assert_eq!(body(&record)["HostConfig"]["Binds"], json!(["pgdata:/data:nocopy"]));
}

#[test]
fn a_record_that_is_not_understood_is_an_error_that_names_the_container() {
    for spec in [json!(null), json!({}), json!({"format": 2}), json!({"format": 1, "id": 7})] {
        let error = Record::of(&container(spec)).unwrap_err();
        assert_eq!(error.kind, EngineErrorKind::Failed);
        assert!(error.message.contains("shop-web-1"), "{}", error.message);
    }
}
