//! What crashes left, and what became of it.

use volsnap::view::{FlawedView, KeptView, LeftDraftView, OpenView, RecoveredView, RecoveryView, StatusView};

use super::{
    left_copy,
    restore::{headline, report},
    table::{bytes, join, labelled},
};

/// One line about something that was recovered before a command's own work.
pub fn recovered_line(recovered: &RecoveredView) -> String {
    let line = match recovered {
        RecoveredView::Restore(report) => headline(report),
        RecoveredView::Snapshot { .. } => interrupted(recovered),
    };
    format!("recovered: {line}")
}

/// The answer of `recover`.
pub fn recovery(view: &RecoveryView) -> String {
    let recovered = view.recovered.iter().map(|recovered| match recovered {
        RecoveredView::Restore(restore) => report(restore),
        RecoveredView::Snapshot { .. } => interrupted(recovered),
    });
    let errors = view.errors.iter().map(|failure| {
        let hint = failure.error.hint.as_ref().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
        format!("not recovered: {}{hint}", failure.error.message)
    });
    let swept = !view.copies.is_empty() || !view.drafts.is_empty();
    let nothing = match view.recovered.is_empty() && view.errors.is_empty() && !swept {
        true => "nothing to recover".to_string(),
        false => String::new(),
    };
    let copies = view.copies.iter().map(|copy| left_copy(copy, true));
    let drafts = view.drafts.iter().map(|draft| left_draft(draft, true));
    join(recovered.chain(errors).chain(copies).chain(drafts).chain([nothing, labelled("warning", &view.warnings)]))
}

/// The answer of `status`.
pub fn status(view: &StatusView) -> String {
    let nothing = match view.open.is_empty() {
        true => "nothing is open".to_string(),
        false => String::new(),
    };
    let catalog = view.catalog.as_ref().map_or_else(String::new, |error| format!("warning: {}", error.message));
    let copies = view.copies.iter().map(|copy| left_copy(copy, false));
    let drafts = view.drafts.iter().map(|draft| left_draft(draft, false));
    let kept = view.kept.iter().map(kept);
    let damaged = view.damaged.iter().map(damaged);
    let open = view.open.iter().map(open).chain([nothing]);
    join(open.chain(kept).chain(copies).chain(drafts).chain(damaged).chain([catalog]))
}

fn damaged(flawed: &FlawedView) -> String {
    let FlawedView { snapshot, workload, problem } = flawed;
    format!(
        "{workload}: snapshot {snapshot} cannot be restored: its archive: {problem}\n  \
         hint: bring the file back, or `volsnap import FILE` with a copy of it, or forget it: `volsnap delete {snapshot}`"
    )
}

fn left_draft(left: &LeftDraftView, is_swept: bool) -> String {
    let name = left.workload.clone().unwrap_or_else(|| left.workload_id.to_string());
    let (path, size) = (&left.path, bytes(left.bytes));
    match (&left.problem, is_swept) {
        (Some(problem), _) => format!("{name}: the unfinished archive {path} ({size}) cannot be removed: {problem}"),
        (None, true) => format!("{name}: removed the unfinished archive {path} ({size})"),
        (None, false) => format!("{name}: {path} is an unfinished archive ({size}); recovery would remove it"),
    }
}

fn kept(kept: &KeptView) -> String {
    let KeptView { workload, restore_id, path, what, hint, .. } = kept;
    format!("{workload}: {path} is left from restore {restore_id}\n  {what}\n  hint: {hint}")
}

fn open(open: &OpenView) -> String {
    let name = open.workload.clone().unwrap_or_else(|| open.workload_id.to_string());
    let what = match (open.restore_id, open.snapshot) {
        (Some(_), Some(snapshot)) => format!("restore of {snapshot}"),
        (None, Some(snapshot)) => format!("snapshot {snapshot}"),
        (_, None) => "journal".into(),
    };
    let next = match open.in_progress {
        true => "  another process is at it right now".to_string(),
        false => format!("  recovery would: {}", open.would),
    };
    let problem = open.problem.as_ref().map(|error| {
        let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
        format!("  problem: {}{hint}", error.message)
    });
    join([
        format!("{name}: {what}, phase {}", open.phase),
        next,
        labelled("  beside the live directories", &open.leftovers),
        problem.unwrap_or_default(),
    ])
}

fn interrupted(recovered: &RecoveredView) -> String {
    let RecoveredView::Snapshot { workload, snapshot, complete, app_problem, gone, .. } = recovered else {
        return String::new();
    };
    let runs = match gone.as_slice() {
        [] => format!("{workload} runs again"),
        gone => format!("{workload} is as it was but for {}", gone.join(", ")),
    };
    match (app_problem, complete) {
        (Some(problem), _) => format!(
            "{workload} is not back: {problem}\nsee to what keeps it down, then run `volsnap recover {workload}`: it knows what ran"
        ),
        (None, true) => format!("{runs}; its interrupted snapshot {snapshot} is complete and listed"),
        (None, false) => {
            format!("{runs}; its interrupted snapshot {snapshot} was not complete and is gone")
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use volsnap::model::SnapshotId;

    use super::*;

    #[test]
    fn what_is_gone_is_not_said_to_run() {
        let mut view = RecoveredView::snapshot("shop", SnapshotId(Uuid::nil()), false);
        assert!(interrupted(&view).starts_with("shop runs again; "));
        if let RecoveredView::Snapshot { gone, .. } = &mut view {
            *gone = vec!["shop-db-1".into(), "shop-web-1".into()];
        }
        assert!(interrupted(&view).starts_with("shop is as it was but for shop-db-1, shop-web-1; "));
    }
}
