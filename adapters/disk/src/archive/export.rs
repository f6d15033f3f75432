//! Copies an archive out of the state directory, to a file or to whoever takes its bytes.

use std::{fs::File, io::Write, path::Path};

use volsnap_core::ports::{FsError, FsErrorKind, FsOp, LookInto, Output, Phase, Watch};

use super::{behind::WriteBehind, compress::io_error, find::open, open::Archive, progress::Meter, transfer};
use crate::{locate, passing::Passing, tree::Trouble};

/// Copies an archive to a file that is durable and whole when it has its name; gives its length. A kill leaves at most
/// the passing file beside it, which the next export to the same file removes.
///
/// # Errors
/// `Exists` if something stands at `to` and `replace` was not given, or if it is no regular file; `NoSpace`; `Busy` if
/// another export to it is under way; `Corrupt` if the archive is damaged: then nothing stands there.
pub fn export(path: &Path, wanted: &LookInto, to: &Path, replace: bool, watch: &Watch) -> Result<u64, FsError> {
    let archive = open(path, wanted, 1)?;
    let trouble = Trouble::new(FsOp::Archive, to);
    let passing = Passing::make(to, replace)?;
    let mut meter = Meter::new(watch, &trouble, Phase::Copy);
    meter.whole(archive.bytes)?;
    match rustix::fs::ioctl_ficlone(&passing.file, &archive.file) {
        Ok(()) => {
            // The copy has the very blocks of the archive: what is read of it are the bytes of both.
            let file = passing.file.try_clone().map_err(|e| io_error(&trouble, "read back", &e))?;
            let copy = Archive { file, ..archive };
            transfer::frames(&copy, 0, &mut |_| Ok(()), &mut meter)?;
            transfer::end(&copy, &mut |_| Ok(()), &mut meter)?;
            passing.publish(replace)?;
            Ok(copy.bytes)
        }
        // Not on one filesystem, or on one that shares no blocks.
        Err(_) => {
            let parent = to.parent().unwrap_or(to);
            let free = locate::space(parent)?.1.bytes_free;
            if free < archive.bytes {
                let message = format!("needs {} bytes where {free} are free", archive.bytes);
                return Err(trouble.of(FsErrorKind::NoSpace, message));
            }
            write(&archive, &passing.file, &trouble, &mut meter)?;
            passing.publish(replace)?;
            Ok(archive.bytes)
        }
    }
}

/// Writes all of an archive; most of it is on the disk when it returns.
fn write(archive: &Archive, mut to: &File, trouble: &Trouble, meter: &mut Meter<'_>) -> Result<(), FsError> {
    let synced = to.try_clone().map_err(|e| io_error(trouble, "write", &e))?;
    let mut behind = WriteBehind::start(move || rustix::fs::fdatasync(&synced));
    let mut take = |bytes: &[u8]| -> Result<(), FsError> {
        to.write_all(bytes).map_err(|e| io_error(trouble, "write", &e))?;
        behind.wrote(bytes.len() as u64);
        Ok(())
    };
    transfer::frames(archive, 0, &mut take, meter)?;
    transfer::end(archive, &mut take, meter)?;
    behind.end().map_err(|e| trouble.sync("the copy", e))
}

/// Hands all bytes of an archive to whoever takes them, and gives how many.
///
/// # Errors
/// As for [`export`]; whoever took bytes before an error has the beginning of an archive, which no reader takes for one.
pub fn write_out(path: &Path, wanted: &LookInto, out: &mut dyn Output, watch: &Watch) -> Result<u64, FsError> {
    let archive = open(path, wanted, 1)?;
    let trouble = &archive.trouble;
    let mut meter = Meter::new(watch, trouble, Phase::Copy);
    meter.whole(archive.bytes)?;
    let unwritten = |error: String| trouble.of(FsErrorKind::Io, format!("cannot write it on: {error}"));
    transfer::frames(&archive, 0, &mut |bytes| out.write(bytes).map_err(unwritten), &mut meter)?;
    transfer::end(&archive, &mut |bytes| out.write(bytes).map_err(unwritten), &mut meter)?;
    out.end().map_err(unwritten)?;
    Ok(archive.bytes)
}
