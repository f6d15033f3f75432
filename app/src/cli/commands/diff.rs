//! `diff`: written as it comes, however much differs.

use std::{
    io::{self, BufWriter, Write},
    os::unix::ffi::OsStrExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use volsnap::{
    Against, Code, DiffRequest, Error, Result,
    model::{Change, VolumeDifference},
    view::{ChangeView, ErrorView, VolumeDifferenceView},
};

use super::inside::{End, Outlet, cut};
use crate::cli::{
    answer::{Answer, unwritten},
    args::Diff,
    render,
    session::Session,
};

pub async fn diff(session: &Session, args: Diff) -> Result<Answer> {
    let from = session.volsnap.snapshot(None, &args.snapshot).await?;
    let to = match args.to.as_str() {
        "live" => session.volsnap.live_of(&from).await?,
        text => {
            let workload = (text == "latest").then(|| from.workload());
            Against::Snapshot(Box::new(session.volsnap.snapshot(workload, text).await?))
        }
    };
    let named = match &to {
        Against::Snapshot(snapshot) => snapshot.id().to_string(),
        Against::Live(_) => "live".to_string(),
    };
    let outlet = Outlet::open()?;
    let written = Written::new([from.id().to_string(), named], session.printer.json, args.summary, outlet.clone());
    let written = Arc::new(Mutex::new(written));
    let request = DiffRequest {
        from,
        to,
        targets: args.volumes,
        path: args.path.map(|path| path.as_bytes().to_vec()),
        contents: args.content,
        times: args.times,
    };
    let sink = {
        let written = written.clone();
        move |target: &str, change: &Change| lock(&written).change(target, change)
    };
    // A signal may end this at any time: nothing is changed.
    let compared = session.volsnap.diff(request, sink).await;
    let ended = lock(&written).end(compared.as_deref());
    let differs = |volumes: &[VolumeDifference]| volumes.iter().any(|volume| !volume.is_none());
    match (outlet.end(), compared, ended) {
        (End::Gone, _, _) => Ok(Answer::written(None)),
        (End::Lost(lost), _, _) => cut(session, &outlet, lost),
        (End::Open, Err(error), Ok(true)) => Ok(Answer::written(Some(error.code))),
        (End::Open, Err(error), _) => Err(error),
        (End::Open, Ok(_), Err(error)) => Err(unwritten(&error)),
        (End::Open, Ok(volumes), Ok(_)) => {
            Ok(Answer::written((args.exit_code && differs(&volumes)).then_some(Code::Warnings)))
        }
    }
}

/// What is written so far.
struct Written {
    compared: [String; 2],
    json: bool,
    summary: bool,
    begun: bool,
    out: BufWriter<Outlet>,
}

impl Written {
    fn new(compared: [String; 2], json: bool, summary: bool, outlet: Outlet) -> Self {
        Written { compared, json, summary, begun: false, out: BufWriter::with_capacity(1 << 16, outlet) }
    }

    /// The beginning of the document, up to the first change.
    fn begin(&mut self) -> io::Result<()> {
        self.begun = true;
        let [from, to] = &self.compared;
        write!(self.out, r#"{{"from":"{from}","to":"{to}""#)?;
        match self.summary {
            true => Ok(()),
            false => self.out.write_all(br#","members":["#),
        }
    }

    fn change(&mut self, target: &str, change: &Change) -> io::Result<()> {
        if self.summary {
            return Ok(());
        }
        if !self.json {
            return writeln!(self.out, "{}", render::change(target, change));
        }
        let view = serde_json::to_string(&ChangeView::of(target, change))?;
        match self.begun {
            true => self.out.write_all(b",\n")?,
            false => self.begin()?,
        }
        self.out.write_all(view.as_bytes())
    }

    /// Ends the answer; whether an error is part of it. One document it is also if an archive turns out to be damaged
    /// after some changes have been written.
    fn end(&mut self, compared: Result<&[VolumeDifference], &Error>) -> io::Result<bool> {
        let told = match compared {
            Err(error) if self.json && self.begun => {
                let error = serde_json::to_string(&ErrorView::of(error))?;
                writeln!(self.out, r#"],"error":{error}}}"#)?;
                true
            }
            Err(_) => false,
            Ok(volumes) if self.json => {
                if !self.begun {
                    self.begin()?;
                }
                let views: Vec<_> = volumes.iter().map(VolumeDifferenceView::of).collect();
                let close = if self.summary { "" } else { "]" };
                writeln!(self.out, r#"{close},"volumes":{}}}"#, serde_json::to_string(&views)?)?;
                false
            }
            Ok(volumes) => {
                for volume in volumes {
                    writeln!(self.out, "{}", render::difference(volume))?;
                }
                false
            }
        };
        self.out.flush().map(|()| told)
    }
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}
