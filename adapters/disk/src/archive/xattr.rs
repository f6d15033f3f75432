//! Extended attributes of any kind of entry, read and written.

use std::{
    ffi::CStr,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, XattrFlags},
    io::Errno,
};

use super::member::Xattrs;

/// An entry whose attributes are meant.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// One that is open.
    Open(BorrowedFd<'a>),
    /// A handle (`O_PATH`) of what cannot or must not be opened: links, FIFOs, devices.
    Handle(BorrowedFd<'a>),
}

/// All attributes that can be read, sorted by name. A filesystem without attributes has none.
pub(crate) fn read(place: Place<'_>) -> Result<Xattrs, Errno> {
    let names = match grow(|buffer| list(place, buffer)) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut xattrs = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        match grow(|buffer| get(place, name, buffer)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            // Gone since it was listed, or listed for show only.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Sets one attribute.
pub(crate) fn write(place: Place<'_>, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    match place {
        Place::Open(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        Place::Handle(fd) => rustix::fs::setxattr(path_of(fd), name, value, XattrFlags::empty()),
    }
}

/// Labels that the host's own policy gives and may refuse to be given (SELinux, AppArmor, IMA, EVM); capabilities
/// belong to the file.
pub(crate) fn is_of_the_host(name: &[u8]) -> bool {
    name.starts_with(b"security.") && name != b"security.capability"
}

/// Attributes by which one kind of filesystem is told how to store the entry: another one does not have them.
pub(crate) fn is_of_one_filesystem(name: &[u8]) -> bool {
    name.starts_with(b"btrfs.")
}

/// Removes one attribute; it is no error if there is none.
pub(crate) fn remove(fd: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(fd, name) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

fn list(place: Place<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    match place {
        Place::Open(fd) => rustix::fs::flistxattr(fd, buffer),
        Place::Handle(fd) => rustix::fs::listxattr(path_of(fd), buffer),
    }
}

fn get(place: Place<'_>, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
    match place {
        Place::Open(fd) => rustix::fs::fgetxattr(fd, name, buffer),
        Place::Handle(fd) => rustix::fs::getxattr(path_of(fd), name, buffer),
    }
}

/// Opens a handle of whatever has that name: nothing is followed, waited for or set off by it.
pub(crate) fn handle(dir: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The name of a handle in `/proc`, for calls that take none: it leads to the very inode, which is not followed any
/// further if it is a link, whatever its name has become.
pub(crate) fn path_of(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Calls with a buffer that is large enough; most lists are empty and most values short.
fn grow(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match call(&mut small) {
        Err(Errno::RANGE) => {}
        got => return got.map(|length| small[..length].to_vec()),
    }
    // 64 KiB is the kernel's limit for lists and for values.
    let mut large = vec![0; 64 * 1024];
    let length = call(&mut large)?;
    large.truncate(length);
    Ok(large)
}
