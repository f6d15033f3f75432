//! What goes on holding what it was begun under: a call whose future is dropped, and an archive that is not sealed yet.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use volsnap_core::{
    model::ArchiveSummary,
    ports::{DraftArchive, FsError, FsOp, Lease, Precopy, Watch},
};

use crate::{
    archive::Precopied,
    blocking::{ended, watched},
};

/// What is held; what was taken last ends first.
#[derive(Clone, Default)]
pub(super) struct Leases(Vec<Arc<dyn Lease>>);

impl Leases {
    /// These, and one more.
    pub(super) fn and(&self, lease: Arc<dyn Lease>) -> Self {
        Leases(std::iter::once(lease).chain(self.0.iter().cloned()).collect())
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} leases", self.0.len())
    }
}

/// Does `work` and lets go of what it was done under, before anybody hears of it.
pub(super) fn under<T>(held: Leases, work: impl FnOnce() -> T) -> T {
    let result = work();
    drop(held);
    result
}

/// Volumes that were copied before, with the locks under which that was done.
pub(super) struct Copied {
    pub(super) path: PathBuf,
    pub(super) precopied: Precopied,
    pub(super) held: Leases,
}

#[async_trait]
impl Precopy for Copied {
    async fn capture(self: Box<Self>, watch: Watch) -> Result<Box<dyn DraftArchive>, FsError> {
        let Copied { path, precopied, held } = *self;
        let kept = held.clone();
        let capture = watched(FsOp::Archive, &path, watch, move |watch| under(kept, || precopied.capture(watch)));
        Ok(Box::new(Draft { draft: capture.await?, held, path }))
    }
}

/// A draft that keeps the locks under which it was begun: nobody sweeps it away while it is sealed.
pub(super) struct Draft {
    pub(super) path: PathBuf,
    pub(super) draft: Box<dyn DraftArchive>,
    pub(super) held: Leases,
}

#[async_trait]
impl DraftArchive for Draft {
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let Draft { path, draft, held } = *self;
        // A task of its own comes to its end, with the locks, also if nobody waits for it any more.
        let sealing = tokio::spawn(async move {
            let sealed = draft.seal(quiesced_ms).await;
            drop(held);
            sealed
        });
        ended(FsOp::Archive, &path, sealing.await)
    }
}
