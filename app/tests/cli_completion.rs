//! Completion at the prompt of real shells: commands, options and words of a list, and what only the catalog knows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::World;

/// Whether a shell is here; under `CI=true` it has to be.
fn is_here(shell: &str) -> bool {
    let is_here = Command::new(shell).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_here || std::env::var("CI").as_deref() != Ok("true"), "this test needs {shell}");
    if !is_here {
        println!("skipped: {shell} is not installed");
    }
    is_here
}

/// What a shell prints that runs a script in the world, with its volsnap first in the path.
fn run_shell(world: &World, shell: &str, script: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_volsnap")).parent().unwrap();
    let ours = world.command(&[]);
    let mut command = Command::new(shell);
    let command = command.env_clear().envs(ours.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let command = command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("HOME", world.path("home"));
    let command = command.current_dir(world.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{shell}: {stderr}\n{script}");
    stdout
}

/// What bash offers for a line whose last word is being typed.
fn in_bash(world: &World, line: &[&str]) -> Vec<String> {
    let script = world.ok(&["completions", "bash"]);
    let (last, previous) = (line.len() - 1, line[line.len() - 2]);
    let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    // At a `=` readline says that nothing of the next word was typed yet.
    let current = if line[last] == "=" { "" } else { line[last] };
    let tail = format!(
        "set -u\nCOMP_TYPE=9\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n\
         _clap_complete_volsnap volsnap '{current}' '{previous}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
    );
    offered(&run_shell(world, "bash", &format!("{script}\n{tail}")))
}

/// What zsh offers, without the explanations.
fn in_zsh(world: &World, line: &[&str]) -> Vec<String> {
    let script = world.ok(&["completions", "zsh"]);
    let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    // Outside of its line editor zsh has neither of these.
    let head = "compdef() { }\n_describe() { print -rl -- \"${(@P)3}\" }\n";
    let tail = format!("words=({words})\nCURRENT={}\n_clap_dynamic_completer_volsnap\ntrue\n", line.len());
    let printed = run_shell(world, "zsh", &format!("{head}{script}\n{tail}"));
    offered(&printed).iter().map(|line| line.split(':').next().unwrap().to_string()).collect()
}

/// What fish offers, without the explanations.
fn in_fish(world: &World, line: &[&str]) -> Vec<String> {
    let script = world.ok(&["completions", "fish"]);
    let printed = run_shell(world, "fish", &format!("{script}\ncomplete --do-complete '{}'\n", line.join(" ")));
    offered(&printed).iter().map(|line| line.split('\t').next().unwrap().to_string()).collect()
}

/// What is offered besides options, which stand in where there is no value.
fn offered(printed: &str) -> Vec<String> {
    let typed = |line: &&str| !line.is_empty() && (line.starts_with("--keep-d") || !line.starts_with("--"));
    printed.lines().filter(typed).map(str::to_string).collect()
}

type Ask = fn(&World, &[&str]) -> Vec<String>;

/// The shells that are here.
fn shells() -> BTreeMap<&'static str, Ask> {
    let all: [(&str, Ask); 3] = [("bash", in_bash), ("zsh", in_zsh), ("fish", in_fish)];
    all.into_iter().filter(|(shell, _)| is_here(shell)).collect()
}

#[test]
fn commands_options_and_words_of_a_list_are_completed() {
    let world = World::new();
    for (shell, ask) in shells() {
        let check = |line: &[&str], expected: &[&str]| assert_eq!(ask(&world, line), expected, "{shell}");
        check(&["volsnap", "resto"], &["restore"]);
        check(&["volsnap", "workload", "sh"], &["show"]);
        check(&["volsnap", "prune", "--keep-d"], &["--keep-daily"]);
        check(&["volsnap", "create", "--mode", "p"], &["pause"]);
        check(&["volsnap", "completions", "fi"], &["fish"]);
        check(
            &["volsnap", "workload", "hook", "add", "app", "--at", ""],
            &["pre-create", "post-create", "pre-restore", "post-restore"],
        );
        // Zsh adds the slash itself.
        let directory = ask(&world, &["volsnap", "import", "live/con"]);
        assert_eq!(directory.iter().map(|path| path.trim_end_matches('/')).collect::<Vec<_>>(), ["live/config"]);
    }
}

#[test]
fn workloads_snapshots_and_volumes_are_completed() {
    let (world, id) = World::damaged();
    let other = world.declare("/etc/other", "data");
    world.ok(&["workload", "add", "other", "--volume", &other]);
    let second = world.json(&["create", "other", "--note", "of the other"])["id"].as_str().unwrap().to_string();
    world.ok(&["workload", "hook", "add", "app", "--at", "pre-create", "--", "true"]);
    let typed = &id[..id.len() - 2];
    for (shell, ask) in shells() {
        let check = |line: &[&str], expected: &[&str]| assert_eq!(ask(&world, line), expected, "{shell}: {line:?}");
        check(&["volsnap", "create", ""], &["app", "other"]);
        check(&["volsnap", "create", "o"], &["other"]);
        check(&["volsnap", "--json", "workload", "show", "a"], &["app"]);
        check(&["volsnap", "import", "file", "--workload", "a"], &["app"]);
        check(&["volsnap", "events", "b"], &[]);
        // The newest first, and only those of the workload where one was typed.
        check(&["volsnap", "show", ""], &["latest", "app/latest", "other/latest", &second, &id]);
        check(&["volsnap", "show", "app/"], &["app/latest"]);
        check(&["volsnap", "restore", "app", ""], &["latest", &id]);
        check(&["volsnap", "restore", "app", "l"], &["latest"]);
        check(&["volsnap", "plan", "app", typed], &[&id]);
        check(&["volsnap", "plan", "nobody", ""], &[]);
        check(&["volsnap", "diff", &id, "li"], &["live"]);
        check(&["volsnap", "restore", "app", "latest", "--volume", ""], &["/config", "/data"]);
        check(&["volsnap", "ls", "latest", "/e"], &["/etc/other"]);
        check(&["volsnap", "ls", "app/latest", "/e"], &[]);
        check(&["volsnap", "ls", "app/latest", "/d"], &["/data"]);
        check(&["volsnap", "dump", &id, "/d"], &["/data"]);
        check(&["volsnap", "clone", "app", "latest", "--volume", "/d"], &["/data="]);
        check(&["volsnap", "workload", "hook", "remove", "app", ""], &["1"]);
    }
}

#[test]
fn the_state_directory_is_the_one_that_the_line_names() {
    let (world, id) = World::damaged();
    let elsewhere = world.path("elsewhere");
    fs::rename(world.state(), &elsewhere).unwrap();
    let by_file = world.path("home.toml");
    fs::write(&by_file, format!("state_dir = {elsewhere:?}\n")).unwrap();
    let (elsewhere, by_file) = (elsewhere.to_str().unwrap(), by_file.to_str().unwrap());
    for (shell, ask) in shells() {
        assert_eq!(ask(&world, &["volsnap", "show", ""]), [""; 0], "{shell}");
        let line = ["volsnap", "--state-dir", elsewhere, "show", "l"];
        assert_eq!(ask(&world, &line), ["latest"], "{shell}");
        // The environment goes before the file.
        assert_eq!(ask(&world, &["volsnap", "--config", by_file, "show", "l"]), [""; 0], "{shell}");
    }
    if is_here("bash") {
        // As bash cuts `--state-dir=/elsewhere` and `--volume=/d`.
        let line = ["volsnap", "--state-dir", "=", elsewhere, "plan", "app", &id, "--volume", "=", "/d"];
        assert_eq!(in_bash(&world, &line), ["/data"]);
        let line = ["volsnap", "--state-dir", "=", elsewhere, "create", "--mode", "="];
        assert_eq!(in_bash(&world, &line), ["pause", "stop", "live"]);
    }
    world.configure(&format!("state_dir = {elsewhere:?}\n"));
    let mut command = world.command(&["--", "volsnap", "show", "l"]);
    let output = command.env_remove("VOLSNAP_STATE_DIR").env("VOLSNAP_COMPLETE", "fish").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "latest\tthe newest\n");
}

/// What the binary answers to a shell, and how long it takes at best.
fn asked(world: &World, line: &[&str]) -> (String, Duration) {
    let mut best = Duration::MAX;
    let mut answer = String::new();
    for _ in 0..20 {
        let mut command = world.command(&[&["--", "volsnap"], line].concat());
        let begun = Instant::now();
        let output = command.env("VOLSNAP_COMPLETE", "fish").output().unwrap();
        best = best.min(begun.elapsed());
        assert!(output.status.success() && output.stderr.is_empty(), "{line:?}: {output:?}");
        answer = String::from_utf8(output.stdout).unwrap();
    }
    (answer, best)
}

#[test]
fn an_answer_is_quick_and_changes_nothing() {
    let (world, id) = World::damaged();
    world.make_large("data");
    world.kill_a_restore(&id);
    let all = || {
        let mut state = support::tree(&world.state());
        // Readers leave their marks in the index of the log.
        state.remove(Path::new("catalog.db-shm"));
        (world.trees(), state)
    };
    let before = all();
    for line in [&["restore", ""][..], &["restore", "app", ""], &["restore", "app", "latest", "--volume", ""]] {
        let (answer, best) = asked(&world, line);
        assert!(answer.lines().count() > 0, "{line:?}");
        assert!(best < Duration::from_millis(50), "{line:?}: {best:?}");
    }
    assert!(all() == before, "an open restore is not left as it is");
}

#[test]
fn what_goes_wrong_is_silence() {
    let world = World::new();
    let nothing = |line: &[&str]| assert_eq!(offered(&asked(&world, line).0), [""; 0], "{line:?}");
    nothing(&["restore", ""]);
    assert!(!world.state().exists(), "a state directory was made");

    fs::create_dir(world.state()).unwrap();
    nothing(&["restore", ""]);
    assert_eq!(fs::read_dir(world.state()).unwrap().count(), 0);
    fs::write(world.state().join("catalog.db"), "no catalog").unwrap();
    nothing(&["restore", ""]);
    nothing(&["workload", "add", "--compose-project", ""]);
    nothing(&["no-such-command", "x"]);
    nothing(&["restore", "\u{1F980}", "--no-such", "x"]);
    world.configure("unknown = 1\n[broken");
    nothing(&["restore", ""]);
    assert_eq!(fs::read_to_string(world.state().join("catalog.db")).unwrap(), "no catalog");
}

#[test]
fn an_engine_that_does_not_answer_is_not_waited_for() {
    let world = World::registered();
    let _listener = UnixListener::bind(world.path("no-engine.sock")).unwrap();
    let begun = Instant::now();
    let output = world
        .command(&["--", "volsnap", "workload", "add", "x", "--container", ""])
        .env("VOLSNAP_COMPLETE", "fish")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn every_shell_gets_completions_that_it_can_read() {
    let world = World::new();
    for (shell, check) in [("bash", "-n"), ("zsh", "--no-exec"), ("fish", "--no-execute"), ("elvish", "-compileonly")] {
        let script = world.ok(&["completions", shell]);
        assert!(script.contains("VOLSNAP_COMPLETE"), "{shell}");
        let document = world.json(&["completions", shell]);
        assert_eq!(document["script"].as_str().unwrap(), script, "{shell}");
        if Command::new(shell).arg("--version").output().is_err() {
            println!("skipped: {shell} is not installed");
            continue;
        }
        let file = world.path("completions");
        fs::write(&file, script).unwrap();
        let output = Command::new(shell).arg(check).arg(&file).output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
    world.fails("usage", 2, &["completions", "tcsh"]);
}
