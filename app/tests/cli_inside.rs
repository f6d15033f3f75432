//! `ls` and `dump` through the real binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::FileExt},
};

use serde_json::{Value, json};
use support::{World, has};
use volsnap::model::member::{escape, printable};

fn members(document: &Value) -> Vec<(&str, &str, &str)> {
    let text = |member: &Value, field: &str| -> &'static str { member[field].as_str().unwrap().to_string().leak() };
    let members = document["members"].as_array().unwrap();
    members.iter().map(|m| (text(m, "target"), text(m, "path"), text(m, "kind"))).collect()
}

#[test]
fn a_snapshot_lists_its_members() {
    let (world, id) = World::damaged();
    let all = world.json(&["ls", "latest"]);
    assert_eq!(all["snapshot"], id);
    let data = [
        ("/data", "", "directory"),
        ("/data", "below", "directory"),
        ("/data", "below/deeper", "directory"),
        ("/data", "below/empty", "file"),
        ("/data", "below/linked", "file"),
        ("/data", "below/pointer", "symlink"),
        ("/data", "below/script", "file"),
        ("/data", "file", "hard-link"),
    ];
    assert_eq!(members(&all).len(), 2 * data.len());
    assert_eq!(members(&world.json(&["ls", &id[..8], "/data"])), data);
    assert_eq!(members(&world.json(&["ls", &id, "/data/below"])), data[1..7]);
    let document = world.json(&["ls", &id, "/data//below/script/"]);
    let script = &document["members"][0];
    has(script, &["target", "path", "kind", "mode", "uid", "gid", "bytes", "mtime", "link"]);
    assert_eq!((&script["mode"], &script["bytes"], &script["link"]), (&json!("0751"), &json!(10), &Value::Null));
    let document = world.json(&["ls", &id, "/data/file"]);
    assert_eq!(document["members"][0]["link"], "below/linked");

    let text = world.ok(&["ls", &id, "/data/below"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[0].starts_with("drwx") && lines[0].ends_with(" /data/below"), "{text}");
    assert!(lines[4].ends_with(" /data/below/pointer -> ../file"), "{text}");
    assert!(lines[5].starts_with("-rwxr-x--x ") && lines[5].ends_with("Z /data/below/script"), "{text}");
}

#[test]
fn latest_is_that_of_a_workload_where_one_is_named_before_it() {
    let (world, id) = World::damaged();
    world.ok(&["workload", "add", "other", "--volume", &world.declare("/data", "data")]);
    let other = world.json(&["create", "other"])["id"].as_str().unwrap().to_string();
    for (named, expected) in [("latest", &other), ("other/latest", &other), ("app/latest", &id)] {
        assert_eq!(&world.json(&["show", named])["id"], expected, "{named}");
        assert_eq!(&world.json(&["ls", named, "/data"])["snapshot"], expected, "{named}");
    }
    let workload = world.json(&["show", &id])["workload_id"].as_str().unwrap().to_string();
    assert_eq!(world.json(&["show", &format!("{workload}/{id}")])["id"], id);
    world.fails("not-found", 8, &["show", &format!("other/{id}")]);
    world.fails("usage", 2, &["show", "app/l"]);
    let message = world.fails("not-found", 8, &["show", "nobody/latest"]);
    assert_eq!(message, "there is no workload nobody");
    let message = world.fails("not-found", 8, &["ls", "/data/below"]);
    assert_eq!(message, "there is no snapshot /data/below");
    for (name, code, status) in [("other", "not-found", 8), ("app", "usage", 2)] {
        world.fails(code, status, &["show", name]);
        let hint = &world.json_with(status, &["show", name])["error"]["hint"];
        assert_eq!(*hint, format!("{name} is a workload; `{name}/latest` is its newest snapshot"));
    }
    world.ok(&["plan", "app", "app/latest"]);
    world.fails("refused", 3, &["restore", "app", "other/latest", "--yes"]);
}

#[test]
fn a_file_comes_out_as_it_was() {
    let (world, id) = World::damaged();
    assert_eq!(world.ok(&["dump", &id, "/data", "below/script"]), "#!/bin/sh\n");
    for path in ["file", "/file", "./file", "below/linked"] {
        assert_eq!(world.ok(&["dump", "latest", "/data", path]), "data as it was", "{path}");
    }
    assert_eq!(world.ok(&["dump", &id, "/config", "file", "--json"]), "config as it was");
    assert_eq!(world.ok(&["dump", &id, "/data", "below/empty"]), "");
}

#[test]
fn what_is_not_there_and_what_has_no_contents_is_said_with_a_way_on() {
    let (world, id) = World::damaged();
    let hint = |args: &[&str], code: &str, status| {
        world.fails(code, status, args);
        world.json_with(status, args)["error"]["hint"].as_str().unwrap().to_string()
    };
    let shows = format!("/data/below is there: `volsnap ls {id} /data/below` shows what it holds");
    assert_eq!(hint(&["dump", &id, "/data", "below/none/deep"], "not-found", 8), shows);
    assert_eq!(hint(&["ls", &id, "/data/below/none"], "not-found", 8), shows);
    let linked = hint(&["dump", &id, "/data", "below/pointer/x"], "not-found", 8);
    assert_eq!(linked, "/data/below/pointer is a symbolic link to `../file`");
    assert_eq!(
        hint(&["dump", &id, "/data", "data/file"], "not-found", 8),
        "paths begin below the volume: give it without /data"
    );
    assert_eq!(hint(&["dump", &id, "/dat", "file"], "not-found", 8), "its volumes are: /config, /data");
    assert_eq!(hint(&["ls", &id, "/dat"], "not-found", 8), "its volumes are: /config, /data");
    let message = world.fails("refused", 3, &["dump", &id, "/data", "below/pointer"]);
    assert!(message.ends_with("is a symbolic link to `../file`"), "{message}");
    let listed = hint(&["dump", &id, "/data", "below"], "refused", 3);
    assert!(listed.contains(&format!("`volsnap ls {id} /data/below`")), "{listed}");
    world.fails("usage", 2, &["dump", &id, "/data", "below/../file"]);
    world.fails("not-found", 8, &["ls", "0123456789"]);
}

#[test]
fn no_name_disturbs_a_terminal() {
    let world = World::registered();
    let name = "e\u{1b}[2J\n\u{9b}%";
    fs::write(world.live("data").join(name), "odd").unwrap();
    let id = world.create();
    let text = world.ok(&["ls", &id, "/data"]);
    assert!(text.lines().any(|line| line.ends_with(" /data/e%1B[2J%0A%C2%9B%25")), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    let document = world.json(&["ls", &id, &format!("/data/{name}")]);
    assert_eq!(document["members"][0]["path"], "e\u{1b}[2J\n\u{9b}%25");
    assert_eq!(world.ok(&["dump", &id, "/data", name]), "odd");
}

/// Names as lists and documents print them, and as they are. Where both exist, each text means the name that it is.
#[test]
fn what_is_listed_can_be_given_back() {
    let world = World::registered();
    let data = world.live("data");
    let names =
        [&b"latin1-\xe9\xff\xc3"[..], b"new\nline", b"%41%", b"\x1b[31m", "\u{fc}%".as_bytes(), b"both%25", b"both%"];
    fs::create_dir(data.join("100%")).unwrap();
    for name in names {
        for dir in ["", "100%/"] {
            let name = [dir.as_bytes(), name].concat();
            fs::write(data.join(OsStr::from_bytes(&name)), &name).unwrap();
        }
    }
    let id = world.create();
    let contents = |path: &OsStr| {
        let dumped = world.command(&["dump", &id, "/data"]).arg(path).output().unwrap();
        assert!(dumped.status.success(), "{dumped:?}");
        dumped.stdout
    };
    for name in names {
        for dir in ["", "100%/"] {
            let name = [dir.as_bytes(), name].concat();
            assert_eq!(contents(OsStr::from_bytes(&name)), name, "as it is");
            let [printed, in_document] = [printable(&name), escape(&name)];
            if printed == "both%25" {
                assert_eq!(contents(OsStr::new(&printed)), b"both%25", "the very name comes first");
                continue;
            }
            assert_eq!(contents(OsStr::new(&printed)), name, "{printed}");
            assert_eq!(contents(OsStr::new(&in_document)), name, "{in_document}");
        }
    }
    for name in &names[..3] {
        let printed = printable(name);
        let listed = world.ok(&["ls", &id, &format!("/data/{printed}")]);
        assert!(listed.trim_end().ends_with(&format!("/data/{printed}")), "{listed}");
        let place = world.path(&format!("copy of {printed}"));
        world.ok(&["extract", &id, &place.display().to_string(), &format!("/data/{printed}")]);
        assert_eq!(fs::read(place.join("data").join(OsStr::from_bytes(name))).unwrap(), *name);
    }
    for wrong in ["latin1-%e9%ff%c3", "%62oth%25"] {
        world.fails("not-found", 8, &["dump", &id, "/data", wrong]);
    }
    fs::write(data.join(OsStr::from_bytes(names[0])), "changed since").unwrap();
    let differs = world.ok(&["diff", &id, "--path", "/data/latin1-%E9%FF%C3"]);
    assert!(differs.contains("latin1-%E9%FF%C3"), "{differs}");
}

#[test]
fn a_reader_that_goes_away_has_heard_enough() {
    let world = World::registered();
    for n in 0..3000 {
        fs::write(world.live("config").join(format!("member-{n:0>100}")), "").unwrap();
    }
    world.make_large("data");
    let id = world.create();
    let (list, json) = (["ls", &*id, "/"], ["ls", &*id, "/", "--json"]);
    for args in [&list[..], &json[..], &["dump", &id, "/data", "large-7"][..]] {
        let mut child = world.command(args).spawn().unwrap();
        let mut first = Vec::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_until(b'\n', &mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty() && !first.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn damage_ends_with_its_status_and_what_came_before_it_is_good() {
    let world = World::registered();
    let mut bytes: Vec<u8> = Vec::new();
    let mut state = 1_u64;
    bytes.resize_with(11 << 20, || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    });
    fs::write(world.live("data").join("large"), &bytes).unwrap();
    fs::write(world.live("data").join("zlast"), "").unwrap();
    let id = world.create();
    let archive = File::options().read(true).write(true).open(world.archive(&id)).unwrap();
    // In the last frame of the volume, which holds the end of the large file and the last one.
    let at = 10 << 20;
    let mut byte = [0];
    archive.read_exact_at(&mut byte, at).unwrap();
    archive.write_all_at(&[byte[0] ^ 1], at).unwrap();

    for args in [&["dump", &*id, "/data", "large"][..], &["dump", &id, "/data", "large", "--json"]] {
        let output = world.command(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(9), "{stderr}");
        assert!(!output.stdout.is_empty() && bytes.starts_with(&output.stdout), "{} bytes", output.stdout.len());
        let told = format!("the {} bytes that were written before are good", output.stdout.len());
        assert!(stderr.contains(&told), "{stderr}");
        if args.contains(&"--json") {
            assert_eq!(serde_json::from_str::<Value>(&stderr).unwrap()["error"]["code"], "corrupt");
        }
    }
    let document = world.json_with(9, &["ls", &id]);
    assert_eq!(document["error"]["code"], "corrupt");
    let listed = members(&document);
    assert!(listed.contains(&("/config", "", "directory")) && !listed.iter().any(|m| m.1 == "zlast"), "{listed:?}");
    let ran = world.run(&["ls", &id]);
    assert_eq!(ran.status, 9);
    assert!(ran.stdout.contains(" /config\n") && ran.stderr.contains("error: "), "{ran:?}");
}
