//! As much of a container engine's API as a snapshot asks of it, on a socket: one container that works in its volumes as
//! long as it runs. A real engine takes longer for one call than all of a traced snapshot does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::crash::app::{digests, work};

/// The name of the container.
pub const NAME: &str = "app";
const ID: &str = "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0";

/// What the app is and was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Whether it is frozen; else it runs.
    pub frozen: bool,
    /// The digests that its volumes had when it was frozen last.
    pub digests: Option<Vec<String>>,
}

/// The engine; ends when it is dropped.
pub struct Engine {
    socket: PathBuf,
    app: Arc<Mutex<App>>,
    over: Arc<AtomicBool>,
}

impl Engine {
    /// Listens on that socket.
    ///
    /// # Panics
    /// If it cannot.
    pub fn listen(socket: &Path, volumes: &[PathBuf]) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let engine = Engine { socket: socket.to_path_buf(), app: Arc::default(), over: Arc::default() };
        let (app, over, volumes) = (engine.app.clone(), engine.over.clone(), volumes.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (app, volumes) = (app.clone(), volumes.clone());
                // Who goes in the middle of a call, as a killed process does, ends only its own connection.
                thread::spawn(move || drop(stream.and_then(|stream| serve(&stream, &app, &volumes))));
            }
        });
        engine
    }

    /// Where it is, as a client is told.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The app as it is now.
    ///
    /// # Panics
    /// If it died.
    pub fn app(&self) -> MutexGuard<'_, App> {
        self.app.lock().expect("nobody panics")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(UnixStream::connect(&self.socket));
    }
}

fn serve(stream: &UnixStream, app: &Mutex<App>, volumes: &[PathBuf]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream.try_clone()?;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        let (status, body) = answer(&request, &mut app.lock().expect("nobody panics"), volumes);
        let body = body.map_or(String::new(), |body| body.to_string());
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        write!(writer, "HTTP/1.1 {status}\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len())?;
    }
}

fn answer(request: &str, app: &mut App, volumes: &[PathBuf]) -> (&'static str, Option<Value>) {
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    // Without the version.
    let path = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(path);
    match (method, path) {
        ("GET", "/version") => ok(json!({ "Version": "1", "ApiVersion": "1.47", "MinAPIVersion": "1.24" })),
        ("GET", "/info") => ok(json!({ "ID": "few calls", "ServerVersion": "1" })),
        ("GET", "/volumes") => ok(json!({ "Volumes": [], "Warnings": [] })),
        ("GET", "/containers/json") => ok(json!([{
            "Id": ID, "Names": [format!("/{NAME}")], "Image": "app:1", "ImageID": "sha256:app", "Labels": {},
            "State": state(app), "Mounts": mounts(volumes),
        }])),
        ("GET", _) if of_app(path, "json") => ok(json!({
            "Id": ID, "Name": format!("/{NAME}"), "Image": "sha256:app", "Mounts": mounts(volumes),
            "State": { "Status": state(app), "Running": true, "Paused": app.frozen, "Restarting": false, "Dead": false },
            "Config": { "Image": "app:1", "Labels": {} },
            "HostConfig": { "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 } },
            "NetworkSettings": { "Networks": {} },
        })),
        ("POST", _) if of_app(path, "pause") && !app.frozen => {
            volumes.iter().for_each(|volume| work(volume, "just before").expect("the app can write"));
            *app = App { frozen: true, digests: Some(digests(volumes)) };
            ("204 No Content", None)
        }
        ("POST", _) if of_app(path, "unpause") && app.frozen => {
            app.frozen = false;
            volumes.iter().for_each(|volume| work(volume, "just after").expect("the app can write"));
            ("204 No Content", None)
        }
        ("POST", _) if of_app(path, "pause") || of_app(path, "unpause") => {
            ("409 Conflict", Some(json!({ "message": format!("the container is {}", state(app)) })))
        }
        _ => ("404 Not Found", Some(json!({ "message": format!("this engine knows no {method} {path}") }))),
    }
}

fn ok(body: Value) -> (&'static str, Option<Value>) {
    ("200 OK", Some(body))
}

fn of_app(path: &str, what: &str) -> bool {
    [ID, NAME].iter().any(|name| path == format!("/containers/{name}/{what}"))
}

fn state(app: &App) -> &'static str {
    if app.frozen { "paused" } else { "running" }
}

fn mounts(volumes: &[PathBuf]) -> Value {
    let mount = |(index, volume): (usize, &PathBuf)| json!({ "Type": "bind", "Source": volume, "Destination": format!("/v{index}"), "Mode": "", "RW": true });
    volumes.iter().enumerate().map(mount).collect()
}
