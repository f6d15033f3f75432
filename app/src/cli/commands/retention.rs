//! `pin`, `unpin`, `delete` and `prune`.

use std::path::Path;

use volsnap::{
    Code, Error, Pins, Result,
    model::{Snapshot, Workload, retention::Policy},
    view::{DeletedView, ErrorView, FailureView, PruneView, SnapshotView},
};

use crate::cli::{
    answer::Answer,
    args::{Delete, Pin, Prune},
    config::{DEFAULT_FILE, Retention},
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
    let view = DeletedView { deleted: snapshot.id(), workload: snapshot.archive.manifest.workload_name.clone() };
    session.finish(session.volsnap.delete(snapshot, pins(args.force))).await?;
    Answer::new(&view, format!("deleted {} of {}", view.deleted, view.workload))
}

/// By the rules of the arguments, else by those of the configuration. A workload for which nobody said what to keep is
/// left alone; if that is so of every one, the answer is no.
pub async fn prune(session: &Session, args: Prune) -> Result<Answer> {
    let policies = policies(session, &args).await?;
    let (mut pruned, mut left_alone, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for (workload, policy) in policies {
        let (id, name) = (workload.id, workload.name.clone());
        if policy.is_empty() {
            left_alone.push(name);
            continue;
        }
        match session.finish(session.volsnap.prune(workload, policy, args.dry_run)).await {
            Ok(one) => pruned.push((name, one)),
            // Cancelled: the rest is not begun.
            Err(error) if error.code == Code::Aborted || args.workload.is_some() => return Err(error),
            // A workload that is being restored does not keep the others from being pruned.
            Err(error) => errors.push(FailureView { workload_id: id, error: ErrorView::of(&error) }),
        }
    }
    let view = PruneView::of(&pruned, args.dry_run).besides(left_alone, errors);
    let code = view.error.as_ref().map(|error| error.code);
    Ok(Answer::new(&view, render::pruned(&view))?.code(code))
}

/// The workloads that are to be pruned, each by its policy; at least one of these says something.
async fn policies(session: &Session, args: &Prune) -> Result<Vec<(Workload, Policy)>> {
    let configuration = &session.settings.configuration;
    let workloads = match &args.workload {
        Some(name) => vec![session.volsnap.workload(name).await?],
        None => session.volsnap.workloads().await?,
    };
    for (name, _) in &configuration.workloads {
        if args.workload.is_none() && !workloads.iter().any(|workload| workload.name == *name) {
            session.printer.note(&format!("warning: the configuration names workload {name}, which is not registered"));
        }
    }
    let says_something = match workloads.is_empty() {
        true => !policy(args, &configuration.section.retention).is_empty(),
        false => workloads.iter().any(|w| !policy(args, &configuration.section_of(&w.name).retention).is_empty()),
    };
    if !says_something {
        let file = configuration.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        return Err(Error::new(Code::Usage, "no rule was given, so nothing says what to keep").hint(format!(
            "give --keep-last, --keep-hourly, --keep-daily, --keep-weekly, --keep-monthly, --keep-yearly or \
             --keep-within, or write a [retention] into {}",
            file.display()
        )));
    }
    let with_policy = |workload: Workload| {
        let policy = policy(args, &configuration.section_of(&workload.name).retention);
        (workload, policy)
    };
    Ok(workloads.into_iter().map(with_policy).collect())
}

fn has_rules(args: &Prune) -> bool {
    let Prune { keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly, .. } = args;
    let counts = [keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly];
    counts.into_iter().any(Option::is_some) || args.keep_within.is_some()
}

/// The rules belong together, so they come from one place; the quota of pre-restore snapshots is apart.
fn policy(args: &Prune, usual: &Retention) -> Policy {
    let quota = args.keep_prerestore.unwrap_or(usual.keep_prerestore.value);
    let rules = match has_rules(args) {
        true => Policy {
            last: args.keep_last.unwrap_or(0),
            hourly: args.keep_hourly.unwrap_or(0),
            daily: args.keep_daily.unwrap_or(0),
            weekly: args.keep_weekly.unwrap_or(0),
            monthly: args.keep_monthly.unwrap_or(0),
            yearly: args.keep_yearly.unwrap_or(0),
            within: args.keep_within,
            ..Policy::default()
        },
        false => usual.policy(),
    };
    Policy { prerestore_last: quota, ..rules }
}
