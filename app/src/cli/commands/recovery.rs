//! `recover` and `status`.

use volsnap::{
    Result,
    model::WorkloadId,
    view::{RecoveryView, StatusView, worst},
};

use crate::cli::{answer::Answer, render, session::Session};

/// Works without the catalog: a workload that only its journal names is found all the same.
pub async fn recover(session: &Session, workload: Option<&str>, no_hooks: bool) -> Result<Answer> {
    let id = chosen(session, workload).await?;
    let recovered = session.finish(session.with_hooks(!no_hooks).recover(id)).await?;
    let view = RecoveryView::of(&recovered, session.volsnap.catalog_problem());
    Ok(Answer::new(&view, render::recovery(&view))?.code(worst(&recovered)))
}

/// Also `recover --dry-run`: what is open is exactly what would be recovered.
pub async fn status(session: &Session, workload: Option<&str>) -> Result<Answer> {
    let id = chosen(session, workload).await?;
    let open = session.volsnap.status(id).await?;
    let kept = session.volsnap.kept(id).await?;
    let view = StatusView::of(&open, &kept, session.volsnap.catalog_problem());
    Answer::new(&view, render::status(&view))
}

async fn chosen(session: &Session, workload: Option<&str>) -> Result<Option<WorkloadId>> {
    match workload {
        Some(name) => session.volsnap.workload_id(name).await.map(Some),
        None => Ok(None),
    }
}
