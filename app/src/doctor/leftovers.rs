//! What crashes left: open journals, unfinished archives, originals that are kept, containers that a restore named.

use std::{collections::BTreeSet, fs, path::Path};

use volsnap_core::model::{
    Container, WorkloadId,
    container::{drill_of, restore_of},
};

use super::{Finding, Severity};
use crate::{Volsnap, restore::Outcome};

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

/// Archives that were never finished. They go with the next snapshot of their workload, if there is one.
async fn drafts(volsnap: &Volsnap, fix: bool) -> Vec<Finding> {
    let filesystem = &volsnap.engine().ports().filesystem;
    let root = filesystem.state_dir().join("snapshots");
    let mut findings = Vec::new();
    for dir in fs::read_dir(root).into_iter().flatten().flatten() {
        let Some(workload) = dir.file_name().to_str().and_then(|name| name.parse::<WorkloadId>().ok()) else {
            continue;
        };
        let bytes = draft_bytes(&dir.path());
        if bytes == 0 {
            continue;
        }
        // Whoever holds the workload may be writing one right now.
        let Ok(lock) = filesystem.lock(workload).await else { continue };
        let message = format!("unfinished archives of {bytes} bytes");
        let found = find(Severity::Warning, dir.path().display().to_string(), message).remedy("volsnap doctor --fix");
        findings.push(if fix { found.mended(filesystem.sweep_drafts(workload).await) } else { found });
        drop(lock);
    }
    findings
}

fn draft_bytes(dir: &Path) -> u64 {
    let is_draft = |name: &str| name.starts_with('.') && name.ends_with(".partial");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let drafts = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_draft));
    drafts.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len().max(1)).sum()
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
                "wait until the drill has ended; if none is under way: docker rm --force --volumes {name}"
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
        .remedy(format!("docker rename it, if its own name is free and you miss it; else: docker rm {}", c.name))
    })
    .collect()
}
