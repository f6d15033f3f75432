//! `pin`, `unpin`, `delete` and `prune`.

use serde_json::json;
use volsnap::{
    Code, Error, Pins, Result,
    model::{Snapshot, retention::Policy},
    view::{PruneView, SnapshotView},
};

use crate::cli::{
    answer::Answer,
    args::{Delete, Pin, Prune},
    render,
    session::Session,
};

pub async fn pin(session: &Session, args: Pin) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, &args.snapshot).await?;
    let pinned = session.finish(session.volsnap.pin(snapshot, args.note)).await?;
    marked(session, &pinned)
}

pub async fn unpin(session: &Session, snapshot: &str) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, snapshot).await?;
    let unpinned = session.finish(session.volsnap.unpin(snapshot)).await?;
    marked(session, &unpinned)
}

fn marked(session: &Session, snapshot: &Snapshot) -> Result<Answer> {
    let view = SnapshotView::of(snapshot, &session.volsnap.archive_path(snapshot));
    Answer::new(&view, render::pinned(&view))
}

/// What `--force` says about pins.
pub fn pins(force: bool) -> Pins {
    match force {
        true => Pins::Override,
        false => Pins::Heed,
    }
}

pub async fn delete(session: &Session, args: Delete) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, &args.snapshot).await?;
    let (id, workload) = (snapshot.id(), snapshot.archive.manifest.workload_name.clone());
    session.finish(session.volsnap.delete(snapshot, pins(args.force))).await?;
    Answer::new(&json!({ "deleted": id, "workload": workload }), format!("deleted {id} of {workload}"))
}

pub async fn prune(session: &Session, args: Prune) -> Result<Answer> {
    let policy = policy(&args);
    if policy.is_empty() {
        return Err(Error::new(Code::Usage, "no rule was given, so nothing says what to keep")
            .hint("give --keep-last, --keep-hourly, --keep-daily, --keep-weekly, --keep-monthly or --keep-within"));
    }
    let workloads = match &args.workload {
        Some(name) => vec![session.volsnap.workload(name).await?],
        None => session.volsnap.workloads().await?,
    };
    let mut pruned = Vec::new();
    for workload in workloads {
        let name = workload.name.clone();
        let one = session.finish(session.volsnap.prune(workload, policy.clone(), args.dry_run)).await?;
        pruned.push((name, one));
    }
    let view = PruneView::of(&pruned, args.dry_run);
    Answer::new(&view, render::pruned(&view))
}

fn policy(args: &Prune) -> Policy {
    let usual = Policy::default();
    Policy {
        last: args.keep_last.unwrap_or(0),
        hourly: args.keep_hourly.unwrap_or(0),
        daily: args.keep_daily.unwrap_or(0),
        weekly: args.keep_weekly.unwrap_or(0),
        monthly: args.keep_monthly.unwrap_or(0),
        yearly: args.keep_yearly.unwrap_or(0),
        within: args.keep_within,
        prerestore_last: args.keep_prerestore.unwrap_or(usual.prerestore_last),
    }
}
