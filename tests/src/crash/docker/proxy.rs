//! A socket between volsnap and the engine that sees every call, and can cut it, hold it, or let it through.
//!
//! Each connection carries one call: the request is passed on with `Connection: close`, so that the answer is all that
//! comes until the engine closes, and nothing of HTTP has to be understood but the head of a request.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::ledger::{Ledger, Phase};

/// How long a call hangs that is answered too late.
const LATE: Duration = Duration::from_millis(1500);
/// How long a held call waits for the test; longer is a bug of the test.
const HELD_MAX: Duration = Duration::from_secs(120);

/// One call of volsnap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number since the proxy was armed, from 1.
    pub number: usize,
    /// Its method.
    pub method: String,
    /// Its path without the version and the query, with ids left out: `containers/*/stop`.
    pub path: String,
    /// The phase of the restore in which it came.
    pub phase: Phase,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It reaches the engine, and the answer the client.
    Pass,
    /// The connection is cut before the engine hears of it.
    CutBefore,
    /// The engine does it, and the connection is cut before the answer.
    CutAfter,
    /// The engine does it, and the connection is cut in the middle of the answer.
    CutWithin,
    /// The engine does it; the answer hangs, then the connection is cut.
    CutLate,
    /// It waits until the test lets it go; the others go on.
    Hold,
}

type Rule = Box<dyn FnMut(&Call) -> Fate + Send>;

struct Shared {
    engine: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    over: AtomicBool,
}

struct State {
    ledger: Ledger,
    rule: Rule,
    calls: Vec<Call>,
    cut: usize,
    held: Option<Call>,
    released: bool,
}

/// The socket, served until it is dropped.
pub struct Proxy {
    socket: PathBuf,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Serves `socket` in front of the engine's.
    ///
    /// # Panics
    /// If the socket cannot be made.
    #[must_use]
    pub fn start(socket: PathBuf, engine: PathBuf, ledger: Ledger) -> Self {
        let listener = UnixListener::bind(&socket).expect("a socket");
        let rule: Rule = Box::new(|_| Fate::Pass);
        let state = State { ledger, rule, calls: Vec::new(), cut: 0, held: None, released: false };
        let shared = Arc::new(Shared {
            engine,
            state: Mutex::new(state),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A connection that breaks is what this is for.
                thread::spawn(move || shared.serve(client).ok());
            }
        });
        Proxy { socket, shared }
    }

    /// The address, as `DOCKER_HOST` has it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Counts anew, with this rule for the calls that come.
    pub fn arm(&self, rule: impl FnMut(&Call) -> Fate + Send + 'static) {
        let mut state = self.state();
        state.rule = Box::new(rule);
        state.calls.clear();
        state.held = None;
        state.released = false;
    }

    /// Lets everything through from here on, also a call that is held.
    pub fn disarm(&self) {
        self.arm(|_| Fate::Pass);
        self.release();
    }

    /// The calls since it was armed.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// How many calls were cut since the start.
    #[must_use]
    pub fn cut(&self) -> usize {
        self.state().cut
    }

    /// What the journal has said so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut state = self.state();
        state.ledger.read();
        state.ledger.clone()
    }

    /// Reads another journal from here on.
    pub fn watch(&self, ledger: Ledger) {
        self.state().ledger = ledger;
    }

    /// Begins a new case: earlier journals are forgotten.
    pub fn forget(&self) {
        self.state().ledger.forget();
    }

    /// Waits until a call is held; `None` if `ended` says so before.
    pub fn wait_held(&self, mut ended: impl FnMut() -> bool) -> Option<Call> {
        let deadline = Instant::now() + HELD_MAX;
        loop {
            let state = self.state();
            let (state, _) = self.shared.changed.wait_timeout(state, Duration::from_millis(10)).expect("no panic");
            if let Some(call) = &state.held {
                return Some(call.clone());
            }
            drop(state);
            if ended() || Instant::now() > deadline {
                return None;
            }
        }
    }

    /// Lets the held call go on.
    pub fn release(&self) {
        self.state().released = true;
        self.shared.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no panic")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the thread that waits for a client.
        let _ = UnixStream::connect(&self.socket);
    }
}

impl Shared {
    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let Some(request) = Request::read(&mut client)? else { return Ok(()) };
        match self.fate(&request) {
            Fate::CutBefore => Ok(()),
            Fate::Pass => self.pass_on(&request, &mut client),
            Fate::Hold => {
                self.wait_for_release();
                self.pass_on(&request, &mut client)
            }
            Fate::CutAfter => self.ask(&request).map(drop),
            Fate::CutWithin => {
                let answer = self.ask(&request)?;
                client.write_all(&answer[..answer.len() / 2])
            }
            Fate::CutLate => {
                self.ask(&request)?;
                thread::sleep(LATE);
                Ok(())
            }
        }
    }

    fn fate(&self, request: &Request) -> Fate {
        let mut state = self.state.lock().expect("no panic");
        let state = &mut *state;
        let (method, path) = request.what();
        let phase = state.ledger.phase_at(&method, &path);
        let call = Call { number: state.calls.len() + 1, method, path, phase };
        let fate = (state.rule)(&call);
        state.cut += usize::from(!matches!(fate, Fate::Pass | Fate::Hold));
        state.calls.push(call);
        fate
    }

    fn wait_for_release(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.held = state.calls.last().cloned();
        state.released = false;
        self.changed.notify_all();
        let deadline = Instant::now() + HELD_MAX;
        while !state.released && Instant::now() < deadline {
            state = self.changed.wait_timeout(state, Duration::from_millis(100)).expect("no panic").0;
        }
        state.held = None;
    }

    /// The answer as it comes: some calls are answered long before they end.
    fn pass_on(&self, request: &Request, client: &mut UnixStream) -> io::Result<()> {
        let mut engine = self.send(request)?;
        io::copy(&mut engine, client)?;
        client.shutdown(Shutdown::Both)
    }

    fn ask(&self, request: &Request) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        self.send(request)?.read_to_end(&mut answer)?;
        Ok(answer)
    }

    fn send(&self, request: &Request) -> io::Result<UnixStream> {
        let mut engine = UnixStream::connect(&self.engine)?;
        engine.write_all(request.head.as_bytes())?;
        engine.write_all(&request.body)?;
        Ok(engine)
    }
}

/// A request whose head asks the engine to close the connection after the answer.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// `None` if the client closed before it asked anything.
    fn read(client: &mut UnixStream) -> io::Result<Option<Self>> {
        const END: &[u8] = b"\r\n\r\n";
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(END.len()).position(|window| window == END) {
                break end;
            }
            let mut some = [0; 4096];
            match client.read(&mut some)? {
                0 => return Ok(None),
                count => bytes.extend_from_slice(&some[..count]),
            }
        };
        let mut body = bytes.split_off(end + END.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let read = body.len();
        body.resize(length, 0);
        client.read_exact(&mut body[read.min(length)..])?;
        let kept = head.split("\r\n").filter(|line| !is_header(line, "connection"));
        let head = kept.chain(["Connection: close", "", ""]).collect::<Vec<_>>().join("\r\n");
        Ok(Some(Request { head, body }))
    }

    /// The method, and the path without what differs from run to run.
    fn what(&self) -> (String, String) {
        let mut words = self.head.split(' ');
        let method = words.next().unwrap_or_default().to_string();
        let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default();
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.first().is_some_and(|part| part.starts_with("v1.")) {
            parts.remove(0);
        }
        // containers/<id>/json, but containers/json and containers/create.
        if let ([_, which, _], _) | ([_, which], "DELETE") = (&mut parts[..], method.as_str()) {
            *which = "*";
        }
        (method, parts.join("/"))
    }
}

fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find(|line| is_header(line, name)).and_then(|line| line.split_once(':')).map(|(_, v)| v.trim())
}

/// Where a proxy's socket lies: a socket's path is short.
#[must_use]
pub fn socket_in(dir: &Path) -> PathBuf {
    dir.join("proxy.sock")
}
