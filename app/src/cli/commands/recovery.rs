//! `recover` and `status`.

use volsnap::{
    Code, Result, Take,
    model::{Workload, WorkloadId},
    view::{FlawedView, LeftCopyView, LeftDraftView, RecoveryView, StatusView, severity, worst},
};

use crate::cli::{answer::Answer, args::TakeArg, render, session::Session};

/// Works without the catalog: a workload that only its journal names is found all the same.
pub async fn recover(
    session: &Session,
    workload: Option<&str>,
    no_hooks: bool,
    take: Option<TakeArg>,
    without_missing: bool,
) -> Result<Answer> {
    let id = chosen(session, workload).await?;
    let volsnap = session.with_hooks(!no_hooks);
    let volsnap = if without_missing { volsnap.without_missing() } else { volsnap };
    let recovered = match (id, take) {
        (Some(id), Some(TakeArg::Original)) => session.finish(volsnap.recover_named(id, Take::Original)).await?,
        (Some(id), Some(TakeArg::Restored)) => session.finish(volsnap.recover_named(id, Take::Restored)).await?,
        (_, None) | (None, Some(_)) => session.finish(volsnap.recover(id)).await?,
    };
    let mut view = RecoveryView::of(&recovered, session.volsnap.catalog_problem());
    match session.finish(volsnap.sweep_copies()).await {
        Ok(swept) => view.copies = LeftCopyView::all(&swept),
        Err(error) => view.warnings.push(format!("what interrupted copies left is not known: {}", error.message)),
    }
    match session.finish(session.volsnap.sweep_drafts(id)).await {
        Ok(swept) => view.drafts = LeftDraftView::all(&swept, &known(session).await),
        Err(error) => {
            view.warnings.push(format!("whether unfinished archives were left is not known: {}", error.message));
        }
    }
    let is_left = view.copies.iter().any(|copy| copy.problem.is_some())
        || view.drafts.iter().any(|draft| draft.problem.is_some());
    let left = is_left.then_some(Code::Warnings);
    let code = worst(&recovered).into_iter().chain(left).max_by_key(|code| severity(*code));
    Ok(Answer::new(&view, render::recovery(&view))?.code(code))
}

/// Also `recover --dry-run`: what is open is exactly what would be recovered.
pub async fn status(session: &Session, workload: Option<&str>) -> Result<Answer> {
    let id = chosen(session, workload).await?;
    let open = session.volsnap.status(id).await?;
    let kept = session.volsnap.kept(id).await?;
    let mut view = StatusView::of(&open, &kept, session.volsnap.catalog_problem());
    view.copies = LeftCopyView::all(&session.volsnap.left_copies().await?);
    view.drafts = LeftDraftView::all(&session.volsnap.left_drafts(id).await?, &known(session).await);
    // A catalog that cannot be read is told of already.
    let snapshots = session.volsnap.snapshots(id).await.unwrap_or_default();
    view.damaged = FlawedView::all(&snapshots, &session.volsnap.flaws(&snapshots).await?);
    Answer::new(&view, render::status(&view))
}

/// The workloads, for their names; none if the catalog is lost.
async fn known(session: &Session) -> Vec<Workload> {
    session.volsnap.workloads().await.unwrap_or_default()
}

async fn chosen(session: &Session, workload: Option<&str>) -> Result<Option<WorkloadId>> {
    match workload {
        Some(name) => session.volsnap.workload_id(name).await.map(Some),
        None => Ok(None),
    }
}
