use std::path::Path;
use volsnap_core::{model::*, ports::*};
fn no<T>(p: &Path) -> Result<T, FsError> {
    Err(FsError::new(FsErrorKind::Io, FsOp::Archive, p, "stub"))
}
pub(crate) fn draft(
    dir: &Path,
    _: &Manifest,
    _: &[ArchiveSource],
    _: &Watch,
) -> Result<Box<dyn DraftArchive>, FsError> {
    no(dir)
}
pub(crate) fn summary(p: &Path) -> Result<ArchiveSummary, FsError> {
    no(p)
}
pub(crate) fn verify(p: &Path, _: &Watch) -> Result<Verified, FsError> {
    no(p)
}
pub(crate) fn stage(p: &Path, _: &StageJob, _: &Watch) -> Result<Staged, FsError> {
    no(p)
}
