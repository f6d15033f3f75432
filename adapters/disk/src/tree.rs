use std::path::Path;
use volsnap_core::{model::*, ports::*};
pub(crate) fn measure(_: &Path) -> Result<TreeSize, FsError> {
    Ok(TreeSize::default())
}
pub(crate) fn remove(p: &Path) -> Result<(), FsError> {
    std::fs::remove_dir_all(p).map_err(|e| crate::errno::io_error(FsOp::Remove, p, &e))
}
