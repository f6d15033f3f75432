//! Each command that a message names, and the test that follows it: a new one comes with its test or with a reason.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

use std::{collections::BTreeSet, fs, path::Path};

/// The sources whose messages people read.
const SOURCES: [&str; 6] =
    ["core/src", "app/src", "adapters/disk/src", "adapters/docker/src", "adapters/host/src", "adapters/sqlite/src"];

/// What a command begins with.
const PROGRAMS: [&str; 13] =
    ["volsnap", "docker", "find", "mv", "cp", "mkdir", "chattr", "lsattr", "chown", "chmod", "mount", "btrfs", "man"];

/// Source file, command, and who follows it: `tests::name`, or after a dash why nobody does.
const FOLLOWED: &str = include_str!("followed.txt");

fn sources(dir: &Path, found: &mut Vec<(String, String)>, root: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == "tests" || name.ends_with("tests.rs") || name == "named.rs" {
            continue;
        }
        if path.is_dir() {
            sources(&path, found, root);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            found.push((path.strip_prefix(root).unwrap().display().to_string(), lines.collect::<Vec<_>>().join("\n")));
        }
    }
}

/// The commands between backquotes, also where a line ends in the middle.
fn commands(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices('`') {
        let Some(quoted) = code[at + 1..].split('`').next() else { continue };
        let quoted = quoted.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ");
        let (program, rest) = quoted.split_once(' ').unwrap_or_default();
        if PROGRAMS.contains(&program) && quoted.len() < 200 && !rest.starts_with('"') {
            found.insert(quoted);
        }
    }
    found
}

#[test]
fn every_command_that_a_message_names_is_followed_by_a_test_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    SOURCES.iter().for_each(|dir| sources(&root.join(dir), &mut found, root));
    let named: BTreeSet<String> = found
        .iter()
        .flat_map(|(path, code)| commands(code).into_iter().map(move |command| format!("{path} | {command}")))
        .collect();
    let mut listed = BTreeSet::new();
    let mut faults = Vec::new();
    for line in FOLLOWED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (entry, by) = line.rsplit_once(" | ").unwrap();
        listed.insert(entry.to_string());
        if !named.contains(entry) {
            faults.push(format!("no message names it any more: {entry}"));
        }
        if by.starts_with("- ") {
            continue;
        }
        let (file, test) = by.split_once("::").unwrap();
        let places = ["app/tests/", "tests/tests/", ""].map(|dir| root.join(format!("{dir}{file}.rs")));
        let text = places.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        if !text.contains(&format!("fn {test}(")) {
            faults.push(format!("there is no test {by}"));
        }
    }
    faults.extend(named.difference(&listed).map(|entry| format!("not followed by a test: {entry}")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
