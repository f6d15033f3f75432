//! The documents that scripts read: what the command line prints with `--json`, for hosts that offer the same.
//!
//! Fields are only ever added. Times are RFC 3339 in UTC, sizes are bytes, durations are milliseconds; paths that are
//! not UTF-8 are shown with replacement characters, those of members are escaped ([`MemberView`]). [`SCHEMAS`] has their
//! JSON schemas.

mod archives;
mod config;
mod copies;
mod diff;
mod discover;
mod doctor;
mod documents;
mod drafts;
mod drill;
mod hook;
mod kept;
mod member;
mod plan;
mod progress;
mod recovery;
mod report;
mod retention;
mod schema;
mod snapshot;
mod trail;
mod workload;

pub use archives::{
    DamagedView, ExportView, ImportView, RebuiltSnapshotView, RebuiltView, RegisteredView, RegisteredVolumeView,
    UnregisteredView,
};
pub use config::{ConfigCheckView, ConfigProblemView, ConfigView, SettingView};
pub use copies::{CopiedVolumeView, CopyView, LeftCopyView};
pub use diff::{ChangeView, DifferenceView, VolumeDifferenceView};
pub use discover::{
    BondView, DiscoveredView, DiscoveryView, ProspectView, ProspectVolumeView, SuggestionView, WithoutVolumesView,
};
pub use doctor::DoctorView;
pub use documents::{CompletionsView, ManView, SchemaView, SchemasView, VersionView};
pub use drafts::LeftDraftView;
pub use drill::{DrillView, DrilledVolumeView};
pub use hook::{HookView, HooksView};
pub use kept::{KeptArchivedView, KeptDiscardedView, KeptListView, KeptSetView, KeptVolumeView};
pub use member::{MemberView, MembersView};
pub use plan::{
    ChangesView, ContainerView, DowntimeView, FilesystemView, PlanView, PlannedImageView, PlannedVolumeView,
    RefusalView,
};
pub use progress::ProgressView;
pub use recovery::{
    FailureView, FlawedView, KeptView, OpenView, RecoveredView, RecoveryView, StatusView, severity, worst,
};
pub use report::{CauseView, MadeAnewView, ReportView, ReportedVolumeView};
pub use retention::{DeletedView, PruneView, VerdictView};
pub use schema::{SCHEMAS, Schema};
use serde::Serialize;
pub use snapshot::{
    ImageView, ImportedView, SnapshotView, SnapshotVolumeView, SnapshotsView, VerificationView, VerifiedView,
};
pub use trail::{EventView, EventsView};
use volsnap_core::{Code, Error};
pub use workload::{
    NowView, RemovedView, RemovedWorkloadView, RunningView, SelectorView, VolumeView, WorkloadView, WorkloadsView,
};

/// `{"error":{"code","message","hint"}}`, what every failure prints.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorDocument {
    /// The error.
    pub error: ErrorView,
}

/// An error.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorView {
    /// The word of the contract.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ErrorView {
    /// The view of an error.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        ErrorView { code: error.code, message: error.message.clone(), hint: error.hint.clone() }
    }
}
