//! The container engine.

use volsnap_core::ports::EngineInfo;

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
    if info.fixed_policies {
        findings.push(fixed_policies(volsnap, &info).await);
    }
    findings
}

/// An engine that cannot change restart policies: whom it hinders, if anybody.
async fn fixed_policies(volsnap: &Volsnap, info: &EngineInfo) -> Finding {
    let mut hindered = Vec::new();
    for workload in volsnap.workloads().await.unwrap_or_default() {
        // Containers that cannot be found are told of elsewhere.
        let containers = volsnap.inspect(&workload).await.map(|seen| seen.containers).unwrap_or_default();
        if info.cannot_hold(&containers).is_some() {
            hindered.push(workload.name);
        }
    }
    let what = format!("{} cannot change the restart policy of a container that exists", info.version);
    match hindered.is_empty() {
        true => Finding::new(
            "engine",
            Severity::Note,
            "restart policies",
            format!("{what}; no workload's container has one"),
        ),
        false => {
            let message =
                format!("{what}: restores and snapshots with --mode stop are refused of {}", hindered.join(", "));
            Finding::new("engine", Severity::Warning, "restart policies", message).remedy(
                "make the containers anew without a restart policy and let systemd units start them, or use Podman 5.1 or newer",
            )
        }
    }
}
