//! What the calls make of odd answers.

use bollard::models::SystemVersionComponents;

use super::*;

fn version(component: &str, number: &str) -> SystemVersion {
    let component = SystemVersionComponents { name: component.into(), version: number.into(), ..Default::default() };
    SystemVersion { components: Some(vec![component]), version: Some(number.into()), ..Default::default() }
}

#[test]
fn limits_have_the_names_that_every_engine_takes() {
    let limit = |name: &str| json!({"Name": name, "Soft": 1, "Hard": 2});
    let body = |names: [&str; 2]| json!({"Image": "it", "HostConfig": {"Ulimits": names.map(limit)}});
    assert_eq!(portable(body(["RLIMIT_NOFILE", "nproc"])), body(["nofile", "nproc"]));
    let cpus = json!({"HostConfig": {"NanoCpus": 500, "CpuPeriod": 100, "CpuQuota": 50}});
    assert_eq!(portable(cpus), json!({"HostConfig": {"NanoCpus": 500}}));
    let quota = json!({"HostConfig": {"NanoCpus": 0, "CpuPeriod": 100, "CpuQuota": 50}});
    for plain in [json!({}), json!({"HostConfig": {"Ulimits": null}}), quota] {
        assert_eq!(portable(plain.clone()), plain);
    }
}

#[test]
fn podman_is_known_by_its_name() {
    assert_eq!(Program::of(&version("Podman Engine", "5.4.2")).to_string(), "Podman 5.4.2");
    assert_eq!(Program::of(&version("Engine", "28.5.2")).to_string(), "Docker Engine 28.5.2");
    assert_eq!(Program::of(&SystemVersion::default()).to_string(), "Docker Engine of an unknown version");
}

#[test]
fn only_podman_before_5_1_keeps_its_restart_policies() {
    for (component, number, fixed) in [
        ("Podman Engine", "4.3.1", true),
        ("Podman Engine", "5.0.3", true),
        ("Podman Engine", "5.1.0", false),
        ("Podman Engine", "5.10.0-rc1", false),
        ("Podman Engine", "6.0.0-dev", false),
        ("Engine", "4.3.1", false),
    ] {
        assert_eq!(Program::of(&version(component, number)).has_fixed_policies(), fixed, "{component} {number}");
    }
}

#[tokio::test]
async fn a_directory_has_one_identity_as_long_as_it_stands() {
    let base = std::env::temp_dir().join(format!("volsnap-identity-{}", std::process::id()));
    let (one, other) = (base.join("one"), base.join("other"));
    std::fs::create_dir_all(&one).unwrap();
    std::fs::create_dir_all(&other).unwrap();
    let identity = identity_of(one.clone()).await.unwrap();
    assert_ne!(identity_of(other).await.unwrap(), identity);
    std::fs::write(one.join("file"), "").unwrap();
    std::fs::rename(&one, base.join("moved")).unwrap();
    assert_eq!(identity_of(base.join("moved")).await.unwrap(), identity);
    assert_eq!(identity_of(one).await, None);
    std::fs::remove_dir_all(&base).unwrap();
}

#[test]
fn an_unknown_state_counts_as_running() {
    let seen = lenient_container("web", r#"{"Id":"1","Name":"/web","State":{"Status":"hibernating","Running":false}}"#);
    let state = seen.unwrap().state.unwrap();
    assert_eq!(state.status, Some(bollard::models::ContainerStateStatusEnum::RUNNING));
}

#[test]
fn a_list_with_an_unknown_state_hides_no_container() {
    let list = lenient_list(r#"[{"Id":"1","State":"hibernating"},{"Id":"2","State":"exited"}]"#).unwrap();
    assert_eq!(list.iter().map(|c| c.id.as_deref().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn nonsense_is_an_error_and_not_a_container() {
    assert_eq!(lenient_container("web", "<html>").unwrap_err().kind, EngineErrorKind::Failed);
}

#[test]
fn an_engine_is_told_by_what_stays_with_its_data() {
    let (said, root) = (Some("7ZPB".to_string()), Some("/var/lib/docker#1.2.3".to_string()));
    let of = |kept| identity(said.clone(), root.clone(), kept);
    assert_eq!(of(true).as_deref(), Some("7ZPB"), "data that were copied are still those of this engine");
    assert_eq!(of(false).as_deref(), Some("7ZPB /var/lib/docker#1.2.3"), "the key lies elsewhere");
    assert_eq!(identity(said.clone(), None, false), said, "an engine elsewhere");
    assert_eq!(identity(None, None, true), None);
}
