//! `delete` and `prune`.

use serde_json::json;
use volsnap::{Code, Error, Result, model::retention::Policy, view::PruneView};

use crate::cli::{answer::Answer, args::Prune, render, session::Session};

pub async fn delete(session: &Session, snapshot: &str) -> Result<Answer> {
    let snapshot = session.volsnap.snapshot(None, snapshot).await?;
    let (id, workload) = (snapshot.id(), snapshot.archive.manifest.workload_name.clone());
    session.finish(session.volsnap.delete(snapshot)).await?;
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
        last: args.keep_last,
        hourly: args.keep_hourly,
        daily: args.keep_daily,
        weekly: args.keep_weekly,
        monthly: args.keep_monthly,
        yearly: args.keep_yearly,
        within: args.keep_within,
        prerestore_last: args.keep_prerestore.unwrap_or(usual.prerestore_last),
    }
}
