//! Processes of the host that write into a volume: where to look for them, and what a plan and a report say of them.
//!
//! Nobody stops them as containers are stopped, so what they hold open goes along with the original when it is set
//! aside. That is told and not refused: a log that is followed to its end does no harm.

use std::path::PathBuf;

use super::plan::Plan;
use crate::{error::FsError, model::Writer};

/// The live directories that will be set aside.
#[must_use]
pub fn live_dirs(plan: &Plan) -> Vec<PathBuf> {
    replaced(plan).map(|volume| plan.volumes[volume].live.clone()).collect()
}

/// The private directories in which the originals are after the switch.
#[must_use]
pub fn aside_dirs(plan: &Plan) -> Vec<PathBuf> {
    replaced(plan).map(|volume| plan.private(volume)).collect()
}

/// What a plan says of those that write into the live directories.
#[must_use]
pub fn before_the_switch(plan: &Plan, writers: &Result<Vec<Writer>, FsError>) -> Vec<String> {
    told(
        plan,
        writers,
        |plan, volume| plan.volumes[volume].live.clone(),
        |Writer { pid, program, path }, target| {
            format!(
                "process {pid} ({program}) has {} open for writing; stop it before a restore: what it writes after the switch goes into the directory that is set aside, not into volume {target}",
                path.display()
            )
        },
    )
}

/// What a report says of those that write into the originals.
#[must_use]
pub fn after_the_switch(plan: &Plan, writers: &Result<Vec<Writer>, FsError>) -> Vec<String> {
    told(plan, writers, Plan::private, |Writer { pid, program, path }, target| {
        format!(
            "process {pid} ({program}) still writes into the original of volume {target}, which is set aside: it has {} open; restart it, for what it writes there is in no live data and goes with the original",
            path.display()
        )
    })
}

fn replaced(plan: &Plan) -> impl Iterator<Item = usize> {
    (0..plan.volumes.len()).filter(|volume| plan.volumes[*volume].original.is_some())
}

fn told(
    plan: &Plan,
    writers: &Result<Vec<Writer>, FsError>,
    dir: impl Fn(&Plan, usize) -> PathBuf,
    say: impl Fn(&Writer, &str) -> String,
) -> Vec<String> {
    let writers = match writers {
        Ok(writers) => writers,
        Err(error) => {
            return vec![format!("whether a process of the host writes into the volumes is not known: {error}")];
        }
    };
    let of = |writer: &Writer| replaced(plan).find(|volume| writer.path.starts_with(dir(plan, *volume)));
    writers.iter().filter_map(|w| of(w).map(|volume| say(w, &plan.volumes[volume].target))).collect()
}
