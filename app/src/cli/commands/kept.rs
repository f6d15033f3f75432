//! `kept list`, `archive`, `restore` and `discard`.

use volsnap::{
    Code, Error, KeptSet, Result,
    view::{KeptArchivedView, KeptDiscardedView, KeptListView, KeptSetView},
};

use super::restore;
use crate::cli::{
    answer::{Answer, tell},
    args::{KeptCommand, KeptRestore},
    ask, plain, render,
    session::Session,
};

pub async fn answer(session: &Session, command: KeptCommand) -> Result<Answer> {
    match command {
        KeptCommand::List { workload } => list(session, workload.as_deref()).await,
        KeptCommand::Archive { id } => archive(session, &id).await,
        KeptCommand::Restore(args) => put_back(session, args).await,
        KeptCommand::Discard { id, yes } => discard(session, &id, yes).await,
    }
}

async fn list(session: &Session, workload: Option<&str>) -> Result<Answer> {
    let id = match workload {
        Some(name) => Some(session.volsnap.workload_id(name).await?),
        None => None,
    };
    let mut view = KeptListView::default();
    for set in session.volsnap.kept_sets(id).await? {
        view.kept.push(seen(session, &set).await);
    }
    Answer::new(&view, render::kept(&view))
}

async fn seen(session: &Session, set: &KeptSet) -> KeptSetView {
    let mut sizes = Vec::new();
    for dir in &set.dirs {
        sizes.push(session.volsnap.kept_size(dir).await);
    }
    KeptSetView::of(set, &sizes)
}

async fn archive(session: &Session, id: &str) -> Result<Answer> {
    let set = session.volsnap.kept_set(id).await?;
    let report = session.finish(session.volsnap.archive_kept(set.clone())).await?;
    let view = KeptArchivedView::of(&set, &report);
    let code = (!view.warnings.is_empty()).then_some(Code::Warnings);
    Ok(Answer::new(&view, render::kept_archived(&view))?.code(code))
}

async fn put_back(session: &Session, args: KeptRestore) -> Result<Answer> {
    let KeptRestore { id, options, yes } = args;
    if !yes && !ask::is_possible() {
        return Err(Error::new(Code::Usage, "there is no terminal to ask whether the restore should begin")
            .hint("look at `volsnap kept list`, then give --yes"));
    }
    let volsnap = session.with_hooks(!options.no_hooks);
    let set = volsnap.kept_set(&id).await?;
    let options = restore::chosen(session, &set.workload, &options)?;
    let mut request = volsnap.kept_request(&set, options).await?;
    if !yes {
        restore::agree(session, &volsnap, &mut request).await?;
    }
    let report = session.finish(volsnap.restore(request)).await?;
    restore::answer(session, &report)
}

async fn discard(session: &Session, id: &str, yes: bool) -> Result<Answer> {
    if !yes && !ask::is_possible() {
        return Err(Error::new(Code::Usage, "there is no terminal to ask whether the originals should be deleted")
            .hint("look at `volsnap kept list`, then give --yes"));
    }
    let set = session.volsnap.kept_set(id).await?;
    if !yes {
        let view = KeptListView { kept: vec![seen(session, &set).await] };
        tell(&plain::text(&render::kept(&view)));
        let question = format!("delete these originals of {}, for good?", set.workload);
        ask::ask_for(&question, &ask::Aim { act: "delete", done: "deleted", look: "volsnap kept list" }).await?;
    }
    session.finish(session.volsnap.discard_kept(set.clone())).await?;
    let view = KeptDiscardedView::of(&set);
    Answer::new(&view, render::kept_discarded(&view))
}
