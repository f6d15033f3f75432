//! A plan and how it ended.

use volsnap::{
    restore::{Outcome, plan::Method},
    view::{PlanView, ReportView},
};

use super::{
    hook::hook_table,
    table::{
        Column::{Number, Text},
        age, bytes, join, labelled, milliseconds, number, table, time,
    },
};

/// What a restore would do, with every reason not to.
pub fn plan(plan: &PlanView) -> String {
    let (taken, old) = (time(plan.snapshot_created_at), age(plan.snapshot_age_seconds));
    let volumes = table(
        [Text("VOLUME"), Text("LIVE"), Number("SIZE"), Number("ENTRIES"), Text("METHOD"), Text("REASON")],
        plan.volumes.iter().map(|v| {
            let method = word(v.method).to_string();
            [v.target.clone(), v.live.clone(), bytes(v.bytes), number(v.entries), method, v.reason.clone()]
        }),
    );
    let filesystems = table(
        [
            Text("FILESYSTEM"),
            Text("KIND"),
            Number("NEEDED"),
            Number("FREE"),
            Number("INODES NEEDED"),
            Number("INODES FREE"),
        ],
        plan.filesystems.iter().map(|f| {
            let inodes_free = f.inodes_free.map_or("any".to_string(), number);
            let (needed, free) = (bytes(f.bytes_needed), bytes(f.bytes_free));
            [f.mount.clone(), f.kind.clone(), needed, free, number(f.inodes_needed), inodes_free]
        }),
    );
    let containers = table(
        [Text("CONTAINER"), Text("IMAGE"), Text("ACTION")],
        plan.containers.iter().map(|c| [c.name.clone(), c.image.clone(), c.action.clone()]),
    );
    let refusals: Vec<String> =
        plan.refusals.iter().map(|r| format!("refused: {}\n  hint: {}", r.message, r.hint)).collect();
    join([
        format!("restore {} from snapshot {} of {taken} ({old} old)", plan.workload, plan.snapshot),
        volumes,
        filesystems,
        containers,
        hook_table(&plan.hooks),
        match plan.safety_snapshot {
            true => "what is replaced is kept as a snapshot; `volsnap undo` brings it back".into(),
            false => "what is replaced is NOT kept".into(),
        },
        match plan.resume {
            true => "a crash before the switch does not end it: `volsnap recover` goes on".into(),
            false => String::new(),
        },
        labelled("warning", &plan.warnings),
        refusals.join("\n"),
    ])
}

/// What happened, how long the app was down, and how to go back.
pub fn report(report: &ReportView) -> String {
    let volumes = table(
        [Text("VOLUME"), Number("SIZE"), Number("ENTRIES"), Text("METHOD")],
        report.volumes.iter().map(|v| [v.target.clone(), bytes(v.bytes), number(v.entries), word(v.method).into()]),
    );
    let volumes = match report.outcome {
        Outcome::Restored => volumes,
        Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention => String::new(),
    };
    let cause = report.cause.as_ref().map(|c| match &c.hint {
        Some(hint) => format!("because: {}\nhint: {hint}", c.message),
        None => format!("because: {}", c.message),
    });
    join([
        volumes,
        headline(report),
        cause.unwrap_or_default(),
        labelled("warning", &report.warnings),
        way_back(report),
    ])
}

/// One line that says how a restore ended.
pub fn headline(report: &ReportView) -> String {
    let ReportView { workload, snapshot, .. } = report;
    let engine = match report.engine_ms {
        0 => String::new(),
        ms => format!(", of that the container engine {}", milliseconds(ms)),
    };
    let down = format!("down for {}{engine}", milliseconds(report.downtime_ms));
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

fn way_back(report: &ReportView) -> String {
    match (report.outcome, report.safety_snapshot) {
        (Outcome::Restored, Some(safety)) => {
            format!("to go back: volsnap undo {} (snapshot {safety})", report.workload)
        }
        (Outcome::Restored | Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention, _) => String::new(),
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
