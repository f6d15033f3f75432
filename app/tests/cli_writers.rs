//! Processes of the host that write into a volume: who they are is said before a restore and after it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's way to fail is to panic")]

mod support;

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use support::World;

/// A process that has a file open for writing, until dropped.
struct Writer(Child);

impl Writer {
    fn on(path: &Path) -> Writer {
        let file = File::options().append(true).create(true).open(path).unwrap();
        Writer(Command::new("sleep").arg("60").stdin(Stdio::null()).stdout(file).spawn().unwrap())
    }

    /// As messages name it.
    fn name(&self) -> String {
        format!("process {} (sleep)", self.0.id())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The one warning of a document.
fn warning(document: &Value) -> &str {
    let warnings = document["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{document}");
    warnings[0].as_str().unwrap()
}

#[test]
fn a_process_that_writes_into_a_volume_is_named_by_the_plan_and_by_the_report() {
    for options in [&[][..], &["--no-safety-snapshot"]] {
        let (world, id) = World::damaged();
        let live = world.live("data").canonicalize().unwrap();
        assert_eq!(world.json(&["plan", "app", &id])["warnings"], json!([]));
        let writer = Writer::on(&live.join("below/log"));

        let plan = world.json(&["plan", "app", &id]);
        assert_eq!(plan["refusals"], json!([]), "it may be harmless");
        let said = warning(&plan);
        let log = live.join("below/log").display().to_string();
        for part in [&writer.name(), &log, "stop it", "/data"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        assert!(world.ok(&["plan", "app", &id]).contains(&format!("warning: {}", writer.name())));

        let report = world.json_with(5, &[&["restore", "app", &id, "--yes"], options].concat());
        assert_eq!(report["outcome"], "restored");
        assert!(!live.join("below/log").exists() && live.join("below/empty").exists(), "the data are restored");
        let said = warning(&report);
        let private = format!(".volsnap-{}-", report["restore_id"].as_str().unwrap().replace('-', ""));
        for part in [&writer.name(), &private, "below/log", "still writes into the original", "restart it"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }

        drop(writer);
        let report = world.json(&["restore", "app", &id, "--yes"]);
        assert_eq!(report["warnings"], json!([]), "nobody is named who has ended");
    }
}
