//! `export`, `import` and `rebuild`: archives out and in, and the catalog from the archives alone.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use volsnap::{
    Code, Error, ImportRequest, Result,
    view::{ExportView, ImportView, RebuiltView, SnapshotView},
};

use super::inside::{End, Outlet, cut};
use crate::cli::{
    answer::Answer,
    args::{Export, Import, Rebuild},
    render,
    session::Session,
};

pub async fn export(session: &Session, args: Export) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, &args.snapshot).await?;
    if args.file == Path::new("-") {
        return write_out(session, snapshot).await;
    }
    let file = absolute(&args.file)?;
    let bytes = session.finish(session.volsnap.export(snapshot.clone(), &file, args.force)).await?;
    let view = ExportView::of(&snapshot, &file, bytes);
    Answer::new(&view, render::exported(&view))
}

/// Standard output is the archive, so nothing else is written there.
async fn write_out(session: &Session, snapshot: volsnap::model::Snapshot) -> Result<Answer> {
    if io::stdout().is_terminal() {
        return Err(Error::new(Code::Usage, "an archive is not written to a terminal")
            .hint("redirect standard output, or give a file"));
    }
    let outlet = Outlet::open()?;
    match (session.volsnap.write_out(snapshot, outlet.clone()).await, outlet.end()) {
        (Ok(_), _) => Ok(Answer::written(None)),
        (Err(_), End::Lost(lost)) => cut(session, &outlet, lost),
        // A part of an archive is none: whoever went away before its end has not got it.
        (Err(error), End::Gone | End::Open) => cut(session, &outlet, error),
    }
}

pub async fn import(session: &Session, args: Import) -> Result<Answer> {
    if args.file == Path::new("-") {
        return Err(Error::new(
            Code::Usage,
            "an archive is not read from standard input, since it is read from its end",
        )
        .hint("write it to a file first"));
    }
    let workload = match &args.workload {
        Some(name) => Some(session.volsnap.workload(name).await?),
        None => None,
    };
    let request = ImportRequest { file: absolute(&args.file)?, workload };
    let outcome = session.finish(session.volsnap.import(request)).await?;
    let archive = session.volsnap.archive_path(&outcome.snapshot);
    let snapshot = SnapshotView { warnings: outcome.warnings, ..SnapshotView::of(&outcome.snapshot, &archive) };
    for warning in &snapshot.warnings {
        session.printer.note(&format!("warning: {warning}"));
    }
    let id = snapshot.id.to_string();
    if outcome.already {
        session.printer.note("it is here already; nothing was done");
    }
    if outcome.repaired {
        session.printer.note("the archive that was here was damaged; the file has taken its place");
    }
    Answer::new(&ImportView { already: outcome.already, repaired: outcome.repaired, snapshot }, id)
}

pub async fn rebuild(session: &Session, args: Rebuild) -> Result<Answer> {
    let rebuilt = session.finish(session.volsnap.rebuild(args.prune_missing)).await?;
    let view = RebuiltView::of(&rebuilt, session.volsnap.damaged_catalog());
    let code = (!view.warnings.is_empty()).then_some(Code::Warnings);
    Ok(Answer::new(&view, render::rebuilt(&view))?.code(code))
}

fn absolute(file: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(file).map_err(|error| {
        Error::new(Code::Usage, format!("{}: {error}", file.display())).hint("give the path of a file")
    })
}
