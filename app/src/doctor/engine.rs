//! The container engine.

use super::{Finding, Severity};
use crate::Volsnap;

pub(super) async fn look(volsnap: &Volsnap) -> Vec<Finding> {
    let find = |severity, message: String| Finding::new("engine", severity, "container engine", message);
    let needed: Vec<String> = match volsnap.workloads().await {
        Ok(all) => all.into_iter().filter(|w| !w.selector.is_empty()).map(|w| w.name).collect(),
        Err(_) => Vec::new(),
    };
    let Some(containers) = &volsnap.engine().ports().containers else {
        return vec![find(Severity::Note, "none is configured; plain directories need none".into())];
    };
    let info = match containers.info().await {
        Ok(info) => info,
        Err(error) if needed.is_empty() => {
            return vec![find(Severity::Note, format!("{error}; plain directories need none"))];
        }
        Err(error) => {
            let message = format!("{error}; it is needed by {}", needed.join(", "));
            return vec![find(Severity::Problem, message).remedy("start it, or name its socket in DOCKER_HOST")];
        }
    };
    let mut findings = vec![match &info.root {
        Some(root) => find(Severity::Ok, format!("{} with its data in {}", info.version, root.display())),
        // What was told to it is then not made durable: it does not sync its own records.
        None => find(
            Severity::Warning,
            format!(
                "{}, but its data directory cannot be read: a power cut may take restart policies back",
                info.version
            ),
        )
        .remedy("run volsnap as root on the engine's own host"),
    }];
    if info.live_restore == Some(true) {
        let message = "live-restore is on: containers run on while it restarts";
        findings.push(find(Severity::Note, message.into()));
    }
    findings
}
