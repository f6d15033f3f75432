//! Unfinished archives that nobody works on, an item of `status` and `recover`.

use std::collections::BTreeMap;

use serde::Serialize;
use volsnap_core::{
    engine::LeftDraft,
    model::{Workload, WorkloadId},
};

/// An archive that was never finished.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftDraftView {
    /// The workload's name; `null` if it is not registered (any more).
    pub workload: Option<String>,
    /// The workload.
    pub workload_id: WorkloadId,
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Why `recover` could not remove it; `null` if it did, and in `status`.
    pub problem: Option<String>,
}

impl LeftDraftView {
    /// The views of what is left; the workloads are those whose names are known.
    #[must_use]
    pub fn all(left: &[LeftDraft], workloads: &[Workload]) -> Vec<Self> {
        let names: BTreeMap<WorkloadId, &String> = workloads.iter().map(|w| (w.id, &w.name)).collect();
        let view = |left: &LeftDraft| LeftDraftView {
            workload: names.get(&left.workload).map(ToString::to_string),
            workload_id: left.workload,
            path: left.path.display().to_string(),
            bytes: left.bytes,
            problem: left.problem.clone(),
        };
        left.iter().map(view).collect()
    }
}
