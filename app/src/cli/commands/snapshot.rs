//! `create`, `list`, `show` and `verify`.

use std::io::{self, IsTerminal};

use volsnap::{
    Code, Error, Result, SnapshotRequest,
    model::{Mode, Snapshot},
    view::{SnapshotView, SnapshotsView, VerificationView, VerifiedView, severity},
};

use crate::cli::{
    answer::Answer,
    args::{Create, ModeArg, Verify},
    render,
    session::Session,
};

pub async fn create(session: &Session, args: Create) -> Result<Answer> {
    let workload = session.volsnap.workload(&args.workload).await?;
    let usual = session.settings.section_of(&workload.name).create.mode.value;
    let mode = match args.mode.unwrap_or(usual) {
        ModeArg::Pause => Mode::Pause,
        ModeArg::Stop => Mode::Stop,
        ModeArg::Live => Mode::Live,
    };
    let volsnap = session.with_hooks(!args.no_hooks);
    let taken = session.finish(volsnap.create(SnapshotRequest { workload, mode, note: args.note })).await?;
    let code = (!taken.complaints.is_empty()).then_some(Code::Warnings);
    let warnings = taken.warnings.into_iter().chain(taken.complaints).collect();
    let view = SnapshotView { warnings, ..view(session, &taken.snapshot) };
    for warning in &view.warnings {
        session.printer.note(&format!("warning: {warning}"));
    }
    // Scripts want the id alone, also as text; who looks at a terminal is told what it is the id of.
    if io::stderr().is_terminal() {
        session.printer.note(&render::created(&view));
    }
    Ok(Answer::new(&view, view.id.to_string())?.code(code))
}

pub async fn list(session: &Session, workload: Option<&str>) -> Result<Answer> {
    let workload = match workload {
        Some(name) => Some(session.volsnap.workload(name).await?.id),
        None => None,
    };
    let snapshots = session.volsnap.snapshots(workload).await?;
    // What cannot be looked at may be there.
    let flaws = session.volsnap.flaws(&snapshots).await;
    let marked = |s: &Snapshot| match &flaws {
        Ok(flaws) => view(session, s).with_flaw(flaws.get(&s.id()).copied()),
        Err(_) => view(session, s),
    };
    let view = SnapshotsView { snapshots: snapshots.iter().map(marked).collect() };
    Answer::new(&view, render::snapshots(&view))
}

pub async fn show(session: &Session, snapshot: &str) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, snapshot).await?;
    let view = match session.volsnap.flaws(std::slice::from_ref(&snapshot)).await {
        Ok(flaws) => view(session, &snapshot).with_flaw(flaws.get(&snapshot.id()).copied()),
        Err(_) => view(session, &snapshot),
    };
    Answer::new(&view, render::snapshot(&view))
}

/// One snapshot fails like any command; of several each is reported, and the worst decides.
pub async fn verify(session: &Session, args: Verify) -> Result<Answer> {
    let mut snapshots = match args.all {
        true => session.volsnap.snapshots(None).await?,
        false => Vec::new(),
    };
    for text in &args.snapshots {
        snapshots.push(session.volsnap.snapshot(None, text).await?);
    }
    let mut verified = Vec::new();
    let mut worst: Option<Code> = None;
    for snapshot in &snapshots {
        let result = session.look(match args.quick {
            true => session.volsnap.verify_stored(snapshot.clone()),
            false => session.volsnap.verify(snapshot.clone()),
        });
        let result = result.await;
        verified.push(VerifiedView::of(snapshot, &result));
        match result {
            Ok(_) => {}
            Err(error) if args.snapshots.len() == 1 => {
                return Err(name(snapshot, error));
            }
            Err(error) => worst = worst.into_iter().chain([error.code]).max_by_key(|code| severity(*code)),
        }
    }
    let text = render::verified(&verified);
    Ok(Answer::new(&VerificationView { verified }, text)?.code(worst))
}

fn name(snapshot: &Snapshot, error: Error) -> Error {
    error.context(format_args!("snapshot {}", snapshot.id()))
}

fn view(session: &Session, snapshot: &Snapshot) -> SnapshotView {
    SnapshotView::of(snapshot, &session.volsnap.archive_path(snapshot))
}
