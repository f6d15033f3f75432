//! `ls` and `dump`: what is in a snapshot. Both write their answer as it comes, however long it is.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufWriter, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use volsnap::{
    Error, Result,
    model::{Member, Snapshot},
    view::{ErrorView, MemberView},
};

use crate::cli::{
    answer::{Answer, unwritten},
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
    match (outlet.end(), listed, ended) {
        (End::Gone, _, _) => Ok(Answer::written(None)),
        (End::Lost(lost), _, _) => cut(session, &outlet, lost),
        (End::Open, Err(error), Ok(true)) => Ok(Answer::written(Some(error.code))),
        (End::Open, Err(error), _) => Err(error),
        (End::Open, Ok(_), Ok(_)) => Ok(Answer::written(None)),
        (End::Open, Ok(_), Err(error)) => Err(unwritten(&error)),
    }
}

pub async fn dump(session: &Session, snapshot: &str, target: &str, path: PathBuf) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, snapshot).await?;
    let outlet = Outlet::open()?;
    match (session.volsnap.dump(snapshot, target, &path, outlet.clone()).await, outlet.end()) {
        (Ok(_), _) | (Err(_), End::Gone) => Ok(Answer::written(None)),
        (Err(_), End::Lost(lost)) => cut(session, &outlet, lost),
        (Err(error), End::Open) => cut(session, &outlet, error),
    }
}

/// Ends an answer that was cut short. Where a part of it has been written, no document may come after it.
pub(super) fn cut(session: &Session, outlet: &Outlet, error: Error) -> Result<Answer> {
    if outlet.is_begun() && session.printer.json {
        session.printer.complain(&error);
        return Ok(Answer::written(Some(error.code)));
    }
    Err(error)
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

/// Standard output without a buffer, and how it is.
#[derive(Clone)]
pub(super) struct Outlet {
    file: Arc<File>,
    state: Arc<Mutex<(u64, End)>>,
}

/// How standard output is in the end.
#[derive(Clone)]
pub(super) enum End {
    /// It takes more.
    Open,
    /// The reader has gone away (`| head`): it has heard enough, and that is no failure of the command.
    Gone,
    /// It could not be written to.
    Lost(Error),
}

impl Outlet {
    pub(super) fn open() -> Result<Outlet> {
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(|error| unwritten(&error))?;
        Ok(Outlet { file: Arc::new(file.into()), state: Arc::new(Mutex::new((0, End::Open))) })
    }

    /// Whether something has been written.
    pub(super) fn is_begun(&self) -> bool {
        self.state().0 > 0
    }

    pub(super) fn end(&self) -> End {
        self.state().1.clone()
    }

    fn state(&self) -> MutexGuard<'_, (u64, End)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&*self.file).write(bytes);
        let mut state = self.state();
        match &written {
            Ok(count) => state.0 += *count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => state.1 = End::Gone,
            Err(error) if state.0 == 0 => state.1 = End::Lost(unwritten(error)),
            Err(error) => {
                state.1 = End::Lost(unwritten(&format_args!("{error}; the {} bytes before are written", state.0)));
            }
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
