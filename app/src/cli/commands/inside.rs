//! `ls` and `dump`: what is in a snapshot. Both write their answer as it comes, however long it is.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use volsnap::{
    Code, Error, Result,
    model::{Member, Snapshot},
    view::{ErrorView, MemberView},
};

use crate::cli::{
    answer::{Answer, tell},
    render,
    session::Session,
};

pub async fn ls(session: &Session, snapshot: &str, path: Option<OsString>) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, snapshot).await?;
    let outlet = Outlet::open()?;
    let listing = Arc::new(Mutex::new(Listing::new(&snapshot, session.printer.json, outlet.clone())));
    let sink = {
        let listing = listing.clone();
        move |index, member: Member| lock(&listing).member(index, &member)
    };
    // A signal may end this at any time: nothing is changed.
    let listed = session.volsnap.members(snapshot, path.as_deref().map(Path::new), sink).await;
    let ended = lock(&listing).end(listed.as_ref().err());
    match (outlet.is_gone(), listed, ended) {
        (true, _, _) => Ok(Answer::written(None)),
        (false, Err(error), Ok(true)) => Ok(Answer::written(Some(error.code))),
        (false, Err(error), _) => Err(error),
        (false, Ok(_), Ok(_)) => Ok(Answer::written(None)),
        (false, Ok(_), Err(error)) => Err(unwritten(&error)),
    }
}

pub async fn dump(session: &Session, snapshot: &str, target: &str, path: PathBuf) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, snapshot).await?;
    let outlet = Outlet::open()?;
    match session.volsnap.dump(snapshot, target, &path, outlet.clone()).await {
        Ok(_) => Ok(Answer::written(None)),
        Err(_) if outlet.is_gone() => Ok(Answer::written(None)),
        // Standard output has a part of the file: nothing else may come after it.
        Err(error) if session.printer.json && outlet.is_begun() => {
            tell(&serde_json::json!({ "error": ErrorView::of(&error) }).to_string());
            Ok(Answer::written(Some(error.code)))
        }
        Err(error) => Err(error),
    }
}

/// What is written so far of a list.
struct Listing {
    snapshot: String,
    targets: Vec<String>,
    json: bool,
    begun: bool,
    out: BufWriter<Outlet>,
}

impl Listing {
    fn new(snapshot: &Snapshot, json: bool, outlet: Outlet) -> Self {
        Listing {
            snapshot: snapshot.id().to_string(),
            targets: snapshot.volumes().map(|(_, volume, _)| volume.target.clone()).collect(),
            json,
            begun: false,
            out: BufWriter::with_capacity(1 << 16, outlet),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        write!(self.out, r#"{{"snapshot":"{}","members":["#, self.snapshot)
    }

    fn member(&mut self, index: usize, member: &Member) -> io::Result<()> {
        let target = self.targets.get(index).map_or("", String::as_str);
        if !self.json {
            return writeln!(self.out, "{}", render::member(target, member));
        }
        let view = serde_json::to_string(&MemberView::of(target, member))?;
        match self.begun {
            true => self.out.write_all(b",\n")?,
            false => self.begin()?,
        }
        self.out.write_all(view.as_bytes())
    }

    /// Ends the list; whether the error is part of it. One document it is also if the archive turns out to be damaged
    /// after some members have been written.
    fn end(&mut self, error: Option<&Error>) -> io::Result<bool> {
        let told = self.json && self.begun && error.is_some();
        match error {
            Some(error) if told => {
                let error = serde_json::to_string(&ErrorView::of(error))?;
                writeln!(self.out, r#"],"error":{error}}}"#)?;
            }
            None if self.json => {
                if !self.begun {
                    self.begin()?;
                }
                writeln!(self.out, "]}}")?;
            }
            Some(_) | None => {}
        }
        self.out.flush().map(|()| told)
    }
}

fn lock(listing: &Mutex<Listing>) -> MutexGuard<'_, Listing> {
    listing.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn unwritten(error: &io::Error) -> Error {
    Error::new(Code::Io, format!("cannot write the list: {error}")).hint("look where standard output leads to")
}

/// Standard output without a buffer, and how it is.
#[derive(Clone)]
pub(super) struct Outlet {
    file: Arc<File>,
    begun: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
}

impl Outlet {
    pub(super) fn open() -> Result<Outlet> {
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(|error| unwritten(&error))?;
        Ok(Outlet { file: Arc::new(file.into()), begun: Arc::default(), gone: Arc::default() })
    }

    /// Whether something has been written.
    pub(super) fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether the reader has gone away (`| head`): it has heard enough, and that is no failure of the command.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.file).write(bytes);
        match &written {
            Ok(_) => self.begun.store(true, Ordering::Relaxed),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.gone.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
