//! What packages install beside the binary: manual pages, and a version that says what it was built from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use support::World;

/// Whether a program is here; under `CI=true` it has to be.
fn is_here(program: &str) -> bool {
    let is_here = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_here || std::env::var("CI").as_deref() != Ok("true"), "this test needs {program}");
    if !is_here {
        println!("skipped: {program} is not installed");
    }
    is_here
}

/// The commands that `help` lists below a command, all the way down, each with the words that lead to it.
fn commands(world: &World, words: &[&str]) -> Vec<String> {
    let help = world.ok(&[words, &["--help"]].concat());
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    let below = names.iter().flat_map(|name| commands(world, &[words, &[*name]].concat()));
    [words.join("-")].into_iter().chain(below).collect()
}

#[test]
fn every_command_has_a_manual_page_without_a_fault() {
    let world = World::new();
    let pages = world.path("pages/man1");
    let document = world.json(&["man", pages.to_str().unwrap()]);
    let written: BTreeSet<String> =
        fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let page = |name: String| if name.is_empty() { "volsnap.1".to_string() } else { format!("volsnap-{name}.1") };
    assert_eq!(written, commands(&world, &[]).into_iter().map(page).collect());
    assert!(written.contains("volsnap-restore.1") && written.contains("volsnap-workload-add.1"), "{written:?}");
    let told = document["pages"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_string());
    assert_eq!(told.collect::<BTreeSet<_>>(), written);
    // A second time they are replaced.
    world.ok(&["man", pages.to_str().unwrap()]);

    let (groff, mandoc) =
        (is_here("groff"), Command::new("mandoc").arg("-Tlint").stdin(Stdio::null()).output().is_ok());
    for name in &written {
        let path = pages.join(name);
        if groff {
            let output = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&path).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "{name}: {said}");
        }
        if mandoc {
            let output = Command::new("mandoc").args(["-Tlint", "-Werror"]).arg(&path).output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
    let restore = fs::read_to_string(pages.join("volsnap-restore.1")).unwrap();
    for word in ["health\\-timeout", "VOLSNAP_STATE_DIR", "Restore a workload"] {
        assert!(restore.contains(word), "{word} is not in the page of restore");
    }
}

#[test]
fn manual_pages_that_cannot_be_written_are_an_error() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    let message = world.fails("io", 1, &["man", "file"]);
    assert!(message.contains("file"), "{message}");
}

#[test]
fn the_version_names_the_commit_if_git_knows_it() {
    let version = World::new().ok(&["--version"]);
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).current_dir(source).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_string())
    };
    let plain = format!("volsnap {}", env!("CARGO_PKG_VERSION"));
    let expected = match git(&["ls-files", "--error-unmatch", "build.rs"]) {
        Some(_) => format!("{plain} ({})\n", git(&["show", "-s", "--abbrev=7", "--format=%h %cs", "HEAD"]).unwrap()),
        None => format!("{plain}\n"),
    };
    assert_eq!(version, expected);
    let document = World::new().json(&["--version"]);
    let [commit, day] = ["commit", "committed_on"].map(|field| document[field].as_str().unwrap_or_default());
    let version = format!("volsnap {}", document["version"].as_str().unwrap());
    let told = if commit.is_empty() { format!("{version}\n") } else { format!("{version} ({commit} {day})\n") };
    assert_eq!(told, expected);
}
