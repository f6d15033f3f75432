//! `doctor`: findings.

use serde::Serialize;

use crate::Finding;

/// The document of `doctor`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DoctorView {
    /// What was looked at, in the order in which it was.
    pub findings: Vec<Finding>,
}
