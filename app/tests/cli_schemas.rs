//! What commands print with `--json` is what `volsnap schema` says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};
use support::{
    World,
    schema::{self, Judge},
};
use uuid::Uuid;
use volsnap::{
    model::{RestoreId, SnapshotId, WorkloadId},
    view::{
        BondView, DiscoveredView, DiscoveryView, KeptArchivedView, KeptListView, KeptSetView, KeptVolumeView,
        ReportedVolumeView, RunningView, SCHEMAS, Schema, VolumeView, WithoutVolumesView,
    },
};

/// Each document, with as much in it as a world without an engine has; each is held to its schema as it is read.
fn documents() -> Vec<(Schema, Value)> {
    let world = World::new();
    world.configure("[workload.app.retention]\nkeep_last = 3\n");
    fs::write(world.path("wrong.toml"), "job = 3\n").unwrap();
    let mut all = Vec::new();
    let (data, config) = (world.declare("/data", "data"), world.declare("/config", "config"));
    let mut run = |status: i32, args: &[&str]| {
        let document = world.json_with(status, args);
        all.push((
            schema::of(&["--json"].into_iter().chain(args.iter().copied()).collect::<Vec<_>>(), &document),
            document.clone(),
        ));
        document
    };
    run(0, &["workload", "add", "app", "--volume", &data, "--volume", &config, "--dry-run"]);
    run(0, &["workload", "add", "app", "--volume", &data, "--volume", &config]);
    run(0, &["workload", "hook", "add", "app", "--at", "pre-create", "--", "true"]);
    run(0, &["workload", "hook", "add", "app", "--at", "post-restore", "--", "false"]);
    run(0, &["workload", "show", "app"]);
    run(0, &["workload", "list"]);
    let id = run(0, &["create", "app", "--note", "as it was"])["id"].as_str().unwrap().to_string();
    world.damage();
    run(0, &["pin", &id, "--note", "for good"]);
    run(0, &["list"]);
    run(0, &["ls", &id]);
    run(0, &["diff", &id]);
    run(0, &["diff", &id, "--summary"]);
    run(0, &["verify", &id]);
    run(0, &["plan", "app", &id]);
    run(5, &["restore", "app", &id, "--yes"]);
    run(0, &["undo", "app", "--no-hooks"]);
    fs::create_dir_all(world.path("live").join(".volsnap-01a2066d4da575278c3b39032ee00531-0/aside")).unwrap();
    run(0, &["kept", "list"]);
    run(0, &["kept", "discard", "2ee00531", "--yes"]);
    run(0, &["drill", "app"]);
    run(0, &["extract", &id, "out"]);
    run(0, &["export", &id, "app.tar.zst"]);
    run(0, &["import", "app.tar.zst", "--workload", "app"]);
    run(0, &["prune", "app", "--dry-run"]);
    run(0, &["unpin", &id]);
    run(0, &["delete", &id]);
    fs::write(world.state().join("snapshots").join(world.workload()).join(format!("{id}.tar.zst")), "no archive")
        .unwrap();
    run(5, &["rebuild"]);
    run(0, &["recover"]);
    run(0, &["status"]);
    run(0, &["events"]);
    run(5, &["doctor"]);
    run(0, &["config", "show", "app"]);
    run(2, &["config", "check", "wrong.toml"]);
    run(0, &["completions", "bash"]);
    run(0, &["man", "pages"]);
    run(0, &["schema"]);
    run(0, &["--version"]);
    run(8, &["show", "ffffffff"]);
    run(0, &["workload", "remove", "app", "--delete-snapshots"]);
    all
}

/// What only an engine has to tell of.
fn discovery() -> Value {
    let found = DiscoveredView {
        bond: BondView { kind: "compose-project", name: "shop".into() },
        containers: vec![RunningView {
            name: "shop-web-1".into(),
            image: "shop:7".into(),
            image_id: "sha256:00".into(),
            state: volsnap::model::RunState::Running,
            restart_policy: "always".into(),
        }],
        volumes: vec![VolumeView { target: "/data".into(), path: "/srv/data".into() }],
        left_out: vec!["/run/lock: read-only".into()],
        register: "volsnap workload add shop".into(),
    };
    let without = WithoutVolumesView {
        bond: BondView { kind: "container", name: "proxy".into() },
        left_out: vec!["proxy:/acme.json: a single file".into()],
    };
    serde_json::to_value(DiscoveryView { found: vec![found], without_volumes: vec![without] }).unwrap()
}

/// What only a restore that could not take its safety snapshot leaves.
fn kept() -> [(Schema, Value); 2] {
    let volumes = vec![KeptVolumeView {
        target: Some("/data".into()),
        path: "/srv/.volsnap-0-0".into(),
        tree: Some("/srv/.volsnap-0-0/aside".into()),
        bytes: Some(1),
        entries: Some(2),
    }];
    let (workload, restore, snapshot) = (WorkloadId(Uuid::nil()), RestoreId(Uuid::nil()), SnapshotId(Uuid::nil()));
    let set = KeptSetView {
        id: "00000000".into(),
        workload: "app".into(),
        workload_id: workload,
        restore_id: restore,
        snapshot: Some(snapshot),
        since: Some(jiff::Timestamp::UNIX_EPOCH),
        reason: Some("a full disk".into()),
        open: false,
        gone: Vec::new(),
        volumes,
        hint: "`volsnap kept archive 00000000`".into(),
    };
    let archived = KeptArchivedView {
        id: "00000000".into(),
        workload: "app".into(),
        workload_id: workload,
        restore_id: restore,
        safety_snapshot: Some(snapshot),
        volumes: vec![ReportedVolumeView {
            target: "/data".into(),
            method: volsnap::restore::plan::Method::Exchange,
            bytes: 1,
            entries: 2,
        }],
        warnings: vec!["the audit event was not recorded: a full disk".into()],
    };
    [
        (Schema::named("kept-list").unwrap(), serde_json::to_value(KeptListView { kept: vec![set] }).unwrap()),
        (Schema::named("kept-archive").unwrap(), serde_json::to_value(archived).unwrap()),
    ]
}

/// What a script may not rely on: any JSON may stand there.
fn is_open(schema: Schema, pointer: &str) -> bool {
    match schema.name {
        "config-show" => pointer.ends_with("/value"),
        "events" => pointer.contains("/detail"),
        "plan" => pointer == "/plan" || pointer.starts_with("/plan/"),
        _ => false,
    }
}

#[test]
fn every_document_follows_its_schema_and_nothing_like_it_does() {
    let mut documents = documents();
    documents.push((Schema::named("workload-discover").unwrap(), discovery()));
    documents.extend(kept());
    documents.push((Schema::named("progress").unwrap(), json!({ "notice": "interrupted", "elapsed_ms": 1 })));
    let seen: BTreeSet<&str> = documents.iter().map(|(schema, _)| schema.name).collect();
    assert_eq!(seen, SCHEMAS.iter().map(|schema| schema.name).collect(), "each schema needs a document here");
    for (schema, document) in &documents {
        let judge = Judge::of(*schema);
        assert_eq!(judge.problem(document), None, "{}: {document:#}", schema.name);
        for pointer in pointers(document).into_iter().filter(|pointer| !is_open(*schema, pointer)) {
            let mut another = document.clone();
            // Neither a number nor a word, a list, `null` or an object of any kind that is printed.
            *another.pointer_mut(&pointer).unwrap() = json!({ "volsnap": -1 });
            assert!(judge.problem(&another).is_some(), "{}: anything may be at {pointer}", schema.name);
        }
        let schema: Value = serde_json::from_str(schema.text).unwrap();
        for field in schema["required"].as_array().into_iter().flatten() {
            let mut shorter = document.clone();
            shorter.as_object_mut().unwrap().remove(field.as_str().unwrap());
            assert!(judge.problem(&shorter).is_some(), "{}: {field} may be left out", schema["title"]);
        }
    }
}

/// Where everything in a document is, but for itself.
fn pointers(document: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        let below = pointers(value).into_iter().map(|rest| format!("/{key}{rest}"));
        [format!("/{key}")].into_iter().chain(below).collect::<Vec<_>>()
    };
    match document {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(|(at, value)| below(&at.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[test]
fn a_schema_is_found_by_its_name_and_by_its_commands() {
    let world = World::new();
    let report = world.ok(&["schema", "report"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["$id"], "urn:volsnap:schema:report");
    for name in [&["undo"][..], &["restore"], &["restore", "--json"]] {
        assert_eq!(world.run(&[&["schema"], name].concat()).stdout, report, "{name:?}");
    }
    let workload = world.ok(&["schema", "workload", "add"]);
    assert_eq!(world.ok(&["schema", "workload"]), workload);
    let list = world.ok(&["schema"]);
    assert!(list.contains("restore, undo"), "{list}");
    world.fails("not-found", 8, &["schema", "nothing"]);
}

#[test]
fn a_report_says_what_was_recovered_before_it() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.kill_a_restore(&id);
    let created = world.json(&["create", "app"]);
    assert_eq!(created["recovered"][0]["outcome"], "aborted", "{created}");
    let judge = Judge::of(Schema::named("snapshot").unwrap());
    let mut wrong = created;
    wrong["recovered"][0]["outcome"] = json!("unheard-of");
    assert!(judge.problem(&wrong).is_some());
}
