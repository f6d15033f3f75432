//! The arrows between crates, as cargo sees them, and the reasons behind dependencies.

use serde_json::Value;

use super::{Finding, Text};
use crate::run::{Outcome, cargo};

/// All that core is made of: no runtime, no disk, no network, no database. A new name here is a decision about core.
/// (`schemars` only describes words and ids, in the test that writes the JSON schemas.)
const CORE_USES: [&str; 11] = [
    "async-trait",
    "blake3",
    "futures-util",
    "jiff",
    "schemars",
    "serde",
    "serde_ignored",
    "serde_json",
    "thiserror",
    "tracing",
    "uuid",
];

/// Which crates of the workspace a crate may use, outside its tests.
fn may_use(package: &str, dependency: &str) -> bool {
    match package {
        "volsnap-core" | "xtask" => false,
        "volsnap-sqlite" | "volsnap-docker" | "volsnap-disk" | "volsnap-host" | "volsnap-sim" => {
            dependency == "volsnap-core"
        }
        "volsnap" => !matches!(dependency, "volsnap-sim" | "volsnap-tests" | "xtask"),
        "volsnap-tests" => dependency != "xtask",
        _ => false,
    }
}

/// What cargo says of the workspace.
pub fn metadata() -> Outcome<Value> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]).output();
    let output = output.map_err(|e| format!("cannot run `cargo metadata`: {e}"))?;
    if !output.status.success() {
        return Err(format!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("`cargo metadata` does not answer in JSON: {e}"))
}

/// Every dependency that should not be, and every one without a reason.
pub fn check(texts: &[Text], metadata: &Value) -> Vec<Finding> {
    let mut findings: Vec<Finding> = array(metadata, "packages").iter().flat_map(|p| arrows(p, metadata)).collect();
    for file in texts {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let problems = match name {
            "Cargo.toml" if file.path == "Cargo.toml" => reasons(&file.text),
            "Cargo.toml" => lints(&file.text),
            "Cargo.lock" => sources(&file.text),
            _ => Vec::new(),
        };
        findings.extend(problems.into_iter().map(|(line, problem)| Finding { file: file.path.clone(), line, problem }));
    }
    findings
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn arrows(package: &Value, metadata: &Value) -> Vec<Finding> {
    let ours: Vec<&Value> = array(metadata, "packages").iter().map(|p| &p["name"]).collect();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_string();
    let name = text(package, "name");
    let mut findings = Vec::new();
    for dependency in array(package, "dependencies") {
        let used = text(dependency, "name");
        // A crate may use itself and the suites in its tests; those arrows are not in what is shipped.
        let in_tests = dependency["kind"] == "dev";
        let problem = if ours.contains(&&dependency["name"]) {
            (!in_tests && !may_use(&name, &used)).then(|| format!("{name} uses {used}: the arrow points the wrong way"))
        } else {
            let strange = name == "volsnap-core" && !in_tests && !CORE_USES.contains(&used.as_str());
            strange.then(|| format!("core uses {used}: it decides, and what acts is behind a port"))
        };
        if let Some(problem) = problem {
            findings.push(Finding { file: manifest(package, metadata), line: 0, problem });
        }
    }
    findings
}

fn manifest(package: &Value, metadata: &Value) -> String {
    let path = package["manifest_path"].as_str().unwrap_or_default();
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    path.trim_start_matches(root).trim_start_matches('/').to_string()
}

type Problem = (usize, String);

/// A dependency is a decision: the workspace says what each is there for. Our own crates say it in their manifests.
fn reasons(manifest: &str) -> Vec<Problem> {
    let mut section = "";
    let mut problems = Vec::new();
    for (number, line) in (1..).zip(manifest.lines().map(str::trim)) {
        if line.starts_with('[') {
            section = line;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| section == "[workspace.dependencies]") else {
            continue;
        };
        let ours = value.contains("path = ");
        let reason = value.rsplit_once("# ").map_or("", |(_, reason)| reason);
        if !line.starts_with('#') && !ours && reason.trim().is_empty() {
            problems.push((number, format!("`{}` does not say what it is there for", name.trim())));
        }
    }
    problems
}

/// Every crate takes the workspace's lints.
fn lints(manifest: &str) -> Vec<Problem> {
    let has =
        manifest.split("\n[").any(|section| section.starts_with("lints]") && section.contains("workspace = true"));
    if has { Vec::new() } else { vec![(0, "does not take the workspace's lints".to_string())] }
}

/// Every crate that is not ours comes from one registry: nobody who clones this has a second one, or somebody's branch.
fn sources(lock: &str) -> Vec<Problem> {
    let sources = || {
        let lines = (1..).zip(lock.lines());
        lines.filter_map(|(n, line)| Some((n, line.strip_prefix("source = ")?.trim_matches('"'))))
    };
    let registry = sources().map(|(_, source)| source).find(|source| source.starts_with("registry+"));
    let strange = sources().filter(|(_, source)| Some(*source) != registry);
    strange.map(|(n, source)| (n, format!("`{source}` is not the registry of the other crates"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(packages: &Value) -> Vec<String> {
        let metadata = json!({ "workspace_root": "/r", "packages": packages });
        check(&[], &metadata).into_iter().map(|f| f.to_string()).collect()
    }

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> = dependencies.iter().map(|(n, kind)| json!({"name": n, "kind": kind})).collect();
        json!({ "name": name, "manifest_path": format!("/r/{name}/Cargo.toml"), "dependencies": dependencies })
    }

    #[test]
    fn an_adapter_uses_core_and_no_other_adapter() {
        let core = package("volsnap-core", &[]);
        let disk = package("volsnap-disk", &[("volsnap-core", None), ("zstd", None)]);
        assert_eq!(problems(&json!([core, disk])), [""; 0]);
        let docker = package("volsnap-docker", &[("volsnap-disk", None)]);
        let found = problems(&json!([core, disk, docker]));
        assert_eq!(
            found,
            ["volsnap-docker/Cargo.toml: volsnap-docker uses volsnap-disk: the arrow points the wrong way"]
        );
    }

    #[test]
    fn core_uses_no_runtime_outside_its_tests() {
        assert_eq!(problems(&json!([package("volsnap-core", &[("tokio", Some("dev")), ("serde", None)])])), [""; 0]);
        assert_eq!(problems(&json!([package("volsnap-core", &[("tokio", None)])])).len(), 1);
        assert_eq!(problems(&json!([package("volsnap-core", &[("volsnap", None)]), package("volsnap", &[])])).len(), 1);
    }

    #[test]
    fn a_crate_that_is_not_known_uses_none_of_ours() {
        assert_eq!(
            problems(&json!([package("new", &[("volsnap-core", None)]), package("volsnap-core", &[])])).len(),
            1
        );
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest =
            "[workspace.dependencies]\na = { path = \"a\" }\nb = \"1\" # for b\nc = \"1\"\n[profile.dev]\nd = 1\n";
        assert_eq!(reasons(manifest), [(4, "`c` does not say what it is there for".to_string())]);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        assert_eq!(lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"), []);
        assert_eq!(lints("[package]\nname = \"a\"\nversion.workspace = true\n").len(), 1);
    }

    #[test]
    fn a_crate_from_elsewhere_is_found() {
        let one = "source = \"registry+one\"\n";
        assert_eq!(sources(&one.repeat(2)), []);
        for other in ["registry+two", "sparse+mirror", "git+branch"] {
            let lock = format!("{one}source = \"{other}\"\n");
            assert_eq!(sources(&lock), [(2, format!("`{other}` is not the registry of the other crates"))]);
        }
    }
}
