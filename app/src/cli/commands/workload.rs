//! `workload add`, `list`, `show` and `remove`.

use serde_json::json;
use volsnap::{
    NewWorkload, Pins, Result,
    model::Selector,
    view::{WorkloadView, WorkloadsView},
};

use super::retention::pins;
use crate::cli::{
    answer::Answer,
    args::{WorkloadAdd, WorkloadCommand},
    render,
    session::Session,
};

pub async fn answer(session: &Session, command: WorkloadCommand) -> Result<Answer> {
    match command {
        WorkloadCommand::Add(args) => add(session, args).await,
        WorkloadCommand::List => list(session).await,
        WorkloadCommand::Show { workload } => show(session, &workload).await,
        WorkloadCommand::Remove { workload, delete_snapshots, force } => {
            remove(session, &workload, delete_snapshots, pins(force)).await
        }
    }
}

async fn add(session: &Session, args: WorkloadAdd) -> Result<Answer> {
    let selector = Selector { compose_project: args.compose_project, containers: args.containers, labels: args.labels };
    let new = NewWorkload { name: args.name, selector, volumes: args.volumes };
    let workload = session.volsnap.add_workload(new).await?;
    let view = WorkloadView::of(&workload, Some(&session.volsnap.inspect(&workload).await?));
    Answer::new(&view, format!("registered {}\n{}", workload.name, render::workload(&view)))
}

async fn list(session: &Session) -> Result<Answer> {
    let workloads = session.volsnap.workloads().await?;
    let view = WorkloadsView { workloads: workloads.iter().map(|w| WorkloadView::of(w, None)).collect() };
    Answer::new(&view, render::workloads(&view))
}

async fn show(session: &Session, name: &str) -> Result<Answer> {
    let workload = session.volsnap.workload(name).await?;
    let view = WorkloadView::of(&workload, Some(&session.volsnap.inspect(&workload).await?));
    Answer::new(&view, render::workload(&view))
}

async fn remove(session: &Session, name: &str, delete_snapshots: bool, pins: Pins) -> Result<Answer> {
    let workload = session.volsnap.workload(name).await?;
    let removed = json!({ "id": workload.id, "name": workload.name });
    let count = session.finish(session.volsnap.remove_workload(workload, delete_snapshots, pins)).await?;
    let document = json!({ "removed": removed, "snapshots_deleted": count });
    Answer::new(&document, format!("removed {name} and {count} snapshots; its directories and containers stay"))
}
