//! What can be typed after `restore`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::RestoreOptions;

#[derive(Debug, ClapArgs)]
pub struct Restore {
    /// Name or id
    #[arg(required_unless_present = "plan")]
    pub workload: Option<String>,
    /// Id, unique prefix of it, or `latest`
    #[arg(required_unless_present = "plan")]
    pub snapshot: Option<String>,
    /// Only this volume; may be given more than once
    #[arg(long = "volume", value_name = "TARGET")]
    pub volumes: Vec<String>,
    /// Apply the plan that `volsnap plan --json` wrote to this file (`-` for standard input), and nothing else
    ///
    /// If the world has changed since, the restore is refused and says what has changed. What is restored and how is in
    /// the plan; WORKLOAD and SNAPSHOT may be given, and must then be those of the plan.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "volumes", "health_timeout", "on_unhealthy", "no_safety_snapshot", "allow_devices", "redeploy", "image",
            "resume",
        ],
    )]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub options: RestoreOptions,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}
