//! The configuration file through the real binary: what it changes, what is wrong with it, and whether it is trusted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::Command,
};

use serde_json::{Value, json};
use support::{Ran, World, has};

/// A setting of `config show`.
fn setting(document: &Value, key: &str) -> Value {
    let settings = document["settings"].as_array().unwrap();
    settings.iter().find(|s| s["key"] == key).unwrap_or_else(|| panic!("{key} is missing in {document}")).clone()
}

fn is(document: &Value, key: &str, value: impl Into<Value>, source: &str) {
    let setting = setting(document, key);
    assert_eq!((&setting["value"], &setting["source"]), (&value.into(), &json!(source)), "{setting}");
}

#[test]
fn an_argument_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let world = World::new();
    let run = |args: &[&str], jobs: Option<&str>| {
        let mut command = world.command(&[&["config", "show", "--json"], args].concat());
        command.envs(jobs.map(|jobs| ("VOLSNAP_JOBS", jobs))).env_remove("VOLSNAP_STATE_DIR").env("HOME", "/nowhere");
        Ran::of(command.output().unwrap()).json()
    };
    let document = run(&[], None);
    has(&document, &["file", "workload", "settings"]);
    is(&document, "jobs", Value::Null, "default");
    world.configure("# the first line\njobs = 2\nstate_dir = \"/srv/volsnap\"\nprogress = \"json\"\n");
    let document = run(&[], None);
    is(&document, "jobs", 2, "file");
    is(&document, "state_dir", "/srv/volsnap", "file");
    is(&document, "progress", "json", "file");
    assert_eq!(setting(&document, "jobs")["line"], json!(2));
    is(&document, "docker_host", format!("unix://{}", world.path("no-engine.sock").display()), "environment");
    is(&run(&[], Some("3")), "jobs", 3, "environment");
    is(&run(&[], Some("")), "jobs", 2, "file");
    let document = run(&["--jobs", "4", "--state-dir", "elsewhere", "--progress", "none"], Some("3"));
    is(&document, "jobs", 4, "flag");
    is(&document, "state_dir", "elsewhere", "flag");
    is(&document, "progress", "none", "flag");
    assert_eq!(setting(&document, "jobs")["name"], json!("--jobs"));

    let text = world.ok(&["config", "show", "--jobs", "4"]);
    for line in
        ["jobs 4 --jobs", "state_dir STATE VOLSNAP_STATE_DIR", "progress json FILE:4", "create.mode pause default"]
    {
        let line = line.replace("STATE ", &format!("{} ", world.state().display()));
        let line = line.replace("FILE", world.config_file().to_str().unwrap());
        let found = text.lines().any(|l| l.split_whitespace().eq(line.split_whitespace()));
        assert!(found, "{line} is missing in\n{text}");
    }
}

#[test]
fn what_the_file_says_is_done() {
    let world = World::registered();
    let elsewhere = world.path("elsewhere");
    let text = format!(
        "state_dir = {elsewhere:?}\n[create]\nmode = \"stop\"\n[restore]\nsafety_snapshot = false\n\
         [workload.app.create]\nmode = \"live\"\n"
    );
    world.configure(&text);
    let run = |args: &[&str]| {
        let ran =
            Ran::of(world.command(&[args, &["--json"]].concat()).env_remove("VOLSNAP_STATE_DIR").output().unwrap());
        assert_eq!(ran.status, 0, "{args:?}: {ran:?}");
        ran.json()
    };
    for name in ["app", "other"] {
        run(&["workload", "add", name, "--volume", &world.declare("/data", "data")]);
    }
    assert!(elsewhere.join("catalog.db").exists());
    let taken = run(&["create", "app"]);
    assert_eq!(taken["mode"], json!("live"));
    assert_eq!(run(&["create", "app", "--mode", "pause"])["mode"], json!("pause"));
    assert_eq!(run(&["create", "other"])["mode"], json!("stop"));

    let id = taken["id"].as_str().unwrap();
    assert_eq!(run(&["restore", "app", id, "--yes"])["safety_snapshot"], Value::Null);
    assert!(run(&["restore", "app", id, "--yes", "--no-safety-snapshot=false"])["safety_snapshot"].is_string());
    assert_eq!(run(&["restore", "app", id, "--yes", "--no-safety-snapshot"])["safety_snapshot"], Value::Null);
}

#[test]
fn an_archive_beyond_a_limit_is_hostile_and_the_key_is_named() {
    let (world, id) = World::damaged();
    world.ok(&["export", &id, "copy.tar.zst"]);
    let (place, out) = (format!("/data={}", world.path("clone").display()), world.path("out").display().to_string());
    let taking_out = [
        &["plan", "app", &id][..],
        &["restore", "app", &id, "--yes"],
        &["undo", "app", "--yes"],
        &["extract", &id, &out],
        &["clone", "app", &id, "--volume", &place],
        &["drill", "app", &id],
        &["import", "copy.tar.zst"],
    ];
    // There has to be something that could be undone.
    world.ok(&["restore", "app", &id, "--yes"]);
    for (key, limit) in [("entries_max", 3), ("bytes_max", 10), ("ratio_max", 1)] {
        world.configure(&format!("[limits]\n{key} = {limit}\n"));
        is(&world.json(&["config", "show"]), &format!("limits.{key}"), limit, "file");
        // A small archive holds less than it takes.
        for args in taking_out.iter().filter(|_| key != "ratio_max") {
            let message = world.fails("hostile", 10, args);
            assert!(message.contains(key) && message.contains(&limit.to_string()), "{args:?}: {message}");
            let hint = world.json_with(10, args)["error"]["hint"].to_string();
            assert!(hint.contains(&format!("{key} in [limits]")), "{args:?}: {hint}");
        }
        // What is only looked at is no danger, and a snapshot that is taken can be restored when the limit is raised.
        world.ok(&["verify", &id]);
        world.ok(&["ls", &id]);
        world.ok(&["create", "app"]);
    }
    world.configure("[limits]\nentries_max = 1_000\nbytes_max = 0x10000\nratio_max = 1000\n");
    is(&world.json(&["config", "show"]), "limits.entries_max", 1000, "file");
    for args in taking_out {
        assert_eq!(world.run(args).status, 0, "{args:?}: {:?}", world.run(args));
    }
    world.configure("[limits]\nentries_max = 0\nbyte_max = 1\n");
    let problems = world.json_with(2, &["config", "check"])["problems"].to_string();
    assert!(problems.contains("entries_max must be a number from 1"), "{problems}");
    assert!(problems.contains("unknown key byte_max in [limits]") && problems.contains("`bytes_max`"), "{problems}");
}

#[test]
fn contents_that_are_many_times_the_archive_are_hostile_where_that_is_limited() {
    let world = World::registered();
    fs::File::create(world.live("data").join("hollow")).unwrap().set_len(64 << 20).unwrap();
    let id = world.create();
    world.configure("[limits]\nratio_max = 1000\n");
    let message = world.fails("hostile", 10, &["restore", "app", &id, "--yes"]);
    assert!(message.contains("ratio_max"), "{message}");
    world.configure("");
    world.ok(&["restore", "app", &id, "--yes"]);
}

#[test]
fn a_workload_has_what_is_usual_and_what_is_its_own() {
    let world = World::new();
    world.configure(
        "[workload.shop.restore]\nhealth_timeout = \"none\"\n[workload.shop.retention]\nkeep_hourly = 24\n\
         [restore]\nhealth_timeout = \"2m\"\nredeploy = \"restart\"\n[retention]\nkeep_last = 3\nkeep_prerestore = 5\n",
    );
    let shop = world.json(&["config", "show", "shop"]);
    is(&shop, "restore.health_timeout", "none", "file");
    is(&shop, "restore.redeploy", "restart", "file");
    // Rules belong together: those of all workloads do not hold besides.
    is(&shop, "retention.keep_hourly", 24, "file");
    is(&shop, "retention.keep_last", 0, "default");
    is(&shop, "retention.keep_prerestore", 5, "file");
    let wiki = world.json(&["config", "show", "wiki"]);
    is(&wiki, "restore.health_timeout", "2m", "file");
    is(&wiki, "retention.keep_last", 3, "file");
    is(&wiki, "retention.keep_hourly", 0, "default");
    let all = world.json(&["config", "show"]);
    is(&all, "retention.keep_last", 3, "file");
    is(&all, "workload.shop.retention.keep_hourly", 24, "file");
}

#[test]
fn what_is_wrong_is_told_with_its_file_and_line_and_what_was_meant() {
    let world = World::registered();
    let file = world.config_file().display().to_string();
    for (text, line, message, hint) in [
        ("[retention]\nkeep_dayly = 7", 2, "unknown key keep_dayly in [retention]", "did you mean `keep_daily`?"),
        ("jobz = 7", 1, "unknown key jobz", "did you mean `jobs`?"),
        ("[create]\njobs = 7", 2, "unknown key jobs in [create]", "belongs above the first [table]"),
        ("\n\nkeep_last = 7", 3, "unknown key keep_last", "belongs in [retention]"),
        ("[create]\nzzz = 7", 2, "unknown key zzz in [create]", "are: mode"),
        ("[workload.app]\nmode = 7", 2, "unknown key mode in [workload.app]", "belongs in [create]"),
        ("[workload.app.restore]\nresum = true", 2, "in [workload.app.restore]", "did you mean `resume`?"),
        ("jobs = 0", 1, "jobs must be a number from 1", ""),
        ("jobs = 257", 1, "jobs must be a number from 1 to 256, and is 257", ""),
        ("jobs = \"2\"", 1, "and is \"2\"", ""),
        ("state_dir = \"relative\"", 1, "absolute path", ""),
        ("docker_host = \"tcp://10.0.0.1\"", 1, "unix:///path", ""),
        ("timezone = \"Europe/Atlantis\"", 1, "Europe/Rome", ""),
        ("[retention]\nkeep_last = -1", 2, "keep_last must be a number", ""),
        ("[retention]\nkeep_last = 4294967296", 2, "keep_last must be a number from 0 to 4294967295", ""),
        ("[retention]\nkeep_within = \"soon\"", 2, "such as \"7d\"", ""),
        ("[retention]\nkeep_within = \"0s\"", 2, "such as \"7d\"", ""),
        ("[create]\nmode = \"paused\"", 2, "mode must be \"pause\", \"stop\" or \"live\", and is \"paused\"", ""),
        ("[restore]\nresume = \"yes\"", 2, "resume must be true or false", ""),
        ("create = 1", 1, "create must be a table", ""),
        ("hooks = 1", 1, "hooks must be tables, [[hooks]]", ""),
        ("[[hooks]]\nat = \"pre-create\"", 1, "hooks number 1: command must be a list of words", ""),
        ("[[hooks]]\ncommand = [\"true\"]", 1, "at is missing: \"pre-create\", \"post-create\"", ""),
        ("[[hooks]]\nat = \"before\"\ncommand = [\"true\"]", 1, "at must be \"pre-create\"", ""),
        ("[[hooks]]\nat = \"pre-create\"\ncommand = []", 1, "no program", ""),
        ("[[hooks]]\nat = \"pre-create\"\ncommand = [\"a\"]\ntime = 1", 1, "unknown key \"time\"", ""),
        ("[[workload.app.hooks]]\nat = \"pre-create\"\ncommand = [\"a\"]\ntimeout = 1", 1, "timeout must be", ""),
        ("workload = []", 1, "workload must be a table", ""),
        ("[workload]\napp = 1", 2, "[workload.app]", ""),
        ("jobs = 1\njobs = 2", 2, "duplicate key", ""),
        ("jobs = ", 1, "", ""),
        ("[retention\nkeep_last = 1", 1, "", ""),
    ] {
        world.configure(text);
        let told = world.fails("usage", 2, &["list"]);
        assert!(told.starts_with(&format!("{file}:{line}: ")) && told.contains(message), "{text}: {told}");
        let hinted = world.json_with(2, &["list"])["error"]["hint"].as_str().unwrap().to_string();
        assert!(hinted.contains(hint), "{text}: {hinted}");

        let checked = world.json_with(2, &["config", "check"]);
        assert_eq!(checked["problems"].as_array().unwrap().len(), 1, "{text}: {checked}");
        assert_eq!((&checked["ok"], &checked["problems"][0]["line"]), (&json!(false), &json!(line)), "{text}");
    }
    world.configure("jobz = 1\n[retention]\nkeep_dayly = 1\n");
    assert!(world.fails("usage", 2, &["list"]).contains("1 more"));
    let ran = world.run(&["config", "check"]);
    assert_eq!((ran.status, ran.stdout.lines().count()), (2, 2), "{ran:?}");
    world.configure("jobs = 1");
    assert_eq!(world.json(&["config", "check"])["ok"], json!(true));
    assert_eq!(world.run(&["config", "check", "nowhere.toml"]).status, 8);
}

#[test]
fn a_file_that_others_could_have_written_is_not_heeded() {
    let world = World::registered();
    let file = world.config_file();
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    let refused = |word: &str| {
        let told = world.fails("refused", 3, &["list"]);
        assert!(told.contains(file.to_str().unwrap()) && told.contains(word), "{told}");
        let hint = world.json_with(3, &["list"])["error"]["hint"].as_str().unwrap().to_string();
        assert!(hint.contains("look at what it says") || word == "not a file", "{hint}");
    };
    mode(0o646);
    refused("written by everybody (mode 0646)");
    mode(0o640);
    world.ok(&["list"]);
    // Only root can give a file away.
    if chown(&file, Some(12_345), Some(12_345)).is_ok() {
        refused("belongs to user 12345");
        chown(&file, Some(0), Some(12_345)).unwrap();
        world.ok(&["list"]);
        mode(0o660);
        refused("written by the group 12345");
    } else {
        println!("skipped: files of other users, which only root can make");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused("not a file");
    fs::remove_dir(&file).unwrap();
    // A FIFO would keep a reader waiting for ever.
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    refused("not a file");
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"jobs = 1\nstate_dir = \"/\xff\"\n").unwrap();
    assert!(world.fails("usage", 2, &["list"]).contains(":2: is not UTF-8"));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let world = World::registered();
    let told = world.fails("not-found", 8, &["list", "--config", "nowhere.toml"]);
    assert!(told.contains("nowhere.toml"), "{told}");
    fs::remove_file(world.config_file()).unwrap();
    world.fails("not-found", 8, &["list"]);
    fs::write(world.path("mine.toml"), "jobs = 7").unwrap();
    is(&world.json(&["--config", "mine.toml", "config", "show"]), "jobs", 7, "file");
}

#[test]
fn a_word_that_recovery_has_no_use_for_does_not_keep_an_app_down() {
    let world = World::registered();
    world.make_large("data");
    let id = world.create();
    world.damage();
    let damaged = world.trees();
    world.kill_a_restore(&id);

    for fatal in ["state_dri = \"/srv\"\n", "jobs = 0\n", "[retention\n"] {
        world.configure(fatal);
        assert_eq!(world.run(&["recover"]).status, 2, "{fatal}");
    }
    world.configure("[retention]\nkeep_dayly = 7\n");
    world.fails("usage", 2, &["create", "app"]);
    assert_eq!(world.json(&["status"])["open"].as_array().unwrap().len(), 1);
    let ran = world.run(&["recover"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("config.toml:2: unknown key keep_dayly"), "{ran:?}");
    assert!(!world.journal(&workload_of(&world)).exists());
    assert_eq!(world.trees(), damaged);
}

fn workload_of(world: &World) -> String {
    world.configure("");
    world.workload()
}

#[test]
fn a_variable_that_is_empty_says_nothing() {
    let world = World::registered();
    let empty = |variable: &str, args: &[&str]| {
        Ran::of(world.command(&[args, &["--json"]].concat()).env(variable, "").output().unwrap())
    };
    let shown = empty("VOLSNAP_STATE_DIR", &["config", "show"]).json();
    assert_eq!(setting(&shown, "state_dir")["source"], "default", "{shown}");
    let usual = empty("VOLSNAP_CONFIG", &["config", "show"]).json();
    assert_eq!(setting(&usual, "config")["source"], "default", "{usual}");
    assert_eq!(empty("VOLSNAP_JOBS", &["create", "app"]).status, 0);
}

#[test]
fn looking_at_the_configuration_makes_no_state_directory() {
    let world = World::new();
    for args in [&["config", "show"][..], &["config", "check"], &["completions", "bash"], &["man", "pages"]] {
        world.json(args);
        assert!(!world.state().exists(), "{args:?}");
    }
}

/// In a mount namespace of its own, where `/etc` is empty.
#[test]
fn the_usual_file_is_used_if_it_is_there() {
    let world = World::new();
    let show = |setup: &str| {
        let script = format!(
            "set -e; mount -t tmpfs none /etc; {setup}; unset VOLSNAP_CONFIG; exec {} config show --json",
            env!("CARGO_BIN_EXE_volsnap")
        );
        Ran::of(Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap())
    };
    let may = Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success());
    if !may {
        println!("skipped: no mount namespace for this user");
        return;
    }
    assert_eq!(show(":").json()["file"], Value::Null);
    let document = show("mkdir /etc/volsnap; echo 'jobs = 9' > /etc/volsnap/config.toml").json();
    assert_eq!(document["file"], json!("/etc/volsnap/config.toml"));
    is(&document, "jobs", 9, "file");
    let ran = show("mkdir -p /etc/volsnap/config.toml");
    assert_eq!((ran.status, &ran.json()["error"]["code"]), (3, &json!("refused")), "{ran:?}");
    drop(world);
}

#[test]
fn the_example_of_the_documentation_is_in_order_and_has_every_key() {
    let world = World::new();
    let page = include_str!("../../docs/configuration.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    world.configure(example);
    assert_eq!(world.json(&["config", "check"])["problems"], json!([]));
    let shown = world.json(&["config", "show"]);
    for setting in shown["settings"].as_array().unwrap().iter().skip(1) {
        let key = setting["key"].as_str().unwrap().rsplit('.').next().unwrap();
        let written = [format!("\n{key} = "), format!("[[{key}]]")].iter().any(|text| example.contains(text));
        assert!(written || example.starts_with(&format!("{key} = ")), "{key} is not in the example");
    }
}
