//! A plan, the question about it, and how it ended.

use std::collections::BTreeSet;

use volsnap::{
    kept_id,
    model::{ImageChoice, Losses},
    restore::{Outcome, plan::Method},
    view::{ChangesView, DowntimeView, PlanView, PlannedImageView, PlannedVolumeView, ReportView},
};

use super::{
    hook::hook_table,
    table::{
        Column::{Number, Text},
        age, bytes, join, labelled, milliseconds, number, seconds, table, table_in, time,
    },
};
use crate::cli::{plain, width::Width};

/// What a restore would do, with every reason not to. The tables are for that width.
pub fn plan(plan: &PlanView, width: Width) -> String {
    let (taken, old) = (time(plan.snapshot_created_at), age(plan.snapshot_age_seconds));
    let refusals: Vec<String> =
        plan.refusals.iter().map(|r| format!("refused: {}\n  hint: {}", r.message, r.hint)).collect();
    join([
        match plan.kept_of {
            None => format!("restore {} from snapshot {} of {taken} ({old} old)", plan.workload, plan.snapshot),
            Some(restore) => {
                format!("put back what restore {restore} of {} replaced at {taken} ({old} ago)", plan.workload)
            }
        },
        volumes(plan, width),
        filesystems(plan, width),
        containers(plan, width),
        costs(plan),
        hook_table(&plan.hooks),
        plan.downtime.as_ref().map_or_else(String::new, |known| downtime(plan, known)),
        match plan.safety_snapshot {
            true => format!("what is replaced is kept as a snapshot; `volsnap undo {}` brings it back", plan.workload),
            false if plan.kept_of.is_some() => {
                "what is replaced is kept aside; `volsnap kept list` shows it then".into()
            }
            false => "what is replaced is NOT kept: there is no way back".into(),
        },
        match plan.resume {
            true => "a crash before the switch does not end it: `volsnap recover` goes on".into(),
            false => String::new(),
        },
        labelled("note", &plan.notes),
        labelled("warning", &plan.warnings),
        refusals.join("\n"),
    ])
}

/// Where the reasons have no room beside the volumes, they stand below, each once.
fn volumes(plan: &PlanView, width: Width) -> String {
    let row = |v: &PlannedVolumeView| {
        let method = word(v.method).to_string();
        [v.target.clone(), v.live.clone(), bytes(v.bytes), number(v.entries), changed_since(v), method]
    };
    let columns =
        || [Text("VOLUME"), Text("LIVE"), Number("SIZE"), Number("ENTRIES"), Text("CHANGED SINCE"), Text("METHOD")];
    let [target, live, size, entries, changed, method] = columns();
    let all = table_in(
        Width::ANY,
        [target, live, size, entries, changed, method, Text("REASON")],
        plan.volumes.iter().map(|v| {
            let [target, live, size, entries, changed, method] = row(v);
            [target, live, size, entries, changed, method, v.reason.clone()]
        }),
    );
    let table = match width.holds(&all) {
        true => all,
        false => {
            let reasons = plan.volumes.iter().map(|v| format!("{}: {}", word(v.method), v.reason));
            let reasons = reasons.collect::<BTreeSet<_>>();
            join([table_in(width, columns(), plan.volumes.iter().map(row))].into_iter().chain(reasons))
        }
    };
    let uncounted = plan.volumes.iter().filter_map(|v| Some((&v.target, v.changes_problem.as_ref()?)));
    let notes = uncounted.map(|(target, why)| format!("note: what was changed in {target} was not counted: {why}"));
    join([table].into_iter().chain(notes))
}

/// `+3 -1 ~2`: how many entries came, went, and are others since the snapshot.
fn changed_since(volume: &PlannedVolumeView) -> String {
    match (&volume.changes, &volume.changes_problem) {
        (Some(ChangesView { added: 0, removed: 0, changed: 0, .. }), _) => "nothing".into(),
        (Some(ChangesView { added, removed, changed, .. }), _) => {
            format!("+{} -{} ~{}", number(*added), number(*removed), number(*changed))
        }
        (None, Some(_)) => "not counted".into(),
        (None, None) => "-".into(),
    }
}

fn filesystems(plan: &PlanView, width: Width) -> String {
    let columns = [
        Text("FILESYSTEM"),
        Text("KIND"),
        Number("NEEDED"),
        Number("FREE"),
        Number("INODES NEEDED"),
        Number("INODES FREE"),
    ];
    let rows = plan.filesystems.iter().map(|f| {
        let inodes_free = f.inodes_free.map_or("any".to_string(), number);
        let (needed, free) = (bytes(f.bytes_needed), bytes(f.bytes_free));
        [f.mount.clone(), f.kind.clone(), needed, free, number(f.inodes_needed), inodes_free]
    });
    table_in(width, columns, rows)
}

fn containers(plan: &PlanView, width: Width) -> String {
    let columns = [Text("CONTAINER"), Text("IMAGE"), Text("ACTION"), Text("KILLED AFTER")];
    let rows = plan.containers.iter().map(|c| {
        let killed = c.stop_timeout_ms.map_or("-".to_string(), |ms| seconds(ms / 1000));
        [c.name.clone(), c.image.clone(), c.action.clone(), killed]
    });
    table_in(width, columns, rows)
}

/// What goes with the containers that are made anew.
fn costs(plan: &PlanView) -> String {
    let comes_back = plan.images.iter().filter(|image| plan.image == ImageChoice::Snapshot && !image.same);
    let images = comes_back.map(|image| {
        let PlannedImageView { container, now_name, snapshot_name, .. } = image;
        let (now, then) = (short(&image.now), short(&image.snapshot));
        format!(
            "{container} comes back with the snapshot's image {snapshot_name} ({then}) in place of {now_name} ({now})"
        )
    });
    let lose =
        plan.containers.iter().filter_map(|c| Some(format!("{} is made anew: {}", c.name, lost(c.loses.as_ref()?))));
    join(images.chain(lose))
}

/// As much of an image's id as people compare.
fn short(image_id: &str) -> &str {
    let digest = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    digest.get(..12).unwrap_or(digest)
}

fn lost(losses: &Losses) -> String {
    let Losses { changes, first, log, anonymous, other_addresses } = losses;
    let layer = match (*changes, *changes - (first.len() as u64).min(*changes)) {
        (0, _) => "nothing was changed in its own layer".to_string(),
        (count, more) => {
            let more = if more == 0 { String::new() } else { format!(" and {} more", number(more)) };
            let first = first.iter().map(|path| plain::line(path)).collect::<Vec<_>>().join(", ");
            format!("{} of its own layer go with it ({first}{more})", number_of(count, "change", "changes"))
        }
    };
    let log = log.then(|| if *changes == 0 { "its log goes with it" } else { "so does its log" }.to_string());
    let kept = (!anonymous.is_empty()).then(|| {
        let at: Vec<String> = anonymous.iter().map(|path| plain::line(path)).collect();
        format!("its anonymous volumes ({}) are kept by name, and no longer removed with it", at.join(", "))
    });
    let addresses = other_addresses
        .then(|| "its addresses are others, also where they were chosen: Podman does not tell which were".to_string());
    [Some(layer), log, kept, addresses].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn number_of(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// What is known about the downtime and where it is known from.
fn downtime(plan: &PlanView, known: &DowntimeView) -> String {
    let engine = match known.engine_ms {
        None | Some(0) => String::new(),
        Some(ms) => format!(", of that the container engine {}", milliseconds(ms)),
    };
    let expected = match (known.least_ms, known.median_ms, known.most_ms) {
        (Some(least), Some(median), Some(most)) if known.restores_measured > 1 => {
            let (least, most) = (milliseconds(least), milliseconds(most));
            let count = known.restores_measured;
            let expected = milliseconds(median);
            format!("about {expected}{engine}; the last {count} restores like this took {least} to {most}")
        }
        (Some(_), Some(once), Some(_)) => {
            format!("about {}{engine}; that is what the last restore like this took", milliseconds(once))
        }
        (_, _, _) => format!("{}; no restore like this was measured yet", unmeasured(plan)),
    };
    let health = known
        .health_timeout_ms
        .map_or_else(String::new, |ms| format!("; a health check is waited for, {} at the most", seconds(ms / 1000)));
    format!("downtime: {expected}{health}")
}

fn unmeasured(plan: &PlanView) -> String {
    let renames = match plan.volumes.iter().any(|v| v.method == Method::ByEntry) {
        true => "a rename for each entry at the top level",
        false => "a few renames",
    };
    match plan.containers.iter().filter(|c| c.action.starts_with("stop and")).count() {
        0 => renames.to_string(),
        1 => format!("{renames}, and the stop and start of the container"),
        count => format!("{renames}, and the stop and start of {count} containers"),
    }
}

/// What is asked before it begins.
pub fn question(plan: &PlanView) -> String {
    let targets: Vec<&str> = plan.volumes.iter().map(|v| v.target.as_str()).collect();
    let replaced = match targets.as_slice() {
        [] => "nothing".to_string(),
        [one] => (*one).to_string(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    };
    let old = age(plan.snapshot_age_seconds);
    format!("Restore {} from snapshot {}, {old} old, replacing {replaced}?", plan.workload, plan.snapshot)
}

/// What happened, how long the app was down, and how to go back.
pub fn report(report: &ReportView) -> String {
    let volumes = || {
        table(
            [Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("METHOD")],
            report.volumes.iter().map(|v| [v.target.clone(), bytes(v.bytes), number(v.entries), word(v.method).into()]),
        )
    };
    let volumes = match report.outcome {
        Outcome::Restored => volumes(),
        Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention => String::new(),
    };
    let cause = report.cause.as_ref().map(|c| match &c.hint {
        Some(hint) => format!("because: {}\nhint: {hint}", c.message),
        None => format!("because: {}", c.message),
    });
    join([
        volumes,
        labelled("warning", &report.warnings),
        headline(report),
        left_stopped(report),
        join(report.made_anew.iter().map(|made| format!("{} was made anew: {}", made.name, lost(&made.loses)))),
        cause.unwrap_or_default(),
        way_up(report),
        way_back(report),
    ])
}

/// One line that says how a restore ended.
pub fn headline(report: &ReportView) -> String {
    let workload = &report.workload;
    if let Some(done) = report.reopened {
        return reopened(report, done);
    }
    let snapshot = match report.kept_of {
        Some(restore) => format!("what restore {restore} had kept"),
        None => report.snapshot.to_string(),
    };
    let engine = match report.engine_ms {
        0 => String::new(),
        ms => format!(", of that the container engine {}", milliseconds(ms)),
    };
    let down = match (report.outcome, report.downtime_us) {
        (Outcome::Aborted, 0) => "it was never down".to_string(),
        (Outcome::Restored | Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention, _) => {
            format!("down for {}{engine}", milliseconds(report.downtime_ms))
        }
    };
    // An app that did not come back is down yet, and nobody knows for how long.
    match (report.outcome, &report.app_problem) {
        (Outcome::Restored, Some(_)) => return format!("{workload} has the data of {snapshot}, and is not back"),
        (Outcome::Reverted, Some(_)) => {
            return format!(
                "{workload} has its original data again, and is not back: the restore of {snapshot} was turned round"
            );
        }
        (Outcome::Aborted, Some(_)) => {
            return format!(
                "{workload} has its original data, and is not back: the restore of {snapshot} was given up"
            );
        }
        (Outcome::NeedsAttention, _) | (_, None) => {}
    }
    match report.outcome {
        Outcome::Restored => format!("{workload} is restored from {snapshot}; {down}"),
        Outcome::Reverted => {
            format!("{workload} is back on its original data: the restore of {snapshot} was turned round; {down}")
        }
        Outcome::Aborted => {
            format!("{workload} is on its original data: the restore of {snapshot} was given up; {down}")
        }
        Outcome::NeedsAttention => {
            let kept = match report.safety_snapshot {
                Some(safety) => format!("what it replaced is kept as snapshot {safety}"),
                None => "the journal is kept".into(),
            };
            format!("{workload} needs attention: the restore of {snapshot} cannot be ended safely; {kept}")
        }
    }
}

/// What became of originals that a restore had kept.
fn reopened(report: &ReportView, done: &str) -> String {
    let ReportView { workload, restore_id, .. } = report;
    let what = format!("what restore {restore_id} of {workload} had replaced");
    match report.safety_snapshot {
        Some(snapshot) => format!("{what} is snapshot {snapshot} now"),
        None => format!("{what} is {done}"),
    }
}

/// What to do about an app that did not come back.
fn way_up(report: &ReportView) -> String {
    let ReportView { workload, app_problem, .. } = report;
    match app_problem {
        None => String::new(),
        Some(_) => format!(
            "see to what keeps it down, then run `volsnap recover {workload}`: it knows what ran; or restore another snapshot"
        ),
    }
}

fn left_stopped(report: &ReportView) -> String {
    match report.left_stopped.is_empty() {
        true => String::new(),
        false => format!("not started, as before: {}", report.left_stopped.join(", ")),
    }
}

fn way_back(report: &ReportView) -> String {
    match (report.outcome, report.safety_snapshot) {
        (Outcome::Restored, Some(safety)) => {
            format!("to go back: volsnap undo {} (snapshot {safety})", report.workload)
        }
        (Outcome::Restored, None) if report.reopened.is_some() => String::new(),
        (Outcome::Restored, None) if !report.kept.is_empty() => {
            format!("what was replaced is kept; to go back: volsnap kept restore {}", kept_id(report.restore_id))
        }
        (Outcome::Restored, None) => {
            format!("there is no snapshot of what was replaced, so `volsnap undo {}` cannot go back", report.workload)
        }
        (Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention, _) => String::new(),
    }
}

fn word(method: Method) -> &'static str {
    match method {
        Method::Exchange => "exchange",
        Method::TwoRenames => "two-renames",
        Method::New => "new",
        Method::ByEntry => "by-entry",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(changes: Option<ChangesView>, changes_problem: Option<&str>) -> PlannedVolumeView {
        PlannedVolumeView {
            target: "/data".into(),
            live: "/srv/data".into(),
            method: Method::Exchange,
            reason: "so".into(),
            bytes: 0,
            entries: 1,
            changes,
            changes_problem: changes_problem.map(Into::into),
        }
    }

    #[test]
    fn what_was_changed_since_is_counted_or_it_is_said_that_it_is_not() {
        let changes = |added, removed, changed| {
            let bytes = (0, 0, 0);
            let (bytes_added, bytes_removed, bytes_changed) = bytes;
            Some(ChangesView { added, removed, changed, bytes_added, bytes_removed, bytes_changed })
        };
        assert_eq!(changed_since(&volume(changes(0, 0, 0), None)), "nothing");
        assert_eq!(changed_since(&volume(changes(1200, 0, 3), None)), "+1,200 -0 ~3");
        assert_eq!(changed_since(&volume(None, Some("it would have taken too long"))), "not counted");
        assert_eq!(changed_since(&volume(None, None)), "-");
    }
}
