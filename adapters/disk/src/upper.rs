//! Directories of an overlay that become other ones when something is made in them.

use std::path::Path;

use rustix::{fs::Mode, io::Errno};
use volsnap_core::{
    model::Identity,
    ports::{FsError, FsOp},
};

use crate::{
    errno::fs_error,
    handles::{identity, stat_fd, sync, try_open_dir},
};

/// The type of an overlay (`OVERLAYFS_SUPER_MAGIC`).
pub(crate) const OVERLAY: rustix::fs::FsWord = 0x794c_7630;

/// Makes a directory of an overlay's lower layer one of its upper layer, durably, and gives its identity then: the copy
/// was born another day. Every other directory, and one that is not the `known` one, stays as it is.
pub(crate) fn ready(dir: &Path, known: Identity) -> Result<Identity, FsError> {
    let fail = |errno| fs_error(FsOp::Look, dir, errno);
    let fd = match try_open_dir(dir) {
        Ok(fd) => fd,
        // The survey reports what is there instead.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(known),
        Err(errno) => return Err(fail(errno)),
    };
    if rustix::fs::fstatfs(&fd).map_err(fail)?.f_type != OVERLAY {
        return Ok(known);
    }
    let found = stat_fd(&fd).map_err(fail)?;
    if !identity(&found).is(known) {
        return Ok(known);
    }
    // The mode that it has: nothing changes but the layer, and a crash leaves nothing.
    match rustix::fs::fchmod(&fd, Mode::from_raw_mode(u32::from(found.stx_mode) & 0o7777)) {
        Ok(()) => {}
        // Somebody else's, or not to be written: what is to be made in it says so.
        Err(Errno::PERM | Errno::ACCESS | Errno::ROFS) => return Ok(known),
        Err(errno) => return Err(fail(errno)),
    }
    let fd = try_open_dir(dir).map_err(fail)?;
    let now = identity(&stat_fd(&fd).map_err(fail)?);
    sync(FsOp::Look, dir, fd)?;
    Ok(now)
}
