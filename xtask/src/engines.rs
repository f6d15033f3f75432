//! `engines`: the tests of containers on other engines than that of this machine.
//!
//! Each engine comes out of the root directory of another Debian release, made once from the mirror that this machine
//! installs from, and kept below `target/engines`. Nothing of it is installed here.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    block::Block,
    run::{Outcome, cargo, root, run},
    scratch::unmount_below,
};

/// What the tests said of each engine.
pub const RESULTS: Block = Block { name: "engines", command: "cargo xtask engines --write" };
/// What a test's engine is named by, as `PROGRAM:ROOT`.
const VARIABLE: &str = "VOLSNAP_TEST_ENGINE";
/// The test binaries that run on any engine: the contract of the port, and the main job with its crashes.
const BINARIES: [&str; 2] = ["containers_docker", "docker_end_to_end"];
/// What a root directory gets besides the smallest system.
const PACKAGES: &str = "docker.io,podman,runc,iptables,netavark,aardvark-dns,ca-certificates";

/// An engine that tests can run on.
struct Engine {
    name: &'static str,
    /// `docker` or `podman`.
    program: &'static str,
    /// Its Debian package.
    package: &'static str,
    /// The Debian release that has it.
    suite: &'static str,
    /// Tests, and whole binaries of them, that it cannot pass, and why.
    cannot: &'static [(&'static str, &'static str)],
}

const ENGINES: [Engine; 6] = [
    Engine { name: "docker-20.10", program: "docker", package: "docker.io", suite: "bookworm", cannot: &[] },
    Engine { name: "docker-26", program: "docker", package: "docker.io", suite: "trixie", cannot: &[] },
    Engine { name: "docker-28", program: "docker", package: "docker.io", suite: "sid", cannot: &[] },
    Engine { name: "podman-4.3", program: "podman", package: "podman", suite: "bookworm", cannot: &PODMAN_4 },
    Engine { name: "podman-5.4", program: "podman", package: "podman", suite: "trixie", cannot: &PODMAN_5 },
    Engine { name: "podman-sid", program: "podman", package: "podman", suite: "sid", cannot: &PODMAN_5 },
];

/// The engines on which every run of the tests holds the contract, beside that of this machine: they are out of one release,
/// and its root directory is made in less than a minute.
const WITH_EVERY_TEST: [&str; 2] = ["docker-26", "podman-5.4"];

/// Podman since 5.1.
const PODMAN_5: [(&str, &str); 1] = [(
    "random_containers_are_as_they_were_after_both_ways_of_bringing_them_back",
    "it does not show every option as it was asked for, so that not every container that is made anew is the same",
)];

/// Podman before 5.1: plans and snapshots say beforehand what it cannot do.
const PODMAN_4: [(&str, &str); 19] = {
    const POLICY: &str = "it cannot change the restart policy of a container that exists";
    const CLIENT: &str = "today's docker command does not get on with it";
    [
        ("a_container_that_cannot_be_started_has_its_policy_back", POLICY),
        ("a_fenced_container_is_not_revived_by_a_reboot", POLICY),
        ("a_lost_container_is_made_from_its_record", POLICY),
        ("a_replacement_that_cannot_start_brings_the_old_one_back", POLICY),
        ("a_stranger_gets_its_policy_back_and_is_never_made_anew", POLICY),
        ("random_containers_are_as_they_were_after_both_ways_of_bringing_them_back", POLICY),
        ("recreating_keeps_everything_but_the_old_container", POLICY),
        ("recreating_twice_is_recreating_once", POLICY),
        ("recreating_works_from_every_state_that_a_crash_leaves", POLICY),
        ("restarting_keeps_the_container", POLICY),
        ("the_way_back_from_a_replacement_leads_to_the_original", POLICY),
        ("what_was_paused_is_paused_again", POLICY),
        ("what_was_stopped_stays_stopped", POLICY),
        ("every_option_of_a_container_survives_its_recreation", POLICY),
        ("a_container_comes_back_with_the_image_that_is_asked_for", CLIENT),
        ("the_recorded_content_runs_although_its_tag_moved", CLIENT),
        ("networks_aliases_and_addresses_survive_a_recreation", "its compatible socket takes no MAC address"),
        (
            "the_old_container_and_the_new_one_never_run_at_the_same_time",
            "its events do not say in one word that a container ended",
        ),
        ("docker_end_to_end", POLICY),
    ]
};

/// What the tests said of one engine.
struct Said {
    name: &'static str,
    version: String,
    passed: u32,
    failed: u32,
    cannot: String,
}

/// `engines [NAME…] [--write]`.
pub fn engines(arguments: &[&str]) -> Outcome {
    let write = arguments.contains(&"--write");
    let names: Vec<&str> = arguments.iter().copied().filter(|word| *word != "--write").collect();
    if let Some(strange) = names.iter().find(|name| !ENGINES.iter().any(|engine| engine.name == **name)) {
        let known: Vec<&str> = ENGINES.iter().map(|engine| engine.name).collect();
        return Err(format!("there is no engine `{strange}`: choose of {}", known.join(", ")));
    }
    if write && !names.is_empty() {
        return Err("--write puts the results of all engines into the document: name none".into());
    }
    let chosen = ENGINES.iter().filter(|engine| names.is_empty() || names.contains(&engine.name));
    let said = chosen.map(|engine| on(engine, &BINARIES)).collect::<Outcome<Vec<_>>>()?;
    let table = table(&said);
    println!("{table}");
    if write {
        RESULTS.write(&root().join("adapters/docker/README.md"), &table)?;
    }
    match said.iter().find(|said| said.failed > 0) {
        Some(said) => Err(format!("{} tests failed on {}", said.failed, said.name)),
        None => Ok(()),
    }
}

/// The contract of containers on the engines that every run of the tests has. Names those that this machine cannot have;
/// where `CI=true` that is an error.
pub fn with_every_test() -> Outcome {
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    for engine in ENGINES.iter().filter(|engine| WITH_EVERY_TEST.contains(&engine.name)) {
        match system(engine.suite) {
            Ok(_) => {
                let said = on(engine, &BINARIES[..1])?;
                if said.failed > 0 {
                    return Err(format!("{} tests failed on {} {}", said.failed, said.name, said.version));
                }
            }
            Err(why) if is_ci => return Err(format!("there is no {} for the tests: {why}", engine.name)),
            Err(why) => eprintln!("skipped the contract of containers on {}: {why}", engine.name),
        }
    }
    Ok(())
}

/// Runs test binaries on one engine.
fn on(engine: &Engine, binaries: &[&str]) -> Outcome<Said> {
    let system = system(engine.suite)?;
    let version = version(&system, engine.package)?;
    // The whole workspace, as every other run of the tests: a selection would build it once more, with other features.
    let mut command = cargo(&["test", "--workspace"]);
    let able = binaries.iter().filter(|binary| engine.cannot.iter().all(|(what, _)| what != *binary));
    command.args(able.flat_map(|binary| ["--test", binary]));
    command.args(["--no-fail-fast", "--", "--test-threads", "3"]);
    command.args(engine.cannot.iter().flat_map(|(test, _)| ["--skip", test]));
    command.env(VARIABLE, format!("{}:{}", engine.program, system.display()));
    eprintln!("$ {VARIABLE}={}:{} cargo test --workspace … ({version})", engine.program, system.display());
    let ended = command.stderr(Stdio::inherit()).output().map_err(|e| format!("cannot run cargo: {e}"))?;
    let told = String::from_utf8_lossy(&ended.stdout);
    println!("{told}");
    let (passed, failed) = counted(&told);
    if passed + failed == 0 || (failed == 0 && !ended.status.success()) {
        return Err(format!("the tests on {} did not run to their end: {}", engine.name, ended.status));
    }
    let cannot: BTreeSet<&str> = engine.cannot.iter().map(|(_, why)| *why).collect();
    let cannot: Vec<&str> = cannot.into_iter().collect();
    Ok(Said { name: engine.name, version, passed, failed, cannot: cannot.join("; ") })
}

/// How many tests passed and failed, by the lines that the runner ends each binary with.
fn counted(told: &str) -> (u32, u32) {
    let number = |line: &str, what: &str| -> u32 {
        let before = line.split(what).next().unwrap_or_default();
        before.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or_default()
    };
    let lines = told.lines().filter(|line| line.starts_with("test result: "));
    lines.fold((0, 0), |(passed, failed), line| (passed + number(line, " passed"), failed + number(line, " failed")))
}

fn table(said: &[Said]) -> String {
    let mut table = String::from("| engine | version | passed | failed | left out |\n|---|---|---:|---:|---|");
    for Said { name, version, passed, failed, cannot } in said {
        let _ = write!(table, "\n| {name} | {version} | {passed} | {failed} | {cannot} |");
    }
    table
}

/// The root directory of a Debian release, made if it is not there yet.
fn system(suite: &str) -> Outcome<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let base = root().join(target).join("engines");
    let there = base.join(suite);
    if there.is_dir() {
        return Ok(there);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(format!("to make {} needs root", there.display()));
    }
    let mirror = mirror()?;
    let new = base.join(format!("{suite}.new"));
    if new.is_dir() {
        // An earlier run that was ended. What it mounted there is not ours to remove.
        unmount_below(&new);
        fs::remove_dir_all(&new).map_err(|e| format!("cannot remove {}: {e}", new.display()))?;
    }
    fs::create_dir_all(&base).map_err(|e| format!("cannot make {}: {e}", base.display()))?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--mode=root", "--variant=minbase", &format!("--include={PACKAGES}")]);
    // The index of a release that is in the making is signed for a week; a mirror's copy may be older.
    make.args(["--aptopt=Acquire::Check-Valid-Until \"false\"", suite]);
    make.arg(&new).arg(format!("deb {mirror} {suite} main"));
    run(make).map_err(|why| format!("{why} (Debian package mmdebstrap)"))?;
    fs::rename(&new, &there).map_err(|e| format!("cannot rename {}: {e}", new.display()))?;
    Ok(there)
}

/// Where this machine installs Debian from, with the keys that it trusts for that.
fn mirror() -> Outcome<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    let words: Vec<String> = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect::<Vec<_>>())
        .flat_map(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
        .collect();
    let uri = uri(&words).ok_or("no source of /etc/apt names a mirror of Debian (…/debian)")?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    Ok(match Path::new(keys).exists() {
        true => format!("[signed-by={keys}] {uri}"),
        false => uri.to_string(),
    })
}

fn uri(words: &[String]) -> Option<&str> {
    let is_debian = |word: &&String| word.contains("://") && word.trim_end_matches('/').ends_with("/debian");
    words.iter().find(is_debian).map(String::as_str)
}

/// The version of a package, without the part that is Debian's.
fn version(system: &Path, package: &str) -> Outcome<String> {
    let status = system.join("var/lib/dpkg/status");
    let text = fs::read_to_string(&status).map_err(|e| format!("cannot read {}: {e}", status.display()))?;
    version_in(&text, package)
        .ok_or_else(|| format!("{} has no {package}; remove it to have it made anew", system.display()))
}

fn version_in(status: &str, package: &str) -> Option<String> {
    let name = format!("Package: {package}");
    let part = status.split("\n\n").find(|part| part.lines().any(|line| line == name))?;
    let version = part.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    Some(upstream.split(['+', '-', '~']).next().unwrap_or(upstream).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_added() {
        let told = "running 3 tests\ntest result: ok. 2 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out\n\
                    test result: ok. 40 passed; 0 failed; 0 ignored\n";
        assert_eq!(counted(told), (42, 1));
        assert_eq!(counted("error: could not compile"), (0, 0));
    }

    #[test]
    fn the_version_is_that_of_the_program() {
        let status = "Package: podman-docker\nVersion: 1\n\nPackage: podman\nStatus: install ok\nVersion: 5.4.2+ds1-2+b2\n\n\
                      Package: docker.io\nVersion: 2:26.1.5+dfsg1-9\n";
        assert_eq!(version_in(status, "podman").unwrap(), "5.4.2");
        assert_eq!(version_in(status, "docker.io").unwrap(), "26.1.5");
        assert_eq!(version_in(status, "dockerd"), None);
    }

    #[test]
    fn the_mirror_is_found_in_either_form_of_a_source() {
        let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let old = words("deb [signed-by=/k.gpg] https://one.example/debian/ bookworm main");
        let new = words("Types: deb URIs: http://two.example/debian-security http://two.example/debian Suites: trixie");
        assert_eq!(uri(&old), Some("https://one.example/debian/"));
        assert_eq!(uri(&new), Some("http://two.example/debian"));
        assert_eq!(uri(&words("deb http://three.example/ubuntu noble main")), None);
    }
}
