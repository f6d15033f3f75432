//! `events`.

use volsnap::{Code, Error, Result, model::WorkloadId, view::EventsView};

use crate::cli::{answer::Answer, render, session::Session};

/// Events outlive their workload: a removed one is known by the name that its events carry.
pub async fn events(session: &Session, workload: Option<&str>, limit: u32) -> Result<Answer> {
    let events = match workload {
        None => session.volsnap.events(None, limit).await?,
        Some(name) => match session.volsnap.workload(name).await {
            Ok(workload) => session.volsnap.events(Some(workload.id), limit).await?,
            Err(error) if error.code == Code::NotFound => of_removed(session, name, limit, error).await?,
            Err(error) => return Err(error),
        },
    };
    let view = EventsView::of(events);
    Answer::new(&view, render::events(&view))
}

async fn of_removed(session: &Session, name: &str, limit: u32, not_found: Error) -> Result<Vec<volsnap::ports::Event>> {
    let id: Option<WorkloadId> = name.parse().ok();
    let mut events = session.volsnap.events(id, u32::MAX).await?;
    events.retain(|event| id.is_some() || event.workload_name == name);
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    match events.is_empty() {
        true => Err(not_found),
        false => Ok(events),
    }
}
