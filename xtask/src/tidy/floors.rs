//! Core has floors, and no floor uses one above it: error, model, restore, ports, engine.

use std::collections::BTreeMap;

use super::{Finding, Text, paths::used};

/// The floors of core from the ground up: a floor may use itself and those before it.
const FLOORS: [&str; 5] = ["error", "model", "restore", "ports", "engine"];

/// What core may not use of the standard library: a decision is a function of its arguments.
const WORLD: [&str; 10] =
    ["fs", "process", "env", "net", "thread", "os", "io", "random", "time::Instant", "time::SystemTime"];

const CORE: &str = "core/src/";

/// Every path in core that points upwards, or out into the world.
pub fn check(texts: &[Text]) -> Vec<Finding> {
    let lib = texts.iter().find(|t| t.path == format!("{CORE}lib.rs"));
    let names = lib.map(|lib| reexports(&lib.text)).unwrap_or_default();
    let files = texts.iter().filter(|t| t.path.starts_with(CORE) && t.path.ends_with(".rs"));
    files.flat_map(|file| check_file(file, &names)).collect()
}

fn check_file(file: &Text, names: &BTreeMap<String, String>) -> Vec<Finding> {
    let module = module(&file.path);
    let found = |line, problem| Finding { file: file.path.clone(), line, problem };
    let mut findings = Vec::new();
    let own = module.first().map(String::as_str);
    if let Some(own) = own.filter(|own| !FLOORS.contains(own)) {
        findings.push(found(0, format!("`{own}` is on no floor of core: {}", FLOORS.join(" < "))));
        return findings;
    }
    for path in used(&file.text, &module) {
        let written = path.segments.join("::");
        let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
        match (segments.as_slice(), own) {
            (["std", rest @ ..], _) if WORLD.iter().any(|w| is_below(rest, w)) => {
                findings.push(found(path.line, format!("core uses `{written}`: the world is behind a port")));
            }
            (["crate", target, ..], Some(own)) => {
                let target = names.get(*target).map_or(*target, String::as_str);
                if rank(target).is_none_or(|target| Some(target) > rank(own)) {
                    findings.push(found(path.line, format!("`{own}` uses `{written}`, which is not below it")));
                }
            }
            _ => {}
        }
    }
    findings
}

fn is_below(segments: &[&str], prefix: &str) -> bool {
    let prefix: Vec<&str> = prefix.split("::").collect();
    segments.starts_with(&prefix)
}

fn rank(floor: &str) -> Option<usize> {
    FLOORS.iter().position(|f| *f == floor)
}

/// The names that `lib.rs` shows at the root, with the floor they come from.
fn reexports(lib: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for path in used(lib, &[]) {
        let segments = match path.segments.first().map(String::as_str) {
            Some("crate") => &path.segments[1..],
            _ => &path.segments[..],
        };
        if let [floor, .., name] = segments
            && rank(floor).is_some()
        {
            names.insert(name.clone(), floor.clone());
        }
    }
    names
}

/// The module of a file: `core/src/restore/plan.rs` is `restore::plan`.
fn module(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches(CORE).trim_end_matches(".rs");
    let segments = inner.split('/').filter(|s| !matches!(*s, "lib" | "mod"));
    segments.map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn problems(path: &str, text: &str) -> Vec<String> {
        let lib = Text { path: "core/src/lib.rs".into(), text: "pub mod error; pub use error::{Code, Error};".into() };
        let file = Text { path: path.into(), text: text.into() };
        check(&[lib, file]).into_iter().map(|f| f.problem).collect()
    }

    #[test]
    fn a_floor_uses_itself_and_those_below() {
        assert_eq!(
            problems(
                "core/src/engine/drive.rs",
                "use crate::{error::Code, model::Id, restore, ports::Clock, engine::E};"
            ),
            [""; 0]
        );
        assert_eq!(problems("core/src/restore/plan.rs", "use super::space; use crate::{Code, model::Id};"), [""; 0]);
    }

    #[test]
    fn a_floor_that_uses_one_above_is_found() {
        for (path, text) in [
            ("core/src/model/place.rs", "use crate::restore::plan;"),
            ("core/src/model.rs", "use crate::{error::Code, ports::Clock};"),
            ("core/src/restore/next.rs", "fn f() { crate::ports::observe() }"),
            ("core/src/restore.rs", "use super::engine::Engine;"),
            ("core/src/ports/clock.rs", "use super::super::engine::Engine;"),
            ("core/src/error.rs", "use crate::model::Id;"),
            ("core/src/error/engine.rs", "#[cfg(test)] mod tests { use crate::model::Id; }"),
            ("core/src/model/a.rs", "use crate::*;"),
        ] {
            assert_eq!(problems(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn core_does_not_reach_into_the_world() {
        for text in [
            "use std::fs;",
            "use std::{fs::File, fmt};",
            "fn f() { std::env::var(\"A\"); }",
            "use std::time::{Duration, Instant};",
        ] {
            assert_eq!(problems("core/src/engine/act.rs", text).len(), 1, "{text}");
        }
        assert_eq!(problems("core/src/engine/act.rs", "use std::{fmt, time::Duration, path::Path};"), [""; 0]);
    }

    #[test]
    fn a_module_beside_the_floors_is_found() {
        assert_eq!(problems("core/src/util.rs", "").len(), 1);
    }
}
