//! `workload add`, `list`, `discover`, `show` and `remove`.

use volsnap::{
    NewWorkload, Pins, Result,
    model::Selector,
    view::{BondView, DiscoveryView, ProspectView, RemovedView, RemovedWorkloadView, WorkloadView, WorkloadsView},
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
        WorkloadCommand::Discover => discover(session).await,
        WorkloadCommand::Hook(command) => super::hook::answer(session, command).await,
        WorkloadCommand::Show { workload } => show(session, &workload).await,
        WorkloadCommand::Remove { workload, delete_snapshots, force } => {
            remove(session, &workload, delete_snapshots, pins(force)).await
        }
    }
}

async fn add(session: &Session, args: WorkloadAdd) -> Result<Answer> {
    let selector = Selector { compose_project: args.compose_project, containers: args.containers, labels: args.labels };
    let mut new = NewWorkload { name: args.name, selector, volumes: args.volumes };
    let bond = match new.selector.is_empty() && new.volumes.is_empty() {
        true => Some(session.volsnap.meant_by(&new.name).await?),
        false => None,
    };
    if let Some(bond) = &bond {
        new.selector = bond.selector();
    }
    if args.dry_run {
        let view = ProspectView::of(&session.volsnap.prospect(new).await?, bond.as_ref());
        return Answer::new(&view, render::prospect(&view));
    }
    let (workload, done) = match args.update {
        true => (session.volsnap.change_workload(new).await?, "registered anew:"),
        false => (session.volsnap.add_workload(new).await?, "registered"),
    };
    let view = WorkloadView::of(&workload, Some(&session.volsnap.inspect(&workload).await?));
    let registered = match bond.as_ref().map(BondView::of) {
        Some(bond) => format!("{done} {}: {}", workload.name, render::taken_for(&bond)),
        None => format!("{done} {}", workload.name),
    };
    let suggestions = view.now.as_ref().map_or_else(String::new, |now| render::suggestions(&now.suggestions));
    let text = [registered, render::workload(&view), suggestions];
    Answer::new(&view, text.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n"))
}

async fn discover(session: &Session) -> Result<Answer> {
    let view = DiscoveryView::of(&session.volsnap.discover().await?);
    Answer::new(&view, render::discovery(&view))
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
    let removed = RemovedWorkloadView { id: workload.id, name: workload.name.clone() };
    let snapshots_deleted = session.finish(session.volsnap.remove_workload(workload, delete_snapshots, pins)).await?;
    let text = format!("removed {name} and {snapshots_deleted} snapshots; its directories and containers stay");
    Answer::new(&RemovedView { removed, snapshots_deleted }, text)
}
