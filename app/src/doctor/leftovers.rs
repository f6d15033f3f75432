//! What crashes left: open journals, unfinished archives, originals that are kept, containers that a restore named.

use std::collections::BTreeSet;

use volsnap_core::model::{
    Container, WorkloadId,
    container::{drill_of, restore_of},
};

use super::{Finding, Severity};
use crate::{LeftDraft, Volsnap, restore::Outcome};

pub(super) async fn look(volsnap: &Volsnap, fix: bool) -> Vec<Finding> {
    let mut findings = journals(volsnap, fix).await;
    findings.extend(drafts(volsnap, fix).await);
    findings.extend(kept(volsnap).await);
    findings.extend(containers(volsnap).await);
    if findings.is_empty() {
        let state_dir = volsnap.engine().ports().filesystem.state_dir().display().to_string();
        findings.push(find(Severity::Ok, state_dir, "no crash left anything".into()));
    }
    findings
}

fn find(severity: Severity, subject: impl Into<String>, message: String) -> Finding {
    Finding::new("leftovers", severity, subject, message)
}

async fn journals(volsnap: &Volsnap, fix: bool) -> Vec<Finding> {
    let open = match volsnap.status(None).await {
        Ok(open) => open,
        Err(error) => return vec![find(Severity::Problem, "journals", error.message)],
    };
    let mut findings = Vec::new();
    for outlook in open {
        let name = outlook.workload.clone().unwrap_or_else(|| outlook.workload_id.to_string());
        if outlook.in_progress {
            findings.push(find(Severity::Note, name, format!("another process is at it, in phase {}", outlook.phase)));
            continue;
        }
        let found = match &outlook.problem {
            Some(problem) => find(Severity::Problem, &*name, problem.message.clone()),
            None => {
                let message = format!("an operation has not ended (its last word is {:?})", outlook.phase);
                find(Severity::Warning, &*name, format!("{message}; recovery would {}", outlook.would))
            }
        };
        let found = match outlook.problem.and_then(|problem| problem.hint) {
            Some(hint) => found.remedy(hint),
            None => found.remedy(format!("volsnap recover {name}")),
        };
        findings.push(if fix { found.mended(recover(volsnap, outlook.workload_id).await) } else { found });
    }
    findings
}

async fn recover(volsnap: &Volsnap, id: WorkloadId) -> Result<(), String> {
    let recovered = volsnap.recover(Some(id)).await.map_err(|error| error.message)?;
    for one in recovered {
        match one.result {
            Ok(crate::RecoveredItem::Restore(report)) if report.outcome == Outcome::NeedsAttention => {
                return Err(report.cause.map_or_else(|| "it needs attention".into(), |cause| cause.message));
            }
            Ok(_) => {}
            Err(error) => return Err(error.message),
        }
    }
    Ok(())
}

/// Archives that were never finished, and that nobody writes any more.
async fn drafts(volsnap: &Volsnap, fix: bool) -> Vec<Finding> {
    let found = match fix {
        true => volsnap.sweep_drafts(None).await,
        false => volsnap.left_drafts(None).await,
    };
    let left = match found {
        Ok(left) => left,
        Err(error) => return vec![find(Severity::Problem, "unfinished archives", error.message)],
    };
    let tell = |draft: LeftDraft| {
        let message = format!("an unfinished archive of {} bytes", draft.bytes);
        let found = find(Severity::Warning, draft.path.display().to_string(), message).remedy("volsnap recover");
        match fix {
            true => found.mended(draft.problem.map_or(Ok(()), Err)),
            false => found,
        }
    };
    left.into_iter().map(tell).collect()
}

async fn kept(volsnap: &Volsnap) -> Vec<Finding> {
    let kept = volsnap.kept(None).await.unwrap_or_default();
    let tell = |kept: &crate::Kept| {
        find(Severity::Warning, kept.path.display().to_string(), format!("{}: {}", kept.workload, kept.what()))
            .remedy(kept.remedy())
    };
    kept.iter().map(tell).collect()
}

/// Containers with a name of a restore or a drill that has ended. Those of another state directory may not have, so they
/// are only told.
async fn containers(volsnap: &Volsnap) -> Vec<Finding> {
    let Some(engine) = &volsnap.engine().ports().containers else { return Vec::new() };
    let Ok(all) = engine.all().await else { return Vec::new() };
    let mut findings = restored(volsnap, &all).await;
    findings.extend(drilled(volsnap, &all).await);
    findings
}

async fn drilled(volsnap: &Volsnap, all: &[Container]) -> Vec<Finding> {
    let left: BTreeSet<_> = volsnap.left_copies().await.unwrap_or_default().into_iter().map(|copy| copy.id).collect();
    let tell = |name: &String, drill| match left.contains(&drill) {
        true => {
            find(Severity::Warning, name, "an interrupted drill left this container".into()).remedy("volsnap recover")
        }
        false => find(Severity::Note, name, "a drill started this container; no interrupted one is known".into())
            .remedy(format!(
                "wait until the drill has ended; if none is under way: `docker rm --force --volumes {name}`"
            )),
    };
    all.iter().filter_map(|c| drill_of(&c.name).map(|(_, drill)| tell(&c.name, drill))).collect()
}

async fn restored(volsnap: &Volsnap, all: &[Container]) -> Vec<Finding> {
    let open: BTreeSet<_> =
        volsnap.status(None).await.unwrap_or_default().into_iter().filter_map(|o| o.restore_id).collect();
    let left = all.iter().filter(|c| restore_of(&c.name).is_some_and(|restore| !open.contains(&restore)));
    left.map(|c| {
        find(
            Severity::Warning,
            &*c.name,
            "a container that a restore set aside or prepared, and no journal knows".into(),
        )
        .remedy(format!(
            "rename it with `docker rename {0}`, if its own name is free and you miss it; else: `docker rm {0}`",
            c.name
        ))
    })
    .collect()
}
