//! What engines say of themselves, and in which versions they want to be spoken to.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use serde_json::{Value, json};
use volsnap_core::ports::{Containers, EngineInfo};

use crate::DockerEngine;

/// Stands behind a socket in the place of an engine, as long as the test runs.
struct Stub {
    dir: PathBuf,
}

impl Stub {
    /// One that speaks the versions from `oldest` to `newest` and calls itself `component`; its containers are in `root`.
    fn new(component: &'static str, [oldest, newest]: [&'static str; 2], root: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("volsnap-stub-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let listener = UnixListener::bind(dir.join("engine.sock")).unwrap();
        let root = root.display().to_string();
        thread::spawn(move || {
            for (nth, stream) in listener.incoming().flatten().enumerate() {
                let answer = |path: &str| -> (u16, Value) {
                    let (asked, path) = match path.strip_prefix("/v").and_then(|rest| rest.split_once('/')) {
                        Some((version, rest)) if version.contains('.') => (Some(version), rest),
                        _ => (None, path.trim_start_matches('/')),
                    };
                    if asked.is_some_and(|asked| minor(asked) < minor(oldest) || minor(asked) > minor(newest)) {
                        return (400, json!({"message": format!("client version {asked:?} is too old or too new")}));
                    }
                    match path.split('?').next().unwrap_or_default() {
                        "version" => (
                            200,
                            json!({
                                "Version": "9.8.7", "ApiVersion": newest, "MinAPIVersion": oldest,
                                "Components": [{"Name": component, "Version": "9.8.7"}, {"Name": "runc", "Version": "1"}]
                            }),
                        ),
                        // As Podman does: another one each time.
                        "info" => (200, json!({"ID": format!("id-{nth}"), "DockerRootDir": root})),
                        "containers/json" => (200, json!([])),
                        "volumes" => (200, json!({"Volumes": []})),
                        other => (404, json!({"message": format!("no {other} here")})),
                    }
                };
                // Whoever hangs up before it was answered wants no answer.
                let _ = serve(stream, &answer);
            }
        });
        Stub { dir }
    }

    fn port(&self) -> DockerEngine {
        DockerEngine::at_socket(self.dir.join("engine.sock"))
    }

    async fn info(&self) -> EngineInfo {
        self.port().info().await.unwrap()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn minor(version: &str) -> u32 {
    version.split_once('.').and_then(|(_, minor)| minor.parse().ok()).unwrap_or_default()
}

fn serve(stream: UnixStream, answer: &dyn Fn(&str) -> (u16, Value)) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = answer(request.split(' ').nth(1).unwrap_or_default());
    let (body, mut stream) = (body.to_string(), stream);
    write!(
        stream,
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn engines_are_spoken_to_in_a_version_that_they_speak() {
    // Docker 20.10, Docker 29, and one that speaks nothing that is known today.
    for versions in [["1.12", "1.41"], ["1.44", "1.52"], ["1.90", "1.99"]] {
        let stub = Stub::new("Engine", versions, Path::new("/nowhere"));
        let port = stub.port();
        assert_eq!(port.info().await.unwrap().version, "Docker Engine 9.8.7", "{versions:?}");
        assert_eq!(port.all().await.unwrap(), [], "{versions:?}");
        assert_eq!(port.command(), "docker");
    }
}

#[tokio::test]
async fn an_engine_is_the_same_one_at_each_call() {
    let roots = ["one", "other"].map(|name| {
        let root = std::env::temp_dir().join(format!("volsnap-graph-{}-{name}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        root
    });
    let [one, other] = [&roots[0], &roots[1]].map(|root| Stub::new("Podman Engine", ["1.24", "1.41"], root));
    let info = one.info().await;
    assert_eq!((info.version.as_str(), info.root.as_ref()), ("Podman 9.8.7", Some(&roots[0])));
    let id = info.id.unwrap();
    let port = one.port();
    for _ in 0..2 {
        // By a new connection, and by the same.
        assert_eq!(one.info().await.id.as_ref(), Some(&id));
        assert_eq!(port.info().await.unwrap().id.as_ref(), Some(&id));
    }
    assert_eq!(port.command(), "podman");
    assert_ne!(other.info().await.id.unwrap(), id, "another one is told from it");
    let unseen = Stub::new("Podman Engine", ["1.24", "1.41"], Path::new("/nowhere"));
    assert_eq!(unseen.info().await.id, None, "an id that changes is none");
    for root in roots {
        fs::remove_dir_all(root).unwrap();
    }
}
